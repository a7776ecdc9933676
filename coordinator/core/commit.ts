import type { Commit } from "@populace/protocol";

/** A commit as far as the order of commits is concerned. */
export type Link = Pick<Commit, "tick" | "term" | "prevRoot" | "root">;

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
export function decideCommit(end: ChainEnd, storedTerm: number, committedRoot: string | null, commit: Link): CommitDecision {
  if (storedTerm > commit.term) return { kind: "stale-term", storedTerm };
  if (committedRoot !== null) return committedRoot === commit.root ? { kind: "known" } : { kind: "divergence", committedRoot };
  if (commit.tick !== end.tick + 1) return { kind: "out-of-order", expectedTick: end.tick + 1 };
  if (commit.prevRoot !== end.root) return { kind: "divergence", committedRoot: end.root };
  return { kind: "commit" };
}

/** `append-missing`: the log ends before this tick, what lies between is appended again; `rewrite`: it has holes, and is written anew from the store. */
export type AppendDecision = "done" | "step-down" | "append-missing" | "rewrite" | "divergence";

/** What a refused COMMIT append means, given the last COMMIT in the log, those after the one this leader knew, and its own. */
export function decideRefusedAppend(last: Link | null, since: readonly Link[], mine: Link): AppendDecision {
  if ([...since, ...(last === null ? [] : [last])].some((link) => link.term > mine.term)) return "step-down";
  const same = since.find((link) => link.tick === mine.tick) ?? (last?.tick === mine.tick ? last : undefined);
  if (same !== undefined) return same.root === mine.root ? "done" : "divergence";
  return last === null || last.tick < mine.tick ? "append-missing" : "rewrite";
}
