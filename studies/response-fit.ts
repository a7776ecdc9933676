import { PopulaceError, RandomStream, designRows, fitHierarchicalLogistic, missingFill, termPriors } from "@populace/domain";
import type { LogisticDesign, LogisticPosterior, PersonaMixture, ResponseLayout, StepModel, TermPriors } from "@populace/domain";
import type { Dataset } from "./dataset.ts";
import type { Schema } from "./schema.ts";

/** Rows of a dataset as the response model sees them. */
export interface ResponseRows {
  readonly codes: Int16Array;
  readonly persona: Int32Array;
  readonly stimulus: Int32Array;
  /** rows x steps. */
  readonly outcomes: Uint8Array;
  readonly steps: number;
  readonly weight: Float64Array | null;
  /** Whether the recipient left at this contact; absent where the data do not say. */
  readonly left?: Uint8Array;
}

/**
 * Sampling weights as the likelihood should feel them: their sum is the effective number of rows (Kish 1965), so that uneven
 * weights widen intervals instead of inventing rows. Null for uniform sampling.
 */
export const likelihoodWeights = (dataset: Dataset): Float64Array | null => (dataset.weight === null ? null : effectiveWeights(dataset.weight));

/** Weights whose sum is the effective number of rows. */
export function effectiveWeights(weights: Float64Array): Float64Array {
  let sum = 0, squares = 0;
  for (const weight of weights) { sum += weight; squares += weight * weight; }
  return weights.map((weight) => (weight * sum) / squares);
}

/** Weights that make the rows stand for the population, mean 1: the weight column, or the true base rate; null when uniform. */
export function populationWeights(dataset: Dataset): Float64Array | null {
  const { sampling } = dataset.schema;
  if (dataset.weight !== null) {
    const mean = dataset.weight.reduce((sum, weight) => sum + weight, 0) / dataset.rows;
    return dataset.weight.map((weight) => weight / mean);
  }
  if (sampling.kind !== "base-rate") return null;
  const steps = dataset.schema.funnel.length;
  const observed = shareOfFirstStep(dataset);
  if (observed <= 0 || observed >= 1) return null;
  const yes = sampling.rate / observed, no = (1 - sampling.rate) / (1 - observed);
  return Float64Array.from({ length: dataset.rows }, (_, row) => (dataset.outcomes[row * steps] === 1 ? yes : no));
}

function shareOfFirstStep(dataset: Dataset): number {
  const steps = dataset.schema.funnel.length;
  let events = 0;
  for (let row = 0; row < dataset.rows; row++) events += dataset.outcomes[row * steps];
  return events / dataset.rows;
}

/**
 * What drawing rows by their outcome added to the first step's intercept, logit units: a logistic model fitted to such rows is
 * right but for this constant (Prentice and Pyke 1979), which is taken off after the fit. 0 for other sampling.
 */
export function samplingShift(schema: Schema, dataset: Dataset): number {
  if (schema.sampling.kind !== "base-rate") return 0;
  const observed = shareOfFirstStep(dataset), { rate } = schema.sampling;
  return observed <= 0 || observed >= 1 ? 0 : Math.log((observed / (1 - observed)) * ((1 - rate) / rate));
}

/** The regression of one step over the given rows: those that reached the step before it. */
export const stepDesign = (layout: ResponseLayout, mixture: PersonaMixture, rows: ResponseRows, step: number, priors: TermPriors, from = 0, to = rows.persona.length): LogisticDesign =>
  designOf(layout, mixture, rows, priors, from, to, (row) => (step > 0 && rows.outcomes[row * rows.steps + step - 1] === 0 ? null : rows.outcomes[row * rows.steps + step]));

/** The regression of what came of the rows from..to: 0, 1, or null for a row that takes no part. */
export function designOf(layout: ResponseLayout, mixture: PersonaMixture, rows: ResponseRows, priors: TermPriors, from: number, to: number, outcomeOf: (row: number) => number | null): LogisticDesign {
  const traits = mixture.codings.length;
  const writer = designRows(layout, mixture.codings, missingFill(mixture));
  const starts: number[] = [0], response: number[] = [], weight: number[] = [];
  for (let row = from; row < to; row++) {
    const outcome = outcomeOf(row);
    if (outcome === null) continue;
    writer.designRow(rows.codes, row * traits, rows.persona[row], rows.stimulus[row]);
    starts.push(writer.column.length);
    response.push(outcome);
    if (rows.weight !== null) weight.push(rows.weight[row]);
  }
  return {
    rows: response.length,
    columns: layout.terms.length,
    rowStart: Int32Array.from(starts),
    column: Int32Array.from(writer.column),
    value: Float64Array.from(writer.value),
    response: Uint8Array.from(response),
    weight: rows.weight === null ? null : Float64Array.from(weight),
    ...priors,
  };
}

/** Whether a row is a contact after which the last step was not reached. */
export const couldLeave = ({ stimuli }: Pick<ResponseLayout, "stimuli">, { stimulus, outcomes, steps }: Pick<ResponseRows, "stimulus" | "outcomes" | "steps">, row: number): boolean =>
  stimuli[stimulus[row]].contact && outcomes[row * steps + steps - 1] === 0;

/** The step's model from its posterior; `shift` is taken off the intercept. */
export function stepModelOf(name: string, layout: ResponseLayout, posterior: LogisticPosterior, priors: TermPriors, counts: { readonly rows: number; readonly events: number }, shift: number): StepModel {
  const intercept = layout.terms.findIndex((term) => term.kind === "intercept");
  const columns = layout.terms.length;
  const mean = Float64Array.from(posterior.mean), draws = Float64Array.from(posterior.draws);
  mean[intercept] -= shift;
  for (let at = intercept; at < draws.length; at += columns) draws[at] -= shift;
  return {
    step: name,
    ...counts,
    mean,
    covarianceCholesky: posterior.covarianceCholesky,
    draws,
    scaleGroup: priors.scaleGroup,
    scaleDraws: posterior.scaleDraws,
    scaleGroups: posterior.scaleGroups,
    method: posterior.method,
  };
}

/** The posterior of a step's model, `shift` put back on its intercept, as an update takes it. */
export function posteriorOf(step: StepModel, intercept: number, shift: number): LogisticPosterior {
  const mean = Float64Array.from(step.mean);
  mean[intercept] += shift;
  const { covarianceCholesky, draws, scaleDraws, scaleGroups, method } = step;
  return { mean, covarianceCholesky, draws, scaleDraws, scaleGroups, method, logMarginal: NaN, diagnostics: { distinctRows: 0, newtonSteps: 0, converged: true, scaleEffectiveSize: 0, paretoK: NaN, correction: "none" } };
}

/** Fits every step. DEGENERATE_DATA, with the numbers, when a step has only one kind of outcome. */
export function fitSteps(
  layout: ResponseLayout,
  mixture: PersonaMixture,
  rows: ResponseRows,
  steps: readonly { readonly name: string; readonly column: string; readonly positive: string }[],
  options: { readonly worlds: number; readonly seed: number; readonly shift: number; readonly priors?: (step: number) => TermPriors; readonly onStep?: (step: number) => void; readonly path: string },
): readonly StepModel[] {
  return steps.map(({ name, column, positive }, step) => {
    const priors = options.priors?.(step) ?? termPriors(layout.terms, mixture.codings);
    const design = stepDesign(layout, mixture, rows, step, priors);
    const events = design.response.reduce((sum, y) => sum + y, 0);
    if (design.rows === 0 || events === 0 || events === design.rows) {
      const who = step === 0 ? "rows" : `rows that reached ${steps[step - 1].name}`;
      throw new PopulaceError("DEGENERATE_DATA", `${options.path}: step "${name}": ${events} of ${design.rows} ${who} have ${column} = ${positive}; a fit needs both outcomes (is \`positive\` right?)`, { step: name, rows: design.rows, events });
    }
    const posterior = fitHierarchicalLogistic(design, { worlds: options.worlds, random: RandomStream.of(options.seed, `step ${name}`) });
    options.onStep?.(step);
    return stepModelOf(name, layout, posterior, priors, { rows: design.rows, events }, step === 0 ? options.shift : 0);
  });
}
