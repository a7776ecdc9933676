import { clusterLive, promoteCluster, readDataset } from "@populace/studies";
import type { Model, Schema } from "@populace/studies";
import { count } from "../output.ts";

/** A model with one persona more, and how it came to it. */
export interface NewPersona {
  readonly model: Model;
  readonly persona: string;
  readonly sentence: string;
}

/**
 * Clusters the live recipients, takes the largest stable cluster that no persona describes, and promotes it. A model whose
 * personas describe everyone comes back unchanged.
 */
export async function promoteNewcomers(model: Model, schema: Schema, path: string, seed: number): Promise<NewPersona> {
  const live = await readDataset(schema, path, { recipientsOnly: true });
  // One cluster more than personas: is there room for somebody new?
  const found = clusterLive(model, live, { method: "kmeans", k: model.mixture.personas.length + 1, seed });
  const shadow = found.emerging.filter((cluster) => cluster.stage === "shadow").toSorted((a, b) => b.size - a.size)[0];
  if (shadow === undefined) return { model, persona: "", sentence: `${found.k} clusters of ${count(live.rows)} recipients, all known to the personas` };
  const promotion = promoteCluster(model, live, found.labels, shadow.cluster);
  return {
    model: promotion.model, persona: promotion.persona,
    sentence: `${found.k} clusters of ${count(live.rows)} recipients; one of ${shadow.size} fits no persona (${shadow.description}; stability ${shadow.stability.toFixed(2)}) and is promoted to ${promotion.persona}`,
  };
}
