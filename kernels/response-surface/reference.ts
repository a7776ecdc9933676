import { fillFactors } from "./factors.ts";
import type { ResponseSurfaceKernel, SurfaceInput } from "./port.ts";

/** The kernel in f64 TypeScript: what the others must meet within their tolerance. */
export const responseSurfaceReference: ResponseSurfaceKernel = { rates: (input) => Promise.resolve(rates(input)) };

function rates(input: SurfaceInput): Float64Array {
  const { worlds, steps, columns, rows, members, weight } = input;
  const out = new Float64Array(rows * columns * worlds);
  const columnFactor = new Float64Array(rows * steps * columns), memberFactor = new Float64Array(rows * steps * members);
  for (let world = 0; world < worlds; world++) {
    fillFactors(input, world, columnFactor, 0, columns, memberFactor, 0, members);
    for (let row = 0; row < rows; row++) {
      const columnAt = row * steps * columns, memberAt = row * steps * members;
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let member = 0; member < members; member++) {
          let product = 1;
          for (let k = 0; k < steps; k++) product *= 1 + columnFactor[columnAt + k * columns + column] * memberFactor[memberAt + k * members + member];
          sum += weight[member] / product;
        }
        out[(row * columns + column) * worlds + world] = sum;
      }
    }
  }
  return out;
}
