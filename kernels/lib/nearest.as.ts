// The inner loop of kernel `nearest`, four rows against eight centroids at a time, and what it shares with `k-means`.
//
// Packed centroids: for each group of 8, for each pair of dimensions, 8 lanes of 2 int16, NEGATED, so that the score
// bias - x.c is one chain of multiply-adds that starts at the bias. Lanes beyond the last centroid hold bias 2^31 - 1 and zeros:
// they never win, because a score is below 2^31 and equal scores go to the smaller index.
//
// Measured on one core at 1,000 centroids x 64 dimensions: 4 rows x 8 lanes 2.08 us a row; 6 x 8 2.6, 3 x 16 2.7, 4 x 12 2.6 (the
// registers spill), 5 x 8 and 3 x 12 2.1 to 2.2; rows interleaved beforehand 2.0 to 2.1. Unrolling further gains nothing.

// @ts-ignore: decorator
@inline const WORST: i32 = 0x7fffffff;

/**
 * For `count` rows the smallest score, its index (the smallest of equal ones) and the runner-up's score. `stride` is the bytes of a
 * row, `pairs` its dimensions / 2 rounded up.
 */
export function nearestRows(rows: usize, stride: usize, count: i32, pairs: i32, packed: usize, biases: usize, groups: i32, indexes: usize, scores: usize, seconds: usize): void {
  const end: usize = <usize>pairs << 2;
  const even: usize = end & ~7;
  for (let row = 0; row < count; row += 4) {
    const last = count - 1;
    const r0 = rows + <usize>row * stride;
    const r1 = rows + <usize>min(row + 1, last) * stride;
    const r2 = rows + <usize>min(row + 2, last) * stride;
    const r3 = rows + <usize>min(row + 3, last) * stride;
    let best0 = i32x4.splat(WORST), best1 = best0, best2 = best0, best3 = best0;
    let second0 = best0, second1 = best0, second2 = best0, second3 = best0;
    let index0 = i32x4.splat(0), index1 = index0, index2 = index0, index3 = index0;
    let lanes = i32x4(0, 1, 2, 3);
    let c = packed, b = biases;
    for (let group = 0; group < groups; group++) {
      let a00 = v128.load(b), a01 = v128.load(b, 16);
      let a10 = a00, a11 = a01, a20 = a00, a21 = a01, a30 = a00, a31 = a01;
      b += 32;
      let p: usize = 0;
      for (; p < even; p += 8) {
        const c0 = v128.load(c), c1 = v128.load(c, 16);
        let x = v128.load32_splat(r0 + p);
        a00 = i32x4.add(a00, i32x4.dot_i16x8_s(x, c0));
        a01 = i32x4.add(a01, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r1 + p);
        a10 = i32x4.add(a10, i32x4.dot_i16x8_s(x, c0));
        a11 = i32x4.add(a11, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r2 + p);
        a20 = i32x4.add(a20, i32x4.dot_i16x8_s(x, c0));
        a21 = i32x4.add(a21, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r3 + p);
        a30 = i32x4.add(a30, i32x4.dot_i16x8_s(x, c0));
        a31 = i32x4.add(a31, i32x4.dot_i16x8_s(x, c1));
        const c2 = v128.load(c, 32), c3 = v128.load(c, 48);
        x = v128.load32_splat(r0 + p, 4);
        a00 = i32x4.add(a00, i32x4.dot_i16x8_s(x, c2));
        a01 = i32x4.add(a01, i32x4.dot_i16x8_s(x, c3));
        x = v128.load32_splat(r1 + p, 4);
        a10 = i32x4.add(a10, i32x4.dot_i16x8_s(x, c2));
        a11 = i32x4.add(a11, i32x4.dot_i16x8_s(x, c3));
        x = v128.load32_splat(r2 + p, 4);
        a20 = i32x4.add(a20, i32x4.dot_i16x8_s(x, c2));
        a21 = i32x4.add(a21, i32x4.dot_i16x8_s(x, c3));
        x = v128.load32_splat(r3 + p, 4);
        a30 = i32x4.add(a30, i32x4.dot_i16x8_s(x, c2));
        a31 = i32x4.add(a31, i32x4.dot_i16x8_s(x, c3));
        c += 64;
      }
      if (p < end) {
        const c0 = v128.load(c), c1 = v128.load(c, 16);
        let x = v128.load32_splat(r0 + p);
        a00 = i32x4.add(a00, i32x4.dot_i16x8_s(x, c0));
        a01 = i32x4.add(a01, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r1 + p);
        a10 = i32x4.add(a10, i32x4.dot_i16x8_s(x, c0));
        a11 = i32x4.add(a11, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r2 + p);
        a20 = i32x4.add(a20, i32x4.dot_i16x8_s(x, c0));
        a21 = i32x4.add(a21, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r3 + p);
        a30 = i32x4.add(a30, i32x4.dot_i16x8_s(x, c0));
        a31 = i32x4.add(a31, i32x4.dot_i16x8_s(x, c1));
        c += 32;
      }
      // Lane by lane: what beats the best takes its place, and the loser of the two stands for the second.
      let less = i32x4.lt_s(a00, best0);
      second0 = i32x4.min_s(second0, i32x4.max_s(a00, best0));
      best0 = i32x4.min_s(best0, a00);
      index0 = v128.bitselect(lanes, index0, less);
      less = i32x4.lt_s(a10, best1);
      second1 = i32x4.min_s(second1, i32x4.max_s(a10, best1));
      best1 = i32x4.min_s(best1, a10);
      index1 = v128.bitselect(lanes, index1, less);
      less = i32x4.lt_s(a20, best2);
      second2 = i32x4.min_s(second2, i32x4.max_s(a20, best2));
      best2 = i32x4.min_s(best2, a20);
      index2 = v128.bitselect(lanes, index2, less);
      less = i32x4.lt_s(a30, best3);
      second3 = i32x4.min_s(second3, i32x4.max_s(a30, best3));
      best3 = i32x4.min_s(best3, a30);
      index3 = v128.bitselect(lanes, index3, less);
      lanes = i32x4.add(lanes, i32x4.splat(4));
      less = i32x4.lt_s(a01, best0);
      second0 = i32x4.min_s(second0, i32x4.max_s(a01, best0));
      best0 = i32x4.min_s(best0, a01);
      index0 = v128.bitselect(lanes, index0, less);
      less = i32x4.lt_s(a11, best1);
      second1 = i32x4.min_s(second1, i32x4.max_s(a11, best1));
      best1 = i32x4.min_s(best1, a11);
      index1 = v128.bitselect(lanes, index1, less);
      less = i32x4.lt_s(a21, best2);
      second2 = i32x4.min_s(second2, i32x4.max_s(a21, best2));
      best2 = i32x4.min_s(best2, a21);
      index2 = v128.bitselect(lanes, index2, less);
      less = i32x4.lt_s(a31, best3);
      second3 = i32x4.min_s(second3, i32x4.max_s(a31, best3));
      best3 = i32x4.min_s(best3, a31);
      index3 = v128.bitselect(lanes, index3, less);
      lanes = i32x4.add(lanes, i32x4.splat(4));
    }
    const at: usize = <usize>row << 2;
    settle(best0, second0, index0, indexes + at, scores + at, seconds + at);
    if (row < last) settle(best1, second1, index1, indexes + at + 4, scores + at + 4, seconds + at + 4);
    if (row + 1 < last) settle(best2, second2, index2, indexes + at + 8, scores + at + 8, seconds + at + 8);
    if (row + 2 < last) settle(best3, second3, index3, indexes + at + 12, scores + at + 12, seconds + at + 12);
  }
}

/** The winner of four lanes: the smallest score, of equal ones the smallest index; the runner-up is the smallest of the rest. */
// @ts-ignore: decorator
@inline function settle(best: v128, second: v128, index: v128, indexAt: usize, scoreAt: usize, secondAt: usize): void {
  // Lanes 0, 1 meet 2, 3; then the winners meet. A loser of either round may be the runner-up.
  let otherBest = i32x4.shuffle(best, best, 2, 3, 0, 1), otherIndex = i32x4.shuffle(index, index, 2, 3, 0, 1);
  let takes = v128.or(i32x4.lt_s(otherBest, best), v128.and(i32x4.eq(otherBest, best), i32x4.lt_s(otherIndex, index)));
  second = i32x4.min_s(i32x4.min_s(second, i32x4.shuffle(second, second, 2, 3, 0, 1)), i32x4.max_s(best, otherBest));
  best = i32x4.min_s(best, otherBest);
  index = v128.bitselect(otherIndex, index, takes);
  otherBest = i32x4.shuffle(best, best, 1, 0, 3, 2);
  otherIndex = i32x4.shuffle(index, index, 1, 0, 3, 2);
  takes = v128.or(i32x4.lt_s(otherBest, best), v128.and(i32x4.eq(otherBest, best), i32x4.lt_s(otherIndex, index)));
  second = i32x4.min_s(i32x4.min_s(second, i32x4.shuffle(second, second, 1, 0, 3, 2)), i32x4.max_s(best, otherBest));
  best = i32x4.min_s(best, otherBest);
  index = v128.bitselect(otherIndex, index, takes);
  store<i32>(indexAt, i32x4.extract_lane(index, 0));
  store<i32>(scoreAt, i32x4.extract_lane(best, 0));
  store<i32>(secondAt, i32x4.extract_lane(second, 0));
}

/** |x|^2 of a row, exactly. */
// @ts-ignore: decorator
@inline export function squaredNorm(row: usize, pairs: i32): u64 {
  const end = row + (<usize>pairs << 2);
  let wide = i64x2.splat(0);
  let at = row;
  // The four sums of two squares are at most 2^31 each: unsigned they fit 32 bits, and 64 hold as many as there are.
  for (; at + 16 <= end; at += 16) {
    const x = v128.load(at), squares = i32x4.dot_i16x8_s(x, x);
    wide = i64x2.add(wide, i64x2.add(i64x2.extend_low_i32x4_u(squares), i64x2.extend_high_i32x4_u(squares)));
  }
  let sum = <u64>i64x2.extract_lane(wide, 0) + <u64>i64x2.extract_lane(wide, 1);
  for (; at < end; at += 4) {
    const a = <i32>load<i16>(at), b = <i32>load<i16>(at, 2);
    sum += <u64>(<u32>(a * a) + <u32>(b * b));
  }
  return sum;
}
