import { PopulaceError } from "../error.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { checkPoints, squaredDistance } from "./points.ts";
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
  /** Who does the heavy half; default `PLAIN_ENGINE`. The result depends on it in the starts that are drawn, and in nothing else. */
  readonly engine?: KMeansEngine;
}

/** The heavy half of k-means. Rooms that have fast kernels hand in an engine made of them (`kMeansEngine` of room kernels). */
export interface KMeansEngine {
  /** Takes points for any number of starts. */
  open(points: Points): KMeansRun;
}

/** The points of one clustering in the hands of an engine. */
export interface KMeansRun {
  /** Indices of k starting points by greedy k-means++; `DEGENERATE_DATA` when fewer than k points differ. */
  seed(k: number, random: RandomStream): readonly number[];
  /**
   * Lloyd's iterations from the given centers to the end, the same for every engine to the bit: each point goes to the center of the
   * smallest squared distance (added up in f64 in the order of the columns), the first of equals; each center that has points
   * becomes their sum in the order of the rows divided by their number; until no center moves, `ITERATIONS_MAX` times at most.
   */
  lloyd(centers: readonly (readonly number[])[]): { readonly labels: Int32Array; readonly centroids: readonly (readonly number[])[] };
  /** The points are no longer needed. */
  close(): void;
}

/** Far beyond what Lloyd's iterations need; the limit only guards against a cycle through rounding. */
export const ITERATIONS_MAX = 300;

/** The definition as it stands, against which engines are held; draws over f64 distances. */
export const PLAIN_ENGINE: KMeansEngine = {
  open: (points) => ({
    seed: (k, random) => seedIndices(points, k, random),
    lloyd: (centers) => lloyd(points, centers),
    close() {},
  }),
};

function lloyd(points: Points, start: readonly (readonly number[])[]): ReturnType<KMeansRun["lloyd"]> {
  const { rows, dimensions, values } = points;
  const k = start.length, labels = new Int32Array(rows), counts = new Int32Array(k);
  let centers = Float64Array.from(start.flat());
  for (let iteration = 0, isMoving = true; isMoving && iteration < ITERATIONS_MAX; iteration++) {
    const sums = new Float64Array(k * dimensions);
    counts.fill(0);
    for (let row = 0; row < rows; row++) {
      const label = closest(points, row, centers);
      labels[row] = label;
      counts[label]++;
      for (let column = 0; column < dimensions; column++) sums[label * dimensions + column] += values[row * dimensions + column];
    }
    const moved = sums.map((sum, at) => (counts[Math.floor(at / dimensions)] === 0 ? centers[at] : sum / counts[Math.floor(at / dimensions)]));
    isMoving = moved.some((value, at) => value !== centers[at]);
    centers = moved;
  }
  return { labels, centroids: Array.from({ length: k }, (_, center) => Array.from(centers.subarray(center * dimensions, (center + 1) * dimensions))) };
}

/** The center of the smallest squared distance, the first of equals. */
function closest({ dimensions, values }: Points, row: number, centers: Float64Array): number {
  let best = 0, bestDistance = Infinity;
  for (let at = 0; at < centers.length; at += dimensions) {
    let distance = 0;
    for (let column = 0; column < dimensions; column++) {
      const difference = values[row * dimensions + column] - centers[at + column];
      distance += difference * difference;
    }
    if (distance < bestDistance) {
      bestDistance = distance;
      best = at / dimensions;
    }
  }
  return best;
}

/**
 * Returns the best of several k-means clusterings (Lloyd's iterations from greedy k-means++ starts of our own stream). Throws
 * `DEGENERATE_DATA` when k exceeds the distinct points, `BAD_REQUEST` for a k or centers without sense, `BAD_DATA` for values that are not
 * finite.
 * Cost: starts x iterations x points x k.
 */
export function clusterKMeans(points: Points, options: KMeansOptions): KMeans {
  const { k, random, initial, engine = PLAIN_ENGINE } = options;
  const starts = initial === undefined ? (options.starts ?? 20) : 1;
  if (!(Number.isSafeInteger(k) && k >= 1)) throw new PopulaceError("BAD_REQUEST", `k is ${k}; expected an integer of 1 or more`, { k });
  if (k > points.rows) throw new PopulaceError("DEGENERATE_DATA", `${k} clusters of ${points.rows} points; expected at most as many clusters as points`, { k, rows: points.rows });
  checkPoints(points);
  if (initial !== undefined) checkInitial(initial, k, points.dimensions);
  const run = engine.open(points);
  try {
    let best: KMeans | null = null;
    for (let start = 0; start < starts; start++) {
      const centers = initial ?? run.seed(k, random.child(`start ${start}`)).map((row) => rowOf(points, row));
      const { labels, centroids } = run.lloyd(centers);
      const sse = sumOfSquares(points, labels, centroids);
      if (best === null || sse < best.sse) best = { labels, centroids, sse };
    }
    return renumber(best!);
  } finally {
    run.close();
  }
}

function checkInitial(initial: readonly (readonly number[])[], k: number, dimensions: number): void {
  if (initial.length !== k) throw new PopulaceError("BAD_REQUEST", `${initial.length} centers to start from; expected k = ${k}`, { k });
  initial.forEach((center, index) => {
    if (center.length !== dimensions) throw new PopulaceError("BAD_REQUEST", `center ${index + 1} has ${center.length} numbers; expected ${dimensions}, as the points`, { center: index + 1 });
    const wrong = center.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) throw new PopulaceError("BAD_REQUEST", `center ${index + 1}, column ${wrong + 1} is ${center[wrong]}; expected a finite number`, { center: index + 1, column: wrong + 1 });
  });
}

/** Trials of one draw of greedy k-means++. */
export const seedTrials = (k: number): number => 2 + Math.floor(Math.log(k));

/**
 * Indices of k starting points by greedy k-means++ (Arthur and Vassilvitskii 2007): the next one is drawn with probability
 * proportional to its squared distance to those chosen, the best of 2 + ln k such draws. Throws `DEGENERATE_DATA` when fewer
 * than k points differ.
 */
export function seedIndices(points: Points, k: number, random: RandomStream): number[] {
  const { rows } = points;
  const trials = seedTrials(k);
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

/** First index at which the running sum of the weights passes the target; never one of weight 0, unless all are. */
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

const rowOf = (points: Points, row: number): number[] => Array.from(points.values.subarray(row * points.dimensions, (row + 1) * points.dimensions));
