// Wellons' triple32 with two key words mixed in (`traitWord` in kernels/expose/population.ts); a bijection of `value` for each key.
fn triple32(value: u32, key: vec2u) -> u32 {
  var x = value + key.x;
  x ^= x >> 17u;
  x *= 0xed5ad4bbu;
  x ^= key.y;
  x ^= x >> 11u;
  x *= 0xac4c1b51u;
  x ^= x >> 15u;
  x *= 0x31848babu;
  x ^= x >> 14u;
  return x;
}
