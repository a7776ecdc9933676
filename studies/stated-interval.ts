import type { Interval90 } from "./schema.ts";

/** Normal quantile of 0.95: half the width of a 90 % interval. */
export const Z_90 = 1.6448536269514722;

/** Link of stated rates. */
export const logitOf = (p: number): number => Math.log(p / (1 - p));

/** Mean and sd of the normal whose central 90 % is the interval, on the scale of `link`. */
export function normalOf(interval: Interval90, link: (value: number) => number): { readonly mean: number; readonly sd: number } {
  const [low, high] = [link(interval.low), link(interval.high)];
  return { mean: (low + high) / 2, sd: (high - low) / (2 * Z_90) };
}
