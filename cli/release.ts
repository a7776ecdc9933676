import { PopulaceError } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import { announceRelease, releasesOf } from "@populace/coordinator";
import type { Ports } from "@populace/io";
import { LOCAL_TENANT } from "./names.ts";

/** What a store serves: the score table, and where the model it was made of lies. */
interface Release {
  readonly table: ScoreTable;
  readonly model: string;
}

/**
 * Commits a score table and the text of its model file as the store's release: the contents first, then the name, so that a reader never sees a
 * number without its content. The same content once more is no new release. Returns its address.
 */
export async function commitRelease(ports: Pick<Ports, "blobs" | "registry">, table: ScoreTable, modelText: string): Promise<string> {
  const release: Release = { table, model: await ports.blobs.put(Buffer.from(modelText)) };
  const address = await ports.blobs.put(Buffer.from(JSON.stringify(release)));
  const served = (await releasesOf(ports.registry, LOCAL_TENANT)).at(-1)?.content;
  if (served !== address) await announceRelease(ports.registry, LOCAL_TENANT, { content: address, note: `${table.model}, version ${table.version}` });
  return address;
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
  const served = (await releasesOf(ports.registry, LOCAL_TENANT)).at(-1);
  return served === undefined ? null : (JSON.parse(await content(ports, served.content)) as Release);
}

async function content(ports: Pick<Ports, "blobs">, address: string): Promise<string> {
  const bytes = await ports.blobs.get(address);
  if (bytes === null) throw new PopulaceError("CORRUPT", `release ${address}: its content is gone from the store; commit it again with populace up --model`, { address });
  return Buffer.from(bytes).toString("utf8");
}
