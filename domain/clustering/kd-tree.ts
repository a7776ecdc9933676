import type { Points } from "./points.ts";

/** Most points of a leaf: with fewer the boxes cost more than they save (measured for DBSCAN in 5 to 16 dimensions: 16 points take 1.6 times as long). */
const LEAF_POINTS = 64;

/**
 * A kd-tree over points in flat arrays, in any number of dimensions. Splits at the median of the widest side, so the tree is balanced
 * whatever the data; equal coordinates are split by position and keep the tree finite.
 *
 * Boxes decide with the arithmetic of points: rounding is monotone, so no box says "beyond" of a point whose own computed distance is within.
 */
export class KdTree {
  /** Rows in tree order; a leaf owns a run of them. */
  readonly order: Int32Array;
  /** Leaf l owns order[leafStart[l]] to order[leafStart[l + 1] - 1]. */
  readonly leafStart: Int32Array;
  readonly #points: Points;
  /** Bounding box of each tree node: low sides, then high sides. */
  readonly #boxes: Float64Array;
  /** Leaf of each tree node, -1 where it is none. */
  readonly #leafOf: Int32Array;
  /** Tree node of each leaf. */
  readonly #nodeOf: number[] = [];

  constructor(points: Points) {
    const nodes = 2 << Math.max(0, 32 - Math.clz32(Math.floor(points.rows / LEAF_POINTS)));
    this.#points = points;
    this.order = Int32Array.from({ length: points.rows }, (_, row) => row);
    this.#boxes = new Float64Array(2 * points.dimensions * nodes);
    this.#leafOf = new Int32Array(nodes).fill(-1);
    const starts: number[] = [];
    if (points.rows > 0) this.#build(0, 0, points.rows, starts);
    this.leafStart = Int32Array.from([...starts, points.rows]);
  }

  /** Squared distance to the `rank`-th closest point of row `row`, itself the first. */
  squaredDistanceToRank(row: number, rank: number): number {
    const closest = new Float64Array(rank).fill(Infinity);
    this.#closest(0, row, closest);
    return closest[rank - 1];
  }

  /** Lists the leaves whose boxes come within the radius of a leaf's box, itself first, and returns their number; `found` has room for all leaves. */
  leavesNear(leaf: number, squaredRadius: number, found: Int32Array): number {
    const { dimensions } = this.#points;
    const boxes = this.#boxes, leafOf = this.#leafOf, stack = this.#stack;
    const own = this.#nodeOf[leaf] * 2 * dimensions;
    let count = 1, open = 1;
    found[0] = leaf;
    stack[0] = 0;
    while (open > 0) {
      const node = stack[--open];
      const box = node * 2 * dimensions;
      let gaps = 0;
      for (let column = 0; column < dimensions && gaps <= squaredRadius; column++) {
        const gap = Math.max(0, boxes[box + column] - boxes[own + dimensions + column], boxes[own + column] - boxes[box + dimensions + column]);
        gaps += gap * gap;
      }
      if (gaps > squaredRadius) continue;
      if (leafOf[node] < 0) {
        stack[open++] = 2 * node + 2;
        stack[open++] = 2 * node + 1;
      } else if (leafOf[node] !== leaf) found[count++] = leafOf[node];
    }
    return count;
  }

  /** Nodes waiting to be looked at: at most one a level and one more. */
  readonly #stack = new Int32Array(128);

  /** The box of a leaf: where its low sides begin in `boxes`; the high sides follow. */
  boxOf = (leaf: number): number => this.#nodeOf[leaf] * 2 * this.#points.dimensions;

  get boxes(): Float64Array {
    return this.#boxes;
  }

  #build(node: number, first: number, end: number, starts: number[]): void {
    const { dimensions, values } = this.#points;
    const box = node * 2 * dimensions;
    let widest = 0, width = -1;
    for (let column = 0; column < dimensions; column++) {
      let low = Infinity, high = -Infinity;
      for (let i = first; i < end; i++) {
        const value = values[this.order[i] * dimensions + column];
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
    if (end - first <= LEAF_POINTS) {
      this.#leafOf[node] = starts.length;
      this.#nodeOf.push(node);
      starts.push(first);
      return;
    }
    const middle = (first + end) >> 1;
    this.#select(first, end - 1, middle, widest);
    this.#build(2 * node + 1, first, middle, starts);
    this.#build(2 * node + 2, middle, end, starts);
  }

  /** Quickselect: afterwards no row left of `middle` has a larger coordinate than one right of it (Hoare 1961). */
  #select(left: number, right: number, middle: number, column: number): void {
    const { dimensions, values } = this.#points, order = this.order;
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

  #closest(node: number, row: number, closest: Float64Array): void {
    if (this.#toBox(node, row) > closest[closest.length - 1]) return;
    const leaf = this.#leafOf[node];
    if (leaf >= 0) {
      for (let i = this.leafStart[leaf]; i < this.leafStart[leaf + 1]; i++) insert(closest, this.#squared(this.order[i], row));
      return;
    }
    const leftFirst = this.#toBox(2 * node + 1, row) <= this.#toBox(2 * node + 2, row);
    if (leftFirst) this.#closest(2 * node + 1, row, closest);
    this.#closest(2 * node + 2, row, closest);
    if (!leftFirst) this.#closest(2 * node + 1, row, closest);
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
