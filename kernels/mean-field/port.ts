import type { ExposePlan } from "../expose/plan.ts";

/** Bins of a logit histogram: 1/256 of a logit wide, from -8 to 8. */
export const HISTOGRAM_BINS = 4096;
/** Most agents of one histogram: their weights are 16 bits, the sums 32. */
export const HISTOGRAM_AGENTS_MAX = 65_535;

/** Which agents, world, stimulus and step a histogram is of. */
export interface HistogramOf {
  readonly persona: number;
  readonly world: number;
  readonly stimulus: number;
  readonly step: number;
  readonly firstAgent: number;
  readonly agents: number;
}

/** The kernel `mean-field` of one backend. */
export interface MeanFieldKernel {
  /** Takes a plan once. BAD_STUDY when the plan breaks a bound of its specification. */
  open(plan: ExposePlan): Promise<MeanFieldSession>;
}

/** One plan on one backend in one thread. */
export interface MeanFieldSession {
  /** Expected rates over the first `panelAgents` agents of each persona: worlds x cells x personas x steps, 0 to 1. */
  rates(panelAgents: number): Promise<Float64Array>;
  /** The logit histogram, `HISTOGRAM_BINS` sums of weights. */
  histogram(of: HistogramOf): Promise<Uint32Array>;
  close(): void;
}

/** People of a plan given by their uniforms (SPEC.md, "Trait logits of given people"). At once and on this thread, the same numbers with and without SIMD. */
export interface People {
  /** Takes up to 256 people of a persona: `uniforms` holds dimensions x count, a trait or factor after the other. */
  take(persona: number, uniforms: Uint16Array, count: number): void;
  /** Their trait logits in a world (Q14): 256 entries a (stimulus, step), of which the first `count` mean something. Valid until the next call. */
  logits(world: number): Int32Array;
  /** Their expected rates in a world: stimuli x steps, each the mean of the nested chance to come so far at tick 0, without history. Exact sums. */
  rates(world: number, stimuli: readonly number[]): Float64Array;
  /**
   * Goes on with another plan for the same agents. False, and nothing has changed, when its agents, times or shape are others; always so without SIMD. From then on
   * the codes of each persona's people are kept, world by world, for the next plan that takes the same.
   */
  replan(plan: ExposePlan): boolean;
}

/** Dimensions of a persona's people: its traits, or the factors. */
export const peopleDimensions = (plan: ExposePlan, persona: number): number => (plan.factors > 0 ? plan.factors : plan.personas[persona].traits.length);
