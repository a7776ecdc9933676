import { PopulaceError } from "../error.ts";
import type { PersonaMixture } from "../persona/persona.ts";
import type { RateEstimate } from "../stimulus/response-model.ts";
import type { ValueEstimate } from "./expected-value.ts";

/** A stimulus as the decision sees it. */
export interface ScoredStimulus {
  readonly id: string;
  readonly name: string;
  readonly contact: boolean;
  readonly channel: string;
  /** Cost of one contact, minor currency units. */
  readonly contactCostMinor: number;
  /** What the offer costs the sender when it is taken, minor currency units. */
  readonly offerCostMinor: number;
}

/**
 * Everything a decision needs, immutable and named by its release: it is swapped whole, so one answer never mixes two
 * releases.
 */
export interface ScoreTable {
  /** Content address of the table. */
  readonly release: string;
  readonly model: string;
  /** Version of the model it was made from. */
  readonly version: number;
  /** "observational" when the stimuli were not assigned at random: shown with every answer. */
  readonly evidence: "randomized" | "logged" | "observational" | "prior only";
  readonly mixture: PersonaMixture;
  readonly stimuli: readonly ScoredStimulus[];
  /** Funnel steps in order. */
  readonly steps: readonly string[];
  /** personas x stimuli x steps: rate of reaching the step PER EXPOSURE (steps before it included). */
  readonly rates: readonly RateEstimate[];
  /** personas x stimuli: rate of leaving per contact, null where nobody is contacted; absent when nobody said how many leave. */
  readonly leaving?: readonly (RateEstimate | null)[];
  /** personas x stimuli: value of one response at the last step; null when no value model was fitted. */
  readonly values: readonly ValueEstimate[] | null;
  /** Economic value of a response at the last step where neither a campaign nor a value model states one. */
  readonly defaultValueMinor: number | null;
  readonly currency: string;
  /** Minor units of one major unit, 100 for cents. */
  readonly minorUnits: number;
}

/** Position of the stimulus in the table, or -1. */
export const stimulusIndex = (table: Pick<ScoreTable, "stimuli">, id: string): number => table.stimuli.findIndex((stimulus) => stimulus.id === id);

/**
 * Returns the response rate of a persona to a stimulus, per exposure, at a funnel step (default: the last), with its interval
 * and evidence. Persona and stimulus are indices into the table.
 *
 * Throws `NOT_FOUND` for an index or step outside the table.
 */
export function getResponseRate(table: ScoreTable, persona: number, stimulus: number, step: number = table.steps.length - 1): RateEstimate {
  const personas = table.mixture.personas.length;
  if (!inRange(persona, personas) || !inRange(stimulus, table.stimuli.length) || !inRange(step, table.steps.length)) {
    throw new PopulaceError("NOT_FOUND", `score table ${table.release}: no cell (persona ${persona}, stimulus ${stimulus}, step ${step}); it holds ${personas} x ${table.stimuli.length} x ${table.steps.length}`, { persona, stimulus, step });
  }
  return table.rates[(persona * table.stimuli.length + stimulus) * table.steps.length + step]!;
}

const inRange = (index: number, length: number): boolean => Number.isInteger(index) && index >= 0 && index < length;

/** Throws `BAD_MODEL` unless every cell is there and every rate, bound and value is a finite number in its range. */
export function checkScoreTable(table: ScoreTable): void {
  const personas = table.mixture.personas.length, stimuli = table.stimuli.length, steps = table.steps.length;
  const fail = (what: string): never => {
    throw new PopulaceError("BAD_MODEL", `score table ${table.release}: ${what}`, { release: table.release });
  };
  if (personas === 0 || stimuli === 0 || steps === 0) fail("needs at least one persona, one stimulus and one funnel step");
  if (table.rates.length !== personas * stimuli * steps) fail(`holds ${table.rates.length} rates, expected ${personas} personas x ${stimuli} stimuli x ${steps} steps`);
  if (table.leaving !== undefined && table.leaving.length !== personas * stimuli) fail(`holds ${table.leaving.length} rates of leaving, expected ${personas} personas x ${stimuli} stimuli`);
  [...table.rates, ...(table.leaving ?? []).filter((rate) => rate !== null)].forEach((rate, cell) => {
    const fine = [rate.mean, rate.low, rate.high].every((value) => value >= 0 && value <= 1) && rate.low <= rate.high && rate.ess >= 0;
    if (!fine) fail(`rate of cell ${cell} is ${rate.mean} [${rate.low}, ${rate.high}] with ess ${rate.ess}; expected 0 <= low <= high <= 1`);
  });
  if (table.values !== null && table.values.length !== personas * stimuli) fail(`holds ${table.values.length} values, expected ${personas} personas x ${stimuli} stimuli`);
  table.values?.forEach((value, cell) => {
    const fine = Number.isFinite(value.meanMinor) && Number.isFinite(value.highMinor) && value.lowMinor >= 0 && value.lowMinor <= value.highMinor;
    if (!fine) fail(`value of cell ${cell} is ${value.meanMinor} [${value.lowMinor}, ${value.highMinor}] minor units`);
  });
}
