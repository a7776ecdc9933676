import { PopulaceError } from "@populace/domain";
import { sha256Hex } from "../hash.ts";
import type { Blobs, Store } from "../ports.ts";

const BLOBS = "blobs";

/** Content-addressed bytes over a store; `get` hashes what it read, so a flipped bit is found before use. */
export function createBlobs(store: Store): Blobs {
  const has = (address: string): boolean => store.range(BLOBS, { prefix: address, limit: 1, keysOnly: true }).length > 0;
  return {
    async put(bytes) {
      const own = new Uint8Array(bytes);
      const address = sha256Hex(own);
      if (!has(address)) await store.transaction((tables) => tables.put(BLOBS, address, own));
      return address;
    },
    async get(address) {
      const bytes = store.get(BLOBS, address);
      if (bytes !== null && sha256Hex(bytes) !== address) {
        throw new PopulaceError("CORRUPT", `blob ${address}: the stored ${bytes.length} bytes do not match this hash; remove it and let it be computed or copied again`, { address, bytes: bytes.length });
      }
      return bytes;
    },
    has: async (address) => has(address),
    remove: (address) => store.transaction((tables) => tables.remove(BLOBS, address)),
  };
}
