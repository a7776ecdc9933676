// Philox4x32-10 (domain/random/philox.ts) in SIMD: lane l of a vector belongs to block l of four. Products of 32 x 32 bits come as 64 bits
// from two widening multiplications; their halves are picked apart by shuffles, which is cheaper than a second, narrow multiplication.

const MULTIPLIER_0: u32 = 0xd2511f53;
const MULTIPLIER_1: u32 = 0xcd9e8d57;
const WEYL_0: u32 = 0x9e3779b9;
const WEYL_1: u32 = 0xbb67ae85;

// @ts-ignore: decorator
@inline export function highHalves(even: v128, odd: v128): v128 {
  return i8x16.shuffle(even, odd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

// @ts-ignore: decorator
@inline function lowHalves(even: v128, odd: v128): v128 {
  return i8x16.shuffle(even, odd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
}

/** Lane-wise high 32 bits of u32 products. */
// @ts-ignore: decorator
@inline export function mulHigh4(a: v128, b: v128): v128 {
  return highHalves(i64x2.extmul_low_i32x4_u(a, b), i64x2.extmul_high_i32x4_u(a, b));
}

/** Writes the 128 bytes of eight consecutive blocks, counter0 .. counter0 + 7, each as its four little-endian words. Two chains at once hide the latencies. */
export function philox8(out: usize, counter0: u32, counter1: u32, counter2: u32, counter3: u32, key0: u32, key1: u32): void {
  const m0 = i32x4.splat(MULTIPLIER_0), m1 = i32x4.splat(MULTIPLIER_1);
  let a0 = i32x4.add(i32x4.splat(counter0), i32x4(0, 1, 2, 3)), b0 = i32x4.add(a0, i32x4.splat(4));
  let a1 = i32x4.splat(counter1), a2 = i32x4.splat(counter2), a3 = i32x4.splat(counter3);
  let b1 = a1, b2 = a2, b3 = a3;
  let k0 = i32x4.splat(key0), k1 = i32x4.splat(key1);
  for (let round = 0; round < 10; round++) {
    const ae0 = i64x2.extmul_low_i32x4_u(a0, m0), ao0 = i64x2.extmul_high_i32x4_u(a0, m0);
    const be0 = i64x2.extmul_low_i32x4_u(b0, m0), bo0 = i64x2.extmul_high_i32x4_u(b0, m0);
    const ae1 = i64x2.extmul_low_i32x4_u(a2, m1), ao1 = i64x2.extmul_high_i32x4_u(a2, m1);
    const be1 = i64x2.extmul_low_i32x4_u(b2, m1), bo1 = i64x2.extmul_high_i32x4_u(b2, m1);
    a0 = v128.xor(v128.xor(highHalves(ae1, ao1), a1), k0);
    b0 = v128.xor(v128.xor(highHalves(be1, bo1), b1), k0);
    a1 = lowHalves(ae1, ao1);
    b1 = lowHalves(be1, bo1);
    a2 = v128.xor(v128.xor(highHalves(ae0, ao0), a3), k1);
    b2 = v128.xor(v128.xor(highHalves(be0, bo0), b3), k1);
    a3 = lowHalves(ae0, ao0);
    b3 = lowHalves(be0, bo0);
    k0 = i32x4.add(k0, i32x4.splat(WEYL_0));
    k1 = i32x4.add(k1, i32x4.splat(WEYL_1));
  }
  transpose(out, a0, a1, a2, a3);
  transpose(out + 64, b0, b1, b2, b3);
}

/** Four blocks from their words: word w of block l is lane l of the w-th vector. */
// @ts-ignore: decorator
@inline function transpose(out: usize, w0: v128, w1: v128, w2: v128, w3: v128): void {
  const low01 = i8x16.shuffle(w0, w1, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const high01 = i8x16.shuffle(w0, w1, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const low23 = i8x16.shuffle(w2, w3, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const high23 = i8x16.shuffle(w2, w3, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(out, i8x16.shuffle(low01, low23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(out, i8x16.shuffle(low01, low23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 16);
  v128.store(out, i8x16.shuffle(high01, high23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), 32);
  v128.store(out, i8x16.shuffle(high01, high23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 48);
}

/** Writes the four words of one block: for the few draws that nobody can share. */
export function philox1(out: usize, counter0: u32, counter1: u32, counter2: u32, counter3: u32, key0: u32, key1: u32): void {
  let c0 = counter0, c1 = counter1, c2 = counter2, c3 = counter3, k0 = key0, k1 = key1;
  for (let round = 0; round < 10; round++) {
    const p0 = <u64>c0 * <u64>MULTIPLIER_0, p1 = <u64>c2 * <u64>MULTIPLIER_1;
    c0 = <u32>(p1 >> 32) ^ c1 ^ k0;
    c1 = <u32>p1;
    c2 = <u32>(p0 >> 32) ^ c3 ^ k1;
    c3 = <u32>p0;
    k0 += WEYL_0;
    k1 += WEYL_1;
  }
  store<u32>(out, c0);
  store<u32>(out, c1, 4);
  store<u32>(out, c2, 8);
  store<u32>(out, c3, 12);
}

/** Word 0 of one block. */
export function philoxWord(counter0: u32, counter1: u32, counter2: u32, counter3: u32, key0: u32, key1: u32): u32 {
  let c0 = counter0, c1 = counter1, c2 = counter2, c3 = counter3, k0 = key0, k1 = key1;
  for (let round = 0; round < 10; round++) {
    const p0 = <u64>c0 * <u64>MULTIPLIER_0, p1 = <u64>c2 * <u64>MULTIPLIER_1;
    c0 = <u32>(p1 >> 32) ^ c1 ^ k0;
    c1 = <u32>p1;
    c2 = <u32>(p0 >> 32) ^ c3 ^ k1;
    c3 = <u32>p0;
    k0 += WEYL_0;
    k1 += WEYL_1;
  }
  return c0;
}
