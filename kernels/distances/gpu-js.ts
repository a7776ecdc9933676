import type { GpuJs } from "../backends/gpu-js.ts";
import { GpuJsMap, INDEXES_MAX } from "../lib/gpu-js-map.ts";
import type { DistancesKernel } from "./port.ts";

interface Cell {
  readonly thread: { readonly x: number; readonly y: number };
  readonly constants: { readonly dimensions: number };
}

/** The distance of one row to one center. */
function distance(this: Cell, rows: readonly number[], centers: readonly number[]): number {
  let sum = 0;
  for (let d = 0; d < this.constants.dimensions; d++) {
    const difference = rows[this.thread.y * this.constants.dimensions + d] - centers[this.thread.x * this.constants.dimensions + d];
    sum = sum + difference * difference;
  }
  return sum;
}

/** The kernel through gpu.js, some rows and centers at a time: as many as f32 indices can tell apart. */
export function distancesGpuJs(gpu: GpuJs): DistancesKernel {
  const map = new GpuJsMap(gpu, distance);
  return {
    async squared(rows, centers, dimensions) {
      const rowCount = rows.length / dimensions, centerCount = centers.length / dimensions;
      const centerBatch = Math.min(centerCount, Math.floor(INDEXES_MAX / dimensions));
      const rowBatch = Math.floor(INDEXES_MAX / Math.max(dimensions, centerBatch));
      const out = new Float32Array(rowCount * centerCount);
      for (let firstCenter = 0; firstCenter < centerCount; firstCenter += centerBatch) {
        const someCenters = centers.subarray(firstCenter * dimensions, (firstCenter + centerBatch) * dimensions);
        for (let firstRow = 0; firstRow < rowCount; firstRow += rowBatch) {
          const someRows = rows.subarray(firstRow * dimensions, (firstRow + rowBatch) * dimensions);
          const found = (await map.run([someCenters.length / dimensions, someRows.length / dimensions], { dimensions }, [someRows, someCenters])) as readonly Float32Array[];
          found.forEach((row, index) => out.set(row, (firstRow + index) * centerCount + firstCenter));
        }
      }
      return out;
    },
  };
}
