import { PopulaceError } from "@populace/domain/error";
import type { Centroids, NearestOutput } from "./port.ts";

const INT32_MAX = 2 ** 31 - 1;

/** Largest magnitude of a value: -32768 has no negation in 16 bits, and the packed centroids are negated. */
export const VALUE_MAX = 32_767;

/**
 * Largest norm, in units, of points that are held against means of themselves: the score |c|^2 / 2 - x.c is then at most 1.5 times
 * its square, and 1.5 x 37,837^2 < 2^31.
 */
export const NORM_MAX: number = Math.floor(Math.sqrt(INT32_MAX / 1.5));

/**
 * Checks centroids and returns the largest squared norm a row may have so that no score, and no partial sum of one, leaves
 * 32 bits: |bias| + |x| |c| < 2^31 for every centroid (Cauchy and Schwarz; it bounds the sum over any part of the dimensions as
 * well). Infinity when every centroid is 0. Throws ARITHMETIC_RANGE naming the centroid, BAD_REQUEST when the lengths do not fit.
 */
export function squaredNormMax(centroids: Centroids): number {
  const { count, dimensions, values, biases } = centroids;
  if (!(Number.isSafeInteger(count) && count >= 1 && Number.isSafeInteger(dimensions) && dimensions >= 1)) {
    throw new PopulaceError("BAD_REQUEST", `${count} centroids of ${dimensions} dimensions; expected at least one of each`, { count, dimensions });
  }
  if (values.length !== count * dimensions || biases.length !== count) {
    throw new PopulaceError("BAD_REQUEST", `${values.length} values and ${biases.length} biases for ${count} centroids of ${dimensions} dimensions; expected ${count * dimensions} and ${count}`, { count, dimensions });
  }
  let most = Infinity;
  for (let centroid = 0; centroid < count; centroid++) {
    let norm = 0;
    for (let at = centroid * dimensions; at < (centroid + 1) * dimensions; at++) {
      if (values[at] < -VALUE_MAX) throw new PopulaceError("ARITHMETIC_RANGE", `centroid ${centroid}, dimension ${at - centroid * dimensions}: ${values[at]}; expected -${VALUE_MAX} to ${VALUE_MAX}, so choose a smaller scale`, { centroid });
      norm += values[at] ** 2;
    }
    const left = INT32_MAX - Math.abs(biases[centroid]);
    if (left < 0) throw new PopulaceError("ARITHMETIC_RANGE", `centroid ${centroid}: bias ${biases[centroid]}; expected less than 2^31 in magnitude, so choose a smaller scale`, { centroid });
    if (norm > 0) most = Math.min(most, Math.floor(left ** 2 / norm));
  }
  return most;
}

/** The number of rows after checking that they and the output fit one another; BAD_REQUEST otherwise. */
export function rowCount(rows: Int16Array, dimensions: number, output: NearestOutput): number {
  const count = rows.length / dimensions;
  if (!Number.isInteger(count)) throw new PopulaceError("BAD_REQUEST", `${rows.length} values are no whole number of rows of ${dimensions}`, { values: rows.length, dimensions });
  const room = Math.min(output.index.length, output.score.length, output.runnerUp.length);
  if (room < count) throw new PopulaceError("BAD_REQUEST", `room for ${room} answers, but ${count} rows`, { rows: count, room });
  return count;
}

/** The refusal of a row that is too long; `row` counts from 0 in the rows of the call. */
export function tooLong(row: number, squaredNorm: number, most: number): PopulaceError {
  return new PopulaceError("ARITHMETIC_RANGE", `row ${row}: squared norm ${squaredNorm}; at most ${most} keeps every score within 32 bits, so choose a smaller scale for rows and centroids`, { row, squaredNorm, most });
}

/** |x|^2 of one row, exactly. */
export function squaredNormOf(rows: Int16Array, row: number, dimensions: number): number {
  let norm = 0;
  for (let at = row * dimensions; at < (row + 1) * dimensions; at++) norm += rows[at] ** 2;
  return norm;
}
