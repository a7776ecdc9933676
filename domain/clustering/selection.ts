import { PopulaceError } from "../error.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { KdTree } from "./kd-tree.ts";
import { clusterKMeans } from "./k-means.ts";
import type { KMeansEngine } from "./k-means.ts";
import { NOISE, pickRows, squaredDistance } from "./points.ts";
import type { Points } from "./points.ts";

/** Silhouettes are quadratic in the points: beyond this a sample judges. */
const SILHOUETTE_POINTS_MAX = 2_000;

export interface ClusterCountChoice {
  readonly k: number;
  /** Mean silhouette of each k tried, -1 to 1. */
  readonly candidates: readonly { readonly k: number; readonly silhouette: number; readonly sse: number }[];
}

export interface ClusterCountOptions {
  /** Largest number tried; default 12. */
  readonly kMax?: number;
  /** As in `clusterKMeans`. */
  readonly engine?: KMeansEngine;
}

/**
 * Chooses the number of k-means clusters without labels: the k of the largest mean silhouette (Rousseeuw 1987), the smaller one
 * of equals. Tries 2 to `kMax`. At least two clusters are always found: whether there are any is another question.
 */
export function chooseClusterCount(points: Points, random: RandomStream, options: ClusterCountOptions = {}): ClusterCountChoice {
  const { kMax = 12, engine } = options;
  const most = Math.min(kMax, points.rows - 1);
  if (most < 2) throw new PopulaceError("DEGENERATE_DATA", `${points.rows} points are too few to choose a number of clusters; expected at least 3`, { rows: points.rows });
  const sample = sampleRows(points.rows, SILHOUETTE_POINTS_MAX, random.child("silhouette sample"));
  const found = Array.from({ length: most - 1 }, (_, index) => clusterKMeans(points, { k: index + 2, random: random.child(`k ${index + 2}`), starts: 8, ...(engine === undefined ? {} : { engine }) }));
  const silhouettes = meanSilhouettes(pickRows(points, sample), found.map(({ labels }) => sample.map((row) => labels[row])));
  const candidates = found.map(({ sse }, index) => ({ k: index + 2, silhouette: silhouettes[index], sse }));
  const best = candidates.reduce((kept, candidate) => (candidate.silhouette > kept.silhouette ? candidate : kept));
  return { k: best.k, candidates };
}

/**
 * Mean silhouette width: (b - a) / max(a, b), a = mean distance to the own cluster's others, b = to the closest other cluster's
 * points; 0 for a point alone in its cluster. Noise is left out. 0 when fewer than two clusters occur. Quadratic.
 */
export const meanSilhouette = (points: Points, labels: ArrayLike<number>): number => meanSilhouettes(points, [labels])[0]!;

/** The same of several labelings of the same points: each distance is taken once for all of them. */
function meanSilhouettes(points: Points, labelings: readonly ArrayLike<number>[]): readonly number[] {
  const { rows } = points;
  const states = labelings.map((labels) => {
    let k = 0;
    for (let row = 0; row < rows; row++) k = Math.max(k, labels[row] + 1);
    const size = new Float64Array(k);
    for (let row = 0; row < rows; row++) if (labels[row] !== NOISE) size[labels[row]]++;
    return { labels, size, toCluster: new Float64Array(k), total: 0, counted: 0 };
  });
  const distances = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    for (let other = 0; other < rows; other++) distances[other] = Math.sqrt(squaredDistance(points, row, points, other));
    for (const state of states) {
      const { labels, size, toCluster } = state;
      const own = labels[row];
      if (own === NOISE) continue;
      state.counted++;
      if (size[own] < 2) continue;
      toCluster.fill(0);
      for (let other = 0; other < rows; other++) if (labels[other] !== NOISE) toCluster[labels[other]] += distances[other];
      const inside = toCluster[own] / (size[own] - 1);
      let outside = Infinity;
      for (let cluster = 0; cluster < size.length; cluster++) if (cluster !== own && size[cluster] > 0) outside = Math.min(outside, toCluster[cluster] / size[cluster]);
      const widest = Math.max(inside, outside);
      // A single cluster has no other to be far from: 0.
      if (outside < Infinity && widest > 0) state.total += (outside - inside) / widest;
    }
  }
  return states.map(({ total, counted }) => (counted === 0 ? 0 : total / counted));
}

/**
 * Returns the distance at the knee of the sorted distances to the `minPoints`-th neighbor (the point itself the first): the
 * radius at which density drops. The knee is the point farthest below the chord (Satopaa et al. 2011), looked for among the larger
 * half: what lies in the denser half is inside a cluster, and a single very tight one would otherwise be taken for the knee.
 * Throws `DEGENERATE_DATA` when all distances are 0.
 */
export function chooseEps(points: Points, minPoints: number): number {
  if (points.rows < minPoints || points.rows < 3) throw new PopulaceError("DEGENERATE_DATA", `${points.rows} points are too few to choose eps for minPoints ${minPoints}`, { rows: points.rows, minPoints });
  const tree = new KdTree(points);
  const distances = Float64Array.from({ length: points.rows }, (_, row) => Math.sqrt(tree.squaredDistanceToRank(row, minPoints))).sort().slice(Math.floor(points.rows / 2));
  const first = distances[0], last = distances[distances.length - 1];
  if (!(last > 0)) throw new PopulaceError("DEGENERATE_DATA", `each point has ${minPoints} equal ones; eps cannot be chosen from distances that are all 0`, { rows: points.rows });
  let knee = distances.length - 1, deepest = -Infinity;
  distances.forEach((distance, index) => {
    const below = index / (distances.length - 1) - (last === first ? 0 : (distance - first) / (last - first));
    if (below > deepest) {
      deepest = below;
      knee = index;
    }
  });
  return distances[knee] > 0 ? distances[knee] : last;
}

/** Distinct rows in ascending order, all of them when they are few enough. */
function sampleRows(rows: number, most: number, random: RandomStream): number[] {
  const all = Array.from({ length: rows }, (_, row) => row);
  if (rows <= most) return all;
  random.shuffle(all);
  return all.slice(0, most).sort((a, b) => a - b);
}
