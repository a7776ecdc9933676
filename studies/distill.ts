import { basename } from "node:path";
import { PopulaceError, RandomStream, designRows, fitMixture, logistic, logit, missingFill, termPriors, updateLogistic } from "@populace/domain";
import type { LogisticDesign, LogisticPosterior, PersonaMixture, ResponseLayout, ResponseModel, StepModel, TermPriors } from "@populace/domain";
import { mixtureEngine } from "@populace/kernels";
import { codingsOf, encodeDataset } from "./codings.ts";
import type { Dataset } from "./dataset.ts";
import { UNLEARNED_EXCHANGE_RATE } from "./exchange.ts";
import { responseLayout } from "./fit.ts";
import { statedLeave } from "./leave-fit.ts";
import type { ImportedFrom, Model } from "./model.ts";
import { loadOnnx } from "./onnx.ts";
import type { OnnxMapping } from "./onnx.ts";
import { populationWeights } from "./response-fit.ts";
import { rowRates } from "./row-rates.ts";

export interface DistillOptions {
  readonly mapping?: OnnxMapping;
  readonly personas?: number | "auto";
  readonly worlds?: number;
  readonly seed?: number;
  /** Real observations that the foreign model rests on; its intervals are those of so many. Default `OBSERVATIONS_DEFAULT`. */
  readonly observations?: number;
  readonly onProgress?: (progress: { readonly stage: string; readonly share: number }) => void;
}

/** What an imported model is believed like when nobody says how many observations it was fitted on. */
export const OBSERVATIONS_DEFAULT = 1_000;
/** Rows that are scored, spread over the file: 20,000 know every coefficient to 1 % of its effect. */
const ROWS_MAX = 20_000;
/** Each fifth row judges the distillation and takes no part in it. */
const HELD_OUT = 5;
/** How much more than its prior the scores weigh while the coefficients are found: they are the model itself, not a sample. */
const SCORE_WEIGHT = 100;
const ROWS_MIN = 30;

/**
 * A model whose responses are those of a foreign one: personas are found in `dataset`, the ONNX model scores its rows with every stimulus, and
 * each step's response model is fitted to the scores, with the error on rows it did not see. What the foreign model knows is external evidence of unknown assignment: the
 * model is `observational`, and its intervals are those of `observations`. Deterministic for a seed.
 *
 * Errors as `loadOnnx`; DEGENERATE_DATA for fewer than 30 rows or scores that are all 0 or 1; BAD_SCHEMA without named stimuli.
 */
export async function distillOnnx(path: string, dataset: Dataset, options: DistillOptions = {}): Promise<{ readonly model: Model; readonly notes: readonly string[] }> {
  const { seed = 1, worlds = 200, personas = "auto", observations = OBSERVATIONS_DEFAULT } = options;
  const { schema } = dataset, steps = schema.funnel.map((step) => step.name), stimuli = schema.stimulus.stimuli;
  if (dataset.rows < ROWS_MIN) throw new PopulaceError("DEGENERATE_DATA", `${dataset.path}: ${dataset.rows} rows; personas need at least ${ROWS_MIN}`, { rows: dataset.rows });
  if (stimuli.length === 0) throw new PopulaceError("BAD_SCHEMA", `schema ${schema.name}: name the stimuli under \`stimulus.stimuli\`; the model is asked about each`, { schema: schema.name });
  const { codings, notes: codingNotes } = codingsOf(dataset);
  const onnx = await loadOnnx(path, dataset, codings, options.mapping);
  const { codes, missing, otherLevels } = encodeDataset(dataset, codings);
  const weight = populationWeights(dataset);
  const { mixture, assignment, candidates } = fitMixture({ codings, codes, weight }, { personas, random: RandomStream.of(seed, "personas"), engine: mixtureEngine, onProgress: (share) => options.onProgress?.({ stage: "personas", share }) });
  const persona = codings.length === 0 ? new Int32Array(dataset.rows) : assignment;

  const rows = Int32Array.from({ length: Math.min(dataset.rows, ROWS_MAX) }, (_, i) => Math.floor((i * dataset.rows) / Math.min(dataset.rows, ROWS_MAX)));
  const scores: Float64Array[] = [];
  for (const [s] of stimuli.entries()) {
    scores.push(await onnx.score(rows, s));
    options.onProgress?.({ stage: "scores", share: (s + 1) / stimuli.length });
  }
  await onnx.close();

  const layout = responseLayout(schema, codings, mixture), priors = termPriors(layout.terms, codings);
  const sample: Sample = { rows, scores, codes, persona, steps: steps.length };
  const stepModels = steps.map((name, step) => distilledStep(name, step, layout, mixture, sample, priors, { worlds, observations, random: RandomStream.of(seed, `distill ${name}`), path }));
  const errors = errorsOf(steps, stepModels, layout, mixture, sample);
  const response: ResponseModel = {
    steps: steps.map((name) => ({ name })), ...layout, stepModels,
    leave: statedLeave(schema, layout, worlds, RandomStream.of(seed, "leave")), worlds,
  };
  const imported: ImportedFrom = { file: basename(path), sha256: onnx.sha256, inputs: onnx.inputs, output: onnx.output, observations, rows: rows.length, errors };
  const model: Model = {
    formatVersion: 1, name: schema.name, version: 1, schema, mixture, response, responseVersion: 1, value: null,
    rowRates: rowRates({ mixture, response }, codes, persona, weight), evidence: "observational", imported,
    fit: {
      rows: dataset.rows, rejected: dataset.rejectedCount, missing, otherLevels, noConsent: dataset.noConsent, seen: new Uint8Array(0), absorbed: 0, latest: null,
      candidates: candidates.map(({ personas: count, bic, stability }) => ({ personas: count, bic, stability })), seed,
    },
    outcomes: Array.from({ length: mixture.personas.length * stimuli.length * steps.length }, () => ({ exposures: 0, responses: 0 })),
    periods: [], halfLife: null, landed: [], exchangeRate: UNLEARNED_EXCHANGE_RATE, calibration: null, shocks: [],
  };
  const bent = errors.filter(({ r2 }) => r2 < R2_LOW);
  return {
    model,
    notes: [
      ...dataset.notes, ...codingNotes,
      ...(options.observations === undefined ? [`nobody said how many observations the model was fitted on; its intervals are those of ${observations}`] : []),
      ...bent.map(({ step, r2 }) => `step "${step}": ${(100 * r2).toFixed(0)} % of the model's differences (logits) are kept; it bends in ways that main effects and their interactions with stimuli do not follow`),
    ],
  };
}

/** Share of a step's logit differences below which the reader is told. */
const R2_LOW = 0.8;

interface Sample {
  readonly rows: Int32Array;
  /** By stimulus: rows x steps, per exposure. */
  readonly scores: readonly Float64Array[];
  readonly codes: Int16Array;
  readonly persona: Int32Array;
  readonly steps: number;
}

/** The step's rate given the step before, and the probability of having reached that. */
function conditional({ scores, steps }: Sample, stimulus: number, i: number, step: number): { readonly reached: number; readonly rate: number } {
  const at = i * steps + step, reached = step === 0 ? 1 : scores[stimulus][at - 1];
  return { reached, rate: reached > 0 ? scores[stimulus][at] / reached : 0 };
}

/**
 * One step's coefficients: each scored pair of row and stimulus is a response with weight of its probability and one without; their mode by Newton's
 * method, their spread that of `observations` rows of the same kind.
 */
function distilledStep(
  name: string, step: number, layout: ResponseLayout, mixture: PersonaMixture, sample: Sample, priors: TermPriors,
  { worlds, observations, random, path }: { readonly worlds: number; readonly observations: number; readonly random: RandomStream; readonly path: string },
): StepModel {
  const writer = designRows(layout, mixture.codings, missingFill(mixture));
  const starts: number[] = [0], response: number[] = [], weight: number[] = [];
  let total = 0, events = 0, pairs = 0;
  sample.rows.forEach((row, i) => {
    if (i % HELD_OUT === HELD_OUT - 1) return;
    for (let s = 0; s < sample.scores.length; s++) {
      const { reached, rate } = conditional(sample, s, i, step);
      pairs++;
      if (reached <= 0) continue;
      for (const y of [1, 0]) {
        writer.designRow(sample.codes, row * mixture.codings.length, sample.persona[row], s);
        starts.push(writer.column.length);
        response.push(y);
        weight.push(reached * (y === 1 ? rate : 1 - rate));
      }
      total += reached;
      events += reached * rate;
    }
  });
  if (!(events > 1e-9 * total && events < (1 - 1e-9) * total)) {
    throw new PopulaceError("DEGENERATE_DATA", `${path}: step "${name}": the model says ${events <= 0.5 * total ? "0" : "1"} for everybody; nothing can be learned of it`, { step: name, events, total });
  }
  const design = (scale: number): LogisticDesign => ({
    rows: response.length, columns: layout.terms.length, rowStart: Int32Array.from(starts), column: Int32Array.from(writer.column), value: Float64Array.from(writer.value),
    response: Uint8Array.from(response), weight: Float64Array.from(weight, (each) => scale * each), ...priors,
  });
  const before = diagonalPrior(priors);
  const found = updateLogistic(before, design(SCORE_WEIGHT), { worlds: 0, random }).mean;
  const spread = updateLogistic(before, design(observations / pairs), { worlds, random });
  const columns = layout.terms.length;
  const draws = spread.draws.map((draw, at) => draw - spread.mean[at % columns] + found[at % columns]);
  const groups = priors.groups.map(({ name: group, priorMedian }) => ({ name: group, median: priorMedian, low: priorMedian, high: priorMedian }));
  return {
    step: name, rows: Math.round((observations * total) / pairs), events: Math.round((observations * events) / pairs), mean: found, covarianceCholesky: spread.covarianceCholesky, draws,
    scaleGroup: priors.scaleGroup, scaleDraws: Float64Array.from({ length: worlds * groups.length }, (_, at) => groups[at % groups.length].median), scaleGroups: groups, method: "laplace",
  };
}

/** The prior as a posterior that has seen nothing: its scales at their medians. */
function diagonalPrior({ groups, priorMean, priorSd, scaleGroup }: TermPriors): LogisticPosterior {
  const columns = priorMean.length, covarianceCholesky = new Float64Array((columns * (columns + 1)) / 2);
  for (let c = 0; c < columns; c++) covarianceCholesky[(c * (c + 1)) / 2 + c] = scaleGroup[c] < 0 ? priorSd[c] : groups[scaleGroup[c]].priorMedian;
  return {
    mean: priorMean, covarianceCholesky, draws: new Float64Array(), scaleDraws: Float64Array.from(groups, ({ priorMedian }) => priorMedian), method: "prior-only", logMarginal: 0,
    scaleGroups: groups.map(({ name, priorMedian }) => ({ name, median: priorMedian, low: priorMedian, high: priorMedian })),
    diagnostics: { distinctRows: 0, newtonSteps: 0, converged: true, scaleEffectiveSize: 1, paretoK: -Infinity, correction: "none" },
  };
}

/** Largest logit that counts in R2: a score of 0 has none. */
const LOGIT_MAX = 12;

/** Errors on the rows that took no part: of the probability per exposure, and of the logit given the step before. */
function errorsOf(steps: readonly string[], models: readonly StepModel[], layout: ResponseLayout, mixture: PersonaMixture, sample: Sample): ImportedFrom["errors"] {
  const writer = designRows(layout, mixture.codings, missingFill(mixture));
  const absolute: number[][] = steps.map(() => []), pairs: { readonly truth: number; readonly found: number }[][] = steps.map(() => []);
  sample.rows.forEach((row, i) => {
    if (i % HELD_OUT !== HELD_OUT - 1) return;
    for (let s = 0; s < sample.scores.length; s++) {
      writer.column.length = writer.value.length = 0;
      writer.designRow(sample.codes, row * mixture.codings.length, sample.persona[row], s);
      let rate = 1;
      models.forEach(({ mean }, step) => {
        let eta = 0;
        writer.column.forEach((column, at) => { eta += mean[column] * writer.value[at]; });
        rate *= logistic(eta);
        absolute[step].push(Math.abs(rate - sample.scores[s][i * sample.steps + step]));
        const truth = conditional(sample, s, i, step);
        if (truth.reached > 0) pairs[step].push({ truth: Math.min(LOGIT_MAX, Math.max(-LOGIT_MAX, logit(truth.rate))), found: Math.min(LOGIT_MAX, Math.max(-LOGIT_MAX, eta)) });
      });
    }
  });
  return steps.map((step, k) => {
    const sorted = absolute[k].toSorted((a, b) => a - b), mean = pairs[k].reduce((sum, { truth }) => sum + truth, 0) / pairs[k].length;
    const rest = pairs[k].reduce((sum, { truth, found }) => sum + (truth - found) ** 2, 0), all = pairs[k].reduce((sum, { truth }) => sum + (truth - mean) ** 2, 0);
    // A model that says the same of everybody has no differences to keep.
    return { step, mean: sorted.reduce((sum, each) => sum + each, 0) / sorted.length, p95: sorted[Math.floor(0.95 * (sorted.length - 1))], r2: all > 1e-12 * pairs[k].length ? 1 - rest / all : 1 };
  });
}
