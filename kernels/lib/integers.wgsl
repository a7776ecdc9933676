// What WGSL lacks for 32-bit integers. Addition and multiplication of u32 and i32 wrap by definition.

// The high 32 bits of a * b: four products of 16-bit halves; no sum of them exceeds 2^32 - 1.
fn mulHigh(a: u32, b: u32) -> u32 {
  let aLow = a & 0xffffu;
  let aHigh = a >> 16u;
  let bLow = b & 0xffffu;
  let bHigh = b >> 16u;
  let middle = aHigh * bLow + ((aLow * bLow) >> 16u);
  let other = aLow * bHigh + (middle & 0xffffu);
  return aHigh * bHigh + (middle >> 16u) + (other >> 16u);
}

// Which workgroup this is. The host lays more groups than one dimension holds out in two, so there may be more than it asked
// for: compare the answer with a parameter. It is uniform within the group, barriers may follow.
fn groupIndex(group: vec3u, groups: vec3u) -> u32 {
  return group.y * groups.x + group.x;
}
