// The data of the clustering benchmarks, for every peer the same: seeded, and written to a file in one line by whoever needs them elsewhere.
import { RandomStream } from "@populace/domain";
import type { Points } from "@populace/domain";

/** Normal clusters in turn (row r belongs to cluster r % clusters) around normal centers `spread` standard deviations wide: 1 = apart, 0.3 = overlapping. */
export function normalClusters(rows: number, dimensions: number, clusters: number, spread: number): Points {
  const random = RandomStream.of(5, "bench clusters");
  const centers = Array.from({ length: clusters }, () => Array.from({ length: dimensions }, () => spread * random.normal()));
  const values = new Float64Array(rows * dimensions);
  for (let row = 0; row < rows; row++) for (let d = 0; d < dimensions; d++) values[row * dimensions + d] = centers[row % clusters]![d]! + random.normal();
  return { rows, dimensions, values };
}

/** Eight normal blobs in the plane. */
export function planeBlobs(rows: number): Points {
  const random = RandomStream.of(7, "bench blobs");
  const values = new Float64Array(rows * 2);
  for (let row = 0; row < rows; row++) {
    const center = row % 8;
    values[row * 2] = 6 * Math.cos(center) * (1 + (center % 3)) + random.normal();
    values[row * 2 + 1] = 6 * Math.sin(center) * (1 + (center % 3)) + random.normal();
  }
  return { rows, dimensions: 2, values };
}

/** Rows of a matrix as arrays of numbers, which is what packages take. */
export const rowsOf = (points: Points): number[][] => Array.from({ length: points.rows }, (_, row) => Array.from(points.values.subarray(row * points.dimensions, (row + 1) * points.dimensions)));
