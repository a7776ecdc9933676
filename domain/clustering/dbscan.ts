import { PopulaceError } from "../error.ts";
import { KdTree } from "./kd-tree.ts";
import { NOISE, checkPoints } from "./points.ts";
import type { Points } from "./points.ts";

export interface Dbscan {
  /** Cluster of each point, numbered by its first core point in the data; -1 = noise. */
  readonly labels: Int32Array;
  readonly k: number;
  readonly noise: number;
  /** 1 where at least `minPoints` points, itself counted, lie within `eps`. */
  readonly core: Uint8Array;
}

export interface DbscanOptions {
  /** Radius of the neighborhood, more than 0; a distance equal to it counts as within. */
  readonly eps: number;
  /** Points within `eps`, the point itself counted, that make it a core point; 1 or more. */
  readonly minPoints: number;
}

/** The grid looks at 5^d neighboring cells: 125 in three dimensions, 625 in four, where the tree is faster. */
const GRID_DIMENSIONS_MAX = 3;
/** Cell numbers are kept exactly in a double. */
const GRID_CELLS_MAX = 2 ** 50;

/**
 * Density clustering (Ester, Kriegel, Sander, Xu 1996). Core points within `eps` of one another share a cluster; a border point
 * goes to the lowest-numbered cluster that has a core point within `eps`, as in a scan in data order, so the result depends on
 * nothing but data and options.
 *
 * Up to three dimensions a uniform grid of cells with diagonal `eps`: points of one cell are all neighbors, so a cell holding
 * `minPoints` needs no counting and cells, not points, are joined (Gunawan 2013). Beyond: the leaves of a kd-tree. Throws `BAD_REQUEST`, and `BAD_DATA` for
 * values that are not finite.
 */
export function clusterDbscan(points: Points, options: DbscanOptions): Dbscan {
  const { eps, minPoints } = options;
  if (!(Number.isFinite(eps) && eps > 0)) throw new PopulaceError("BAD_REQUEST", `eps is ${eps}; expected a finite distance above 0`, { eps });
  if (!(Number.isSafeInteger(minPoints) && minPoints >= 1)) throw new PopulaceError("BAD_REQUEST", `minPoints is ${minPoints}; expected an integer of 1 or more`, { minPoints });
  checkPoints(points);
  if (points.rows === 0 || points.dimensions === 0) return { labels: new Int32Array(points.rows).fill(NOISE), k: 0, noise: points.rows, core: new Uint8Array(points.rows) };
  const grid = points.dimensions <= GRID_DIMENSIONS_MAX ? buildGrid(points, eps) : null;
  return grid === null ? byTree(points, eps, minPoints) : byGrid(points, grid, eps, minPoints);
}

interface Grid {
  /** Rows sorted by cell; cell c owns order[start[c] .. start[c + 1]). */
  readonly order: Int32Array;
  readonly start: Int32Array;
  readonly cellOf: Int32Array;
  /** Occupied cells around each cell (itself left out), as compressed rows. */
  readonly neighborStart: Int32Array;
  readonly neighbors: Int32Array;
}

function buildGrid(points: Points, eps: number): Grid | null {
  const { rows, dimensions, values } = points;
  // A hair below eps / sqrt(d), so that rounding never puts two points farther apart than eps into one cell.
  const side = (eps / Math.sqrt(dimensions)) * (1 - 1e-12);
  const low = new Float64Array(dimensions).fill(Infinity), high = new Float64Array(dimensions).fill(-Infinity);
  for (let i = 0; i < values.length; i++) {
    const column = i % dimensions;
    if (values[i] < low[column]) low[column] = values[i];
    if (values[i] > high[column]) high[column] = values[i];
  }
  // Two empty cells on every side keep the numbers of neighbors from wrapping around.
  const stride = new Float64Array(dimensions);
  let cells = 1;
  for (let column = dimensions - 1; column >= 0; column--) {
    stride[column] = cells;
    cells *= Math.floor((high[column] - low[column]) / side) + 5;
    if (!(cells < GRID_CELLS_MAX)) return null;
  }
  const keys = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let key = 0;
    for (let column = 0; column < dimensions; column++) key += (Math.floor((values[row * dimensions + column] - low[column]) / side) + 2) * stride[column];
    keys[row] = key;
  }
  // Sort rows by (cell, row) through one packed typed array: far quicker than a comparator.
  const order = sortByKey(keys);
  const cellKeys: number[] = [];
  const cellOf = new Int32Array(rows);
  const starts: number[] = [];
  for (let i = 0; i < rows; i++) {
    const key = keys[order[i]];
    if (i === 0 || key !== cellKeys[cellKeys.length - 1]) {
      cellKeys.push(key);
      starts.push(i);
    }
    cellOf[order[i]] = cellKeys.length - 1;
  }
  starts.push(rows);
  return { order, start: Int32Array.from(starts), cellOf, ...neighborCells(cellKeys, stride, dimensions) };
}

function sortByKey(keys: Float64Array): Int32Array {
  const sorted = Float64Array.from(keys).sort();
  const rank = new Map<number, number>();
  for (let i = 0; i < sorted.length; i++) if (i === 0 || sorted[i] !== sorted[i - 1]) rank.set(sorted[i], i);
  const order = new Int32Array(keys.length);
  for (let row = 0; row < keys.length; row++) {
    const position = rank.get(keys[row])!;
    order[position] = row;
    rank.set(keys[row], position + 1);
  }
  return order;
}

/**
 * Occupied cells at most two away in each dimension. For each offset in all dimensions but the last, a pointer runs along the
 * sorted cell numbers, so no hash lookups: the five cells of the last dimension are consecutive numbers.
 */
function neighborCells(cellKeys: readonly number[], stride: Float64Array, dimensions: number): { neighborStart: Int32Array; neighbors: Int32Array } {
  const offsets: number[] = [0];
  for (let column = 0; column < dimensions - 1; column++) {
    for (const base of offsets.splice(0)) for (let step = -2; step <= 2; step++) offsets.push(base + step * stride[column]);
  }
  const count = cellKeys.length;
  const pointers = new Int32Array(offsets.length);
  const neighborStart = new Int32Array(count + 1);
  const neighbors: number[] = [];
  for (let cell = 0; cell < count; cell++) {
    for (let o = 0; o < offsets.length; o++) {
      const first = cellKeys[cell] + offsets[o] - 2;
      let pointer = pointers[o];
      while (pointer < count && cellKeys[pointer] < first) pointer++;
      pointers[o] = pointer;
      for (; pointer < count && cellKeys[pointer] <= first + 4; pointer++) if (pointer !== cell) neighbors.push(pointer);
    }
    neighborStart[cell + 1] = neighbors.length;
  }
  return { neighborStart, neighbors: Int32Array.from(neighbors) };
}

function byGrid(points: Points, grid: Grid, eps: number, minPoints: number): Dbscan {
  const { rows, dimensions, values } = points;
  const { order, start, cellOf, neighborStart, neighbors } = grid;
  const squaredEps = eps * eps;
  const within = (a: number, b: number): boolean => {
    let sum = 0;
    for (let column = 0; column < dimensions; column++) {
      const difference = values[a * dimensions + column] - values[b * dimensions + column];
      sum += difference * difference;
    }
    return sum <= squaredEps;
  };

  const cells = start.length - 1;
  const core = new Uint8Array(rows);
  // Core rows of a cell, first in its run: scans for core points then read a prefix.
  const coreCount = new Int32Array(cells);
  const coreOrder = new Int32Array(rows);
  for (let cell = 0; cell < cells; cell++) {
    const own = start[cell + 1] - start[cell];
    for (let i = start[cell]; i < start[cell + 1]; i++) {
      const row = order[i];
      let count = own;
      for (let n = neighborStart[cell]; n < neighborStart[cell + 1] && count < minPoints; n++) {
        const other = neighbors[n];
        for (let j = start[other]; j < start[other + 1] && count < minPoints; j++) if (within(row, order[j])) count++;
      }
      if (count >= minPoints) {
        core[row] = 1;
        coreOrder[start[cell] + coreCount[cell]++] = row;
      }
    }
  }

  const sets = new DisjointSets(cells);
  for (let cell = 0; cell < cells; cell++) {
    if (coreCount[cell] === 0) continue;
    for (let n = neighborStart[cell]; n < neighborStart[cell + 1]; n++) {
      const other = neighbors[n];
      if (other < cell || coreCount[other] === 0 || sets.find(cell) === sets.find(other)) continue;
      if (anyWithin(coreOrder, start[cell], coreCount[cell], start[other], coreCount[other], within)) sets.join(cell, other);
    }
  }

  const labels = new Int32Array(rows).fill(NOISE);
  const labelOfSet = new Int32Array(cells).fill(NOISE);
  let k = 0;
  for (let row = 0; row < rows; row++) {
    if (core[row] === 0) continue;
    const set = sets.find(cellOf[row]);
    if (labelOfSet[set] === NOISE) labelOfSet[set] = k++;
    labels[row] = labelOfSet[set];
  }
  let noise = 0;
  for (let row = 0; row < rows; row++) {
    if (core[row] === 1) continue;
    const cell = cellOf[row];
    let best = coreCount[cell] > 0 ? labelOfSet[sets.find(cell)] : k;
    for (let n = neighborStart[cell]; n < neighborStart[cell + 1]; n++) {
      const other = neighbors[n];
      if (coreCount[other] === 0) continue;
      const label = labelOfSet[sets.find(other)];
      if (label >= best) continue;
      for (let j = start[other]; j < start[other] + coreCount[other]; j++) {
        if (within(row, coreOrder[j])) {
          best = label;
          break;
        }
      }
    }
    if (best < k) labels[row] = best;
    else noise++;
  }
  return { labels, k, noise, core };
}

function anyWithin(order: Int32Array, firstA: number, countA: number, firstB: number, countB: number, within: (a: number, b: number) => boolean): boolean {
  for (let i = firstA; i < firstA + countA; i++) for (let j = firstB; j < firstB + countB; j++) if (within(order[i], order[j])) return true;
  return false;
}

/**
 * Leaves of a kd-tree take the part of the grid's cells: each leaf is held against the leaves its box comes near, and leaves whose core points are joined
 * already are not looked at again. Points are copied into the order of the leaves, where neighbors lie side by side.
 */
function byTree(points: Points, eps: number, minPoints: number): Dbscan {
  const { rows, dimensions, values } = points;
  const squaredEps = eps * eps;
  const tree = new KdTree(points);
  const { order, leafStart, boxes } = tree;
  const leaves = leafStart.length - 1;
  const near = new Int32Array(leaves);
  const sorted = new Float64Array(rows * dimensions);
  for (let place = 0; place < rows; place++) for (let column = 0; column < dimensions; column++) sorted[place * dimensions + column] = values[order[place] * dimensions + column];

  const within = (a: number, b: number): boolean => {
    let sum = 0;
    // Sums only grow, so what is beyond after some columns stays there.
    for (let column = 0, left = a * dimensions, right = b * dimensions; column < dimensions; column++, left++, right++) {
      const difference = sorted[left] - sorted[right];
      sum += difference * difference;
      if (sum > squaredEps) return false;
    }
    return true;
  };
  /** Whether no point of the leaf is within eps of the place. */
  const isBeyond = (place: number, leaf: number): boolean => {
    const box = tree.boxOf(leaf);
    let nearest = 0;
    for (let column = 0, at = place * dimensions; column < dimensions; column++, at++) {
      const value = sorted[at], low = boxes[box + column], high = boxes[box + dimensions + column];
      const outside = value < low ? low - value : value > high ? value - high : 0;
      nearest += outside * outside;
      if (nearest > squaredEps) return true;
    }
    return false;
  };
  /** Whether all points of the leaf are within eps of the place. */
  const isWithin = (place: number, leaf: number): boolean => {
    const box = tree.boxOf(leaf);
    let farthest = 0;
    for (let column = 0, at = place * dimensions; column < dimensions; column++, at++) {
      const across = Math.max(Math.abs(sorted[at] - boxes[box + column]), Math.abs(boxes[box + dimensions + column] - sorted[at]));
      farthest += across * across;
      if (farthest > squaredEps) return false;
    }
    return true;
  };

  const core = new Uint8Array(rows);
  // Core places of a leaf, first in its run.
  const coreCount = new Int32Array(leaves);
  const coreOrder = new Int32Array(rows);
  for (let leaf = 0; leaf < leaves; leaf++) {
    const count = tree.leavesNear(leaf, squaredEps, near);
    for (let place = leafStart[leaf]; place < leafStart[leaf + 1]; place++) {
      // Counting for both of a pair at once would save half where points are few, and costs twice as much where they are many.
      let found = 0;
      for (let n = 0; n < count && found < minPoints; n++) {
        const first = leafStart[near[n]], end = leafStart[near[n] + 1];
        if (isBeyond(place, near[n])) continue;
        if (isWithin(place, near[n])) found += end - first;
        else for (let other = first; other < end && found < minPoints; other++) if (within(place, other)) found++;
      }
      if (found < minPoints) continue;
      core[order[place]] = 1;
      coreOrder[leafStart[leaf] + coreCount[leaf]++] = place;
    }
  }

  const sets = new DisjointSets(rows);
  const joinAll = (firstA: number, countA: number, firstB: number, countB: number): void => {
    for (let i = firstA; i < firstA + countA; i++) {
      for (let j = firstB; j < firstB + countB; j++) {
        const a = coreOrder[i], b = coreOrder[j];
        if (sets.find(a) !== sets.find(b) && within(a, b)) sets.join(a, b);
      }
    }
  };
  /** The set of a leaf's core points when they share one, else -1. Sets only grow: what shares one goes on doing so. */
  const isOne = new Uint8Array(leaves);
  const setOf = (leaf: number): number => {
    const set = sets.find(coreOrder[leafStart[leaf]]);
    if (isOne[leaf] === 1) return set;
    for (let i = 1; i < coreCount[leaf]; i++) if (sets.find(coreOrder[leafStart[leaf] + i]) !== set) return -1;
    isOne[leaf] = 1;
    return set;
  };
  for (let leaf = 0; leaf < leaves; leaf++) joinAll(leafStart[leaf], coreCount[leaf], leafStart[leaf], coreCount[leaf]);
  for (let leaf = 0; leaf < leaves; leaf++) {
    if (coreCount[leaf] === 0) continue;
    const count = tree.leavesNear(leaf, squaredEps, near);
    for (let n = 1; n < count; n++) {
      const other = near[n];
      if (other < leaf || coreCount[other] === 0) continue;
      const set = setOf(leaf);
      if (set < 0 || set !== setOf(other)) joinAll(leafStart[leaf], coreCount[leaf], leafStart[other], coreCount[other]);
    }
  }

  const placeOf = new Int32Array(rows);
  for (let place = 0; place < rows; place++) placeOf[order[place]] = place;
  const labels = new Int32Array(rows).fill(NOISE);
  const labelOfSet = new Int32Array(rows).fill(NOISE);
  let k = 0;
  for (let row = 0; row < rows; row++) {
    if (core[row] === 0) continue;
    const set = sets.find(placeOf[row]);
    if (labelOfSet[set] === NOISE) labelOfSet[set] = k++;
    labels[row] = labelOfSet[set];
  }
  let noise = 0;
  for (let leaf = 0; leaf < leaves; leaf++) {
    if (coreCount[leaf] === leafStart[leaf + 1] - leafStart[leaf]) continue;
    const count = tree.leavesNear(leaf, squaredEps, near);
    for (let place = leafStart[leaf]; place < leafStart[leaf + 1]; place++) {
      if (core[order[place]] === 1) continue;
      let best = k;
      for (let n = 0; n < count && best > 0; n++) {
        const first = leafStart[near[n]], end = first + coreCount[near[n]];
        if (first === end || isBeyond(place, near[n])) continue;
        for (let i = first; i < end; i++) {
          const label = labels[order[coreOrder[i]]];
          if (label < best && within(place, coreOrder[i])) best = label;
        }
      }
      if (best < k) labels[order[place]] = best;
      else noise++;
    }
  }
  return { labels, k, noise, core };
}

/** Union-find with path halving; the lower root wins. */
class DisjointSets {
  readonly #parent: Int32Array;

  constructor(size: number) {
    this.#parent = Int32Array.from({ length: size }, (_, index) => index);
  }

  find(element: number): number {
    const parent = this.#parent;
    while (parent[element] !== element) {
      parent[element] = parent[parent[element]];
      element = parent[element];
    }
    return element;
  }

  join(a: number, b: number): void {
    const left = this.find(a), right = this.find(b);
    if (left !== right) this.#parent[Math.max(left, right)] = Math.min(left, right);
  }
}
