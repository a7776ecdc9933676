import { PopulaceError } from "@populace/domain/error";
import { InstancePool } from "../backends/webassembly.ts";
import { NORM_MAX, squaredNormOf } from "../nearest/limits.ts";
import { packCentroids, packedSize } from "../nearest/packing.ts";
import { checkCandidates, checkRow, checkSlack, countOf, normsOf, shiftsOf, tooLong } from "./limits.ts";
import { CANDIDATES_MAX } from "./port.ts";
import type { LocalKMeansKernel, LocalKMeansSession } from "./port.ts";

interface Exports {
  layOut(points: number, rows: number, pairs: number, norms: number, labels: number, upper: number, moved: number, doubtful: number, weights: number, nearby: number, limit: number): number;
  forget(): void;
  begin(): void;
  scratchBytes(bounds: number): number;
  assign(first: number, end: number, centers: number, count: number, packed: number, biases: number, groups: number, centerNorms: number, shifts: number, lower: number, boundShifts: number, bounds: number, spanBits: number, scratch: number, slack: number): void;
  movedRows(): number;
  doubtfulRows(): number;
  rivals(row: number, centers: number, count: number, centerNorms: number, slack: number, list: number): number;
  spread(): void;
  reaches(chosen: number, chosenCount: number, candidates: number, candidateCount: number, limits: number): void;
  potentials(packed: number, candidateNorms: number, limits: number, sums: number): void;
  choose(chosen: number, place: number, limits: number): number;
  draw(target: number): number;
}

const instances = new InstancePool<Exports>(new URL("./k-means.wasm", import.meta.url));

/** Added to a shift before it is taken off a bound: more than the rounding of single floats below 2^18. */
const SHIFT_OUTWARD = 0.04;
/** Most bounds of one row: 128 bytes. More centers share a bound. */
const BOUNDS_MAX = 32;
/** Rows of one call, as k-means.as.ts has it. Calls are short also because V8 swaps its quick first translation for the fast one between calls. */
const CHUNK_ROWS = 1024;

/** Where the centers of the last step lie. */
interface Placed {
  readonly values: Int16Array;
  readonly count: number;
  readonly slack: number;
  readonly unpackedAt: number;
  readonly normsAt: number;
  readonly listAt: number;
}

/**
 * The kernel `k-means` in SIMD WebAssembly on the calling thread. Between steps it keeps for each row how far its own center and the others can be, and
 * compares only what these bounds do not decide; the answers are those of the reference to the bit.
 */
export const kMeansWasm: LocalKMeansKernel = {
  open(points: Int16Array, dimensions: number): LocalKMeansSession {
    const rows = countOf(points, dimensions, "row"), pairs = (dimensions + 1) >> 1, stride = 4 * pairs;
    const memory = instances.take(), { exports } = memory;
    const take = (bytes: number): number => memory.take(bytes);
    const at = {
      points: take(rows * stride), norms: take(4 * rows), labels: take(4 * rows), upper: take(4 * rows), moved: take(4 * rows), doubtful: take(4 * rows), weights: take(4 * rows), nearby: take(4 * rows),
      candidateRows: take(4 * CANDIDATES_MAX), candidateNorms: take(4 * CANDIDATES_MAX), candidateSums: take(8 * CANDIDATES_MAX), candidates: take(packedSize(CANDIDATES_MAX, pairs).packedBytes), biases: take(4 * CANDIDATES_MAX),
    };
    /** What belongs to centers comes last, because their number may grow; the rows chosen as seeds are not there at the same time. */
    const centersFrom = memory.end;
    memory.reserve();
    const own = memory.int16(at.points, rows * 2 * pairs);
    if (dimensions === 2 * pairs) own.set(points);
    else {
      own.fill(0);
      for (let row = 0; row < rows; row++) for (let d = 0; d < dimensions; d++) own[row * 2 * pairs + d] = points[row * dimensions + d];
    }
    const beyond = exports.layOut(at.points, rows, pairs, at.norms, at.labels, at.upper, at.moved, at.doubtful, at.weights, at.nearby, NORM_MAX ** 2);
    if (beyond >= 0) {
      memory.close();
      throw tooLong("row", beyond, squaredNormOf(points, beyond, dimensions));
    }
    exports.forget();
    let placed: Placed | null = null;
    const chosen: number[] = [];

    const place = (centers: Int16Array, slack: number, centerNorms: Int32Array): void => {
      const count = centerNorms.length, size = packedSize(count, pairs);
      const spanBits = Math.max(0, Math.ceil(Math.log2(size.groups / BOUNDS_MAX))), bounds = Math.ceil(size.groups / 2 ** spanBits), wide = (bounds + 3) & ~3;
      memory.end = centersFrom;
      const unpackedAt = take(count * stride), packedAt = take(size.packedBytes), biasesAt = take(size.biasBytes), normsAt = take(4 * count), shiftsAt = take(8 * count);
      const boundShiftsAt = take(4 * wide), listAt = take(4 * count), scratchAt = take(exports.scratchBytes(bounds)), lowerAt = take(4 * wide * rows);
      memory.reserve();
      // Scores beyond the last bound stay the largest.
      memory.int32(scratchAt, (lowerAt - scratchAt) >> 2).fill(2 ** 31 - 1);
      const isSame = placed !== null && placed.count === count;
      if (!isSame) {
        exports.forget();
        // What lies there may be no numbers at all.
        memory.float32(lowerAt, wide * rows).fill(0);
      }
      const shifts = shiftsOf(isSame ? placed!.values : centers, centers, dimensions);
      const boundShifts = memory.float32(boundShiftsAt, wide).fill(0);
      shifts.forEach((shift, center) => {
        const bound = center >> 3 >> spanBits;
        if (shift > 0) boundShifts[bound] = Math.max(boundShifts[bound], shift + SHIFT_OUTWARD);
      });
      placed = { values: centers.slice(), count, slack, unpackedAt, normsAt, listAt };
      packCentroids({ count, dimensions, values: centers, biases: centerNorms.map((norm) => norm >> 1) }, memory.int16(packedAt, size.packedBytes / 2), memory.int32(biasesAt, size.biasBytes / 4));
      const unpacked = memory.int16(unpackedAt, count * 2 * pairs).fill(0);
      for (let center = 0; center < count; center++) unpacked.set(centers.subarray(center * dimensions, (center + 1) * dimensions), center * 2 * pairs);
      memory.int32(normsAt, count).set(centerNorms);
      memory.float64(shiftsAt, count).set(shifts);
      exports.begin();
      for (let first = 0; first < rows; first += CHUNK_ROWS) {
        exports.assign(first, Math.min(rows, first + CHUNK_ROWS), unpackedAt, count, packedAt, biasesAt, size.groups, normsAt, shiftsAt, lowerAt, boundShiftsAt, bounds, spanBits, scratchAt, slack);
      }
    };
    /** Where limits of the draws go: one for each row chosen so far. */
    const limitsFor = (candidates: readonly number[]): number => {
      memory.end = centersFrom;
      const chosenAt = take(4 * chosen.length), limitsAt = take(4 * Math.max(1, chosen.length));
      memory.reserve();
      memory.int32(chosenAt, chosen.length).set(chosen);
      memory.int32(at.candidateRows, CANDIDATES_MAX).set(candidates);
      memory.uint32(limitsAt, 1).fill(0);
      exports.reaches(chosenAt, chosen.length, at.candidateRows, candidates.length, limitsAt);
      placed = null;
      return limitsAt;
    };
    return {
      rows,
      dimensions,
      assign(centers, slack) {
        checkSlack(slack);
        place(centers, slack, normsOf(centers, dimensions, "center"));
        return { labels: memory.int32(at.labels, rows), moved: memory.int32(at.moved, exports.movedRows()), doubtful: memory.int32(at.doubtful, exports.doubtfulRows()) };
      },
      rivals(row) {
        checkRow(row, rows);
        if (placed === null) throw new PopulaceError("BAD_REQUEST", "rivals were asked for before centers were given; call assign first");
        const { count, slack, unpackedAt, normsAt, listAt } = placed;
        return memory.int32(listAt, exports.rivals(row, unpackedAt, count, normsAt, slack, listAt));
      },
      forget() {
        exports.forget();
      },
      spread() {
        chosen.length = 0;
        exports.spread();
      },
      choose(row) {
        checkRow(row, rows);
        const limitsAt = limitsFor([row]);
        chosen.push(row);
        return exports.choose(row, chosen.length - 1, limitsAt);
      },
      potentials(candidates) {
        checkCandidates(candidates, rows);
        const limitsAt = limitsFor(candidates);
        const values = new Int16Array(candidates.length * dimensions);
        candidates.forEach((row, lane) => values.set(points.subarray(row * dimensions, (row + 1) * dimensions), lane * dimensions));
        packCentroids({ count: candidates.length, dimensions, values, biases: new Int32Array(candidates.length) }, memory.int16(at.candidates, pairs * 2 * CANDIDATES_MAX), memory.int32(at.biases, CANDIDATES_MAX));
        memory.int32(at.candidateNorms, CANDIDATES_MAX).set(candidates.map((row) => squaredNormOf(points, row, dimensions)));
        exports.potentials(at.candidates, at.candidateNorms, limitsAt, at.candidateSums);
        return Array.from(memory.float64(at.candidateSums, candidates.length));
      },
      draw: (target) => exports.draw(target),
      close: () => memory.close(),
    };
  },
};
