/**
 * `triple32`, the integer hash of lowest bias in Chris Wellons' hash-prospector, with two key words mixed in: `key0` is added
 * before, `key1` xored in after the first product. For each key it is a bijection of u32; with key (0, 0) it is the published
 * hash. Three products against Philox's twenty: for traits that stay as they are, not for draws.
 */
export function triple32(value: number, key0: number, key1: number): number {
  let x = (value + key0) | 0;
  x ^= x >>> 17;
  x = Math.imul(x, 0xed5ad4bb) ^ key1;
  x ^= x >>> 11;
  x = Math.imul(x, 0xac4c1b51);
  x ^= x >>> 15;
  x = Math.imul(x, 0x31848bab);
  x ^= x >>> 14;
  return x >>> 0;
}
