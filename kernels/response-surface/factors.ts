import type { SurfaceInput } from "./port.ts";

/** Parts of a logit are held within this: exp(40)^2 is still far inside f32 (SPEC.md). */
const PART_MAX = 40;
const FACTOR_MAX = Math.exp(PART_MAX), FACTOR_MIN = Math.exp(-PART_MAX);
/** Parts up to here have an exponential that is neither 0 nor infinite in f64. */
const PART_EXACT = 600;

type Factors = Float32Array | Float64Array;

/**
 * Writes exp(-A) of every column and exp(-B) of every member for one world: rows x steps x columnStride from `columnFrom` on,
 * rows x steps x memberStride from `memberFrom` on. What lies between a step's last factor and the next stride is left alone.
 */
export function fillFactors(input: SurfaceInput, world: number, columnFactor: Factors, columnFrom: number, columnStride: number, memberFactor: Factors, memberFrom: number, memberStride: number): void {
  const { steps, columns, rows, members } = input;
  const distance = evenDistance(input.rowValue), alike = new Float64Array(rows);
  for (let k = 0; k < steps; k++) {
    const line = world * steps + k;
    const everybody = input.row.subarray(line * rows, (line + 1) * rows);
    fillStep(input.column, input.cross, line * columns, columns, input.rowValue, distance, everybody, columnFactor, columnFrom + k * columnStride, steps * columnStride);
    fillStep(input.member, input.memberCross, line * members, members, input.rowValue, distance, alike, memberFactor, memberFrom + k * memberStride, steps * memberStride);
  }
}

/**
 * Factors of one step: of each i of `count`, one a row. At even distances of z a factor is the one before times another, which
 * costs a tenth of an exponential and, after 400 rows, 400 roundings of 2^-53.
 */
function fillStep(at0: Float64Array, perZ: Float64Array, from: number, count: number, z: Float64Array, distance: number | null, everybody: Float64Array, out: Factors, to: number, rowStride: number): void {
  const rows = z.length, common = Float64Array.from(everybody, (part) => Math.exp(-part));
  for (let i = 0; i < count; i++) {
    const part = at0[from + i], slope = perZ[from + i], first = part + slope * z[0];
    if (distance !== null && Math.abs(first) < PART_EXACT && Math.abs(first + slope * distance * (rows - 1)) < PART_EXACT) {
      const ratio = Math.exp(-slope * distance);
      let factor = Math.exp(-first);
      for (let row = 0, at = to + i; row < rows; row++, at += rowStride) {
        const both = factor * common[row];
        out[at] = both > FACTOR_MAX ? FACTOR_MAX : both < FACTOR_MIN ? FACTOR_MIN : both;
        factor *= ratio;
      }
    } else {
      for (let row = 0, at = to + i; row < rows; row++, at += rowStride) out[at] = Math.exp(-Math.max(-PART_MAX, Math.min(PART_MAX, part + slope * z[row] + everybody[row])));
    }
  }
}

/** The distance of z from row to row when all are the same to the last bits, else null. */
function evenDistance(z: Float64Array): number | null {
  const last = z.length - 1, distance = last === 0 ? 0 : (z[last] - z[0]) / last;
  const slack = 4 * Number.EPSILON * Math.max(Math.abs(z[0]), Math.abs(z[last]));
  return z.every((value, row) => Math.abs(value - z[0] - row * distance) <= slack) ? distance : null;
}
