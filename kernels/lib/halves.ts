/** Rows of int16 as whole words (halves.wgsl): themselves where their number of dimensions is even, else a copy with a zero after each row. */
export function packRows(rows: Int16Array, dimensions: number): Int16Array {
  if (dimensions % 2 === 0) return rows;
  const count = rows.length / dimensions;
  const packed = new Int16Array(count * (dimensions + 1));
  for (let row = 0; row < count; row++) {
    for (let d = 0; d < dimensions; d++) packed[row * (dimensions + 1) + d] = rows[row * dimensions + d];
  }
  return packed;
}
