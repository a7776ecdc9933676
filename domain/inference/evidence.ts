import type { Purses } from "../persona/trait.ts";
import type { Beta } from "./distribution.ts";
import { betaLogMarginal, betaMean } from "./distribution.ts";
import { mergeStatistics, observations, subtractStatistics } from "./sufficient-statistics.ts";
import type { SufficientStatistics } from "./sufficient-statistics.ts";
import { betaCdf, logistic } from "./special-functions.ts";

/** Where evidence came from; the prior is not among them because it never decays and is no observation. */
export type Purse = Exclude<keyof Purses, "prior">;

/**
 * Raw evidence by purse and period (an integer time bucket). Nothing is discounted when stored, so merging and subtracting
 * stay exact; exchange rate, cap and half-lives apply when it is read.
 */
export type Evidence = Readonly<Record<Purse, ReadonlyMap<number, SufficientStatistics>>>;

/** Three empty purses. */
export const EMPTY_EVIDENCE: Evidence = { simulated: new Map(), real: new Map(), external: new Map() };

/** Evidence with `statistics` added to one purse at one period. */
export const addEvidence = (evidence: Evidence, purse: Purse, period: number, statistics: SufficientStatistics): Evidence => {
  const periods = new Map(evidence[purse]);
  const before = periods.get(period);
  periods.set(period, before === undefined ? statistics : mergeStatistics(before, statistics));
  return { ...evidence, [purse]: periods };
};

/** Evidence without `statistics`, which must have been added to that purse and period before. A period left empty disappears. */
export const subtractEvidence = (evidence: Evidence, purse: Purse, period: number, statistics: SufficientStatistics): Evidence => {
  const periods = new Map(evidence[purse]);
  const before = periods.get(period);
  if (before === undefined) return evidence;
  const left = subtractStatistics(before, statistics);
  if (observations(left) === 0) periods.delete(period);
  else periods.set(period, left);
  return { ...evidence, [purse]: periods };
};

/** Sum of two bodies of evidence; associative and commutative to the bit. */
export const mergeEvidence = (a: Evidence, b: Evidence): Evidence => {
  let result = a;
  for (const purse of ["simulated", "real", "external"] as const) {
    for (const [period, statistics] of b[purse]) result = addEvidence(result, purse, period, statistics);
  }
  return result;
};

/** What is left of an observation after `age` periods: 2^(-age / halfLife); an infinite half-life forgets nothing. */
export const retention = (age: number, halfLife: number): number => (age <= 0 || halfLife === Infinity ? 1 : 2 ** (-age / halfLife));

/**
 * Effective observations of a purse at period `now`, and each period's weight in the order of time. `rate` is the exchange
 * rate of one observation, `cap` the most the purse may count; both act by one common factor on all its periods.
 */
export const readPurse = (
  periods: ReadonlyMap<number, SufficientStatistics>, now: number, halfLife: number, rate = 1, cap = Infinity,
): { readonly effective: number; readonly parts: readonly { readonly statistics: SufficientStatistics; readonly weight: number }[] } => {
  const parts = [...periods].sort(([a], [b]) => a - b).map(([period, statistics]) => ({ statistics, weight: rate * retention(now - period, halfLife) }));
  const total = parts.reduce((sum, part) => sum + part.weight * observations(part.statistics), 0);
  const factor = total > cap ? cap / total : 1;
  return { effective: total * factor, parts: parts.map(({ statistics, weight }) => ({ statistics, weight: weight * factor })) };
};

/** The most effective observations simulation may count beside `real` real ones. */
export const simulatedCap = (real: number): number => Math.max(50, real / 5);

/** What is left of a simulation that counts for nothing, in observations: with less its Beta is all ends and no data but its own mean would fit. */
const SIMULATED_MIN = 1;

/**
 * Power prior from a simulation: the Beta of its mean with ess = exchangeRate x simulated ess, capped at
 * max(50, real / 5) and at least 1 (or what the simulation has). `real` is the number of real exposures it will meet.
 */
export const powerPrior = (simulated: Beta, exchangeRate: number, real: number): Beta => {
  const ess = simulated.alpha + simulated.beta;
  const scale = Math.min(Math.max(exchangeRate * ess, Math.min(SIMULATED_MIN, ess)), simulatedCap(real)) / ess;
  return { alpha: simulated.alpha * scale, beta: simulated.beta * scale };
};

/** Mixture of Betas, its weights adding to 1. */
export interface BetaMixture {
  readonly weights: readonly number[];
  readonly components: readonly Beta[];
}

/** A simulation's Beta beside a vague one, so that a wrong simulation loses its say as the data contradict it. */
export const robustPrior = (simulated: Beta, weight = 0.8, vague: Beta = { alpha: 1, beta: 1 }): BetaMixture => ({
  weights: [weight, 1 - weight],
  components: [simulated, vague],
});

/** Posterior of a Beta mixture after `responses` among `exposures` (Schmidli et al. 2014): each weight times its own marginal likelihood. */
export const updateMixture = (mixture: BetaMixture, responses: number, exposures: number): BetaMixture => {
  const logs = mixture.components.map((c, i) => Math.log(mixture.weights[i]) + betaLogMarginal(c, responses, exposures));
  const top = Math.max(...logs);
  const raw = logs.map((l) => Math.exp(l - top));
  const total = raw.reduce((a, b) => a + b, 0);
  return {
    weights: raw.map((w) => w / total),
    components: mixture.components.map(({ alpha, beta }) => ({ alpha: alpha + responses, beta: beta + exposures - responses })),
  };
};

/** Mean of a mixture of Beta distributions. */
export const mixtureMean = ({ weights, components }: BetaMixture): number =>
  components.reduce((sum, c, i) => sum + weights[i] * betaMean(c), 0);

/** Variance of a mixture of Beta distributions, the spread between components included. */
export const mixtureVariance = (mixture: BetaMixture): number => {
  const mean = mixtureMean(mixture);
  return mixture.components.reduce((sum, c, i) => {
    const m = betaMean(c);
    return sum + mixture.weights[i] * ((m * (1 - m)) / (c.alpha + c.beta + 1) + (m - mean) ** 2);
  }, 0);
};

/** Share of a mixture of Beta distributions below `x`. */
export const mixtureCdf = ({ weights, components }: BetaMixture, x: number): number =>
  components.reduce((sum, c, i) => sum + weights[i] * betaCdf(x, c.alpha, c.beta), 0);

/** Rate below which the mixture holds a share p, by bisection on the logit (1e-12). */
export const mixtureQuantile = (mixture: BetaMixture, p: number): number => {
  if (p <= 0 || p >= 1) return p <= 0 ? 0 : 1;
  let low = -745;
  let high = 745;
  for (let i = 0; i < 200 && high - low > 1e-13 * Math.max(1, Math.abs(low)); i++) {
    const middle = (low + high) / 2;
    if (mixtureCdf(mixture, logistic(middle)) < p) low = middle;
    else high = middle;
  }
  return logistic((low + high) / 2);
};

