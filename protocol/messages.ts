/**
 * Messages of the cluster protocol (ARCHITECTURE.md, "The protocol"). Integers and bytes only where a hash is taken.
 *
 * What a node does:
 * 1. Publishes a Heartbeat every LIMITS.heartbeatMs; the first one is its join.
 * 2. Subscribes to the TickOpens of its tenant (`openSubject(tenant, "*", "*")`); they repeat until the tick is committed, so
 *    one that it is already computing or has already filled is ignored. A term below the highest seen is refused.
 * 3. On a run, attempt or view it does not know: reads the RunRecord (registry, `runKey`) and the plan (blob `spec.planHash`,
 *    `decodePlan`), and keeps the shards whose owner is its incarnation.
 * 4. Brings its blocks to tick - 1: already there; or tick 0 (initial state); or from the newest Commit before `tick` that has a
 *    checkpoint (`checkpoint[block]` is the blob address of the block's state), replaying the ticks between.
 *    `prevRoot` must equal the root of Commit tick - 1 (of tick 0: the run id). With influence, warmth and awareness come from
 *    the `sections` of the Commits 0..tick-1, in order, never from memory of who sent what when.
 * 5. Computes the span in worker threads, puts checkpoints if asked, encodes SHARD_OUT (over LIMITS.slotBytesMax: blob +
 *    SLOT_REFERENCE) and fills `outSubject(tenant, run, attempt, tick, shard)`. Filled already: compares `hashes`; equal is done,
 *    different is a NodeFailure with code DIVERGENCE. Anything it cannot do is a NodeFailure, never silence.
 * 6. On RunStop it drops the attempt within one block. A new attempt forgets the state of the old one.
 */

/** Never part of the RunSpec: changes no root. */
export interface ExecutionPlan {
  readonly shards: number;
  readonly workers: number;
  /** Kernel backend by name, or "auto": each node takes the fastest it has. */
  readonly backend: string;
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

/** The states of a run; `coordinator/core/run.ts` draws the transitions. */
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
  /** After the span's last tick every block's state goes to the blob store BEFORE the slot is filled, which names its address. */
  readonly checkpoint: boolean;
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
  /** Kernel backend that computed it; part of no hash. */
  readonly backend: string;
  /** span x blocks x 64 bytes: stateHash (32, the kernel's digest) then outHash (32) of each block after each tick. */
  readonly hashes: Uint8Array;
  /** blocks x 32 bytes: SHA-256 of each block's state after the span, its blob address; empty when no checkpoint was asked for. */
  readonly states: Uint8Array;
  /** Personas covered by this shard: [first, count]. */
  readonly personas: readonly [number, number];
  /** span x cells x personas(covered) x worlds x columns: integer counts of each tick. */
  readonly counts: Uint32Array;
  /** span x personas(covered) x scenarios x 2: shares and complaints of each tick, the sections of influence. */
  readonly sections: Uint32Array;
  /** Of a behavior: what its agents sent to agents of each block (`mail.ts`), the outboxes of the shard's blocks one after another. */
  readonly mail: Uint32Array;
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
  /**
   * personas x scenarios x 2: shares and complaints of this tick summed over all ShardOuts, exact integers; empty without
   * influence. The inbox of tick + 1 for every shard: a node that joins at t derives warmth from the commits 0..t-1.
   */
  readonly sections: Float64Array;
}

/**
 * What a node needs to take part: registry record `runKey`, written before the first TickOpen and whenever the view changes.
 * The plan lies in the blob store under `spec.planHash`. A node that hears a TickOpen of a run, attempt or view it does not
 * know reads this first.
 */
export interface RunRecord {
  readonly run: string;
  readonly spec: RunSpec;
  readonly attempt: number;
  readonly view: number;
  readonly state: RunState;
  readonly execution: ExecutionPlan;
  readonly shards: readonly Shard[];
  /** Incarnation that owns each shard in this view. */
  readonly owners: readonly string[];
  /** Why the run is frozen, failed or canceled; empty otherwise. */
  readonly reason: string;
}

/** The first one of an incarnation is its join; every HEARTBEAT_MS. */
export interface Heartbeat {
  readonly incarnation: string;
  readonly state: "up" | "leaving";
  readonly workers: number;
  /** Kernel backends it has, the one it takes by itself first. */
  readonly backends: readonly string[];
  /** What that one runs on, and why it was taken; for people. */
  readonly backendReason: string;
  /** Of all workers together: calibrated when the node starts, then measured; 0 before. */
  readonly exposuresPerSecond: number;
  readonly memoryBytes: number;
  /** Exposures computed so far, over all runs, also inside an unfinished span: progress. */
  readonly exposures: number;
}

/** A node could not compute a shard, or found the slot filled with something else (DIVERGENCE). */
export interface NodeFailure {
  readonly run: string;
  readonly attempt: number;
  readonly tick: number;
  readonly shard: number;
  readonly incarnation: string;
  readonly code: string;
  readonly message: string;
}

/** Nodes drop the attempt's work within one block and forget its state. */
export interface RunStop {
  readonly run: string;
  readonly attempt: number;
  readonly reason: string;
}

/** One coordinator leads; the term is the fencing token. */
export interface LeaderRecord {
  readonly holder: string;
  readonly nonce: string;
  readonly term: number;
}

export interface ViewRecord {
  readonly view: number;
  readonly members: readonly string[];
  readonly dead: readonly string[];
}
