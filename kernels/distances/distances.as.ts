// Kernel `distances` for SIMD WebAssembly: squared Euclidean distances in f32, two rows by eight centers at a time.
// Centers are packed eight by eight, dimension by dimension ([center / 8][dimension][center % 8]); the last pack and the
// number of rows are filled up to 8 and 2, and the caller throws away what comes of the filling.

/** First address that belongs to the caller. */
export function heapBase(): usize {
  return __heap_base;
}

// @ts-ignore: decorator
@inline function squaredTo(sum: v128, row: v128, center: v128): v128 {
  const difference = f32x4.sub(row, center);
  return f32x4.add(sum, f32x4.mul(difference, difference));
}

/** Writes rows x centers distances; `rows` is even, `centers` a multiple of 8. */
export function squared(rowsAt: usize, centersAt: usize, outAt: usize, rows: i32, centers: i32, dimensions: i32): void {
  const rowStride = <usize>dimensions << 2, outStride = <usize>centers << 2;
  for (let row = 0; row < rows; row += 2) {
    let packAt = centersAt;
    for (let out: usize = 0; out < outStride; out += 32) {
      let low0 = f32x4.splat(0), high0 = low0, low1 = low0, high1 = low0;
      for (let d: usize = 0; d < rowStride; d += 4) {
        const low = v128.load(packAt), high = v128.load(packAt, 16);
        const value0 = v128.load32_splat(rowsAt + d), value1 = v128.load32_splat(rowsAt + rowStride + d);
        low0 = squaredTo(low0, value0, low);
        high0 = squaredTo(high0, value0, high);
        low1 = squaredTo(low1, value1, low);
        high1 = squaredTo(high1, value1, high);
        packAt += 32;
      }
      v128.store(outAt + out, low0);
      v128.store(outAt + out, high0, 16);
      v128.store(outAt + outStride + out, low1);
      v128.store(outAt + outStride + out, high1, 16);
    }
    rowsAt += rowStride << 1;
    outAt += outStride << 1;
  }
}
