import { PopulaceError, symmetricEigen } from "@populace/domain";
import { openPeople } from "@populace/kernels";
import type { People } from "@populace/kernels";
import type { Plan } from "@populace/protocol";
import { CROWD, nestedRates, solveMoves, takeCrowd } from "./crowd.ts";

/**
 * The factor form of a coded plan. A persona's trait logits (one a stimulus and step) are correlated numbers; all that a run can see of its
 * agents are those numbers. Their K leading principal components over the persona's people become K latent factors, uniform int8 from a hash
 * of the agent's number, and every (world, stimulus, step) a weight for each: means, variances and the part of the correlations that K components
 * carry are those of the coded plan. Only the shape of the distribution differs; a move of each bias, world by world, makes up for what that does
 * to the mean rates.
 */
export interface FactorForm {
  readonly plan: Plan;
  /** Largest relative difference of any mean rate (persona, stimulus, step; over worlds) from the coded plan's, and where it is. */
  readonly difference: { readonly largest: number; readonly persona: string; readonly stimulus: string; readonly step: string };
}

/** Beyond this relative difference of a mean rate the factor form is refused. */
export const FACTOR_DIFFERENCE_MAX = 0.01;

const Q14 = 16_384;
/** Standard deviation of a uniform int8. */
const FACTOR_SD = Math.sqrt((2 ** 16 - 1) / 12);
/** A logit of Q14 per unit of weight and factor is 1/32. */
const WEIGHT_UNIT = 32;
const WEIGHT_MAX = 32_767;
/** Crowds, spread over the worlds, by which biases are moved, and as many others among which differences are looked for. */
const CROWDS = 64;
/** Worlds the principal components are taken over. */
const DIRECTION_WORLDS = 8;
/** Columns (stimulus, step) of the principal components: an eigenproblem of a few dozen. */
const COLUMNS_MAX = 64;

/** The factor form with K factors (4, 8, 12 or 16) and its distance from the coded plan. Deterministic; about 0.1 s for 200 worlds and 12 personas. */
export function factorForm(coded: Plan, factors: number): FactorForm {
  const { worlds, personas, stimuli, steps } = coded;
  if (coded.factors !== 0 || coded.arithmeticProfile !== "nest8-2") throw new PopulaceError("INTERNAL", "the factor form is made of a coded plan of profile nest8-2", {});
  const columns = stimuli.length * steps.length;
  const factorWeights = new Int16Array(worlds * personas.length * columns * factors);
  const bias = new Int32Array(coded.bias.length);
  const shown = shownStimuli(coded);
  const before = openPeople(coded);
  personas.forEach((_, p) => {
    takeCrowd(before, coded, p, 0);
    const scores = principalScores(averageLogits(coded, before), columns, factors);
    for (let world = 0; world < worlds; world += 1) {
      const logits = before.logits(world);
      for (let column = 0; column < columns; column += 1) {
        const { mean, loadings } = regress(logits, column, scores, factors);
        const at = (world * personas.length + p) * columns + column;
        let shift = 0;
        for (let k = 0; k < factors; k += 1) {
          const weight = clampWeight((loadings[k] * WEIGHT_UNIT) / FACTOR_SD);
          factorWeights[at * factors + k] = weight;
          // The factors' mean is -1/2, not 0.
          shift += weight / 2 / WEIGHT_UNIT;
        }
        bias[at] = Math.round(coded.bias[at] + mean + shift);
      }
    }
  });
  const plan: Plan = {
    ...coded, factors, slots: 0, slotKind: new Uint8Array(0), tableOffset: new Int16Array(0), tableLength: 0, weights: new Int16Array(0), tables: new Int32Array(0),
    factorWeights, bias, drawBits: new Uint8Array(worlds * personas.length), leaveBits: new Uint8Array(worlds * personas.length),
    personas: personas.map((persona) => ({ ...persona, traits: [], copula: new Int16Array(0) })),
  };
  const after = openPeople(plan);
  personas.forEach((_, p) => moveBiases(coded, plan, before, after, p, shown[p]));
  return { plan, difference: largestDifference(coded, plan, before, after, shown) };
}

/** Mean over some worlds of the logits of the people taken: columns x people. */
function averageLogits(plan: Plan, people: People): Float64Array {
  const sum = new Float64Array(plan.stimuli.length * plan.steps.length * CROWD);
  const taken = Math.min(plan.worlds, DIRECTION_WORLDS);
  for (let n = 0; n < taken; n += 1) people.logits(Math.floor(((n + 0.5) * plan.worlds) / taken)).forEach((x, at) => { sum[at] += x; });
  return sum;
}

/** Standardized scores (K x people) on the leading principal components of the logits; zeros where there are fewer. */
function principalScores(logits: Float64Array, columns: number, factors: number): Float64Array {
  const centered = logits.slice();
  const variance = Float64Array.from({ length: columns }, (_, column) => {
    const row = centered.subarray(column * CROWD, (column + 1) * CROWD);
    const mean = row.reduce((sum, x) => sum + x, 0) / CROWD;
    row.forEach((x, i) => { row[i] = x - mean; });
    return row.reduce((sum, x) => sum + x * x, 0) / CROWD;
  });
  const used = Array.from(variance.keys()).toSorted((a, b) => variance[b] - variance[a] || a - b).slice(0, COLUMNS_MAX);
  const n = used.length;
  const covariance = new Float64Array(n * n);
  for (let a = 0; a < n; a += 1) {
    for (let b = 0; b <= a; b += 1) {
      let sum = 0;
      for (let i = 0; i < CROWD; i += 1) sum += centered[used[a] * CROWD + i] * centered[used[b] * CROWD + i];
      covariance[a * n + b] = sum / CROWD;
      covariance[b * n + a] = sum / CROWD;
    }
  }
  const { values, vectors } = symmetricEigen(covariance, n);
  const order = Array.from(values.keys()).toSorted((a, b) => values[b] - values[a] || a - b);
  const scores = new Float64Array(factors * CROWD);
  for (let k = 0; k < Math.min(factors, n); k += 1) {
    const value = values[order[k]];
    if (!(value > 1e-9 * values[order[0]])) break;
    for (let a = 0; a < n; a += 1) {
      const part = vectors[a * n + order[k]] / Math.sqrt(value);
      for (let i = 0; i < CROWD; i += 1) scores[k * CROWD + i] += centered[used[a] * CROWD + i] * part;
    }
  }
  return scores;
}

/** Mean of a column and its loadings on the scores, stretched so that they carry its whole variance. */
function regress(logits: Int32Array, column: number, scores: Float64Array, factors: number): { readonly mean: number; readonly loadings: Float64Array } {
  const loadings = new Float64Array(factors);
  let sum = 0;
  let square = 0;
  for (let i = 0; i < CROWD; i += 1) {
    const x = logits[column * CROWD + i];
    sum += x;
    square += x * x;
  }
  const mean = sum / CROWD, variance = Math.max(0, square / CROWD - mean * mean);
  let carried = 0;
  for (let k = 0; k < factors; k += 1) {
    let product = 0;
    for (let i = 0; i < CROWD; i += 1) product += logits[column * CROWD + i] * scores[k * CROWD + i];
    loadings[k] = product / CROWD;
    carried += loadings[k] ** 2;
  }
  // A column that the components hardly know is put on the first of them.
  if (carried <= variance * 0.01) {
    loadings.fill(0);
    loadings[0] = Math.sqrt(variance);
    return { mean, loadings };
  }
  const stretch = Math.sqrt(variance / carried);
  return { mean, loadings: loadings.map((loading) => loading * stretch) };
}

/**
 * Moves the biases of one persona so that its nested mean rates are the coded plan's. One move serves all worlds: it makes up for the shape of a
 * distribution, which the worlds share, and between worlds varies less than 256 people can tell (0.009 of a logit, nearly all of it their own
 * sampling error). Changes `plan.bias`.
 */
function moveBiases(coded: Plan, plan: Plan, before: People, after: People, p: number, shown: readonly number[]): void {
  const { worlds, personas, stimuli, steps } = plan;
  const columns = stimuli.length * steps.length;
  const moves = new Float64Array(columns), sums = new Float64Array(columns);
  for (let crowd = 0; crowd < CROWDS; crowd += 1) {
    const world = worldOf(crowd, worlds), at = (world * personas.length + p) * columns;
    takeCrowd(before, coded, p, crowd + 1);
    takeCrowd(after, plan, p, crowd + 1);
    const wanted = before.logits(world), own = after.logits(world);
    for (const stimulus of shown) {
      const rows = { at, first: stimulus * steps.length, steps: steps.length };
      solveMoves({ ...rows, logits: own, bias: plan.bias }, nestedRates({ ...rows, logits: wanted, bias: coded.bias }), moves);
    }
    // The last crowd's moves are nearly the next one's.
    moves.forEach((move, column) => { sums[column] += move; });
  }
  for (let world = 0; world < worlds; world += 1) {
    for (let column = 0; column < columns; column += 1) plan.bias[(world * personas.length + p) * columns + column] += Math.round((sums[column] / CROWDS) * Q14);
  }
}

const worldOf = (crowd: number, worlds: number): number => Math.floor(((crowd + 0.5) * worlds) / CROWDS);

/** The check of the 1 % rule, on other people than those the biases were moved by. */
function largestDifference(coded: Plan, plan: Plan, before: People, after: People, shown: readonly (readonly number[])[]): FactorForm["difference"] {
  const { worlds, personas, stimuli, steps } = plan;
  const columns = stimuli.length * steps.length;
  const rates = (of: Plan, people: People, p: number): Float64Array => {
    const sums = new Float64Array(columns);
    for (let crowd = 0; crowd < CROWDS; crowd += 1) {
      const world = worldOf(crowd, worlds);
      takeCrowd(people, of, p, CROWDS + 1 + crowd);
      const rows = { logits: people.logits(world), bias: of.bias, at: (world * personas.length + p) * columns, steps: steps.length };
      for (const stimulus of shown[p]) nestedRates({ ...rows, first: stimulus * steps.length }).forEach((rate, step) => { sums[stimulus * steps.length + step] += rate; });
    }
    return sums;
  };
  let difference = { largest: 0, persona: "", stimulus: "", step: "" };
  personas.forEach((persona, p) => {
    const is = rates(coded, before, p), becomes = rates(plan, after, p);
    for (const stimulus of shown[p]) {
      steps.forEach((step, k) => {
        const column = stimulus * steps.length + k;
        const relative = is[column] > 0 ? Math.abs(becomes[column] / is[column] - 1) : 0;
        if (relative > difference.largest) difference = { largest: relative, persona: persona.id, stimulus: stimuli[stimulus].id, step };
      });
    }
  });
  return difference;
}

/** Stimuli that any scenario shows to each persona. */
function shownStimuli(plan: Plan): readonly (readonly number[])[] {
  return plan.personas.map((_, p) => {
    const seen = new Set<number>();
    for (const { schedule } of plan.scenarios) for (let at = p; at < schedule.length; at += plan.personas.length) if (schedule[at] >= 0) seen.add(schedule[at]);
    return [...seen].toSorted((a, b) => a - b);
  });
}

const clampWeight = (weight: number): number => Math.max(-WEIGHT_MAX, Math.min(WEIGHT_MAX, Math.round(weight)));
