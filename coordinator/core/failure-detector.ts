/**
 * Phi-accrual failure detection (Hayashibara, Defago, Yared, Katayama, "The phi accrual failure detector", SRDS 2004): how improbable the present
 * silence of a node is under the gaps it has shown so far. Mean and variance are exponentially weighted instead of taken over a window: two numbers
 * a node, and one long gap is forgotten as it grows old.
 *
 *           silence above suspectSilenceMs             no word within PROBE_MS of the probe
 *   trusted ───────────────────────────────▶ suspected ───────────────────────────────▶ dead
 *      ▲                                         │
 *      └──────────────── any word ◀──────────────┘
 */
export interface Arrivals {
  readonly lastMs: number;
  readonly meanMs: number;
  readonly varianceMs: number;
  /** When the silence was first held against the node and it was probed; null while it is trusted. */
  readonly suspectedMs: number | null;
}

/** Suspected at phi = 8, one in 10^8: that many standard deviations above the mean, taking gaps for normal as the paper does. */
const DEVIATIONS = 5.612;
/** Weight of the newest gap: about the last 64 count, 16 s of heartbeats. */
const GAP_WEIGHT = 1 / 64;
/** No silence below this is held against anybody: three heartbeats in a row may be lost. */
const SILENCE_FLOOR_MS = 900;
/** However irregular a node was: above this it is suspected. */
const SILENCE_CEILING_MS = 8000;
/** A gap regular to the millisecond says nothing about the next one: at least this share of the mean is taken as its deviation. */
const DEVIATION_SHARE_MIN = 1 / 4;
/** How long a suspect has to answer its probe. */
const PROBE_MS = 300;

/** A node heard for the first time, expected to beat every `periodMs`. */
export const firstArrival = (nowMs: number, periodMs: number): Arrivals => ({ lastMs: nowMs, meanMs: periodMs, varianceMs: 0, suspectedMs: null });

/** After one more heartbeat. */
export function arrived(arrivals: Arrivals, nowMs: number): Arrivals {
  const gap = nowMs - arrivals.lastMs;
  // It had been excused until later than now.
  if (gap < 0) return { ...arrivals, suspectedMs: null };
  const difference = gap - arrivals.meanMs;
  const meanMs = arrivals.meanMs + GAP_WEIGHT * difference;
  return { lastMs: nowMs, meanMs, varianceMs: (1 - GAP_WEIGHT) * (arrivals.varianceMs + GAP_WEIGHT * difference * difference), suspectedMs: null };
}

/** So much of the silence was not the node's own: the observer was blocked, or heard nobody. */
export const excused = (arrivals: Arrivals, ms: number): Arrivals => ({ ...arrivals, lastMs: arrivals.lastMs + ms, suspectedMs: arrivals.suspectedMs === null ? null : arrivals.suspectedMs + ms });

/** The silence from which on the node is suspected: where phi reaches its threshold, within the floor and the ceiling. */
export function suspectSilenceMs(arrivals: Arrivals): number {
  return Math.min(SILENCE_CEILING_MS, Math.max(SILENCE_FLOOR_MS, arrivals.meanMs + DEVIATIONS * deviationMs(arrivals)));
}

export type Verdict = "trusted" | "suspect" | "suspected" | "dead";

/** What the silence up to now makes of the node. "suspect": just now, probe it; "suspected": its probe is out. */
export function verdict(arrivals: Arrivals, nowMs: number): Verdict {
  if (arrivals.suspectedMs !== null) return nowMs - arrivals.suspectedMs >= PROBE_MS ? "dead" : "suspected";
  return nowMs - arrivals.lastMs > suspectSilenceMs(arrivals) ? "suspect" : "trusted";
}

const deviationMs = (arrivals: Arrivals): number => Math.max(Math.sqrt(arrivals.varianceMs), arrivals.meanMs * DEVIATION_SHARE_MIN);
