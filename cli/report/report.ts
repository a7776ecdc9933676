import type { EvidenceLabel } from "@populace/domain";

/** A rate of one (persona, stimulus, step) with its 90 % interval. */
export interface ReportRate {
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  readonly label: EvidenceLabel;
}

export interface ReportPersona {
  readonly name: string;
  readonly share: number;
  /** Standardized means (population standard deviations from the population's mean), one a trait or level. */
  readonly profile: readonly { readonly name: string; readonly score: number; readonly text: string }[];
}

export interface ReportCalibrationCell {
  readonly group: string;
  readonly stimulus: string;
  readonly step: string;
  readonly observed: number;
  readonly predicted: number;
  readonly low: number;
  readonly high: number;
}

export interface ReportCalibration {
  /** What the predictions are held against: "held-out rows", "generated truth". */
  readonly against: string;
  readonly cells: readonly ReportCalibrationCell[];
  readonly coverage90: number;
}

/** An exchange rate a0 with its 90 % interval; the first of a list is the overall one. */
export interface ReportExchangeRate {
  readonly level: string;
  readonly a0: number;
  readonly low: number;
  readonly high: number;
  /** Predictions that have met randomized outcomes at this level. */
  readonly cells: number;
  readonly isDemoted: boolean;
}

/** Bars that are equally high when something is calibrated. */
export interface ReportHistogram {
  readonly name: string;
  readonly counts: readonly number[];
}

/** What outcomes have taught about the simulation. */
export interface ReportLearned {
  readonly exchangeRates: readonly ReportExchangeRate[];
  /** Ranks of truths among posterior draws, one histogram a parameter of the product's posteriors. */
  readonly ranks: readonly ReportHistogram[];
  /** Null while no outcome has met a prediction. */
  readonly pit: { readonly counts: readonly number[]; readonly cells: number; readonly coverage90: number; readonly pValue: number } | null;
}

/** A posterior as a curve over the rate: Beta with the mean and the effective sample size of the estimate. */
export interface ReportPosterior {
  readonly cell: string;
  readonly before: { readonly mean: number; readonly ess: number; readonly label: EvidenceLabel };
  readonly after: { readonly mean: number; readonly ess: number; readonly label: EvidenceLabel };
  /** Observed share of the outcomes in between, when there is one. */
  readonly observed: number | null;
}

/** Cumulative regret of one policy, in the money's major unit. */
export interface ReportRegret {
  readonly policy: string;
  readonly unit: string;
  /** low and high: where 90 % of the replicates lie, where there are any. */
  readonly points: readonly { readonly pulls: number; readonly regret: number; readonly low?: number; readonly high?: number }[];
}

export interface ReportTornadoBar {
  readonly trait: string;
  /** Rate with the trait one standard deviation down (or absent) and up (or present). */
  readonly low: number;
  readonly high: number;
}

export interface ReportTornado {
  readonly step: string;
  readonly stimulus: string;
  readonly base: number;
  readonly bars: readonly ReportTornadoBar[];
}

/** One axis of a surface. */
export interface ReportAxis {
  readonly title: string;
  /** One a value, all different: numbers with few digits, or levels. */
  readonly labels: readonly string[];
  readonly isNumeric: boolean;
  /** Index of the value nearest to what is now: the mean of the people, or the stimulus as it is; null for levels. */
  readonly now: number | null;
}

/** The rate of one step over two quantities, with its 90 % interval; rows x columns, row by row. */
export interface ReportSurface {
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  readonly columns: ReportAxis;
  readonly rows: ReportAxis;
  readonly mean: readonly number[];
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly label: EvidenceLabel;
}

export interface ReportShock {
  readonly what: string;
  readonly stimulus: string;
  readonly step: string;
  /** Tick at which the shock starts. */
  readonly startTick: number;
  readonly halfLifeTicks: number;
  readonly series: readonly { readonly tick: number; readonly course: "with the shock" | "without it"; readonly rate: number }[];
}

/** What the report of a run shows of the model alone: the same for every run of it. */
export type ModelParts = Pick<ReportData, "personas" | "tornado">;

/** All that a report shows, as plain data. A part that is null, or an empty list, is left out and named at the end. */
export interface ReportData {
  readonly title: string;
  readonly subtitle: string;
  /** Sentences the reader must not miss, such as "observational". */
  readonly warnings: readonly string[];
  readonly tiles: readonly { readonly label: string; readonly value: string; readonly note: string }[];
  readonly personas: readonly ReportPersona[];
  readonly steps: readonly string[];
  readonly rates: readonly ReportRate[];
  readonly calibration: ReportCalibration | null;
  readonly learned: ReportLearned | null;
  readonly posteriors: readonly ReportPosterior[];
  readonly regret: readonly ReportRegret[];
  readonly tornado: ReportTornado | null;
  readonly surface: ReportSurface | null;
  readonly shock: ReportShock | null;
  readonly provenance: readonly (readonly [string, string])[];
  /** Hex root of each tick. */
  readonly roots: readonly string[];
}
