import { openPeople } from "@populace/kernels";
import type { People } from "@populace/kernels";
import type { Plan } from "@populace/protocol";
import { solveMoves, takeCrowd } from "./crowd.ts";

/** Crowds by which the move at the posterior means is known to about 0.2 % of a rate. */
const CROWDS = 32;

/** The rate of a step given the step before that real rows have; world null = posterior means; null where nobody knows. */
export type RowRate = (world: number | null, persona: number, stimulus: number, step: number) => number | null;

/**
 * How far each bias (worlds x personas x stimuli x steps, logits) must move for the agents' mean rates to be those of the rows. `mean` is the plan at
 * the posterior means, `worlds` the plan with all worlds, both with the personas' mean traits. Many crowds tell the move at the means; one, the same
 * in all worlds, how each world's differs from it, so that its own sampling error cancels. A stimulus nobody knows moves as the others do on average.
 */
export function rowRateShifts(mean: Plan, worlds: Plan, rowRate: RowRate): Float64Array {
  const { personas, stimuli, steps } = worlds;
  const columns = stimuli.length * steps.length;
  const shift = new Float64Array(worlds.worlds * personas.length * columns);
  const [meanPeople, people] = [openPeople(mean), openPeople(worlds)];
  personas.forEach((_, persona) => {
    const goals = (world: number | null): Goals => stimuli.map((_stimulus, stimulus) => nested(steps.map((_step, step) => rowRate(world, persona, stimulus, step))));
    const meanGoals = goals(null);
    if (meanGoals.every((goal) => goal === null)) return;
    const move = new Float64Array(columns), center = new Float64Array(columns), sums = new Float64Array(columns);
    for (let crowd = 0; crowd < CROWDS; crowd += 1) {
      takeCrowd(meanPeople, mean, persona, crowd);
      moveOnto(mean, meanPeople, 0, persona, meanGoals, move);
      if (crowd === 0) center.set(move);
      move.forEach((value, column) => { sums[column] += value / CROWDS; });
    }
    takeCrowd(people, worlds, persona, 0);
    move.set(center);
    for (let world = 0; world < worlds.worlds; world += 1) {
      moveOnto(worlds, people, world, persona, goals(world), move);
      const at = (world * personas.length + persona) * columns;
      for (let column = 0; column < columns; column += 1) shift[at + column] = move[column] - center[column] + sums[column];
    }
  });
  return shift;
}

/** Nested rates of a stimulus' steps; null where nobody knows them. */
type Goals = readonly (readonly number[] | null)[];

function nested(conditional: readonly (number | null)[]): readonly number[] | null {
  let rate = 1;
  const rates: number[] = [];
  for (const value of conditional) {
    if (value === null) return null;
    rates.push(rate *= value);
  }
  return rates;
}

/** Replaces `move` by what brings the crowd's rates in a world onto the goals. */
function moveOnto(plan: Plan, people: People, world: number, persona: number, goals: Goals, move: Float64Array): void {
  const steps = plan.steps.length, at = (world * plan.personas.length + persona) * goals.length * steps;
  const logits = people.logits(world);
  goals.forEach((goal, stimulus) => {
    if (goal !== null) solveMoves({ logits, bias: plan.bias, at, first: stimulus * steps, steps }, goal, move);
  });
  const known = goals.flatMap((goal, stimulus) => (goal === null ? [] : [stimulus]));
  for (let step = 0; step < steps && known.length < goals.length; step += 1) {
    const typical = known.reduce((sum, stimulus) => sum + move[stimulus * steps + step], 0) / known.length;
    goals.forEach((goal, stimulus) => { if (goal === null) move[stimulus * steps + step] = typical; });
  }
}
