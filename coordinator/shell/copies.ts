import { PopulaceError } from "@populace/domain";
import type { Blobs, Store } from "@populace/io";
import { hasCopy, readCopy, writeCopy } from "./run-store.ts";

/** Keeps a blob, which the caller may have at hand, on this coordinator's own disk; false when it is neither there nor (any longer) to be had. */
export async function keepCopy(ports: { readonly blobs: Blobs; readonly store: Store }, hash: string, atHand: Uint8Array | null = null): Promise<boolean> {
  if (hash === "" || hasCopy(ports.store, hash)) return true;
  const bytes = atHand ?? await ports.blobs.get(hash);
  if (bytes === null) return false;
  await ports.store.transaction((tables) => writeCopy(tables, hash, bytes));
  return true;
}

/** A blob, from the own disk when the blob store has lost it, which is then given it back; null when neither has it. */
export async function blobOrCopy(ports: { readonly blobs: Blobs; readonly store: Store }, hash: string): Promise<Uint8Array | null> {
  const bytes = await ports.blobs.get(hash).catch(async (error: unknown) => {
    if (!(error instanceof PopulaceError) || error.code !== "CORRUPT") throw error;
    // The sound one is not taken in while the broken one stands in its place.
    await ports.blobs.remove(hash);
    return null;
  });
  if (bytes !== null) return bytes;
  const copy = readCopy(ports.store, hash);
  if (copy !== null) await ports.blobs.put(copy);
  return copy;
}
