import { PopulaceError, assignRows } from "@populace/domain";
import type { CellCounts } from "@populace/domain";
import { encodeDataset } from "./codings.ts";
import type { Dataset } from "./dataset.ts";
import type { Model } from "./model.ts";

/** Bytes of a row's hash in a dataset and in a model. */
const HASH_BYTES = 8;

export interface LearnResult {
  /** A new version, or the same model when nothing was taken. */
  readonly model: Model;
  /** Rows taken, and cells (persona x stimulus) they fell into. */
  readonly rows: number;
  readonly updated: readonly { readonly persona: string; readonly stimulus: string; readonly step: string; readonly exposures: number; readonly responses: number }[];
  readonly exchangeRate: Model["exchangeRate"];
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
 * The model after real outcomes: each row goes to its closest persona and adds to the integer counts of its (persona, stimulus,
 * step) cells, all per exposure. The logistic posterior stays as it is; `cellRates` joins both. Rows the model has already
 * counted are refused one by one, stimuli it does not know by name. Adding is exact: two files one after the other and both at
 * once give the same counts. Throws BAD_DATA for rows drawn by their outcome, whose counts hold no rate.
 */
export function learn(model: Model, outcomes: Dataset): LearnResult {
  const { sampling } = outcomes.schema;
  if (sampling.kind === "base-rate" || outcomes.weight?.some((weight) => weight !== outcomes.weight?.[0]) === true) {
    throw new PopulaceError("BAD_DATA", `${outcomes.path}: rows sampled unevenly (${sampling.kind}) cannot be counted as outcomes; learn from every exposure of a campaign, or refit with \`populace fit\``, { file: outcomes.path });
  }
  const steps = model.response.steps.map((step) => step.name);
  const offered = outcomes.schema.funnel.map((step) => step.name);
  if (steps.some((step, index) => offered[index] !== step)) {
    throw new PopulaceError("BAD_DATA", `${outcomes.path}: funnel ${offered.join(", ")}; expected the model's ${steps.join(", ")}`, { file: outcomes.path });
  }
  const stimuli = model.response.stimuli;
  const stimulusOf = outcomes.schema.stimulus.stimuli.map((stimulus) => stimuli.findIndex((known) => known.id === stimulus.id));
  const persona = assignRows(model.mixture, encodeDataset(outcomes, model.mixture.codings).codes);
  const seen = hashSet(model.fit.seen);
  const exposures = new Float64Array(model.mixture.personas.length * stimuli.length);
  const responses = new Float64Array(exposures.length * steps.length);
  const unknownStimuli: Record<string, number> = {};
  const taken: number[] = [];
  let seenRows = 0;
  for (let row = 0; row < outcomes.rows; row += 1) {
    const stimulus = stimulusOf[outcomes.stimulus[row]];
    if (stimulus < 0) {
      const name = outcomes.schema.stimulus.stimuli[outcomes.stimulus[row]].id;
      unknownStimuli[name] = (unknownStimuli[name] ?? 0) + 1;
      continue;
    }
    if (seen.has(hashAt(outcomes.hashes, row))) {
      seenRows += 1;
      continue;
    }
    taken.push(row);
    // Without attributes everyone is of the one persona there is.
    const cell = (persona[row] ?? 0) * stimuli.length + stimulus;
    exposures[cell] += 1;
    for (let step = 0; step < steps.length; step += 1) responses[cell * steps.length + step] += outcomes.outcomes[row * steps.length + step];
  }
  const rejected = { malformed: outcomes.rejectedCount, seen: seenRows, noConsent: outcomes.noConsent, unknownStimuli };
  if (taken.length === 0) return { model, rows: 0, updated: [], exchangeRate: model.exchangeRate, rejected };
  const counts = model.outcomes.map((cell, at): CellCounts => ({
    exposures: cell.exposures + exposures[Math.floor(at / steps.length)],
    responses: cell.responses + responses[at],
  }));
  const hashes = new Uint8Array(model.fit.seen.length + taken.length * HASH_BYTES);
  hashes.set(model.fit.seen);
  taken.forEach((row, index) => hashes.set(outcomes.hashes.subarray(row * HASH_BYTES, (row + 1) * HASH_BYTES), model.fit.seen.length + index * HASH_BYTES));
  const updated = counts.flatMap((_, at) => {
    const cell = Math.floor(at / steps.length);
    if (exposures[cell] === 0) return [];
    return [{ persona: model.mixture.personas[Math.floor(cell / stimuli.length)].id as string, stimulus: stimuli[cell % stimuli.length].id as string, step: steps[at % steps.length], exposures: exposures[cell], responses: responses[at] }];
  });
  return { model: { ...model, version: model.version + 1, outcomes: counts, fit: { ...model.fit, seen: hashes } }, rows: taken.length, updated, exchangeRate: model.exchangeRate, rejected };
}

function hashSet(hashes: Uint8Array): ReadonlySet<string> {
  const set = new Set<string>();
  for (let row = 0; row < hashes.length / HASH_BYTES; row += 1) set.add(hashAt(hashes, row));
  return set;
}

const hashAt = (hashes: Uint8Array, row: number): string => Buffer.from(hashes.buffer, hashes.byteOffset + row * HASH_BYTES, HASH_BYTES).toString("latin1");
