/**
 * A trait is one demographic or behavioral quantity of a persona, held as a distribution.
 * The distribution is the posterior of a persona-level parameter: a binary trait's Beta is over the SHARE of members
 * having it, an agent is 0 or 1.
 */

/** The kinds of trait: share of members, levels, a measured number, a number of events. */
export const TRAIT_KIND = { binary: "binary", categorical: "categorical", continuous: "continuous", count: "count" } as const;
export type TraitKind = keyof typeof TRAIT_KIND;

export type Transform = "identity" | "log1p" | "logit";

/** Evidence in effective observations, by where it came from. The prior never decays. */
export interface Purses {
  readonly prior: number;
  readonly simulated: number;
  readonly real: number;
  readonly external: number;
}

/** Posterior of the persona-level parameter, one family a trait kind. */
export type TraitDistribution =
  /** Beta(alpha, beta) over the share of members with the trait. */
  | { readonly kind: "binary"; readonly alpha: number; readonly beta: number }
  /** Dirichlet over the shares of the levels, in the order of the coding's `levels`. */
  | { readonly kind: "categorical"; readonly alphas: readonly number[] }
  /**
   * Normal-Inverse-Gamma over mean and variance of the TRANSFORMED value: mean | variance ~ N(mean, variance / kappa),
   * variance ~ InverseGamma(shape, rate).
   */
  | { readonly kind: "continuous"; readonly mean: number; readonly kappa: number; readonly shape: number; readonly rate: number }
  /** Gamma(shape, rate) over the Poisson rate. */
  | { readonly kind: "count"; readonly shape: number; readonly rate: number };

/**
 * How a raw value becomes the int8 code that the kernel and the response model both see: the grid IS the definition of
 * the trait, so quantization is exact.
 * continuous, count: code = clamp(round((transform(raw) - center) / scale * CODES_PER_UNIT), -128, 127).
 * binary: code = 0 or BINARY_CODE (raw equal to `levels[1]` is 1).
 * categorical: code = index in `levels`; the last level is always "other" and takes unseen values.
 * A count uses transform log1p for its code whatever its distribution.
 */
export interface TraitCoding {
  readonly name: string;
  readonly kind: TraitKind;
  readonly unit: string;
  readonly transform: Transform;
  /** binary: the two raw values [no, yes]; categorical: level names, the last one "other"; else empty. */
  readonly levels: readonly string[];
  readonly center: number;
  readonly scale: number;
  /** Position in the agent's row of codes. */
  readonly slot: number;
  /** false: a fact of the moment that tells no persona from another and stays out of densities; absent = true. */
  readonly inPersonas?: boolean;
}

/** Codes per standard deviation of a continuous or count trait: the grid spans +-4 sd. */
export const CODES_PER_UNIT = 32;
/** Code of a binary trait that is present: 0.5 in Q0.7, so a weight of 4 on the logit scale still fits Q3.12. */
export const BINARY_CODE = 64;
/** Code of a missing value in a coded row. Only agents are never missing anything. */
export const MISSING = -32768;

export interface Trait {
  readonly name: string;
  readonly kind: TraitKind;
  readonly unit: string;
  readonly distribution: TraitDistribution;
  /**
   * Shape of a continuous or count trait inside the persona: quantiles at (i + 0.5) / n of the CODE (real numbers on the
   * int8 grid), n = 33; empty means normal (continuous) or Poisson (count).
   */
  readonly shape: readonly number[];
  readonly evidence: Purses;
}
