// Kernel `response-surface` for SIMD WebAssembly: the sum over members of SPEC.md, in f32, for all rows of one world.
// Factors lie step by step: columns padded to a multiple of 4, members to a multiple of 4 with weights of 0.

/** First address that belongs to the caller. */
export function heapBase(): usize {
  return __heap_base;
}

// @ts-ignore: decorator
@inline function sumOf(lanes: v128): f32 {
  return (f32x4.extract_lane(lanes, 0) + f32x4.extract_lane(lanes, 1)) + (f32x4.extract_lane(lanes, 2) + f32x4.extract_lane(lanes, 3));
}

/** Writes rows x columns rates. Column factors: rows x steps x columns; member factors: rows x steps x members; all f32. */
export function rates(columnAt: usize, memberAt: usize, weightAt: usize, outAt: usize, rows: i32, steps: i32, columns: i32, members: i32): void {
  const one = f32x4.splat(1);
  const columnStride = <usize>columns << 2, memberStride = <usize>members << 2;
  for (let row = 0; row < rows; row++) {
    for (let column: usize = 0; column < columnStride; column += 16) {
      let sum0 = f32x4.splat(0), sum1 = sum0, sum2 = sum0, sum3 = sum0;
      for (let member: usize = 0; member < memberStride; member += 16) {
        let product0 = one, product1 = one, product2 = one, product3 = one;
        let a = columnAt + column, b = memberAt + member;
        for (let k = 0; k < steps; k++) {
          const factor = v128.load(b);
          product0 = f32x4.mul(product0, f32x4.add(one, f32x4.mul(v128.load32_splat(a), factor)));
          product1 = f32x4.mul(product1, f32x4.add(one, f32x4.mul(v128.load32_splat(a, 4), factor)));
          product2 = f32x4.mul(product2, f32x4.add(one, f32x4.mul(v128.load32_splat(a, 8), factor)));
          product3 = f32x4.mul(product3, f32x4.add(one, f32x4.mul(v128.load32_splat(a, 12), factor)));
          a += columnStride;
          b += memberStride;
        }
        const weight = v128.load(weightAt + member);
        sum0 = f32x4.add(sum0, f32x4.div(weight, product0));
        sum1 = f32x4.add(sum1, f32x4.div(weight, product1));
        sum2 = f32x4.add(sum2, f32x4.div(weight, product2));
        sum3 = f32x4.add(sum3, f32x4.div(weight, product3));
      }
      store<f32>(outAt, sumOf(sum0));
      store<f32>(outAt, sumOf(sum1), 4);
      store<f32>(outAt, sumOf(sum2), 8);
      store<f32>(outAt, sumOf(sum3), 12);
      outAt += 16;
    }
    columnAt += columnStride * steps;
    memberAt += memberStride * steps;
  }
}
