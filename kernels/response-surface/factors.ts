import type { SurfaceInput } from "./port.ts";

/** Parts of a logit are held within this: exp(40)^2 is still far inside f32 (SPEC.md). */
const PART_MAX = 40;

/**
 * Writes exp(-A) of every column and exp(-B) of every member for one world and row, step by step: step k's columns from
 * `columnFrom + k * columnStride` on, its members from `memberFrom + k * memberStride` on. What lies between a step's last
 * factor and the next stride is left alone.
 */
export function fillFactors(
  input: SurfaceInput, world: number, row: number,
  columnFactor: Float32Array | Float64Array, columnFrom: number, columnStride: number,
  memberFactor: Float32Array | Float64Array, memberFrom: number, memberStride: number,
): void {
  const { steps, columns, rows, members } = input;
  const z = input.rowValue[row];
  for (let k = 0; k < steps; k++) {
    const line = world * steps + k, everybody = input.row[line * rows + row];
    fill(input.column, input.cross, line * columns, columns, everybody, z, columnFactor, columnFrom + k * columnStride);
    fill(input.member, input.memberCross, line * members, members, 0, z, memberFactor, memberFrom + k * memberStride);
  }
}

function fill(at0: Float64Array, perZ: Float64Array, from: number, count: number, everybody: number, z: number, out: Float32Array | Float64Array, to: number): void {
  for (let i = 0; i < count; i++) {
    const part = at0[from + i] + everybody + perZ[from + i] * z;
    out[to + i] = Math.exp(part > PART_MAX ? -PART_MAX : part < -PART_MAX ? PART_MAX : -part);
  }
}
