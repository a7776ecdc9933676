import { rowCount, squaredNormMax, squaredNormOf, tooLong } from "./limits.ts";
import type { Centroids, LocalNearestKernel, NearestOutput } from "./port.ts";

const WORST = 2 ** 31 - 1;

/** The kernel `nearest` in plain TypeScript: SPEC.md as it reads. Cost: rows x centroids x dimensions. */
export const nearestReference: LocalNearestKernel = {
  open(centroids: Centroids) {
    const { count, dimensions, values, biases } = centroids;
    const most = squaredNormMax(centroids);
    return {
      batchRows: 1,
      assign(rows: Int16Array, output: NearestOutput): void {
        const total = rowCount(rows, dimensions, output);
        for (let row = 0; row < total; row++) {
          const norm = squaredNormOf(rows, row, dimensions);
          if (norm > most) throw tooLong(row, norm, most);
        }
        for (let row = 0; row < total; row++) {
          let index = 0, score = WORST, runnerUp = WORST;
          for (let centroid = 0; centroid < count; centroid++) {
            let own = biases[centroid];
            for (let d = 0; d < dimensions; d++) own -= rows[row * dimensions + d] * values[centroid * dimensions + d];
            if (own < score) {
              runnerUp = score;
              score = own;
              index = centroid;
            } else if (own < runnerUp) runnerUp = own;
          }
          output.index[row] = index;
          output.score[row] = score;
          output.runnerUp[row] = runnerUp;
        }
      },
      close() {},
    };
  },
};
