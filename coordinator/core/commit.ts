import type { Commit } from "@populace/protocol";

/** Where a run's committed chain stands. */
export interface ChainEnd {
  /** Last committed tick; -1 = none. */
  readonly tick: number;
  /** Root of that tick; of tick -1 the run id. */
  readonly root: string;
}

export type CommitDecision =
  | { readonly kind: "commit" }
  /** This tick is committed already with the same root: a retry or a replay. */
  | { readonly kind: "known" }
  | { readonly kind: "stale-term"; readonly storedTerm: number }
  | { readonly kind: "out-of-order"; readonly expectedTick: number }
  /** The committed root of this tick is another one. */
  | { readonly kind: "divergence"; readonly committedRoot: string };

/**
 * commit[run, t] iff the last one is t - 1, its root is this one's prevRoot, and no higher term has been stored.
 * `committedRoot` is the root already committed at this tick, or null.
 */
export function decideCommit(end: ChainEnd, storedTerm: number, committedRoot: string | null, commit: Pick<Commit, "tick" | "term" | "prevRoot" | "root">): CommitDecision {
  if (storedTerm > commit.term) return { kind: "stale-term", storedTerm };
  if (committedRoot !== null) return committedRoot === commit.root ? { kind: "known" } : { kind: "divergence", committedRoot };
  if (commit.tick !== end.tick + 1) return { kind: "out-of-order", expectedTick: end.tick + 1 };
  if (commit.prevRoot !== end.root) return { kind: "divergence", committedRoot: end.root };
  return { kind: "commit" };
}

export type AppendDecision = "done" | "step-down" | "append-missing" | "divergence";

/** What a refused COMMIT append means, given the last COMMIT in the log and mine. */
export function decideRefusedAppend(last: Commit | null, mine: Commit): AppendDecision {
  if (last === null || (last.tick < mine.tick && last.term <= mine.term)) return "append-missing";
  if (last.term > mine.term) return "step-down";
  return last.tick === mine.tick && last.root !== mine.root ? "divergence" : "done";
}
