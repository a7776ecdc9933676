/** The node process around `core/node.ts`: performs its effects over the ports and the workers, one run at a time per run. */
import { PopulaceError } from "@populace/domain";
import { type Logger, type Ports, sha256Hex, SILENT, type Stop } from "@populace/io";
import { chooseBackend } from "@populace/kernels/backends";
import {
  type Block, blocksOf, bodyOf, type Commit, COMMIT, commitSubject, decodePlan, drainSubject, failSubject, fitBody, haltSubject, HEARTBEAT, type Heartbeat, heartbeatSubject, inboxesOf, isBehaviorPlan, isJobPlan, JOB_BACKEND, LEADER_BEAT, leaderBeatSubject, LEAF_BYTES, LIMITS, NODE_FAILURE,
  openSubject, outSubject, type Plan, probeSubject, RECOMPUTE, recomputeSubject, RUN_RECORD, RUN_STOP, type RunRecord, runKey, type RunStop, type Shard, SHARD_OUT, type ShardOut, stopSubject, TICK_OPEN, type TickOpen,
  VIEW_RECORD, type ViewRecord, viewKey,
} from "@populace/protocol";
import { decodeBlockState } from "../behavior/block-state.ts";
import { BEHAVIOR_LIMITS } from "../behavior/limits.ts";
import { ProcessLost, startBehaviorPool } from "../behavior/pool.ts";
import type { Checkpoint } from "../core/checkpoint.ts";
import { freshNode, type NodeEffect, type NodeEvent, type NodeState, stepNode } from "../core/node.ts";
import { outOfUse } from "../core/out-of-use.ts";
import { assured, heard, isDead, look, mayFill, mayLeave, standing, type Standing } from "../core/self-preservation.ts";
import { assembleShardOut, type BlockHashes, type BlockMail, type ShardPart, spreadBlocks } from "../core/shard.ts";
import { type NodeJobs, startJobPool } from "./job-pool.ts";
import { secondComputations } from "./second-computation.ts";
import { timedPool } from "./timed-pool.ts";
import { KernelFailed, startWorkers, type WorkerPool } from "./worker-pool.ts";
import type { Inboxes } from "./worker-message.ts";

/** What a node is started with. */
export interface NodeOptions {
  readonly ports: Ports;
  /** Unique for every start of a process; letters, digits, "-" and "_". */
  readonly incarnation: string;
  /** Worker threads, at least 1. */
  readonly workers: number;
  readonly tenant?: string;
  readonly logger?: Logger;
  /** Kernel backend of runs that leave the choice open; default: the fastest there is. */
  readonly backend?: string;
  /** Runs behaviors, which are foreign code, in processes of their own; default: they are refused. */
  readonly allowBehaviors?: boolean;
  /** Functions of jobs, which are given to no node that does not name them; default: none. */
  readonly jobs?: NodeJobs;
  /** Who computes; default: worker threads of this process. */
  readonly startPool?: (size: number) => WorkerPool;
  /** How long a leader may be silent, as the coordinators have it; default LIMITS.leaseTtlMs. After half of it the node doubts what it knows. */
  readonly leaseTtlMs?: number;
}

/** A started node. */
export interface RunningNode {
  readonly incarnation: string;
  /** Resolves when the node has chosen its backend and measured it; BACKEND_MISSING when it was told to use one it has not. */
  readonly ready: Promise<{ readonly backend: string; readonly reason: string; readonly exposuresPerSecond: number }>;
  /** Exposures computed so far, over all runs, also inside unfinished spans. */
  exposures(): number;
  /** Resolves when the node has ended: it was stopped, it has drained, or it read itself dead in the view (then it is to be started as a new incarnation). */
  readonly ended: Promise<"stopped" | "drained" | "dead">;
  /**
   * Takes nothing new, keeps its shards until the next barrier gives them away, then leaves. Resolves when it has left: after LIMITS.drainMs
   * (`waitMs`) at the latest, and what it still owns then is restored elsewhere.
   */
  drain(waitMs?: number): Promise<void>;
  /** Says goodbye, stops the kernels within one block and ends the workers. */
  stop(): Promise<void>;
}

/** What stands in place of a kernel's backend where a behavior moves the agents. */
const BEHAVIOR_BACKEND = { backend: { name: "behavior", device: "processes of their own" }, reason: "the run has a behavior" };
/** And where a function computes. */
const FUNCTION_BACKEND = { backend: { name: JOB_BACKEND, device: "a thread of its own" }, reason: "the run is a job" };

const hasMail = (plan: Plan): boolean => isBehaviorPlan(plan) && plan.behavior.hasMessages;

/** What the shell keeps of a run beside the core's state: where its blocks are, how far the log was read, the last outputs. */
interface RunShell {
  readonly key: string;
  readonly pool: WorkerPool;
  readonly attempt: number;
  readonly plan: Plan;
  readonly blocks: readonly Block[];
  readonly control: Int32Array;
  readonly population: "stored" | "procedural";
  readonly backend: string;
  /** Whether the run or the node asked for a backend by name, not necessarily this one. */
  readonly isAskedFor: boolean;
  readonly workerOf: Map<number, number>;
  /** Commits of earlier attempts do not count. */
  readonly firstAttempt: number;
  commitSequence: number;
  outputs: readonly { readonly shard: number; readonly bytes: Uint8Array }[];
}

/**
 * Starts a node: it joins with its first heartbeat, answers TickOpens of its tenant by computing its shards on worker threads
 * and filling their slots, and restores shards that are given to it. Failures of one run are published (NodeFailure) and never
 * end the node.
 */
export function startNode(options: NodeOptions): RunningNode {
  const { ports, incarnation } = options;
  if (!Number.isInteger(options.workers) || options.workers < 1) {
    throw new PopulaceError("BAD_USAGE", `a node was asked to run ${options.workers} workers, expected an integer of 1 or more`, { workers: options.workers });
  }
  const tenant = options.tenant ?? "default", logger = options.logger ?? SILENT;
  const pool = timedPool((options.startPool ?? startWorkers)(options.workers), ports.clock);
  const behaviors = options.allowBehaviors === true ? startBehaviorPool(options.workers) : null;
  const jobs = options.jobs === undefined ? null : startJobPool(options.workers, options.jobs, ports.blobs);
  const runs = new Map<string, RunShell>();
  const mailboxes = new Map<string, Mailbox>();
  const inFlight = new Set<Promise<void>>();
  let backends: readonly string[] = [], backendReason = "", calibrated = 0, failures = 0;
  // Backends that failed and why: for every run, and for the one that did not fit.
  const lost = new Map<string, string>(), tooSmall = new Map<string, ReadonlyMap<string, string>>();
  // How often a run lost the process of its behavior.
  const losses = new Map<string, number>();
  let state: NodeState = freshNode(incarnation);
  let stopped = false;

  const exposuresPerSecond = (): number => pool.exposuresPerSecond() ?? calibrated;

  // What the node says of itself, and how late its last beat was.
  let said: Heartbeat["state"] = "up", loopLagMs = 0, beatMs = ports.clock.monotonicMs();
  const doubtMs = (options.leaseTtlMs ?? LIMITS.leaseTtlMs) / 2;
  let self: Standing = standing(ports.clock.monotonicMs());
  const ended = Promise.withResolvers<"stopped" | "drained" | "dead">();

  const exposures = (): number => pool.exposures() + (behaviors?.exposures() ?? 0);
  const beat = (): void => ports.bus.publish(heartbeatSubject(tenant, incarnation), HEARTBEAT.encode({
    incarnation, state: said, workers: options.workers, backends, backendReason, exposuresPerSecond: exposuresPerSecond(), memoryBytes: process.availableMemory(), exposures: exposures(), term: state.term, loopLagMs, allowsBehaviors: behaviors !== null, jobs: options.jobs?.names ?? [],
  }));

  /** One TickOpen of a run at a time; of those that come meanwhile only the newest is kept, for they repeat. */
  function deliver(run: string, event: Opened | Ended): void {
    const mailbox = mailboxes.get(run) ?? { next: null, stop: null, busy: false };
    mailboxes.set(run, mailbox);
    if (event.kind === "tickOpen") mailbox.next = event;
    else {
      // A halt that a stop overtook says nothing more.
      if (event.kind === "stop" || mailbox.stop === null) mailbox.stop = event;
      if (mailbox.next !== null && mailbox.next.open.attempt <= event.stop.attempt) mailbox.next = null;
    }
    if (mailbox.busy) return;
    const working = work(run, mailbox).finally(() => { inFlight.delete(working); });
    inFlight.add(working);
  }

  async function work(run: string, mailbox: Mailbox): Promise<void> {
    mailbox.busy = true;
    while (!stopped) {
      const event = mailbox.stop ?? mailbox.next;
      if (event === null) break;
      if (mailbox.stop !== null) mailbox.stop = null;
      else mailbox.next = null;
      const open = event.kind === "tickOpen" ? event.open : null;
      try {
        await handle(event);
      } catch (error) {
        const isPassedOn = await passOn(run, error);
        await handle({ kind: "failed", run }).catch(() => {});
        if (isPassedOn && event.kind === "tickOpen") mailbox.next ??= event;
        else if (open !== null && !stopped) report(open, error);
      }
    }
    mailbox.busy = false;
    if (mailbox.next === null && mailbox.stop === null) mailboxes.delete(run);
  }

  /**
   * Whether a run whose kernel failed can go on with another backend, which its repeated TickOpen then opens: from the last checkpoint or from tick
   * 0, as after the loss of a node. Says so on stderr as well, for the run is slower now than anybody expects.
   */
  async function passOn(run: string, error: unknown): Promise<boolean> {
    const shell = runs.get(run);
    if (shell === undefined || stopped) return false;
    if (error instanceof ProcessLost) {
      losses.set(run, (losses.get(run) ?? 0) + 1);
      logger.warn({ run, losses: losses.get(run), message: error.message }, "a behavior's process was lost");
      return losses.get(run)! <= BEHAVIOR_LIMITS.lossesMax;
    }
    if (!(error instanceof KernelFailed)) return false;
    const { backend, isAskedFor } = shell, whose = outOfUse(backend, error.code, isAskedFor);
    if (whose === "nobody") return false;
    if (whose === "run") tooSmall.set(run, new Map([...(tooSmall.get(run) ?? []), [backend, error.message]]));
    else await lose(backend, error.message);
    const next = (await chooseBackend("auto", "expose", unusable(run))).backend.name;
    const message = `run ${run.slice(0, 12)}: ${backend} failed (${error.message}); the run goes on with ${next} from its last checkpoint, or from its beginning, with the same result`;
    logger.warn({ run, code: error.code, backend, next }, message);
    process.emitWarning(message, "BackendFailed");
    return true;
  }

  /** Does without a backend from now on and measures the next one. */
  async function lose(backend: string, why: string): Promise<void> {
    if (lost.has(backend)) return;
    lost.set(backend, why);
    await calibrate().catch((error: unknown) => { logger.warn({ error: String(error) }, "node not calibrated"); });
  }

  const unusable = (run: string): ReadonlyMap<string, string> => new Map([...lost, ...(tooSmall.get(run) ?? [])]);

  /** Backends whose outputs for the run were contradicted. */
  const unfitHere = (record: RunRecord): readonly (readonly [string, string])[] =>
    record.unfit.filter((entry) => entry.startsWith(`${incarnation} `)).map((entry) => [entry.slice(incarnation.length + 1), "its outputs for this run were contradicted"]);

  /** Steps the core, performs what it asks and feeds back what came of it, until nothing is asked any more. */
  async function handle(first: NodeEvent): Promise<void> {
    const events: NodeEvent[] = [first];
    for (let event = events.shift(); event !== undefined; event = events.shift()) {
      const step = stepNode(state, event);
      state = step.state;
      for (const effect of step.effects) {
        const answer = await perform(effect);
        if (answer !== null) events.push(answer);
      }
    }
  }

  async function perform(effect: NodeEffect): Promise<NodeEvent | null> {
    switch (effect.kind) {
      case "load": return load(effect.open);
      case "readCommits": return readCommits(effect);
      case "restore": return restore(effect);
      case "compute": return compute(effect);
      case "refill": return refill(effect.open);
      case "release": return release(effect.run, effect.shards);
      case "drop": return drop(effect.run);
      case "report":
        report(effect.open, new PopulaceError(effect.code, effect.message, {}));
        return null;
      case "refuse":
        logger.warn({ run: effect.open.run, tick: effect.open.tick, code: effect.code, message: effect.message }, "TickOpen refused");
        return null;
    }
  }

  async function load(open: TickOpen): Promise<NodeEvent | null> {
    const entry = await ports.registry.get(runKey(tenant, open.run));
    if (entry === null) return null;
    const record = RUN_RECORD.decode(entry.bytes);
    // Not planned yet, or of another attempt: the TickOpen will be repeated.
    if (record.execution === null) return null;
    let shell = runs.get(open.run);
    if (shell === undefined || shell.attempt !== record.attempt) {
      const bytes = await ports.blobs.get(record.spec.planHash);
      if (bytes === null) throw new PopulaceError("NOT_FOUND", `run ${open.run}: its plan ${record.spec.planHash} is not in the blob store`, { run: open.run });
      // "auto" leaves the choice to each node, and it was made when it started.
      const wanted = record.execution.backend === "auto" ? (options.backend ?? "auto") : record.execution.backend;
      const plan = decodePlan(bytes);
      if (isBehaviorPlan(plan) && behaviors === null && !record.owners.includes(incarnation)) return null;
      if (isBehaviorPlan(plan) && behaviors === null) throw new PopulaceError("BEHAVIOR_REFUSED", `run ${open.run.slice(0, 12)} has a behavior, "${plan.behavior.name}"; node ${incarnation} was started without --allow-behaviors`, { run: open.run });
      if (isJobPlan(plan) && jobs === null) return null;
      const own = isBehaviorPlan(plan) ? { pool: behaviors!, chosen: BEHAVIOR_BACKEND } : isJobPlan(plan) ? { pool: jobs!, chosen: FUNCTION_BACKEND } : null;
      const { backend, reason } = own !== null ? own.chosen : await chooseBackend(wanted, "expose", new Map([...unusable(open.run), ...unfitHere(record)]));
      logger.info({ run: open.run, backend: backend.name, device: backend.device, reason }, "backend chosen");
      if (shell !== undefined) drop(open.run);
      const control = new SharedArrayBuffer(4);
      shell = {
        key: `${open.run}/${record.attempt}`, pool: own?.pool ?? pool, attempt: record.attempt, plan, blocks: blocksOf(plan), control: new Int32Array(control),
        population: record.execution.population, backend: backend.name, isAskedFor: wanted !== "auto", workerOf: new Map(), firstAttempt: record.firstAttempt, commitSequence: 0, outputs: [],
      };
      runs.set(open.run, shell);
      // It came while there was no kernel to stop.
      const waits = mailboxes.get(open.run)?.stop?.stop;
      if (waits !== undefined) stopKernels(shell, waits);
      for (let worker = 0; worker < pool.size; worker++) {
        shell.pool.tell(worker, { kind: "open", key: shell.key, plan, backend: shell.backend, population: shell.population, control });
      }
    }
    return { kind: "loaded", open, record, plan: shell.plan };
  }

  async function readCommits({ run, after, before }: Extract<NodeEffect, { kind: "readCommits" }>): Promise<NodeEvent> {
    const shell = shellOf(run);
    // A few more than are missing: a commit whose append was tried twice may be there twice.
    const entries = await ports.log.read(commitSubject(tenant, run), { after: shell.commitSequence, limit: before - after + 16 });
    // A log that lost what it had may number anew: from its beginning, then, what is known already is skipped.
    if (entries.length === 0) shell.commitSequence = 0;
    const commits: Commit[] = [];
    for (const { subject, sequence, bytes } of entries) {
      const commit = COMMIT.decode(await bodyOf(bytes, ports.blobs, `entry ${sequence} of ${subject}`));
      // What stands there from before the run began anew may go further than the run does now.
      const isCounted = commit.attempt >= shell.firstAttempt;
      if (isCounted && commit.tick >= before) break;
      shell.commitSequence = sequence;
      if (isCounted) commits.push(commit);
    }
    return { kind: "commits", run, commits };
  }

  /**
   * The states of a checkpoint are named by their hash, so the blob store's own check is the check of the state; what was
   * replayed on top of it is checked against the slot that covers the last replayed tick, where it is not purged yet.
   */
  async function restore(effect: Extract<NodeEffect, { kind: "restore" }>): Promise<NodeEvent> {
    const shell = shellOf(effect.run);
    const { checkpoint, climates, shards } = effect;
    const list = shards.flatMap((shard) => Array.from({ length: shard.count }, (_, i) => shard.first + i));
    const known = list.filter((block) => !shell.workerOf.has(block));
    for (const [block, worker] of spreadBlocks(shell.blocks, known, pool.size)) shell.workerOf.set(block, worker);
    const replayed = new Map<number, Uint8Array>(), wanted = new Set(list);
    const inboxes: Inboxes[] = [];
    if (hasMail(shell.plan)) for (let i = 0; i < climates.length; i++) inboxes.push(await inboxesAt(effect.run, shell, checkpoint.tick + 1 + i, checkpoint, wanted));
    await onWorkers(list, shell, async (worker, blocks) => {
      const states = await Promise.all(blocks.map(async (block) => ({ block, state: checkpoint.tick < 0 ? null : await stateBlob(effect.run, block, checkpoint.states[block]) })));
      const answer = await shell.pool.ask(worker, { kind: "hold", key: shell.key, blocks: states, replayFrom: checkpoint.tick + 1, climates, inboxes });
      if (answer.kind === "held") for (const { block, hashes } of answer.hashes) replayed.set(block, hashes);
    });
    for (const shard of shards) await checkReplay(effect.run, shell, shard, effect.tick - 1, replayed);
    return { kind: "restored", run: effect.run, shards, tick: effect.tick };
  }

  async function checkReplay(run: string, shell: RunShell, shard: Shard, tick: number, replayed: ReadonlyMap<number, Uint8Array>): Promise<void> {
    if (replayed.size === 0) return;
    const entries = await ports.log.read(outSubject(tenant, run, shell.attempt, "*", shard.index));
    for (const entry of entries.toReversed()) {
      const out = await shardOutOf(run, entry.bytes);
      if (out.tick > tick || out.tick + out.span <= tick || out.hashes.length !== out.span * shard.count * 64) continue;
      for (let i = 0; i < shard.count; i++) {
        const at = ((tick - out.tick) * shard.count + i) * 64;
        if (Buffer.compare(out.hashes.subarray(at, at + 64), replayed.get(shard.first + i)!) === 0) continue;
        const message = `run ${run}: block ${shard.first + i}, replayed to tick ${tick} on ${incarnation}, differs from what ${out.incarnation} computed`;
        if (isBehaviorPlan(shell.plan)) throw new PopulaceError("DIVERGENCE", message, { block: shard.first + i, tick });
        // Either may have erred. Computed once more from the checkpoint, the shard agrees with the slot, and is restored again; or both outputs are kept.
        logger.error({ run, block: shard.first + i, tick, node: out.incarnation }, "a block came out otherwise when it was replayed");
        const blocks = Array.from({ length: shard.count }, (_, index) => shard.first + index), view = state.runs.get(run)?.record.view ?? 0;
        second.ask({ run, attempt: shell.attempt, term: state.term, view, incarnation, backend: shell.backend, shard: shard.index, tick: out.tick, span: out.span, checkpoint: false, blocks });
        throw new PopulaceError("INTERRUPTED", message, { run });
      }
      return;
    }
  }

  async function stateBlob(run: string, block: number, hash: string): Promise<Uint8Array> {
    const bytes = await ports.blobs.get(hash);
    if (bytes === null) throw new PopulaceError("NOT_FOUND", `run ${run}: the checkpoint ${hash} of block ${block} is not in the blob store`, { run, block });
    return bytes;
  }

  /**
   * The messages that blocks get at a tick: what the outputs of the tick before hold for them, or, where that tick is the checkpoint's,
   * the states of the checkpoint, for its slots may be purged.
   */
  async function inboxesAt(run: string, shell: RunShell, tick: number, checkpoint: Checkpoint, wanted: ReadonlySet<number>): Promise<Inboxes> {
    if (tick === 0) return new Map();
    if (tick - 1 === checkpoint.tick) {
      const outboxes: Uint32Array[] = [];
      for (const [block, hash] of checkpoint.states.entries()) outboxes.push(decodeBlockState(await stateBlob(run, block, hash)).outbox);
      return inboxesOf(outboxes, wanted);
    }
    const entries = await ports.log.read(outSubject(tenant, run, shell.attempt, tick - 1, "*"));
    const outs = await Promise.all(entries.map((entry) => shardOutOf(run, entry.bytes)));
    const blocks = outs.reduce((sum, out) => sum + out.hashes.length / LEAF_BYTES, 0);
    if (blocks !== shell.blocks.length) throw new PopulaceError("NOT_FOUND", `run ${run}: the outputs of tick ${tick - 1} hold the messages of ${blocks} blocks of ${shell.blocks.length}; they are not all here, or no more`, { run, tick });
    return inboxesOf(outs.toSorted((a, b) => a.shard - b.shard).map((out) => out.mail), wanted);
  }

  async function compute({ open, shards, climate, whole, checkpoint }: Extract<NodeEffect, { kind: "compute" }>): Promise<NodeEvent> {
    const shell = shellOf(open.run);
    const inboxes = hasMail(shell.plan) ? await inboxesAt(open.run, shell, open.tick, checkpoint, new Set(shards.flatMap((shard) => Array.from({ length: shard.count }, (_, i) => shard.first + i)))) : new Map<number, Uint32Array>();
    const blocksIn = (shard: Shard): number[] => Array.from({ length: shard.count }, (_, i) => shard.first + i);
    const parts: ShardPart[] = [], hashes: BlockHashes[] = [], mail: BlockMail[] = [];
    const next = whole ? new SharedArrayBuffer(4) : null;
    const onWorker = async (worker: number, mine: readonly { readonly shard: number; readonly blocks: readonly number[] }[]): Promise<void> => {
      const puts: Promise<unknown>[] = [];
      const answer = await shell.pool.ask(
        worker, { kind: "compute", key: shell.key, tick: open.tick, span: open.span, climate, checkpoint: open.checkpoint, next, shards: mine, inboxes },
        (_block, bytes) => { const put = ports.blobs.put(bytes); put.catch(() => {}); puts.push(put); },
      );
      await Promise.all(puts);
      if (answer.kind !== "computed") throw new PopulaceError("INTERNAL", `worker ${worker} answered "${answer.kind}" to "compute"`, {});
      parts.push(...answer.parts);
      mail.push(...answer.mail ?? []);
      for (const each of answer.hashes) hashes.push(each);
    };
    if (whole) {
      const all = shards.map((shard) => ({ shard: shard.index, blocks: blocksIn(shard) }));
      await together(Array.from({ length: pool.size }, (_, worker) => onWorker(worker, all)));
    } else {
      await onWorkers(shards.flatMap(blocksIn), shell, (worker, blocks) => onWorker(worker, shards
        .map((shard) => ({ shard: shard.index, blocks: blocks.filter((block) => block >= shard.first && block < shard.first + shard.count) }))
        .filter((share) => share.blocks.length > 0)));
    }
    const header = { run: open.run, attempt: open.attempt, tick: open.tick, span: open.span, view: open.view, incarnation, backend: shell.backend };
    shell.outputs = shards.map((shard) => ({ shard: shard.index, bytes: SHARD_OUT.encode(assembleShardOut(header, shell.plan, shell.blocks, shard, parts, hashes, mail)) }));
    await fillAll(open, shell);
    return { kind: "filled", run: open.run };
  }

  async function refill(open: TickOpen): Promise<null> {
    await fillAll(open, shellOf(open.run));
    return null;
  }

  /** All slots at once: each write waits for the disk, together they wait once. */
  async function fillAll(open: TickOpen, shell: RunShell): Promise<void> {
    const record = await assure(open.run);
    const outputs = shell.outputs.filter(({ shard }) => record === null || mayFill(record, incarnation, open.attempt, shard));
    await Promise.all(outputs.map(async ({ shard, bytes }) => {
      if (Atomics.load(shell.control, 0) !== 0) throw new PopulaceError("INTERRUPTED", `run ${open.run} was stopped`, {});
      await fill(open, shard, bytes);
    }));
  }

  async function fill(open: Pick<TickOpen, "run" | "attempt" | "tick">, shard: number, bytes: Uint8Array): Promise<void> {
    const result = await ports.log.fill(outSubject(tenant, open.run, open.attempt, open.tick, shard), await fitBody(bytes, ports.blobs));
    if (!result.filled) await compareWithStored(open, shard, bytes, result.stored);
  }

  /**
   * Before anything is published: a node that stood still, or has not heard a leader for half its time, asks the registry whether it is alive, for as
   * long as it takes, and returns the run's record. Null: there is no doubt.
   */
  async function assure(run: string): Promise<RunRecord | null> {
    self = look(self, ports.clock.monotonicMs(), doubtMs);
    if (!self.isDoubtful) return null;
    while (!stopped) {
      try {
        const [view, entry] = await Promise.all([readView(), ports.registry.get(runKey(tenant, run))]);
        if (isDead(view, incarnation)) {
          end();
          break;
        }
        if (entry === null) break;
        self = assured(ports.clock.monotonicMs());
        return RUN_RECORD.decode(entry.bytes);
      } catch (error) {
        logger.warn({ run, error: String(error) }, "node pauses: the registry does not answer");
        await ports.clock.sleep(LIMITS.heartbeatMs);
      }
    }
    throw new PopulaceError("INTERRUPTED", `run ${run}: node ${incarnation} is not in the view any more`, { run });
  }

  async function readView(): Promise<ViewRecord | null> {
    const entry = await ports.registry.get(viewKey(tenant));
    return entry === null ? null : VIEW_RECORD.decode(entry.bytes);
  }

  const readRecords = async (): Promise<readonly RunRecord[]> => (await ports.registry.list(runKey(tenant, "*"))).map((entry) => RUN_RECORD.decode(entry.bytes));

  /** The others went on without this incarnation: it does nothing more under this name. */
  function end(): void {
    if (stopped) return;
    logger.error({ incarnation }, "node reads itself dead in the view and ends; start it anew");
    void leave("dead");
  }

  /** A slot filled before, by whomever: equal hashes mean the work is done; different ones are a divergence. */
  async function compareWithStored(open: Pick<TickOpen, "run" | "attempt" | "tick">, shard: number, bytes: Uint8Array, stored: Uint8Array): Promise<void> {
    const theirs = await shardOutOf(open.run, stored);
    const ours = SHARD_OUT.decode(bytes);
    // A leader may have opened another span over the same tick; the ticks both cover must agree.
    const common = Math.min(ours.hashes.length, theirs.hashes.length);
    const isOtherState = ours.states.length > 0 && theirs.states.length > 0 && ours.span === theirs.span && Buffer.compare(ours.states, theirs.states) !== 0;
    if (isOtherState || Buffer.compare(ours.hashes.subarray(0, common), theirs.hashes.subarray(0, common)) !== 0) {
      throw new PopulaceError(
        "DIVERGENCE",
        `run ${open.run}, shard ${shard}, tick ${open.tick}: this node (${incarnation}) and ${theirs.incarnation} computed different blocks (${sha256Hex(ours.hashes).slice(0, 12)} and ${sha256Hex(theirs.hashes).slice(0, 12)})`,
        { shard, tick: open.tick, outputs: [await ports.blobs.put(SHARD_OUT.encode(theirs)), await ports.blobs.put(bytes)] },
      );
    }
  }

  /** The output a slot holds, itself or by reference. */
  const shardOutOf = async (run: string, body: Uint8Array): Promise<ShardOut> => SHARD_OUT.decode(await bodyOf(body, ports.blobs, `a slot of run ${run}`));

  function release(run: string, shards: readonly Shard[]): null {
    const shell = runs.get(run);
    if (shell === undefined) return null;
    const gone = shards.flatMap((shard) => Array.from({ length: shard.count }, (_, i) => shard.first + i));
    for (let worker = 0; worker < pool.size; worker++) {
      const blocks = gone.filter((block) => shell.workerOf.get(block) === worker);
      if (blocks.length > 0) shell.pool.tell(worker, { kind: "release", key: shell.key, blocks });
    }
    for (const block of gone) shell.workerOf.delete(block);
    return null;
  }

  function drop(run: string): null {
    const shell = runs.get(run);
    if (shell === undefined) return null;
    Atomics.store(shell.control, 0, 1);
    runs.delete(run);
    for (let worker = 0; worker < pool.size; worker++) shell.pool.tell(worker, { kind: "close", key: shell.key });
    return null;
  }

  function shellOf(run: string): RunShell {
    const shell = runs.get(run);
    if (shell === undefined) throw new PopulaceError("INTERRUPTED", `run ${run} was dropped`, { run });
    return shell;
  }

  /** Runs `action` for every worker that holds some of the blocks, all at once; waits for all before it throws the first failure. */
  async function onWorkers(list: readonly number[], shell: RunShell, action: (worker: number, blocks: readonly number[]) => Promise<void>): Promise<void> {
    const byWorker = Map.groupBy(list, (block) => shell.workerOf.get(block)!);
    await together([...byWorker].map(([worker, blocks]) => action(worker, blocks)));
  }

  async function together(all: readonly Promise<void>[]): Promise<void> {
    for (const result of await Promise.allSettled(all)) if (result.status === "rejected") throw result.reason;
  }

  function report(open: Pick<TickOpen, "run" | "attempt" | "tick">, error: unknown): void {
    const code = error instanceof PopulaceError ? error.code : "INTERNAL";
    const message = error instanceof Error ? error.message : String(error);
    if (code === "INTERRUPTED") return;
    const { shard = 0, tick = open.tick, outputs = [] } = (error instanceof PopulaceError ? error.details : {}) as { readonly shard?: number; readonly tick?: number; readonly outputs?: readonly string[] };
    logger.error({ run: open.run, tick, code, message }, "tick failed");
    ports.bus.publish(failSubject(tenant, open.run, open.attempt), NODE_FAILURE.encode({ run: open.run, attempt: open.attempt, number: (failures += 1), tick, shard, incarnation, code, message, outputs }));
  }

  const second = secondComputations({
    ports, tenant, incarnation, poolFor: (plan) => (isJobPlan(plan) ? jobs : isBehaviorPlan(plan) ? null : pool), logger, report,
    backendFor: async (wanted) => (await chooseBackend(wanted === "auto" ? (options.backend ?? "auto") : wanted, "expose", lost)).backend.name,
    async fill(open, shard, bytes) {
      await assure(open.run);
      await fill(open, shard, bytes);
    },
  });

  function stopKernels(shell: RunShell, stop: RunStop): void {
    if (shell.attempt <= stop.attempt && stop.term >= state.term) Atomics.store(shell.control, 0, 1);
  }

  /** At once, past the mailbox: the kernel is in the middle of a span. */
  function onEnd(kind: Ended["kind"], bytes: Uint8Array): RunStop {
    const stop = RUN_STOP.decode(bytes), shell = runs.get(stop.run);
    if (shell !== undefined) stopKernels(shell, stop);
    if (stop.term >= state.term) second.stop(stop.run, stop.attempt);
    deliver(stop.run, { kind, stop });
    return stop;
  }

  const hearLeader = (): void => { self = heard(self, ports.clock.monotonicMs(), doubtMs); };
  const stops: Stop[] = [
    ports.bus.subscribe(leaderBeatSubject(tenant), hearLeader),
    ports.bus.subscribe(probeSubject(tenant, incarnation), () => {
      hearLeader();
      beat();
    }),
    ports.bus.subscribe(drainSubject(tenant, incarnation), (_subject, bytes) => {
      if (LEADER_BEAT.decode(bytes).term >= state.term) void drain();
    }),
    ports.registry.watch(viewKey(tenant), (_key, entry) => { if (entry !== null && isDead(VIEW_RECORD.decode(entry.bytes), incarnation)) end(); }),
    ports.bus.subscribe(recomputeSubject(tenant, "*", "*"), (_subject, bytes) => {
      const request = RECOMPUTE.decode(bytes);
      if (request.incarnation === incarnation && request.term >= state.term) second.ask(request);
    }),
    ports.bus.subscribe(openSubject(tenant, "*", "*"), (_subject, bytes) => {
      hearLeader();
      const open = TICK_OPEN.decode(bytes);
      deliver(open.run, { kind: "tickOpen", open });
    }),
    ports.bus.subscribe(haltSubject(tenant, "*", "*"), (_subject, bytes) => { onEnd("halt", bytes); }),
    ports.bus.subscribe(stopSubject(tenant, "*", "*"), (_subject, bytes) => {
      const { run } = onEnd("stop", bytes);
      tooSmall.delete(run);
      losses.delete(run);
    }),
  ];
  /** Takes the fastest backend and measures it on all workers at once, as a run will use them. */
  async function calibrate(): Promise<void> {
    const { backend, reason } = await chooseBackend(options.backend ?? "auto", "expose", lost);
    // The next best one too, unless one was asked for: a second computation, and a run that has lost its trust in the first, can take it.
    const next = options.backend === undefined ? (await chooseBackend("auto", "expose", new Map([...lost, [backend.name, "taken"]]))).backend.name : "reference";
    backends = [...new Set([backend.name, next, "reference"])];
    backendReason = `${backend.device}: ${reason}`;
    beat();
    // What was measured before says nothing about this one.
    pool.restart();
    let answers: readonly Awaited<ReturnType<typeof pool.ask>>[];
    try {
      answers = await Promise.all(Array.from({ length: pool.size }, (_, worker) => pool.ask(worker, { kind: "calibrate", backend: backend.name })));
    } catch (error) {
      if (!(error instanceof KernelFailed) || outOfUse(backend.name, error.code, options.backend !== undefined) !== "node") throw error;
      process.emitWarning(`${backend.name} failed (${error.message}); this node goes on without it`, "BackendFailed");
      lost.set(backend.name, error.message);
      return calibrate();
    }
    calibrated = answers.reduce((sum, answer) => sum + (answer.kind === "calibrated" ? answer.exposuresPerSecond : 0), 0);
    logger.info({ backend: backend.name, device: backend.device, reason, exposuresPerSecond: Math.round(calibrated) }, "node calibrated");
    if (!stopped) beat();
  }
  const ready = calibrate().then(() => ({ backend: backends[0], reason: backendReason, exposuresPerSecond: calibrated }));
  // Whoever waits hears of it; a node whose workers died while it started is stopped or fails with its first run.
  ready.catch((error: unknown) => { if (!stopped) logger.warn({ error: String(error) }, "node not calibrated"); });
  const stopBeating = ports.clock.every(LIMITS.heartbeatMs, () => {
    const nowMs = ports.clock.monotonicMs();
    loopLagMs = Math.max(0, nowMs - beatMs - LIMITS.heartbeatMs);
    beatMs = nowMs;
    self = look(self, nowMs, doubtMs);
    beat();
  });

  async function leave(why: "stopped" | "drained" | "dead"): Promise<void> {
    if (stopped) return;
    stopped = true;
    stopBeating();
    for (const stopIt of stops) stopIt();
    for (const run of runs.keys()) drop(run);
    said = "leaving";
    beat();
    const closed = second.close();
    await Promise.all([pool.close(), behaviors?.close(), jobs?.close()]);
    // What was being written when the stop came is written, so that the caller may close the ports.
    await Promise.allSettled([...inFlight, closed]);
    ended.resolve(why);
  }

  async function drain(waitMs: number = LIMITS.drainMs): Promise<void> {
    if (stopped || said !== "up") return void (await ended.promise);
    said = "draining";
    beat();
    logger.info({ incarnation }, "node drains");
    for (const untilMs = ports.clock.monotonicMs() + waitMs; !stopped && ports.clock.monotonicMs() < untilMs; ) {
      await ports.clock.sleep(LIMITS.heartbeatMs);
      const [view, records] = await Promise.all([readView(), readRecords()]).catch(() => [null, []] as const);
      if (mayLeave(view, records, incarnation)) break;
    }
    await leave("drained");
  }

  return {
    incarnation,
    ready,
    exposures,
    ended: ended.promise,
    drain,
    stop: () => leave("stopped"),
  };
}

type Opened = Extract<NodeEvent, { kind: "tickOpen" }>;
type Ended = Extract<NodeEvent, { kind: "stop" | "halt" }>;

interface Mailbox {
  next: Opened | null;
  stop: Ended | null;
  busy: boolean;
}
