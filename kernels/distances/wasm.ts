import { instantiate } from "../backends/webassembly.ts";
import type { DistancesKernel } from "./port.ts";

const MODULE = new URL("distances.wasm", import.meta.url);
/** Distances of one call into the module: few enough that its memory stays at some megabytes, whatever the number of rows. */
const CALL_DISTANCES_MAX = 1_000_000;

interface Exports {
  squared(rowsAt: number, centersAt: number, outAt: number, rows: number, centers: number, dimensions: number): void;
}

/** The kernel in f32 on SIMD WebAssembly, within the tolerance of SPEC.md of the reference. */
export const distancesWasm: DistancesKernel = { squared: (rows, centers, dimensions) => Promise.resolve(squared(rows, centers, dimensions)) };

function squared(rows: Float32Array, centers: Float32Array, dimensions: number): Float32Array {
  const rowCount = rows.length / dimensions, centerCount = centers.length / dimensions;
  const stride = (centerCount + 7) & ~7;
  const callRows = Math.max(2, Math.min((rowCount + 1) & ~1, 2 * Math.floor(CALL_DISTANCES_MAX / stride / 2)));
  const { memory, exports, heapBase } = instantiate<Exports>(MODULE, 4 * (callRows * dimensions + stride * dimensions + callRows * stride));
  const rowsIn = new Float32Array(memory.buffer, heapBase, callRows * dimensions);
  const packed = new Float32Array(memory.buffer, heapBase + rowsIn.byteLength, stride * dimensions);
  const found = new Float32Array(memory.buffer, packed.byteOffset + packed.byteLength, callRows * stride);
  for (let center = 0; center < centerCount; center++) {
    const pack = (center >> 3) * dimensions * 8 + (center & 7);
    for (let d = 0; d < dimensions; d++) packed[pack + d * 8] = centers[center * dimensions + d];
  }
  const out = new Float32Array(rowCount * centerCount);
  for (let first = 0; first < rowCount; first += callRows) {
    const count = Math.min(callRows, rowCount - first);
    rowsIn.set(rows.subarray(first * dimensions, (first + count) * dimensions));
    exports.squared(rowsIn.byteOffset, packed.byteOffset, found.byteOffset, (count + 1) & ~1, stride, dimensions);
    for (let row = 0; row < count; row++) out.set(found.subarray(row * stride, row * stride + centerCount), (first + row) * centerCount);
  }
  return out;
}
