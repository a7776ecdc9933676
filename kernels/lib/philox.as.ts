// Philox4x32-10 (domain/random/philox.ts), four blocks at a time: lane l of every vector belongs to block l.

const MULTIPLIER_0: u32 = 0xd2511f53;
const MULTIPLIER_1: u32 = 0xcd9e8d57;
const WEYL_0: u32 = 0x9e3779b9;
const WEYL_1: u32 = 0xbb67ae85;

/** High 32 bits of lane-wise products, and through `low` the low ones are a plain multiplication. */
// @ts-ignore: decorator
@inline function mulHigh4(a: v128, m: v128): v128 {
  const even = i64x2.extmul_low_i32x4_u(a, m);
  const odd = i64x2.extmul_high_i32x4_u(a, m);
  return i8x16.shuffle(even, odd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

/** Stores the four words of four blocks word by word: out[0..3] word 0 of blocks 0..3, out[4..7] word 1, and so on. */
// @ts-ignore: decorator
@inline export function philox4(out: usize, counter0: v128, counter1: u32, counter2: u32, counter3: u32, key0: u32, key1: u32): void {
  let c0 = counter0, c1 = i32x4.splat(counter1), c2 = i32x4.splat(counter2), c3 = i32x4.splat(counter3);
  const m0 = i32x4.splat(MULTIPLIER_0), m1 = i32x4.splat(MULTIPLIER_1);
  let k0 = key0, k1 = key1;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh4(c0, m0), low0 = i32x4.mul(c0, m0);
    const high1 = mulHigh4(c2, m1), low1 = i32x4.mul(c2, m1);
    c0 = v128.xor(v128.xor(high1, c1), i32x4.splat(k0));
    c2 = v128.xor(v128.xor(high0, c3), i32x4.splat(k1));
    c1 = low1;
    c3 = low0;
    k0 += WEYL_0;
    k1 += WEYL_1;
  }
  v128.store(out, c0);
  v128.store(out, c1, 16);
  v128.store(out, c2, 32);
  v128.store(out, c3, 48);
}
