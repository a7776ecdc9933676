import { PopulaceError } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import { announceRelease, releasesOf } from "@populace/coordinator";
import type { Ports } from "@populace/io";
import { releaseRefusal, releaseText, scoreTableOf } from "@populace/studies";
import type { Model } from "@populace/studies";
import type { Release } from "@populace/protocol";
import { LOCAL_TENANT } from "./names.ts";

/**
 * Lets a model pass to its release, or throws UNCALIBRATED: its calibration record is missing or failed. By force it passes, and `say` hears why it
 * should not have; a model that could not be tested passes with a note.
 */
export function admitRelease(model: Model, isForced: boolean, say: (note: string) => void): void {
  const refusal = releaseRefusal(model);
  if (refusal !== null && !isForced) throw new PopulaceError("UNCALIBRATED", `${refusal.why}; ${refusal.advice}`, { model: model.name, version: model.version });
  if (refusal !== null) say(`released by force: ${refusal.why}`);
  else if (model.calibration?.verdict === "untested") say(`released untested: ${model.calibration.reason}`);
}

/**
 * Commits a model, admitted as above, as the store's release: the contents first, then the name, so that a reader never sees a number without its
 * content. The same content once more is no new release. Returns its address.
 */
export async function commitRelease(ports: Pick<Ports, "blobs" | "registry">, model: Model, isForced: boolean, say: (note: string) => void): Promise<string> {
  admitRelease(model, isForced, say);
  const [content, text] = [await ports.blobs.put(Buffer.from(JSON.stringify(scoreTableOf(model)))), await ports.blobs.put(Buffer.from(releaseText(model)))];
  const served = await servedRelease(ports);
  if (served?.content !== content || served.model !== text) await announceRelease(ports.registry, LOCAL_TENANT, { content, model: text, ledger: "", runs: [], note: `${model.name}, version ${model.version}` });
  return content;
}

/** The score table last committed to the store, or null while there is none. CORRUPT when its content is gone or changed. */
export async function committedRelease(ports: Pick<Ports, "blobs" | "registry">): Promise<ScoreTable | null> {
  const served = await servedRelease(ports);
  return served === null ? null : (JSON.parse(await contentOf(ports, served.content)) as ScoreTable);
}

/** The text of the model file behind a release; null when another one was committed meanwhile. CORRUPT as above. */
export async function committedModel(ports: Pick<Ports, "blobs" | "registry">, release: string): Promise<string | null> {
  const served = await servedRelease(ports);
  return served !== null && (JSON.parse(await contentOf(ports, served.content)) as ScoreTable).release === release ? contentOf(ports, served.model) : null;
}

const servedRelease = async (ports: Pick<Ports, "registry">): Promise<Release | null> => (await releasesOf(ports.registry, LOCAL_TENANT)).at(-1) ?? null;

async function contentOf(ports: Pick<Ports, "blobs">, address: string): Promise<string> {
  const bytes = await ports.blobs.get(address);
  if (bytes === null) throw new PopulaceError("CORRUPT", `release ${address}: its content is gone from the store; commit it again with populace up --model`, { address });
  return Buffer.from(bytes).toString("utf8");
}
