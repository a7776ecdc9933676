import type { RunRecord, ViewRecord } from "@populace/protocol";

/**
 * What a node knows of its own standing. A process that was stopped, or cut off, wakes up with finished work and an old picture of the world; before
 * it publishes any of it, it reads the registry again.
 *
 *              silence or standstill for doubtMs
 *   standing ─────────────────────────────────────▶ doubtful ── reads the view ──▶ standing
 *                                                                   └─ is dead ──▶ ended
 */
export interface Standing {
  /** When it last did anything, on its own monotonic clock, which goes on while the process is stopped. */
  readonly lookedMs: number;
  /** When it last heard a leader. */
  readonly heardMs: number;
  readonly isDoubtful: boolean;
}

export const standing = (nowMs: number): Standing => ({ lookedMs: nowMs, heardMs: nowMs, isDoubtful: false });

/** The node does something at `nowMs`: after a standstill of `doubtMs` or more whatever waited for it may be old. */
export const look = (before: Standing, nowMs: number, doubtMs: number): Standing =>
  ({ ...before, lookedMs: nowMs, isDoubtful: before.isDoubtful || nowMs - before.lookedMs > doubtMs || nowMs - before.heardMs > doubtMs });

/** A word of a leader. One that waited while the node stood still proves nothing, and takes no doubt away. */
export const heard = (before: Standing, nowMs: number, doubtMs: number): Standing => ({ ...look(before, nowMs, doubtMs), heardMs: nowMs });

/** The registry has just answered, and the node is alive in its view. */
export const assured = (nowMs: number): Standing => standing(nowMs);

/** Whether the node may still fill the slot of a shard that it computed for an attempt, given what the registry holds now. */
export function mayFill(record: RunRecord | null, incarnation: string, attempt: number, shard: number): boolean {
  return record !== null && record.attempt === attempt && (record.state === "running" || record.state === "planned") && record.owners[shard] === incarnation;
}

export const isDead = (view: ViewRecord | null, incarnation: string): boolean => view !== null && view.dead.includes(incarnation);

/** Whether a draining node may leave: the leader knows that it drains, and no run under way needs it. */
export function mayLeave(view: ViewRecord | null, records: readonly Pick<RunRecord, "state" | "owners">[], incarnation: string): boolean {
  if (view === null || !view.draining.includes(incarnation)) return false;
  return !records.some((record) => (record.state === "running" || record.state === "planned") && record.owners.includes(incarnation));
}
