import { BINARY_CODE, CODES_PER_UNIT, MISSING, foldStep, missingFill } from "@populace/domain";
import type { TraitCoding } from "@populace/domain";
import type { Model } from "./model.ts";

/** Row evaluations (worlds x rows x stimuli x steps) this may cost: a few seconds. */
const EVALUATIONS_MAX = 20_000_000;
/** Rows of a persona whose mean rate is known well enough. */
const ROWS_MAX = 4_000;

/**
 * The expected rate per exposure of each persona's real rows, under every stimulus and world: by persona id, (worlds + 1) x
 * stimuli x steps, the last world at the posterior means. Agents are drawn from a persona's marginals and a Gaussian copula,
 * which cannot hold every dependence between attributes (a month and its interest rate); the plan moves their rates onto these,
 * so that a simulation is as calibrated as the fit. Missing attributes count with their persona's mean. `weight` makes the rows
 * stand for the population, null = alike.
 */
export function rowRates(model: Pick<Model, "mixture" | "response">, codes: Int16Array, persona: Int32Array, weight: Float64Array | null): Readonly<Record<string, Float64Array>> {
  const { mixture, response } = model;
  const [stimuli, steps, traits, worlds] = [response.stimuli.length, response.stepModels.length, mixture.codings.length, response.worlds];
  const rowsMax = Math.max(200, Math.min(ROWS_MAX, Math.floor(EVALUATIONS_MAX / (worlds * stimuli * steps * mixture.personas.length))));
  const rowsOf: number[][] = mixture.personas.map(() => []);
  persona.forEach((index, row) => rowsOf[index].push(row));
  const used = rowsOf.map((rows) => (rows.length <= rowsMax ? rows : Array.from({ length: rowsMax }, (_, at) => rows[Math.floor((at * rows.length) / rowsMax)])));
  const fill = missingFill(mixture);
  const fills = mixture.personas.map((_, index) => mixture.codings.map((_coding, t) => fill(index, t)));
  const rates = mixture.personas.map(() => new Float64Array((worlds + 1) * stimuli * steps));
  for (let world = 0; world <= worlds; world += 1) {
    for (let stimulus = 0; stimulus < stimuli; stimulus += 1) {
      const folds = response.stepModels.map((step, k) => {
        const p = response.terms.length;
        return foldStep(response, mixture.codings, k, stimulus, world === worlds ? step.mean : step.draws.subarray(world * p, (world + 1) * p));
      });
      const effects = folds.map((fold) => mixture.codings.map((coding, t) => effectByCode(coding, fold.slotWeight[t], fold.levelTable[t])));
      used.forEach((rows, index) => {
        const missing = folds.map((fold) => fills[index].map((value, t) => (typeof value === "number" ? value * fold.slotWeight[t] : value.reduce((sum, share, level) => sum + share * fold.levelTable[t][level], 0))));
        const sums = new Float64Array(steps);
        let total = 0;
        for (const row of rows) {
          const w = weight === null ? 1 : weight[row];
          total += w;
          let reached = w;
          for (let k = 0; k < steps; k += 1) {
            let x = folds[k].personaBias[folds[k].personaBias.length === 1 ? 0 : index];
            for (let t = 0; t < traits; t += 1) {
              const code = codes[row * traits + t];
              x += code === MISSING ? missing[k][t] : effects[k][t][code + (mixture.codings[t].kind === "categorical" ? 0 : 128)];
            }
            reached /= 1 + Math.exp(-x);
            sums[k] += reached;
          }
        }
        if (total > 0) sums.forEach((sum, k) => { rates[index][(world * stimuli + stimulus) * steps + k] = sum / total; });
      });
    }
  }
  return Object.fromEntries(mixture.personas.flatMap((each, index) => (used[index].length === 0 ? [] : [[each.id as string, rates[index]]])));
}

function effectByCode(coding: TraitCoding, weight: number, levels: Float64Array): Float64Array {
  if (coding.kind === "categorical") return levels;
  const perCode = weight / (coding.kind === "binary" ? BINARY_CODE : CODES_PER_UNIT);
  return Float64Array.from({ length: 256 }, (_, at) => (at - 128) * perCode);
}
