/**
 * Messages of the cluster protocol (ARCHITECTURE.md, "The protocol"). Integers and bytes only where a hash is taken.
 *
 * What a node does:
 * 1. Publishes a Heartbeat every LIMITS.heartbeatMs; the first one is its join. A node that hears nothing of a leader for half of
 *    LIMITS.leaseTtlMs reads the ViewRecord and the run's record again before it fills a slot; one that reads itself dead ends.
 * 2. Subscribes to the TickOpens of its tenant (`openSubject(tenant, "*", "*")`); they repeat until the tick is committed, so
 *    one that it is already computing or has already filled is ignored. A term below the highest seen is refused.
 * 3. On a run, attempt or view it does not know: reads the RunRecord (registry, `runKey`) and the plan (blob `spec.planHash`,
 *    `decodePlan`), and keeps the shards whose owner is its incarnation.
 * 4. Brings its blocks to tick - 1: already there; or tick 0 (initial state); or from the newest Commit before `tick` that has a
 *    checkpoint (`checkpoint[block]` is the blob address of the block's state), replaying the ticks between.
 *    `prevRoot` must equal the root of Commit tick - 1 (of tick 0: the run id). With influence, warmth and awareness come from
 *    the `sections` of the Commits 0..tick-1, in order, never from memory of who sent what when. Of a behavior whose agents send
 *    messages, those of tick come from the `mail` of ALL ShardOuts of tick - 1, or from the checkpoint's states where it was taken there.
 * 5. Computes the span in worker threads, puts checkpoints if asked, encodes SHARD_OUT (over LIMITS.slotBytesMax: blob +
 *    SLOT_REFERENCE) and fills `outSubject(tenant, run, attempt, tick, shard)`. Filled already: compares `hashes`; equal is done,
 *    different is a NodeFailure with code DIVERGENCE. Anything it cannot do is a NodeFailure, never silence.
 * 6. On RunStop it drops the attempt within one block, and takes no TickOpen of it again. The same message on `haltSubject` comes before the
 *    stop is on any disk: it drops what it has of the attempt, and a TickOpen of a later leader restores it. A new attempt forgets the state of the old one.
 *
 * A job is a run of one block and one tick that a function computes (`job-plan.ts`): it is placed, repeated, committed and taken over like any other.
 * The node stores the output before it fills the slot.
 *
 * A ledger is a run without agents (`ledger.ts`): gateways append Outcomes to the events of its run, the leader seals them tick by tick as Input
 * and commits their integer counts with a manifest. Nodes have no part in it.
 *
 * The registry, COMMIT and the blobs together are the whole truth about a run: an empty coordinator, and anybody who wants the
 * outcome, needs nothing else. A body over LIMITS.slotBytesMax is replaced by its address (`bodyOf`).
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
  frozen: "frozen", done: "done", failed: "failed", canceled: "canceled", removed: "removed",
} as const;
export type RunState = keyof typeof RUN_STATE;

/** Sealed before TickOpen into a write-once slot; every later leader reuses it. */
export interface Input {
  readonly run: string;
  readonly tick: number;
  /** Of a ledger: the events themselves as text, id first (`ledger.ts`), so that the tick follows from what is sealed alone. */
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
  /** Content addresses of block checkpoints, in canonical block order; of a ledger, of the head and the segments of its checkpoint; empty when this tick has none. */
  readonly checkpoint: readonly string[];
  /**
   * personas x scenarios x 2: shares and complaints of this tick summed over all ShardOuts, exact integers; empty without
   * influence. The inbox of tick + 1 for every shard: a node that joins at t derives warmth from the commits 0..t-1.
   */
  readonly sections: Float64Array;
  /** Of a ledger: the events that are new in this tick, as text; of one that was refused its id, and the reason. Empty elsewhere. */
  readonly manifest: readonly string[];
  /** cells x personas x columns: the tick's integer sums over worlds. */
  readonly tickSums: Float64Array;
  /** Blob address of cells x personas x worlds x columns (f64), summed over the ticks 0 to this one: at checkpoints and at the last tick; "" elsewhere. Of a job that of its output. */
  readonly sums: string;
  /** Exposures of the ticks 0 to this one. */
  readonly exposures: number;
  /** At checkpoints: "INCARNATION BACKEND" of everybody whose outputs the ticks 0 to this one rest on; part of no hash. */
  readonly authors: readonly string[];
  /** Kernel backends that computed the ticks 0 to this one, and the time it took over all attempts; part of no hash. */
  readonly backends: readonly string[];
  readonly seconds: number;
}

/**
 * What a run is, where it stands and who computes it: registry record `runKey`, written under compare-and-set by the leader when
 * the run is submitted and at every change. Of two copies the one with the higher (term, change) is the newer. The plan lies in
 * the blob store under `spec.planHash`. A node that hears a TickOpen of a run, attempt or view it does not know reads this first.
 */
export interface RunRecord {
  readonly run: string;
  readonly spec: RunSpec;
  /** Order of submission within the tenant. */
  readonly number: number;
  /** What runs that belong together (the cells of a sweep) have in common; "" = alone. */
  readonly label: string;
  /** Higher ones are given more of the cluster; 0 = ordinary. */
  readonly priority: number;
  readonly attempt: number;
  /** Commits of earlier attempts do not count: the run was begun anew, or gone on with from what was checked of it. */
  readonly firstAttempt: number;
  /** Term of the leader who wrote this, and how many times the record was written before. */
  readonly term: number;
  readonly change: number;
  readonly view: number;
  readonly state: RunState;
  /** What was asked for; `execution` is what came of it when the run was planned, null before. */
  readonly wanted: Partial<ExecutionPlan>;
  readonly execution: ExecutionPlan | null;
  readonly shards: readonly Shard[];
  /** Incarnation that owns each shard in this view. */
  readonly owners: readonly string[];
  /** Who may not compute this run: incarnations that failed at it, and "INCARNATION BACKEND" where a third computation contradicted what that backend of theirs said. */
  readonly unfit: readonly string[];
  /** Through this tick double runs have ended, -1 = none have: a checkpoint after it may hold what they are about to contradict, and nothing begins there. */
  readonly checkedTick: number;
  /** First tick of the first interval up to there in which drawn blocks were computed once only, for their double run was given up; -1 = none. */
  readonly uncheckedFrom: number;
  /** The two outputs of a frozen run that disagree; null elsewhere. */
  readonly dispute: Dispute | null;
  /** First tick whose committed root a later computation contradicts, as somebody found after the commit; -1 = none. Computing the run anew clears it. */
  readonly suspectFrom: number;
  /** Error code and sentence of a paused, frozen, failed or canceled run; "" otherwise. */
  readonly code: string;
  readonly reason: string;
  /** Committed when this was written: last tick (-1 = none), its root, exposures, time spent, backends. COMMIT may be further. */
  readonly tick: number;
  readonly root: string;
  readonly exposures: number;
  readonly seconds: number;
  readonly backends: readonly string[];
}

/** Two computations of one shard that disagree. */
export interface Dispute {
  readonly attempt: number;
  readonly tick: number;
  readonly shard: number;
  /** Blob addresses of both ShardOuts: the one that lay in the slot, then that of the node which found it there. */
  readonly outputs: readonly string[];
}

/** The first one of an incarnation is its join; every LIMITS.heartbeatMs, and at once when it is probed. */
export interface Heartbeat {
  readonly incarnation: string;
  /** "draining": keeps its shards until the next barrier, is given none after it, and leaves when it owns nothing. */
  readonly state: "up" | "draining" | "leaving";
  readonly workers: number;
  /** Kernel backends it has, the one it takes by itself first. */
  readonly backends: readonly string[];
  /** What that one runs on, and why it was taken; for people. */
  readonly backendReason: string;
  /** Of all workers together: calibrated when the node starts, then measured; 0 before. */
  readonly exposuresPerSecond: number;
  /** What its machine has available, which runs may take a share of; nodes of one machine each say all of it. */
  readonly memoryBytes: number;
  /** Exposures computed so far, over all runs, also inside an unfinished span: progress. */
  readonly exposures: number;
  /** Highest term seen: a new leader numbers above it even when registry and log forgot theirs. */
  readonly term: number;
  /** How late the last beat was: what the node's event loop was busy with. */
  readonly loopLagMs: number;
  /** Whether it runs behaviors, which are foreign code; runs of a behavior go to such nodes alone. */
  readonly allowsBehaviors: boolean;
  /** Functions of jobs that it computes, each as `jobName` has it; jobs of others go elsewhere. */
  readonly jobs: readonly string[];
}

/** A node could not compute a shard, or found the slot filled with something else (DIVERGENCE). */
export interface NodeFailure {
  readonly run: string;
  readonly attempt: number;
  /** Of the failures that this node has reported: what comes twice is one. */
  readonly number: number;
  readonly tick: number;
  readonly shard: number;
  readonly incarnation: string;
  readonly code: string;
  readonly message: string;
  /** Of a DIVERGENCE: blob addresses of the ShardOut that lay in the slot and of this node's own; empty otherwise. */
  readonly outputs: readonly string[];
}

/** Nodes drop the attempt's work within one block and forget its state. */
export interface RunStop {
  readonly run: string;
  readonly attempt: number;
  /** A stop of a term below the highest seen is refused, as a TickOpen is. */
  readonly term: number;
  readonly reason: string;
}

/** One coordinator leads; the term is the fencing token. A holder of "" has left: the record is free, and the next term is above this one. */
export interface LeaderRecord {
  readonly holder: string;
  readonly nonce: string;
  readonly term: number;
  /** Where its control service listens, host:port; "" = nowhere. */
  readonly address: string;
}

/** Who is there. A node that reads itself under `dead` ends; one that drains and reads itself under `draining` will be given nothing more. */
export interface ViewRecord {
  /** Of the leader who wrote it: one of a lower term writes no view after it. */
  readonly term: number;
  readonly view: number;
  readonly members: readonly string[];
  /** Those of the members that drain. */
  readonly draining: readonly string[];
  readonly dead: readonly string[];
}

/** Published by the leader every LIMITS.heartbeatMs, heard by nodes and by itself; sent to one node it is a probe, answered by a heartbeat at once, or, on another subject, the wish that it drains. */
export interface LeaderBeat {
  readonly holder: string;
  readonly term: number;
  readonly view: number;
  /** Number of the newest release, 0 before the first: who serves it and hears this is not stale. */
  readonly release: number;
}

/**
 * A second computation on a named node, apart from what that node holds: blocks of one shard through a span of ticks, from the newest checkpoint
 * before it. Repeated until answered.
 */
export interface Recompute {
  readonly run: string;
  readonly attempt: number;
  readonly term: number;
  readonly view: number;
  /** Who is asked, and with which kernel backend; "auto": the one it takes by itself. */
  readonly incarnation: string;
  readonly backend: string;
  readonly shard: number;
  readonly tick: number;
  readonly span: number;
  /** As in TickOpen; only without `blocks`. */
  readonly checkpoint: boolean;
  /**
   * Empty: the whole shard is computed and its slot filled, as its owner would (a straggler). Otherwise these blocks, by their index in the
   * canonical list, are compared with the slots of the span (a double run): different hashes are a NodeFailure with code DIVERGENCE.
   */
  readonly blocks: readonly number[];
}

/** What became of a Recompute that found nothing wrong. */
export interface Recomputed {
  readonly run: string;
  readonly attempt: number;
  readonly incarnation: string;
  readonly backend: string;
  readonly shard: number;
  readonly tick: number;
  /** Hashes that were compared: blocks times ticks whose slots were still there; 0 = nothing could be compared. */
  readonly compared: number;
}

/** A standby has a run's commits through this tick on its own disk (of a ledger, said also when nothing came). The leader opens no tick while all standbys that it hears lag two spans. */
export interface Flushed {
  /** The standby, as in LeaderRecord. */
  readonly nonce: string;
  readonly run: string;
  /** -1 = none: of a ledger that is entered. */
  readonly tick: number;
}

/** The leader of a ledger asks whoever lives for commits after this tick: COMMIT and its own disk may lack what others have. */
export interface Missed {
  readonly run: string;
  /** -1 = none. */
  readonly tick: number;
}

/** Commits of a ledger that COMMIT once had, in order, as it would hold them: what Missed is answered with, as many as fit. */
export interface Held {
  readonly run: string;
  readonly commits: readonly Uint8Array[];
}

/** A gateway serves a release that the leader's beat does not know of: its number is not to be given again. */
export interface Served {
  readonly release: number;
}

/** The ledger's commits through this tick are on as many disks as there are to be: gateways may forget the events that these name. Said at every commit, and again when an event comes that is known. */
export interface Settled {
  readonly run: string;
  /** -1 = none. */
  readonly tick: number;
  /** Events that came again though a checkpoint has them, as in a manifest: no commit in the log names them any more. */
  readonly manifest: readonly string[];
}

/** What production serves, under the highest number: registry record `releaseKey`, written once. A roll-back is a new release of older content. */
export interface Release {
  readonly number: number;
  /** Blob address of the score table that is served, as JSON. */
  readonly content: string;
  /** Blob address of the text of the model it was made of. */
  readonly model: string;
  /** Run id of the ledger that the model's real outcomes belong to; "" = they stay where they were taken. */
  readonly ledger: string;
  /** "RUN ROOT" of each finished run that it rests on. */
  readonly runs: readonly string[];
  /** For people: why it was announced, or of which release it is the roll-back. */
  readonly note: string;
}

/** Real outcomes that a gateway has on its own disk, on their way into a ledger; sent again until a COMMIT's manifest names them. */
export interface Outcomes {
  /** The ledger. */
  readonly run: string;
  /** Events as text (`ledger.ts`). */
  readonly events: readonly string[];
}
