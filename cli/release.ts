import { PopulaceError } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import type { Ports } from "@populace/io";

/** Registry key under which a store names the release it serves. */
const RELEASE_KEY = "release.current";

/** What a store serves: the score table, and where the model it was made of lies. */
interface Release {
  readonly table: ScoreTable;
  readonly model: string;
}

/**
 * Commits a score table and the text of its model file as the store's release: the contents first, then the name, so that a reader never sees a
 * name without its content. Returns the address of the release. Throws STORE_FAILED when another writer keeps winning.
 */
export async function commitRelease(ports: Pick<Ports, "blobs" | "registry">, table: ScoreTable, modelText: string): Promise<string> {
  const release: Release = { table, model: await ports.blobs.put(Buffer.from(modelText)) };
  const address = await ports.blobs.put(Buffer.from(JSON.stringify(release)));
  const name = Buffer.from(address);
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const current = await ports.registry.get(RELEASE_KEY);
    const written = current === null ? await ports.registry.create(RELEASE_KEY, name) : await ports.registry.update(RELEASE_KEY, name, current.revision);
    if (written.ok) return address;
  }
  throw new PopulaceError("STORE_FAILED", "the release could not be committed: another process keeps writing it; try again when it is done", { address });
}

/** The score table last committed to the store, or null while there is none. CORRUPT when its content is gone or changed. */
export async function committedRelease(ports: Pick<Ports, "blobs" | "registry">): Promise<ScoreTable | null> {
  return (await currentRelease(ports))?.table ?? null;
}

/** The text of the model file behind a release; null when another one was committed meanwhile. CORRUPT as above. */
export async function committedModel(ports: Pick<Ports, "blobs" | "registry">, release: string): Promise<string | null> {
  const current = await currentRelease(ports);
  return current?.table.release === release ? content(ports, current.model) : null;
}

async function currentRelease(ports: Pick<Ports, "blobs" | "registry">): Promise<Release | null> {
  const entry = await ports.registry.get(RELEASE_KEY);
  return entry === null ? null : (JSON.parse(await content(ports, Buffer.from(entry.bytes).toString("utf8"))) as Release);
}

async function content(ports: Pick<Ports, "blobs">, address: string): Promise<string> {
  const bytes = await ports.blobs.get(address);
  if (bytes === null) throw new PopulaceError("CORRUPT", `release ${address}: its content is gone from the store; commit it again with populace up --model`, { address });
  return Buffer.from(bytes).toString("utf8");
}
