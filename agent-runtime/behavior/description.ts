import type { ColumnType } from "./define.ts";

/** What a behavior declares, as plain data. */
export interface BehaviorDescription {
  readonly name: string;
  /** `traits`: lowest and highest value of each trait. */
  readonly personas: readonly { readonly name: string; readonly share: number; readonly traits: readonly (readonly [number, number])[] }[];
  readonly traits: readonly string[];
  readonly state: readonly { readonly name: string; readonly type: ColumnType }[];
  readonly messages: readonly string[];
  readonly counters: readonly string[];
  readonly parameters: readonly { readonly name: string; readonly value: number }[];
  /** `personas`: whom it can meet; empty = all. */
  readonly stimuli: readonly { readonly name: string; readonly at: readonly number[]; readonly share: number; readonly personas: readonly string[] }[];
}

/** What the engine is told of a run. */
export interface BehaviorSetup {
  readonly ticks: number;
  readonly agents: number;
  readonly blockAgents: number;
  readonly personas: readonly { readonly key: readonly [number, number]; readonly agents: number }[];
  readonly parameters: Readonly<Record<string, number>>;
}

/** What one tick made of a block. */
export interface BlockTick {
  /** Agents, one a counter, 0, messages sent. */
  readonly counts: Uint32Array;
  /** protocol/mail.ts */
  readonly outbox: Uint32Array;
  /** All columns after the tick. */
  readonly columns: Uint8Array;
}
