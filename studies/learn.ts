import { PopulaceError, assignRows } from "@populace/domain";
import type { CellCounts, PitSummary } from "@populace/domain";
import { afterLanding } from "./calibration.ts";
import { encodeDataset } from "./codings.ts";
import type { Dataset } from "./dataset.ts";
import { exchangeRateOf, landedPit, markedMixture } from "./exchange.ts";
import { chosenHalfLife, mergePeriods, periodsOf } from "./forgetting.ts";
import { landedCells } from "./landed.ts";
import type { Model, PeriodCounts } from "./model.ts";
import { updateResponse } from "./update-response.ts";
import type { UpdateScore } from "./update-response.ts";

/** Bytes of a row's hash in a dataset and in a model. */
const HASH_BYTES = 8;

export interface LearnOptions {
  /**
   * "cells" (default) adds to integer counts, exact to the bit and taken out again as exactly; "logistic" moves the response model itself:
   * its last posterior is the prior of the new rows.
   */
  readonly update?: "cells" | "logistic";
  /** After this much of the schema's time a real outcome counts half; "auto" takes what foretold best; null forgets nothing; absent keeps the model's. */
  readonly halfLife?: number | "auto" | null;
  readonly seed?: number;
}

export interface LearnResult {
  /** A new version, or the same model when nothing was taken. */
  readonly model: Model;
  /** Rows taken, and cells (persona x stimulus) they fell into. */
  readonly rows: number;
  readonly updated: readonly { readonly persona: string; readonly stimulus: string; readonly step: string; readonly exposures: number; readonly responses: number }[];
  readonly exchangeRate: Model["exchangeRate"];
  /** Where each randomized outcome fell in its prediction, over all that have landed so far. */
  readonly pit: PitSummary;
  /** Predictions before seen of a logistic update, by half-life tried; null otherwise. */
  readonly score: UpdateScore | null;
  readonly rejected: {
    /** Malformed rows the reader left out. */
    readonly malformed: number;
    /** Rows that were in the fit or were learned before: counted once already. */
    readonly seen: number;
    /** Rows without consent. */
    readonly noConsent: number;
    /** Stimulus -> rows of stimuli the model does not know. */
    readonly unknownStimuli: Readonly<Record<string, number>>;
  };
}

/**
 * The model after real outcomes; rows it has already counted are refused one by one, stimuli it does not know by name.
 *
 * With `update: "cells"` each row goes to its closest persona and adds to the integer counts of its (persona, stimulus, step) cells,
 * all per exposure; the logistic posterior stays as it is and `cellRates` joins both. Two files one after the other and both at once
 * give the same counts. With `update: "logistic"` the response model absorbs the rows instead, and the cells keep what they had:
 * either way an outcome counts once. Randomized outcomes also land: set beside what was foretold, they teach the exchange rate, fill
 * the PIT histogram and demote personas whose intervals keep missing; observational ones never do.
 *
 * Throws BAD_USAGE for a half-life that is no number above 0; BAD_DATA for rows drawn by their outcome, whose counts hold no rate, and for a half-life without a time in the schema;
 * BAD_MODEL for a logistic update of a belief, which has no posterior yet.
 */
export function learn(model: Model, outcomes: Dataset, options: LearnOptions = {}): LearnResult {
  const { update = "cells", halfLife = model.halfLife } = options;
  if (typeof halfLife === "number" && !(halfLife > 0 && Number.isFinite(halfLife))) {
    throw new PopulaceError("BAD_USAGE", `a half-life of ${halfLife}: expected a number above 0 in the schema's unit of time, "auto", or null for none`, { halfLife });
  }
  if (halfLife !== null && outcomes.time === null) {
    throw new PopulaceError("BAD_DATA", `${outcomes.path}: a half-life needs to know when each outcome happened; name its column under \`time\` of the schema`, { file: outcomes.path });
  }
  const seen = hashSet(model.fit.seen);
  const tally = tallied(model, outcomes, (hash) => !seen.has(hash));
  const rejected = { malformed: outcomes.rejectedCount, seen: tally.left, noConsent: outcomes.noConsent, unknownStimuli: tally.unknownStimuli };
  const { taken } = tally;
  const landed = taken.length > 0 && outcomes.schema.assignment.kind === "randomized" ? landedCells(model, tally.exposures, tally.responses) : model.landed;
  const exchangeRate = landed === model.landed ? model.exchangeRate : exchangeRateOf(landed);
  const pit = landedPit({ landed });
  // An update that stayed open is closed by the next logistic one, which says itself whether it stays open, too.
  const { open, ...closed } = model;
  const common = { ...closed, version: model.version + 1, landed, exchangeRate, mixture: markedMixture(model.mixture, exchangeRate.demoted), calibration: afterLanding(model, landed) };
  if (update === "logistic" && taken.length > 0) {
    const moved = updateResponse(model, outcomes, taken, tally.persona, { halfLife, seed: options.seed ?? 1 });
    const hashes = joined(model.fit.seen.subarray(0, model.fit.absorbed * HASH_BYTES), hashesOf(outcomes, taken), model.fit.seen.subarray(model.fit.absorbed * HASH_BYTES));
    return {
      model: {
        ...common, ...moved.parts, responseVersion: common.version, halfLife: moved.halfLife,
        fit: { ...model.fit, seen: hashes, absorbed: model.fit.absorbed + taken.length, latest: moved.latest },
      },
      rows: taken.length, updated: tally.updated, exchangeRate, pit, score: moved.score, rejected,
    };
  }
  const periods = mergePeriods(model.periods, tally.periods);
  const chosen = halfLife === "auto" ? chosenHalfLife(periods, model.schema) : halfLife;
  if (taken.length === 0 && chosen === model.halfLife) return { model, rows: 0, updated: [], exchangeRate, pit, score: null, rejected };
  return {
    model: { ...common, ...(open === undefined ? {} : { open }), halfLife: chosen, outcomes: added(model.outcomes, tally, 1), periods, fit: { ...model.fit, seen: joined(model.fit.seen, hashesOf(outcomes, taken)) } },
    rows: taken.length, updated: tally.updated, exchangeRate, pit, score: null, rejected,
  };
}

export interface UnlearnResult {
  /** A new version: counts, landed cells and exchange rate are, to the bit, those of a model that never learned the rows taken out. */
  readonly model: Model;
  readonly rows: number;
  /** Rows that are in the response model itself: they stay until it is fitted again without them. */
  readonly pending: number;
  /** Rows the model has never counted. */
  readonly unknown: number;
}

/**
 * The model without the given rows, such as one subject's: what `learn` counted is subtracted, exactly. Rows inside the response
 * model are `pending`: an iterative fit is not subtracted from but run again. Throws INCOMPATIBLE when the personas have changed
 * since the rows were counted, so that they would be taken from another cell.
 */
export function unlearn(model: Model, outcomes: Dataset): UnlearnResult {
  const { seen, absorbed } = model.fit;
  const inFit = hashSet(seen.subarray(0, absorbed * HASH_BYTES));
  // Two alike rows may have been counted; a file with one of them takes one of them out.
  const counted = new Map<string, number>();
  for (let at = absorbed; at < seen.length / HASH_BYTES; at += 1) counted.set(hashAt(seen, at), (counted.get(hashAt(seen, at)) ?? 0) + 1);
  const gone = new Map<string, number>();
  const tally = tallied(model, outcomes, (hash) => {
    const already = gone.get(hash) ?? 0;
    if (already >= (counted.get(hash) ?? 0)) return false;
    gone.set(hash, already + 1);
    return true;
  });
  let pending = 0;
  for (let row = 0; row < outcomes.rows; row += 1) if (inFit.has(hashAt(outcomes.hashes, row))) pending += 1;
  const unknown = tally.left - pending;
  if (tally.taken.length === 0) return { model, rows: 0, pending, unknown };
  const counts = added(model.outcomes, tally, -1);
  if (counts.some((cell) => cell.exposures < 0 || cell.responses < 0 || cell.responses > cell.exposures)) {
    throw new PopulaceError("INCOMPATIBLE", `${outcomes.path}: these rows were counted under other personas than the model has now; fit the model again without them`, { file: outcomes.path });
  }
  const kept = Array.from({ length: seen.length / HASH_BYTES }, (_, at) => at).filter((at) => {
    const left = at < absorbed ? 0 : gone.get(hashAt(seen, at)) ?? 0;
    if (left > 0) gone.set(hashAt(seen, at), left - 1);
    return left === 0;
  });
  const landed = outcomes.schema.assignment.kind === "randomized" ? landedCells(model, tally.exposures, tally.responses, -1) : model.landed;
  const exchangeRate = exchangeRateOf(landed);
  return {
    model: {
      ...model, version: model.version + 1, landed, exchangeRate, mixture: markedMixture(model.mixture, exchangeRate.demoted), outcomes: counts, periods: mergePeriods(model.periods, tally.periods, -1),
      fit: { ...model.fit, seen: joined(...kept.map((at) => seen.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES))) },
    },
    rows: tally.taken.length, pending, unknown,
  };
}

interface Tally {
  /** Row numbers in the dataset. */
  readonly taken: readonly number[];
  /** Persona of every row. */
  readonly persona: Int32Array;
  /** personas x stimuli. */
  readonly exposures: Float64Array;
  /** personas x stimuli x steps. */
  readonly responses: Float64Array;
  readonly periods: readonly PeriodCounts[];
  readonly updated: LearnResult["updated"];
  /** Rows of known stimuli that were not taken. */
  readonly left: number;
  readonly unknownStimuli: Readonly<Record<string, number>>;
}

/** What the wanted rows add to each cell and period. A row that occurs twice in the file counts twice, as two people may be alike. */
function tallied(model: Model, outcomes: Dataset, isWanted: (hash: string) => boolean): Tally {
  const { sampling } = outcomes.schema;
  if (sampling.kind === "base-rate" || outcomes.weight?.some((weight) => weight !== outcomes.weight?.[0]) === true) {
    throw new PopulaceError("BAD_DATA", `${outcomes.path}: rows sampled unevenly (${sampling.kind}) cannot be counted as outcomes; learn from every exposure of a campaign, or refit with \`populace fit\``, { file: outcomes.path });
  }
  const steps = model.response.steps.map((step) => step.name);
  const offered = outcomes.schema.funnel.map((step) => step.name);
  if (steps.some((step, index) => offered[index] !== step)) {
    throw new PopulaceError("BAD_DATA", `${outcomes.path}: funnel ${offered.join(", ")}; expected the model's ${steps.join(", ")}`, { file: outcomes.path });
  }
  const { stimuli } = model.response;
  const stimulusOf = outcomes.schema.stimulus.stimuli.map((stimulus) => stimuli.findIndex((known) => known.id === stimulus.id));
  // Without attributes everyone is of the one persona there is.
  const persona = assignRows(model.mixture, encodeDataset(outcomes, model.mixture.codings).codes);
  const periodOf = periodsOf(outcomes);
  const exposures = new Float64Array(model.mixture.personas.length * stimuli.length);
  const responses = new Float64Array(exposures.length * steps.length);
  const periods = new Map<string, { period: number; cell: number; exposures: number; responses: number[] }>();
  const unknownStimuli: Record<string, number> = {};
  const taken: number[] = [];
  let left = 0;
  for (let row = 0; row < outcomes.rows; row += 1) {
    const stimulus = stimulusOf[outcomes.stimulus[row]];
    if (stimulus < 0) {
      const name = outcomes.schema.stimulus.stimuli[outcomes.stimulus[row]].id;
      unknownStimuli[name] = (unknownStimuli[name] ?? 0) + 1;
      continue;
    }
    if (!isWanted(hashAt(outcomes.hashes, row))) {
      left += 1;
      continue;
    }
    taken.push(row);
    const cell = (persona[row] ?? 0) * stimuli.length + stimulus;
    exposures[cell] += 1;
    for (let step = 0; step < steps.length; step += 1) responses[cell * steps.length + step] += outcomes.outcomes[row * steps.length + step];
    if (periodOf === null) continue;
    const key = `${periodOf[row]} ${cell}`;
    let entry = periods.get(key);
    if (entry === undefined) periods.set(key, (entry = { period: periodOf[row], cell, exposures: 0, responses: steps.map(() => 0) }));
    entry.exposures += 1;
    for (let step = 0; step < steps.length; step += 1) entry.responses[step] += outcomes.outcomes[row * steps.length + step];
  }
  const updated = model.outcomes.flatMap((_, at) => {
    const cell = Math.floor(at / steps.length);
    if (exposures[cell] === 0) return [];
    return [{ persona: model.mixture.personas[Math.floor(cell / stimuli.length)].id as string, stimulus: stimuli[cell % stimuli.length].id as string, step: steps[at % steps.length], exposures: exposures[cell], responses: responses[at] }];
  });
  return { taken, persona, exposures, responses, periods: [...periods.values()], updated, left, unknownStimuli };
}

const added = (counts: readonly CellCounts[], tally: Tally, sign: 1 | -1): readonly CellCounts[] => counts.map((cell, at): CellCounts => ({
  exposures: cell.exposures + sign * tally.exposures[Math.floor(at / (counts.length / tally.exposures.length))],
  responses: cell.responses + sign * tally.responses[at],
}));

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const hashesOf = (dataset: Dataset, rows: readonly number[]): Uint8Array => joined(...rows.map((row) => dataset.hashes.subarray(row * HASH_BYTES, (row + 1) * HASH_BYTES)));

function hashSet(hashes: Uint8Array): ReadonlySet<string> {
  const set = new Set<string>();
  for (let row = 0; row < hashes.length / HASH_BYTES; row += 1) set.add(hashAt(hashes, row));
  return set;
}

const hashAt = (hashes: Uint8Array, row: number): string => Buffer.from(hashes.buffer, hashes.byteOffset + row * HASH_BYTES, HASH_BYTES).toString("latin1");
