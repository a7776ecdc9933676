import { randomUUID } from "node:crypto";
import { PopulaceError, type ErrorCode, ERROR_TABLE } from "@populace/domain";
import { SILENT, sha256, sha256Hex, type Logger, type Ports, type RegistryEntry, type Stop, type Store } from "@populace/io";
import {
  COMMIT, FLUSHED, HEARTBEAT, HELD, JOB_SPEC, LEADER_BEAT, LIMITS, MISSED, RELEASE, RUN_RECORD, RUN_STATE, SERVED, STEPS_MAX, VIEW_RECORD, bodyOf, commitSubject, decodeLedgerPlan, decodePlan, encodeLedgerPlan, encodePlan, fitBody, flushedSubject, heartbeatSubject, heldSubject, inputParts, isJobPlan, isLedger, leaderBeatSubject, ledgerSpecOf, missedSubject, probeSubject, releaseKey, runIdOf, runKey, runSpecOf, servedSubject, viewKey,
  type ExecutionPlan, type LeaderRecord, type LedgerPlan, type Plan, type Release, type RunRecord, type RunSpec, type RunState, type ViewRecord,
} from "@populace/protocol";
import type { RunOutcome, RunProgress } from "@populace/studies";
import { above, hear, hearEcho, isDraining, judge, nextView, noMembers, type Membership } from "../core/membership.ts";
import { contradictedIn } from "../core/node-fit.ts";
import { isSettled, stateAfter, transition } from "../core/run.ts";
import { suspicionOf } from "../core/suspicion.ts";
import { newerRecord } from "../core/takeover.ts";
import { commitLog } from "./commit-log.ts";
import { blobOrCopy, keepCopy } from "./copies.ts";
import { driveLedger } from "./drive-ledger.ts";
import { readLedger, restoreCheckpoint } from "./ledger-checkpoints.ts";
import { driveRun, forgetRun, purgeSlots, type RunContext } from "./drive-run.ts";
import { followTenant } from "./follow.ts";
import { lead, type Leadership } from "./leadership.ts";
import { noCounts, type CoordinatorMetrics } from "./metrics.ts";
import { changeRecord, claimRecord, publishRecord } from "./record-writer.ts";
import { announceRelease, releasesOf } from "./releases.ts";
import { runReader, type RunReader } from "./run-reader.ts";
import { decodeRecord, discardCommits, forgetGarbage, markGarbage, markRemoved, readCommit, readCommitsAfter, readEnd, readFinalTick, readFirstCommit, readGarbage, readLastCommit, readLastRelease, readRecord, readRecords, readReleases, readRunsNamed, readTerm, raiseTerm, removeCopy, writeRecord, writeRelease } from "./run-store.ts";
import { createTurns, type Turns } from "./turns.ts";

export interface CoordinatorOptions {
  /** Registry, log, bus and blobs are shared with other coordinators and the nodes; the store is this process's own disk. */
  readonly ports: Ports & { readonly store: Store };
  readonly tenant: string;
  readonly logger?: Logger;
  /** Name for people. */
  readonly holder?: string;
  /** Unique for every start of a coordinator. */
  readonly incarnation?: string;
  /** Where the control service of this process listens; others send their clients there while it leads. */
  readonly address?: string;
  /** How long a leader that is not heard of keeps the lead: 2 s suit one NATS server, 15 s three. */
  readonly leaseTtlMs?: number;
  /** Share of the blocks that are computed a second time on another node, 0 to 1; default 0.01. */
  readonly doubleRunShare?: number;
  /** How long the first event of a ledger's tick waits for others; default LIMITS.ledgerTickMs. */
  readonly ledgerTickMs?: number;
  /** Bytes of a ledger's commits after which a checkpoint takes their place; default LIMITS.ledgerCheckpointBytes. */
  readonly ledgerCheckpointBytes?: number;
  /** Days for which a ledger remembers the ids of outcomes, and refuses older ones; default LIMITS.ledgerHorizonDays. */
  readonly ledgerHorizonDays?: number;
  /** Bytes that the slots of runs under way may hold, asked anew each time; default LIMITS.slotStreamBytesMax. */
  readonly slotBytesMax?: () => number;
  /** The calendar, in milliseconds since 1970; only the horizon of ledgers asks it. */
  readonly nowMs?: () => number;
  /** Shared by the coordinators of several tenants in one process, which then share the bound and take turns. */
  readonly turns?: Turns;
  /** The caller knows that no other coordinator lives (embedded: it holds the store's claim): leads at once, and what it leaves under way waits for its next submission. */
  readonly alone?: boolean;
}

export interface SubmitOptions {
  readonly onProgress?: (progress: RunProgress) => void;
  /** Interrupts: the run is paused and goes on from its last checkpoint when submitted again. */
  readonly signal?: AbortSignal;
  /** Forgets what an earlier submission of the same run left. */
  readonly fresh?: boolean;
  /** Runs that belong together; see RunRecord. */
  readonly label?: string;
  /** Higher ones first; default 0. */
  readonly priority?: number;
}

export interface Coordinator extends RunReader {
  /** Of this coordinator's lead; 0 while it has none. */
  readonly term: number;
  readonly role: "standby" | "leader";
  /** Who leads the tenant as far as this coordinator has seen; null before it has seen anybody, and after it has lost the lead until somebody has it. */
  leader(): LeaderRecord | null;
  /** Resolves when this coordinator leads; rejects when it is closed before. */
  leading(): Promise<void>;
  /**
   * Runs a plan to its last tick, resumes it, or reads it back when it is done already (`cached`). Idempotent by run id. UNAVAILABLE
   * with the leader's address on a standby. A run outlives the leader it was given to: the promise then resolves with what the next one makes of it.
   */
  submit(plan: Plan, execution?: Partial<ExecutionPlan>, options?: SubmitOptions): Promise<RunOutcome>;
  /** Enters a run, whose plan is given, and returns its record at once. */
  enter(plan: Plan, execution?: Partial<ExecutionPlan>, options?: Omit<SubmitOptions, "onProgress" | "signal">): Promise<RunRecord>;
  /** Stores a part of a job's input and returns its address, for its submission to name; what no run under way names goes when nothing runs. TOO_LARGE. */
  putInput(bytes: Uint8Array): Promise<string>;
  /** The outcome of a run that somebody submitted, from any coordinator, however long it takes; rejects with the code of a run that ended otherwise. `signal` ends the waiting only. */
  wait(runId: string, options?: { readonly onProgress?: (progress: RunProgress) => void; readonly signal?: AbortSignal }): Promise<RunOutcome>;
  /** Interrupts a run at its last committed tick; NOT_FOUND when it is not under way. UNAVAILABLE on a standby, like all that follows. */
  pause(runId: string): Promise<RunRecord>;
  /** Goes on with a run that is paused, failed or canceled, from its last checkpoint. */
  resume(runId: string): Promise<RunRecord>;
  /** Ends a run for good: recorded on disk first, then every kernel stops within one block. NOT_FOUND when it is not under way, paused or frozen. */
  cancel(runId: string): Promise<RunRecord>;
  /**
   * Decides a frozen run by a third computation: from the last checkpoint on the reference backend, on nodes that have no part in
   * the dispute where there are others. Who is contradicted computes this run no more, and it goes on. BAD_REQUEST when the run is not frozen by two outputs.
   */
  resolve(runId: string): Promise<RunRecord>;
  /** Announces what production serves from now on (addresses of blobs; a roll-back names older ones), on this leader's disk and in the registry; a new leader first listens for a TTL. NOT_FOUND when a blob is missing. */
  announce(release: Omit<Release, "number">, options?: { readonly allowSuspect?: boolean }): Promise<Release>;
  /** Why a release is suspect, or "": what it rests on is. */
  suspicion(release: Release): string;
  /** Marks a run as suspect from a committed tick on, for another computation contradicts it: submitted again it is computed anew, and releases that rest on it are refused. */
  suspect(runId: string, tick: number): Promise<RunRecord>;
  /**
   * Removes a run that is under way no more, with all that it committed, from registry, COMMIT and blobs and from the disks of all coordinators: only a record that says so stays. Submitted
   * again it is computed anew. BAD_REQUEST for a run that is under way, and for a ledger, which holds real outcomes.
   */
  remove(runId: string): Promise<RunRecord>;
  /** All releases of the tenant, as this coordinator's disk has them; the last one is served. */
  releases(): readonly Release[];
  /** The ledger of an encoded plan: begun, or gone on with where it was paused. TOO_LARGE, BAD_REQUEST. */
  enterLedger(plan: Uint8Array): Promise<RunRecord>;
  /** What a ledger has counted from a tick on, as this leader's disk has it; see readLedger. */
  ledger(runId: string, from: number): Promise<{ readonly record: RunRecord; readonly plan: LedgerPlan } & ReturnType<typeof readLedger>>;
  membership(): Membership;
  metrics(): CoordinatorMetrics;
  /** Gives up the lead, for the next one to go on with what runs; alone, pauses what runs. */
  close(): Promise<void>;
}

interface Active {
  readonly done: Promise<void>;
  readonly stop: AbortController;
  readonly listeners: Set<(progress: RunProgress) => void>;
}

/** What exists only while this coordinator leads. */
interface Reign {
  readonly leadership: Leadership;
  readonly sinceMs: number;
  membership: Membership;
  /** Resolves with the next view. */
  viewed: PromiseWithResolvers<void>;
  viewWritten: number;
  isWriting: boolean;
  readonly active: Map<string, Active>;
  readonly slotBytes: Map<string, number>;
  readonly wholeOn: Map<string, string>;
  /** Attempts that the registry had forgotten, by run: COMMIT may have lost what another disk holds of them. */
  readonly forgotten: Map<string, number>;
  /** By run and standby: what it has on its disk, and when it said so. */
  readonly flushed: Map<string, Map<string, { readonly tick: number; readonly heardMs: number }>>;
}

/** Missing parts that one refusal names: it travels in a header. */
const MISSING_MAX = 50;
/** Before a run whose ports failed is taken up again. */
const OUTAGE_WAIT_MS = 250;
/** Commits of one answer to Missed: the rest is asked for again. */
const HELD_MAX = 100;
const DAY_MS = 86_400_000;
/** After the last run of several was removed. */
const SWEEP_WAIT_MS = 1000;
/** Records that a sweep goes through at once: between them heartbeats are sent. */
const SWEEP_RECORDS = 100;
/** How often the leader looks whether the transport still has the release that production serves. */
const RELEASE_CHECK_MS = 10_000;
/** A finished run whose commits or sums are lost is read so often before that is its outcome. */
const READS_MAX = 40;
/** A new leader has heard every living node after so many of its heartbeats. */
const BEATS_HEARD = 8;

/**
 * Starts a coordinator of a tenant. Alone it leads when this resolves; otherwise it is a standby, follows COMMIT and the registry into
 * its own store, and campaigns until it is closed. It meets nodes only through bus, log, registry and blobs; what it decides is
 * written to its own store first.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { ports, tenant } = options;
  const { bus, registry, store, log, blobs, clock } = ports;
  const logger = options.logger ?? SILENT;
  const isAlone = options.alone ?? false;
  const nonce = options.incarnation ?? randomUUID();
  const holder = options.holder ?? `coordinator-${nonce.slice(0, 8)}`;
  const leaseTtlMs = options.leaseTtlMs ?? LIMITS.leaseTtlMs;
  const turns = options.turns ?? createTurns();
  const counters = noCounts();
  const reader = runReader(ports, tenant);
  const closing = new AbortController(), leaving = new AbortController();
  const closed = new PopulaceError("INTERRUPTED", "the coordinator stopped; committed ticks stay, repeat the command to go on", {});
  /** One submission of a run at a time: the second finds it under way. */
  const entering = new Map<string, Promise<{ readonly record: RunRecord; readonly isCached: boolean }>>();
  /** Runs that are being removed: nobody enters them meanwhile. */
  const removing = new Set<string>();
  /** Removed runs of which nothing is in the log any more. */
  const purged = new Set<string>();
  /** Attempts of finished runs that have no slots any more. */
  const retired = new Set<string>();
  let sweeping: AbortController | null = null;
  /** Ledgers that this coordinator has heard of while it stood by. */
  const ledgers = new Set(readRecords(store, tenant).filter(({ spec }) => isLedger(spec)).map(({ run }) => run));
  let reign: Reign | null = null;
  let seen: LeaderRecord | null = null;
  /** Highest term in any leader's record or beat, or that a node has seen: a registry may forget its own. */
  let heardTerm = 0;
  /** Highest release in any leader's beat, or that a gateway serves: a registry may forget it before it is on this disk, and no number means two things. */
  let heardRelease = 0;
  /** Term of the newest leader that was offered the runs of this disk. */
  let offeredTerm = 0;
  const hearTerm = (term: number): void => { heardTerm = Math.max(heardTerm, term); };
  let ascended = Promise.withResolvers<void>();
  ascended.promise.catch(() => {});

  const campaign = (): Promise<Leadership> => lead(ports, tenant, { holder, nonce, address: options.address ?? "", ttlMs: leaseTtlMs, isAlone },
    { highestTerm, onSight: (record) => { seen = record; hearTerm(record?.term ?? 0); }, signal: closing.signal, logger });

  let stopFollowing: Stop = () => {};
  let ruling: Promise<void> = Promise.resolve();
  if (isAlone) {
    ruling = (await begin(await campaign())).ended;
  } else {
    const listening = [
      bus.subscribe(leaderBeatSubject(tenant), (_, bytes) => {
        const { term, release } = LEADER_BEAT.decode(bytes);
        hearTerm(term);
        heardRelease = Math.max(heardRelease, release);
        if (reign === null && term > offeredTerm) {
          const before = offeredTerm;
          offeredTerm = term;
          offerRuns().catch((error: unknown) => {
            offeredTerm = before;
            logger.warn({ error: String(error) }, "the runs of this disk were not offered to the leader; they are with its next beat");
          });
        }
        // A leader that knows less than this disk: the registry forgot what was announced while that one was away.
        return reign === null && release < (readLastRelease(store, tenant)?.number ?? 0) ? restoreReleases() : undefined;
      }),
      bus.subscribe(servedSubject(tenant), (_, bytes) => { heardRelease = Math.max(heardRelease, SERVED.decode(bytes).release); }),
      bus.subscribe(heartbeatSubject(tenant, "*"), (_, bytes) => hearTerm(HEARTBEAT.decode(bytes).term)),
      bus.subscribe(missedSubject(tenant, "*"), (_, bytes) => {
        const { run, tick } = MISSED.decode(bytes);
        return giveHeld(run, tick);
      }),
    ];
    const stopTail = followTenant(ports, tenant, logger, {
      onTerm: (term) => { if (reign !== null && term > reign.leadership.term) reign.leadership.yieldTo(term); },
      onFlushed: (run, tick) => { if (reign === null) bus.publish(flushedSubject(tenant, run), FLUSHED.encode({ nonce, run, tick })); },
      onRecord(record, isNews) {
        if (isLedger(record.spec)) ledgers.add(record.run);
        if (record.state === "removed") sweepSoon();
        adopt(record, isNews);
      },
      // A registry that lost its store counts revisions from 1 again: the compare-and-set of a leader who has yet to notice that it is none may meet one it remembers.
      onStale: (own) => { if (reign !== null) publishRecord({ ports, tenant, term: reign.leadership.term }, own).catch((error: unknown) => logger.warn({ run: own.run, error: String(error) }, "the record of a run was not written again")); },
    });
    const stopTelling = clock.every(LIMITS.ledgerFlushedMs, () => { tellLedgers().catch((error: unknown) => logger.warn({ error: String(error) }, "the disk could not be flushed")); });
    stopFollowing = () => { for (const stop of [...listening, stopTail, stopTelling]) stop(); };
    ruling = (async () => {
      while (!closing.signal.aborted) {
        try {
          await (await begin(await campaign())).ended;
        } catch (error) {
          if (closing.signal.aborted) return;
          logger.error({ tenant, error: String(error) }, "the lead ended with an error; it is stood for again");
          await clock.sleep(OUTAGE_WAIT_MS, closing.signal).catch(() => {});
        }
        // Who cannot write its own disk leaves the lead to others, who wait a TTL at most, and tries again later.
        while (!closing.signal.aborted && await isDiskBroken()) await clock.sleep(2 * leaseTtlMs, closing.signal).catch(() => {});
      }
    })();
  }

  return {
    get term() {
      return reign?.leadership.term ?? 0;
    },
    get role() {
      return reign === null ? "standby" : "leader";
    },
    leader: seenLeader,
    leading: () => ascended.promise,
    ...reader,
    run: find,
    outcome,
    submit,
    enter: async (plan, execution, submission) => (await enter(plan, execution ?? {}, submission ?? {})).record,
    async putInput(bytes) {
      leadingReign();
      if (bytes.length > LIMITS.jobPartBytes) throw new PopulaceError("TOO_LARGE", `a part of ${bytes.length} bytes; at most ${LIMITS.jobPartBytes} are taken`, { bytes: bytes.length, limit: LIMITS.jobPartBytes });
      const hash = await blobs.put(bytes);
      await store.transaction((tables) => markGarbage(tables, tenant, [hash]));
      return hash;
    },
    wait: async (runId, waiting = {}) => wait((await known(runId)).run, waiting.onProgress, waiting.signal ?? null),
    pause: async (runId) => end(activeRun(runId) ?? (await known(runId)).run, new PopulaceError("INTERRUPTED", `run ${runId.slice(0, 12)} was paused; resume it to go on from its last checkpoint`, { runId })),
    cancel,
    resume: async (runId) => again(await known(runId), ["paused", "failed", "canceled"], { dispute: null, unfit: contradictedIn(readRecords(store, tenant)) }),
    resolve: async (runId) => {
      const record = await known(runId);
      if (record.dispute === null) throw new PopulaceError("BAD_REQUEST", `run ${record.run.slice(0, 12)} is ${record.state}, and there are no two outputs to decide between; begin it anew`, { runId: record.run, state: record.state });
      return again(record, ["frozen"], {});
    },
    async announce(announced, { allowSuspect = false } = {}) {
      const mine = leadingReign();
      mine.leadership.assertValid();
      const suspicion = suspicionHere(announced);
      if (suspicion !== "" && !allowSuspect) throw new PopulaceError("DIVERGENCE", `what is to be released is suspect: ${suspicion}; submit the run again to compute it anew, or allow it with --allow-suspect`, { runs: announced.runs });
      for (const hash of [announced.content, announced.model]) {
        const isHeld = hash === "" || (await blobOrCopy(ports, hash) !== null && (isAlone || await keepCopy(ports, hash)));
        if (!isHeld) throw new PopulaceError("NOT_FOUND", `what is to be released, ${hash}, is not in the blob store; put it there first`, { content: hash });
      }
      // Whoever lives and knows of a later release has said so by then.
      const unheardMs = mine.sinceMs + leaseTtlMs - clock.monotonicMs();
      if (!isAlone && unheardMs > 0) await clock.sleep(unheardMs, closing.signal);
      mine.leadership.assertValid();
      const release = await announceRelease(registry, tenant, announced, Math.max(readLastRelease(store, tenant)?.number ?? 0, heardRelease));
      heardRelease = Math.max(heardRelease, release.number);
      await store.transaction((tables) => writeRelease(tables, tenant, release));
      await store.flushed();
      return release;
    },
    releases: () => readReleases(store, tenant),
    suspicion: suspicionHere,
    async suspect(runId, tick) {
      const record = await known(runId);
      if (!Number.isInteger(tick) || tick < 0 || tick > record.tick) throw new PopulaceError("BAD_REQUEST", `run ${record.run.slice(0, 12)} has committed the ticks 0 to ${record.tick}; tick ${tick} is none of them`, { runId: record.run, tick });
      // One that is under way is changed by who drives it.
      if (!isSettled(record.state)) throw new PopulaceError("BAD_REQUEST", `run ${record.run.slice(0, 12)} is ${record.state}; pause it first`, { runId: record.run, state: record.state });
      const suspectFrom = record.suspectFrom < 0 ? tick : Math.min(record.suspectFrom, tick);
      logger.error({ run: record.run, tick: suspectFrom, alarm: "run suspect" }, "a committed run is contradicted by another computation");
      return changeRecord({ ports, tenant, term: leadingReign().leadership.term }, { ...record, suspectFrom });
    },
    remove,
    enterLedger,
    async ledger(runId, from) {
      const record = await known(runId);
      if (!isLedger(record.spec)) throw new PopulaceError("BAD_REQUEST", `run ${record.run.slice(0, 12)} is no ledger`, { runId: record.run });
      const plan = await blobOrCopy(ports, record.spec.planHash);
      if (plan === null) throw new PopulaceError("NOT_FOUND", `the plan of ledger ${record.run.slice(0, 12)} is not in the store`, { runId: record.run });
      const last = readEnd(store, tenant, record.run), decoded = decodeLedgerPlan(plan);
      return { record: { ...record, ...last }, plan: decoded, ...readLedger(store, tenant, record.run, decoded, from) };
    },
    membership: () => reign?.membership ?? noMembers(0, 0),
    metrics() {
      const runs = Object.fromEntries(Object.keys(RUN_STATE).map((state) => [state, 0])) as Record<RunState, number>;
      // A ledger under way asks for no node, and nodes are scaled by this.
      const records = readRecords(store, tenant).filter(({ state }) => state !== "removed"), served = readLastRelease(store, tenant);
      for (const record of records) if (!isLedger(record.spec) || isSettled(record.state)) runs[record.state] += 1;
      const membership = reign?.membership;
      const suspectRuns = records.filter((record) => record.suspectFrom >= 0).length;
      return { role: reign === null ? "standby" : "leader", term: reign?.leadership.term ?? 0, view: membership?.view ?? 0, members: membership?.members.size ?? 0, runs, suspectRuns, isReleaseSuspect: served !== null && suspicionHere(served) !== "", counters: { ...counters } };
    },
    async close() {
      const active = [...(reign?.active.values() ?? [])], leadership = reign?.leadership;
      // In a cluster the runs stay as they are, for the next leader.
      leaving.abort(isAlone ? closed : new PopulaceError("STALE_TERM", `coordinator ${holder} hands over`, { holder }));
      const settled = Promise.allSettled(active.map((entry) => entry.done));
      await (isAlone ? settled : Promise.race([settled, clock.sleep(LIMITS.requestMs)]));
      ascended.reject(closed);
      closing.abort(closed);
      stopFollowing();
      await leadership?.release();
      await ruling;
      await store.flushed();
    },
  };

  /** Takes up the lead; resolves when every run is known and those under way go on. */
  async function begin(leadership: Leadership): Promise<{ readonly ended: Promise<void> }> {
    const { term } = leadership;
    counters.terms += 1;
    const ended = new Promise<void>((resolve) => {
      const stop = AbortSignal.any([leadership.signal, closing.signal]);
      if (stop.aborted) resolve();
      else stop.addEventListener("abort", () => resolve(), { once: true });
    });
    let claimed: ViewRecord;
    try {
      await store.transaction((tables) => raiseTerm(tables, tenant, term));
      claimed = await claimView(leadership);
    } catch (error) {
      await leadership.release();
      throw error;
    }
    const mine: Reign = {
      leadership, sinceMs: clock.monotonicMs(), membership: noMembers(claimed.view, clock.monotonicMs(), claimed.dead), viewed: Promise.withResolvers(), viewWritten: claimed.view, isWriting: false,
      active: new Map(), slotBytes: new Map(), wholeOn: new Map(), forgotten: new Map(), flushed: new Map(),
    };
    const stopWatching = watchNodes(mine);
    try {
      const underWay = await takeOver(term, mine.forgotten);
      leadership.assertValid();
      reign = mine;
      logger.info({ tenant, term, holder, underWay: underWay.length }, "coordinator leads");
      for (const record of underWay) carry(mine, record);
      ascended.resolve();
    } catch (error) {
      stopWatching();
      await leadership.release();
      throw error;
    }
    return {
      ended: ended.then(() => {
        stopWatching();
        reign = null;
        ascended = Promise.withResolvers<void>();
        ascended.promise.catch(() => {});
        logger.info({ tenant, term, holder }, "coordinator leads no more");
      }),
    };
  }

  /** Puts store and registry together, record by record; returns the runs to go on with. Their commits are put together when they are driven. */
  async function takeOver(term: number, forgotten: Map<string, number>): Promise<readonly RunRecord[]> {
    const there = new Map((await registry.list(runKey(tenant, "*"))).map((entry) => decodeRecord(entry.bytes)).filter((record) => record !== null).map((record) => [record.run, record]));
    const here = new Map(readRecords(store, tenant).map((record) => [record.run, record]));
    const underWay: RunRecord[] = [];
    for (const run of new Set([...here.keys(), ...there.keys()])) {
      const before = here.get(run) ?? null;
      let record = newerRecord(there.get(run) ?? null, before)!;
      if (record !== before) {
        const newest = record;
        await store.transaction((tables) => {
          if (newest.state === "removed") markRemoved(tables, tenant, newest);
          if (before !== null && before.firstAttempt < newest.firstAttempt) discardCommits(tables, tenant, run);
          writeRecord(tables, tenant, newest);
        });
      }
      if (record !== there.get(run)) await publishRecord({ ports, tenant, term }, record);
      // The registry has forgotten it: so may COMMIT and the blobs have.
      if (record.state === "done" && !there.has(run)) await mend(record, term);
      if (isSettled(record.state)) continue;
      if (isAlone) record = await changeRecord({ ports, tenant, term }, { ...record, state: transition(record.state, "paused"), code: "INTERRUPTED", reason: "its coordinator ended; submit it again to go on" });
      else underWay.push(record);
      if (!there.has(run)) forgotten.set(run, record.attempt);
    }
    for (const release of await releasesOf(registry, tenant)) await store.transaction((tables) => writeRelease(tables, tenant, release));
    await restoreReleases();
    await store.flushed();
    return underWay.toSorted((left, right) => left.number - right.number);
  }

  /** What production serves is given back to a transport that lost it. */
  async function restoreReleases(): Promise<void> {
    for (const release of readReleases(store, tenant)) await registry.create(releaseKey(tenant, release.number), RELEASE.encode(release));
    await restoreRelease();
  }

  async function restoreRelease(): Promise<void> {
    const release = readLastRelease(store, tenant);
    if (release === null) return;
    await registry.create(releaseKey(tenant, release.number), RELEASE.encode(release));
    for (const hash of [release.content, release.model]) if (hash !== "") await blobOrCopy(ports, hash);
  }

  /** A standby of ledgers is heard though nothing comes: the next outcome waits for it. */
  async function tellLedgers(): Promise<void> {
    if (reign !== null || ledgers.size === 0) return;
    const ends = [...ledgers].map((run) => ({ run, tick: readFinalTick(store, tenant, run) }));
    await store.flushed();
    for (const { run, tick } of ends) bus.publish(flushedSubject(tenant, run), FLUSHED.encode({ nonce, run, tick }));
  }

  /** What this standby holds of a ledger, and its leader may lack: the record, the plan, the checkpoint it begins with, commits after a tick. */
  async function giveHeld(run: string, after: number): Promise<void> {
    const record = reign === null ? readRecord(store, tenant, run) : null, last = readFinalTick(store, tenant, run);
    if (record === null || !isLedger(record.spec) || last < after || (last === after && last >= 0)) return;
    await store.flushed();
    bus.publish(flushedSubject(tenant, run), FLUSHED.encode({ nonce, run, tick: last }));
    await registry.create(runKey(tenant, run), RUN_RECORD.encode(record));
    await blobOrCopy(ports, record.spec.planHash);
    const first = readFirstCommit(store, tenant, run);
    if (first === null) return;
    const from = Math.max(after, first.tick - 1), commits: Uint8Array[] = [];
    if (from > after) await restoreCheckpoint(ports, first);
    let size = 0;
    for (const commit of readCommitsAfter(store, tenant, run, from, Math.min(last, from + HELD_MAX))) {
      if (size > LIMITS.slotBytesMax) break;
      commits.push(await fitBody(COMMIT.encode(commit), blobs));
      size += commits.at(-1)!.length;
    }
    bus.publish(heldSubject(tenant, run), HELD.encode({ run, commits }));
  }

  /** A record that names this coordinator while it does not lead is of a lead that it has lost. */
  function seenLeader(): LeaderRecord | null {
    return reign === null && seen?.holder === holder ? null : seen;
  }

  function leadingReign(): Reign {
    if (reign !== null) return reign;
    const leader = seenLeader(), address = leader?.address ?? "";
    throw new PopulaceError("UNAVAILABLE", `coordinator ${holder} is a standby of tenant ${tenant}; ${leader === null ? "nobody is known to lead: try again" : `${leader.holder} leads${address === "" ? "" : ` at ${address}`}: ask there`}`, { tenant, leader: leader?.holder ?? "", address });
  }

  async function submit(plan: Plan, execution: Partial<ExecutionPlan> = {}, submission: SubmitOptions = {}): Promise<RunOutcome> {
    const { record, isCached } = await enter(plan, execution, submission);
    if (isCached) return outcome(record.run);
    const { signal } = submission;
    const interrupt = (): void => {
      void end(record.run, new PopulaceError("INTERRUPTED", `run ${record.run.slice(0, 12)} was interrupted; committed ticks stay, repeat the command to go on from the last checkpoint`, { run: record.run })).catch(() => {});
    };
    if (signal?.aborted) interrupt();
    else signal?.addEventListener("abort", interrupt, { once: true });
    try {
      return await wait(record.run, submission.onProgress, null);
    } finally {
      signal?.removeEventListener("abort", interrupt);
    }
  }

  async function enter(plan: Plan, execution: Partial<ExecutionPlan>, submission: SubmitOptions): Promise<{ readonly record: RunRecord; readonly isCached: boolean }> {
    if (plan.ticks < 1 || plan.ticks > LIMITS.ticksMax) throw new PopulaceError("TOO_LARGE", `${plan.ticks} ticks; expected 1 to ${LIMITS.ticksMax}`, { ticks: plan.ticks, limit: LIMITS.ticksMax });
    const bytes = encodePlan(plan);
    const spec = runSpecOf(plan, sha256Hex(bytes));
    const run = runIdOf(spec, sha256);
    const under = entering.get(run);
    if (under !== undefined) return under;
    assertStays(run);
    const entered = enterOnce(run, spec, bytes, isJobPlan(plan) ? inputParts(plan) : [], execution, submission);
    entering.set(run, entered);
    try {
      return await entered;
    } finally {
      entering.delete(run);
    }
  }

  async function enterOnce(run: string, spec: RunSpec, planBytes: Uint8Array, inputs: readonly string[], execution: Partial<ExecutionPlan>, submission: SubmitOptions): Promise<{ readonly record: RunRecord; readonly isCached: boolean }> {
    const mine = leadingReign();
    const { term } = mine.leadership;
    const before = readRecord(store, tenant, run);
    if (mine.active.has(run)) return { record: before!, isCached: false };
    // What is suspect answers nobody.
    const isFresh = (submission.fresh ?? false) || (before !== null && (before.suspectFrom >= 0 || before.state === "removed"));
    if (before?.state === "done" && !isFresh && await isReadable(run)) return { record: before, isCached: true };
    if (before?.state === "frozen" && !isFresh) throw new PopulaceError("DIVERGENCE", `run ${run.slice(0, 12)} is frozen: ${before.reason}`, { run });
    if (mine.active.size >= LIMITS.runsQueuedMax) throw new PopulaceError("TOO_LARGE", `${mine.active.size} runs wait already; at most ${LIMITS.runsQueuedMax} may`, { limit: LIMITS.runsQueuedMax });
    if (isIdle()) await sweep(inputs);
    if (inputs.length > LIMITS.jobPartsMax) throw new PopulaceError("TOO_LARGE", `the inputs of the job have ${inputs.length} parts; at most ${LIMITS.jobPartsMax} are taken`, { parts: inputs.length, limit: LIMITS.jobPartsMax });
    const isThere = await Promise.all(inputs.map((part) => blobs.has(part)));
    const missing = inputs.filter((_, index) => !isThere[index]);
    if (missing.length > 0) throw new PopulaceError("NOT_FOUND", `${missing.length} of ${inputs.length} parts of the job's inputs are not in the blob store; put them there first`, { missing: missing.slice(0, MISSING_MAX) });

    purged.delete(run);
    await blobs.put(planBytes);
    if (!isAlone) await keepCopy(ports, spec.planHash, planBytes);
    // Of an unknown run there may be commits of another version of this program.
    if (isFresh || (before === null && (await log.last(commitSubject(tenant, run))) !== null)) await forgetRun(ports, tenant, run);
    const attempt = (before?.attempt ?? 0) + 1, anew = nothingYet(run, attempt);
    const first = { number: 1 + (readRecords(store, tenant).at(-1)?.number ?? 0), label: "", priority: 0, view: 0, term, change: 0 };
    const record = await changeRecord({ ports, tenant, term }, {
      ...(before === null ? { ...first, ...anew } : isFresh ? { ...before, ...anew } : before),
      ...(submission.label === undefined ? {} : { label: submission.label }), ...(submission.priority === undefined ? {} : { priority: submission.priority }),
      run, spec, attempt, state: before === null || !isSettled(before.state) ? "submitted" : transition(before.state, "submitted"), wanted: execution, unfit: contradictedIn(readRecords(store, tenant)), dispute: null, suspectFrom: -1, code: "", reason: "",
    });
    carry(mine, record);
    return { record, isCached: false };
  }

  /** Never forgets: what COMMIT has of a ledger that this disk does not know is adopted when it is driven. */
  async function enterLedger(bytes: Uint8Array): Promise<RunRecord> {
    const mine = leadingReign(), { term } = mine.leadership;
    const plan = decodeLedgerPlan(bytes), cells = plan.personas.length * plan.stimuli.length;
    if (cells > LIMITS.ledgerCellsMax || plan.steps.length > STEPS_MAX) throw new PopulaceError("TOO_LARGE", `a ledger of ${cells} cells and ${plan.steps.length} steps; at most ${LIMITS.ledgerCellsMax} and ${STEPS_MAX}`, { cells, steps: plan.steps.length });
    const spec = ledgerSpecOf(await blobs.put(encodeLedgerPlan(plan))), run = runIdOf(spec, sha256);
    if (!isAlone) await keepCopy(ports, spec.planHash);
    const before = await find(run);
    if (mine.active.has(run)) return readRecord(store, tenant, run)!;
    const record = await changeRecord({ ports, tenant, term }, before !== null
      ? { ...before, attempt: before.attempt + 1, state: isSettled(before.state) ? transition(before.state, "submitted") : before.state, code: "", reason: "" }
      : {
          run, spec, number: 1 + (readRecords(store, tenant).at(-1)?.number ?? 0), label: `ledger of ${plan.model}`, priority: 0, attempt: 1, firstAttempt: 1, term, change: 0, view: 0, state: "submitted",
          wanted: {}, execution: null, shards: [], owners: [], unfit: [], checkedTick: -1, uncheckedFrom: -1, dispute: null, suspectFrom: -1, code: "", reason: "", tick: -1, root: run, exposures: 0, seconds: 0, backends: [],
        });
    carry(mine, record);
    return record;
  }

  /** Whether the outcome of a finished run can still be read, from COMMIT and the blobs as everybody reads it; the run is gone through again otherwise. */
  async function isReadable(run: string): Promise<boolean> {
    try {
      await outcome(run);
      return true;
    } catch (error) {
      if (error instanceof PopulaceError && (error.code === "NOT_FOUND" || error.code === "CORRUPT")) return false;
      throw error;
    }
  }

  async function again(before: RunRecord, from: readonly RunState[], changes: Partial<RunRecord>): Promise<RunRecord> {
    const mine = leadingReign();
    if (mine.active.has(before.run)) return before;
    assertStays(before.run);
    if (!from.includes(before.state)) throw new PopulaceError("BAD_REQUEST", `run ${before.run.slice(0, 12)} is ${before.state}; expected ${from.join(", ")}`, { run: before.run, state: before.state });
    const record = await changeRecord({ ports, tenant, term: mine.leadership.term }, { ...before, ...changes, attempt: before.attempt + 1, state: transition(before.state, "submitted"), code: "", reason: "" });
    carry(mine, record);
    return record;
  }

  function assertStays(run: string): void {
    if (removing.has(run)) throw new PopulaceError("UNAVAILABLE", `run ${run.slice(0, 12)} is being removed; submit it again when it is`, { run });
  }

  async function remove(runId: string): Promise<RunRecord> {
    const mine = leadingReign(), { term } = mine.leadership;
    const record = await known(runId), { run, spec, state } = record;
    if (isLedger(spec)) throw new PopulaceError("BAD_REQUEST", `run ${run.slice(0, 12)} is a ledger: what it holds are real outcomes, which nothing computes again`, { run });
    if (!isSettled(state) || mine.active.has(run) || entering.has(run)) throw new PopulaceError("BAD_REQUEST", `run ${run.slice(0, 12)} is ${state}; cancel or pause it first`, { run, state });
    assertStays(run);
    removing.add(run);
    try {
      await store.transaction((tables) => markRemoved(tables, tenant, record));
      mine.leadership.assertValid();
      const attempt = record.attempt + 1;
      // The record first: nothing that is purged from here on is missed by anybody.
      const removed = await changeRecord({ ports, tenant, term }, { ...record, ...nothingYet(run, attempt), state: transition(state, "removed"), attempt, dispute: null, label: "", code: "", reason: "" });
      retired.delete(`${run} ${record.attempt}`);
      await forgetRun(ports, tenant, run).then(() => purged.add(run), (error: unknown) => logger.warn({ run, error: String(error) }, "what a removed run had committed could not be purged; it will be tried again"));
      sweepSoon();
      return removed;
    } finally {
      removing.delete(run);
    }
  }

  /** What a removed run had committed, and an earlier leader, or a request without an answer, left in the log. */
  async function purgeRemoved(): Promise<void> {
    for (const { run, state } of readRecords(store, tenant)) {
      if (reign === null || state !== "removed" || purged.has(run) || entering.has(run) || removing.has(run)) continue;
      removing.add(run);
      try {
        if (readRecord(store, tenant, run)?.state === "removed") await forgetRun(ports, tenant, run);
        purged.add(run);
      } finally {
        removing.delete(run);
      }
    }
  }

  /** Once nothing more is removed for a while. */
  function sweepSoon(): void {
    sweeping?.abort();
    const waiting = sweeping = new AbortController();
    void (async () => {
      await clock.sleep(SWEEP_WAIT_MS, AbortSignal.any([waiting.signal, closing.signal]));
      sweeping = null;
      await purgeRemoved();
      if (entering.size > 0) sweepSoon();
      else await sweep([]);
    })().catch((error: unknown) => {
      if (waiting.signal.aborted || closing.signal.aborted) return;
      logger.warn({ error: String(error) }, "what removed runs had named was not swept; it will be tried again");
      sweepSoon();
    });
  }

  async function cancel(runId: string): Promise<RunRecord> {
    const canceled = (run: string): PopulaceError => new PopulaceError("INTERRUPTED", `run ${run.slice(0, 12)} was canceled`, { runId: run, canceled: true });
    const active = activeRun(runId);
    if (active !== null) return end(active, canceled(active));
    const before = await known(runId);
    const mine = leadingReign();
    if (before.state !== "paused" && before.state !== "frozen") return end(before.run, canceled(before.run));
    return changeRecord({ ports, tenant, term: mine.leadership.term }, { ...before, state: transition(before.state, "canceled"), code: "INTERRUPTED", reason: "canceled" });
  }

  /** The run that this leader drives and no other of its runs shares this beginning with: known without a question to anybody, for kernels compute until it is answered. */
  function activeRun(runId: string): string | null {
    if (reign === null || runId === "") return null;
    if (reign.active.has(runId)) return runId;
    const own = readRunsNamed(store, tenant, runId);
    return own.length === 1 && reign.active.has(own[0].run) ? own[0].run : null;
  }

  /** Ends what is under way for the given reason and returns the record of it. */
  async function end(run: string, why: PopulaceError): Promise<RunRecord> {
    const active = leadingReign().active.get(run);
    if (active === undefined) throw new PopulaceError("NOT_FOUND", `run ${run} is not under way`, { run });
    active.stop.abort(why);
    await active.done.catch(() => {});
    return readRecord(store, tenant, run)!;
  }

  /** As the registry has it; a registry that lost its store knows nothing until the next leader has written it again, so then from the own disk. */
  async function find(runId: string): Promise<RunRecord | null> {
    const record = await reader.run(runId);
    if (record !== null || runId === "") return record;
    const own = readRunsNamed(store, tenant, runId);
    if (own.length !== 1) return null;
    // The registry is given back what it forgot: a leader that was away when the run was entered hears of it so, and takes it up.
    if (!isAlone) await giveBack(own[0]);
    const last = readLastCommit(store, tenant, own[0].run);
    if (last === null || isSettled(own[0].state) || last.tick <= own[0].tick) return own[0];
    const { tick, root, exposures, seconds, backends } = last;
    return { ...own[0], tick, root, exposures, seconds, backends };
  }

  /** Where the registry has nothing of the run. */
  async function giveBack(record: RunRecord): Promise<void> {
    await registry.create(runKey(tenant, record.run), RUN_RECORD.encode(record));
  }

  /** A leader whose disk was full when a run was entered does not know it once the registry has lost its store: who does gives it back, and it is taken up; one that is done is known, and computed again where its commits are gone. */
  async function offerRuns(): Promise<void> {
    const there = new Set((await registry.list(runKey(tenant, "*"))).map(({ key }) => key));
    for (const record of readRecords(store, tenant)) if (!there.has(runKey(tenant, record.run))) await giveBack(record);
  }

  async function known(runId: string): Promise<RunRecord> {
    const record = await find(runId);
    if (record === null) throw new PopulaceError("NOT_FOUND", `run ${runId} is not known here, or several begin so`, { runId });
    return record;
  }

  /** A run that somebody entered with an earlier leader, who had not heard yet that it leads no more. */
  function adopt(record: RunRecord, isNews: boolean): void {
    if (reign === null || isSettled(record.state) || reign.active.has(record.run)) return;
    // In its own term there is news only of another leader who had the same.
    if (record.term > reign.leadership.term || (record.term === reign.leadership.term && !isNews)) return;
    logger.warn({ run: record.run, term: reign.leadership.term, theirs: record.term }, "a run of an earlier leader is taken up");
    reign.forgotten.set(record.run, record.attempt);
    carry(reign, record);
  }

  /** Drives a run in the background until it is settled or this reign ends. */
  function carry(mine: Reign, record: RunRecord): void {
    const stop = new AbortController();
    const listeners = new Set<(progress: RunProgress) => void>();
    const signal = AbortSignal.any([stop.signal, mine.leadership.signal, leaving.signal]);
    const done = (async () => {
      try {
        await carryToEnd(mine, record, signal, (progress) => { for (const listener of listeners) listener(progress); });
        await retire(mine);
      } finally {
        mine.active.delete(record.run);
        mine.flushed.delete(record.run);
      }
    })();
    done.catch((error: unknown) => {
      if (!(error instanceof PopulaceError)) logger.error({ run: record.run, error: String(error) }, "a run ended with a programmer's error");
    });
    mine.active.set(record.run, { done, stop, listeners });
  }

  async function carryToEnd(mine: Reign, record: RunRecord, signal: AbortSignal, onProgress: (progress: RunProgress) => void): Promise<void> {
    const { run } = record;
    // A ledger is always under way and needs no node: it takes no turn from the others.
    if (isLedger(record.spec)) {
      const takenUpMs = clock.monotonicMs();
      const context = {
        ports, tenant, term: mine.leadership.term, logger, counters, assertLeads: () => mine.leadership.assertValid(), tickMs: options.ledgerTickMs ?? LIMITS.ledgerTickMs,
        checkpointBytes: options.ledgerCheckpointBytes ?? LIMITS.ledgerCheckpointBytes, horizonDays: options.ledgerHorizonDays ?? LIMITS.ledgerHorizonDays, today: () => Math.floor((options.nowMs ?? Date.now)() / DAY_MS),
        flushed: () => flushedBy(mine, run), knowsStandbys: () => isAlone || clock.monotonicMs() - takenUpMs > leaseTtlMs, standbyMs: leaseTtlMs,
      };
      return throughOutages(mine, run, signal, async () => driveLedger(context, await claimRecord(context, run), signal));
    }
    let release: () => void;
    try {
      release = await turns.turn({ tenant, run, priority: record.priority, number: record.number }, signal);
    } catch (error) {
      await leaveQueue(mine, run, error as PopulaceError);
      throw error;
    }
    try {
      const context: RunContext = {
        ports, tenant, term: mine.leadership.term, logger, counters, isAlone, slotBytes: mine.slotBytes, slotBytesMax: options.slotBytesMax ?? (() => LIMITS.slotStreamBytesMax), wholeOn: mine.wholeOn,
        doubleRunShare: options.doubleRunShare,
        membership: () => mine.membership,
        viewed: () => mine.viewed.promise,
        nextView() {
          change(mine, nextView(mine.membership));
          return mine.membership.view;
        },
        knowsMembers: () => isAlone || clock.monotonicMs() - mine.sinceMs > BEATS_HEARD * LIMITS.heartbeatMs,
        flushed: () => flushedBy(mine, run),
        assertLeads: () => mine.leadership.assertValid(),
        isOnlyRun: () => turns.running <= 1,
        forgottenAttempt: mine.forgotten.get(run) ?? null,
      };
      let plan: Plan | null = null;
      await throughOutages(mine, run, signal, async () => {
        plan ??= await planOf(record);
        const claimed = await claimRecord(context, run);
        // An earlier leader has ended it, which was heard after the lead was taken over.
        if (isSettled(claimed.state)) return mend(claimed, mine.leadership.term);
        await driveRun(context, plan, claimed, signal, onProgress);
      });
    } finally {
      release();
    }
  }

  function flushedBy(mine: Reign, run: string): readonly number[] {
    return [...(mine.flushed.get(run)?.values() ?? [])].filter(({ heardMs }) => clock.monotonicMs() - heardMs < leaseTtlMs).map(({ tick }) => tick);
  }

  /** Drives a run again and again while what fails are ports that come back. */
  async function throughOutages(mine: Reign, run: string, signal: AbortSignal, drive: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await drive();
      } catch (error) {
        if (isAlone || signal.aborted || !isOutage(error)) throw error;
        logger.warn({ run, error: String(error) }, "a run waits for its ports");
        if (await isDiskBroken()) {
          logger.error({ tenant, run, error: String(error), alarm: "own disk" }, "the coordinator's own disk refuses writes; it gives up the lead");
          await mine.leadership.resign("its own disk refuses writes");
        }
        await clock.sleep(OUTAGE_WAIT_MS, signal).catch(() => {});
      }
    }
  }

  async function isDiskBroken(): Promise<boolean> {
    try {
      await store.transaction((tables) => tables.put("probe", tenant, new Uint8Array(8)));
      await store.flushed();
      return false;
    } catch {
      return true;
    }
  }

  async function planOf({ run, spec }: RunRecord): Promise<Plan> {
    const bytes = await blobOrCopy(ports, spec.planHash);
    if (bytes !== null) return decodePlan(bytes);
    const error = new PopulaceError("NOT_FOUND", `run ${run.slice(0, 12)}: its plan ${spec.planHash.slice(0, 12)} is not in the blob store; submit it again`, { run });
    const term = reign?.leadership.term ?? 0;
    const record = readRecord(store, tenant, run)!;
    if (term > 0) await changeRecord({ ports, tenant, term }, { ...record, state: transition(record.state, "failed"), code: error.code, reason: error.message });
    throw error;
  }

  async function leaveQueue(mine: Reign, run: string, error: PopulaceError): Promise<void> {
    const state = stateAfter(error.code, error.details["canceled"] === true);
    const record = readRecord(store, tenant, run)!;
    if (state !== null && !isSettled(record.state)) await changeRecord({ ports, tenant, term: mine.leadership.term }, { ...record, state: transition(record.state, state), code: error.code, reason: error.message });
  }

  /** As the reader has it; what was lost is written again from the own disk. */
  async function outcome(runId: string): Promise<RunOutcome> {
    try {
      return await reader.outcome(runId);
    } catch (error) {
      if (!isLoss(error)) throw error;
      const record = await known(runId);
      if (record.state !== "done") throw error;
      await mend(record, reign?.leadership.term ?? 0);
      return reader.outcome(runId);
    }
  }

  /** Gives a finished run back what the transport has lost of it and this disk has: plan, sums and, in a term, its record and commits. */
  async function mend(record: RunRecord, term: number): Promise<void> {
    if (term > 0) await publishRecord({ ports, tenant, term }, record);
    if (record.state === "removed") return;
    if (term > 0) await commitLog({ ports, tenant, term, logger, counters, assertLeads: () => reign?.leadership.assertValid() }, record).reconcile(true);
    for (const hash of [record.spec.planHash, readLastCommit(store, tenant, record.run)?.sums ?? ""]) if (hash !== "") await blobOrCopy(ports, hash);
  }

  function suspicionHere(release: Pick<Release, "runs" | "ledger">): string {
    return suspicionOf(release, (run) => readRecord(store, tenant, run));
  }

  /** Until the run is settled: by what this coordinator drives, else by what the registry says. */
  async function wait(run: string, onProgress: ((progress: RunProgress) => void) | undefined, signal: AbortSignal | null): Promise<RunOutcome> {
    for (let reads = 0; ; ) {
      signal?.throwIfAborted();
      const active = reign?.active.get(run);
      if (active !== undefined) {
        if (onProgress !== undefined) active.listeners.add(onProgress);
        try {
          await (signal === null ? active.done : Promise.race([active.done, aborted(signal)]));
          return { ...(await outcome(run)), cached: false };
        } catch (error) {
          if (isAlone || signal?.aborted || !(error instanceof PopulaceError) || (error.code !== "STALE_TERM" && !isOutage(error))) throw error;
        } finally {
          if (onProgress !== undefined) active.listeners.delete(onProgress);
        }
      }
      closing.signal.throwIfAborted();
      const record = await find(run).catch(() => null);
      if (record === null && readRecord(store, tenant, run)?.state === "removed") throw new PopulaceError("NOT_FOUND", `run ${run.slice(0, 12)} was removed`, { runId: run });
      if (record !== null && record.state === "done") {
        try {
          return { ...(await outcome(run)), cached: false };
        } catch (error) {
          // The leader mends what was lost; a port comes back.
          if (!isOutage(error) && !(isLoss(error) && (reads += 1) < READS_MAX)) throw error;
        }
      }
      if (record !== null && record.state !== "done" && isSettled(record.state)) throw new PopulaceError(record.code in ERROR_TABLE ? (record.code as ErrorCode) : "INTERNAL", record.reason, { run, state: record.state });
      if (record !== null && record.tick >= 0) onProgress?.({ tick: record.tick + 1, ticks: record.spec.ticks, exposures: record.exposures, exposuresTotal: Math.max(record.exposures, Math.round((record.exposures * record.spec.ticks) / (record.tick + 1))) });
      await clock.sleep(LIMITS.runPollMs, signal === null ? closing.signal : AbortSignal.any([closing.signal, signal]));
    }
  }

  function watchNodes(mine: Reign): Stop {
    const { term } = mine.leadership;
    const beat = (): Uint8Array => LEADER_BEAT.encode({ holder, term, view: mine.membership.view, release: readLastRelease(store, tenant)?.number ?? 0 });
    const heard = (next: (before: Membership, nowMs: number) => Membership): void => change(mine, next(mine.membership, clock.monotonicMs()));
    const watches = [
      bus.subscribe(heartbeatSubject(tenant, "*"), async (_, bytes) => {
        const heartbeat = HEARTBEAT.decode(bytes);
        if (heartbeat.term <= term) return heard((before, nowMs) => hear(before, heartbeat, nowMs));
        await store.transaction((tables) => raiseTerm(tables, tenant, heartbeat.term));
        mine.leadership.yieldTo(heartbeat.term);
      }),
      bus.subscribe(leaderBeatSubject(tenant), (_, bytes) => {
        const from = LEADER_BEAT.decode(bytes);
        if (from.holder === holder && from.term === term) heard(hearEcho);
      }),
      bus.subscribe(flushedSubject(tenant, "*"), (_, bytes) => {
        const { nonce: from, run, tick } = FLUSHED.decode(bytes);
        // A ledger that the registry forgot while this coordinator was away: who knows of it enters it again.
        if (readRecord(store, tenant, run) === null) bus.publish(missedSubject(tenant, run), MISSED.encode({ run, tick: -1 }));
        if (mine.active.has(run)) mine.flushed.set(run, (mine.flushed.get(run) ?? new Map<string, never>()).set(from, { tick, heardMs: clock.monotonicMs() }));
      }),
      clock.every(RELEASE_CHECK_MS, () => { restoreRelease().catch((error: unknown) => logger.warn({ error: String(error) }, "the release could not be checked")); }),
      registry.watch(viewKey(tenant), (_, entry) => {
        const written = entry === null ? null : VIEW_RECORD.read(entry.bytes);
        if (written !== null && written.term < term) heard((before) => nextView(above(before, written)));
      }),
      clock.every(LIMITS.heartbeatMs, () => bus.publish(leaderBeatSubject(tenant), beat())),
      clock.every(LIMITS.lookMs, () => {
        const step = judge(mine.membership, clock.monotonicMs());
        for (const incarnation of step.probes) bus.publish(probeSubject(tenant, incarnation), beat());
        change(mine, step.membership);
        writeView(mine);
      }),
    ];
    bus.publish(leaderBeatSubject(tenant), beat());
    return () => { for (const stop of watches) stop(); };
  }

  function change(mine: Reign, next: Membership): void {
    const grew = next.view > mine.membership.view;
    mine.membership = next;
    if (!grew) return;
    mine.viewed.resolve();
    mine.viewed = Promise.withResolvers();
    writeView(mine);
  }

  /** Writes the newest view, one write at a time; what could not be written is tried again at the next look. */
  function writeView(mine: Reign): void {
    if (mine.isWriting || mine.viewWritten >= mine.membership.view) return;
    mine.isWriting = true;
    void (async () => {
      const { term } = mine.leadership;
      const { entry, written } = await storedView();
      if (written !== null && written.term > term) {
        hearTerm(written.term);
        return mine.leadership.yieldTo(written.term);
      }
      // A registry that forgot who leads lets two write for a while.
      if (written !== null) change(mine, above(mine.membership, written));
      const { view, members, dead } = mine.membership;
      mine.leadership.assertValid();
      const draining = [...members].filter(([, member]) => isDraining(member)).map(([incarnation]) => incarnation);
      if (await putView({ term, view, members: [...members.keys()], draining, dead: [...dead] }, entry)) mine.viewWritten = view;
    })()
      .catch((error: unknown) => logger.error({ error: String(error) }, "view not written"))
      .finally(() => { mine.isWriting = false; });
  }

  /**
   * Writes a view without members in this term, above every view before it: a leader of an earlier term that has yet to notice writes none after it,
   * so whoever is dead by then is known to be. STALE_TERM where a later term has written one.
   */
  async function claimView({ term, signal }: Leadership): Promise<ViewRecord> {
    for (;;) {
      signal.throwIfAborted();
      const { entry, written } = await storedView();
      hearTerm(written?.term ?? 0);
      if (written !== null && written.term > term) throw new PopulaceError("STALE_TERM", `coordinator ${holder} was to lead with term ${term}; a leader of term ${written.term} has written a view`, { term, written: written.term });
      // Records of runs tell the view too, for a registry that forgot its own.
      const view = 1 + readRecords(store, tenant).reduce((most, record) => Math.max(most, record.view), written?.view ?? 0);
      const claimed = { term, view, members: [], draining: [], dead: written?.dead ?? [] };
      if (await putView(claimed, entry)) return claimed;
    }
  }

  async function putView(view: ViewRecord, over: RegistryEntry | null): Promise<boolean> {
    const key = viewKey(tenant), bytes = VIEW_RECORD.encode(view);
    return (over === null ? await registry.create(key, bytes) : await registry.update(key, bytes, over.revision)).ok;
  }

  /** A record of another version tells nothing. */
  async function storedView(): Promise<{ readonly entry: RegistryEntry | null; readonly written: ViewRecord | null }> {
    const entry = await registry.get(viewKey(tenant));
    return { entry, written: entry === null ? null : VIEW_RECORD.read(entry.bytes) };
  }

  /** Of what this store and COMMIT have seen. A record that settles a run is written after its last commit: only of other runs, and of those that the registry forgot, COMMIT knows more. */
  async function highestTerm(): Promise<number> {
    const there = (await registry.list(runKey(tenant, "*"))).map((entry) => decodeRecord(entry.bytes)).filter((record) => record !== null), here = readRecords(store, tenant);
    const highest = [...there, ...here].reduce((most, record) => Math.max(most, record.term), Math.max(heardTerm, readTerm(store, tenant)));
    const settled = new Set(there.filter((record) => isSettled(record.state)).map((record) => record.run));
    const terms = await Promise.all([...new Set([...there, ...here].map((record) => record.run))].filter((run) => !settled.has(run)).map(async (run) => {
      const entry = await log.last(commitSubject(tenant, run));
      return entry === null ? 0 : COMMIT.decode(await bodyOf(entry.bytes, blobs, `a commit of run ${run}`)).term;
    }));
    return terms.reduce((most, term) => Math.max(most, term), highest);
  }

  /**
   * Removes blobs that no checkpoint of an unfinished run, no sums, no plan and no release names, and their copies on this disk; the blobs only as the leader and while
   * nothing runs.
   */
  async function sweep(kept: readonly string[]): Promise<void> {
    const garbage = readGarbage(store, tenant);
    if (garbage.length === 0) return;
    const live = new Set<string>(kept);
    for (const { content, model } of readReleases(store, tenant)) live.add(content).add(model);
    for (const [index, { run, spec, state }] of readRecords(store, tenant).entries()) {
      if (index % SWEEP_RECORDS === SWEEP_RECORDS - 1) await clock.sleep(0, closing.signal);
      if (state === "removed") continue;
      live.add(spec.planHash);
      let commit = readLastCommit(store, tenant, run);
      live.add(commit?.sums ?? "");
      if (state === "done") continue;
      if (spec.kernelSpec === JOB_SPEC && state !== "failed" && state !== "canceled") {
        const bytes = await blobOrCopy(ports, spec.planHash), plan = bytes === null ? null : decodePlan(bytes);
        if (plan !== null && isJobPlan(plan)) for (const part of inputParts(plan)) live.add(part);
      }
      while (commit !== null && commit.checkpoint.length === 0 && commit.tick > 0) commit = readCommit(store, tenant, run, commit.tick - 1);
      for (const hash of [...(commit?.checkpoint ?? []), commit?.sums ?? ""]) live.add(hash);
    }
    const dead = garbage.filter((hash) => !live.has(hash)), gone: string[] = [];
    for (const hash of dead) {
      if (!isIdle()) break;
      await blobs.remove(hash);
      gone.push(hash);
    }
    await store.transaction((tables) => {
      for (const hash of dead) removeCopy(tables, hash);
      // A leader who is busy removes the blobs later.
      forgetGarbage(tables, tenant, reign === null ? dead : gone);
    });
  }

  /** Whether this coordinator leads, and nothing runs but ledgers. */
  function isIdle(): boolean {
    return reign !== null && turns.running === 0 && [...reign.active.keys()].every((active) => isLedger(readRecord(store, tenant, active)!.spec));
  }

  /** Only the newest finished runs keep their slots. */
  async function retire(mine: Reign): Promise<void> {
    const finished = readRecords(store, tenant).filter((record) => record.state === "done" && !mine.active.has(record.run));
    for (const { run, attempt } of finished.slice(0, -LIMITS.runsWithSlotsMax)) {
      if (retired.has(`${run} ${attempt}`)) continue;
      if ((await log.last(`pop.${tenant}.${run}.${attempt}.open`)) !== null) {
        for (const body of await purgeSlots(ports, tenant, run)) await blobs.remove(body);
        await log.purge(`pop.${tenant}.${run}.*.open`, Number.MAX_SAFE_INTEGER);
      }
      retired.add(`${run} ${attempt}`);
    }
  }
}

/** What a record says of a run of which nothing that was committed counts. */
const nothingYet = (run: string, firstAttempt: number): Pick<RunRecord, "tick" | "checkedTick" | "uncheckedFrom" | "root" | "exposures" | "seconds" | "backends" | "firstAttempt" | "execution" | "shards" | "owners"> =>
  ({ tick: -1, checkedTick: -1, uncheckedFrom: -1, root: run, exposures: 0, seconds: 0, backends: [], firstAttempt, execution: null, shards: [], owners: [] });

const isLoss = (error: unknown): boolean => error instanceof PopulaceError && (error.code === "CORRUPT" || error.code === "NOT_FOUND");

/** What a port could not do now it may do later; a node's own failure names the node. */
const isOutage = (error: unknown): boolean => error instanceof PopulaceError && (error.code === "UNAVAILABLE" || error.code === "STORE_FAILED") && error.details["node"] === undefined;

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
