import type { PersonaId } from "../ids.ts";
import type { Trait, TraitCoding } from "./trait.ts";

/** Where a persona came from and what became of it across re-clusterings. */
export interface Lineage {
  readonly event: "fitted" | "authored" | "survive" | "split" | "absorb" | "emerge" | "retire";
  readonly parents: readonly string[];
  readonly atVersion: number;
}

/** A cluster of likely recipients: distributions of traits and a share of the population. */
export interface Persona {
  readonly id: PersonaId;
  readonly name: string;
  /** Posterior mean share of the population, 0 to 1; the shares of all personas add to 1. */
  readonly share: number;
  /** Dirichlet parameter of the share (effective members). */
  readonly shareAlpha: number;
  /** In the order of the codings. */
  readonly traits: readonly Trait[];
  /** log p(x | persona) below which a recipient "fits none": the persona's own 1 % quantile. */
  readonly logDensityFloor: number;
  /**
   * Gaussian copula inside the persona: lower-triangular Cholesky factor of the latent correlation, row-major over the
   * traits, length n (n + 1) / 2; empty means independent traits.
   */
  readonly correlation: readonly number[];
  readonly lineage: Lineage;
}

/** The fitted or authored mixture: personas over one shared coding of the attributes. */
export interface PersonaMixture {
  readonly codings: readonly TraitCoding[];
  readonly personas: readonly Persona[];
}

/** The closest persona of a recipient. */
export interface Assignment {
  /** Index of the persona with the largest log share + log density. */
  readonly persona: number;
  /** Posterior probability of that persona, 0 to 1. */
  readonly probability: number;
  readonly logDensity: number;
  /** True when the log density lies below the persona's own floor: "none fits". */
  readonly fitsNone: boolean;
}
