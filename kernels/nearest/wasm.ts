import { InstancePool } from "../backends/webassembly.ts";
import { rowCount, squaredNormMax, squaredNormOf, tooLong } from "./limits.ts";
import { packCentroids, packedSize } from "./packing.ts";
import type { Centroids, LocalNearestKernel, NearestOutput } from "./port.ts";

interface Exports {
  nearest(rows: number, stride: number, count: number, pairs: number, packed: number, biases: number, groups: number, indexes: number, scores: number, seconds: number): void;
  firstBeyond(rows: number, stride: number, count: number, pairs: number, limit: number): number;
}

const instances = new InstancePool<Exports>(new URL("./nearest.wasm", import.meta.url));

/** Bytes of rows that are copied in at once: they and their answers stay in the second-level cache. */
const STAGING_BYTES = 1 << 17;

/** The kernel `nearest` in SIMD WebAssembly on the calling thread. Rows are copied in by pieces; nothing of the caller's is kept. */
export const nearestWasm: LocalNearestKernel = {
  open(centroids: Centroids) {
    const { dimensions } = centroids;
    const most = squaredNormMax(centroids);
    const pairs = (dimensions + 1) >> 1, stride = 4 * pairs;
    const batchRows = Math.max(64, Math.min(4096, Math.floor(STAGING_BYTES / stride)));
    const size = packedSize(centroids.count, pairs);
    const memory = instances.take(), { exports } = memory;
    const biasesAt = memory.take(size.biasBytes), packedAt = memory.take(size.packedBytes), rowsAt = memory.take(batchRows * stride);
    const indexAt = memory.take(4 * batchRows), scoreAt = memory.take(4 * batchRows), runnerUpAt = memory.take(4 * batchRows);
    memory.reserve();
    packCentroids(centroids, memory.int16(packedAt, size.packedBytes / 2), memory.int32(biasesAt, size.biasBytes / 4));
    const staged = memory.int16(rowsAt, batchRows * 2 * pairs).fill(0);
    const index = memory.int32(indexAt, batchRows), score = memory.int32(scoreAt, batchRows), runnerUp = memory.int32(runnerUpAt, batchRows);

    const stage = (rows: Int16Array, first: number, count: number): void => {
      if (dimensions === 2 * pairs) staged.set(rows.subarray(first * dimensions, (first + count) * dimensions));
      else {
        for (let row = 0; row < count; row++) {
          const from = (first + row) * dimensions, to = row * 2 * pairs;
          for (let d = 0; d < dimensions; d++) staged[to + d] = rows[from + d];
        }
      }
      const beyond = most === Infinity ? -1 : exports.firstBeyond(rowsAt, stride, count, pairs, most);
      if (beyond >= 0) throw tooLong(first + beyond, squaredNormOf(rows, first + beyond, dimensions), most);
    };
    return {
      batchRows,
      assign(rows: Int16Array, output: NearestOutput): void {
        const total = rowCount(rows, dimensions, output);
        for (let first = 0; first < total; first += batchRows) {
          const count = Math.min(batchRows, total - first);
          stage(rows, first, count);
          exports.nearest(rowsAt, stride, count, pairs, packedAt, biasesAt, size.groups, indexAt, scoreAt, runnerUpAt);
          output.index.set(index.subarray(0, count), first);
          output.score.set(score.subarray(0, count), first);
          output.runnerUp.set(runnerUp.subarray(0, count), first);
        }
      },
      close: () => memory.close(),
    };
  },
};
