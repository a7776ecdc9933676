/** Messages of the cluster protocol (ARCHITECTURE.md, "The protocol"). Integers and bytes only where a hash is taken. */

/** Never part of the RunSpec: changes no root. */
export interface ExecutionPlan {
  readonly shards: number;
  readonly workers: number;
  readonly backend: "reference";
  /** "stored" keeps the agents' codes in memory, "procedural" draws them anew each tick; the bits are the same. */
  readonly population: "stored" | "procedural";
  /** Most ticks one ShardOut covers; 1 for coupled runs. */
  readonly spanTicks: number;
  /** Checkpoint every so many ticks; 0 = only at the end. */
  readonly checkpointTicks: number;
}

/** Immutable: what a run is. `runId` = SHA-256 of its canonical encoding. */
export interface RunSpec {
  readonly kernelSpec: string;
  readonly arithmeticProfile: string;
  readonly planHash: string;
  readonly seed: readonly [number, number];
  readonly agents: number;
  readonly ticks: number;
}

export const RUN_STATE = {
  submitted: "submitted", planned: "planned", running: "running", paused: "paused",
  frozen: "frozen", done: "done", failed: "failed", canceled: "canceled",
} as const;
export type RunState = keyof typeof RUN_STATE;

/** Sealed before TickOpen into a write-once slot; every later leader reuses it. */
export interface Input {
  readonly run: string;
  readonly tick: number;
  readonly eventIds: readonly string[];
}

export interface TickOpen {
  readonly run: string;
  readonly attempt: number;
  readonly term: number;
  readonly view: number;
  /** First tick to compute and how many. */
  readonly tick: number;
  readonly span: number;
  /** Root of tick - 1 (hex); of tick 0: the run id. */
  readonly prevRoot: string;
  readonly inputHash: string;
}

/** One run of blocks: the unit that moves. `first` and `count` index the canonical block list. */
export interface Shard {
  readonly index: number;
  readonly first: number;
  readonly count: number;
}

export interface ShardOut {
  readonly run: string;
  readonly attempt: number;
  readonly tick: number;
  readonly span: number;
  readonly shard: number;
  readonly view: number;
  readonly incarnation: string;
  /** span x blocks x 64 bytes: stateHash (32) then outHash (32) of each block after each tick. */
  readonly hashes: Uint8Array;
  /** Personas covered by this shard: [first, count]. */
  readonly personas: readonly [number, number];
  /** span x cells x personas(covered) x worlds x columns: integer counts of each tick. */
  readonly counts: Uint32Array;
  /** span x personas(covered) x scenarios x 2: shares and complaints of each tick, the sections of influence. */
  readonly sections: Uint32Array;
}

export interface Commit {
  readonly run: string;
  readonly attempt: number;
  readonly term: number;
  readonly tick: number;
  readonly prevRoot: string;
  readonly inputHash: string;
  readonly root: string;
  /** SHA-256 of the tick's integer sums in canonical order. */
  readonly sumsHash: string;
  /** Content addresses of block checkpoints, in canonical block order; empty when this tick has none. */
  readonly checkpoint: readonly string[];
}
