import type { ModelShock } from "./model.ts";

/** A study file: what to rehearse. Every key has a default, so `{}` is a study: each stimulus of the model in its own scenario. */
export interface Study {
  readonly name: string;
  readonly seed: number;
  readonly agents: number;
  readonly ticks: number;
  /** Personas by id or name; empty = all of the model. */
  readonly personas: readonly string[];
  /** Extra stimuli the model has never seen, and which of all to rehearse; empty = all of the model. */
  readonly stimuli: readonly string[];
  readonly newStimuli: readonly import("@populace/domain").Stimulus[];
  /** Named courses of events; empty = one scenario a stimulus, shown at every `everyTicks`. */
  readonly scenarios: readonly StudyScenario[];
  readonly everyTicks: number;
  readonly pressure: { readonly perContact: number; readonly perResponse: number; readonly logitPerUnit: number; readonly leaveLogitPerUnit: number; readonly gapTicks: number };
  readonly returnRate: number;
  readonly influence: StudyInfluence | null;
  readonly shocks: readonly ModelShock[];
  /** Economic value of the last step, minor units; absent = the value model, else 100. */
  readonly economicValueMinor: number | null;
  readonly worlds: number;
}

export interface StudyScenario {
  readonly name: string;
  /** Which stimulus at which ticks, for all personas or those named. */
  readonly contacts: readonly { readonly stimulus: string; readonly fromTick: number; readonly everyTicks: number; readonly personas: readonly string[] }[];
}

export interface StudyInfluence {
  readonly graph:
    | { readonly kind: "edges"; readonly edges: readonly { readonly from: string; readonly to: string; readonly weight: number }[] }
    | { readonly kind: "small-world"; readonly neighbors: number; readonly rewire: number }
    | { readonly kind: "scale-free"; readonly links: number };
  readonly shareRate: readonly number[];
  readonly warmthPerShare: number;
  readonly warmthHalfLifeTicks: number;
  readonly awarePerShare: number;
  readonly awareLogit: number;
}
