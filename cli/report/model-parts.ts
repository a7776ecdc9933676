import type { Model } from "@populace/studies";
import { surfaceOf } from "./from-surface.ts";
import { profileOf } from "./profile.ts";
import type { ModelParts } from "./report.ts";
import { tornadoOf } from "./tornado.ts";

/** What a report shows of the model alone; the tornado of one stimulus, by default the one with the highest rate. */
export async function modelParts(model: Model, stimulus?: string): Promise<ModelParts> {
  return { personas: profileOf(model.mixture), tornado: tornadoOf(model, stimulus), surface: await surfaceOf(model) };
}
