/**
 * The Plan: what a study and a model compile to. Integers only; all floats end here. Content-addressed: `planHash` is the
 * SHA-256 of its canonical encoding, and a run's result depends on it, the seed inside it and sealed inputs alone.
 *
 * Formats (arithmetic profile "nest8-2"): codes int8; weights int16 Q3.12; logits int32 Q14; probabilities uint32 Q0.32;
 * acc = sum code * weight (Q19), logit = (acc + 16) >> 5. Profile "nest16-2" has codes of 256 times the resolution in int16:
 * acc in Q27, logit = (acc + 4096) >> 13.
 */

/** The specification and the arithmetic profiles that this build compiles plans for; part of every RunSpec. */
export const KERNEL_SPEC = "expose-2";
export const ARITHMETIC_PROFILES = ["nest8-2", "nest16-2"] as const;
export type ArithmeticProfile = (typeof ARITHMETIC_PROFILES)[number];
/** Agents of one block, the unit of state, hashing and recomputation: a power of two, larger where there would be more blocks than `most`. */
export const BLOCK_AGENTS = { least: 2 ** 16, greatest: 2 ** 20, most: 4096 } as const;
/** Most funnel steps one nested draw serves. */
export const STEPS_MAX = 4;

/** Kind of a slot in the agent's row of codes. */
export const SLOT_KIND = { unused: 0, numeric: 1, level: 2 } as const;

/** How agents of a persona draw the code of one slot, world by world. */
export type PlanTrait =
  | {
      readonly slot: number;
      readonly kind: "level";
      /**
       * worlds x levels: ascending cumulative shares in Q16 (1..65536); level = first index with u16 < cumulative. The code
       * of level l is `codes[l]` (a categorical's index, or 0 / 64 for a binary).
       */
      readonly cumulative: Uint32Array;
      readonly codes: Int8Array;
    }
  | {
      readonly slot: number;
      readonly kind: "grid";
      /** 257 quantiles of the standardized shape, Q8 in code units; q(u16) interpolates linearly between entry u16 >> 8 and the next. */
      readonly quantiles: Int32Array;
      /** One an entry a world: code = clamp_int8((offset + ((scale * q + 2^15) >> 16) + 128) >> 8); offset Q8, scale Q16 (scale * q stays below 2^31). */
      readonly offset: Int32Array;
      readonly scale: Int32Array;
    };

export interface PlanPersona {
  readonly id: string;
  /** Philox key of the persona: derived from (seed, persona id), so adding a persona shifts nobody's draws. */
  readonly key: readonly [number, number];
  readonly agents: number;
  /** world of agent i = (i >> worldShift) % worlds. */
  readonly worldShift: number;
  readonly traits: readonly PlanTrait[];
  /** Gaussian copula: lower-triangular factor over `traits`, packed by rows, Q14 int16; empty = independent. */
  readonly copula: Int16Array;
  /** Threshold (Q0.32) at which an agent who left returns, per tick. */
  readonly returnThreshold: number;
}

/** A rival course of events; every agent lives once in each scenario, with its own state and the same draws. */
export interface PlanScenario {
  readonly name: string;
  /** ticks x ordinalsMax x personas: stimulus index or -1. */
  readonly schedule: Int16Array;
}

export interface Plan {
  readonly kernelSpec: typeof KERNEL_SPEC;
  readonly arithmeticProfile: ArithmeticProfile;
  readonly seed: readonly [number, number];
  readonly worlds: number;
  readonly ticks: number;
  readonly ordinalsMax: number;
  /** Multiple of 16, at most 64; 0 in the factor form. */
  readonly slots: number;
  /** SLOT_KIND a slot. */
  readonly slotKind: Uint8Array;
  /** Offset of each level slot's table in a table row; -1 otherwise. */
  readonly tableOffset: Int16Array;
  readonly tableLength: number;
  /**
   * The form of the population. 0 = coded: agents have trait codes, drawn by `personas[].traits`. 4, 8, 12 or 16 = factor: agents have so many
   * latent factors, uniform int8 from a hash of their number, and every (world, persona, stimulus, step) a weight for each of them.
   */
  readonly factors: number;
  readonly steps: readonly string[];
  readonly stimuli: readonly { readonly id: string; readonly contact: boolean }[];
  readonly personas: readonly PlanPersona[];
  readonly scenarios: readonly PlanScenario[];
  /** (scenario, stimulus) pairs that occur, in ascending order: the cells of the statistics. */
  readonly cells: readonly { readonly scenario: number; readonly stimulus: number }[];
  /** worlds x stimuli x steps x slots, Q3.12. Zero at level slots. */
  readonly weights: Int16Array;
  /** worlds x stimuli x steps x tableLength, Q14. */
  readonly tables: Int32Array;
  /** worlds x personas x stimuli x steps x factors, Q3.12 on int8 factors; empty when coded. */
  readonly factorWeights: Int16Array;
  /** worlds x personas x stimuli x steps, Q14. */
  readonly bias: Int32Array;
  /** worlds x personas x stimuli, Q14: leaving after a contact, evaluated for those who did not reach the last step. */
  readonly leaveBias: Int32Array;
  /**
   * worlds x personas: b of a thinned draw (kernels/expose/SPEC.md), 0 = dense. Thinned at b bits, no threshold of that draw may exceed
   * 2^(32 - b) anywhere in the run: computed, never guessed, and checked again where the plan is opened.
   */
  readonly drawBits: Uint8Array;
  readonly leaveBits: Uint8Array;
  /** ticks x personas x stimuli x steps, Q14: shocks (signals) by tick. */
  readonly offset: Int32Array;
  /** Q14 per unit of pressure, one a step; subtracted. */
  readonly pressureWeight: Int32Array;
  /** Q14 per unit of pressure; added to the logit of leaving. */
  readonly pressureLeaveWeight: number;
  /** Pressure units (0..255) gained by one contact, and in addition by a contact that got a response to step 0. */
  readonly pressureGain: number;
  readonly pressureGainResponse: number;
  /** A contact is skipped when the agent's last one is fewer than this many ticks ago (0 = never skipped, at most 7). */
  readonly gapTicks: number;
  readonly influence: PlanInfluence | null;
}

/** Spread between personas: shares raise, complaints (leaving) lower awareness and warmth at the next tick. */
export interface PlanInfluence {
  /** Compressed sparse rows over the RECEIVING persona: sources and weights Q16. */
  readonly rowStart: Int32Array;
  readonly source: Int32Array;
  readonly weight: Int32Array;
  /** Threshold (Q0.32) of sharing by furthest step reached in this exposure: index 0 = step 0. */
  readonly shareThreshold: Uint32Array;
  /** warmth' = warmth - ((warmth * decay) >> 16) + gain..., see kernels/expose/spec. Q14 logit. */
  readonly warmthDecay: number;
  readonly warmthGain: number;
  readonly warmthMax: number;
  /** Chance (Q0.32) of becoming aware = min(max, awareGain * received per agent in Q16). */
  readonly awareGain: number;
  readonly awareMax: number;
  /** Q14 added to the logit of each step for aware agents. */
  readonly awareWeight: Int32Array;
}

/** Columns of the statistics of one (cell, persona, world): exposures, one a step, left, shared. */
export const columnCount = (stepCount: number): number => 1 + stepCount + 2;

/** A block: (persona, index) and its agents. Blocks are canonical in (persona, index) order. */
export interface Block {
  readonly persona: number;
  readonly index: number;
  readonly firstAgent: number;
  readonly agents: number;
}

/** What blocks follow from. `behavior` is that of a behavior plan, whose blocks are smaller. */
type Blocked = Pick<Plan, "personas"> & { readonly behavior?: { readonly blockAgents: number } };

/** Agents of a whole block of the plan. */
export function blockAgentsOf(plan: Blocked): number {
  const total = plan.personas.reduce((sum, persona) => sum + persona.agents, 0);
  let size: number = plan.behavior?.blockAgents ?? BLOCK_AGENTS.least;
  while (size < BLOCK_AGENTS.greatest && total > size * BLOCK_AGENTS.most) size *= 2;
  return size;
}

/** All blocks of a plan in canonical order. */
export function blocksOf(plan: Blocked): readonly Block[] {
  const blocks: Block[] = [], size = blockAgentsOf(plan);
  plan.personas.forEach((persona, index) => {
    for (let first = 0; first < persona.agents; first += size) {
      blocks.push({ persona: index, index: first / size, firstAgent: first, agents: Math.min(size, persona.agents - first) });
    }
  });
  return blocks;
}
