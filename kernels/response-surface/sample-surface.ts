import { RandomStream } from "@populace/domain/random";
import type { SurfaceInput } from "./port.ts";

/** Sizes of a sample surface, and how many times a usual spread its logits have (1 = rates of a few per cent). */
export interface SampleSurfaceOptions {
  readonly worlds: number;
  readonly steps: number;
  readonly columns: number;
  readonly rows: number;
  readonly members: number;
  readonly spread?: number;
}

/** Random input without a model behind it, for parity tests and benchmarks; the same for the same seed and options. */
export function sampleSurface(seed: number, options: SampleSurfaceOptions): SurfaceInput {
  const { worlds, steps, columns, rows, members } = options;
  const random = RandomStream.of(seed, "sample surface"), spread = options.spread ?? 1;
  const normals = (count: number, mean: number, sd: number): Float64Array => Float64Array.from({ length: count }, () => mean + spread * sd * random.normal());
  const shares = Float64Array.from({ length: members }, () => 0.1 + random.uniform());
  const total = shares.reduce((sum, share) => sum + share, 0);
  return {
    worlds, steps, columns, rows, members,
    rowValue: Float64Array.from({ length: rows }, (_, row) => (rows === 1 ? 0.2 : (0.4 * row) / (rows - 1))),
    column: normals(worlds * steps * columns, -1.5, 0.5), cross: normals(worlds * steps * columns, 0.5, 0.5), row: normals(worlds * steps * rows, 0, 0.2),
    member: normals(worlds * steps * members, 0, 0.7), memberCross: normals(worlds * steps * members, 0, 0.3),
    weight: shares.map((share) => share / total),
  };
}
