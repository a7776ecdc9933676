import { PopulaceError } from "../error.ts";

/** Rows of numbers, row-major and without gaps. */
export interface Points {
  readonly rows: number;
  readonly dimensions: number;
  readonly values: Float64Array;
}

/** Label of a point that belongs to no cluster. */
export const NOISE = -1;

/** Packs rows of equal length; throws `BAD_DATA` for ragged rows and numbers that are not finite, naming row and column from 1. */
export function pointsFrom(rows: readonly (readonly number[])[]): Points {
  const dimensions = rows[0]?.length ?? 0;
  const values = new Float64Array(rows.length * dimensions);
  rows.forEach((row, index) => {
    if (row.length !== dimensions) throw new PopulaceError("BAD_DATA", `point ${index + 1} has ${row.length} numbers; expected ${dimensions}, as in the first`, { row: index + 1 });
    row.forEach((value, column) => {
      if (!Number.isFinite(value)) throw new PopulaceError("BAD_DATA", `point ${index + 1}, column ${column + 1} is ${value}; expected a finite number`, { row: index + 1, column: column + 1 });
      values[index * dimensions + column] = value;
    });
  });
  return { rows: rows.length, dimensions, values };
}

/** Throws `BAD_DATA` for a value that is not finite, naming row and column from 1, and for arrays of another size than they claim. */
export function checkPoints(points: Points): void {
  const { rows, dimensions, values } = points;
  if (values.length !== rows * dimensions) throw new PopulaceError("BAD_DATA", `${values.length} values for ${rows} points of ${dimensions} columns; expected ${rows * dimensions}`, { rows, dimensions });
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const row = Math.floor(at / dimensions) + 1, column = (at % dimensions) + 1;
  throw new PopulaceError("BAD_DATA", `point ${row}, column ${column} is ${values[at]}; expected a finite number (fill or leave out what is missing)`, { row, column });
}

/** The rows named by `indices`, in that order; rows may repeat. */
export function pickRows(points: Points, indices: ArrayLike<number>): Points {
  const { dimensions } = points;
  const values = new Float64Array(indices.length * dimensions);
  for (let row = 0; row < indices.length; row++) {
    const from = indices[row] * dimensions;
    for (let column = 0; column < dimensions; column++) values[row * dimensions + column] = points.values[from + column];
  }
  return { rows: indices.length, dimensions, values };
}

/** Squared Euclidean distance of row `a` of `left` and row `b` of `right`. */
export function squaredDistance(left: Points, a: number, right: Points, b: number): number {
  let sum = 0;
  const { dimensions } = left;
  for (let column = 0; column < dimensions; column++) {
    const difference = left.values[a * dimensions + column] - right.values[b * dimensions + column];
    sum += difference * difference;
  }
  return sum;
}
