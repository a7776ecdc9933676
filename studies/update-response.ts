import { PopulaceError, RandomStream, retention, updateLogistic } from "@populace/domain";
import type { StepModel } from "@populace/domain";
import { encodeDataset } from "./codings.ts";
import type { Dataset } from "./dataset.ts";
import { selectRows } from "./dataset.ts";
import { statedPriors } from "./fit.ts";
import { latestPeriod, periodLength, periodsOf } from "./forgetting.ts";
import type { Model, OpenUpdate } from "./model.ts";
import { RatePredictor } from "./predict.ts";
import { updateLeave } from "./leave-fit.ts";
import { likelihoodWeights, posteriorOf, stepDesign, stepModelOf } from "./response-fit.ts";
import type { ResponseRows } from "./response-fit.ts";
import { rowRates } from "./row-rates.ts";
import { logLossOf } from "./scores.ts";

/**
 * The model after rows from..to: every step's last posterior is the next prior (assumed density), `forgetting` of its precision being
 * kept. `shift` is what sampling by outcome adds to the first intercept. Deterministic in the seed.
 */
export function updatedModel(model: Model, rows: ResponseRows, from: number, to: number, options: { readonly seed: number; readonly forgetting: number; readonly shift?: number }): Model {
  const { response, mixture } = model;
  const intercept = response.terms.findIndex((term) => term.kind === "intercept");
  const stepModels = response.stepModels.map((stepModel, step): StepModel => {
    const shift = step === 0 ? options.shift ?? 0 : 0;
    const priors = statedPriors(model.schema, step, response, mixture, shift);
    const design = stepDesign(response, mixture, rows, step, priors, from, to);
    if (design.rows === 0) return stepModel;
    const posterior = updateLogistic(posteriorOf(stepModel, intercept, shift), design, { worlds: response.worlds, random: RandomStream.of(options.seed, `rolling ${step}`), forgetting: options.forgetting });
    const events = design.response.reduce((sum, y) => sum + y, 0);
    return stepModelOf(stepModel.step, response, posterior, priors, { rows: stepModel.rows + design.rows, events: stepModel.events + events }, shift);
  });
  const leave = updateLeave(response.leave, model.schema, response, mixture, rows, from, to, { worlds: response.worlds, random: RandomStream.of(options.seed, "rolling leave"), forgetting: options.forgetting });
  return { ...model, response: { ...response, stepModels, leave } };
}

/** How well each memory foretold the first step of rows it had not seen. */
export interface UpdateScore {
  /** Rows taken in at a time, more where responses are rare. */
  readonly every: number;
  /** Responses of the first step that were taken in, those of rows still open included; below `responsesMin` the update stays open. */
  readonly responses: number;
  readonly responsesMin: number;
  /** Half-life in the schema's unit of time (null forgets nothing) -> mean log loss of the rows before they were taken in. */
  readonly memories: readonly { readonly halfLife: number | null; readonly logLoss: number }[];
}

/** Rows taken in at a time; those of one stretch are predicted before any of them is learned. */
const ROWS_EVERY = 1_000;
/**
 * Responses of the first step that a stretch waits for: ten updates of 0 or 1 response each, every one from the Gaussian of the last, leave limits more
 * than 2 points off. An update that is smaller stays open, and the next one begins where it began, with the rows of both.
 */
const RESPONSES_EVERY = 10;
/** Half-lives tried by "auto", in days or thousands of rows. */
const HALF_LIVES = [7, 30, 90, 365] as const;
/** Rows that may wait; more are absorbed however few respond. */
const OPEN_MOST = 100_000;
/** Rows from which a persona's mean rate over its real rows is known. */
const PERSONA_ROWS_MIN = 200;

/**
 * The parts of a model that change when its response model absorbs the rows `taken`: in the order of their time, a thousand at a
 * time (more where responses are rare). A half-life keeps 2^(-time passed / half-life) of the posterior's precision between two stretches, what is forgotten falling
 * back to the prior; "auto" runs several side by side and takes the one that foretold best. Rows that hold fewer than ten responses or refusals are taken
 * in, but stay `open`: the next update takes them again from where they were first taken, with its own rows, so that many small updates one after the
 * other are one large one. Throws BAD_MODEL for a belief.
 */
export function updateResponse(model: Model, outcomes: Dataset, taken: readonly number[], persona: Int32Array, options: { readonly halfLife: number | "auto" | null; readonly seed: number }): {
  readonly parts: Pick<Model, "response" | "rowRates" | "open">; readonly halfLife: number | null; readonly latest: number | null; readonly score: UpdateScore;
} {
  if (model.evidence === "prior only") {
    throw new PopulaceError("BAD_MODEL", `${model.name}: a model that was stated and not fitted has no posterior to update; learn with cells, or fit it to the outcomes with \`populace fit\``, { model: model.name });
  }
  const { time } = outcomes;
  const ordered = time === null ? taken : taken.toSorted((a, b) => (Number.isNaN(time[a]) ? Infinity : time[a]) - (Number.isNaN(time[b]) ? Infinity : time[b]) || a - b);
  const data = selectRows(outcomes, ordered);
  const stimulusOf = data.schema.stimulus.stimuli.map((stimulus) => model.response.stimuli.findIndex((known) => known.id === stimulus.id));
  const fresh: ResponseRows = {
    codes: encodeDataset(data, model.mixture.codings).codes, persona: Int32Array.from(ordered, (row) => persona[row] ?? 0), stimulus: data.stimulus.map((index) => stimulusOf[index]),
    outcomes: data.outcomes, steps: data.schema.funnel.length, weight: likelihoodWeights(data), ...(data.left === null ? {} : { left: data.left }),
  };
  const unit = model.schema.time?.format === "index" ? 1000 : 1;
  const tried = options.halfLife === "auto" ? [...HALF_LIVES.map((each) => each * unit), null] : [options.halfLife];
  const freshPeriods = periodsOf(data), { open } = model, waiting = open?.persona.length ?? 0, count = waiting + data.rows;
  const rows = open === undefined ? fresh : together(open, fresh), periods = open === undefined ? freshPeriods : joinedPeriods(open.periods, freshPeriods);
  const base: Model = open === undefined ? model : { ...model, response: open.response }, baseLatest = open === undefined ? model.fit.latest : open.latest;
  const stretches = stretchesOf(rows, count), responses = responsesOf(rows, count), isOpen = stretches.length === 1 && Math.min(responses, count - responses) < RESPONSES_EVERY && count <= OPEN_MOST;
  const memories = tried.map((halfLife) => {
    let now = base;
    let at = baseLatest;
    let loss = 0;
    for (const [stretch, { from, to }] of stretches.entries()) {
      // What was open is known to the model as it stands; only what is new is foretold.
      loss += lossOf(stretch === 0 ? model : now, rows, Math.max(from, waiting), to);
      const latest = periods === null ? null : periods.subarray(from, to).reduce((top, each) => Math.max(top, each), periods[from]);
      const passed = at === null || latest === null ? 0 : (latest - at) * periodLength(model.schema);
      now = updatedModel(now, rows, from, to, { seed: options.seed + stretch, forgetting: halfLife === null ? 1 : retention(passed, halfLife) });
      at = latest === null ? at : Math.max(at ?? latest, latest);
    }
    return { halfLife, model: now, logLoss: loss / data.rows };
  });
  const best = memories.reduce((top, each) => (each.logLoss < top.logLoss ? each : top));
  const { response } = best.model;
  // Rates of a persona's real rows hold for the coefficients they were made with: they are made anew where these rows can, and left out elsewhere.
  const counts = new Int32Array(model.mixture.personas.length);
  for (const index of rows.persona) counts[index] += 1;
  const renewed = Object.entries(rowRates({ mixture: model.mixture, response }, rows.codes, rows.persona, null)).filter(([id]) => counts[model.mixture.personas.findIndex((each) => each.id === id)] >= PERSONA_ROWS_MIN);
  const latest = latestPeriod(data);
  return {
    parts: { response, rowRates: Object.fromEntries(renewed), ...(isOpen ? { open: openUpdate(base.response, baseLatest, rows, periods) } : {}) }, halfLife: best.halfLife, latest: latest === null ? model.fit.latest : Math.max(latest, model.fit.latest ?? latest),
    score: { every: ROWS_EVERY, responses, responsesMin: RESPONSES_EVERY, memories: memories.map(({ halfLife, logLoss }) => ({ halfLife, logLoss })) },
  };
}

/** Open rows, then new ones. */
function together(open: OpenUpdate, fresh: ResponseRows): ResponseRows {
  const before = open.persona.length, all = before + fresh.persona.length;
  const weights = open.weight === null && fresh.weight === null ? null : Float64Array.from({ length: all }, (_, row) => (row < before ? open.weight?.[row] : fresh.weight?.[row - before]) ?? 1);
  return {
    codes: concat(open.codes, fresh.codes), persona: concat(open.persona, fresh.persona), stimulus: concat(open.stimulus, fresh.stimulus),
    outcomes: concat(open.outcomes, fresh.outcomes), steps: fresh.steps, weight: weights, ...(open.left === null || fresh.left === undefined ? {} : { left: concat(open.left, fresh.left) }),
  };
}

function concat<T extends Int16Array | Int32Array | Uint8Array>(a: T, b: T): T {
  const both = new (a.constructor as new (length: number) => T)(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const joinedPeriods = (a: Int32Array | null, b: Int32Array | null): Int32Array | null => (a === null || b === null ? null : concat(a, b));

const openUpdate = (response: Model["response"], latest: number | null, { codes, persona, stimulus, outcomes, weight, left }: ResponseRows, periods: Int32Array | null): OpenUpdate =>
  ({ response, latest, codes, persona, stimulus, outcomes, weight, left: left ?? null, periods });

function responsesOf(rows: ResponseRows, count: number): number {
  let sum = 0;
  for (let row = 0; row < count; row += 1) sum += rows.outcomes[row * rows.steps];
  return sum;
}

/** Stretches of a thousand rows that hold ten responses and ten refusals each, longer where these are rare; what is left over joins the last one. */
export function stretchesOf(rows: Pick<ResponseRows, "outcomes" | "steps">, count: number): readonly { readonly from: number; readonly to: number }[] {
  const ends: number[] = [];
  let from = 0, responses = 0;
  for (let row = 0; row < count; row += 1) {
    responses += rows.outcomes[row * rows.steps];
    const length = row + 1 - from;
    if (length < ROWS_EVERY || Math.min(responses, length - responses) < RESPONSES_EVERY) continue;
    ends.push(row + 1);
    from = row + 1;
    responses = 0;
  }
  if (from < count && (ends.length === 0 || Math.min(responses, count - from - responses) >= RESPONSES_EVERY)) ends.push(count);
  return ends.map((end, i) => ({ from: i === 0 ? 0 : ends[i - 1], to: i === ends.length - 1 ? count : end }));
}

/** Sum of log losses of the first step over rows from..to. */
function lossOf(model: Model, rows: ResponseRows, from: number, to: number): number {
  const { worlds } = model.response, width = model.mixture.codings.length;
  const predictors = model.response.stimuli.map((stimulus) => new RatePredictor(model, stimulus));
  let loss = 0;
  for (let row = from; row < to; row += 1) {
    const logits = predictors[rows.stimulus[row]].logits(rows.codes, row * width, rows.persona[row], 0);
    let sum = 0;
    for (let world = 0; world < worlds; world += 1) sum += 1 / (1 + Math.exp(-logits[world]));
    loss += logLossOf(sum / worlds, rows.outcomes[row * rows.steps]);
  }
  return loss;
}
