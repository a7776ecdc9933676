/**
 * What the kernel reads of a Plan: the same fields and formats as `Plan` of @populace/protocol (see there for every field),
 * stated again because kernels stand below the protocol; a Plan is assignable to it, which the type check proves wherever
 * one is passed.
 */
export interface ExposePlan {
  readonly arithmeticProfile: "nest8-2" | "nest16-2";
  readonly worlds: number;
  readonly ticks: number;
  readonly ordinalsMax: number;
  readonly slots: number;
  readonly slotKind: Uint8Array;
  readonly tableOffset: Int16Array;
  readonly tableLength: number;
  readonly factors: number;
  readonly steps: readonly string[];
  readonly stimuli: readonly { readonly contact: boolean }[];
  readonly personas: readonly ExposePersona[];
  readonly scenarios: readonly { readonly schedule: Int16Array }[];
  readonly cells: readonly { readonly scenario: number; readonly stimulus: number }[];
  readonly weights: Int16Array;
  readonly tables: Int32Array;
  readonly factorWeights: Int16Array;
  readonly bias: Int32Array;
  readonly leaveBias: Int32Array;
  readonly drawBits: Uint8Array;
  readonly leaveBits: Uint8Array;
  readonly offset: Int32Array;
  readonly pressureWeight: Int32Array;
  readonly pressureLeaveWeight: number;
  readonly pressureGain: number;
  readonly pressureGainResponse: number;
  readonly gapTicks: number;
  readonly influence: ExposeInfluence | null;
}

/** One persona: its Philox key, its size, and how its agents' codes are drawn. */
export interface ExposePersona {
  readonly key: readonly [number, number];
  readonly agents: number;
  readonly worldShift: number;
  readonly traits: readonly ExposeTrait[];
  readonly copula: Int16Array;
  readonly returnThreshold: number;
}

/** How the code of one slot is drawn: a level by its cumulative shares, or a number through a grid of quantiles. */
export type ExposeTrait =
  | { readonly slot: number; readonly kind: "level"; readonly cumulative: Uint32Array; readonly codes: Int8Array }
  | { readonly slot: number; readonly kind: "grid"; readonly quantiles: Int32Array; readonly offset: Int32Array; readonly scale: Int32Array };

/** Spread between personas after a tick; rows by receiving persona. */
export interface ExposeInfluence {
  readonly rowStart: Int32Array;
  readonly source: Int32Array;
  readonly weight: Int32Array;
  readonly shareThreshold: Uint32Array;
  readonly warmthDecay: number;
  readonly warmthGain: number;
  readonly warmthMax: number;
  readonly awareGain: number;
  readonly awareMax: number;
  readonly awareWeight: Int32Array;
}

/** A run of consecutive agents of one persona; `firstAgent` is a multiple of 256, because 256 agents share thinned draws. */
export interface ExposeBlock {
  readonly persona: number;
  readonly firstAgent: number;
  readonly agents: number;
}

/** Slots whose effect is a table by code; the others are numbers or empty. */
export const LEVEL_SLOT = 2;

/** A hash tick: every eighth, never the last (SPEC.md, "State digest"). */
export const isHashTick = (plan: Pick<ExposePlan, "ticks">, tick: number): boolean => (tick + 1) % 8 === 0 && tick + 1 < plan.ticks;
