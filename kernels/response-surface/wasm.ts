import { instantiate } from "../backends/webassembly.ts";
import { fillFactors } from "./factors.ts";
import type { ResponseSurfaceKernel, SurfaceInput } from "./port.ts";

const MODULE = new URL("response-surface.wasm", import.meta.url);

interface Exports {
  rates(columnAt: number, memberAt: number, weightAt: number, outAt: number, rows: number, steps: number, columns: number, members: number): void;
}

/** The kernel in f32 on SIMD WebAssembly, within the tolerance of SPEC.md of the reference. */
export const responseSurfaceWasm: ResponseSurfaceKernel = { rates: (input) => Promise.resolve(rates(input)) };

const upTo4 = (count: number): number => (count + 3) & ~3;

/** World by world, so that a world's factors stay in the second-level cache. */
function rates(input: SurfaceInput): Float64Array {
  const { worlds, steps, columns, rows, members } = input;
  const columnStride = upTo4(columns), memberStride = upTo4(members);
  const sizes = [rows * steps * columnStride, rows * steps * memberStride, memberStride, rows * columnStride];
  const { memory, exports, heapBase } = instantiate<Exports>(MODULE, 4 * sizes.reduce((sum, size) => sum + size, 0));
  let next = heapBase;
  const [columnFactor, memberFactor, weight, found] = sizes.map((size) => {
    const view = new Float32Array(memory.buffer, next, size);
    next += 4 * size;
    return view;
  });
  weight.set(input.weight);
  const out = new Float64Array(rows * columns * worlds);
  for (let world = 0; world < worlds; world++) {
    fillFactors(input, world, columnFactor, 0, columnStride, memberFactor, 0, memberStride);
    exports.rates(columnFactor.byteOffset, memberFactor.byteOffset, weight.byteOffset, found.byteOffset, rows, steps, columnStride, memberStride);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) out[(row * columns + column) * worlds + world] = found[row * columnStride + column];
    }
  }
  return out;
}
