/** Small statistics over worlds that intervals, policies and cells share. */

/** Mean and variance (n - 1; 0 for a single world) of values. */
export function momentsOf(values: ArrayLike<number>): { readonly mean: number; readonly variance: number } {
  const n = values.length;
  let mean = 0;
  for (let i = 0; i < n; i += 1) mean += values[i] / n;
  let square = 0;
  for (let i = 0; i < n; i += 1) square += (values[i] - mean) ** 2;
  return { mean, variance: n > 1 ? square / (n - 1) : 0 };
}

/** Effective sample size m (1 - m) / v - 1 of a rate with mean m and variance v over worlds; null when v is 0 (no uncertainty). */
export function effectiveSampleSize(mean: number, variance: number): number | null {
  return variance > 0 ? Math.max(0, (mean * (1 - mean)) / variance - 1) : null;
}

/** The quantile of sorted values, linear between order statistics (type 7 of Hyndman and Fan 1996). */
export function quantileOfSorted(sorted: ArrayLike<number>, p: number): number {
  const position = (sorted.length - 1) * p;
  const below = Math.floor(position);
  const above = Math.min(sorted.length - 1, below + 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/** A rate that is neither never nor always: the simulation knows no chance below 1e-7. */
export const boundedRate = (rate: number): number => Math.min(1 - 1e-9, Math.max(1e-9, rate));

/** A rate's logit, kept finite. */
export function finiteLogit(rate: number): number {
  const bounded = boundedRate(rate);
  return Math.log(bounded / (1 - bounded));
}

/** Moves all logits by one amount so that the mean rate becomes `target`; `stretch` widens them around their mean first. */
export function shiftedRates(rates: ArrayLike<number>, target: number, stretch = 1): Float64Array {
  const logits = Float64Array.from(rates, finiteLogit);
  const center = momentsOf(logits).mean;
  const spread = logits.map((logit) => (logit - center) * stretch);
  const at = (shift: number): Float64Array => spread.map((logit) => 1 / (1 + Math.exp(-(logit + shift))));
  let low = -40, high = 40, shift = finiteLogit(target) - momentsOf(spread).mean;
  // Newton's method, with a halving of the bracket wherever it would leave it; both end at the last bit of the rate.
  for (let round = 0; round < 60; round += 1) {
    let sum = 0, slope = 0;
    for (const logit of spread) {
      const rate = 1 / (1 + Math.exp(-(logit + shift)));
      sum += rate;
      slope += rate * (1 - rate);
    }
    const error = sum / spread.length - target;
    if (error < 0) low = shift;
    else high = shift;
    const next = shift - error / (slope / spread.length);
    const taken = next > low && next < high ? next : (low + high) / 2;
    if (Math.abs(taken - shift) < 1e-12) break;
    shift = taken;
  }
  return at(shift);
}
