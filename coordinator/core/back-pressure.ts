import { LIMITS } from "@populace/protocol";

/** What a run does instead of opening its next tick at once: nothing, take a checkpoint with it (which frees its slots), or wait for another run's. */
export type OpenDecision = "open" | "checkpoint" | "wait";

/**
 * Slots since the checkpoints share one stream. Near its limit (LIMITS.slotStreamShare) the run that holds most of it takes a checkpoint and the
 * others wait for that: so room comes, and nobody waits for one that waits. `slotBytes`: what each run under way has filled; of equal ones the
 * first in order counts as the largest. `bytesMax`: what the slots of runs under way may hold.
 */
export function decideOpen(run: string, slotBytes: ReadonlyMap<string, number>, bytesMax: number): OpenDecision {
  const total = [...slotBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  if (total < LIMITS.slotStreamShare * bytesMax) return "open";
  const [largest] = [...slotBytes].toSorted(([leftRun, left], [rightRun, right]) => right - left || (leftRun < rightRun ? -1 : 1))[0];
  return largest === run ? "checkpoint" : "wait";
}

/**
 * Whether the next tick waits for a standby: those heard lately have all flushed less than what was committed two spans ago. `spanEnds`: last
 * ticks of the committed spans, ascending; `flushed`: of each such standby, the last tick on its disk. Without one nobody is waited for.
 */
export const isStandbyBehind = (spanEnds: readonly number[], flushed: readonly number[]): boolean => flushed.length > 0 && spanEnds.length >= 2 && Math.max(...flushed) < spanEnds[spanEnds.length - 2];
