import { betaBinomialPit } from "./beta-binomial.ts";
import { uniformity } from "./calibration.ts";
import type { UniformityTest } from "./calibration.ts";
import type { PastCell } from "./exchange-rate.ts";
import { logChoose } from "./special-functions.ts";

/** Randomized probability integral transform of what a past cell brought, under what was foretold: uniform when predictions are right. `u` is uniform in (0, 1). */
export const pastCellPit = ({ simulated, responses, exposures }: Pick<PastCell, "simulated" | "responses" | "exposures">, u: number): number =>
  betaBinomialPit(responses, exposures, simulated.alpha, simulated.beta, u);

/** What the transforms of landed cells say about the predictions. */
export interface PitSummary extends UniformityTest {
  readonly cells: number;
  /** Share of the transforms within .05 and .95: exactly what 90 % predictive intervals should cover. NaN without cells. */
  readonly coverage90: number;
}

/** Histogram of transforms in ten bins, its chi-square test of uniformity, and the coverage of 90 % intervals. */
export const pitSummary = (pits: readonly number[]): PitSummary => {
  const { counts, chiSquare, pValue } = pits.length === 0 ? { counts: new Array<number>(10).fill(0), chiSquare: 0, pValue: 1 } : uniformity(pits);
  return { counts, chiSquare, pValue, cells: pits.length, coverage90: pits.filter((pit) => !isMiss(pit)).length / pits.length };
};

/** Misses below this are bad luck whatever their share. */
const MISSES_MIN = 3;

/**
 * Whether the 90 % intervals behind these transforms keep missing: at least three misses, and so many that right predictions
 * would bring as many with a probability below `alpha` (exact binomial tail).
 */
export const keepsMissing = (pits: readonly number[], alpha = 0.01): boolean => {
  const misses = pits.filter(isMiss).length;
  return misses >= MISSES_MIN && binomialTail(misses, pits.length, 0.1) < alpha;
};

const isMiss = (pit: number): boolean => pit < 0.05 || pit > 0.95;

/** P(K >= k) of a binomial with n trials of probability p in (0, 1). Cost: n - k terms. */
export const binomialTail = (k: number, n: number, p: number): number => {
  let sum = 0;
  for (let i = Math.max(0, Math.ceil(k)); i <= n; i++) sum += Math.exp(logChoose(n, i) + i * Math.log(p) + (n - i) * Math.log1p(-p));
  return Math.min(sum, 1);
};
