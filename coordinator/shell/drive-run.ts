import { ERROR_TABLE, PopulaceError, type ErrorCode } from "@populace/domain";
import { sha256, type LogEntry, type Logger, type Ports, type Store } from "@populace/io";
import {
  COMMIT, INPUT, LIMITS, NODE_FAILURE, RUN_RECORD, RUN_STOP, SHARD_OUT, SLOT_REFERENCE, TICK_OPEN,
  blocksOf, commitSubject, failSubject, inputHashOf, inputSubject, openSubject, outSubject, rootOf, runKey, schemaOf, stopSubject, sumsHashOf, toHex,
  type Commit, type ExecutionPlan, type Plan, type RunRecord, type RunState, type Shard, type ShardOut, type TickOpen,
} from "@populace/protocol";
import { arrive, openBarrier, type Barrier } from "../core/barrier.ts";
import { decideCommit, decideRefusedAppend } from "../core/commit.ts";
import { resolveExecution, spanAt } from "../core/execution.ts";
import { accumulate, checkShape, exposuresIn, exposuresPlanned, ledgerShape, overWorlds, personasOf, sumTick, sumsLength } from "../core/ledger.ts";
import { checkNodes, mayCompute, weightOf } from "../core/node-fit.ts";
import type { Membership } from "../core/membership.ts";
import { transition } from "../core/run.ts";
import { owners, shardMap } from "../core/shard-map.ts";
import { clearOutbox, markGarbage, readCommit, readCommits, readOutbox, readRow, readSums, readTerm, writeCommit, writeRow, writeSums, writeTerm, type RunRow } from "./run-store.ts";

/** What a run needs of the coordinator that drives it. */
export interface RunContext {
  readonly ports: Ports & { readonly store: Store };
  readonly tenant: string;
  readonly term: number;
  readonly logger: Logger;
  membership(): Membership;
  /** Whether this is the only run under way: then blobs that it no longer needs are removed at once. */
  isAlone(): boolean;
}

export interface RunProgressNow {
  readonly tick: number;
  readonly ticks: number;
  readonly exposures: number;
  readonly exposuresTotal: number;
}

/**
 * Takes a submitted run to its last tick. One attempt: it starts at the newest complete checkpoint, recomputes what was committed
 * after it (the roots must be the committed ones) and goes on. Resolves with the finished row. Rejects with the abort reason of
 * `signal` (the run is then paused), DIVERGENCE (frozen), STALE_TERM (untouched: another coordinator has it), or the failure of a
 * node (failed).
 */
export async function driveRun(
  context: RunContext,
  plan: Plan,
  submitted: RunRow,
  wanted: Partial<ExecutionPlan>,
  signal: AbortSignal,
  onProgress: (progress: RunProgressNow) => void,
): Promise<RunRow> {
  const { ports, tenant, term, logger } = context;
  const { bus, log, registry, blobs, store, clock } = ports;
  const { run } = submitted;
  const attempt = submitted.attempt;
  const coupled = plan.influence !== null;
  const shape = ledgerShape(plan);
  const startedMs = clock.monotonicMs();
  const planned = exposuresPlanned(plan);
  const exposuresTotal = planned.reduce((sum, count) => sum + count, 0);
  let row = submitted;

  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  const abort = (): void => failure.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  const stopFailures = bus.subscribe(failSubject(tenant, run, attempt), (_, bytes) => {
    const { code, message, tick, shard, incarnation } = NODE_FAILURE.decode(bytes);
    failure.reject(new PopulaceError(code in ERROR_TABLE ? (code as ErrorCode) : "INTERNAL", message, { run, tick, shard, node: incarnation }));
  });
  let stopFollowing = (): void => {};

  try {
    // Every wait inside reacts to `failure`, so nothing of the attempt goes on behind this await.
    return await attemptRun();
  } catch (error) {
    await settleFailed(error);
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    stopFailures();
    stopFollowing();
    bus.publish(stopSubject(tenant, run, attempt), RUN_STOP.encode({ run, attempt, term, reason: row.state }));
  }

  async function attemptRun(): Promise<RunRow> {
    await waitForNodes();
    const members = [...context.membership().members.values()].map((member) => member.heartbeat).filter((heartbeat) => mayCompute(plan, heartbeat));
    const workers = members.reduce((sum, member) => sum + member.workers, 0);
    const measured = members.every((member) => member.exposuresPerSecond > 0);
    const execution = resolveExecution(plan, wanted, { workers, exposuresPerSecond: measured ? members.reduce((sum, member) => sum + member.exposuresPerSecond, 0) : 0 });
    const blocks = blocksOf(plan);
    const perAgent = exposuresPerAgent(plan);
    const shards = shardMap(blocks.map((block) => block.agents * (plan.ticks + perAgent[block.persona])), execution.shards);
    const covered = shards.map((shard) => personasOf(plan, shard));
    await setState("planned", "", { execution });

    const fromLog = await reconcile();
    const { start, sums } = await startingPoint(blocks.length);
    let placement = { view: 0, owners: [] as readonly string[] };
    await place();
    await setState("running", "");
    await writeRecord();
    logger.info({ run, attempt, term, start, ...execution }, "run begins");

    let barrier: Barrier = openBarrier(0, 0, 0);
    let complete = Promise.withResolvers<void>();
    const onSlot = async (entry: LogEntry): Promise<void> => {
      try {
        const out = await readOut(entry.bytes);
        if (out.run !== run || out.attempt !== attempt || out.shard >= shards.length) throw new PopulaceError("CORRUPT", `slot ${entry.subject} holds an output of run ${out.run}, attempt ${out.attempt}, shard ${out.shard}`, { run });
        checkShape(out, shape, shards[out.shard], covered[out.shard], coupled);
        const before = barrier;
        barrier = arrive(barrier, out);
        if (barrier !== before && barrier.missing === 0) complete.resolve();
      } catch (error) {
        failure.reject(error);
      }
    };
    stopFollowing = log.follow(outSubject(tenant, run, attempt, "*", "*"), 0, onSlot);

    let root = start === 0 ? run : readCommit(store, tenant, run, start - 1)!.root;
    let appendedThrough = -1;
    let lastSequence = (await log.last(commitSubject(tenant, run)))?.sequence ?? 0;
    let exposuresDone = exposuresIn(sums, shape.columns);
    const backends = new Set(row.backends);
    for (let tick = start; tick < plan.ticks; ) {
      await Promise.race([failure.promise, Promise.resolve()]);
      const { span, checkpoint } = spanAt(execution, tick, plan.ticks);
      // Ticks that are committed already are recomputed to rebuild state; their checkpoint, if any, has been superseded.
      const wantsCheckpoint = checkpoint && tick + span - 1 > row.tick;
      const inputHashes = await sealInputs(tick, span);
      barrier = openBarrier(tick, span, shards.length);
      complete = Promise.withResolvers<void>();
      await openAndWait({ run, attempt, term, view: placement.view, tick, span, prevRoot: root, inputHash: inputHashes[0], checkpoint: wantsCheckpoint });

      const outs = barrier.outs as readonly ShardOut[];
      const commits: { commit: Commit; tickSums: Float64Array }[] = [];
      for (let offset = 0; offset < span; offset += 1) {
        const now = tick + offset;
        const { counts, sections, leaves } = sumTick(shape, outs, shards, offset, coupled);
        if (exposuresIn(counts, shape.columns) > planned[now]) {
          throw new PopulaceError("CORRUPT", `tick ${now}: ${exposuresIn(counts, shape.columns)} exposures were counted, ${planned[now]} were planned`, { run, tick: now });
        }
        const sumsHash = sumsHashOf(counts, sha256);
        const next = rootOf(root, now, inputHashes[offset], leaves, sumsHash, sha256);
        const isLast = offset === span - 1;
        const manifest = isLast && wantsCheckpoint ? await checkpointManifest(outs, shards) : [];
        for (const out of outs) backends.add(out.backend);
        exposuresDone += exposuresIn(counts, shape.columns);
        const tickSums = overWorlds(shape, counts);
        commits.push({ commit: { run, attempt, term, tick: now, prevRoot: root, inputHash: inputHashes[offset], root: next, sumsHash, checkpoint: manifest, sections, tickSums, sums: "", exposures: exposuresDone, backends: [...backends].toSorted(), seconds: submitted.seconds + (clock.monotonicMs() - startedMs) / 1000 }, tickSums });
        accumulate(sums, counts);
        root = next;
      }
      await commitSpan(commits);
      tick += span;
      onProgress({ tick, ticks: plan.ticks, exposures: exposuresDone, exposuresTotal });
    }
    const garbage = row.checkpointTick < 0 ? [] : readCommit(store, tenant, run, row.checkpointTick)!.checkpoint;
    await store.transaction((tables) => clearOutbox(tables, tenant, run, appendedThrough));
    await setState("done", "", { checkpointTick: -1 });
    await writeRecord();
    await discard(garbage);
    logger.info({ run, attempt, root, exposures: row.exposures, seconds: row.seconds }, "run done");
    return row;

    /** ONE transaction, then disk, then the COMMIT log. */
    async function commitSpan(span: readonly { readonly commit: Commit; readonly tickSums: Float64Array }[]): Promise<void> {
      const previousCheckpoint = row.checkpointTick;
      const fresh: Commit[] = [];
      row = await store.transaction((tables): RunRow => {
        let end = readRow(tables, tenant, run)!;
        const storedTerm = readTerm(tables, tenant);
        for (const { commit, tickSums } of span) {
          const committed = commit.tick <= end.tick ? readCommit(tables, tenant, run, commit.tick)!.root : null;
          // In the COMMIT log and not here: the store is behind; the same root is written again.
          const logged = fromLog.get(commit.tick)?.root ?? commit.root;
          const decision = logged !== commit.root ? { kind: "divergence" as const, committedRoot: logged } : decideCommit(end, storedTerm, committed, commit);
          if (decision.kind === "known") continue;
          if (decision.kind === "stale-term") throw new PopulaceError("STALE_TERM", `run ${run.slice(0, 12)}, tick ${commit.tick}: this coordinator has term ${term}, term ${decision.storedTerm} has written here; it steps down`, { run, term, storedTerm: decision.storedTerm });
          if (decision.kind === "divergence") throw new PopulaceError("DIVERGENCE", `run ${run.slice(0, 12)}, tick ${commit.tick}: computed root ${commit.root.slice(0, 16)}, committed root ${decision.committedRoot.slice(0, 16)}; the run is frozen, begin it anew with --fresh`, { run, tick: commit.tick, computed: commit.root, committed: decision.committedRoot });
          if (decision.kind === "out-of-order") throw new PopulaceError("INTERNAL", `run ${run}: commit of tick ${commit.tick} where ${decision.expectedTick} was expected`, { run });
          writeCommit(tables, tenant, commit, tickSums);
          fresh.push(commit);
          end = { ...end, tick: commit.tick, root: commit.root, checkpointTick: commit.checkpoint.length > 0 ? commit.tick : end.checkpointTick };
        }
        if (fresh.length === 0) return end;
        writeTerm(tables, tenant, term);
        // Large, and rebuilt by every new attempt from its checkpoint on: so they are written where an attempt may start, and at the end.
        if (end.checkpointTick === end.tick || end.tick === plan.ticks - 1) writeSums(tables, tenant, run, { through: end.tick, counts: sums });
        clearOutbox(tables, tenant, run, appendedThrough);
        end = { ...end, backends: [...backends].toSorted(), exposures: exposuresDone, seconds: submitted.seconds + (clock.monotonicMs() - startedMs) / 1000 };
        writeRow(tables, tenant, end);
        return end;
      });
      if (fresh.length === 0) return;
      await store.flushed();
      for (const commit of fresh) {
        if (!fromLog.has(commit.tick)) lastSequence = await appendCommit(commit, lastSequence);
        appendedThrough = commit.tick;
      }
      if (row.checkpointTick !== previousCheckpoint) {
        // Nobody reads below a complete checkpoint: what came before leaves the slots and the blob store.
        const before = previousCheckpoint < 0 ? [] : readCommit(store, tenant, run, previousCheckpoint)!.checkpoint;
        const now = new Set(readCommit(store, tenant, run, row.checkpointTick)!.checkpoint);
        await discard([...before.filter((hash) => !now.has(hash)), ...(await purgeSlots(ports, tenant, run))]);
      }
    }

    async function openAndWait(open: TickOpen): Promise<void> {
      let current = open;
      // Slots that were filled before this barrier stood.
      for (const entry of await log.read(outSubject(tenant, run, attempt, open.tick, "*"))) await onSlot(entry);
      // The log keeps one TickOpen of each span for readers; nodes act on the bus, so its write overlaps with their work.
      const kept = log.append(openSubject(tenant, run, attempt), TICK_OPEN.encode(current));
      const done = Promise.race([Promise.all([complete.promise, kept]), failure.promise]);
      const before = nodeExposures();
      for (;;) {
        bus.publish(openSubject(tenant, run, attempt), TICK_OPEN.encode(current));
        const woken = new AbortController();
        const outcome = await Promise.race([done.then(() => "complete" as const), clock.sleep(LIMITS.tickOpenRepeatMs, woken.signal).then(() => "again" as const, () => "again" as const)]);
        woken.abort();
        if (outcome === "complete") return;
        // Inside a span the heartbeats tell how far the nodes are; of several runs at once they cannot tell which.
        const inside = context.isAlone() ? Math.min(Math.max(0, nodeExposures() - before), planned.slice(open.tick, open.tick + open.span).reduce((sum, count) => sum + count, 0)) : 0;
        onProgress({ tick: open.tick, ticks: plan.ticks, exposures: exposuresDone + (open.tick > row.tick ? inside : 0), exposuresTotal });
        const alive = context.membership().members;
        if (!placement.owners.every((owner) => alive.has(owner))) {
          await place();
          await writeRecord();
          current = { ...current, view: placement.view };
          logger.warn({ run, attempt, view: placement.view, tick: open.tick }, "shards have new owners");
        }
      }
    }

    function nodeExposures(): number {
      return [...context.membership().members.values()].reduce((sum, member) => sum + member.heartbeat.exposures, 0);
    }

    async function place(): Promise<void> {
      await waitForNodes();
      const { view, members: current } = context.membership();
      const nodes = [...current].filter(([, { heartbeat }]) => mayCompute(plan, heartbeat)).map(([incarnation, { heartbeat }]) => ({ incarnation, weight: weightOf(plan, heartbeat) })).toSorted((left, right) => (left.incarnation < right.incarnation ? -1 : 1));
      placement = { view, owners: owners(shards, nodes) };
    }

    async function writeRecord(): Promise<void> {
      const key = runKey(tenant, run);
      const record: RunRecord = { run, spec: row.spec, attempt, view: placement.view, state: row.state, execution, shards: shards as Shard[], owners: placement.owners, reason: row.reason,
        number: row.number, label: "", priority: 0, firstAttempt: 1, term, change: 0, wanted, unfit: [], dispute: null, code: "", tick: row.tick, root: row.root, exposures: row.exposures, seconds: row.seconds, backends: row.backends };
      const bytes = RUN_RECORD.encode(record);
      for (;;) {
        const entry = await registry.get(key);
        const result = entry === null ? await registry.create(key, bytes) : await registry.update(key, bytes, entry.revision);
        if (result.ok) return;
      }
    }
  }

  async function waitForNodes(): Promise<void> {
    const deadline = clock.monotonicMs() + LIMITS.nodeWaitMs;
    while (![...context.membership().members.values()].some(({ heartbeat }) => mayCompute(plan, heartbeat))) {
      if (row.state === "submitted") checkNodes(plan, [...context.membership().members.values()].map(({ heartbeat }) => heartbeat));
      if (signal.aborted) throw signal.reason;
      if (clock.monotonicMs() > deadline) throw new PopulaceError("UNAVAILABLE", `no node joined tenant ${tenant} within ${LIMITS.nodeWaitMs / 1000} s; start one`, { tenant, run });
      await clock.sleep(5);
    }
  }

  /** Completes whichever of store and COMMIT log is behind; returns what the log has and the store lacks. */
  async function reconcile(): Promise<ReadonlyMap<number, Commit>> {
    const subject = commitSubject(tenant, run);
    const last = await log.last(subject);
    let sequence = last?.sequence ?? 0;
    const logTick = last === null ? -1 : COMMIT.decode(last.bytes).tick;
    const missing = logTick < row.tick ? readCommits(store, tenant, run).filter((commit) => commit.tick > logTick) : [];
    for (const commit of missing) sequence = await appendCommit(commit, sequence);
    if (readOutbox(store, tenant, run).length > 0) await store.transaction((tables) => clearOutbox(tables, tenant, run, row.tick));
    if (logTick <= row.tick) return new Map();
    return new Map((await log.read(subject, { limit: plan.ticks + 1 })).map((entry) => COMMIT.decode(entry.bytes)).filter((commit) => commit.tick > row.tick).map((commit) => [commit.tick, commit]));
  }

  async function appendCommit(commit: Commit, expectedLast: number): Promise<number> {
    const subject = commitSubject(tenant, run);
    const result = await log.append(subject, COMMIT.encode(commit), expectedLast);
    if (result.appended) return result.sequence;
    const last = await log.last(subject);
    const decision = decideRefusedAppend(last === null ? null : COMMIT.decode(last.bytes), commit);
    if (decision === "done") return last!.sequence;
    if (decision === "append-missing") {
      const again = await log.append(subject, COMMIT.encode(commit), last?.sequence ?? 0);
      if (again.appended) return again.sequence;
    }
    if (decision === "divergence") throw new PopulaceError("DIVERGENCE", `run ${run.slice(0, 12)}, tick ${commit.tick}: the COMMIT log holds another root; the run is frozen`, { run, tick: commit.tick });
    throw new PopulaceError("STALE_TERM", `run ${run.slice(0, 12)}, tick ${commit.tick}: another coordinator with a higher term commits this run; this one (term ${term}) steps down`, { run, term });
  }

  /** After the newest checkpoint that is whole, with the sums up to it; after the last tick when all is committed; else tick 0. */
  async function startingPoint(blockCount: number): Promise<{ readonly start: number; readonly sums: Float64Array }> {
    const stored = readSums(store, tenant, run);
    if (stored !== null && stored.through === row.tick && row.tick === plan.ticks - 1) return { start: plan.ticks, sums: stored.counts };
    if (stored !== null && row.checkpointTick >= 0 && stored.through === row.checkpointTick) {
      const { checkpoint } = readCommit(store, tenant, run, row.checkpointTick)!;
      let whole = checkpoint.length === blockCount;
      for (const hash of new Set(checkpoint)) whole &&= await blobs.has(hash);
      if (whole) return { start: row.checkpointTick + 1, sums: stored.counts };
      logger.warn({ run, tick: row.checkpointTick }, "checkpoint incomplete, recomputing from tick 0");
    }
    return { start: 0, sums: new Float64Array(sumsLength(shape)) };
  }

  async function sealInputs(tick: number, span: number): Promise<readonly string[]> {
    return Promise.all(Array.from({ length: span }, async (_, offset) => {
      const input = { run, tick: tick + offset, eventIds: [] };
      const result = await log.fill(inputSubject(tenant, run, tick + offset), INPUT.encode(input));
      return inputHashOf(result.filled ? input : INPUT.decode(result.stored), sha256);
    }));
  }

  async function readOut(bytes: Uint8Array): Promise<ShardOut> {
    if (schemaOf(bytes) !== SLOT_REFERENCE.schema) return SHARD_OUT.decode(bytes);
    const { blob } = SLOT_REFERENCE.decode(bytes);
    const body = await blobs.get(blob);
    if (body === null) throw new PopulaceError("CORRUPT", `a slot refers to blob ${blob}, which does not exist`, { run, blob });
    return SHARD_OUT.decode(body);
  }

  /** The blob addresses of all states in block order; every one must be there before the commit names it. */
  async function checkpointManifest(outs: readonly ShardOut[], shards: readonly Shard[]): Promise<readonly string[]> {
    const manifest = outs.flatMap((out, index) => {
      if (out.states.length !== shards[index].count * 32) throw new PopulaceError("CORRUPT", `shard ${out.shard} at tick ${out.tick}: ${out.states.length} bytes of state addresses, expected ${shards[index].count * 32}; node ${out.incarnation} runs another version`, { run, shard: out.shard });
      return Array.from({ length: shards[index].count }, (_, block) => toHex(out.states.subarray(block * 32, block * 32 + 32)));
    });
    for (const hash of new Set(manifest)) {
      if (!(await blobs.has(hash))) throw new PopulaceError("CORRUPT", `block state ${hash} was reported as checkpointed and is not in the blob store`, { run, hash });
    }
    return manifest;
  }

  async function discard(hashes: readonly string[]): Promise<void> {
    if (hashes.length === 0) return;
    if (context.isAlone()) for (const hash of new Set(hashes)) await blobs.remove(hash);
    else await store.transaction((tables) => markGarbage(tables, tenant, hashes));
  }

  async function setState(state: RunState, reason: string, more: Partial<RunRow> = {}): Promise<void> {
    row = await store.transaction((tables) => {
      const current = readRow(tables, tenant, run)!;
      const next = { ...current, ...more, state: transition(current.state, state), reason, seconds: submitted.seconds + (clock.monotonicMs() - startedMs) / 1000 };
      writeRow(tables, tenant, next);
      return next;
    });
  }

  async function settleFailed(error: unknown): Promise<void> {
    const code = error instanceof PopulaceError ? error.code : "INTERNAL";
    if (code === "STALE_TERM") return;
    const canceled = error instanceof PopulaceError && error.details["canceled"] === true;
    const state: RunState = canceled ? "canceled" : code === "INTERRUPTED" ? "paused" : code === "DIVERGENCE" ? "frozen" : "failed";
    logger[state === "paused" ? "info" : "error"]({ run, attempt, code, message: String(error) }, `run ${state}`);
    await setState(state, error instanceof Error ? error.message : String(error));
  }
}

/** Removes the ShardOuts of a run; returns the addresses of bodies that lie in the blob store. */
export async function purgeSlots(ports: Pick<Ports, "log">, tenant: string, run: string): Promise<readonly string[]> {
  const filter = outSubject(tenant, run, "*", "*", "*");
  const bodies = (await ports.log.read(filter, { limit: Number.MAX_SAFE_INTEGER })).filter((entry) => schemaOf(entry.bytes) === SLOT_REFERENCE.schema).map((entry) => SLOT_REFERENCE.decode(entry.bytes).blob);
  await ports.log.purge(filter, Number.MAX_SAFE_INTEGER);
  return bodies;
}

/** Exposures the schedule plans for one agent of each persona over the run. */
function exposuresPerAgent(plan: Plan): Float64Array {
  const personas = plan.personas.length;
  const sums = new Float64Array(personas);
  for (const scenario of plan.scenarios) {
    for (let slot = 0; slot < scenario.schedule.length; slot += 1) if (scenario.schedule[slot] >= 0) sums[slot % personas] += 1;
  }
  return sums;
}
