import type { Points } from "./points.ts";

/** Most points of a leaf: below, splitting costs more than it saves. */
const LEAF_POINTS = 16;

/**
 * A kd-tree over points in flat arrays: radius queries in any number of dimensions. Splits at the median of the widest side,
 * so the tree is balanced whatever the data; equal coordinates are split by position and keep the tree finite.
 */
export class KdTree {
  readonly #points: Points;
  /** Rows in tree order; a tree node owns a run of them. */
  readonly #order: Int32Array;
  /** Bounding box of each tree node: low sides, then high sides. */
  readonly #boxes: Float64Array;

  constructor(points: Points) {
    this.#points = points;
    this.#order = Int32Array.from({ length: points.rows }, (_, row) => row);
    this.#boxes = new Float64Array(2 * points.dimensions * (2 << Math.max(0, 32 - Math.clz32(Math.floor(points.rows / LEAF_POINTS)))));
    if (points.rows > 0) this.#build(0, 0, points.rows);
  }

  /** How many points lie within the radius of row `row`, itself included; stops counting at `enough`. */
  countWithin(row: number, radius: number, enough: number): number {
    let count = 0;
    this.#visit(0, 0, this.#points.rows, row, radius * radius, (_found, run) => (count += run) >= enough);
    return Math.min(count, enough);
  }

  /** Calls `found` with each row within the radius of `row`, itself included, in tree order; stops when it returns true. */
  eachWithin(row: number, radius: number, found: (other: number) => boolean | void): void {
    this.#visit(0, 0, this.#points.rows, row, radius * radius, (first, run) => {
      for (let i = first; i < first + run; i++) if (found(this.#order[i]) === true) return true;
      return false;
    });
  }

  /** Squared distance to the `rank`-th closest point of row `row`, itself the first. */
  squaredDistanceToRank(row: number, rank: number): number {
    const closest = new Float64Array(rank).fill(Infinity);
    this.#closest(0, 0, this.#points.rows, row, closest);
    return closest[rank - 1];
  }

  #build(node: number, first: number, end: number): void {
    const { dimensions, values } = this.#points;
    const box = node * 2 * dimensions;
    let widest = 0, width = -1;
    for (let column = 0; column < dimensions; column++) {
      let low = Infinity, high = -Infinity;
      for (let i = first; i < end; i++) {
        const value = values[this.#order[i] * dimensions + column];
        if (value < low) low = value;
        if (value > high) high = value;
      }
      this.#boxes[box + column] = low;
      this.#boxes[box + dimensions + column] = high;
      if (high - low > width) {
        width = high - low;
        widest = column;
      }
    }
    if (end - first <= LEAF_POINTS) return;
    const middle = (first + end) >> 1;
    this.#select(first, end - 1, middle, widest);
    this.#build(2 * node + 1, first, middle);
    this.#build(2 * node + 2, middle, end);
  }

  /** Quickselect: afterwards no row left of `middle` has a larger coordinate than one right of it (Hoare 1961). */
  #select(left: number, right: number, middle: number, column: number): void {
    const { dimensions, values } = this.#points, order = this.#order;
    while (left < right) {
      const pivot = values[order[(left + right) >> 1] * dimensions + column];
      let i = left, j = right;
      while (i <= j) {
        while (values[order[i] * dimensions + column] < pivot) i++;
        while (values[order[j] * dimensions + column] > pivot) j--;
        if (i <= j) {
          const kept = order[i];
          order[i] = order[j];
          order[j] = kept;
          i++;
          j--;
        }
      }
      if (middle <= j) right = j;
      else if (middle >= i) left = i;
      else return;
    }
  }

  /** Reports runs of the order array that lie within; returns true when the receiver has had enough. */
  #visit(node: number, first: number, end: number, row: number, squaredRadius: number, report: (first: number, run: number) => boolean): boolean {
    const { dimensions, values } = this.#points;
    const box = node * 2 * dimensions;
    let nearest = 0, farthest = 0;
    for (let column = 0; column < dimensions; column++) {
      const value = values[row * dimensions + column], low = this.#boxes[box + column], high = this.#boxes[box + dimensions + column];
      const outside = value < low ? low - value : value > high ? value - high : 0;
      const across = Math.max(Math.abs(value - low), Math.abs(high - value));
      nearest += outside * outside;
      farthest += across * across;
    }
    if (nearest > squaredRadius) return false;
    if (farthest <= squaredRadius) return report(first, end - first);
    if (end - first <= LEAF_POINTS) {
      for (let i = first; i < end; i++) if (this.#squared(this.#order[i], row) <= squaredRadius && report(i, 1)) return true;
      return false;
    }
    const middle = (first + end) >> 1;
    return this.#visit(2 * node + 1, first, middle, row, squaredRadius, report) || this.#visit(2 * node + 2, middle, end, row, squaredRadius, report);
  }

  #closest(node: number, first: number, end: number, row: number, closest: Float64Array): void {
    if (this.#toBox(node, row) > closest[closest.length - 1]) return;
    if (end - first <= LEAF_POINTS) {
      for (let i = first; i < end; i++) insert(closest, this.#squared(this.#order[i], row));
      return;
    }
    const middle = (first + end) >> 1;
    const leftFirst = this.#toBox(2 * node + 1, row) <= this.#toBox(2 * node + 2, row);
    if (leftFirst) this.#closest(2 * node + 1, first, middle, row, closest);
    this.#closest(2 * node + 2, middle, end, row, closest);
    if (!leftFirst) this.#closest(2 * node + 1, first, middle, row, closest);
  }

  #toBox(node: number, row: number): number {
    const { dimensions, values } = this.#points;
    const box = node * 2 * dimensions;
    let nearest = 0;
    for (let column = 0; column < dimensions; column++) {
      const value = values[row * dimensions + column], low = this.#boxes[box + column], high = this.#boxes[box + dimensions + column];
      const outside = value < low ? low - value : value > high ? value - high : 0;
      nearest += outside * outside;
    }
    return nearest;
  }

  #squared(a: number, b: number): number {
    const { dimensions, values } = this.#points;
    let sum = 0;
    for (let column = 0; column < dimensions; column++) {
      const difference = values[a * dimensions + column] - values[b * dimensions + column];
      sum += difference * difference;
    }
    return sum;
  }
}

/** Keeps the smallest values in ascending order, changing the array. */
function insert(ascending: Float64Array, value: number): void {
  let position = ascending.length - 1;
  if (value >= ascending[position]) return;
  while (position > 0 && ascending[position - 1] > value) {
    ascending[position] = ascending[position - 1];
    position--;
  }
  ascending[position] = value;
}
