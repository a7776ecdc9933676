import { randomUUID } from "node:crypto";
import { PopulaceError } from "@populace/domain";
import { SILENT, sha256, sha256Hex, type Logger, type Ports, type Stop, type Store } from "@populace/io";
import {
  COMMIT, HEARTBEAT, LEADER_BEAT, LIMITS, VIEW_RECORD, commitSubject, encodePlan, heartbeatSubject, leaderBeatSubject, probeSubject, runIdOf, runSpecOf, viewKey,
  type ExecutionPlan, type Plan,
} from "@populace/protocol";
import type { RunOutcome, RunProgress } from "@populace/studies";
import { hear, hearEcho, isDraining, judge, noMembers, type Membership } from "../core/membership.ts";
import { isSettled, transition } from "../core/run.ts";
import { driveRun, purgeSlots, type RunContext } from "./drive-run.ts";
import { lead } from "./leadership.ts";
import { runReader, type RunReader } from "./run-reader.ts";
import { clearRun, forgetGarbage, readCommits, readGarbage, readRow, readRows, writeRow, type RunRow } from "./run-store.ts";

export interface CoordinatorOptions {
  readonly ports: Ports & { readonly store: Store };
  readonly tenant: string;
  readonly logger?: Logger;
  readonly holder?: string;
  /** The caller knows that no other coordinator lives (embedded: it holds the store's claim), so no TTL is waited for. */
  readonly alone?: boolean;
}

export interface SubmitOptions {
  readonly onProgress?: (progress: RunProgress) => void;
  /** Interrupts: the run is paused and goes on from its last checkpoint when submitted again. */
  readonly signal?: AbortSignal;
  /** Forgets what an earlier submission of the same run left. */
  readonly fresh?: boolean;
}

export interface Coordinator extends RunReader {
  readonly term: number;
  /** Runs a plan to its last tick, resumes it, or reads it back when it is done already (`cached`). */
  submit(plan: Plan, execution?: Partial<ExecutionPlan>, options?: SubmitOptions): Promise<RunOutcome>;
  /** Ends a run for good; NOT_FOUND when it is not under way. */
  cancel(runId: string): void;
  membership(): Membership;
  /** Pauses what runs and gives up the lead. */
  close(): Promise<void>;
}

/**
 * Starts a coordinator and resolves when it leads its tenant. It meets nodes only through bus, log, registry and blobs; what it
 * decides is written to its own store first.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { ports, tenant } = options;
  const { bus, registry, store, log, blobs, clock } = ports;
  const logger = options.logger ?? SILENT;
  const holder = options.holder ?? `coordinator-${randomUUID().slice(0, 8)}`;
  const leadership = await lead(ports, tenant, holder, { holderGone: options.alone ?? false, highestCommittedTerm: await highestCommittedTerm() });
  const { term } = leadership;

  const reader = runReader(ports, tenant);
  let membership = noMembers((await storedView()) + 1, clock.monotonicMs());
  const stops: Stop[] = [watchNodes()];
  const closing = new AbortController();
  const active = new Map<string, { readonly outcome: Promise<RunOutcome>; readonly cancel: AbortController }>();
  const waiting: (() => void)[] = [];
  let running = 0;
  await pauseOrphans();
  logger.info({ tenant, term, holder }, "coordinator leads");

  return {
    term,
    submit,
    ...reader,
    cancel(runId) {
      const entry = active.get(runId);
      if (entry === undefined) throw new PopulaceError("NOT_FOUND", `run ${runId} is not under way`, { runId });
      entry.cancel.abort(new PopulaceError("INTERRUPTED", `run ${runId.slice(0, 12)} was canceled`, { runId, canceled: true }));
    },
    membership: () => membership,
    async close() {
      closing.abort(new PopulaceError("INTERRUPTED", "the coordinator stopped; committed ticks stay, repeat the command to go on", {}));
      await Promise.allSettled([...active.values()].map((entry) => entry.outcome));
      for (const stop of stops) stop();
      await leadership.release();
      await store.flushed();
    },
  };

  async function submit(plan: Plan, execution: Partial<ExecutionPlan> = {}, submission: SubmitOptions = {}): Promise<RunOutcome> {
    if (plan.ticks < 1 || plan.ticks > LIMITS.ticksMax) throw new PopulaceError("TOO_LARGE", `${plan.ticks} ticks; expected 1 to ${LIMITS.ticksMax}`, { ticks: plan.ticks, limit: LIMITS.ticksMax });
    const bytes = encodePlan(plan);
    const spec = runSpecOf(plan, sha256Hex(bytes));
    const run = runIdOf(spec, sha256);
    const under = active.get(run);
    if (under !== undefined) return under.outcome;
    if (running === 0) await sweep();
    const before = readRow(store, tenant, run);
    if (before?.state === "done" && !submission.fresh) return reader.outcome(run);
    if (before?.state === "frozen" && !submission.fresh) throw new PopulaceError("DIVERGENCE", `run ${run.slice(0, 12)} is frozen: ${before.reason}`, { run });
    if (active.size >= LIMITS.runsQueuedMax) throw new PopulaceError("TOO_LARGE", `${active.size} runs wait already; at most ${LIMITS.runsQueuedMax} may`, { limit: LIMITS.runsQueuedMax });

    const cancel = new AbortController();
    const outcome = (async () => {
      await blobs.put(bytes);
      const row = await enter(run, spec, submission.fresh ?? false);
      await turn();
      try {
        const signals = [cancel.signal, closing.signal, leadership.signal, ...(submission.signal === undefined ? [] : [interruption(submission.signal, run)])];
        await driveRun(context(), plan, row, execution, AbortSignal.any(signals), (progress) => report(progress, submission));
      } finally {
        running -= 1;
        waiting.shift()?.();
      }
      await retire();
      return { ...reader.outcome(run), cached: false };
    })();
    active.set(run, { outcome, cancel });
    try {
      return await outcome;
    } finally {
      active.delete(run);
    }
  }

  function report(progress: RunProgress, submission: SubmitOptions): void {
    submission.onProgress?.(progress);
  }

  async function enter(run: string, spec: RunRow["spec"], fresh: boolean): Promise<RunRow> {
    if (fresh) {
      for (const body of await purgeSlots(ports, tenant, run)) await blobs.remove(body);
      await log.purge(`pop.${tenant}.${run}.>`, Number.MAX_SAFE_INTEGER);
    }
    return store.transaction((tables) => {
      const rows = readRows(tables, tenant);
      const before = rows.find((row) => row.run === run);
      if (fresh) clearRun(tables, tenant, run);
      const blank = { tick: -1, root: run, checkpointTick: -1, exposures: 0, seconds: 0, backends: [] };
      const row: RunRow = before === undefined
        ? { run, spec, attempt: 1, state: "submitted", reason: "", number: 1 + (rows.at(-1)?.number ?? 0), execution: null, ...blank }
        : { ...before, ...(fresh ? blank : {}), attempt: before.attempt + 1, state: transition(before.state, "submitted"), reason: "" };
      writeRow(tables, tenant, row);
      return row;
    });
  }

  async function turn(): Promise<void> {
    while (running >= LIMITS.runsActiveMax) await new Promise<void>((resolve) => waiting.push(resolve));
    running += 1;
  }

  function context(): RunContext {
    return { ports, tenant, term, logger, membership: () => membership, isAlone: () => running <= 1 };
  }

  function watchNodes(): Stop {
    const heard = (next: (before: Membership, nowMs: number) => Membership): Promise<void> => change(next(membership, clock.monotonicMs()));
    const watches = [
      bus.subscribe(heartbeatSubject(tenant, "*"), (_, bytes) => heard((before, nowMs) => hear(before, HEARTBEAT.decode(bytes), nowMs))),
      bus.subscribe(leaderBeatSubject(tenant), (_, bytes) => {
        const from = LEADER_BEAT.decode(bytes);
        return from.holder === holder && from.term === term ? heard(hearEcho) : undefined;
      }),
      clock.every(LIMITS.heartbeatMs, () => bus.publish(leaderBeatSubject(tenant), beat())),
      clock.every(LIMITS.lookMs, () => {
        const step = judge(membership, clock.monotonicMs());
        for (const incarnation of step.probes) bus.publish(probeSubject(tenant, incarnation), beat());
        void change(step.membership).catch((error: unknown) => logger.error({ error: String(error) }, "view not written"));
      }),
    ];
    return () => { for (const stop of watches) stop(); };
  }

  function beat(): Uint8Array {
    return LEADER_BEAT.encode({ holder, term, view: membership.view });
  }

  async function change(next: Membership): Promise<void> {
    const grew = next.view > membership.view;
    membership = next;
    if (!grew) return;
    const members = [...next.members];
    const bytes = VIEW_RECORD.encode({ view: next.view, members: members.map(([incarnation]) => incarnation), draining: members.filter(([, member]) => isDraining(member)).map(([incarnation]) => incarnation), dead: [...next.dead] });
    const entry = await registry.get(viewKey(tenant));
    if (entry === null) await registry.create(viewKey(tenant), bytes);
    else await registry.update(viewKey(tenant), bytes, entry.revision);
  }

  async function storedView(): Promise<number> {
    const entry = await registry.get(viewKey(tenant));
    return entry === null ? 0 : VIEW_RECORD.decode(entry.bytes).view;
  }

  async function highestCommittedTerm(): Promise<number> {
    let highest = 0;
    for (const { run } of readRows(store, tenant)) {
      const last = await log.last(commitSubject(tenant, run));
      if (last !== null) highest = Math.max(highest, COMMIT.decode(last.bytes).term);
    }
    return highest;
  }

  /** Runs that a dead coordinator left under way wait for their next submission. */
  async function pauseOrphans(): Promise<void> {
    await store.transaction((tables) => {
      for (const row of readRows(tables, tenant)) {
        if (!isSettled(row.state)) writeRow(tables, tenant, { ...row, state: transition(row.state, "paused"), reason: "its coordinator ended; submit it again to go on" });
      }
    });
  }

  /** Removes blobs that no checkpoint of an unfinished run and no plan names; only while nothing runs. */
  async function sweep(): Promise<void> {
    const garbage = readGarbage(store, tenant);
    if (garbage.length === 0) return;
    const live = new Set<string>();
    for (const row of readRows(store, tenant)) {
      live.add(row.spec.planHash);
      if (row.checkpointTick >= 0) for (const hash of readCommits(store, tenant, row.run).find((commit) => commit.tick === row.checkpointTick)!.checkpoint) live.add(hash);
    }
    for (const hash of garbage) if (!live.has(hash)) await blobs.remove(hash);
    await store.transaction((tables) => forgetGarbage(tables, tenant, garbage));
  }

  /** Only the newest finished runs keep their slots. */
  async function retire(): Promise<void> {
    const finished = readRows(store, tenant).filter((row) => row.state === "done" && !active.has(row.run));
    for (const row of finished.slice(0, -LIMITS.runsWithSlotsMax)) {
      if ((await log.last(`pop.${tenant}.${row.run}.${row.attempt}.open`)) === null) continue;
      for (const body of await purgeSlots(ports, tenant, row.run)) await blobs.remove(body);
      await log.purge(`pop.${tenant}.${row.run}.*.open`, Number.MAX_SAFE_INTEGER);
    }
  }
}

/** Any abort of the caller becomes INTERRUPTED with the way to go on. */
function interruption(signal: AbortSignal, run: string): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new PopulaceError("INTERRUPTED", `run ${run.slice(0, 12)} was interrupted; committed ticks stay, repeat the command to go on from the last checkpoint`, { run }));
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  return controller.signal;
}

