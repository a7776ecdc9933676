import { BINARY_CODE, CODES_PER_UNIT, MISSING, foldStep, missingFill } from "@populace/domain";
import type { TraitCoding } from "@populace/domain";
import { rowRatesKernel } from "@populace/kernels";
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
  const places = mixture.codings.map((coding) => (coding.kind === "categorical" ? coding.levels.length : 256));
  const rowsAsPlaces = used.map((rows) => placesOf(mixture.codings, codes, rows));
  const weights = used.map((rows) => (weight === null ? null : Float64Array.from(rows, (row) => weight[row])));
  const totals = weights.map((own, index) => (own === null ? used[index].length : own.reduce((sum, w) => sum + w, 0)));
  // One trait without effect stands for none. The last place of each trait is a missing value.
  const session = rowRatesKernel.open({ worlds: worlds + 1, steps, places: traits === 0 ? [1] : places.map((count) => count + 1) });
  for (let stimulus = 0; stimulus < stimuli; stimulus += 1) {
    const folds = response.stepModels.map((step, k) => {
      const p = response.terms.length;
      return Array.from({ length: worlds + 1 }, (_, world) => foldStep(response, mixture.codings, k, stimulus, world === worlds ? step.mean : step.draws.subarray(world * p, (world + 1) * p)));
    });
    folds.forEach((worldFolds, k) => mixture.codings.forEach((coding, t) => {
      const lines = Array.from({ length: places[t] }, (_, place) => session.line(k, t, place));
      worldFolds.forEach((fold, world) => effectByCode(coding, fold.slotWeight[t], fold.levelTable[t]).forEach((effect, place) => { lines[place][world] = effect; }));
    }));
    used.forEach((_rows, index) => {
      if (!(totals[index] > 0)) return;
      folds.forEach((worldFolds, k) => {
        const bias = session.bias(k);
        worldFolds.forEach(({ personaBias }, world) => { bias[world] = personaBias[personaBias.length === 1 ? 0 : index]; });
        fills[index].forEach((value, t) => {
          const line = session.line(k, t, places[t]);
          worldFolds.forEach((fold, world) => { line[world] = typeof value === "number" ? value * fold.slotWeight[t] : value.reduce((sum, share, level) => sum + share * fold.levelTable[t][level], 0); });
        });
      });
      const sums = session.sum(rowsAsPlaces[index], weights[index]);
      for (let world = 0; world <= worlds; world += 1) for (let k = 0; k < steps; k += 1) rates[index][(world * stimuli + stimulus) * steps + k] = sums[k * (worlds + 1) + world] / totals[index];
    });
  }
  session.close();
  return Object.fromEntries(mixture.personas.flatMap((each, index) => (used[index].length === 0 ? [] : [[each.id as string, rates[index]]])));
}

/** Rows of codes as the kernel takes them: a categorical code as it is, others from 0, a missing value in the place after the last. */
function placesOf(codings: readonly TraitCoding[], codes: Int16Array, rows: readonly number[]): Int32Array {
  const traits = codings.length;
  if (traits === 0) return new Int32Array(rows.length);
  const places = new Int32Array(rows.length * traits);
  rows.forEach((row, at) => codings.forEach((coding, t) => {
    const code = codes[row * traits + t];
    const isCategorical = coding.kind === "categorical";
    places[at * traits + t] = code === MISSING ? (isCategorical ? coding.levels.length : 256) : code + (isCategorical ? 0 : 128);
  }));
  return places;
}

function effectByCode(coding: TraitCoding, weight: number, levels: Float64Array): Float64Array {
  if (coding.kind === "categorical") return levels;
  const perCode = weight / (coding.kind === "binary" ? BINARY_CODE : CODES_PER_UNIT);
  return Float64Array.from({ length: 256 }, (_, at) => (at - 128) * perCode);
}
