import { type Climate, influenceStep, initialClimate } from "@populace/kernels";
import type { Commit, Plan } from "@populace/protocol";

/**
 * What the commits of a run, read in order, tell a node: how far the run is, which root the next tick must build on, from
 * which checkpoint a shard can be restored, and the climate of every tick since that checkpoint. Immutable.
 */
export interface CommitView {
  /** Newest committed tick; -1 before the first. */
  readonly tick: number;
  /** Its root; before the first commit the run id. */
  readonly root: string;
  readonly checkpoint: Checkpoint;
  /** Root after tick `checkpoint.tick + i`; the last one is `root`. */
  readonly roots: readonly string[];
  /** Climate of tick `checkpoint.tick + 1 + i`; the last one belongs to the tick after the newest commit. */
  readonly climates: readonly Climate[];
}

export interface Checkpoint {
  /** The tick after which the states were taken; -1 = the initial state. */
  readonly tick: number;
  /** Blob address (= state hash) of each block in canonical order; empty at -1. */
  readonly states: readonly string[];
}

/** No commit yet. */
export function noCommits(plan: Plan, run: string): CommitView {
  return { tick: -1, root: run, checkpoint: { tick: -1, states: [] }, roots: [run], climates: [initialClimate(plan)] };
}

/** The view after one more commit; repeats of a commit change nothing; null when it does not chain (the log is to be read anew). */
export function afterCommit(plan: Plan, view: CommitView, commit: Commit): CommitView | null {
  if (commit.tick < view.tick || (commit.tick === view.tick && commit.root === view.root)) return view;
  if (commit.tick !== view.tick + 1 || commit.prevRoot !== view.root) return null;
  const current = view.climates[view.climates.length - 1];
  const next = plan.influence === null ? current : influenceStep(plan, current, commit.sections);
  const isCheckpoint = commit.checkpoint.length > 0;
  return {
    tick: commit.tick,
    root: commit.root,
    checkpoint: isCheckpoint ? { tick: commit.tick, states: commit.checkpoint } : view.checkpoint,
    roots: isCheckpoint ? [commit.root] : [...view.roots, commit.root],
    climates: isCheckpoint || plan.influence === null ? [next] : [...view.climates, next],
  };
}

/** The climate of a tick at or after the checkpoint. Without influence every tick has the same. */
export function climateAt(plan: Plan, view: CommitView, tick: number): Climate {
  return view.climates[plan.influence === null ? 0 : tick - view.checkpoint.tick - 1];
}

/** What it takes to compute a span a second time: the newest checkpoint before it, and the climate of every tick from there to the span's end. */
export interface History {
  readonly checkpoint: Checkpoint;
  readonly climates: readonly Climate[];
}

/** The history of the ticks `tick` to `tick + span - 1` out of a run's commits, in order from the first; null when they do not reach far enough. */
export function historyOf(plan: Plan, run: string, commits: readonly Commit[], tick: number, span: number): History | null {
  let view = noCommits(plan, run);
  const climates = [initialClimate(plan)];
  let checkpoint = view.checkpoint;
  for (const commit of commits) {
    if (commit.tick >= tick + span - 1 || (plan.influence === null && view.tick === tick - 1)) break;
    const next = afterCommit(plan, view, commit);
    if (next === null) return null;
    if (next.tick > view.tick) climates.push(climateAt(plan, next, next.tick + 1));
    if (next.tick < tick) checkpoint = next.checkpoint;
    view = next;
  }
  if (view.tick < (plan.influence === null ? tick - 1 : tick + span - 2)) return null;
  return { checkpoint, climates: Array.from({ length: tick + span - 1 - checkpoint.tick }, (_, at) => climates[plan.influence === null ? 0 : checkpoint.tick + 1 + at]) };
}
