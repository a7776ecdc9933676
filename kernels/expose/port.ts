import type { ExposeBlock, ExposePlan } from "./plan.ts";

/** "stored" keeps the agents' codes in memory between spans; "procedural" draws them anew for each span. Same bits. */
export type PopulationForm = "stored" | "procedural";

/** What the agents feel of one another, constant during a tick. */
export interface Climate {
  /** scenarios x personas, Q14. */
  readonly warmth: Int32Array;
  /** scenarios x personas, Q0.32: chance of becoming aware at this tick. */
  readonly awareThreshold: Uint32Array;
}

/** What one tick of one block counted. The arrays are valid during the call that hands them over and not after it. */
export interface TickOutput {
  /** cells x worlds x columns (exposures, one a step, left, shared). */
  readonly counts: Uint32Array;
  /** scenarios x 2: shares, complaints. */
  readonly sections: Uint32Array;
  /** Counts then sections in one buffer: what outHash covers. */
  readonly whole: Uint32Array;
  /** 32 bytes: the digest of the state at a hash tick, zeros at any other (SPEC.md, "State digest"). */
  readonly stateHash: Uint8Array;
}

/** Called once a block and tick, block by block in the order given, ticks ascending within a block. */
export type OnTick = (index: number, tick: number, output: TickOutput) => void;

/** A block between two spans, held by the session that made it. */
export interface HeldBlock {
  readonly block: ExposeBlock;
}

/** The kernel `expose` of one backend. */
export interface ExposeKernel {
  /**
   * Takes a plan once (a device uploads it). BAD_STUDY when the plan breaks a bound of its specification. `pause` is called between pieces of
   * work of some milliseconds and may throw to stop.
   */
  open(plan: ExposePlan, form: PopulationForm, pause?: () => void): Promise<ExposeSession>;
}

/** One plan on one backend in one thread. */
export interface ExposeSession {
  /** Blocks worth handing over at once: 1 where a block is work enough, many where a device is to be filled. */
  readonly batchBlocks: number;
  /** Takes a block before tick 0, or as the canonical bytes of a checkpoint left it (CORRUPT when their length is wrong). */
  hold(block: ExposeBlock, state?: Uint8Array): Promise<HeldBlock>;
  /** Advances held blocks by ticks `tick` .. `tick + span - 1` under one climate. */
  step(held: readonly HeldBlock[], tick: number, span: number, climate: Climate, onTick: OnTick): Promise<void>;
  /** The whole lives of blocks, tick 0 to the last, with nothing held before or after. Only for plans without influence. */
  live(blocks: readonly ExposeBlock[], onTick: OnTick): Promise<void>;
  /** Draws the codes of these blocks once, for every `live` of theirs to come. Absent where drawing is no burden. */
  keepCodes?(blocks: readonly ExposeBlock[]): void;
  /** Goes on with another plan for the same agents, whose kept codes stay. False, and nothing has changed, when its agents, times or shape are others. */
  replan?(plan: ExposePlan): boolean;
  /** The canonical state of a held block, a copy: scenario by scenario, pressure bytes, then stage bytes. */
  stateOf(held: HeldBlock): Promise<Uint8Array>;
  release(held: HeldBlock): void;
  /** Lets go of everything; the session is of no use afterwards. */
  close(): void;
}
