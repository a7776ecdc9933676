import type { Centroids } from "./port.ts";

/** Centroids of one group: two vectors of four lanes. */
const LANES = 8;
const WORST = 2 ** 31 - 1;

/** Groups of eight centroids and the bytes they take, packed. */
export function packedSize(count: number, pairs: number): { readonly groups: number; readonly packedBytes: number; readonly biasBytes: number } {
  const groups = Math.ceil(count / LANES);
  return { groups, packedBytes: groups * pairs * LANES * 4, biasBytes: groups * LANES * 4 };
}

/**
 * Writes centroids as `kernels/lib/nearest.as.ts` reads them, into arrays of `packedSize`: [group][pair of dimensions][8 lanes][2], negated;
 * lanes without a centroid hold zeros and the largest bias.
 */
export function packCentroids(centroids: Centroids, packed: Int16Array, biases: Int32Array): void {
  const { count, dimensions, values } = centroids;
  const pairs = (dimensions + 1) >> 1;
  packed.fill(0);
  biases.fill(WORST);
  biases.set(centroids.biases);
  for (let centroid = 0; centroid < count; centroid++) {
    const group = Math.floor(centroid / LANES), lane = centroid % LANES;
    for (let d = 0; d < dimensions; d++) packed[((group * pairs + (d >> 1)) * LANES + lane) * 2 + (d & 1)] = -values[centroid * dimensions + d];
  }
}
