import { PopulaceError } from "../error.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { NOISE, pickRows } from "./points.ts";
import type { Points } from "./points.ts";

/**
 * How far an emerging cluster has come.
 *
 *   candidate ──stable──▶ shadow ──stable again, and asked for──▶ promoted
 *       │                   │
 *       └──── too small or scattered: retired ◀──┘
 *
 * candidate: seen, large enough, and the personas do not describe it. shadow: resamples find it again; it is assigned and
 * reported, but no answer depends on it. promoted: a persona.
 */
export const EMERGENCE_STAGE = { candidate: "candidate", shadow: "shadow", promoted: "promoted", retired: "retired" } as const;
export type EmergenceStage = keyof typeof EMERGENCE_STAGE;

export interface EmergenceEvidence {
  readonly size: number;
  /** Share of its members that fit no persona, 0 to 1. */
  readonly fitsNoneShare: number;
  /** Mean bootstrap Jaccard similarity, 0 to 1. */
  readonly stability: number;
}

export interface EmergenceLimits {
  readonly sizeMin: number;
  readonly fitsNoneShareMin: number;
  /** Hennig (2007): below 0.6 a cluster is not to be trusted, 0.75 and more is a valid, stable one. */
  readonly stabilityMin: number;
}

/** The limits used unless a caller states others. */
export const EMERGENCE_LIMITS: EmergenceLimits = { sizeMin: 30, fitsNoneShareMin: 0.5, stabilityMin: 0.75 };

/** True when a cluster is large enough and most of its members fit no persona: worth following. */
export const isEmerging = (evidence: EmergenceEvidence, limits: EmergenceLimits = EMERGENCE_LIMITS): boolean =>
  evidence.size >= limits.sizeMin && evidence.fitsNoneShare >= limits.fitsNoneShareMin;

/**
 * The next stage of an emerging cluster after one more look (null = first seen). Promotion is asked for, never automatic, and is
 * refused (`DEGENERATE_DATA`) to anything but a stable shadow.
 */
export function nextStage(stage: EmergenceStage | null, evidence: EmergenceEvidence, promote: boolean, limits: EmergenceLimits = EMERGENCE_LIMITS): EmergenceStage {
  if (stage === "promoted" || stage === "retired") return stage;
  const stable = evidence.stability >= limits.stabilityMin;
  if (promote) {
    if (stage === "shadow" && stable && evidence.size >= limits.sizeMin) return "promoted";
    throw new PopulaceError("DEGENERATE_DATA", `a cluster of ${evidence.size} points with stability ${evidence.stability.toFixed(2)} at stage ${stage ?? "new"} cannot be promoted; expected a shadow of ${limits.sizeMin} points and stability ${limits.stabilityMin}`, { ...evidence, stage });
  }
  if (!isEmerging(evidence, limits)) return "retired";
  if (stage === null) return stable ? "shadow" : "candidate";
  return stable ? "shadow" : stage;
}

/** Clusters points: labels from 0, -1 = noise. */
export type ClusterPoints = (points: Points, random: RandomStream) => ArrayLike<number>;

/**
 * Returns the stability of each of k clusters: the mean, over bootstrap resamples that are clustered anew, of the Jaccard
 * similarity between the cluster (restricted to the distinct points drawn) and the most similar new cluster (Hennig 2007,
 * Computational Statistics & Data Analysis 52). 0 for a cluster no resample met. Cost: `resamples` clusterings.
 */
export function clusterStability(points: Points, labels: ArrayLike<number>, k: number, cluster: ClusterPoints, random: RandomStream, resamples = 20): Float64Array {
  const sum = new Float64Array(k), met = new Float64Array(k);
  for (let resample = 0; resample < resamples; resample++) {
    const stream = random.child(`resample ${resample}`);
    const drawn = new Uint8Array(points.rows);
    const indices = Int32Array.from({ length: points.rows }, () => stream.integer(points.rows));
    for (const index of indices) drawn[index] = 1;
    const found = cluster(pickRows(points, indices), stream.child("clustering"));
    const foundCount = 1 + maximum(found);
    // A point drawn several times is one point of the comparison.
    const again = new Int32Array(points.rows).fill(NOISE);
    for (let i = 0; i < indices.length; i++) again[indices[i]] = found[i];
    const shared = new Float64Array(k * foundCount), size = new Float64Array(k), foundSize = new Float64Array(foundCount);
    for (let row = 0; row < points.rows; row++) {
      if (drawn[row] === 0) continue;
      if (labels[row] !== NOISE) size[labels[row]]++;
      if (again[row] !== NOISE) foundSize[again[row]]++;
      if (labels[row] !== NOISE && again[row] !== NOISE) shared[labels[row] * foundCount + again[row]]++;
    }
    for (let own = 0; own < k; own++) {
      if (size[own] === 0) continue;
      met[own]++;
      let best = 0;
      for (let other = 0; other < foundCount; other++) {
        const both = shared[own * foundCount + other];
        if (both > 0) best = Math.max(best, both / (size[own] + foundSize[other] - both));
      }
      sum[own] += best;
    }
  }
  return sum.map((total, own) => (met[own] === 0 ? 0 : total / met[own]));
}

function maximum(labels: ArrayLike<number>): number {
  let highest = NOISE;
  for (let i = 0; i < labels.length; i++) if (labels[i] > highest) highest = labels[i];
  return highest;
}
