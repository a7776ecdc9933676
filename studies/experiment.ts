import { PopulaceError, normalCdf } from "@populace/domain";
import type { ArmSummary, ExperimentOptions, Look, SampleRatio } from "@populace/domain";
import type { Dataset } from "./dataset.ts";
import { didYouMean } from "./document.ts";

export interface ExperimentQuestion {
  /** Value or id of the stimulus the others are held against; default the one without contact, else the first. */
  readonly control?: string;
  /** Funnel step, or "value"; default the last step. */
  readonly metric?: string;
  /** Looks at equal numbers of rows, in the order of time; default 1. */
  readonly looks?: number;
  /** Columns of 0 and 1 that no treatment may raise; kept when the data were read. */
  readonly guardrails?: readonly { readonly column: string; readonly margin: number }[];
}

/** An experiment's looks as `analyzeExperiment` takes them, with what the data say about it. */
export interface ExperimentData {
  readonly looks: readonly Look[];
  readonly options: Pick<ExperimentOptions, "arms" | "control" | "kind" | "guardrails" | "recipients" | "ratio">;
  readonly metric: string;
  readonly notes: readonly string[];
}

/**
 * The looks of an experiment from its rows: arms are the stimuli, one row is one recipient. Data whose assignment is unknown are
 * observational; with logged propensities rows are weighted by them, and the sample-ratio check asks whether the weights of each arm average 1.
 *
 * NOT_FOUND for an arm, a metric or a guardrail that is not there; DEGENERATE_DATA with one arm only; BAD_SCHEMA for sampling weights.
 */
export function experimentData(dataset: Dataset, question: ExperimentQuestion = {}): ExperimentData {
  const { schema, rows, path, stimulus } = dataset;
  const stimuli = schema.stimulus.stimuli, arms = stimuli.map((each) => each.value);
  if (schema.sampling.kind !== "uniform") throw new PopulaceError("BAD_SCHEMA", `schema ${schema.name}: an experiment counts every recipient once; rows sampled by ${schema.sampling.kind} cannot be analyzed`, { sampling: schema.sampling.kind });
  if (arms.length < 2) throw new PopulaceError("DEGENERATE_DATA", `${path}: one stimulus only (${arms[0]}); an experiment compares at least two`, { arms });
  const control = question.control === undefined ? Math.max(0, stimuli.findIndex((each) => !each.contact)) : stimuli.findIndex((each) => each.value === question.control || each.id === question.control);
  if (control < 0) throw new PopulaceError("NOT_FOUND", `no arm is named "${question.control}"${didYouMean(question.control!, arms)}; arms: ${arms.join(", ")}`, { control: question.control, arms });
  const metric = metricOf(dataset, question.metric);
  const order = timeOrder(dataset);
  const cuts = Array.from({ length: question.looks ?? 1 }, (_, look) => Math.ceil((rows * (look + 1)) / (question.looks ?? 1)));
  const weight = dataset.propensity;
  const seen = (valueOf: (row: number) => number, isBinary: boolean): readonly Look[] => {
    const sums = arms.map(() => new ArmSums());
    let at = 0;
    return cuts.map((end) => {
      for (; at < end; at++) sums[stimulus[order[at]]].add(valueOf(order[at]), weight === null ? 1 : 1 / weight[order[at]]);
      return sums.map((sum) => sum.summary(isBinary && weight === null));
    });
  };
  const notes: string[] = [...dataset.notes];
  const people = new Set(dataset.recipients).size;
  if (schema.recipient !== null && people < rows) notes.push(`${rows} rows of ${people} recipients: rows of one recipient are alike, so the intervals are too short; give one row a recipient`);
  const empty = arms.filter((_, arm) => !stimulus.includes(arm));
  if (empty.length > 0) notes.push(`no row shows ${empty.join(", ")}`);
  const guardrails = (question.guardrails ?? []).map(({ column, margin }) => {
    const kept = dataset.kept[column];
    if (kept === undefined) throw new PopulaceError("NOT_FOUND", `${path}: no column "${column}" was read for the guardrail`, { column });
    const yes = kept.dictionary.map((text) => text === "1" || text.toLowerCase() === "true" || text.toLowerCase() === "yes");
    return { name: column, margin, looks: seen((row) => (yes[kept.codes[row]] ? 1 : 0), true) };
  });
  const recipients: number[][] = [];
  const soFar = arms.map(() => 0);
  let next = 0;
  for (const end of cuts) {
    for (; next < end; next++) soFar[stimulus[order[next]]]++;
    recipients.push([...soFar]);
  }
  return {
    looks: seen(metric.valueOf, metric.isBinary), metric: metric.name, notes,
    options: { arms, control, kind: schema.assignment.kind === "unknown" ? "observational" : "randomized", guardrails, recipients, ...(weight === null ? {} : { ratio: weightedRatio(stimulus, weight, arms.length) }) },
  };
}

function metricOf({ schema, outcomes, value }: Dataset, asked: string | undefined): { readonly name: string; readonly isBinary: boolean; readonly valueOf: (row: number) => number } {
  const steps = schema.funnel.map((step) => step.name), step = asked === undefined ? steps.length - 1 : steps.indexOf(asked);
  if (step >= 0) return { name: steps[step], isBinary: true, valueOf: (row) => outcomes[row * steps.length + step] };
  if (asked === "value" && value !== null) return { name: "value", isBinary: false, valueOf: (row) => (Number.isNaN(value[row]) ? 0 : value[row]) };
  const known = [...steps, ...(value === null ? [] : ["value"])];
  throw new PopulaceError("NOT_FOUND", `no metric is named "${asked}"${didYouMean(asked!, known)}; expected one of ${known.join(", ")}`, { metric: asked, known });
}

function timeOrder({ rows, time }: Dataset): Int32Array {
  const order = Int32Array.from({ length: rows }, (_, row) => row);
  if (time === null) return order;
  return order.sort((a, b) => (Number.isNaN(time[a]) ? Infinity : time[a]) - (Number.isNaN(time[b]) ? Infinity : time[b]) || a - b);
}

/** Weighted sums of one arm: its mean is sum w x / sum w, with the variance of that ratio. */
class ArmSums {
  #weight = 0;
  #weightSquares = 0;
  #sum = 0;
  #squares = 0;
  #cross = 0;

  add(value: number, weight: number): void {
    this.#weight += weight;
    this.#weightSquares += weight * weight;
    this.#sum += weight * value;
    this.#cross += weight * weight * value;
    this.#squares += weight * weight * value * value;
  }

  summary(isCount: boolean): ArmSummary {
    if (isCount) return { kind: "counts", exposures: this.#weight, responses: this.#sum };
    if (this.#weight === 0) return { kind: "amounts", count: 0, mean: 0, variance: 0 };
    const mean = this.#sum / this.#weight, count = (this.#weight * this.#weight) / this.#weightSquares;
    // Variance of the mean: sum w^2 (x - mean)^2 / (sum w)^2; one amount's is that times the effective number, less one for the mean.
    const ofMean = Math.max(0, this.#squares - 2 * mean * this.#cross + mean * mean * this.#weightSquares) / this.#weight ** 2;
    return { kind: "amounts", count, mean, variance: (ofMean * count * count) / Math.max(1, count - 1) };
  }
}

/** With propensities p of each row, the sum of 1 / p over an arm's rows is that of all rows, but for chance. */
function weightedRatio(stimulus: Int32Array, propensity: Float64Array, arms: number): SampleRatio {
  const sums = new Float64Array(arms), squares = new Float64Array(arms), rows = stimulus.length;
  for (let row = 0; row < rows; row++) {
    sums[stimulus[row]] += 1 / propensity[row];
    squares[stimulus[row]] += 1 / propensity[row] ** 2;
  }
  const z = Array.from(sums, (sum, arm) => {
    const se = Math.sqrt(Math.max(0, squares[arm] - (sum * sum) / rows));
    return se > 0 ? (sum - rows) / se : 0;
  });
  const largest = Math.max(...z.map(Math.abs)), pValue = Math.min(1, 2 * arms * normalCdf(-largest));
  return { counts: [...sums], expected: new Array<number>(arms).fill(rows), chiSquare: largest ** 2, pValue, evidence: 1, isMismatch: pValue < 0.001 };
}
