import type { StimulusId } from "../ids.ts";
import type { Stimulus, FunnelStep } from "./stimulus.ts";

/**
 * Response model of one funnel step: hierarchical Bayesian logistic regression
 *   logit p = a + u[persona] + v[stimulus] + g[persona, stimulus] + x'b + z'c + (x outer z)'d
 * x: numeric value of each trait (code / unit) or one indicator a level; z: stimulus features.
 * A coefficient is found by its term; the layout lists them in the order of every vector below.
 */
export type Term =
  | { readonly kind: "intercept" }
  | { readonly kind: "persona"; readonly persona: number }
  | { readonly kind: "stimulus"; readonly stimulus: number }
  | { readonly kind: "persona-stimulus"; readonly persona: number; readonly stimulus: number }
  /** level = -1 for a numeric trait, else the level's index. */
  | { readonly kind: "trait"; readonly trait: number; readonly level: number }
  | { readonly kind: "feature"; readonly feature: number }
  | { readonly kind: "trait-feature"; readonly trait: number; readonly level: number; readonly feature: number }
  /** Value of the attribute that a stimulus' tag matches (schema `matches`). */
  | { readonly kind: "match"; readonly match: number };

export interface Match {
  readonly tag: string;
  /** tag value -> index of the trait that says how much this recipient goes with it (a numeric or binary trait). */
  readonly traitByValue: Readonly<Record<string, number>>;
}

export interface StepModel {
  readonly step: string;
  readonly rows: number;
  readonly events: number;
  /** Posterior mean, length p. */
  readonly mean: Float64Array;
  /** Lower Cholesky factor of the posterior covariance, packed by rows, length p (p + 1) / 2. */
  readonly covarianceCholesky: Float64Array;
  /** Posterior draws, world-major: worlds x p. All intervals come from these. */
  readonly draws: Float64Array;
  /** Index into `scaleGroups` for each term, -1 for the unpenalized ones. */
  readonly scaleGroup: Int32Array;
  /** Names and posterior medians of the prior scales. */
  /** Draws of the prior scales, worlds x groups: an unseen stimulus draws its effects from them. */
  readonly scaleDraws: Float64Array;
  readonly scaleGroups: readonly { readonly name: string; readonly median: number; readonly low: number; readonly high: number }[];
  /** How the posterior was computed. */
  readonly method: "laplace" | "prior-only";
}

export interface ResponseModel {
  readonly steps: readonly FunnelStep[];
  readonly stimuli: readonly Stimulus[];
  /** Names of the stimulus features z, and their values: stimulus-major, stimuli x features. */
  readonly featureNames: readonly string[];
  readonly features: readonly (readonly number[])[];
  readonly matches: readonly Match[];
  readonly terms: readonly Term[];
  readonly stepModels: readonly StepModel[];
  readonly leave: LeaveModel;
  readonly worlds: number;
}

/** Leaving (unsubscribe) per contact of those who do not reach the last step, a competing event: its rate on the logit scale, mean and sd, and a draw a world. */
export interface LeaveModel {
  readonly logitMean: number;
  readonly logitSd: number;
  readonly draws: Float64Array;
  /**
   * How it depends on persona and stimulus, where data or the author say so: a regression as that of a step (`terms` are its own), the rate
   * above being its intercept. Absent: every contact makes the same share leave.
   */
  readonly effects?: { readonly terms: readonly Term[]; readonly model: StepModel };
}

/** Amount given a response at the last step: hierarchical log-normal per persona and stimulus. */
export interface ValueModel {
  readonly currency: string;
  readonly minorUnits: number;
  /** persona-major, personas x stimuli: posterior mean and draws of E[amount | response], minor currency units. */
  readonly meanMinor: readonly number[];
  /** worlds x (personas x stimuli). */
  readonly draws: Float64Array;
  /** Standard deviation of the log amount around its cell's mean, one a world; absent in a model of before it was kept. */
  readonly sigma?: Float64Array;
  readonly rows: number;
}

/** What happened in one (persona, stimulus, step) cell; counts are integers, weights were applied upstream if at all. */
export interface CellCounts {
  readonly exposures: number;
  readonly responses: number;
}

/** What a rate is made of. Simulated evidence never masquerades as real. */
export type EvidenceLabel = "prior only" | "simulated only" | "real" | "simulated and real";

/** A response rate with its interval and its evidence. */
export interface RateEstimate {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  /** Effective sample size of the estimate. */
  readonly ess: number;
  readonly essSimulated: number;
  readonly essReal: number;
  readonly label: EvidenceLabel;
}

export type StimulusIndexOf = (id: StimulusId) => number;
