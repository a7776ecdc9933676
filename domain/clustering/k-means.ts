import { kmeans } from "ml-kmeans";
import { PopulaceError } from "../error.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { squaredDistance } from "./points.ts";
import type { Points } from "./points.ts";

export interface KMeans {
  /** Cluster of each point, 0 to k - 1, numbered by first appearance in the data. */
  readonly labels: Int32Array;
  readonly centroids: readonly (readonly number[])[];
  /** Sum of squared distances to the own centroid. */
  readonly sse: number;
}

export interface KMeansOptions {
  readonly k: number;
  readonly random: RandomStream;
  /** Independent starts of which the best is kept; default 20. */
  readonly starts?: number;
  /** k centers to start from instead: one run, and no draw. */
  readonly initial?: readonly (readonly number[])[];
}

/** Far beyond what Lloyd's iterations need; the limit only guards against a cycle through rounding. */
const ITERATIONS_MAX = 300;

/**
 * Returns the best of several k-means clusterings (Lloyd's iterations of `ml-kmeans` from our own greedy k-means++ starts, so
 * that the result depends on the stream alone). Throws `DEGENERATE_DATA` when k exceeds the distinct points.
 * Cost: starts x iterations x points x k.
 */
export function clusterKMeans(points: Points, options: KMeansOptions): KMeans {
  const { k, random, initial } = options;
  const starts = initial === undefined ? (options.starts ?? 20) : 1;
  if (!(Number.isSafeInteger(k) && k >= 1)) throw new PopulaceError("BAD_REQUEST", `k is ${k}; expected an integer of 1 or more`, { k });
  if (k > points.rows) throw new PopulaceError("DEGENERATE_DATA", `${k} clusters of ${points.rows} points; expected at most as many clusters as points`, { k, rows: points.rows });
  if (initial !== undefined && initial.length !== k) throw new PopulaceError("BAD_REQUEST", `${initial.length} centers to start from; expected k = ${k}`, { k });
  const data = toRows(points);
  let best: KMeans | null = null;
  for (let start = 0; start < starts; start++) {
    const centers = initial ?? seedIndices(points, k, random.child(`start ${start}`)).map((row) => data[row]!);
    const result = kmeans(data, k, { initialization: centers.map((center) => [...center]), maxIterations: ITERATIONS_MAX, tolerance: 0 });
    const labels = Int32Array.from(result.clusters);
    const sse = sumOfSquares(points, labels, result.centroids);
    if (best === null || sse < best.sse) best = { labels, centroids: result.centroids, sse };
  }
  return renumber(best!);
}

/**
 * Indices of k starting points by greedy k-means++ (Arthur and Vassilvitskii 2007): the next one is drawn with probability
 * proportional to its squared distance to those chosen, the best of 2 + ln k such draws. Throws `DEGENERATE_DATA` when fewer
 * than k points differ.
 */
export function seedIndices(points: Points, k: number, random: RandomStream): number[] {
  const { rows } = points;
  const trials = 2 + Math.floor(Math.log(k));
  const chosen = [random.integer(rows)];
  const nearest = new Float64Array(rows);
  let potential = 0;
  for (let row = 0; row < rows; row++) potential += nearest[row] = squaredDistance(points, row, points, chosen[0]!);
  while (chosen.length < k) {
    if (!(potential > 0)) throw new PopulaceError("DEGENERATE_DATA", `only ${chosen.length} of the ${rows} points differ; ${k} clusters were asked for`, { k, distinct: chosen.length });
    let bestRow = -1, bestPotential = Infinity;
    for (let trial = 0; trial < trials; trial++) {
      const row = pick(nearest, random.uniform() * potential);
      let sum = 0;
      for (let other = 0; other < rows; other++) sum += Math.min(nearest[other], squaredDistance(points, other, points, row));
      if (sum < bestPotential) {
        bestPotential = sum;
        bestRow = row;
      }
    }
    chosen.push(bestRow);
    potential = 0;
    for (let other = 0; other < rows; other++) potential += nearest[other] = Math.min(nearest[other], squaredDistance(points, other, points, bestRow));
  }
  return chosen;
}

/** First index at which the running sum passes the target; never one of weight 0. */
function pick(weights: Float64Array, target: number): number {
  let sum = 0, last = 0;
  for (let index = 0; index < weights.length; index++) {
    if (weights[index] === 0) continue;
    sum += weights[index];
    last = index;
    if (sum > target) return index;
  }
  return last;
}

function sumOfSquares(points: Points, labels: Int32Array, centroids: readonly (readonly number[])[]): number {
  const { dimensions, values } = points;
  let sum = 0;
  for (let row = 0; row < points.rows; row++) {
    const centroid = centroids[labels[row]]!;
    for (let column = 0; column < dimensions; column++) sum += (values[row * dimensions + column] - centroid[column]!) ** 2;
  }
  return sum;
}

function renumber(result: KMeans): KMeans {
  const order = new Map<number, number>();
  for (const label of result.labels) if (!order.has(label)) order.set(label, order.size);
  // A cluster that lost all its points is numbered after the others.
  result.centroids.forEach((_, old) => order.has(old) || order.set(old, order.size));
  const centroids: (readonly number[])[] = [];
  for (const [old, next] of order) centroids[next] = result.centroids[old]!;
  return { labels: result.labels.map((label) => order.get(label)!), centroids, sse: result.sse };
}

const toRows = (points: Points): number[][] => Array.from({ length: points.rows }, (_, row) => [...points.values.subarray(row * points.dimensions, (row + 1) * points.dimensions)]);
