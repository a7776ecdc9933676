import type { Climate, PopulationForm } from "@populace/kernels";
import type { Plan } from "@populace/protocol";
import type { BlockHashes, BlockMail, ShardPart } from "../core/shard.ts";

/** What every worker is started with. */
export interface WorkerStart {
  /** One BigInt64 a worker: exposures computed so far, read by the node while the worker is busy. */
  readonly progress: SharedArrayBuffer;
  readonly worker: number;
}

/** A run opened on a worker; `control` holds one Int32 that turns 1 when the run is to stop within one block. */
export interface OpenRun {
  readonly kind: "open";
  readonly key: string;
  readonly plan: Plan;
  readonly backend: string;
  readonly population: PopulationForm;
  readonly control: SharedArrayBuffer;
}

/** Puts blocks into the worker, from a checkpoint's bytes or (null) before tick 0, and replays ticks that are committed already. */
export interface HoldBlocks {
  readonly kind: "hold";
  readonly key: string;
  readonly ticket: number;
  readonly blocks: readonly { readonly block: number; readonly state: Uint8Array | null }[];
  readonly replayFrom: number;
  /** One a replayed tick. */
  readonly climates: readonly Climate[];
  /** Of a behavior, one a replayed tick. */
  readonly inboxes?: readonly Inboxes[];
}

/** Messages to the blocks that get any, in canonical order (protocol/mail.ts). */
export type Inboxes = ReadonlyMap<number, Uint32Array>;

export interface ReleaseBlocks {
  readonly kind: "release";
  readonly key: string;
  readonly blocks: readonly number[];
}

export interface ComputeSpan {
  readonly kind: "compute";
  readonly key: string;
  readonly ticket: number;
  readonly tick: number;
  readonly span: number;
  readonly climate: Climate;
  readonly checkpoint: boolean;
  /**
   * Null: the blocks are held here, and computed in order. Otherwise the span is the whole run and nothing is held: one Int32 shared by all
   * workers that are given the same shards, the number of blocks already taken.
   */
  readonly next: SharedArrayBuffer | null;
  readonly shards: readonly { readonly shard: number; readonly blocks: readonly number[] }[];
  /** Of a behavior whose agents send messages: those of the tick before. */
  readonly inboxes?: Inboxes;
}

export interface CloseRun {
  readonly kind: "close";
  readonly key: string;
}

/** Measures the backend's exposures a second in this thread; answered by `calibrated`. */
export interface Calibrate {
  readonly kind: "calibrate";
  readonly ticket: number;
  readonly backend: string;
}

export type ToWorker = OpenRun | HoldBlocks | ReleaseBlocks | ComputeSpan | Calibrate | CloseRun;

export type FromWorker =
  /** Hashes of the last replayed tick, one a block; empty when nothing was replayed. */
  | { readonly kind: "held"; readonly ticket: number; readonly hashes: readonly BlockHashes[] }
  /** A block's state after the span, sent as soon as it is there, before `computed`. */
  | { readonly kind: "state"; readonly ticket: number; readonly block: number; readonly state: Uint8Array }
  | { readonly kind: "computed"; readonly ticket: number; readonly parts: readonly ShardPart[]; readonly hashes: readonly BlockHashes[]; readonly mail?: readonly BlockMail[] }
  | { readonly kind: "calibrated"; readonly ticket: number; readonly exposuresPerSecond: number }
  | { readonly kind: "failed"; readonly ticket: number; readonly code: string; readonly message: string };
