import { PopulaceError } from "@populace/domain/error";
import { NORM_MAX, VALUE_MAX, squaredNormOf } from "../nearest/limits.ts";
import { CANDIDATES_MAX } from "./port.ts";

/** Number of rows; BAD_REQUEST when the values are no whole ones, ARITHMETIC_RANGE naming the first that holds -32768. */
export function countOf(values: Int16Array, dimensions: number, what: "row" | "center"): number {
  const count = values.length / dimensions;
  if (!(Number.isSafeInteger(dimensions) && dimensions >= 1 && Number.isInteger(count) && count >= 1)) {
    throw new PopulaceError("BAD_REQUEST", `${values.length} values are no ${what}s of ${dimensions} dimensions`, { values: values.length, dimensions });
  }
  // It has no negation in 16 bits.
  const at = values.indexOf(-VALUE_MAX - 1);
  if (at >= 0) throw new PopulaceError("ARITHMETIC_RANGE", `${what} ${Math.floor(at / dimensions)}: -32768; expected -${VALUE_MAX} to ${VALUE_MAX}`, { [what]: Math.floor(at / dimensions) });
  return count;
}

/** Squared norms of rows or centers; errors as `countOf`, and ARITHMETIC_RANGE naming the first that is too long. */
export function normsOf(values: Int16Array, dimensions: number, what: "row" | "center"): Int32Array {
  const norms = new Int32Array(countOf(values, dimensions, what));
  for (let index = 0; index < norms.length; index++) {
    const norm = squaredNormOf(values, index, dimensions);
    if (norm > NORM_MAX ** 2) throw tooLong(what, index, norm);
    norms[index] = norm;
  }
  return norms;
}

/** The refusal of a row or center that is too long. */
export function tooLong(what: "row" | "center", index: number, norm: number): PopulaceError {
  return new PopulaceError("ARITHMETIC_RANGE", `${what} ${index}: norm ${Math.sqrt(norm).toFixed(1)}; at most ${NORM_MAX}, so choose a smaller scale`, { [what]: index });
}

/** BAD_REQUEST unless the slack is a finite distance of 0 or more. */
export function checkSlack(slack: number): void {
  if (!(Number.isFinite(slack) && slack >= 0)) throw new PopulaceError("BAD_REQUEST", `slack ${slack}; expected a finite distance of 0 or more`, { slack });
}

/** BAD_REQUEST unless these are one to eight rows. */
export function checkCandidates(candidates: readonly number[], rows: number): void {
  if (candidates.length < 1 || candidates.length > CANDIDATES_MAX) throw new PopulaceError("BAD_REQUEST", `${candidates.length} candidates; expected 1 to ${CANDIDATES_MAX}`, { candidates: candidates.length });
  candidates.forEach((row) => checkRow(row, rows));
}

/** BAD_REQUEST unless there is such a row. */
export function checkRow(row: number, rows: number): void {
  if (!(Number.isInteger(row) && row >= 0 && row < rows)) throw new PopulaceError("BAD_REQUEST", `row ${row}; expected 0 to ${rows - 1}`, { row, rows });
}

/** Distances between centers before and after. */
export function shiftsOf(before: Int16Array, after: Int16Array, dimensions: number): Float64Array {
  return Float64Array.from({ length: after.length / dimensions }, (_, center) => {
    let sum = 0;
    for (let at = center * dimensions; at < (center + 1) * dimensions; at++) sum += (after[at] - before[at]) ** 2;
    return Math.sqrt(sum);
  });
}
