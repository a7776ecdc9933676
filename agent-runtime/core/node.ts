/**
 * A node decides here and nowhere else. Messages and finished effects come in as events, effects go out as data; the shell
 * performs them one after another per run and feeds back what came of them.
 *
 *            TickOpen of an unknown run, attempt or view
 *   unknown ─────────────────────────────────────────────▶ loading ──record──▶ ready ◀──────────────┐
 *                                                                               │ TickOpen          │ filled
 *                                                        commits behind: read ◀─┤                   │
 *                                                        shards elsewhere: restore ──restored──▶ computing
 *                                                        the span is the whole run: nothing is restored or held
 *   RunStop, or a record of a newer attempt: the run is dropped from any state. A halt drops it too, and its next TickOpen loads it again.
 */
import type { Climate } from "@populace/kernels";
import { type Commit, isCoupled, isKernelPlan, type Plan, type RunRecord, type RunStop, type Shard, type TickOpen } from "@populace/protocol";
import { afterCommit, type Checkpoint, climateAt, type CommitView, noCommits } from "./checkpoint.ts";

export interface NodeState {
  readonly incarnation: string;
  /** Highest term seen: the fencing token. */
  readonly term: number;
  readonly runs: ReadonlyMap<string, NodeRun>;
  /** Highest attempt of a run that was stopped: its TickOpens may still come, late or twice. The newest STOPPED_MAX runs. */
  readonly stopped: ReadonlyMap<string, Stopped>;
}

interface Stopped {
  readonly attempt: number;
  /** A leader of a later term that opens the attempt again does not know of the stop, since the records of it were lost. */
  readonly term: number;
}

/** Older ones are forgotten: a TickOpen that late costs a span of wasted work and changes nothing. */
const STOPPED_MAX = 1000;

export interface NodeRun {
  readonly plan: Plan;
  readonly record: RunRecord;
  readonly owned: readonly Shard[];
  readonly commits: CommitView;
  /** First tick not yet computed, by shard held in memory. */
  readonly cursors: ReadonlyMap<number, number>;
  /** The TickOpen being worked on. */
  readonly current: TickOpen | null;
  /** The last one whose slots were filled: a repetition fills them again from memory, in case they were lost. */
  readonly filled: TickOpen | null;
  /** The one of the highest tick that was taken up in this attempt. */
  readonly newest: TickOpen | null;
}

export type NodeEvent =
  | { readonly kind: "tickOpen"; readonly open: TickOpen }
  | { readonly kind: "loaded"; readonly open: TickOpen; readonly record: RunRecord; readonly plan: Plan }
  | { readonly kind: "commits"; readonly run: string; readonly commits: readonly Commit[] }
  | { readonly kind: "restored"; readonly run: string; readonly shards: readonly Shard[]; readonly tick: number }
  | { readonly kind: "filled"; readonly run: string }
  | { readonly kind: "failed"; readonly run: string }
  | { readonly kind: "stop"; readonly stop: RunStop }
  /** A stop is to come, which is on no disk yet. */
  | { readonly kind: "halt"; readonly stop: RunStop };

export type NodeEffect =
  /** Read the run's record and plan, answer with `loaded`. */
  | { readonly kind: "load"; readonly open: TickOpen }
  /** Read the commits after tick `after` and before tick `before`, answer with `commits`. Later ones are none of this tick's business: while lost state is recomputed, they name checkpoints that may be lost too. */
  | { readonly kind: "readCommits"; readonly run: string; readonly after: number; readonly before: number }
  /** Bring these shards from the checkpoint to the start of `tick`, one climate a replayed tick; answer with `restored`. */
  | { readonly kind: "restore"; readonly run: string; readonly shards: readonly Shard[]; readonly checkpoint: Checkpoint; readonly climates: readonly Climate[]; readonly tick: number }
  /** Compute the span for these shards, put checkpoints if asked, fill the slots; answer with `filled`. `whole`: the span is the run, and no block need be held. */
  | { readonly kind: "compute"; readonly open: TickOpen; readonly shards: readonly Shard[]; readonly climate: Climate; readonly checkpoint: Checkpoint; readonly whole: boolean }
  /** Fill the slots of the last outputs again. */
  | { readonly kind: "refill"; readonly open: TickOpen }
  /** Let go of the blocks of these shards. */
  | { readonly kind: "release"; readonly run: string; readonly shards: readonly Shard[] }
  /** Stop the kernels of the run within one block and forget it. */
  | { readonly kind: "drop"; readonly run: string; readonly attempt: number }
  /** Tell the leader that this node cannot compute what was opened. */
  | { readonly kind: "report"; readonly open: TickOpen; readonly code: "NOT_FOUND"; readonly message: string }
  | { readonly kind: "refuse"; readonly open: TickOpen; readonly code: "STALE_TERM" | "STALE_ROOT" | "BAD_REQUEST"; readonly message: string };

export interface NodeStep {
  readonly state: NodeState;
  readonly effects: readonly NodeEffect[];
}

/** A node that knows nothing. */
export const freshNode = (incarnation: string): NodeState => ({ incarnation, term: 0, runs: new Map(), stopped: new Map() });

/** The node after one event, and what it wants done. Pure. */
export function stepNode(state: NodeState, event: NodeEvent): NodeStep {
  switch (event.kind) {
    case "tickOpen": return onTickOpen(state, event.open);
    case "loaded": return onLoaded(state, event.open, event.record, event.plan);
    case "commits": return onCommits(state, event.run, event.commits);
    case "restored": return onRestored(state, event.run, event.shards, event.tick);
    case "filled": return onFilled(state, event.run);
    case "failed": return onFailed(state, event.run);
    case "stop": return onStop(state, event.stop);
    case "halt": return onHalt(state, event.stop);
  }
}

function onTickOpen(state: NodeState, open: TickOpen): NodeStep {
  if (open.term < state.term) {
    return { state, effects: [{ kind: "refuse", open, code: "STALE_TERM", message: `run ${open.run}: TickOpen ${open.tick} carries term ${open.term}; term ${state.term} was seen already` }] };
  }
  const seen = { ...state, term: open.term };
  const stopped = state.stopped.get(open.run);
  if (stopped !== undefined && open.attempt <= stopped.attempt && open.term <= stopped.term) return { state: seen, effects: [] };
  const run = seen.runs.get(open.run);
  if (run === undefined || isOlder(run.record, open)) return { state: seen, effects: [{ kind: "load", open }] };
  if (run.record.attempt > open.attempt || run.current !== null) return { state: seen, effects: [] };
  return proceed(withRun(seen, { ...run, current: open }), open.run);
}

/** Views are compared within a term only: the last view of a deposed leader may be above the one its successor goes on with. */
const isOlder = (record: RunRecord, open: TickOpen): boolean => record.attempt < open.attempt || record.term < open.term || record.view < open.view;

/** A record older than the TickOpen is ignored: the leader repeats the TickOpen, and the record will have come by then. */
function onLoaded(state: NodeState, open: TickOpen, record: RunRecord, plan: Plan): NodeStep {
  if (isOlder(record, open)) return { state, effects: [] };
  const before = state.runs.get(record.run);
  const same = before !== undefined && before.record.attempt === record.attempt ? before : null;
  const owned = record.shards.filter((shard) => record.owners[shard.index] === state.incarnation);
  const effects: NodeEffect[] = [];
  if (before !== undefined && same === null) effects.push({ kind: "drop", run: record.run, attempt: before.record.attempt });
  const lost = same === null ? [] : same.owned.filter((shard) => !owned.some((other) => sameShard(shard, other)));
  if (lost.length > 0) effects.push({ kind: "release", run: record.run, shards: lost });
  const cursors = new Map([...(same?.cursors ?? [])].filter(([index]) => !lost.some((shard) => shard.index === index)));
  const run: NodeRun = {
    plan, record, owned, cursors,
    // A leader of a later term may know of fewer commits, if some were lost: whoever has taken no part in the run reads them anew.
    commits: same === null || (same.newest === null && same.record.term < record.term) ? noCommits(plan, record.run) : same.commits,
    current: record.attempt === open.attempt ? open : null,
    // Kept outputs name the old view's shards; after a change of view they are made anew if they are needed.
    filled: lost.length === 0 && same?.owned.length === owned.length ? same.filled : null,
    newest: same?.newest ?? null,
  };
  const next = proceed(withRun(state, run), record.run);
  return { state: next.state, effects: [...effects, ...next.effects] };
}

/** What the current TickOpen still needs: the commits before it, then the shards at its tick, then the computation. */
function proceed(state: NodeState, runId: string): NodeStep {
  const run = state.runs.get(runId);
  if (run === undefined || run.current === null) return { state, effects: [] };
  const { current: open, commits, newest } = run;
  if (commits.tick < open.tick - 1) return { state, effects: [{ kind: "readCommits", run: runId, after: commits.tick, before: open.tick }] };
  const idle = withRun(state, { ...run, current: null });
  // No late repetition, for its leader is new: commits that this node has gone by are lost, and what it held before them it holds no more.
  if (run.owned.length > 0 && newest !== null && open.tick < newest.tick && open.term > newest.term) {
    return { state: idle, effects: [{ kind: "report", open, code: "NOT_FOUND", message: `run ${runId}: the leader of term ${open.term} opens tick ${open.tick} again in attempt ${open.attempt}; this node was at tick ${newest.tick} in term ${newest.term}, and holds no earlier state` }] };
  }
  if (run.owned.length === 0 || open.tick <= commits.checkpoint.tick) return { state: idle, effects: [] };
  const root = commits.roots[open.tick - 1 - commits.checkpoint.tick];
  if (root !== open.prevRoot) {
    // What was read may be another history than the leader's: everything is forgotten and read anew at the next TickOpen.
    return { state: withoutRun(state, runId), effects: [
      { kind: "refuse", open, code: "STALE_ROOT", message: `run ${runId}: TickOpen ${open.tick} builds on root ${open.prevRoot}, the commit of tick ${open.tick - 1} has ${root}` },
      { kind: "drop", run: runId, attempt: run.record.attempt },
    ] };
  }
  if (isCoupled(run.plan) && open.span > 1) {
    return { state: idle, effects: [{ kind: "refuse", open, code: "BAD_REQUEST", message: `run ${runId}: a span of ${open.span} ticks was opened, but its agents meet at every tick; expected a span of 1` }] };
  }
  if (run.filled !== null && run.filled.tick === open.tick && run.filled.span === open.span && run.filled.checkpoint === open.checkpoint) {
    return { state: idle, effects: [{ kind: "refill", open }] };
  }
  // A late repetition: a later tick has been computed since.
  if (run.filled !== null && run.filled.tick > open.tick) return { state: idle, effects: [] };
  const taken = withRun(state, { ...run, newest: newest === null || open.tick >= newest.tick ? open : newest });
  if (open.tick === 0 && open.span === run.plan.ticks && !isCoupled(run.plan) && isKernelPlan(run.plan) && !open.checkpoint) {
    return { state: taken, effects: [{ kind: "compute", open, shards: run.owned, climate: climateAt(run.plan, commits, 0), checkpoint: commits.checkpoint, whole: true }] };
  }
  const elsewhere = run.owned.filter((shard) => run.cursors.get(shard.index) !== open.tick);
  if (elsewhere.length > 0) {
    const climates: Climate[] = [];
    for (let tick = commits.checkpoint.tick + 1; tick < open.tick; tick++) climates.push(climateAt(run.plan, commits, tick));
    return { state: taken, effects: [{ kind: "restore", run: runId, shards: elsewhere, checkpoint: commits.checkpoint, climates, tick: open.tick }] };
  }
  return { state: taken, effects: [{ kind: "compute", open, shards: run.owned, climate: climateAt(run.plan, commits, open.tick), checkpoint: commits.checkpoint, whole: false }] };
}

function onCommits(state: NodeState, runId: string, list: readonly Commit[]): NodeStep {
  const run = state.runs.get(runId);
  if (run === undefined || run.current === null) return { state, effects: [] };
  let commits = run.commits;
  for (const commit of list) {
    const next = afterCommit(run.plan, commits, commit);
    // It does not chain: what was read before is not this history. Everything is forgotten and read anew at the next TickOpen.
    if (next === null) return { state: withoutRun(state, runId), effects: [{ kind: "drop", run: runId, attempt: run.record.attempt }] };
    commits = next;
  }
  // The commit before this tick is not there yet: the TickOpen will be repeated.
  const behind = commits.tick < run.current.tick - 1;
  const next = withRun(state, { ...run, commits, current: behind ? null : run.current });
  return proceed(next, runId);
}

function onRestored(state: NodeState, runId: string, shards: readonly Shard[], tick: number): NodeStep {
  const run = state.runs.get(runId);
  if (run === undefined) return { state, effects: [] };
  const cursors = new Map(run.cursors);
  for (const shard of shards) cursors.set(shard.index, tick);
  return proceed(withRun(state, { ...run, cursors }), runId);
}

function onFilled(state: NodeState, runId: string): NodeStep {
  const run = state.runs.get(runId);
  if (run === undefined || run.current === null) return { state, effects: [] };
  const cursors = new Map(run.owned.map((shard) => [shard.index, run.current!.tick + run.current!.span]));
  return { state: withRun(state, { ...run, cursors, filled: run.current, current: null }), effects: [] };
}

/** The states may be anywhere: forget them, so that a repeated TickOpen restores and tries again. */
function onFailed(state: NodeState, runId: string): NodeStep {
  const run = state.runs.get(runId);
  if (run === undefined) return { state, effects: [] };
  return { state: withoutRun(state, runId), effects: [{ kind: "drop", run: runId, attempt: run.record.attempt }] };
}

function onStop(state: NodeState, stop: RunStop): NodeStep {
  if (stop.term < state.term) return { state, effects: [] };
  const stopped = new Map(state.stopped), before = state.stopped.get(stop.run);
  stopped.delete(stop.run);
  stopped.set(stop.run, before !== undefined && before.attempt > stop.attempt && before.term === stop.term ? before : { attempt: stop.attempt, term: stop.term });
  for (const [oldest] of stopped) if (stopped.size > STOPPED_MAX) stopped.delete(oldest);
  // Nobody may have heard of its leader otherwise: TickOpens of a lower term are refused from now on, not passed over.
  return onHalt({ ...state, term: stop.term, stopped }, stop);
}

function onHalt(state: NodeState, stop: RunStop): NodeStep {
  const run = state.runs.get(stop.run);
  if (stop.term < state.term || run === undefined || run.record.attempt > stop.attempt) return { state, effects: [] };
  return { state: withoutRun(state, stop.run), effects: [{ kind: "drop", run: stop.run, attempt: run.record.attempt }] };
}

function sameShard(a: Shard, b: Shard): boolean {
  return a.index === b.index && a.first === b.first && a.count === b.count;
}

function withRun(state: NodeState, run: NodeRun): NodeState {
  return { ...state, runs: new Map(state.runs).set(run.record.run, run) };
}

function withoutRun(state: NodeState, run: string): NodeState {
  const runs = new Map(state.runs);
  runs.delete(run);
  return { ...state, runs };
}
