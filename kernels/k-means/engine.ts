import { ITERATIONS_MAX, seedIndices, seedTrials } from "@populace/domain";
import type { KMeansEngine, KMeansRun, Points, RandomStream } from "@populace/domain";
import { NORM_MAX, VALUE_MAX } from "../nearest/limits.ts";
import { kMeansWasm } from "./wasm.ts";
import type { LocalKMeansKernel, LocalKMeansSession } from "./port.ts";

/**
 * k-means on the integer kernel with the result of Lloyd's iterations in f64, to the bit. The kernel sees points and centers rounded to int16
 * and says for which rows the order of two centers is closer than the rounding could have changed; those alone are decided in f64.
 * Seeds are drawn over the rounded points' distances, which are exact integers, so they are the same on every backend.
 * ARITHMETIC_RANGE never happens: the scale follows the points. TOO_LARGE beyond the kernel's memory.
 */
export function engineOn(kernel: LocalKMeansKernel): KMeansEngine {
  return {
    open(points: Points): KMeansRun {
      const scale = scaleOf(points);
      const session = kernel.open(roundedPoints(points, scale), points.dimensions);
      return {
        seed: (k, random) => seeds(session, points, k, random),
        lloyd: (centers) => lloyd(session, points, scale, centers),
        close: () => session.close(),
      };
    },
  };
}

/** k-means on the calling thread in SIMD WebAssembly, which every Node that Populace runs on has; the bits are those of any backend. */
export const kMeansEngine: KMeansEngine = engineOn(kMeansWasm);

/** How points become int16: (value - origin) * factor, rounded. */
interface Scale {
  readonly origin: Float64Array;
  readonly factor: number;
  /** Largest distance of a scaled point from its rounded one. */
  residual: number;
  /** Largest magnitude of a value of the points, unscaled and with its offset. */
  readonly magnitude: number;
}

/** The largest factor that keeps every value and every norm, rounded, in the kernel's range (kernels/nearest/SPEC.md, "Scale"). */
function scaleOf(points: Points): Scale {
  const { rows, dimensions, values } = points;
  const origin = new Float64Array(dimensions);
  let magnitude = 0;
  for (let row = 0, at = 0; row < rows; row++) {
    for (let d = 0; d < dimensions; d++, at++) {
      origin[d] += values[at] / rows;
      const size = Math.abs(values[at]);
      if (size > magnitude) magnitude = size;
    }
  }
  let widest = 0, longest = 0;
  for (let row = 0, at = 0; row < rows; row++) {
    let norm = 0;
    for (let d = 0; d < dimensions; d++, at++) {
      const size = Math.abs(values[at] - origin[d]);
      if (size > widest) widest = size;
      norm += size * size;
    }
    if (norm > longest) longest = norm;
  }
  const rounding = Math.sqrt(dimensions) / 2 + 1;
  const factor = Math.min((VALUE_MAX - 1) / widest, (NORM_MAX - rounding) / Math.sqrt(longest));
  // Points that are all equal, or so wide or narrow that squares leave the numbers: the integers say nothing, and all is decided in f64.
  return { origin, factor: Number.isFinite(factor * longest) ? factor : 0, residual: 0, magnitude };
}

/** Added and taken off again it rounds a double below 2^51 to a whole number; three times as fast as Math.round. */
const ROUNDER = 1.5 * 2 ** 52;

function roundedPoints(points: Points, scale: Scale): Int16Array {
  const { rows, dimensions, values } = points;
  const { origin, factor } = scale;
  const rounded = new Int16Array(values.length);
  if (factor === 0) return rounded;
  let residual = 0;
  for (let row = 0, at = 0; row < rows; row++) {
    let squared = 0;
    for (let d = 0; d < dimensions; d++, at++) {
      const exact = (values[at] - origin[d]) * factor;
      const whole = exact + ROUNDER - ROUNDER;
      rounded[at] = whole;
      squared += (exact - whole) * (exact - whole);
    }
    if (squared > residual) residual = squared;
  }
  scale.residual = Math.sqrt(residual);
  return rounded;
}

function seeds(session: LocalKMeansSession, points: Points, k: number, random: RandomStream): readonly number[] {
  const { rows } = points;
  const trials = seedTrials(k);
  const chosen = [random.integer(rows)];
  session.spread();
  let potential = session.choose(chosen[0]);
  while (chosen.length < k) {
    // Closer than a step of the integers: the draws over f64 distances may still tell them apart, or say how few differ.
    if (potential === 0) return seedIndices(points, k, random);
    const sum = potential;
    const candidates = Array.from({ length: trials }, () => session.draw(random.uniform() * sum));
    let best = 0;
    for (let first = 0, bestPotential = Infinity; first < trials; first += 8) {
      session.potentials(candidates.slice(first, first + 8)).forEach((after, place) => {
        if (after < bestPotential) [best, bestPotential] = [first + place, after];
      });
    }
    chosen.push(candidates[best]);
    potential = session.choose(candidates[best]);
  }
  return chosen;
}

/** Lloyd's iterations (`KMeansRun.lloyd`). The kernel's labels are taken where its slack proves them, all others are found in f64. */
function lloyd(session: LocalKMeansSession, points: Points, scale: Scale, start: readonly (readonly number[])[]): ReturnType<KMeansRun["lloyd"]> {
  const { rows, dimensions } = points;
  const k = start.length;
  const members = new Members(points, scale, Float64Array.from(start.flat()));
  const all = Int32Array.from({ length: k }, (_, center) => center);
  const isSettled = new Uint8Array(rows);
  const rounded = new Int16Array(k * dimensions);
  /** Rows whose label at the step before was decided in f64: the kernel may hold another one for them. */
  let decided: Int32Array = new Int32Array(0);
  session.forget();
  for (let iteration = 0; iteration < ITERATIONS_MAX; iteration++) {
    const error = roundCenters(members.centers, scale, rounded);
    if (error === null) {
      // A given center lies far outside the points: every row is decided in f64, and its successor will lie among them.
      for (let row = 0; row < rows; row++) members.move(row, members.closest(row, all));
      session.forget();
    } else {
      // Point and center are each off by their rounding, and so is the other center; the last summand is the rounding of all this.
      const slack = 2 * (scale.residual + error + members.error * scale.factor) + 1e-6;
      const { labels, moved, doubtful } = session.assign(rounded, slack);
      const settle = (row: number, center: number): void => {
        if (isSettled[row] === 1) return;
        isSettled[row] = 1;
        members.move(row, center);
      };
      for (const row of doubtful) settle(row, members.closest(row, session.rivals(row)));
      for (const row of decided) settle(row, labels[row]);
      for (const row of moved) if (isSettled[row] === 0) members.move(row, labels[row]);
      for (const row of doubtful) isSettled[row] = 0;
      for (const row of decided) isSettled[row] = 0;
      decided = doubtful.slice();
    }
    if (!members.settle()) break;
  }
  const centroids = members.exactCenters();
  return { labels: members.labels, centroids: Array.from({ length: k }, (_, center) => Array.from(centroids.subarray(center * dimensions, (center + 1) * dimensions))) };
}

/** Writes centers on the points' scale; returns the largest distance of one from its rounded form, or null when one leaves the kernel's range. */
function roundCenters(centers: Float64Array, { origin, factor }: Scale, rounded: Int16Array): number | null {
  const dimensions = origin.length;
  let worst = 0;
  for (let from = 0; from < centers.length; from += dimensions) {
    let squared = 0, norm = 0;
    for (let d = 0; d < dimensions; d++) {
      const exact = (centers[from + d] - origin[d]) * factor;
      const whole = Math.round(exact);
      if (!(Math.abs(whole) <= VALUE_MAX)) return null;
      rounded[from + d] = whole;
      norm += whole * whole;
      squared += (exact - whole) ** 2;
    }
    if (norm > NORM_MAX ** 2) return null;
    if (squared > worst) worst = squared;
  }
  return Math.sqrt(worst);
}

/**
 * Who belongs to which center, and where the centers are. The definition adds up all members in the order of the rows at each step;
 * here the sums of a fine grid are kept, which are exact integers and change with those who move only, and the definition's own
 * sums are made when a decision is closer than the grid.
 */
class Members {
  readonly labels: Int32Array;
  /** Centers in use: the given ones at first, then the grid's. */
  centers: Float64Array;
  /** Bound on the distance between a center in use and the definition's. */
  error = 0;
  readonly #points: Points;
  readonly #scale: Scale;
  readonly #grid: number;
  readonly #gridError: number;
  readonly #sums: Float64Array;
  readonly #counts: Int32Array;
  /** The definition's centers of this step, once they have been needed; those of centers without members stay as they were. */
  #exact: Float64Array | null;
  /** The last exact place of each center that has no members. */
  readonly #left: Float64Array;
  readonly #moves: number[] = [];

  constructor(points: Points, scale: Scale, centers: Float64Array) {
    const { rows, dimensions } = points;
    this.#points = points;
    this.#scale = scale;
    this.centers = centers;
    this.#exact = centers;
    this.#left = centers.slice();
    this.labels = new Int32Array(rows).fill(-1);
    this.#counts = new Int32Array(centers.length / dimensions);
    this.#sums = new Float64Array(centers.length);
    // As fine as sums of all rows stay exact in a double: values are below 2^15 on the points' scale.
    this.#grid = 2 ** Math.min(16, 37 - Math.ceil(Math.log2(rows)));
    // Rounding to the grid; then what adding up in the order of the rows and dividing may lose, the values with their offset.
    this.#gridError = Math.sqrt(dimensions) * (0.51 / (this.#grid * scale.factor) + (rows + 2) * 2 ** -52 * scale.magnitude);
  }

  /** The definition's choice for a row among ascending centers: the smallest squared distance, the first of equals. */
  closest(row: number, among: Int32Array): number {
    const found = nearestTwo(this.#points, row, this.centers, among);
    if (this.#exact === this.centers || Math.sqrt(found.second) - Math.sqrt(found.best) > 2.001 * this.error) return found.index;
    return nearestTwo(this.#points, row, this.exactCenters(), among).index;
  }

  /** Notes a row's center for this step; `settle` acts on it. */
  move(row: number, center: number): void {
    if (this.labels[row] !== center) this.#moves.push(row, center);
  }

  /** Moves who was noted and the centers with them; returns whether anybody moved. */
  settle(): boolean {
    const moves = this.#moves;
    if (moves.length === 0) return false;
    const { dimensions, values } = this.#points;
    const { origin, factor } = this.#scale;
    const counts = this.#counts, sums = this.#sums, labels = this.labels;
    const after = counts.slice();
    for (let i = 0; i < moves.length; i += 2) {
      if (labels[moves[i]] >= 0) after[labels[moves[i]]]--;
      after[moves[i + 1]]++;
    }
    // Who loses all members stays where the definition has it, which only the labels before can tell.
    for (let center = 0; center < counts.length; center++) {
      if (after[center] === 0 && counts[center] > 0) this.#left.set(this.exactCenters().subarray(center * dimensions, (center + 1) * dimensions), center * dimensions);
    }
    counts.set(after);
    const scaled = factor * this.#grid;
    for (let i = 0; i < moves.length; i += 2) {
      const row = moves[i], to = moves[i + 1] * dimensions, from = labels[row] * dimensions, at = row * dimensions;
      labels[row] = moves[i + 1];
      if (from < 0) for (let d = 0; d < dimensions; d++) sums[to + d] += (values[at + d] - origin[d]) * scaled + ROUNDER - ROUNDER;
      else {
        for (let d = 0; d < dimensions; d++) {
          const value = (values[at + d] - origin[d]) * scaled + ROUNDER - ROUNDER;
          sums[to + d] += value;
          sums[from + d] -= value;
        }
      }
    }
    moves.length = 0;
    this.#exact = null;
    if (factor === 0) this.centers = this.exactCenters();
    else {
      this.error = this.#gridError;
      const centers = new Float64Array(sums.length);
      for (let center = 0; center < counts.length; center++) {
        for (let d = 0, at = center * dimensions; d < dimensions; d++, at++) centers[at] = counts[center] === 0 ? this.#left[at] : origin[d] + sums[at] / counts[center] / scaled;
      }
      this.centers = centers;
    }
    return true;
  }

  /** The definition's centers of the labels as they stand. */
  exactCenters(): Float64Array {
    if (this.#exact !== null) return this.#exact;
    const { rows, dimensions, values } = this.#points;
    const centers = new Float64Array(this.#sums.length);
    for (let row = 0; row < rows; row++) {
      const to = this.labels[row] * dimensions, at = row * dimensions;
      for (let d = 0; d < dimensions; d++) centers[to + d] += values[at + d];
    }
    for (let center = 0; center < this.#counts.length; center++) {
      for (let d = 0, at = center * dimensions; d < dimensions; d++, at++) centers[at] = this.#counts[center] === 0 ? this.#left[at] : centers[at] / this.#counts[center];
    }
    this.#exact = centers;
    return centers;
  }
}

/** The center of the smallest squared distance (the first of equals) among some in ascending order, and the two smallest. */
function nearestTwo(points: Points, row: number, centers: Float64Array, among: Int32Array): { readonly index: number; readonly best: number; readonly second: number } {
  const { dimensions, values } = points;
  const at = row * dimensions;
  let index = among[0], best = Infinity, second = Infinity;
  for (const center of among) {
    const from = center * dimensions;
    let sum = 0;
    for (let d = 0; d < dimensions; d++) {
      const difference = values[at + d] - centers[from + d];
      sum += difference * difference;
    }
    if (sum < best) {
      second = best;
      best = sum;
      index = center;
    } else if (sum < second) second = sum;
  }
  return { index, best, second };
}
