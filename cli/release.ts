import { PopulaceError } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import type { Ports } from "@populace/io";

/** Registry key under which a store names the release it serves. */
const RELEASE_KEY = "release.current";

/**
 * Commits a score table as the store's release: the content first, then the name, so that a reader never sees a name without
 * its content. Returns the address of the content. Throws STORE_FAILED when another writer keeps winning.
 */
export async function commitRelease(ports: Pick<Ports, "blobs" | "registry">, table: ScoreTable): Promise<string> {
  const address = await ports.blobs.put(Buffer.from(JSON.stringify(table)));
  const name = Buffer.from(address);
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const current = await ports.registry.get(RELEASE_KEY);
    const written = current === null ? await ports.registry.create(RELEASE_KEY, name) : await ports.registry.update(RELEASE_KEY, name, current.revision);
    if (written.ok) return address;
  }
  throw new PopulaceError("STORE_FAILED", "the release could not be committed: another process keeps writing it; try again when it is done", { address });
}

/** The release last committed to the store, or null while there is none. CORRUPT when its content is gone or changed. */
export async function committedRelease(ports: Pick<Ports, "blobs" | "registry">): Promise<ScoreTable | null> {
  const entry = await ports.registry.get(RELEASE_KEY);
  if (entry === null) return null;
  const address = Buffer.from(entry.bytes).toString("utf8");
  const bytes = await ports.blobs.get(address);
  if (bytes === null) throw new PopulaceError("CORRUPT", `release ${address}: its content is gone from the store; commit it again with populace up --model`, { address });
  return JSON.parse(Buffer.from(bytes).toString("utf8")) as ScoreTable;
}
