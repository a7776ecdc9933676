// e^x for two doubles at once, with the bits of `Math.exp`: the algorithm of fdlibm (e_exp.c, Sun Microsystems 1993), operation by
// operation. It is within 1 ulp; what matters here is that it is the same everywhere.

/**
 * Constants in memory, doubled: as immediates V8 puts each together from four instructions at every use. In order: 1 / ln 2, its half, high and low part of
 * ln 2, the polynomial from its end, 1, 2, the limits of the exponents, 2^-1000, e, and the magnitudes 2^-28, ln 2 / 2 and 1.5 ln 2 by the
 * high word, as fdlibm compares them.
 */
const CONSTANTS: usize = memory.data<f64>([
  1.44269504088896338700e+00, 1.44269504088896338700e+00, 0.5, 0.5,
  6.93147180369123816490e-01, 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.90821492927058770002e-10,
  4.13813679705723846039e-08, 4.13813679705723846039e-08, -1.65339022054652515390e-06, -1.65339022054652515390e-06,
  6.61375632143793436117e-05, 6.61375632143793436117e-05, -2.77777777770155933842e-03, -2.77777777770155933842e-03,
  1.66666666666666019037e-01, 1.66666666666666019037e-01, 1, 1, 2, 2,
  7.09782712893383973096e+02, 7.09782712893383973096e+02, -7.45133219101941108420e+02, -7.45133219101941108420e+02,
  -1021, -1021, 1024, 1024, 1000, 1000, 9.33263618503218878990e-302, 9.33263618503218878990e-302, 2.718281828459045, 2.718281828459045,
], 16);
const MAGNITUDES: usize = memory.data<u64>([
  0x7fffffffffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000000, 0x3e30000000000000, 0x3e30000000000000,
  0x3fd62e4300000000, 0x3fd62e4300000000, 0x3ff0a2b200000000, 0x3ff0a2b200000000, 1023, 1023,
], 16);

// @ts-ignore: decorator
@inline export function exp2(x: v128): v128 {
  const isNothing = f64x2.lt(x, v128.load(CONSTANTS, 192));
  const one = v128.load(CONSTANTS, 144);
  const magnitude = v128.and(x, v128.load(MAGNITUDES));
  const sign = v128.and(x, v128.load(MAGNITUDES, 16));
  // The multiple of ln 2 that is taken off: none below half of ln 2, one below three halves, else the rounded quotient.
  const rounded = f64x2.trunc(f64x2.add(f64x2.mul(v128.load(CONSTANTS), x), v128.or(v128.load(CONSTANTS, 16), sign)));
  let k = v128.bitselect(v128.or(one, sign), rounded, i64x2.lt_s(magnitude, v128.load(MAGNITUDES, 64)));
  k = v128.and(k, i64x2.ge_s(magnitude, v128.load(MAGNITUDES, 48)));
  const high = f64x2.sub(x, f64x2.mul(k, v128.load(CONSTANTS, 32)));
  const low = f64x2.mul(k, v128.load(CONSTANTS, 48));
  const r = f64x2.sub(high, low);
  const t = f64x2.mul(r, r);
  let c = f64x2.add(v128.load(CONSTANTS, 80), f64x2.mul(t, v128.load(CONSTANTS, 64)));
  c = f64x2.add(v128.load(CONSTANTS, 96), f64x2.mul(t, c));
  c = f64x2.add(v128.load(CONSTANTS, 112), f64x2.mul(t, c));
  c = f64x2.add(v128.load(CONSTANTS, 128), f64x2.mul(t, c));
  c = f64x2.sub(r, f64x2.mul(t, c));
  const quotient = f64x2.div(f64x2.mul(r, c), f64x2.sub(v128.load(CONSTANTS, 160), c));
  let y = f64x2.sub(one, f64x2.sub(f64x2.sub(low, quotient), high));
  // What fdlibm treats apart: tiny numbers (not 0, where all ways give 1), 1, no number, and 2^k in two factors where one would leave the exponents.
  const isLow = f64x2.lt(k, v128.load(CONSTANTS, 208)), isHigh = f64x2.ge(k, v128.load(CONSTANTS, 224));
  const isTiny = v128.and(i64x2.lt_s(magnitude, v128.load(MAGNITUDES, 32)), f64x2.ne(x, f64x2.splat(0))), isOne = f64x2.eq(x, one);
  const isApart = v128.or(v128.or(isLow, isHigh), v128.or(v128.or(isTiny, isOne), f64x2.ne(x, x)));
  if (v128.any_true(v128.andnot(isApart, isNothing))) {
    const isTop = f64x2.eq(k, v128.load(CONSTANTS, 224));
    const shifted = f64x2.sub(f64x2.add(k, v128.and(isLow, v128.load(CONSTANTS, 240))), v128.and(isTop, one));
    y = f64x2.mul(y, v128.bitselect(v128.load(CONSTANTS, 160), one, isTop));
    y = f64x2.mul(y, power(shifted));
    y = f64x2.mul(y, v128.bitselect(v128.load(CONSTANTS, 256), one, isLow));
    y = v128.bitselect(f64x2.add(one, x), y, isTiny);
    y = v128.bitselect(v128.load(CONSTANTS, 272), y, isOne);
    y = v128.bitselect(f64x2.splat(Infinity), y, f64x2.gt(x, v128.load(CONSTANTS, 176)));
  } else y = f64x2.mul(y, power(k));
  return v128.andnot(y, isNothing);
}

/** 2^k for k of -1022 to 1023. */
// @ts-ignore: decorator
@inline function power(k: v128): v128 {
  return i64x2.shl(i64x2.add(i64x2.extend_low_i32x4_s(i32x4.trunc_sat_f64x2_s_zero(k)), v128.load(MAGNITUDES, 80)), 52);
}
