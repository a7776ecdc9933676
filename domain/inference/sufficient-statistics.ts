import type { TraitKind } from "../persona/trait.ts";
import { PopulaceError } from "../error.ts";

/**
 * Summary of observed members that a trait's posterior needs. Every field is an integer kept exactly in a double, so adding
 * is associative and commutative to the bit and one subject's share is taken out to the bit.
 */
export type SufficientStatistics =
  | { readonly kind: "binary"; readonly count: number; readonly yes: number }
  | { readonly kind: "categorical"; readonly counts: readonly number[] }
  /** Sums of q and q squared, q = round(z * VALUE_UNITS), z = (transformed value - center) / scale of the coding. */
  | { readonly kind: "continuous"; readonly count: number; readonly sum: number; readonly sumSquares: number }
  | { readonly kind: "count"; readonly count: number; readonly sum: number };

/** Fixed-point units per standard deviation of a continuous trait: rounding adds 1e-7 to a variance of 1. */
export const VALUE_UNITS = 1024;
/** Values further out are clipped: q squared stays below 2^32, so two million of them still add exactly. */
const VALUE_MAX = 64;

/** Statistics of no observations; `levels` only matters to a categorical trait. */
export const emptyStatistics = (kind: TraitKind, levels = 0): SufficientStatistics => {
  switch (kind) {
    case "binary": return { kind, count: 0, yes: 0 };
    case "categorical": return { kind, counts: new Array<number>(levels).fill(0) };
    case "continuous": return { kind, count: 0, sum: 0, sumSquares: 0 };
    case "count": return { kind, count: 0, sum: 0 };
  }
};

/**
 * Statistics of one member. `value`: 0 or 1; index of the level; z (standard deviations from the coding's center); the
 * count itself. Anything else is a programmer's error.
 */
export const statisticsOf = (kind: TraitKind, value: number, levels = 0): SufficientStatistics => {
  switch (kind) {
    case "binary": return { kind, count: 1, yes: value === 0 ? 0 : 1 };
    case "categorical": return { kind, counts: Array.from({ length: levels }, (_, i) => (i === value ? 1 : 0)) };
    case "continuous": {
      if (Number.isNaN(value)) throw new PopulaceError("INTERNAL", "statistics of a missing continuous value; missing attributes are left out", {});
      const q = Math.round(Math.min(Math.max(value, -VALUE_MAX), VALUE_MAX) * VALUE_UNITS) + 0;
      return { kind, count: 1, sum: q, sumSquares: q * q };
    }
    case "count": return { kind, count: 1, sum: Math.max(Math.round(value), 0) };
  }
};

const combine = (a: SufficientStatistics, b: SufficientStatistics, sign: 1 | -1): SufficientStatistics => {
  if (a.kind === "binary" && b.kind === "binary") return exact({ kind: "binary", count: a.count + sign * b.count, yes: a.yes + sign * b.yes });
  if (a.kind === "count" && b.kind === "count") return exact({ kind: "count", count: a.count + sign * b.count, sum: a.sum + sign * b.sum });
  if (a.kind === "continuous" && b.kind === "continuous") {
    return exact({ kind: "continuous", count: a.count + sign * b.count, sum: a.sum + sign * b.sum, sumSquares: a.sumSquares + sign * b.sumSquares });
  }
  if (a.kind === "categorical" && b.kind === "categorical" && a.counts.length === b.counts.length) {
    return exact({ kind: "categorical", counts: a.counts.map((n, i) => n + sign * b.counts[i]) });
  }
  throw new PopulaceError("INTERNAL", `statistics of kind ${a.kind} and ${b.kind} cannot be combined`, { a: a.kind, b: b.kind });
};

const exact = (s: SufficientStatistics): SufficientStatistics => {
  const numbers = s.kind === "categorical" ? s.counts : s.kind === "binary" ? [s.count, s.yes] : s.kind === "count" ? [s.count, s.sum] : [s.count, s.sum, s.sumSquares];
  if (!numbers.every(Number.isSafeInteger)) throw new PopulaceError("TOO_LARGE", `sufficient statistics left the exact integers (2^53): ${numbers.join(", ")}`, {});
  return s;
};

/** Sum of two summaries; associative and commutative to the bit. */
export const mergeStatistics = (a: SufficientStatistics, b: SufficientStatistics): SufficientStatistics => combine(a, b, 1);

/** `a` without the members summarized in `b`: equal to the bit to a summary that never saw them. */
export const subtractStatistics = (a: SufficientStatistics, b: SufficientStatistics): SufficientStatistics => combine(a, b, -1);

/** Number of members summarized. */
export const observations = (s: SufficientStatistics): number =>
  s.kind === "categorical" ? s.counts.reduce((a, b) => a + b, 0) : s.count;
