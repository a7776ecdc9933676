import type { TraitDistribution } from "../persona/trait.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { betaQuantile, digamma, gammaQuantile, logBeta, logGamma, studentQuantile } from "./special-functions.ts";

/**
 * The four trait families as posteriors of a persona-level parameter: a share, shares of levels, mean of the transformed
 * value, Poisson rate. "Predictive" is always about one member of the persona.
 */

export interface Beta {
  readonly alpha: number;
  readonly beta: number;
}

/** Posterior mean of the parameter: one number, or one a level for a categorical trait. */
export const parameterMean = (d: TraitDistribution): number[] => {
  switch (d.kind) {
    case "binary": return [d.alpha / (d.alpha + d.beta)];
    case "categorical": {
      const total = sum(d.alphas);
      return d.alphas.map((a) => a / total);
    }
    case "continuous": return [d.mean];
    case "count": return [d.shape / d.rate];
  }
};

/** Posterior variance of the parameter, in the shape of `parameterMean`; Infinity where it does not exist (shape <= 1). */
export const parameterVariance = (d: TraitDistribution): number[] => {
  switch (d.kind) {
    case "binary": return [betaVariance(d)];
    case "categorical": {
      const total = sum(d.alphas);
      return d.alphas.map((a) => (a * (total - a)) / (total * total * (total + 1)));
    }
    case "continuous": return [d.shape > 1 ? d.rate / ((d.shape - 1) * d.kappa) : Infinity];
    case "count": return [d.shape / (d.rate * d.rate)];
  }
};

/** Quantile of the parameter (marginal over the others), in the shape of `parameterMean`. */
export const parameterQuantile = (d: TraitDistribution, p: number): number[] => {
  switch (d.kind) {
    case "binary": return [betaQuantile(p, d.alpha, d.beta)];
    case "categorical": {
      const total = sum(d.alphas);
      return d.alphas.map((a) => (a > 0 ? betaQuantile(p, a, total - a) : 0));
    }
    case "continuous": return [d.mean + Math.sqrt(d.rate / (d.shape * d.kappa)) * studentQuantile(p, 2 * d.shape)];
    case "count": return [gammaQuantile(p, d.shape) / d.rate];
  }
};

/** Mean of one member's value: probability of yes, probabilities of the levels, transformed value, count. */
export const predictiveMean = parameterMean;

/** Variance of one member's value, parameter uncertainty included; a categorical trait gives the variance of each level's indicator. */
export const predictiveVariance = (d: TraitDistribution): number[] => {
  switch (d.kind) {
    case "binary":
    case "categorical": return parameterMean(d).map((m) => m * (1 - m));
    case "continuous": return [d.shape > 1 ? (d.rate / (d.shape - 1)) * (1 + 1 / d.kappa) : Infinity];
    case "count": return [(d.shape / d.rate) * (1 + 1 / d.rate)];
  }
};

/** One draw of the parameters: [share], shares, [mean, variance], [rate]. */
export const drawParameters = (d: TraitDistribution, random: RandomStream): number[] => {
  switch (d.kind) {
    case "binary": return [random.beta(d.alpha, d.beta)];
    case "categorical": return Array.from(random.dirichlet(d.alphas));
    case "continuous": {
      const variance = d.rate / random.gamma(d.shape);
      return [d.mean + Math.sqrt(variance / d.kappa) * random.normal(), variance];
    }
    case "count": return [random.gamma(d.shape) / d.rate];
  }
};

/** Kullback-Leibler divergence KL(a || b) between two posteriors of one family, in nats. Infinity for different numbers of levels. */
export const divergence = (a: TraitDistribution, b: TraitDistribution): number => {
  if (a.kind === "binary" && b.kind === "binary") return dirichletDivergence([a.alpha, a.beta], [b.alpha, b.beta]);
  if (a.kind === "categorical" && b.kind === "categorical") {
    return a.alphas.length === b.alphas.length ? dirichletDivergence(a.alphas, b.alphas) : Infinity;
  }
  if (a.kind === "count" && b.kind === "count") return gammaDivergence(a.shape, a.rate, b.shape, b.rate);
  if (a.kind === "continuous" && b.kind === "continuous") {
    // Variance: inverse gammas diverge like the gammas of their reciprocals; mean given variance: expected over a's variance.
    const precision = a.shape / a.rate;
    return (
      gammaDivergence(a.shape, a.rate, b.shape, b.rate) +
      0.5 * (b.kappa / a.kappa - 1 - Math.log(b.kappa / a.kappa) + b.kappa * precision * (a.mean - b.mean) ** 2)
    );
  }
  return Infinity;
};

const dirichletDivergence = (a: readonly number[], b: readonly number[]): number => {
  const totalA = sum(a);
  let value = logGamma(totalA) - logGamma(sum(b));
  const psi = digamma(totalA);
  a.forEach((x, i) => (value += logGamma(b[i]) - logGamma(x) + (x - b[i]) * (digamma(x) - psi)));
  return value;
};

const gammaDivergence = (shapeA: number, rateA: number, shapeB: number, rateB: number): number =>
  (shapeA - shapeB) * digamma(shapeA) - logGamma(shapeA) + logGamma(shapeB) + shapeB * Math.log(rateA / rateB) + (shapeA * (rateB - rateA)) / rateA;

/** Mean of a Beta distribution. */
export const betaMean = ({ alpha, beta }: Beta): number => alpha / (alpha + beta);

/** Variance of a Beta distribution. */
export const betaVariance = ({ alpha, beta }: Beta): number => (alpha * beta) / ((alpha + beta) ** 2 * (alpha + beta + 1));

/** Central credible interval of a Beta. */
export const betaInterval = ({ alpha, beta }: Beta, level = 0.9): { low: number; high: number } => ({
  low: betaQuantile((1 - level) / 2, alpha, beta),
  high: betaQuantile((1 + level) / 2, alpha, beta),
});

/** Bounds of an effective sample size: below, a Beta is all ends; above, no cell ever saw as much. */
const ESS_MIN = 1e-3;
const ESS_MAX = 1e9;

/**
 * Beta with this mean and variance. Its effective sample size is alpha + beta = m (1 - m) / v - 1, held within 1e-3 .. 1e9
 * (variance 0, or more than a rate can have); a mean of 0 or 1 is moved inside by 1e-12.
 */
export const betaFromMoments = (mean: number, variance: number): Beta => {
  const m = Math.min(Math.max(mean, 1e-12), 1 - 1e-12);
  const ess = Math.min(Math.max((m * (1 - m)) / variance - 1, ESS_MIN), ESS_MAX);
  return { alpha: m * ess, beta: (1 - m) * ess };
};

/** Beta matched to draws of a rate (one a world): mean and unbiased variance. */
export const betaFromDraws = (rates: ArrayLike<number>): Beta => {
  const n = rates.length;
  let mean = 0;
  for (let i = 0; i < n; i++) mean += rates[i] / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (rates[i] - mean) ** 2;
  return betaFromMoments(mean, n > 1 ? squares / (n - 1) : 0);
};

/** log of the marginal likelihood of `responses` among `exposures` in one order: log B(a + k, b + n - k) - log B(a, b). */
export const betaLogMarginal = ({ alpha, beta }: Beta, responses: number, exposures: number): number =>
  logBeta(alpha + responses, beta + exposures - responses) - logBeta(alpha, beta);

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
