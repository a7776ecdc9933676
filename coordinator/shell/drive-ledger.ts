import { PopulaceError } from "@populace/domain";
import { sha256, sha256Hex, type LogEntry } from "@populace/io";
import {
  COMMIT, EVENT_ID_DIGITS, INPUT, LIMITS, MISSED, OUTCOMES, SETTLED, bodyOf, commitSubject, decodeLedgerPlan, eventIdOf, eventSubject, inputHashOf, inputSubject, isLedgerBase, missedSubject, rootOf, settledSubject, sumsHashOf,
  type Commit, type Input, type LedgerPlan, type RunRecord,
} from "@populace/protocol";
import { ledgerTick } from "../core/ledger-tick.ts";
import { stateAfter, transition } from "../core/run.ts";
import { commitLog, type CommitLogContext } from "./commit-log.ts";
import { blobOrCopy } from "./copies.ts";
import { compactLedger, holdCheckpoint, readHead, restoreCheckpoint, takeCheckpoint } from "./ledger-checkpoints.ts";
import { changeRecord } from "./record-writer.ts";
import { clearOutbox, commitBytesAfter, readCommit, readCommits, readEnd, readEvent, readFinalTick, readFirstCommit, readFirstTick, readLastCommit, readRecord } from "./run-store.ts";
import { storeCommits } from "./store-commits.ts";

/** What a ledger needs of the coordinator that drives it. */
export interface LedgerContext extends CommitLogContext {
  /** STALE_TERM unless this coordinator still leads. */
  assertLeads(): void;
  /** How long the first event of a tick waits for others. */
  readonly tickMs: number;
  /** Bytes of commits after which a checkpoint takes their place. */
  readonly checkpointBytes: number;
  /** Days for which the ids of outcomes are remembered. */
  readonly horizonDays: number;
  /** By the calendar, since 1970. */
  today(): number;
  /** Of every standby that has spoken of this ledger within a TTL: the last tick on its disk. */
  flushed(): readonly number[];
  /** Whether a standby that lives has had the time to say so, since this ledger was taken up. */
  knowsStandbys(): boolean;
  /** A standby that needs longer for a commit is not waited for until it has caught up. */
  readonly standbyMs: number;
}

/** Events that wait to be sealed; beyond it no further ones are read. */
const WAITING_MAX = 10 * LIMITS.ledgerTickEventsMax;
/** Events that are committed already come again when their sender was not told: COMMIT may have lost the record. It is looked into so often at most. */
const LOOK_MS = 5000;
/** How often others are asked for what they hold; and how many times `standbyMs` one that holds more is waited for. */
const ASK_MS = 250, HEAR_MAX = 5;
/** A standby takes a message and a flush, a few milliseconds. */
const FLUSHED_POLL_MS = 5;

/**
 * Drives a ledger until `signal` ends it: seals what gateways sent, counts it, commits, tick by tick. What a tick counts follows from its sealed Input
 * and the ticks before, so that every later leader comes to the same root; events whose stream was lost come again from their gateways. No tick is
 * opened before every coordinator that lives had the time to say what it holds, nor while one holds more. Where a standby lives, the next tick waits
 * until it has this one on its disk, and gateways hear of it then. A checkpoint takes the place of the commits before it.
 * Rejects as `driveRun` does.
 */
export async function driveLedger(context: LedgerContext, begun: RunRecord, signal: AbortSignal): Promise<never> {
  const { ports, tenant, term, logger, counters, tickMs } = context;
  const { log, store, clock } = ports;
  const { run } = begun;
  const commits = commitLog(context, begun);
  const startedMs = clock.monotonicMs();
  /** In order of arrival: text by id, and where in the log it came from. */
  const waiting = new Map<string, { readonly text: string; readonly sequence: number }>();
  let read = 0, sinceMs = 0, isRepeated = false, lookedMs = startedMs;
  /** Last tick that gateways may rely on; the tick at which all standbys were given up; the first day that is open, and bytes of commits since the checkpoint. */
  let safeTick = -1, abandonedTick = -1, floor = 0, bytesSince = 0;
  /** Others were asked in vain for ticks up to this one. */
  let unheardTick = -1;
  let arrived = Promise.withResolvers<void>(), taken = Promise.withResolvers<void>();

  try {
    await hearOut();
    const plan = await planOf();
    let expected = await commits.reconcile();
    await begin();
    await takeUp();
    const stop = log.follow(eventSubject(tenant, run), 0, receive);
    const wake = (): void => arrived.resolve();
    signal.addEventListener("abort", wake, { once: true });
    const secondsBefore = readLastCommit(store, tenant, run)?.seconds ?? 0;
    try {
      for (;;) {
        // What an earlier leader sealed is committed first, whoever else has something to say.
        const sealed = await log.last(inputSubject(tenant, run, readEnd(store, tenant, run).tick + 1));
        if (sealed === null) await tickIsDue();
        signal.throwIfAborted();
        if (isBehind()) {
          await hearOut();
          expected = await commits.reconcile();
          await takeUp();
          continue;
        }
        if (sealed !== null || waiting.size > 0) await tick(plan, expected, secondsBefore);
        if (isLookDue()) {
          lookedMs = clock.monotonicMs();
          isRepeated = false;
          await commits.reconcile();
          await restore();
        }
      }
    } finally {
      stop();
      signal.removeEventListener("abort", wake);
      taken.resolve();
    }
  } catch (error) {
    await settle(error).catch((cause: unknown) => logger.error({ run, error: String(cause) }, "the end of the ledger was not recorded"));
    throw error;
  }

  async function planOf(): Promise<LedgerPlan> {
    const bytes = await blobOrCopy(ports, begun.spec.planHash);
    if (bytes === null) throw new PopulaceError("NOT_FOUND", `ledger ${run.slice(0, 12)}: its plan is not in the blob store; announce its release again`, { run });
    return decodeLedgerPlan(bytes);
  }

  /** Whether a coordinator that lives holds more than this one. */
  function isBehind(): boolean {
    const heard = Math.max(readFinalTick(store, tenant, run), unheardTick);
    return context.flushed().some((at) => at > heard);
  }

  /** COMMIT and this disk may lack what others hold, who were alone when it was committed: what they answer comes onto this disk as from COMMIT, before this leader says anything. */
  async function hearOut(): Promise<void> {
    const beganMs = clock.monotonicMs(), before = readFinalTick(store, tenant, run);
    while (isBehind() || !context.knowsStandbys()) {
      if (clock.monotonicMs() - beganMs > HEAR_MAX * context.standbyMs) {
        unheardTick = Math.max(...context.flushed());
        logger.error({ run, tick: readFinalTick(store, tenant, run), theirs: unheardTick, alarm: "ledger behind" }, "another coordinator holds more of a ledger and does not give it; it goes on without");
        break;
      }
      ports.bus.publish(missedSubject(tenant, run), MISSED.encode({ run, tick: readFinalTick(store, tenant, run) }));
      await clock.sleep(ASK_MS, signal);
      context.assertLeads();
    }
    const after = readFinalTick(store, tenant, run);
    if (after > before) logger.warn({ run, before, after }, "commits of a ledger were taken from another coordinator");
  }

  function isLookDue(): boolean {
    return isRepeated && clock.monotonicMs() - lookedMs > LOOK_MS;
  }

  async function begin(): Promise<void> {
    let record = readRecord(store, tenant, run)!;
    if (record.state === "submitted") record = { ...record, state: transition(record.state, "planned") };
    if (record.state === "planned") record = { ...record, state: transition(record.state, "running") };
    await changeRecord(context, { ...record, code: "", reason: "" });
    logger.info({ run, term, tick: readEnd(store, tenant, run).tick }, "ledger is kept");
  }

  /** Completes what an earlier leader left: the last checkpoint takes its place, and is where everybody finds it. */
  async function takeUp(): Promise<void> {
    const newest = readCommits(store, tenant, run).findLast(isLedgerBase);
    const end = readEnd(store, tenant, run);
    if (end.tick >= 0) await standbyHas(end.tick);
    if (newest !== undefined) await compact(newest);
    const first = readFirstCommit(store, tenant, run);
    floor = readHead(store, first)?.floor ?? 0;
    bytesSince = commitBytesAfter(store, tenant, run, first?.tick ?? -1);
    await restore();
  }

  async function restore(): Promise<void> {
    const restored = await restoreCheckpoint(ports, readFirstCommit(store, tenant, run));
    if (restored > 0) logger.error({ run, parts: restored, alarm: "checkpoint lost" }, "the blob store lost parts of a ledger's checkpoint; they are put back");
  }

  /** Resolves when a standby has this tick on its disk, where one lives and keeps up; gateways are told. */
  async function standbyHas(wanted: number): Promise<void> {
    const beganMs = clock.monotonicMs();
    // COMMIT has it: no later leader may take it for tentative, also where this disk is the only other one.
    await store.transaction((tables) => clearOutbox(tables, tenant, run, wanted));
    await store.flushed();
    for (;;) {
      const flushed = context.flushed();
      if (flushed.some((at) => at >= wanted)) break;
      if (context.knowsStandbys() && !flushed.some((at) => at >= abandonedTick)) break;
      if (clock.monotonicMs() - beganMs > context.standbyMs && context.knowsStandbys()) {
        logger.warn({ run, tick: wanted, flushed }, "no standby keeps up with a ledger; it goes on without");
        abandonedTick = wanted;
        break;
      }
      await clock.sleep(FLUSHED_POLL_MS, signal);
      context.assertLeads();
    }
    safeTick = wanted;
    settled([]);
  }

  function settled(manifest: readonly string[]): void {
    ports.bus.publish(settledSubject(tenant, run), SETTLED.encode({ run, tick: safeTick, manifest }));
  }

  /** A checkpoint that is in COMMIT and on every disk that it is to be on takes the place of what came before. */
  async function compact(base: Commit): Promise<void> {
    if (readFirstTick(store, tenant, run) === base.tick || !(await holdCheckpoint(ports, base))) return;
    const subject = commitSubject(tenant, run);
    let at = 0;
    for (let page = await log.read(subject); page.length > 0 && at === 0; page = await log.read(subject, { after: page.at(-1)!.sequence })) {
      for (const { sequence, bytes } of page) {
        const there = COMMIT.decode(await bodyOf(bytes, ports.blobs, `a commit of ledger ${run}`));
        // Another leader may have committed this tick without one.
        if (there.root === base.root && there.checkpoint.join() === base.checkpoint.join()) at = sequence;
      }
    }
    if (at === 0) return;
    context.assertLeads();
    await log.purge(subject, at);
    const gone = await store.transaction((tables) => compactLedger(tables, tenant, base));
    await store.flushed();
    for (const hash of gone) await ports.blobs.remove(hash);
    counters.ledgerCheckpoints += 1;
    logger.info({ run, tick: base.tick, removed: gone.length }, "a checkpoint takes the place of a ledger's commits");
  }

  async function receive({ sequence, bytes }: LogEntry): Promise<void> {
    const known: string[] = [], first = readFirstTick(store, tenant, run);
    let isKnown = false;
    for (const text of eventsIn(bytes)) {
      const id = eventIdOf(text);
      if (waiting.has(id)) continue;
      const event = readEvent(store, tenant, run, id);
      if (event !== null) {
        isKnown = true;
        // Of what a checkpoint stands for, no commit in the log tells its sender.
        if (event.tick < first) known.push(event.isRefused ? `${id} refused before` : text);
        else isRepeated = true;
        continue;
      }
      if (waiting.size === 0) sinceMs = clock.monotonicMs();
      waiting.set(id, { text, sequence });
    }
    if (isKnown) settled(known);
    read = sequence;
    arrived.resolve();
    while (waiting.size >= WAITING_MAX && !signal.aborted) await taken.promise;
  }

  /** The events of a message, each with an id of its own; what is none is one event that will be refused. */
  function eventsIn(bytes: Uint8Array): readonly string[] {
    const named = (text: string): string => (/^[0-9a-f]{32}( |$)/.test(text) ? text.slice(0, LIMITS.eventBytesMax) : `${sha256Hex(new TextEncoder().encode(text)).slice(0, EVENT_ID_DIGITS)} malformed`);
    try {
      const { run: of, events } = OUTCOMES.decode(bytes);
      if (of === run) return events.map(named);
    } catch (error) {
      if (!(error instanceof PopulaceError)) throw error;
    }
    logger.warn({ run, bytes: bytes.length }, "a message that holds no outcomes of this ledger is refused");
    return [`${sha256Hex(bytes).slice(0, EVENT_ID_DIGITS)} malformed`];
  }

  /** Resolves when a tick is full, when its first event has waited long enough, or when COMMIT is to be looked into. */
  async function tickIsDue(): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      context.assertLeads();
      const waitedMs = waiting.size === 0 ? 0 : clock.monotonicMs() - sinceMs;
      if (waiting.size >= LIMITS.ledgerTickEventsMax || waitedMs >= tickMs || isLookDue()) return;
      arrived = Promise.withResolvers();
      // Awake at least so often, to see whether this coordinator still leads.
      const stop = clock.every(waiting.size === 0 ? LIMITS.ledgerTickMs : tickMs - waitedMs, arrived.resolve);
      await arrived.promise;
      stop();
    }
  }

  async function tick(plan: LedgerPlan, expected: ReadonlyMap<number, string>, secondsBefore: number): Promise<void> {
    context.assertLeads();
    const end = readEnd(store, tenant, run), now = end.tick + 1;
    const wanted: Input = { run, tick: now, eventIds: [...waiting.values()].slice(0, LIMITS.ledgerTickEventsMax).map(({ text }) => text) };
    const filled = await log.fill(inputSubject(tenant, run, now), INPUT.encode(wanted));
    const input = filled.filled ? wanted : INPUT.decode(filled.stored);
    const beganMs = clock.monotonicMs();
    const { counts, manifest, counted } = ledgerTick(plan, input.eventIds, (id) => readEvent(store, tenant, run, id) !== null, floor);
    const inputHash = inputHashOf(input, sha256), sumsHash = sumsHashOf(counts, sha256);
    const before = now === 0 ? null : readCommit(store, tenant, run, end.tick);
    let commit: Commit = {
      run, attempt: begun.attempt, term, tick: now, prevRoot: end.root, inputHash, root: rootOf(end.root, now, inputHash, new Uint8Array(0), sumsHash, sha256), sumsHash,
      checkpoint: [], sections: new Float64Array(0), manifest,
      // The manifest says them, in fewer bytes.
      tickSums: new Float64Array(0), sums: "", exposures: (before?.exposures ?? 0) + counted, authors: [], backends: [], seconds: secondsBefore + (clock.monotonicMs() - startedMs) / 1000,
    };
    bytesSince += COMMIT.encode(commit).length;
    let closed = floor;
    if (bytesSince >= context.checkpointBytes && now > 0) {
      const { checkpoint, head } = await takeCheckpoint(ports, tenant, plan, commit, { today: context.today(), horizonDays: context.horizonDays });
      commit = { ...commit, checkpoint };
      closed = head.floor;
    }
    const fresh = await storeCommits({ store, tenant, term }, run, [commit], expected);
    await store.flushed();
    context.assertLeads();
    const repairs = counters.commitsRepaired + counters.logsRewritten;
    await commits.append(fresh);
    if (counters.commitsRepaired + counters.logsRewritten > repairs) await restore();
    floor = closed;
    for (const entry of manifest) waiting.delete(eventIdOf(entry));
    for (const text of input.eventIds) waiting.delete(eventIdOf(text));
    sinceMs = clock.monotonicMs();
    taken.resolve();
    taken = Promise.withResolvers();
    counters.ledgerTicks += 1;
    counters.outcomesCounted += counted;
    counters.outcomesRefused += manifest.length - counted;
    counters.commits += 1;
    counters.commitSeconds += (clock.monotonicMs() - beganMs) / 1000;
    await clear(now);
    await standbyHas(now);
    if (commit.checkpoint.length > 0) {
      await compact(commit);
      bytesSince = 0;
    }
  }

  /** Nobody needs what a COMMIT names: neither the events nor the sealed input of a tick before it. */
  async function clear(committed: number): Promise<void> {
    const first = waiting.values().next().value;
    await log.purge(eventSubject(tenant, run), first === undefined ? read + 1 : Math.min(first.sequence, read + 1));
    const input = await log.last(inputSubject(tenant, run, committed));
    if (input !== null) await log.purge(`pop.${tenant}.${run}.all.input.*`, input.sequence);
  }

  async function settle(error: unknown): Promise<void> {
    const { code, details } = error instanceof PopulaceError ? error : new PopulaceError("INTERNAL", String(error));
    const state = stateAfter(code, details["canceled"] === true);
    if (state === null || code === "UNAVAILABLE" || code === "STORE_FAILED") return;
    const record = readRecord(store, tenant, run)!;
    if (state === "frozen") counters.divergences += 1;
    logger[state === "paused" ? "info" : "error"]({ run, code, message: String(error) }, `ledger ${state}`);
    const last = readLastCommit(store, tenant, run);
    const planned = state === "frozen" && record.state === "submitted" ? transition(record.state, "planned") : record.state;
    await changeRecord(context, { ...record, state: transition(planned, state), code, reason: error instanceof Error ? error.message : String(error), ...(last === null ? {} : { tick: last.tick, root: last.root, exposures: last.exposures, seconds: last.seconds }) });
  }
}
