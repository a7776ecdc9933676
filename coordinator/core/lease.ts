import { RandomStream } from "@populace/domain";
import { LIMITS, type LeaderRecord } from "@populace/protocol";

/** What a candidate has seen of the leader record, on its own monotonic clock. */
export interface LeaseSight {
  readonly record: LeaderRecord | null;
  readonly revision: number;
  readonly unchangedSinceMs: number;
  /** Looks that have found it so: between two of them a candidate may have slept, and heard nobody. */
  readonly looks: number;
}

export type LeaseDecision = { readonly kind: "claim"; readonly term: number } | { readonly kind: "wait"; readonly ms: number };

/** How long a record that is not there must stay so, and at how many looks: the registry may have forgotten it, and beats of leader and nodes then tell the term. */
const FREE_MS = 2 * LIMITS.heartbeatMs, FREE_LOOKS = 4;
/** Between two looks, as a part of a TTL. */
const LOOKS_PER_TTL = 10;

/** Until the next look: the record is found expired at most a tenth of a TTL late. */
export const nextLookMs = (sight: LeaseSight | null, ttlMs: number): number => Math.min(ttlMs / LOOKS_PER_TTL, sight?.record === null ? FREE_MS / (FREE_LOOKS - 1) : Infinity);

/** A claim where the registry forgot its record leaves out fewer terms than this. */
const LEAP_MAX = 2 ** 20;

/** The sight after another look: another one unless the same leadership stands there at the same revision (a registry that lost its store counts from 1 again, and comes to a revision that was seen before). */
export function look(before: LeaseSight | null, record: LeaderRecord | null, revision: number, nowMs: number): LeaseSight {
  const isUnchanged = before !== null && before.revision === revision && before.record?.nonce === record?.nonce && before.record?.term === record?.term;
  return isUnchanged ? { ...before, looks: before.looks + 1 } : { record, revision, unchangedSinceMs: nowMs, looks: 1 };
}

/**
 * Claims a record that stays free, or one that this candidate itself has seen unchanged for a whole TTL, or whose holder is known to be gone:
 * it is the candidate's own, from a claim or a reign whose answer never came, or its process is dead. The term is 1 + the highest
 * seen in the record, the local commits, the COMMIT log and the nodes' heartbeats: the compare-and-set only elects, it does not number. Where a term was seen
 * and no record is left, the registry forgot it, and perhaps a later one of which nobody has heard who could say so: the term leaps ahead
 * by a number drawn from the candidate's nonce, so that no two leaderships have the same one.
 */
export function decideLease(sight: LeaseSight, nowMs: number, ttlMs: number, highestTerm: number, holderGone: boolean, nonce: string): LeaseDecision {
  const seenMs = nowMs - sight.unchangedSinceMs;
  const waitMs = holderGone ? 0 : sight.record === null ? Math.min(FREE_MS, ttlMs) : ttlMs;
  if (seenMs < waitMs) return { kind: "wait", ms: waitMs - seenMs };
  if (!holderGone && sight.record === null && sight.looks < FREE_LOOKS) return { kind: "wait", ms: nextLookMs(sight, ttlMs) };
  const leap = sight.record === null && highestTerm > 0 ? Math.floor(RandomStream.of(nonce, "term").uniform() * LEAP_MAX) : 0;
  return { kind: "claim", term: 1 + Math.max(highestTerm, sight.record?.term ?? 0) + leap };
}

/** What a refused renewal means: a renewal of this holder went through although its answer did not come, or somebody else has the record. */
export function decideRefusedRenewal(current: LeaderRecord | null, nonce: string, term: number): "mine" | "lost" {
  return current !== null && current.nonce === nonce && current.term === term ? "mine" : "lost";
}
