import { expectedRates } from "@populace/kernels";
import type { Plan } from "@populace/protocol";
import { finiteLogit } from "./rates.ts";

const Q14 = 16_384;
const ROUNDS = 3;
/** Agents by which a persona's mean rate is known to about 1 %, and the fewer that show how a world differs from the mean. */
const AGENTS = { mean: { most: 16_384, least: 2_048 }, world: { most: 256, least: 64 } } as const;
/** Evaluations (worlds x personas x stimuli x agents) one look may cost: about 0.2 s. */
const EVALUATIONS = 2_000_000;
/** A move too small to tell what a move does. */
const MOVE_MIN = 0.02;
const GAIN_MAX = 5;

/** The logit a rate should have, given the step before; world null = posterior means; null where nobody knows. */
export type TargetLogit = (world: number | null, persona: number, stimulus: number, step: number) => number | null;

/**
 * How far each bias (worlds x personas x stimuli x steps, logits) must move for the agents' expected rates to meet the targets.
 * `mean` is the plan at the posterior means, `worlds` the plan with all worlds, both showing every stimulus at tick 0: many
 * agents tell the mean's distance, a few the worlds' differences from it, because those are small and the agents the same. Where
 * agents' rates spread widely a move of the bias moves their mean by less; later rounds divide by what the first one did. A
 * stimulus without target moves as the others do on average.
 */
export function rowRateShifts(mean: Plan, worlds: Plan, target: TargetLogit): Float64Array {
  const [personas, stimuli, steps] = [worlds.personas.length, worlds.stimuli.length, worlds.steps.length];
  const size = personas * stimuli * steps;
  const affordable = (looks: number, { most, least }: { readonly most: number; readonly least: number }): number => Math.max(least, Math.min(most, Math.floor(EVALUATIONS / (looks * personas * stimuli) / 16) * 16));
  const agents = { mean: affordable(1, AGENTS.mean), world: affordable(worlds.worlds, AGENTS.world) };
  const meanShift = new Float64Array(size);
  const shift = new Float64Array(worlds.worlds * size);
  let gain = new Float64Array(size).fill(1);
  let first: Float64Array | null = null;
  for (let round = 0; round < ROUNDS; round += 1) {
    const movedMean = moved(mean, meanShift);
    const [full, center, each] = [conditionalLogits(movedMean, agents.mean), conditionalLogits(movedMean, agents.world), conditionalLogits(moved(worlds, shift), agents.world)];
    if (round === 1) gain = gain.map((_, cell) => (Math.abs(meanShift[cell]) < MOVE_MIN ? 1 : Math.max(1, Math.min(GAIN_MAX, meanShift[cell] / (full[cell] - (first?.[cell] ?? 0))))));
    first ??= full;
    const add = (world: number | null, to: Float64Array): void => {
      for (let persona = 0; persona < personas; persona += 1) {
        for (let step = 0; step < steps; step += 1) {
          const cellOf = (stimulus: number): number => (persona * stimuli + stimulus) * steps + step;
          const moves = worlds.stimuli.map((_, stimulus) => {
            const wanted = target(world, persona, stimulus, step);
            const cell = cellOf(stimulus);
            return wanted === null ? null : (wanted - full[cell] - (world === null ? 0 : each[world * size + cell] - center[cell])) * gain[cell];
          });
          const seen = moves.filter((move) => move !== null);
          const typical = seen.length === 0 ? 0 : seen.reduce((sum, move) => sum + move, 0) / seen.length;
          moves.forEach((move, stimulus) => { to[cellOf(stimulus)] += move ?? typical; });
        }
      }
    };
    for (let world = 0; world < worlds.worlds; world += 1) add(world, shift.subarray(world * size, (world + 1) * size));
    add(null, meanShift);
  }
  return shift;
}

const moved = (plan: Plan, shift: Float64Array): Plan => ({ ...plan, bias: plan.bias.map((bias, at) => bias + Math.round(shift[at] * Q14)) });

/** Logit of each step's panel rate given the step before: worlds x personas x stimuli x steps, for a plan that shows each stimulus. */
function conditionalLogits(plan: Plan, panelAgents: number): Float64Array {
  const rates = expectedRates(plan, { panelAgents });
  const { worlds, cells, personas, steps } = plan;
  const logits = new Float64Array(plan.bias.length);
  cells.forEach(({ stimulus }, cell) => {
    for (let world = 0; world < worlds; world += 1) {
      for (let persona = 0; persona < personas.length; persona += 1) {
        const from = ((world * cells.length + cell) * personas.length + persona) * steps.length;
        const to = ((world * personas.length + persona) * plan.stimuli.length + stimulus) * steps.length;
        for (let step = 0; step < steps.length; step += 1) logits[to + step] = finiteLogit(rates[from + step] / (step === 0 ? 1 : rates[from + step - 1]));
      }
    }
  });
  return logits;
}
