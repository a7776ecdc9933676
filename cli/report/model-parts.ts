import type { Model } from "@populace/studies";
import { profileOf } from "./profile.ts";
import type { ModelParts } from "./report.ts";
import { tornadoOf } from "./tornado.ts";

/** What the report of a run shows of the model alone; the tornado of one stimulus, by default the one with the highest rate. */
export const modelParts = (model: Model, stimulus?: string): ModelParts => ({ personas: profileOf(model.mixture), tornado: tornadoOf(model, stimulus) });
