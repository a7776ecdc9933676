import { openPeople, peopleDimensions, sigmoidQ32 } from "@populace/kernels";
import type { People } from "@populace/kernels";
import type { Plan } from "@populace/protocol";

/** People of a crowd: what `people.logits` gives at once. */
export const CROWD = 256;
const Q14 = 16_384;
/** Newton steps to a mean rate at most, the longest (logits), and the one that ends them: a thousandth of a rate. */
const NEWTON = { most: 20, longest: 1, last: 1e-3 } as const;

/**
 * Takes a crowd of a persona: a Latin hypercube over its traits or factors (McKay et al. 1979), so that few stand for many. Each of them has one person in
 * each of 256 strata; who goes with whom is shuffled anew in each dimension and by `turn`, so that crowds err independently.
 */
export function takeCrowd(people: People, plan: Plan, persona: number, turn: number): void {
  const dimensions = peopleDimensions(plan, persona), uniforms = new Uint16Array(dimensions * CROWD);
  for (let d = 0; d < dimensions; d += 1) uniforms.set(shuffledStrata(turn * DIMENSIONS_MOST + d), d * CROWD);
  people.take(persona, uniforms, CROWD);
}

/** Most traits of a persona. */
const DIMENSIONS_MOST = 64;
const STRATA = new Map<number, Uint16Array>();

/** One dimension of a turn, the same for every persona: a value of each stratum. */
function shuffledStrata(place: number): Uint16Array {
  let strata = STRATA.get(place);
  if (strata === undefined) {
    const key = mixed(place), a = key & 255, b = (key >>> 8) & 255, c = (key >>> 16) & 255, e = key >>> 24;
    strata = new Uint16Array(CROWD);
    for (let i = 0; i < CROWD; i += 1) {
      const once = SHUFFLED[(i + a) & 255], twice = SHUFFLED[once ^ b];
      strata[i] = (SHUFFLED[(twice + c) & 255] << 8) | SHUFFLED[(once + e) & 255];
    }
    STRATA.set(place, strata);
  }
  return strata;
}

/** A bijection of 32 bits that leaves no pattern of small numbers (Wellons' lowbias32). */
function mixed(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0xd35a2d97);
  return x ^ (x >>> 15);
}

/** One permutation of 0 .. 255, of which every other is made: there and back between two keys. */
const SHUFFLED = Uint8Array.from(Array.from({ length: CROWD }, (_, i) => i).toSorted((x, y) => (mixed(x + 1) >>> 0) - (mixed(y + 1) >>> 0)));

/** The rows of one stimulus: its logits begin at column `first` (CROWD a column), its biases at `bias[at + first]`. */
export interface StimulusRows {
  readonly logits: Int32Array;
  readonly bias: Int32Array;
  readonly at: number;
  readonly first: number;
  readonly steps: number;
}

/** Mean over the crowd of the chance to come to each step of a stimulus, nested. */
export function nestedRates({ logits, bias, at, first, steps }: StimulusRows): Float64Array {
  const rates = new Float64Array(steps);
  for (let i = 0; i < CROWD; i += 1) {
    let q = 1;
    for (let step = 0; step < steps; step += 1) {
      q *= chanceAt(logits[(first + step) * CROWD + i] + bias[at + first + step]);
      rates[step] += q / CROWD;
    }
  }
  return rates;
}

/** Evaluations (worlds x stimuli x personas x people) that rates may cost: about a tenth of a second. */
const EVALUATIONS_MAX = 10_000_000;

/** Crowds over which rates err by some 0.3 %, fewer where that would take long. Depends on the plan's size alone, never on its agents. */
export const affordableCrowds = ({ worlds, personas, stimuli }: Pick<Plan, "worlds" | "personas" | "stimuli">): number =>
  Math.max(1, Math.min(4, Math.floor(EVALUATIONS_MAX / (worlds * personas.length * stimuli.length * CROWD))));

/**
 * The expected response rates of every world: worlds x cells x personas x steps, the mean over some crowds of the nested chance to come to each step at
 * tick 0, by people without history. The crowds are the same in every world, so the spread over worlds is that of the parameters. `people` are of this plan.
 */
export function crowdRates(plan: Plan, crowds: number, people = openPeople(plan)): Float64Array {
  const { worlds, cells, personas } = plan, steps = plan.steps.length;
  const rates = new Float64Array(worlds * cells.length * personas.length * steps);
  const shown = [...new Set(cells.map((cell) => cell.stimulus))];
  personas.forEach((_, persona) => {
    for (let crowd = 0; crowd < crowds; crowd += 1) {
      takeCrowd(people, plan, persona, crowd);
      for (let world = 0; world < worlds; world += 1) {
        const found = people.rates(world, shown);
        cells.forEach(({ stimulus }, cell) => {
          const to = ((world * cells.length + cell) * personas.length + persona) * steps, from = shown.indexOf(stimulus) * steps;
          for (let step = 0; step < steps; step += 1) rates[to + step] += found[from + step] / crowds;
        });
      }
    }
  });
  return rates;
}

const reach = new Float64Array(CROWD), chances = new Float64Array(CROWD);

/** How far (logits) each step's bias must move for the crowd's nested rates to be `rates`, by Newton's method from `moves[first ..]`, which it replaces. */
export function solveMoves({ logits, bias, at, first, steps }: StimulusRows, rates: ArrayLike<number>, moves: Float64Array): void {
  reach.fill(1);
  for (let column = first; column < first + steps; column += 1) {
    const goal = rates[column - first] * CROWD;
    for (let n = 0, change = Infinity; n < NEWTON.most && Math.abs(change) > NEWTON.last; n += 1) {
      const moved = bias[at + column] + Math.round(moves[column] * Q14);
      let sum = 0;
      let slope = 0;
      for (let i = 0; i < CROWD; i += 1) {
        const chance = chanceAt(logits[column * CROWD + i] + moved), reached = reach[i] * chance;
        chances[i] = chance;
        sum += reached;
        slope += reached * (1 - chance);
      }
      change = (goal - sum) / slope;
      // Nobody comes so far, or everybody: no move is better than another.
      if (!Number.isFinite(change)) break;
      moves[column] += Math.max(-NEWTON.longest, Math.min(NEWTON.longest, change));
    }
    for (let i = 0; i < CROWD; i += 1) reach[i] *= chances[i];
  }
}

/** Probability of a logit (Q14), by the kernel's own table. */
const chanceAt = (logit: number): number => sigmoidQ32(logit) / 2 ** 32;
