import type { Transform, TraitKind, Stimulus, FunnelStep } from "@populace/domain";

/** A schema file: what the columns of a data file mean. Unknown keys are errors with a suggestion. */
export interface Schema {
  readonly name: string;
  readonly csv: { readonly delimiter: string; readonly header: boolean; readonly missing: readonly string[] };
  /** Column of the recipient id; absent = the row number. */
  readonly recipient: string | null;
  readonly attributes: readonly AttributeColumn[];
  readonly stimulus: StimulusColumn;
  readonly assignment: { readonly kind: "randomized" | "unknown" } | { readonly kind: "logged"; readonly propensity: string };
  readonly sampling:
    | { readonly kind: "uniform" }
    | { readonly kind: "weight"; readonly column: string }
    /** True share of responders to the first step where rows were drawn by outcome. */
    | { readonly kind: "base-rate"; readonly rate: number };
  readonly funnel: readonly (FunnelStep & { readonly column: string; readonly positive: string })[];
  readonly value: { readonly column: string; readonly currency: string; readonly minorUnits: number; readonly economicValueMinor?: number } | null;
  readonly time: { readonly column: string; readonly format: "date" | "timestamp" | "index" } | null;
  readonly consent: { readonly purposeColumn: string; readonly untilColumn: string; readonly purpose: string } | null;
  readonly matches: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Share of rows that may be rejected before reading stops, 0 to 1; default 0.01. */
  readonly rejectShareMax: number;
  /** Before any data: base rates and effects as intervals (prior only). Also the prior of a fit when given. */
  readonly prior: SchemaPrior | null;
}

export interface AttributeColumn {
  readonly name: string;
  readonly column: string;
  readonly kind: TraitKind;
  readonly transform: Transform;
  readonly unit: string;
  /** categorical: known levels (absent = those seen); binary: [no, yes] raw values. */
  readonly levels: readonly string[];
  /** false: describes people but is left out of the response model. */
  readonly inResponse: boolean;
  /** A raw value that means "missing" for this column only. */
  readonly missing: readonly string[];
}

export interface StimulusColumn {
  /** Column holding the stimulus' value, or null when every row met the same stimulus (`constant`). */
  readonly column: string | null;
  readonly constant: string | null;
  /** Raw column value -> stimulus. `contact: false` marks "not contacted". */
  readonly stimuli: readonly (Stimulus & { readonly value: string })[];
}

/** An interval the author believes in with 90 %. */
export interface Interval90 { readonly low: number; readonly high: number }

export interface SchemaPrior {
  /** step -> interval of the base rate (per exposure for step 0, given the step before for later ones). */
  readonly baseRates: Readonly<Record<string, Interval90>>;
  /** Odds ratios: on a stimulus, on an attribute (per sd or for yes), or on an attribute level. */
  readonly effects: readonly { readonly step: string; readonly on: string; readonly oddsRatio: Interval90 }[];
  /** Leaving (unsubscribe) per contact. */
  readonly leaveRate: Interval90 | null;
  /** Personas by hand. */
  readonly personas: readonly AuthoredPersona[];
  /** Marginals to rake to, when no joint data exist: attribute -> level -> share. */
  readonly marginals: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface AuthoredPersona {
  readonly name: string;
  readonly share: number;
  /** attribute -> share (binary), level shares (categorical), {mean, sd} (continuous, raw scale), {mean} (count). */
  readonly traits: Readonly<Record<string, number | Readonly<Record<string, number>>>>;
}
