import { ERROR_TABLE, PopulaceError, type ErrorCode } from "@populace/domain";
import { sha256, type LogEntry, type Logger, type Ports, type Store } from "@populace/io";
import {
  INPUT, LIMITS, NODE_FAILURE, RUN_STOP, SHARD_OUT, TICK_OPEN,
  blocksOf, bodyOf, commitSubject, encodePlan, failSubject, haltSubject, inputHashOf, inputParts, inputSubject, isBehaviorPlan, isJobPlan, openSubject, outSubject, referenceIn, rootOf, stopSubject, sumsHashOf, toHex,
  type Block, type Commit, type Dispute, type NodeFailure, type Plan, type RunRecord, type RunState, type Shard, type ShardOut, type TickOpen,
} from "@populace/protocol";
import type { RunProgress } from "@populace/studies";
import { decideOpen, isStandbyBehind } from "../core/back-pressure.ts";
import { arrive, openBarrier, type Barrier } from "../core/barrier.ts";
import { resolveExecution, spanAt } from "../core/execution.ts";
import { accumulate, checkShape, exposuresIn, exposuresPlanned, ledgerShape, overWorlds, personasOf, sumTick, sumsLength } from "../core/ledger.ts";
import { isDraining, type Member, type Membership } from "../core/membership.ts";
import { backendWanted, checkNodes, isFit, mayCompute, unfitBackend, weightsOf } from "../core/node-fit.ts";
import { decideFailure } from "../core/node-failure.ts";
import { stateAfter, transition } from "../core/run.ts";
import { leastBusy, place, steadyWeights, type Candidate } from "../core/placement.ts";
import { shardMap } from "../core/shard-map.ts";
import { commitLog } from "./commit-log.ts";
import { blobOrCopy, keepCopy } from "./copies.ts";
import type { Counters } from "./metrics.ts";
import { changeRecord } from "./record-writer.ts";
import { discardCommits, markGarbage, readCommit, readCommits, readCommitsAfter, readEnd, readLastCommit, writeCommit } from "./run-store.ts";
import { secondRuns } from "./second-runs.ts";
import { storeCommits } from "./store-commits.ts";

/** What a run needs of the coordinator that drives it. */
export interface RunContext {
  readonly ports: Ports & { readonly store: Store };
  readonly tenant: string;
  readonly term: number;
  readonly logger: Logger;
  readonly counters: Counters;
  /** Embedded: nobody takes over, and without a node the run fails instead of waiting for one. */
  readonly isAlone: boolean;
  readonly doubleRunShare: number | undefined;
  membership(): Membership;
  /** Resolves when the view changes. */
  viewed(): Promise<void>;
  /** Begins a new view, for shards change owners, and returns its number. */
  nextView(): number;
  /** Whether nodes that are not members by now are gone: false just after a change of the leader, who has yet to hear them. */
  knowsMembers(): boolean;
  /** Of every standby that has spoken of this run within a TTL: the last tick on its disk. */
  flushed(): readonly number[];
  /** STALE_TERM unless this coordinator still leads. */
  assertLeads(): void;
  /** Whether this is the only run under way: then blobs that it no longer needs are removed at once. */
  isOnlyRun(): boolean;
  /** The attempt that is not continued in place, for the registry had forgotten it: another disk may hold more of it, and falsely. */
  readonly forgottenAttempt: number | null;
  /** Bytes of slots that all runs under way have filled since their checkpoints, by run. */
  readonly slotBytes: Map<string, number>;
  /** What those may be together, as the log has room for. */
  slotBytesMax(): number;
  /** Who has each run of one shard that is under way, by run. */
  readonly wholeOn: Map<string, string>;
}

/** Thrown inside to begin a new attempt from the newest whole checkpoint: what the current one built on was lost. */
class AttemptLost extends Error {}

/** Attempts that one drive begins before it reports the loss as the run's failure. */
const ATTEMPTS_MAX = 5;
/** A standby takes a message and a flush, a few milliseconds. */
const FLUSHED_POLL_MS = 5;

/**
 * Takes a run that is submitted, planned or running to its last tick, from wherever an earlier leader left it.
 *
 * A run that was running goes on in the SAME attempt: nodes hold its states at the open tick, its shards and slots stay valid, and
 * the slots since the last checkpoint give back the sums that no commit carries (per world), each tick checked against its commit.
 * Only where they do not (slots were lost, the checkpoint is incomplete, shards are cut anew) a new attempt begins at the newest
 * whole checkpoint: its nodes forget and restore. Either way the roots must be the committed ones.
 *
 * Resolves with the finished record. Rejects with the abort reason of `signal` (the run is then paused or canceled), DIVERGENCE
 * (frozen), STALE_TERM (untouched: another coordinator has it), UNAVAILABLE or STORE_FAILED of a port (untouched, in a cluster:
 * to be tried again), or the failure of the nodes (failed).
 */
export async function driveRun(context: RunContext, plan: Plan, begun: RunRecord, signal: AbortSignal, onProgress: (progress: RunProgress) => void): Promise<RunRecord> {
  const { ports, tenant, term, logger, counters } = context;
  const { bus, log, blobs, store, clock } = ports;
  const { run } = begun;
  const short = run.slice(0, 12);
  const isCoupled = plan.influence !== null;
  const shape = ledgerShape(plan);
  const blocks = blocksOf(plan);
  const planned = exposuresPlanned(plan);
  const exposuresTotal = planned.reduce((sum, count) => sum + count, 0);
  let commits = commitLog(context, begun);
  const startedMs = clock.monotonicMs();
  const secondsBefore = Math.max(begun.seconds, readLastCommit(store, tenant, run)?.seconds ?? 0);
  /** In a row, by node and code; those that others are asked instead of, while there are others; and all that were heard of. */
  const failuresBy = new Map<string, number>(), avoided = new Set<string>(), failuresHeard = new Set<string>();
  /** A node found a blob damaged or gone. */
  let isSuspect = false;
  const perAgent = exposuresPerAgent(plan);
  const costOf = (block: Block): number => block.agents * (plan.ticks + perAgent[block.persona]);
  /** Speeds that shards were placed by. */
  let weights: ReadonlyMap<string, number> = new Map();
  /** Nodes that shards were placed among. */
  let willing = "";
  const seconds = (): number => secondsBefore + (clock.monotonicMs() - startedMs) / 1000;
  let record = begun;
  /** The attempt that the next one takes the place of. */
  let superseded: number | null = null;
  /** The dispute that ends this attempt; on record when the run is frozen, and not before: a leader who took over meanwhile would take the disputed attempt for the one that decides. */
  let begunDispute: Dispute | null | undefined;
  /** Nodes with a part in the dispute: others decide it, where there are others. */
  let disputants: readonly string[] = [];
  let expected: ReadonlyMap<number, string> = new Map();

  try {
    const found = await commits.takeUp();
    ({ expected } = found);
    if (found.firstAttempt > record.firstAttempt) {
      // The dispute, if there was one, was decided before the attempt that the record does not know.
      const attempt = Math.max(record.attempt, found.firstAttempt + (record.state === "running" ? 0 : 1));
      record = { ...record, attempt, dispute: null, ...checkedTo(-1) };
    }
    // The last leader may have come no further than to record that this attempt counts no more.
    let canContinue = record.state === "running" && record.execution !== null && record.attempt >= record.firstAttempt && record.attempt !== context.forgottenAttempt && found.firstAttempt === record.firstAttempt;
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await attemptRun(canContinue);
      } catch (error) {
        if (!(error instanceof AttemptLost) || attempts >= ATTEMPTS_MAX) throw error instanceof AttemptLost ? (error.cause ?? new PopulaceError("CORRUPT", `run ${short}: ${error.message}, ${attempts} attempts in a row`, { run })) : error;
        counters.attemptsRestarted += 1;
        logger.error({ run, attempt: record.attempt, alarm: "attempt restarted", why: error.message }, "a new attempt begins at the newest whole checkpoint");
        superseded = record.attempt;
        canContinue = false;
      }
    }
  } catch (error) {
    await settle(error).catch((cause: unknown) => logger.error({ run, error: String(cause) }, "the end of the run was not recorded"));
    throw error;
  } finally {
    context.slotBytes.delete(run);
    context.wholeOn.delete(run);
  }

  async function attemptRun(isContinued: boolean): Promise<RunRecord> {
    const abandoned = new AbortController();
    begunDispute = undefined;
    const failure = Promise.withResolvers<never>();
    failure.promise.catch(() => {});
    signal.addEventListener("abort", () => {
      haltNodes();
      failure.reject(signal.reason);
    }, { once: true, signal: abandoned.signal });
    signal.throwIfAborted();

    // Nodes that do not know the run read it.
    await restorePlan();
    const { checkedTick } = record;
    const base = await startingPoint();
    if (base.start === plan.ticks) return finish();
    if (!isContinued) {
      await begin(checkedTick);
      // Not before the new attempt is recorded: a later leader that continued the old one would be refused by nodes that were told it is over.
      if (superseded !== null) stopNodes("superseded", superseded);
      superseded = null;
    } else {
      record = await changeRecord(context, record);
      if (record.shards.length === 1) context.wholeOn.set(run, record.owners[0]);
    }
    const { attempt, shards, execution } = record as RunRecord & { readonly execution: NonNullable<RunRecord["execution"]> };
    const covered = shards.map((shard) => personasOf(plan, shard));
    const committedTick = readEnd(store, tenant, run).tick;
    logger.info({ run, attempt, term, start: base.start, continued: isContinued, ...execution }, "run begins");

    let barrier: Barrier = openBarrier(0, 0, 0);
    let complete = Promise.withResolvers<void>();
    let mustReplace = false, restsOnFalse = false;
    /** What this attempt is the third computation of; a dispute that it runs into itself is for another to decide. */
    const disputed = record.dispute;
    /** Who was contradicted at the first tick of the disputed shard at which anybody was: what came after may be false because of that. */
    let firstContradicted: ReadonlySet<string> = new Set();
    /** Last ticks of the spans that this attempt has committed. */
    const spanEnds: number[] = [];
    let tookMs: (number | null)[] = [], openedMs = 0;
    const second = secondRuns({
      ports, tenant, logger, run, attempt, term, shards, backend: execution.backend,
      // Behaviors are computed twice by each node itself, in another process.
      share: isBehaviorPlan(plan) ? 0 : context.doubleRunShare,
      seconds: () => (isBehaviorPlan(plan) ? [] : fitMembers()).filter(([, member]) => !isDraining(member)).map(([incarnation, { heartbeat }]) => ({ incarnation, backends: heartbeat.backends })),
      knowsSeconds: context.knowsMembers,
      view: () => record.view,
      restorePlan,
    });
    /** Double runs that are under way, and those that have ended: what they needed is cleared by the loop, once the record says so. */
    let checking: Promise<void> = Promise.resolve();
    let isChecked = true;
    const ended: { readonly from: number; readonly tick: number; isGivenUp: boolean; clear(): Promise<void> }[] = [];
    let checkpointedTick = base.start - 1, lastSlot = 0;
    let placedFor = "", moving: readonly string[] | null = null;
    const stops = [
      bus.subscribe(failSubject(tenant, run, attempt), (_, bytes) => onFailure(NODE_FAILURE.decode(bytes))),
      log.follow(outSubject(tenant, run, attempt, "*", "*"), 0, onSlot),
    ];
    try {
      return await ticks();
    } finally {
      abandoned.abort();
      second.close();
      for (const stop of stops) stop();
    }

    /** The owners that a planned move would give, or null: nobody came, went, drains or has another speed. */
    function plannedOwners(): readonly string[] | null {
      const nodes = candidates();
      if (nodes.length === 0 || !context.knowsMembers()) return null;
      const key = JSON.stringify(nodes);
      if (key !== placedFor) {
        const next = place(run, costsOf(shards), nodes, record.owners);
        moving = next.some((owner, shard) => owner !== record.owners[shard]) ? next : null;
        placedFor = key;
      }
      return moving;
    }

    /** Whether a planned move is worth a checkpoint of its own: nodes came, went or drain. Changed speeds wait for the next one. */
    function isUrgent(): boolean {
      return plannedOwners() !== null && willing !== willingNodes(candidates());
    }

    async function moveAsPlanned(): Promise<void> {
      const next = plannedOwners();
      if (next === null) return;
      const moved = next.filter((owner, shard) => owner !== record.owners[shard]).length;
      counters.shardsMoved += moved;
      await amend({ owners: next, view: Math.max(context.nextView(), record.view + 1) });
      moving = null;
      willing = willingNodes(candidates());
      logger.info({ run, attempt, view: record.view, moved }, "shards moved as planned");
    }

    async function ticks(): Promise<RunRecord> {
      const { sums } = base;
      let root = base.start === 0 ? run : committedAt(base.start - 1).root;
      let exposures = exposuresIn(sums, shape.columns);
      const authors = new Set(base.start === 0 ? [] : committedAt(base.start - 1).authors);
      const backends = new Set(base.start === 0 ? [] : committedAt(base.start - 1).backends);
      for (let tick = base.start; tick < plan.ticks; ) {
        await Promise.race([failure.promise, Promise.resolve()]);
        await clearChecked();
        const { span, checkpoint } = spanAt(execution, tick, plan.ticks, base.healed);
        const isReplayed = tick <= committedTick;
        // Ticks that are committed already are gone through to rebuild sums and state; their checkpoint, if any, has been superseded, unless it was lost.
        const isEarly = !isReplayed && span < plan.ticks && await slotsAreFull();
        if (!isReplayed) await standbyCatchesUp();
        if (!isReplayed && tick === checkpointedTick + 1) await moveAsPlanned();
        // Shards move only from a checkpoint: nothing is replayed then.
        const isMoving = !isReplayed && tick + span < plan.ticks && isUrgent();
        const wantsCheckpoint = isEarly || isMoving || (checkpoint && (tick + span - 1 > committedTick || base.healed.includes(tick + span - 1)));
        const inputHashes = await sealInputs(tick, span);
        barrier = openBarrier(tick, span, shards.length);
        tookMs = shards.map(() => null);
        openedMs = clock.monotonicMs();
        complete = Promise.withResolvers<void>();
        await gather({ run, attempt, term, view: record.view, tick, span, prevRoot: root, inputHash: inputHashes[0], checkpoint: wantsCheckpoint }, isContinued && isReplayed);

        const outs = barrier.outs as readonly ShardOut[];
        const committed: Commit[] = [];
        for (let offset = 0; offset < span; offset += 1) {
          const now = tick + offset;
          const { counts, sections, leaves } = sumTick(shape, outs, shards, offset, isCoupled);
          const counted = exposuresIn(counts, shape.columns);
          if (counted > planned[now]) throw new AttemptLost(`tick ${now}: ${counted} exposures were counted, ${planned[now]} were planned`);
          const sumsHash = sumsHashOf(counts, sha256);
          const next = rootOf(root, now, inputHashes[offset], leaves, sumsHash, sha256);
          accumulate(sums, counts);
          exposures += counted;
          for (const out of outs) {
            backends.add(out.backend);
            authors.add(unfitBackend(out.incarnation, out.backend));
          }
          const isLast = offset === span - 1;
          const manifest = isLast && wantsCheckpoint ? await checkpointManifest(outs) : [];
          // Large, and rebuilt by every attempt from its checkpoint on: so they are stored where an attempt may start, and at the end.
          const sumsAt = isJobPlan(plan) ? await outputOf(leaves) : manifest.length > 0 || now === plan.ticks - 1 ? await blobs.put(new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength)) : "";
          committed.push({
            run, attempt, term, tick: now, prevRoot: root, inputHash: inputHashes[offset], root: next, sumsHash, checkpoint: manifest, sections, manifest: [],
            tickSums: overWorlds(shape, counts), sums: sumsAt, exposures, authors: isLast && wantsCheckpoint ? [...authors].toSorted() : [], backends: [...backends].toSorted(), seconds: seconds(),
          });
          root = next;
        }
        const isFalse = disputed !== null && committed.some((commit) => commit.tick <= committedTick && !isSame(committedAt(commit.tick), commit));
        restsOnFalse ||= isFalse;
        const isDecided = disputed !== null && await judge(disputed, outs, committed);
        // Until it is known who erred, nodes are shown the chain that they know.
        if (isFalse) root = committedAt(tick + span - 1).root;
        else await commitSpan(committed);
        if (isDecided) throw new AttemptLost("the dispute is decided");
        tick += span;
        if (!isReplayed) spanEnds.push(tick - 1);
        if (wantsCheckpoint && !isFalse) await afterCheckpoint(outs, tick - 1);
        else if (tick === plan.ticks) afterChecks(outs, tick - 1, async () => {});
        onProgress({ tick, ticks: plan.ticks, exposures, exposuresTotal });
      }
      await checkingEnds();
      await clearChecked();
      return finish();
    }

    /** Own disk, flushed, then the COMMIT log. */
    async function commitSpan(span: readonly Commit[]): Promise<void> {
      const beganMs = clock.monotonicMs();
      context.assertLeads();
      const fresh = await storeCommits({ store, tenant, term }, run, span, expected);
      // Of a run that a later leader began anew, this disk may hold nothing any more: here, and after each wait below.
      context.assertLeads();
      const { tick } = span.at(-1)!;
      if (!isSame(committedAt(tick), span.at(-1)!)) {
        throw new PopulaceError("DIVERGENCE", `run ${short}, tick ${tick}: the checkpoint that was committed names other states than were computed now; the run is frozen, begin it anew with --fresh`, { run, tick });
      }
      if (fresh.length === 0) return;
      await store.flushed();
      context.assertLeads();
      await commits.append(fresh);
      context.assertLeads();
      counters.ticksCommitted += fresh.length;
      counters.exposuresCommitted += fresh.at(-1)!.exposures - (fresh[0].tick === 0 ? 0 : committedAt(fresh[0].tick - 1).exposures);
      counters.commits += 1;
      counters.commitSeconds += (clock.monotonicMs() - beganMs) / 1000;
    }

    /** Nobody reads below a complete checkpoint that was checked: what came before then leaves the slots and the blob store. */
    async function afterCheckpoint(outs: readonly ShardOut[], tick: number): Promise<void> {
      const below = lastSlot + 1, bytes = context.slotBytes.get(run) ?? 0;
      if (!base.checkpoints.includes(tick)) base.checkpoints.push(tick);
      const addresses = (one: number): readonly string[] => {
        const commit = readCommit(store, tenant, run, one);
        return commit === null ? [] : [...commit.checkpoint, commit.sums];
      };
      afterChecks(outs, tick, async () => {
        const kept = base.checkpoints.filter((one) => one >= tick), before = base.checkpoints.filter((one) => one < tick);
        base.checkpoints.splice(0, base.checkpoints.length, ...kept);
        const now = new Set(kept.flatMap(addresses));
        // What was said before this attempt is what a dispute is decided by.
        await discard([...before.flatMap(addresses).filter((hash) => hash !== "" && !now.has(hash)), ...(await purgeSlots(ports, tenant, run, below, disputed === null ? "*" : attempt))]);
        context.slotBytes.set(run, (context.slotBytes.get(run) ?? 0) - bytes);
      });
      checkpointedTick = tick;
      await clearChecked();
    }

    /** Has drawn blocks of the ticks since the last checkpoint computed a second time; what they need is cleared when that has ended, and everything before it. */
    function afterChecks(outs: readonly ShardOut[], lastTick: number, clear: () => Promise<void>): void {
      const checks = second.check({ tick: checkpointedTick + 1, span: lastTick - checkpointedTick, outs });
      const over = { from: checkpointedTick + 1, tick: lastTick, isGivenUp: false, clear };
      if (checks === null && isChecked) return void ended.push(over);
      isChecked = false;
      const mine = checking = Promise.all([checking, checks]).then(([, checked]) => {
        counters.doubleRuns += checked?.asked ?? 0;
        counters.doubleRunsGivenUp += (checked?.asked ?? 0) - (checked?.answered ?? 0);
        over.isGivenUp = checked !== null && checked.answered < checked.asked;
        ended.push(over);
        isChecked = checking === mine;
      });
      checking.catch((error: unknown) => failure.reject(error));
    }

    /** Of a run that has come to its end nobody else misses commits that the log lost, and nodes cannot compute anything a second time without them. */
    async function checkingEnds(): Promise<void> {
      for (let isOver = false; !isOver; ) {
        const woken = new AbortController();
        isOver = await Promise.race([failure.promise, checking.then(() => true), clock.sleep(LIMITS.auditRepeats * LIMITS.tickOpenRepeatMs, woken.signal).then(() => false, () => false)]);
        woken.abort(null);
        if (!isOver) await commits.reconcile(true);
      }
    }

    /** The record first: whoever takes over goes on from a checkpoint that was checked, and finds there what it needs. */
    async function clearChecked(): Promise<void> {
      // A dispute that has just begun needs all that was said.
      if (begunDispute !== undefined) return;
      for (let over = ended.shift(); over !== undefined; over = ended.shift()) {
        const { from, tick, isGivenUp, clear } = over;
        const checked = { checkedTick: tick, uncheckedFrom: isGivenUp && record.uncheckedFrom < 0 ? from : record.uncheckedFrom };
        // The last ones are written with the end of the run.
        if (tick < plan.ticks - 1) await amend(checked);
        else record = { ...record, ...checked };
        await clear();
      }
    }

    /** Writes a change of the record; what the failure of a node has changed meanwhile stays. */
    async function amend(changes: Partial<RunRecord>): Promise<void> {
      const before = record;
      const written = await changeRecord(context, { ...before, ...changes });
      record = record === before ? written : { ...written, unfit: record.unfit };
    }

    async function onSlot(entry: LogEntry): Promise<void> {
      try {
        const out = SHARD_OUT.decode(await bodyOf(entry.bytes, blobs, `slot ${entry.subject}`));
        if (out.run !== run || out.attempt !== attempt || out.shard >= shards.length) throw new PopulaceError("CORRUPT", `slot ${entry.subject} holds an output of run ${out.run}, attempt ${out.attempt}, shard ${out.shard}`, { run });
        checkShape(out, shape, shards[out.shard], covered[out.shard], isCoupled);
        const before = barrier;
        barrier = arrive(barrier, out);
        if (barrier === before) return;
        lastSlot = Math.max(lastSlot, entry.sequence);
        for (const key of failuresBy.keys()) if (key.startsWith(`${out.incarnation} `)) failuresBy.delete(key);
        tookMs[out.shard] = clock.monotonicMs() - openedMs;
        context.slotBytes.set(run, (context.slotBytes.get(run) ?? 0) + entry.bytes.length);
        if (barrier.missing === 0) complete.resolve();
      } catch (error) {
        // A slot cannot be filled twice: what is unreadable is computed again in another attempt.
        const isLoss = error instanceof PopulaceError && (error.code === "CORRUPT" || error.code === "NOT_FOUND");
        failure.reject(isLoss ? new AttemptLost(error.message, { cause: error }) : error);
      }
    }

    function onFailure(failed: NodeFailure): void {
      const { incarnation, code, message, tick, shard } = failed;
      if (failuresHeard.has(`${incarnation} ${failed.number}`)) return;
      failuresHeard.add(`${incarnation} ${failed.number}`);
      isSuspect ||= code === "CORRUPT" || code === "NOT_FOUND";
      const failures = (failuresBy.get(`${incarnation} ${code}`) ?? 0) + 1;
      failuresBy.set(`${incarnation} ${code}`, failures);
      counters.nodeFailures += 1;
      const others = fitMembers().filter(([other]) => other !== incarnation);
      const decision = decideFailure(code, failures, others.length > 0, isJobPlan(plan));
      const error = new PopulaceError(code in ERROR_TABLE ? (code as ErrorCode) : "INTERNAL", message, { run, tick, shard, node: incarnation });
      logger.warn({ run, attempt, node: incarnation, code, message, decision }, "a node failed");
      if (decision === "freeze") {
        // With one of them alone nobody could say who else has a part in it.
        begunDispute ??= failed.outputs.length < 2 ? null : { attempt, tick, shard, outputs: failed.outputs };
        failure.reject(error);
      } else if (decision === "fail") failure.reject(error);
      else if (decision === "repair") failure.reject(new AttemptLost(message, { cause: error }));
      else if (decision === "elsewhere" || decision === "unfit") {
        counters.nodesUnfit += 1;
        mustReplace = true;
        if (decision === "unfit") record = { ...record, unfit: [...record.unfit, incarnation] };
        else {
          // All have had their turn: they have it again.
          if (others.every(([other]) => avoided.has(other))) avoided.clear();
          avoided.add(incarnation);
        }
      }
    }

    /** Waits until every slot of the span is filled. `isReplay`: nodes are beyond this tick, so what is not there is lost. */
    async function gather(open: TickOpen, isReplay: boolean): Promise<void> {
      let current = open;
      // Slots that were filled before this barrier stood.
      for (const entry of await log.read(outSubject(tenant, run, attempt, open.tick, "*"))) await onSlot(entry);
      if (barrier.missing === 0) return;
      if (isReplay) {
        await Promise.race([failure.promise, Promise.resolve()]);
        throw new AttemptLost(`${barrier.missing} of ${shards.length} slots of committed tick ${open.tick} are gone`);
      }
      // The log keeps one TickOpen of each span for readers; nodes act on the bus, so its write overlaps with their work.
      const kept = log.append(openSubject(tenant, run, attempt), TICK_OPEN.encode(current));
      const done = Promise.race([Promise.all([complete.promise, kept]), failure.promise]);
      done.catch(() => {});
      const before = nodeExposures(), doneBefore = readLastCommit(store, tenant, run)?.exposures ?? 0;
      for (let repeats = 1; ; repeats += 1) {
        context.assertLeads();
        signal.throwIfAborted();
        bus.publish(openSubject(tenant, run, attempt), TICK_OPEN.encode(current));
        const woken = new AbortController();
        const outcome = await Promise.race([
          done.then(() => "complete" as const),
          context.viewed().then(() => "again" as const),
          clock.sleep(LIMITS.tickOpenRepeatMs, woken.signal).then(() => "again" as const, () => "again" as const),
        ]);
        woken.abort(null);
        if (outcome === "complete") return;
        // Inside a span the heartbeats tell how far the nodes are; of several runs at once they cannot tell which.
        const inside = context.isOnlyRun() ? Math.min(Math.max(0, nodeExposures() - before), planned.slice(open.tick, open.tick + open.span).reduce((sum, count) => sum + count, 0)) : 0;
        onProgress({ tick: open.tick, ticks: plan.ticks, exposures: doneBefore + (open.tick > committedTick ? inside : 0), exposuresTotal });
        const alive = context.membership().members;
        const isLost = (owner: string): boolean => record.unfit.includes(owner) || (!alive.has(owner) && (context.knowsMembers() || context.membership().dead.has(owner)));
        if (mustReplace || record.owners.some(isLost)) {
          mustReplace = false;
          await waitForNodes();
          const former = record.owners;
          await amend(placed(shards, true));
          counters.shardsRescued += record.owners.filter((owner, shard) => owner !== former[shard]).length;
          current = { ...current, view: record.view };
          logger.warn({ run, attempt, view: record.view, tick: open.tick }, "shards have new owners");
        }
        counters.speculations += second.speculate(current, record.owners, tookMs, clock.monotonicMs() - openedMs);
        // Nodes that wait for a commit which the log no longer has would wait for ever.
        if (repeats % LIMITS.auditRepeats === 0) await commits.reconcile(true);
        else if (repeats % LIMITS.auditRepeats === 2) await refillFromLog(open);
      }
    }

    /** A follower that missed an entry is healed by reading. */
    async function refillFromLog(open: TickOpen): Promise<void> {
      for (const entry of await log.read(outSubject(tenant, run, attempt, open.tick, "*"))) await onSlot(entry);
    }

    function nodeExposures(): number {
      return [...context.membership().members.values()].reduce((sum, member) => sum + member.heartbeat.exposures, 0);
    }

    /** Whether this run is to make room by a checkpoint; waits while another one does. */
    async function slotsAreFull(): Promise<boolean> {
      let decision = decideOpen(run, context.slotBytes, context.slotBytesMax());
      if (decision !== "open") {
        counters.opensDelayed += 1;
        logger.warn({ run, decision, slotBytes: Object.fromEntries(context.slotBytes) }, "slots are near their limit");
      }
      for (; decision === "wait"; decision = decideOpen(run, context.slotBytes, context.slotBytesMax())) await Promise.race([failure.promise, clock.sleep(LIMITS.runPollMs)]);
      return decision === "checkpoint";
    }

    /** What only this disk and the transport have stays little. A standby that says nothing of this run for a TTL is not waited for. */
    async function standbyCatchesUp(): Promise<void> {
      if (!isStandbyBehind(spanEnds, context.flushed())) return;
      counters.opensDelayed += 1;
      while (isStandbyBehind(spanEnds, context.flushed())) await Promise.race([failure.promise, clock.sleep(FLUSHED_POLL_MS)]);
    }

    /**
     * A frozen run is decided by a third computation, on the reference backend: the backend of a node that it and another contradict computes the run no
     * more. Where it contradicts both, it is made again, until two agree. The run goes on from the checkpoint that this attempt began at
     * if nobody that was contradicted had a part in it; otherwise it begins anew, for what they said before they were caught is worth no more. Whether
     * the dispute is decided.
     */
    async function judge(dispute: Dispute, outs: readonly ShardOut[], mine: readonly Commit[]): Promise<boolean> {
      const end = mine[0].tick + mine.length;
      for (const { bytes } of firstContradicted.size > 0 ? [] : await log.read(outSubject(tenant, run, dispute.attempt, mine[0].tick, dispute.shard))) {
        const out = SHARD_OUT.decode(await bodyOf(bytes, blobs, "a disputed output"));
        if (contradict(out, outs[out.shard])) firstContradicted = new Set([unfitBackend(out.incarnation, out.backend)]);
      }
      if (dispute.tick >= end && !(restsOnFalse && end > committedTick)) return false;
      const slots = (await log.read(outSubject(tenant, run, dispute.attempt, "*", "*"))).map((entry) => entry.bytes);
      // What third computations before this one came to, where they contradicted both.
      for (let before = dispute.attempt + 1; before < attempt; before += 1) slots.push(...(await log.read(outSubject(tenant, run, before, "*", dispute.shard))).map((entry) => entry.bytes));
      // Results by attempt: a node that erred may compute rightly when it is asked again.
      const contradicted = new Set<string>(), confirmed = new Set<string>(), disputing = new Map<string, string>();
      for (const bytes of [...slots, ...(await Promise.all(dispute.outputs.map((output) => blobs.get(output))))]) {
        if (bytes === null) continue;
        const out = SHARD_OUT.decode(await bodyOf(bytes, blobs, "a disputed output"));
        const author = unfitBackend(out.incarnation, out.backend), isContradicted = contradict(out, outs[out.shard]);
        if (isContradicted) contradicted.add(author);
        if (out.shard !== dispute.shard || dispute.tick < out.tick || dispute.tick >= out.tick + out.span) continue;
        const result = `${out.attempt} ${author}`;
        disputing.set(result, author);
        if (!isContradicted) confirmed.add(result);
      }
      const others = [...disputing].filter(([result]) => !confirmed.has(result)).map(([, author]) => author);
      if (others.length > 1 && confirmed.size === 0) {
        const error = new PopulaceError("DIVERGENCE", `run ${short}, shard ${dispute.shard}, tick ${dispute.tick}: three computations came to three results; resolve it again`, { run, tick: dispute.tick, shard: dispute.shard });
        throw new AttemptLost("the third computation contradicts both of those that disagree", { cause: error });
      }
      // Both may have gone on from a state that was false already.
      const liars = others.length > 1 && firstContradicted.size > 0 ? firstContradicted : new Set(others);
      logger.error({ run, tick: mine[0].tick, liars: [...liars], alsoContradicted: [...contradicted].filter((author) => !liars.has(author)), committedFalsely: restsOnFalse, alarm: "dispute decided" }, "the reference backend has decided; who was contradicted is quarantined for this run and those that begin later, until it starts anew");
      const decided = { ...record, dispute: null, unfit: [...new Set([...record.unfit, ...liars])], execution: { ...execution, backend: record.wanted.backend ?? "auto" } };
      const checkpoint = base.start === 0 ? null : committedAt(base.start - 1);
      const isSound = contradicted.size === 0 ? !restsOnFalse : checkpoint !== null && !checkpoint.authors.some((author) => contradicted.has(author));
      if (isSound && !restsOnFalse) {
        record = await changeRecord(context, decided);
        return true;
      }
      const kept = isSound ? readCommits(store, tenant, run).slice(0, base.start) : [];
      await takeBack(decided, attempt + 1, kept);
      throw new AttemptLost(`the run ${kept.length === 0 ? "begins anew" : `goes on from tick ${record.tick}`} without what was contradicted`);
    }

    async function sealInputs(tick: number, span: number): Promise<readonly string[]> {
      return Promise.all(Array.from({ length: span }, async (_, offset) => {
        const input = { run, tick: tick + offset, eventIds: [] };
        const result = await log.fill(inputSubject(tenant, run, tick + offset), INPUT.encode(input));
        return inputHashOf(result.filled ? input : INPUT.decode(result.stored), sha256);
      }));
    }

    /** The blob address of what a job came to, which its one leaf names. */
    async function outputOf(leaves: Uint8Array): Promise<string> {
      const hash = toHex(leaves.subarray(0, leaves.length / 2));
      if (!(await blobs.has(hash))) throw new AttemptLost(`the output ${hash} of the job was reported and is not in the blob store`);
      return hash;
    }

    /** The blob addresses of all states in block order; every one must be there before the commit names it. */
    async function checkpointManifest(outs: readonly ShardOut[]): Promise<readonly string[]> {
      const manifest = outs.flatMap((out, index) => {
        if (out.states.length !== shards[index].count * 32) throw new AttemptLost(`shard ${out.shard} at tick ${out.tick}: ${out.states.length} bytes of state addresses, expected ${shards[index].count * 32}`);
        return Array.from({ length: shards[index].count }, (_, block) => toHex(out.states.subarray(block * 32, block * 32 + 32)));
      });
      for (const hash of new Set(manifest)) if (!(await blobs.has(hash))) throw new AttemptLost(`block state ${hash} was reported as checkpointed and is not in the blob store`);
      return manifest;
    }
  }

  interface Base {
    readonly start: number;
    readonly sums: Float64Array;
    /** Ticks whose checkpoints are written again on the way, because the newest one was lost. */
    readonly healed: readonly number[];
    /** Ticks of the checkpoints whose blobs the next one makes superfluous. */
    readonly checkpoints: number[];
  }

  /**
   * After the newest checkpoint that is whole, whose double runs have ended and before which no dispute lies, with the sums up to it; after the last tick
   * when all is committed and checked; else tick 0. Checkpoints after it are written again on the way.
   */
  async function startingPoint(): Promise<Base> {
    const last = readLastCommit(store, tenant, run);
    const atBeginning = { start: 0, sums: new Float64Array(sumsLength(shape)) };
    if (last === null) return { ...atBeginning, healed: [], checkpoints: [] };
    const isBeforeDispute = (tick: number): boolean => record.dispute === null || tick < record.dispute.tick;
    if (last.tick === plan.ticks - 1 && record.checkedTick >= last.tick && isBeforeDispute(last.tick) && await soundSums(last) !== null) return { healed: [], checkpoints: [], start: plan.ticks, sums: new Float64Array(0) };
    let checked = Math.min(record.checkedTick, last.tick);
    while (checked >= 0 && committedAt(checked).checkpoint.length === 0) checked -= 1;
    const later = checkpointsAfter(checked, last.tick);
    if (checked >= 0 && isBeforeDispute(checked)) {
      const newest = committedAt(checked);
      if (newest.checkpoint.length === blocks.length && await isWhole([...new Set(newest.checkpoint)])) {
        const sums = await soundSums(newest);
        record = { ...record, ...checkedTo(checked) };
        if (sums !== null) return { start: checked + 1, sums: new Float64Array(new Uint8Array(sums).buffer), healed: later, checkpoints: [checked, ...later] };
      }
      counters.checkpointsLost += 1;
      logger.error({ run, tick: checked, alarm: "checkpoint lost" }, "the newest checkpoint is incomplete; the run is recomputed from its beginning, and the checkpoint written again");
    }
    record = { ...record, ...checkedTo(-1) };
    const all = [...checkpointsAfter(-1, checked), ...later];
    return { ...atBeginning, healed: all, checkpoints: [...all] };
  }

  /** What comes after `tick` is checked anew. */
  function checkedTo(tick: number): Pick<RunRecord, "checkedTick" | "uncheckedFrom"> {
    return { checkedTick: tick, uncheckedFrom: record.uncheckedFrom > tick ? -1 : record.uncheckedFrom };
  }

  /** `isDoubted`: nodes cannot use what is there. */
  async function restorePlan(isDoubted = isSuspect): Promise<void> {
    if (!(await isWhole([record.spec.planHash], isDoubted))) await blobs.put(encodePlan(plan));
  }

  /** Of a run that a later leader began anew this disk may hold nothing any more: STALE_TERM then, or UNAVAILABLE until this coordinator knows of that leader. */
  function committedAt(tick: number): Commit {
    const commit = readCommit(store, tenant, run, tick);
    if (commit !== null) return commit;
    context.assertLeads();
    throw new PopulaceError("UNAVAILABLE", `run ${short}: the commit of tick ${tick} has left this disk; the run was begun anew meanwhile`, { run, tick });
  }

  /** Committed ticks after `after`, to `last`, that have a checkpoint. */
  function checkpointsAfter(after: number, last: number): number[] {
    const ticks: number[] = [];
    for (let tick = after + 1; tick <= last; tick += 1) if (committedAt(tick).checkpoint.length > 0) ticks.push(tick);
    return ticks;
  }

  /** The sums a commit names; null when they are lost or damaged. */
  async function soundSums({ sums }: Commit): Promise<Uint8Array | null> {
    return sums === "" ? null : blobOrCopy(ports, sums);
  }

  /** Whether all blobs are there and, where one may be damaged, sound; a damaged one is removed, so that it can be written again. */
  async function isWhole(hashes: readonly string[], isDoubted = isSuspect): Promise<boolean> {
    let whole = true;
    for (const hash of hashes) {
      if (hash === "" || !(await blobs.has(hash))) whole = false;
      else if (isDoubted) {
        await blobs.get(hash).catch(async (error: unknown) => {
          if (!(error instanceof PopulaceError) || error.code !== "CORRUPT") throw error;
          whole = false;
          await blobs.remove(hash);
        });
      }
    }
    return whole;
  }

  /**
   * Of what was committed only `kept` counts from attempt `firstAttempt` on, committed anew: what other disks have of earlier ones leaves them once they
   * hear of it. Sealed inputs stay.
   */
  async function takeBack(changed: RunRecord, firstAttempt: number, kept: readonly Commit[]): Promise<void> {
    const { tick, root, exposures, backends } = kept.at(-1) ?? { tick: -1, root: run, exposures: 0, backends: [] };
    record = await changeRecord(context, { ...changed, firstAttempt, ...checkedTo(Math.min(changed.checkedTick, tick)), tick, root, exposures, backends });
    for (const body of await purgeSlots(ports, tenant, run)) await blobs.remove(body);
    for (const subject of [openSubject(tenant, run, "*"), commitSubject(tenant, run)]) await log.purge(subject, Number.MAX_SAFE_INTEGER);
    await store.transaction((tables) => {
      discardCommits(tables, tenant, run);
      for (const commit of kept) writeCommit(tables, tenant, { ...commit, attempt: firstAttempt, term }, true);
    });
    await store.flushed();
    commits = commitLog(context, record);
    expected = await commits.reconcile();
  }

  /**
   * A new attempt: shards, owners and execution for the nodes there are. A disputed run keeps its shards, and the reference backend computes it. Otherwise,
   * in a cluster, commits after `checkedTick` count no more, for they are computed anew: other disks may hold false ones that COMMIT forgot before their double runs.
   */
  async function begin(checkedTick: number): Promise<void> {
    if (record.state !== "planned") {
      const attempt = record.attempt + (record.state === "running" ? 1 : 0);
      record = await changeRecord(context, { ...record, state: transition(record.state, "planned"), attempt, code: "", reason: "" });
    }
    if (!context.isAlone && record.dispute === null && record.firstAttempt < record.attempt) await takeBack(record, record.attempt, readCommitsAfter(store, tenant, run, -1, checkedTick));
    await waitForNodes();
    disputants = record.dispute === null ? [] : await nodesOf(record.dispute.outputs);
    const members = fitMembers().map(([, member]) => member.heartbeat);
    const measured = members.every((member) => member.exposuresPerSecond > 0);
    const execution = resolveExecution(plan, record.wanted, { workers: members.reduce((sum, member) => sum + member.workers, 0), exposuresPerSecond: measured ? members.reduce((sum, member) => sum + member.exposuresPerSecond, 0) : 0, slotBytesMax: context.slotBytesMax() });
    const isJudged = record.dispute !== null && record.execution !== null;
    const shards = isJudged ? record.shards : shardMap(blocks.map(costOf), execution.shards);
    record = await changeRecord(context, {
      ...record, state: transition("planned", "running"), shards, execution: isJudged ? { ...record.execution!, backend: "reference" } : execution,
      ...placed(shards, false), code: "", reason: "",
    });
  }

  async function nodesOf(outputs: readonly string[]): Promise<readonly string[]> {
    const bodies = await Promise.all(outputs.map((output) => blobs.get(output)));
    return bodies.flatMap((bytes) => (bytes === null ? [] : [SHARD_OUT.decode(bytes).incarnation]));
  }

  function fitMembers(): [string, Member][] {
    return [...context.membership().members].filter(([, { heartbeat }]) => isFit(record, heartbeat, backendWanted(plan, record)) && mayCompute(plan, heartbeat)).toSorted(([left], [right]) => (left < right ? -1 : 1));
  }

  /**
   * Who computes which shard now. In the middle of a tick only what lost its owner moves. A run of one shard goes to the node that has least of
   * such runs. The view grows with every change, for nodes read the record again when it does.
   */
  function placed(shards: readonly Shard[], isMidTick: boolean): Pick<RunRecord, "owners" | "view"> {
    const before = record.owners.length === shards.length ? record.owners : null;
    const nodes = candidates();
    const isLost = before === null || !nodes.some((node) => node.incarnation === before[0]);
    const takers = shards.length === 1 && isLost ? leastBusy(nodes, [...context.wholeOn].flatMap(([other, owner]) => (other === run ? [] : [owner]))) : nodes;
    const next = place(run, costsOf(shards), takers, before, isMidTick);
    if (shards.length === 1) context.wholeOn.set(run, next[0]);
    willing = willingNodes(nodes);
    return { owners: next, view: Math.max(context.nextView(), record.view + 1) };
  }

  /** The nodes to place among, with the speeds to place by. */
  function candidates(): readonly Candidate[] {
    const fit = fitMembers();
    const preferred = fit.filter(([incarnation]) => !disputants.includes(incarnation)), best = preferred.filter(([incarnation]) => !avoided.has(incarnation));
    const nodes = [best, preferred].find((some) => some.length > 0) ?? fit;
    weights = steadyWeights(weights, weightsOf(plan, nodes.map(([, { heartbeat }]) => heartbeat)));
    return nodes.map(([incarnation, member]) => ({ incarnation, weight: weights.get(incarnation)!, isDraining: isDraining(member) }));
  }

  function costsOf(shards: readonly Shard[]): number[] {
    return shards.map((shard) => blocks.slice(shard.first, shard.first + shard.count).reduce((sum, block) => sum + costOf(block), 0));
  }

  async function waitForNodes(): Promise<void> {
    const deadline = clock.monotonicMs() + LIMITS.nodeWaitMs;
    while (fitMembers().length === 0) {
      signal.throwIfAborted();
      context.assertLeads();
      // The last one failed while another that was gone still counted.
      const members = [...context.membership().members.keys()];
      if (clock.monotonicMs() > deadline && members.length > 0 && members.every((incarnation) => record.unfit.includes(incarnation))) {
        throw new PopulaceError("INTERNAL", `run ${short}: every node there is has failed at it; see their logs, and resume the run when they are mended`, { run, node: members[0] });
      }
      // Never placed: said at once, and not only when somebody wonders why nothing happens.
      if (record.shards.length === 0) checkNodes(plan, [...context.membership().members.values()].map(({ heartbeat }) => heartbeat));
      if (context.isAlone && clock.monotonicMs() > deadline) throw new PopulaceError("UNAVAILABLE", `no node joined tenant ${tenant} within ${LIMITS.nodeWaitMs / 1000} s; start one`, { tenant, run, node: "" });
      await clock.sleep(5);
    }
  }

  async function finish(): Promise<RunRecord> {
    const last = committedAt(plan.ticks - 1);
    let checkpointed = last;
    while (checkpointed.checkpoint.length === 0 && checkpointed.tick > 0) checkpointed = committedAt(checkpointed.tick - 1);
    if (record.state === "submitted") record = { ...record, state: transition(record.state, "planned") };
    if (record.state === "planned") record = { ...record, state: transition(record.state, "running") };
    // Where a standby lives, nothing is called done that only this disk and the transport have.
    while (context.flushed().length > 0 && !context.flushed().some((tick) => tick >= last.tick)) await clock.sleep(FLUSHED_POLL_MS);
    // What is done is read from COMMIT by everybody: it is whole then, and what it names is on this disk too.
    if (!context.isAlone) {
      await commits.reconcile(true);
      if ((await soundSums(last)) === null || !(await keepCopy(ports, last.sums))) throw new AttemptLost("the sums of the run are gone from the blob store");
    }
    // Done on this disk, and the registry did not answer when it was told.
    if (record.state === "done") record = await changeRecord(context, record);
    else {
      // Nobody asks any more who computed what; of thousands of runs it is most of what their records hold.
      record = { ...record, shards: [], owners: [] };
      await change("done", "", "");
    }
    stopNodes("done");
    // What it was made of is no longer needed; another run of the same files keeps them.
    if (isJobPlan(plan)) await store.transaction((tables) => markGarbage(tables, tenant, inputParts(plan)));
    await discard([...checkpointed.checkpoint, checkpointed.sums].filter((hash) => hash !== "" && hash !== last.sums));
    logger.info({ run, attempt: record.attempt, root: record.root, exposures: record.exposures, seconds: record.seconds }, "run done");
    return record;
  }

  async function discard(hashes: readonly string[]): Promise<void> {
    if (hashes.length === 0) return;
    if (context.isOnlyRun()) for (const hash of new Set(hashes)) await blobs.remove(hash);
    else await store.transaction((tables) => markGarbage(tables, tenant, hashes));
  }

  async function change(state: RunState, code: string, reason: string): Promise<void> {
    const last = readLastCommit(store, tenant, run);
    record = await changeRecord(context, {
      ...record, ...(state === "frozen" && begunDispute !== undefined ? { dispute: begunDispute } : {}), state: transition(record.state, state), code, reason, seconds: seconds(),
      ...(last === null ? {} : { tick: last.tick, root: last.root, exposures: last.exposures, backends: last.backends }),
    });
  }

  function stopNodes(reason: string, attempt = record.attempt): void {
    bus.publish(stopSubject(tenant, run, attempt), RUN_STOP.encode({ run, attempt, term, reason }));
  }

  /**
   * A run that is to be paused or canceled computes no further from now on: the record takes a disk and three requests. Nodes remember nothing of it,
   * for until the record is written a later leader goes on with the attempt.
   */
  function haltNodes(): void {
    const { reason } = signal;
    if (!(reason instanceof PopulaceError) || reason.code !== "INTERRUPTED") return;
    bus.publish(haltSubject(tenant, run, record.attempt), RUN_STOP.encode({ run, attempt: record.attempt, term, reason: "" }));
  }

  async function settle(error: unknown): Promise<void> {
    const { code, details } = error instanceof PopulaceError ? error : new PopulaceError("INTERNAL", String(error));
    const state = stateAfter(code, details["canceled"] === true);
    // What a port could not do now it may do later; a node's own failure names the node.
    const isOutage = (code === "UNAVAILABLE" || code === "STORE_FAILED") && details["node"] === undefined && !context.isAlone;
    if (state === null || isOutage) return;
    if (state === "frozen") counters.divergences += 1;
    logger[state === "paused" ? "info" : "error"]({ run, attempt: record.attempt, code, message: String(error) }, `run ${state}`);
    // The record first: a stop that nobody remembers would have the nodes refuse the attempt that a later leader continues.
    if (state === "frozen" && record.state === "submitted") record = { ...record, state: transition(record.state, "planned") };
    for (;;) {
      try {
        await change(state, code, error instanceof Error ? error.message : String(error));
        break;
      } catch (cause) {
        // Nobody drives it any more, and whoever waits for it reads the registry.
        if (context.isAlone || !(cause instanceof PopulaceError) || (cause.code !== "UNAVAILABLE" && cause.code !== "STORE_FAILED")) throw cause;
        context.assertLeads();
        await clock.sleep(LIMITS.runPollMs);
      }
    }
    stopNodes(state);
  }
}

/** Whether two commits of one tick agree in their root and, where both have a checkpoint, in its states. */
const isSame = (one: Commit, other: Commit): boolean =>
  one.root === other.root && (one.checkpoint.length === 0 || other.checkpoint.length === 0 || one.checkpoint.every((hash, block) => hash === other.checkpoint[block]));

/** Whether two outputs of one shard differ at a tick that both cover, or in the states after the tick that both end with. */
function contradict(one: ShardOut, other: ShardOut): boolean {
  const row = (out: ShardOut, tick: number): Uint8Array => out.hashes.subarray(((tick - out.tick) * out.hashes.length) / out.span, ((tick - out.tick + 1) * out.hashes.length) / out.span);
  for (let tick = Math.max(one.tick, other.tick); tick < Math.min(one.tick + one.span, other.tick + other.span); tick += 1) if (Buffer.compare(row(one, tick), row(other, tick)) !== 0) return true;
  return one.tick + one.span === other.tick + other.span && one.states.length > 0 && other.states.length > 0 && Buffer.compare(one.states, other.states) !== 0;
}

/** Forgets what earlier attempts of a run committed, here and in the log. */
export async function forgetRun(ports: Ports & { readonly store: Store }, tenant: string, run: string): Promise<void> {
  for (const body of await purgeSlots(ports, tenant, run)) await ports.blobs.remove(body);
  await ports.log.purge(`pop.${tenant}.${run}.>`, Number.MAX_SAFE_INTEGER);
  await ports.store.transaction((tables) => discardCommits(tables, tenant, run));
}

/** Removes the ShardOuts of a run, or of one attempt of it, with a sequence below `below`; returns the addresses of bodies that lie in the blob store. */
export async function purgeSlots(ports: Pick<Ports, "log">, tenant: string, run: string, below = Number.MAX_SAFE_INTEGER, attempt: number | "*" = "*"): Promise<readonly string[]> {
  const filter = outSubject(tenant, run, attempt, "*", "*");
  const bodies = (await ports.log.read(filter, { limit: Number.MAX_SAFE_INTEGER })).filter((entry) => entry.sequence < below).map((entry) => referenceIn(entry.bytes)).filter((blob) => blob !== null);
  await ports.log.purge(filter, below);
  return bodies;
}

const willingNodes = (nodes: readonly Candidate[]): string => nodes.filter((node) => !node.isDraining).map((node) => node.incarnation).join(" ");

/** Exposures the schedule plans for one agent of each persona over the run. */
function exposuresPerAgent(plan: Plan): Float64Array {
  const personas = plan.personas.length;
  const sums = new Float64Array(personas);
  for (const scenario of plan.scenarios) {
    for (let slot = 0; slot < scenario.schedule.length; slot += 1) if (scenario.schedule[slot] >= 0) sums[slot % personas] += 1;
  }
  return sums;
}
