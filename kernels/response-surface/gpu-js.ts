import { PopulaceError } from "@populace/domain/error";
import type { GpuJs } from "../backends/gpu-js.ts";
import { GpuJsMap, INDEXES_MAX } from "../lib/gpu-js-map.ts";
import { fillFactors } from "./factors.ts";
import type { ResponseSurfaceKernel, SurfaceInput } from "./port.ts";

interface Cell {
  readonly thread: { readonly x: number; readonly y: number; readonly z: number };
  readonly constants: { readonly rows: number; readonly steps: number; readonly columns: number; readonly members: number };
}

/** One column of one row of one world: the sum over members of SPEC.md. */
function rate(this: Cell, columnFactor: readonly number[], memberFactor: readonly number[], weight: readonly number[]): number {
  const line = (this.thread.z * this.constants.rows + this.thread.y) * this.constants.steps;
  let sum = 0;
  for (let member = 0; member < this.constants.members; member++) {
    let product = 1;
    for (let k = 0; k < this.constants.steps; k++) {
      product = product * (1 + columnFactor[(line + k) * this.constants.columns + this.thread.x] * memberFactor[(line + k) * this.constants.members + member]);
    }
    sum = sum + weight[member] / product;
  }
  return sum;
}

/** The kernel through gpu.js, some worlds at a time: as many as f32 indices can tell apart. */
export function responseSurfaceGpuJs(gpu: GpuJs): ResponseSurfaceKernel {
  const map = new GpuJsMap(gpu, rate);
  return {
    async rates(input: SurfaceInput) {
      const { worlds, steps, columns, rows, members } = input;
      const lines = rows * steps, widest = Math.max(columns, members);
      if (lines * widest > INDEXES_MAX) {
        throw new PopulaceError("TOO_LARGE", `a surface of ${rows} rows x ${steps} steps x ${widest} columns or members: gpu.js tells ${INDEXES_MAX} numbers apart; use a smaller grid or backend wasm`, { rows, steps, columns, members });
      }
      const batch = Math.min(worlds, Math.floor(INDEXES_MAX / (lines * widest)));
      const weight = Float32Array.from(input.weight);
      const out = new Float64Array(rows * columns * worlds);
      for (let first = 0; first < worlds; first += batch) {
        const count = Math.min(batch, worlds - first);
        const columnFactor = new Float32Array(count * lines * columns), memberFactor = new Float32Array(count * lines * members);
        for (let world = 0; world < count; world++) fillFactors(input, first + world, columnFactor, world * lines * columns, columns, memberFactor, world * lines * members, members);
        const found = (await map.run([columns, rows, count], { rows, steps, columns, members }, [columnFactor, memberFactor, weight])) as readonly (readonly Float32Array[])[];
        for (let world = 0; world < count; world++) {
          for (let row = 0; row < rows; row++) {
            for (let column = 0; column < columns; column++) out[(row * columns + column) * worlds + first + world] = found[world][row][column];
          }
        }
      }
      return out;
    },
  };
}
