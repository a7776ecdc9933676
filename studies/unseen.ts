import type { Stimulus } from "@populace/domain";
import { unseenScale } from "@populace/domain";
import type { Model } from "./model.ts";
import { Z_90 } from "./stated-interval.ts";

/** A stimulus that a model has never seen, and what that does to its intervals. */
export interface UnseenStimulus {
  readonly stimulus: string;
  /** Contacted stimuli that the model met: how much stimuli differ is learned from them. */
  readonly seen: number;
  /** By what factor its odds of the first step may lie above, or below, what its features say: 90 % of new stimuli keep within it. */
  readonly oddsFactor: number;
}

/** Stimuli from which on the spread between stimuli is rather the data's word than the prior's. */
const SEEN_MIN = 5;

/** Those of the contacted stimuli that the model has never seen, with why their intervals are as wide as they are. */
export function unseenStimuli(model: Model, stimuli: readonly Stimulus[]): readonly UnseenStimulus[] {
  const { response } = model;
  const known = new Set<string>(response.stimuli.map((stimulus) => stimulus.id));
  const oddsFactor = Math.exp(unseenScale(response.stepModels[0]) * Z_90);
  return stimuli.filter((stimulus) => stimulus.contact && !known.has(stimulus.id)).map((stimulus) => ({ stimulus: stimulus.id, seen: response.stimuli.filter((each) => each.contact).length, oddsFactor }));
}

/** The same in a sentence. */
export const unseenNote = ({ seen, oddsFactor }: UnseenStimulus): string =>
  `never seen by the model, so its intervals hold how much stimuli differ beyond their features: up to ${oddsFactor.toFixed(1)} times the odds, or 1/${oddsFactor.toFixed(1)} (90 %), ${
    seen < SEEN_MIN ? `mostly by the prior, for the model has met ${seen === 1 ? "one stimulus" : `${seen} stimuli`} only; more campaigns narrow it` : `learned from ${seen} stimuli`}`;
