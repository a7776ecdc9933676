import { logGamma } from "./special-functions.ts";

export interface SmoothedWeights {
  /** Normalized to add to 1, in the order of the argument. */
  readonly weights: Float64Array;
  /** Shape of the generalized Pareto tail: below 0.5 the weights are trustworthy, above 0.7 they are not. -Infinity when all weights are equal. */
  readonly paretoK: number;
  /** 1 / sum of squared weights. */
  readonly effectiveSize: number;
  /** log of the mean unnormalized weight. */
  readonly logMean: number;
}

/**
 * Pareto-smoothed importance weights from log weights (Vehtari, Simpson, Gelman, Yao, Gabry 2024, with the profile
 * estimator of Zhang and Stephens 2009). Fewer than 25 weights are normalized but not smoothed.
 */
export const smoothWeights = (logWeights: Float64Array): SmoothedWeights => {
  const count = logWeights.length;
  let largest = -Infinity;
  for (const w of logWeights) if (w > largest) largest = w;
  const weights = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) sum += weights[i] = Math.exp(logWeights[i] - largest);
  const logMean = largest + Math.log(sum / count);

  let paretoK = -Infinity;
  const tail = Math.floor(Math.min(0.2 * count, 3 * Math.sqrt(count)));
  if (tail >= 5) {
    const order = Int32Array.from(weights, (_, i) => i).sort((i, j) => weights[i] - weights[j]);
    const cut = weights[order[count - tail - 1]];
    const excess = Float64Array.from({ length: tail }, (_, i) => weights[order[count - tail + i]] - cut);
    if (excess[tail - 1] > 1e-12 && excess[0] >= 0) {
      const { k, sigma } = fitGeneralizedPareto(excess);
      paretoK = k;
      if (Number.isFinite(k) && sigma > 0) {
        for (let i = 0; i < tail; i++) {
          const p = (i + 0.5) / tail;
          const quantile = Math.abs(k) < 1e-9 ? -sigma * Math.log1p(-p) : (sigma / k) * Math.expm1(-k * Math.log1p(-p));
          weights[order[count - tail + i]] = Math.min(cut + quantile, 1);
        }
      }
    }
  }
  let total = 0;
  for (const w of weights) total += w;
  let squares = 0;
  for (let i = 0; i < count; i++) {
    weights[i] /= total;
    squares += weights[i] ** 2;
  }
  return { weights, paretoK, effectiveSize: 1 / squares, logMean };
};

/** Shape and scale of a generalized Pareto distribution for ascending positive excesses, with the weak prior k ~ 0.5 of PSIS. */
const fitGeneralizedPareto = (excess: Float64Array): { k: number; sigma: number } => {
  const n = excess.length;
  const grid = 30 + Math.floor(Math.sqrt(n));
  const quartile = excess[Math.floor(n / 4 + 0.5) - 1] || excess[n - 1] / 4;
  const top = excess[n - 1];
  const theta = new Float64Array(grid);
  const profile = new Float64Array(grid);
  let best = -Infinity;
  for (let i = 0; i < grid; i++) {
    const t = 1 / top + (1 - Math.sqrt(grid / (i + 0.5))) / (3 * quartile);
    let k = 0;
    for (let j = 0; j < n; j++) k += Math.log1p(-t * excess[j]);
    k /= n;
    theta[i] = t;
    profile[i] = n * (Math.log(-t / k) - k - 1);
    if (profile[i] > best) best = profile[i];
  }
  let weight = 0;
  let mean = 0;
  for (let i = 0; i < grid; i++) {
    const w = Math.exp(profile[i] - best);
    if (!Number.isFinite(w)) continue;
    weight += w;
    mean += w * theta[i];
  }
  mean /= weight;
  let k = 0;
  for (let j = 0; j < n; j++) k += Math.log1p(-mean * excess[j]);
  k /= n;
  const sigma = -k / mean;
  return { k: (n * k + 10 * 0.5) / (n + 10), sigma };
};

/** `count` indices drawn by systematic resampling from normalized weights; `offset` is uniform in (0, 1). Ascending. */
export const systematicResample = (weights: Float64Array, count: number, offset: number): Int32Array => {
  const chosen = new Int32Array(count);
  let cumulative = 0;
  let at = -1;
  for (let i = 0; i < count; i++) {
    const goal = (i + offset) / count;
    while (cumulative < goal && at < weights.length - 1) cumulative += weights[++at];
    chosen[i] = Math.max(at, 0);
  }
  return chosen;
};

/** log density of the multivariate t distribution with unit scale at squared radius `square`. */
export const logStudentDensity = (square: number, dimension: number, degrees: number): number =>
  logGamma((degrees + dimension) / 2) - logGamma(degrees / 2) - (dimension / 2) * Math.log(degrees * Math.PI) -
  ((degrees + dimension) / 2) * Math.log1p(square / degrees);
