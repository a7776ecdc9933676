import { logBeta, logChoose } from "./special-functions.ts";

/** log P(k responses of n exposures) when the rate is Beta(alpha, beta); -Infinity outside 0..n. */
export const betaBinomialLogMass = (k: number, n: number, alpha: number, beta: number): number =>
  k < 0 || k > n ? -Infinity : logChoose(n, k) + logBeta(alpha + k, beta + n - k) - logBeta(alpha, beta);

/**
 * P(K <= k) of the beta-binomial distribution. Sums the shorter tail by its recurrence, so the cost is the width of the
 * distribution (all of n when alpha or beta is below 1).
 */
export const betaBinomialCdf = (k: number, n: number, alpha: number, beta: number): number => {
  if (k < 0) return 0;
  if (k >= n) return 1;
  const at = Math.floor(k);
  return at <= (n * alpha) / (alpha + beta)
    ? lowerTail(at, n, alpha, beta)
    : 1 - lowerTail(n - at - 1, n, beta, alpha);
};

const lowerTail = (k: number, n: number, alpha: number, beta: number): number => {
  let term = Math.exp(betaBinomialLogMass(k, n, alpha, beta));
  let sum = term;
  for (let i = k; i > 0; i--) {
    term *= (i * (beta + n - i)) / ((n - i + 1) * (alpha + i - 1));
    sum += term;
    // Below alpha = 1 the mass rises again towards 0 and nothing may be cut off.
    if (alpha >= 1 && term < sum * 1e-17) break;
  }
  return Math.min(sum, 1);
};

/** Smallest k with P(K <= k) >= p. Bisection over the cdf. */
export const betaBinomialQuantile = (p: number, n: number, alpha: number, beta: number): number => {
  let low = -1;
  let high = n;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (betaBinomialCdf(middle, n, alpha, beta) >= p) high = middle;
    else low = middle;
  }
  return high;
};

/**
 * Central predictive interval of the number of responses among `n` exposures when the rate is Beta(alpha, beta): both ends
 * belong to it, so it holds at least `level` of the mass. For an exact level use `betaBinomialPit`.
 */
export const betaBinomialInterval = (n: number, alpha: number, beta: number, level = 0.9): { low: number; high: number } => ({
  low: betaBinomialQuantile((1 - level) / 2, n, alpha, beta),
  high: betaBinomialQuantile((1 + level) / 2, n, alpha, beta),
});

/** Randomized probability integral transform of k: uniform when the prediction is right; `u` is uniform in (0, 1). */
export const betaBinomialPit = (k: number, n: number, alpha: number, beta: number, u: number): number => {
  const below = betaBinomialCdf(k - 1, n, alpha, beta);
  return below + u * (betaBinomialCdf(k, n, alpha, beta) - below);
};
