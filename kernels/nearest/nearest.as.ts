// Kernel `nearest` (SPEC.md): the closest of many centroids for each row, in int16 SIMD.
import { nearestRows, squaredNorm } from "../lib/nearest.as";

export function nearest(rows: usize, stride: usize, count: i32, pairs: i32, packed: usize, biases: usize, groups: i32, indexes: usize, scores: usize, seconds: usize): void {
  nearestRows(rows, stride, count, pairs, packed, biases, groups, indexes, scores, seconds);
}

/** The first row whose squared norm exceeds the limit, or -1. */
export function firstBeyond(rows: usize, stride: usize, count: i32, pairs: i32, limit: f64): i32 {
  const most = <u64>limit;
  for (let row = 0; row < count; row++) {
    if (squaredNorm(rows + <usize>row * stride, pairs) > most) return row;
  }
  return -1;
}

export function heapBase(): usize {
  return __heap_base;
}
