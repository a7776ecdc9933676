import { CanonicalWriter, fromHex, toHex, type Sha256 } from "./canonical.ts";
import type { Input } from "./messages.ts";

/** Bytes of one Merkle leaf: stateHash (32) then outHash (32) of a block. */
export const LEAF_BYTES = 64;

/**
 * Merkle root over 64-byte leaves in canonical block order: leaf = H(0 | bytes), inner = H(1 | left | right); an odd last one
 * moves up unchanged. `leaves` holds blocks x 64 bytes. Cost: two hashes a block.
 */
export function merkleRoot(leaves: Uint8Array, sha256: Sha256): Uint8Array {
  const count = leaves.length / LEAF_BYTES;
  const leaf = new Uint8Array(1 + LEAF_BYTES);
  let level: Uint8Array[] = [];
  for (let index = 0; index < count; index += 1) {
    leaf.set(leaves.subarray(index * LEAF_BYTES, (index + 1) * LEAF_BYTES), 1);
    level.push(sha256(leaf));
  }
  if (count === 0) return sha256(new Uint8Array(1));
  const inner = new Uint8Array(65).fill(1, 0, 1);
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let index = 0; index + 1 < level.length; index += 2) {
      inner.set(level[index], 1);
      inner.set(level[index + 1], 33);
      above.push(sha256(inner));
    }
    if (level.length % 2 === 1) above.push(level[level.length - 1]);
    level = above;
  }
  return level[0];
}

/**
 * SHA-256 (hex) of exact integer sums in canonical order, each as an unsigned 64-bit little-endian integer. Entries must be
 * non-negative integers below 2^53.
 */
export function sumsHashOf(sums: Float64Array | Uint32Array, sha256: Sha256): string {
  const words = new Uint32Array(sums.length * 2);
  for (let index = 0; index < sums.length; index += 1) {
    words[index * 2] = sums[index];
    words[index * 2 + 1] = sums[index] / 0x1_0000_0000;
  }
  return toHex(sha256(new Uint8Array(words.buffer)));
}

/** root_t = H(prevRoot, t, inputHash, Merkle over blocks of (stateHash, outHash), sumsHash), hex. */
export function rootOf(prevRoot: string, tick: number, inputHash: string, leaves: Uint8Array, sumsHash: string, sha256: Sha256): string {
  const writer = new CanonicalWriter(256);
  writer.text("populace root 1").array(fromHex(prevRoot)).u32(tick).array(fromHex(inputHash)).array(merkleRoot(leaves, sha256)).array(fromHex(sumsHash));
  return toHex(sha256(writer.finish()));
}

/** The root of a finished job with this output (hex): whoever has both has the proof that the one belongs to the other. */
export function rootOfJob(run: string, output: Uint8Array, sha256: Sha256): string {
  const hash = sha256(output), leaf = new Uint8Array(LEAF_BYTES);
  leaf.set(hash);
  leaf.set(hash, hash.length);
  return rootOf(run, 0, inputHashOf({ run, tick: 0, eventIds: [] }, sha256), leaf, sumsHashOf(new Float64Array(0), sha256), sha256);
}

/** SHA-256 (hex) of a sealed input's canonical bytes. */
export function inputHashOf(input: Input, sha256: Sha256): string {
  const writer = new CanonicalWriter(256);
  writer.text("populace input 1").text(input.run).u32(input.tick).u32(input.eventIds.length);
  for (const eventId of input.eventIds) writer.text(eventId);
  return toHex(sha256(writer.finish()));
}
