import type { DistancesKernel } from "./port.ts";

/** The kernel in f64 TypeScript, rounded once at the end: what the others must meet within their tolerance. */
export const distancesReference: DistancesKernel = { squared: (rows, centers, dimensions) => Promise.resolve(squared(rows, centers, dimensions)) };

function squared(rows: Float32Array, centers: Float32Array, dimensions: number): Float32Array {
  const rowCount = rows.length / dimensions, centerCount = centers.length / dimensions;
  const out = new Float32Array(rowCount * centerCount);
  let to = 0;
  for (let row = 0; row < rows.length; row += dimensions) {
    for (let center = 0; center < centers.length; center += dimensions) {
      let sum = 0;
      for (let d = 0; d < dimensions; d++) {
        const difference = rows[row + d] - centers[center + d];
        sum += difference * difference;
      }
      out[to++] = sum;
    }
  }
  return out;
}
