import { LIMITS, type LeaderRecord } from "@populace/protocol";

/** What a candidate has seen of the leader record, on its own monotonic clock. */
export interface LeaseSight {
  readonly record: LeaderRecord | null;
  readonly revision: number;
  readonly unchangedSinceMs: number;
}

export type LeaseDecision = { readonly kind: "claim"; readonly term: number } | { readonly kind: "wait"; readonly ms: number };

/** How long a record that is not there must stay so: the registry may have forgotten it, and beats of leader and nodes then tell the term. */
const FREE_MS = 2 * LIMITS.heartbeatMs;

/**
 * Claims a record that stays free, or one that this candidate itself has seen unchanged for a whole TTL, or whose holder is known to be gone:
 * it is the candidate's own, from a claim or a reign whose answer never came, or its process is dead. The term is 1 + the highest
 * seen in the record, the local commits, the COMMIT log and the nodes' heartbeats: the compare-and-set only elects, it does not number.
 */
export function decideLease(sight: LeaseSight, nowMs: number, ttlMs: number, highestTerm: number, holderGone: boolean): LeaseDecision {
  const seenMs = nowMs - sight.unchangedSinceMs;
  const waitMs = holderGone ? 0 : sight.record === null ? Math.min(FREE_MS, ttlMs) : ttlMs;
  if (seenMs < waitMs) return { kind: "wait", ms: waitMs - seenMs };
  return { kind: "claim", term: 1 + Math.max(highestTerm, sight.record?.term ?? 0) };
}

/** What a refused renewal means: a renewal of this holder went through although its answer did not come, or somebody else has the record. */
export function decideRefusedRenewal(current: LeaderRecord | null, nonce: string, term: number): "mine" | "lost" {
  return current !== null && current.nonce === nonce && current.term === term ? "mine" : "lost";
}
