// The bank calls through the downturn of 2008: every thousand calls predicted before they are seen, by posteriors that are updated, fitted
// anew, or forget. The comparisons are those of the project's table of numbers to beat; the data stay outside the repository.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RatePredictor, backtest, encodeDataset, fitModel, fitSteps, logLossOf, parseSchema, readDataset, selectRows, statedPriors, updatedModel } from "@populace/studies";
import type { Dataset, Model, ResponseRows } from "@populace/studies";
import { assignRows } from "@populace/domain";
import { ROOT } from "../helpers/data.ts";

const EVERY = 1_000;
/** Indices of the economy: the same for everybody who is called on a day. */
const MACRO = ["emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"] as const;

export interface BankOptions {
  readonly worlds: number;
  /** Calls judged, in thousands; all by default. */
  readonly stretches?: number;
  readonly personas?: number | "auto";
}

/** A difference of mean log losses with its standard error over stretches of a thousand calls, which share their moment. */
export interface PairedDifference { readonly difference: number; readonly se: number }

export interface BankResult {
  readonly calls: number;
  /** Mean log losses: fitted once; updated; fitted anew on the same rows, prior and personas; updated with forgetting. */
  readonly once: number;
  readonly updated: number;
  readonly refitted: number;
  readonly forgetting: number;
  readonly updateSeconds: number;
  readonly refitSeconds: number;
  readonly updatedLessOnce: PairedDifference;
  readonly updatedLessRefitted: PairedDifference;
  readonly forgettingLessUpdated: PairedDifference;
}

/** The dataset read without the indices of the economy. */
export async function withoutMacro(path: string): Promise<Dataset> {
  const text = readFileSync(join(ROOT, "cli", "examples", "bank.yaml"), "utf8").split("\n").filter((line) => !MACRO.some((name) => line.trimStart().startsWith(`${name}:`))).join("\n");
  return readDataset(parseSchema(text, "bank-without-macro.yaml"), path);
}

interface Course { readonly model: Model; readonly rows: ResponseRows; readonly from: number; readonly losses: Float64Array }

/** A fit on the first 70 % of the calls, and all calls as its response model sees them. */
function begin(data: Dataset, { worlds, stretches, personas = "auto" }: BankOptions): Course {
  const from = Math.round(0.7 * data.rows);
  const fit = selectRows(data, Int32Array.from({ length: from }, (_, row) => row));
  const model = fitModel(fit.schema, fit, { worlds, personas });
  const { codes } = encodeDataset(data, model.mixture.codings);
  const rows: ResponseRows = { codes, persona: assignRows(model.mixture, codes), stimulus: data.stimulus, outcomes: data.outcomes, steps: 1, weight: null };
  const end = stretches === undefined ? data.rows : Math.min(data.rows, from + stretches * EVERY);
  return { model, rows, from, losses: new Float64Array(end - from) };
}

/** Log loss of every call, each stretch predicted by what `next` made of those before it; seconds of this thread's processor that took, which neighbors do not lengthen. */
function follow(course: Course, next: (model: Model, from: number, to: number) => Model): { readonly losses: Float64Array; readonly seconds: number } {
  const { rows, from, losses: { length } } = course;
  const losses = new Float64Array(length);
  const width = course.model.mixture.codings.length, { worlds } = course.model.response;
  let { model } = course;
  let spent = 0;
  for (let at = from; at < from + length; at += EVERY) {
    const to = Math.min(at + EVERY, from + length);
    const predictor = new RatePredictor(model, model.response.stimuli[0]!);
    for (let row = at; row < to; row++) {
      const logits = predictor.logits(rows.codes, row * width, rows.persona[row]!, 0);
      let sum = 0;
      for (let world = 0; world < worlds; world++) sum += 1 / (1 + Math.exp(-logits[world]!));
      losses[row - from] = logLossOf(sum / worlds, rows.outcomes[row]!);
    }
    if (to === from + length) break;
    const started = process.threadCpuUsage();
    model = next(model, at, to);
    const { user, system } = process.threadCpuUsage(started);
    spent += (user + system) / 1e6;
  }
  return { losses, seconds: spent };
}

/** Log losses of `populace backtest --rolling 1000`: several memories side by side, each weighing what it has foretold well. */
function forgettingLosses(data: Dataset, { model, from, losses: { length } }: Course): Float64Array {
  const folder = mkdtempSync(join(tmpdir(), "bank-"));
  try {
    const predictions = join(folder, "predictions.csv");
    const held = selectRows(data, Int32Array.from({ length }, (_, row) => from + row));
    backtest(model, held, { rolling: EVERY, predictions });
    const predicted = readFileSync(predictions, "utf8").trimEnd().split("\n").slice(1).map((line) => Number(line.split(",")[3]));
    return Float64Array.from(predicted, (rate, row) => logLossOf(rate, held.outcomes[row]!));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs the protocol. */
export function bankProtocol(data: Dataset, options: BankOptions): BankResult {
  const course = begin(data, options);
  const step = data.schema.funnel[0]!;
  const once = follow(course, (model) => model);
  const updated = follow(course, (model, from, to) => updatedModel(model, course.rows, from, to, { seed: from, forgetting: 1 }));
  const forgetting = forgettingLosses(data, course);
  const refitted = follow(course, (model, _from, to) => {
    const { response, mixture, schema } = model;
    const part: ResponseRows = { ...course.rows, persona: course.rows.persona.subarray(0, to) };
    const stepModels = fitSteps(response, mixture, part, [step], { worlds: options.worlds, seed: to, shift: 0, path: data.path, priors: () => statedPriors(schema, 0, response, mixture) });
    return { ...model, response: { ...response, stepModels } };
  });
  return {
    calls: course.losses.length, once: mean(once.losses), updated: mean(updated.losses), refitted: mean(refitted.losses), forgetting: mean(forgetting),
    updateSeconds: updated.seconds, refitSeconds: refitted.seconds,
    updatedLessOnce: paired(updated.losses, once.losses), updatedLessRefitted: paired(updated.losses, refitted.losses), forgettingLessUpdated: paired(forgetting, updated.losses),
  };
}

/** What the indices of the economy are worth: log loss with them less that without, on the same calls, updated every thousand. */
export function macroGain(data: Dataset, without: Dataset, options: BankOptions): PairedDifference & { readonly with: number; readonly without: number } {
  const [a, b] = [data, without].map((each) => forgettingLosses(each, begin(each, options)));
  return { ...paired(a!, b!), with: mean(a!), without: mean(b!) };
}

/** Mean of a - b, with the standard error of the stretches' means. */
function paired(a: Float64Array, b: Float64Array): PairedDifference {
  const stretches: number[] = [];
  for (let at = 0; at < a.length; at += EVERY) {
    const to = Math.min(a.length, at + EVERY);
    let sum = 0;
    for (let row = at; row < to; row++) sum += a[row]! - b[row]!;
    stretches.push(sum / (to - at));
  }
  const center = stretches.reduce((sum, each) => sum + each, 0) / stretches.length;
  const squares = stretches.reduce((sum, each) => sum + (each - center) ** 2, 0);
  return { difference: mean(a) - mean(b), se: Math.sqrt(squares / Math.max(1, stretches.length - 1) / stretches.length) };
}

const mean = (values: Float64Array): number => values.reduce((sum, each) => sum + each, 0) / values.length;
