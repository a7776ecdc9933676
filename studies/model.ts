import type { Beta, PersonaMixture, ResponseModel, ValueModel, CellCounts } from "@populace/domain";
import type { ModelCalibration } from "./calibration.ts";
import type { Schema } from "./schema.ts";

/** Everything that was learned, in one file: JSON, typed arrays as base64, its own SHA-256 at the end. */
export interface Model {
  readonly formatVersion: 1;
  readonly name: string;
  /** Grows by one with every refit or learn; releases name it. */
  readonly version: number;
  readonly schema: Schema;
  readonly mixture: PersonaMixture;
  readonly response: ResponseModel;
  /** Version at which the response model was last fitted or updated. */
  readonly responseVersion: number;
  /** Rows of an update too small to be absorbed for good, and what it started from: the next update takes both together. Absent: none. */
  readonly open?: OpenUpdate;
  readonly value: ValueModel | null;
  /**
   * Expected rate per exposure of each persona's real rows, by persona id: (worlds + 1) x stimuli x steps, the last world at the
   * posterior means. Plans move their agents onto it; absent = the agents' own rates hold (studies/row-rates.ts).
   */
  readonly rowRates?: Readonly<Record<string, Float64Array>>;
  /** "observational" when the assignment is unknown: uplift and policy values carry the label and feed no exchange rate. */
  readonly evidence: "randomized" | "logged" | "observational" | "prior only";
  /** Where the responses came from when a foreign model was distilled; what it knew is external evidence. */
  readonly imported?: ImportedFrom;
  readonly fit: {
    readonly rows: number;
    readonly rejected: number;
    readonly missing: Readonly<Record<string, number>>;
    readonly otherLevels: Readonly<Record<string, number>>;
    readonly noConsent: number;
    /** SHA-256 prefixes (8 bytes, hex) of every data row used: backtest refuses them unless --allow-seen. */
    readonly seen: Uint8Array;
    /** How many of `seen`, from the first, are in the response model; the others are counted in `outcomes`. */
    readonly absorbed: number;
    /** Period of the latest row in the response model; null without a time. */
    readonly latest: number | null;
    readonly candidates: readonly { readonly personas: number; readonly bic: number; readonly stability: number }[];
    readonly seed: number;
  };
  /** Real outcomes later than the response model's version, cell by cell: personas x stimuli x steps. */
  readonly outcomes: readonly CellCounts[];
  /** How far the ledger of this fit's outcomes is in them: its run and its last tick. Absent: none of it is. */
  readonly ledger?: { readonly run: string; readonly tick: number };
  /** The same outcomes by period, where the schema has a time: what forgetting needs. Ordered by period and cell. */
  readonly periods: readonly PeriodCounts[];
  /** How fast real outcomes lose their weight, in the schema's unit of time; null = never. */
  readonly halfLife: number | null;
  /** Cells in which randomized outcomes have met a prediction: what the exchange rate is learned from. */
  readonly landed: readonly LandedCell[];
  readonly exchangeRate: ModelExchangeRate;
  /** What the model's predictions were last held against; null in models of old. A release asks for it. */
  readonly calibration: ModelCalibration | null;
  /** Shocks alive at the model's time: attitude offsets on the logit scale with half-lives. */
  readonly shocks: readonly ModelShock[];
}

/** The response model before some rows, their latest period then, and these rows as the regression sees them: codes, no raw values, nobody's id. */
export interface OpenUpdate {
  readonly response: ResponseModel;
  readonly latest: number | null;
  readonly codes: Int16Array;
  readonly persona: Int32Array;
  readonly stimulus: Int32Array;
  /** rows x steps. */
  readonly outcomes: Uint8Array;
  readonly weight: Float64Array | null;
  readonly left: Uint8Array | null;
  readonly periods: Int32Array | null;
}

/** Counts of one cell (persona x stimulus) in one period. */
export interface PeriodCounts {
  /** Days since 1970 (UTC), or hundreds of rows where time is an index. */
  readonly period: number;
  readonly cell: number;
  readonly exposures: number;
  /** One a step. */
  readonly responses: readonly number[];
}

/** What was foretold for the cell of a persona, a stimulus and a step, given the step before, and what randomized exposures then brought. */
export interface LandedCell extends CellCounts {
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  readonly channel: string;
  /** Persona x channel x kind of stimulus: cells of a class share an exchange rate. */
  readonly class: string;
  /** Version of the response model that foretold it. */
  readonly responseVersion: number;
  readonly simulated: Beta;
}

/** An exchange rate a0 with its 90 % interval and the landed cells behind it. */
export interface ExchangeRateLevel {
  readonly level: "channel" | "class";
  readonly name: string;
  readonly a0: number;
  readonly low: number;
  readonly high: number;
  readonly cells: number;
}

/** How much of a simulated exposure counts as a real one. */
export interface ModelExchangeRate {
  /** Over all cells; the prior's mean and interval until `learned`. */
  readonly a0: number;
  readonly low: number;
  readonly high: number;
  readonly learned: boolean;
  readonly cells: number;
  readonly levels: readonly ExchangeRateLevel[];
  /** Ids of personas whose simulated intervals keep missing: their simulated evidence counts for nothing. */
  readonly demoted: readonly string[];
}

/** A foreign response model and how far the distilled one is from it. */
export interface ImportedFrom {
  readonly file: string;
  readonly sha256: string;
  readonly inputs: readonly { readonly name: string; readonly type: string; readonly columns: readonly string[] }[];
  readonly output: string;
  /** Real observations the intervals are those of, as stated. */
  readonly observations: number;
  /** Rows that were scored, with every stimulus. */
  readonly rows: number;
  /** On rows that took no part: mean and 95 % quantile of the absolute error in probability per exposure, and the share of the logits' variance that is kept. */
  readonly errors: readonly { readonly step: string; readonly mean: number; readonly p95: number; readonly r2: number }[];
}

export interface ModelShock {
  readonly attitude: "price-sensitivity" | "channel-affinity" | "brand-warmth" | "contact-pressure";
  /** Channel of channel-affinity; persona id or "*" for all. */
  readonly channel: string;
  readonly persona: string;
  readonly size: number;
  readonly halfLifeTicks: number;
  readonly startTick: number;
  readonly source: string;
  readonly evidence: string;
}
