// int8 values are packed four to a word: the lowest is that of the smallest index.
fn signedBytes(word: u32) -> vec4i {
  return bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u);
}
