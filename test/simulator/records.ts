import type { Commit, Input, ShardOut } from "@populace/protocol";

/**
 * What was observed of a cluster, in order: the one input of the invariants, whoever observes (the simulator sees inside, a test with real
 * processes reads logs, stores and answers). An `observer` is one copy or one reader: "log", a coordinator's store, a client.
 */
export type ClusterRecord =
  /** A commit as it stands in one copy, or as one reader was told; repeated where a copy is read again. */
  | { readonly kind: "commit"; readonly observer: string; readonly commit: CommitSeen; readonly atMs: number }
  /** A commit was sent to COMMIT by a leader whose own store did (not) hold it beyond a power cut. */
  | { readonly kind: "flushed"; readonly by: string; readonly run: string; readonly tick: number; readonly isDurable: boolean }
  /** The copy lost entries: what it held before says nothing about what is there now. */
  | { readonly kind: "forgot"; readonly observer: string; readonly atMs: number }
  /** A slot was filled. */
  | { readonly kind: "slot"; readonly slot: SlotSeen; readonly atMs: number }
  | { readonly kind: "input"; readonly input: Input; readonly inputHash: string }
  | { readonly kind: "opened"; readonly run: string; readonly attempt: number; readonly tick: number; readonly span: number; readonly term: number; readonly view: number }
  /** `nonce`: of the leadership that the term belongs to, "" = nobody's; where the observer knows it. For `isStale` see ServiceEvent; only who sees into the registry knows it. */
  | { readonly kind: "term"; readonly observer: string; readonly term: number; readonly nonce?: string; readonly isStale?: boolean; readonly atMs: number }
  | { readonly kind: "view"; readonly observer: string; readonly atMs: number; readonly view: number; readonly members: readonly string[]; readonly dead: readonly string[]; readonly isStale?: boolean }
  /** A client was told that the run is done. */
  | { readonly kind: "outcome"; readonly observer: string; readonly run: string; readonly root: string; readonly exposures: number; readonly counts: Float64Array }
  /** A block's state was taken from a checkpoint of this tick (-1 = before the first). */
  | { readonly kind: "restored"; readonly by: string; readonly run: string; readonly attempt: number; readonly block: number; readonly tick: number; readonly stateHash: string }
  /** A release was announced; a client was served under one. */
  | { readonly kind: "announced"; readonly release: number; readonly model: string }
  | { readonly kind: "served"; readonly observer: string; readonly release: number; readonly model: string }
  /** An outside event was acknowledged to its sender; a ledger tick committed these. */
  | { readonly kind: "acknowledged"; readonly eventId: string }
  | { readonly kind: "ledgered"; readonly run: string; readonly tick: number; readonly eventIds: readonly string[] }
  /** A ledger's tick was committed otherwise than before: the log had lost it, and no coordinator whose disk had it was there to say so. */
  | { readonly kind: "parted"; readonly run: string; readonly tick: number }
  /** From here on nobody disturbs the cluster. */
  | { readonly kind: "calm"; readonly atMs: number }
  /** A bit of a node's memory flipped. A run's record was written. A third computation contradicted a node. */
  | { readonly kind: "flipped"; readonly by: string }
  /** A run's record had an open dispute though it was not frozen, nor an attempt after the disputed one. */
  | { readonly kind: "disputed"; readonly run: string; readonly attempt: number }
  | { readonly kind: "attempt"; readonly run: string; readonly attempt: number; readonly firstAttempt: number; readonly uncheckedFrom: number; readonly isFrozen: boolean }
  | { readonly kind: "quarantined"; readonly run: string; readonly incarnation: string }
  /** Something that must stay bounded. */
  | { readonly kind: "usage"; readonly what: string; readonly value: number; readonly bound: number }
  /** A process ended of an error that nobody caught. */
  | { readonly kind: "died"; readonly who: string; readonly error: string };

export type CommitSeen = Pick<Commit, "run" | "attempt" | "term" | "tick" | "prevRoot" | "inputHash" | "root" | "sumsHash" | "checkpoint">;

export interface SlotSeen extends Pick<ShardOut, "run" | "attempt" | "tick" | "span" | "shard" | "view" | "incarnation" | "hashes"> {
  /** First block of the shard, and how many it has. */
  readonly firstBlock: number;
  readonly blocks: number;
}

/** What a run should come to, for I3, I5 and I10. */
export interface Expected {
  readonly run: string;
  readonly ticks: number;
  readonly exposures: number;
  readonly counts: Float64Array;
  /** Root after each tick, given the sealed inputs by tick. */
  roots(inputs: ReadonlyMap<number, Input>): readonly string[];
  /** blocks x 64 bytes of a tick. */
  leaves(tick: number): Uint8Array;
  /** Address of a block's state after a tick. */
  state(tick: number, block: number): string;
}
