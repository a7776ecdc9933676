import { philox4x32 } from "@populace/domain/random";
import { KEY_PURPOSE } from "./purpose.ts";

/**
 * The Philox key of a persona: two output words of philox(counter = (h0, h1, h2, "Popu"), key = seed), where h0..h2 are the
 * first three little-endian words of `digest`, the SHA-256 of the persona id's UTF-8 bytes (the caller hashes: the kernels
 * have no node:crypto). It hangs on the id, not on the index: adding a persona shifts nobody's draws.
 */
export function personaKey(seed: readonly [number, number], digest: Uint8Array): readonly [number, number] {
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  const [key0, key1] = philox4x32([view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true), KEY_PURPOSE], seed);
  return [key0, key1];
}
