/** Copies lie one behind the other in slabs of so many bytes: an array buffer of its own costs more than a short copy. */
const SLAB_BYTES = 65_536;
let slab = new ArrayBuffer(SLAB_BYTES), used = 0;

/** The bytes as they are now. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (used + length > slab.byteLength) {
    if (length > SLAB_BYTES / 4) return new Uint8Array(bytes);
    slab = new ArrayBuffer(SLAB_BYTES);
    used = 0;
  }
  const copy = new Uint8Array(slab, used, length);
  copy.set(bytes);
  used += length;
  return copy;
}
