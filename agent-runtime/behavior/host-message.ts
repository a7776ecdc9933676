import type { BehaviorDescription, BehaviorSetup } from "./description.ts";

export interface StepRequest {
  readonly kind: "step";
  readonly block: number;
  readonly tick: number;
  /** Messages to the block, in canonical order (protocol/mail.ts). */
  readonly inbox: Uint8Array;
  /** The columns after the tick are answered too. */
  readonly withState: boolean;
  /** The columns before the tick are answered too, for a second computation elsewhere. */
  readonly isDouble: boolean;
}

/** What a node tells the process of a behavior. */
export type Request =
  /** Scripts of engine, seal and behavior; `timeoutMs` bounds this and every later message. */
  | { readonly kind: "start"; readonly engine: string; readonly seal: string; readonly behavior: string; readonly timeoutMs: number }
  | { readonly kind: "open"; readonly setup: BehaviorSetup }
  /** `columns` null: before tick 0. */
  | { readonly kind: "hold"; readonly block: number; readonly columns: Uint8Array | null }
  | StepRequest;

/** A request with the number that its answer repeats. */
export type ToHost = Request & { readonly id: number };

export interface Stepped {
  readonly kind: "stepped";
  readonly before: Uint8Array | null;
  readonly counts: Uint32Array;
  readonly outbox: Uint32Array;
  /** SHA-256 of the columns, then of counts and outbox. */
  readonly hashes: Uint8Array;
  readonly columns: Uint8Array | null;
}

export type HostAnswer = { readonly kind: "started"; readonly description: BehaviorDescription } | { readonly kind: "done" } | Stepped;

export type FromHost =
  | { readonly id: number; readonly answer: HostAnswer }
  /** `where`: lines and columns of the module; `place`: of the agent in its block whose turn it was, -1 = nobody's. */
  | { readonly id: number; readonly failure: { readonly why: string; readonly where: string }; readonly place: number };
