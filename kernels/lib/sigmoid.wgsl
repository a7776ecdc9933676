// Probability (u32 Q0.32) of a logit x (i32 Q14): `sigmoidQ32` of kernels/expose/tables.ts. The program that includes this
// declares `var<storage, read> sigmoidTable: array<u32>` and binds SIGMOID_TABLE, 2,049 words, to it.
fn sigmoidQ32(x: i32) -> u32 {
  let y = u32(clamp(x, -0x40000, 0x3ffff) + 0x40000);
  let low = sigmoidTable[y >> 8u];
  // One step of the table is below 2^24: the product stays below 2^32.
  return low + (((sigmoidTable[(y >> 8u) + 1u] - low) * (y & 255u)) >> 8u);
}
