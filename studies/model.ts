import type { PersonaMixture, ResponseModel, ValueModel, CellCounts } from "@populace/domain";
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
  readonly value: ValueModel | null;
  /**
   * Expected rate per exposure of each persona's real rows, by persona id: (worlds + 1) x stimuli x steps, the last world at the
   * posterior means. Plans move their agents onto it; absent = the agents' own rates hold (studies/row-rates.ts).
   */
  readonly rowRates?: Readonly<Record<string, Float64Array>>;
  /** "observational" when the assignment is unknown: uplift and policy values carry the label and feed no exchange rate. */
  readonly evidence: "randomized" | "logged" | "observational" | "prior only";
  readonly fit: {
    readonly rows: number;
    readonly rejected: number;
    readonly missing: Readonly<Record<string, number>>;
    readonly otherLevels: Readonly<Record<string, number>>;
    readonly noConsent: number;
    /** SHA-256 prefixes (8 bytes, hex) of every data row used: backtest refuses them unless --allow-seen. */
    readonly seen: Uint8Array;
    readonly candidates: readonly { readonly personas: number; readonly bic: number; readonly stability: number }[];
    readonly seed: number;
  };
  /** Real outcomes later than the response model's version, cell by cell: personas x stimuli x steps. */
  readonly outcomes: readonly CellCounts[];
  /** How far the ledger of this fit's outcomes is in them: its run and its last tick. Absent: none of it is. */
  readonly ledger?: { readonly run: string; readonly tick: number };
  /** How much of a simulated exposure counts as a real one; fixed until it is learned. */
  readonly exchangeRate: { readonly a0: number; readonly low: number; readonly high: number; readonly learned: boolean };
  /** Shocks alive at the model's time: attitude offsets on the logit scale with half-lives. */
  readonly shocks: readonly ModelShock[];
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
