import { PopulaceError } from "@populace/domain";
import type { Logger, Ports } from "@populace/io";
import {
  type Block, blocksOf, bodyOf, COMMIT, commitSubject, decodePlan, isJobPlan, JOB_BACKEND, outSubject, type Plan, RECOMPUTED, type Recompute, recomputedSubject, RUN_RECORD, type RunRecord, runKey, type Shard, SHARD_OUT, type ShardOut,
} from "@populace/protocol";
import { historyOf, type History } from "../core/checkpoint.ts";
import { assembleShardOut, type BlockHashes, type ShardPart, spreadBlocks } from "../core/shard.ts";
import type { Inboxes } from "./worker-message.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** What second computations need of their node. */
export interface SecondOptions {
  readonly ports: Ports;
  readonly tenant: string;
  readonly incarnation: string;
  /** Who computes a plan here; null: nobody does it a second time. A behavior's node computes it twice by itself (behavior/pool.ts): a second node would need all messages, only to hear the same. */
  poolFor(plan: Plan): WorkerPool | null;
  readonly logger: Logger;
  /** The backend to use for one that was asked for, by name or "auto". */
  backendFor(wanted: string): Promise<string>;
  /** Fills a slot, or compares with what it holds: DIVERGENCE when that differs. */
  fill(open: Pick<Recompute, "run" | "attempt" | "tick">, shard: number, bytes: Uint8Array): Promise<void>;
  /** Tells the leader what went wrong. */
  report(request: Recompute, error: unknown): void;
}

export interface SecondComputations {
  /** Begins one, or answers again if it was done. A request that is under way already, and one beyond the bound, is ignored: requests repeat. */
  ask(request: Recompute): void;
  /** Stops those of an attempt within one block. */
  stop(run: string, attempt: number): void;
  close(): Promise<void>;
}

/** Requests that wait or are under way at once. */
const WAITING_MAX = 64;
/** Agents without a behavior send one another nothing. */
const NO_MAIL: Inboxes = new Map();
/** Answers kept for requests that come again. */
const ANSWERED_MAX = 256;

/**
 * Computes shards or blocks a second time on the node's workers, one request after another and apart from the blocks that the node holds: a run's
 * key on the workers is another one, and it is closed again afterwards.
 */
export function secondComputations(options: SecondOptions): SecondComputations {
  const { ports, tenant, incarnation, logger } = options;
  const waiting = new Map<string, { readonly request: Recompute; readonly control: Int32Array<SharedArrayBuffer> }>();
  const answered = new Map<string, Uint8Array>();
  let plan: { readonly hash: string; readonly plan: Plan } | null = null;
  let working: Promise<void> = Promise.resolve();

  const keyOf = ({ run, attempt, shard, tick, span, blocks }: Recompute): string => [run, attempt, shard, tick, span, ...blocks].join("/");
  const tell = (request: Recompute, bytes: Uint8Array): void => ports.bus.publish(recomputedSubject(tenant, request.run, request.attempt), bytes);

  return {
    ask(request) {
      const key = keyOf(request), before = answered.get(key);
      if (before !== undefined) return tell(request, before);
      if (waiting.has(key) || waiting.size >= WAITING_MAX) return;
      const control = new Int32Array(new SharedArrayBuffer(4));
      waiting.set(key, { request, control });
      working = working.then(() => compute(request, key, control)).finally(() => waiting.delete(key));
    },
    stop(run, attempt) {
      for (const { request, control } of waiting.values()) if (request.run === run && request.attempt <= attempt) Atomics.store(control, 0, 1);
    },
    async close() {
      for (const { control } of waiting.values()) Atomics.store(control, 0, 1);
      await working;
    },
  };

  async function compute(request: Recompute, key: string, control: Int32Array<SharedArrayBuffer>): Promise<void> {
    try {
      const found = await prepared(request);
      if (found === null || Atomics.load(control, 0) !== 0) return;
      const compared = await second({ ...found, request, control });
      const bytes = RECOMPUTED.encode({ run: request.run, attempt: request.attempt, incarnation, backend: found.backend, shard: request.shard, tick: request.tick, compared });
      answered.set(key, bytes);
      for (const [oldest] of answered) if (answered.size > ANSWERED_MAX) answered.delete(oldest);
      tell(request, bytes);
    } catch (error) {
      if (error instanceof PopulaceError && error.code === "DIVERGENCE") options.report(request, error);
      // Its leader asks another node: what is merely checked must not fail the run.
      else logger.warn({ run: request.run, tick: request.tick, shard: request.shard, error: String(error) }, "second computation failed");
    }
  }

  /** All that the request needs and the node may not have; null when the run has gone on without it, or has not come so far here. */
  async function prepared(request: Recompute): Promise<Omit<Work, "request" | "control"> | null> {
    const entry = await ports.registry.get(runKey(tenant, request.run));
    const record = entry === null ? null : RUN_RECORD.decode(entry.bytes);
    if (record === null || record.attempt !== request.attempt || record.shards.length <= request.shard) return null;
    const hash = record.spec.planHash;
    if (plan?.hash !== hash) {
      const bytes = await ports.blobs.get(hash);
      if (bytes === null) throw new PopulaceError("NOT_FOUND", `run ${request.run}: its plan ${hash} is not in the blob store`, { run: request.run });
      plan = { hash, plan: decodePlan(bytes) };
    }
    const pool = options.poolFor(plan.plan);
    if (pool === null) return null;
    const runPlan = plan.plan, commits = await commitsOf(record);
    const historyFrom = (those: typeof commits): History | null => historyOf(runPlan, request.run, those, request.tick, request.span);
    const history = historyFrom(commits);
    if (history === null) return null;
    const fromBeginning = (): History | null => historyFrom(commits.map((commit) => ({ ...commit, checkpoint: [] })));
    return { plan: runPlan, pool, blocks: blocksOf(runPlan), shard: record.shards[request.shard], history, fromBeginning, backend: isJobPlan(plan.plan) ? JOB_BACKEND : await options.backendFor(request.backend) };
  }

  async function commitsOf(record: RunRecord) {
    const subject = commitSubject(tenant, record.run), commits = [];
    for (let after = 0; ; ) {
      const entries = await ports.log.read(subject, { after });
      if (entries.length === 0) return commits;
      for (const entry of entries) {
        const commit = COMMIT.decode(await bodyOf(entry.bytes, ports.blobs, `a commit of run ${record.run}`));
        if (commit.attempt >= record.firstAttempt) commits.push(commit);
      }
      after = entries[entries.length - 1].sequence;
    }
  }

  async function second(work: Work): Promise<number> {
    const { request, shard } = work;
    if (request.blocks.length === 0) {
      const { tick, span, checkpoint } = request;
      if ((await ports.log.last(outSubject(tenant, request.run, request.attempt, tick, shard.index))) === null) await whole(work, tick, span, checkpoint);
      return 0;
    }
    const entries = await ports.log.read(outSubject(tenant, request.run, request.attempt, "*", shard.index));
    const outs = await Promise.all(entries.map(async (entry): Promise<ShardOut> => SHARD_OUT.decode(await bodyOf(entry.bytes, ports.blobs, `a slot of run ${request.run}`))));
    const { rows, states } = await blockRows(work, request.blocks, request.tick, request.span, new Set(outs.filter((out) => out.states.length > 0).map((out) => out.tick + out.span - 1)));
    let compared = 0;
    for (const out of outs) {
      for (const block of request.blocks) {
        const at = (block - shard.first) * 32, state = out.states.length === 0 ? undefined : states.get(`${block} ${out.tick + out.span - 1}`);
        const isOtherState = state !== undefined && Buffer.compare(out.states.subarray(at, at + 32), state) !== 0;
        for (let tick = Math.max(out.tick, request.tick); tick < Math.min(out.tick + out.span, request.tick + request.span); tick += 1) {
          const theirs = out.hashes.subarray(((tick - out.tick) * shard.count + block - shard.first) * 64).subarray(0, 64);
          const ours = rows.get(block)!.subarray((tick - request.tick) * 64).subarray(0, 64);
          compared += 1;
          const isStateDue = isOtherState && tick === out.tick + out.span - 1;
          if (Buffer.compare(theirs, ours) === 0 && !isStateDue) continue;
          logger.error({ run: request.run, block, tick, node: out.incarnation, backend: out.backend, here: work.backend }, "a block came out otherwise the second time");
          // The whole shard, for both outputs to be kept. If it agrees, this node erred the first time: it is asked again.
          await whole(work, out.tick, out.span, out.states.length > 0);
          throw new PopulaceError("CORRUPT", `run ${request.run}: block ${block} came out otherwise at tick ${tick}, and then as ${out.incarnation} has it`, { block, tick });
        }
      }
    }
    return compared;
  }

  /** The whole shard as its owner computes it, into its slot. */
  async function whole(work: Work, tick: number, span: number, checkpoint: boolean): Promise<void> {
    const { request, plan: runPlan, blocks, shard, backend } = work;
    const list = Array.from({ length: shard.count }, (_, at) => shard.first + at);
    const parts: ShardPart[] = [], hashes: BlockHashes[] = [], puts: Promise<unknown>[] = [];
    await onWorkers(work, list, tick, async (worker, key, mine) => {
      const answer = await work.pool.ask(
        worker, { kind: "compute", key, tick, span, climate: climateOf(work, tick), checkpoint, next: null, shards: [{ shard: shard.index, blocks: mine }], inboxes: NO_MAIL },
        (_, bytes) => { const put = ports.blobs.put(bytes); put.catch(() => {}); puts.push(put); },
      );
      if (answer.kind !== "computed") throw new PopulaceError("INTERNAL", `worker ${worker} answered "${answer.kind}" to "compute"`, {});
      parts.push(...answer.parts);
      hashes.push(...answer.hashes);
    });
    await Promise.all(puts);
    const header = { run: request.run, attempt: request.attempt, tick, span, view: request.view, incarnation, backend };
    await options.fill({ run: request.run, attempt: request.attempt, tick }, shard.index, SHARD_OUT.encode(assembleShardOut(header, runPlan, blocks, shard, parts, hashes)));
  }

  /**
   * span x 64 bytes a block: its hashes after every tick; and the address of its state after each tick of `checkpoints`, by block and tick, for a bit that
   * flips there shows in no hash before the next checkpoint has made it everybody's. Where personas influence one another each tick has a climate of its own.
   */
  async function blockRows(work: Work, list: readonly number[], tick: number, span: number, checkpoints: ReadonlySet<number>): Promise<{ readonly rows: ReadonlyMap<number, Uint8Array>; readonly states: ReadonlyMap<string, Uint8Array> }> {
    const rows = new Map(list.map((block) => [block, new Uint8Array(span * 64)])), states = new Map<string, Uint8Array>();
    await onWorkers(work, list, tick, async (worker, key, mine) => {
      for (let at = 0, step = 1; at < span; at += step) {
        const from = tick + at;
        step = work.plan.influence === null ? Math.min(span - at, ...[...checkpoints].filter((end) => end >= from).map((end) => end - from + 1)) : 1;
        const last = from + step - 1;
        const answer = await work.pool.ask(worker, { kind: "compute", key, tick: from, span: step, climate: climateOf(work, from), checkpoint: checkpoints.has(last), next: null, shards: [{ shard: work.shard.index, blocks: mine }], inboxes: NO_MAIL });
        if (answer.kind !== "computed") throw new PopulaceError("INTERNAL", `worker ${worker} answered "${answer.kind}" to "compute"`, {});
        for (const { block, hashes, state } of answer.hashes) {
          rows.get(block)!.set(hashes, at * 64);
          if (state !== null) states.set(`${block} ${last}`, state);
        }
      }
    });
    return { rows, states };
  }

  /** Holds the blocks at the start of `tick` on workers, each as many as its share, runs `action` on all and lets go of them. */
  async function onWorkers(work: Work, list: readonly number[], tick: number, action: (worker: number, key: string, blocks: readonly number[]) => Promise<void>): Promise<void> {
    const { plan: runPlan, pool, blocks, backend, request, control } = work;
    const key = `second/${keyOf(request)}`;
    const { history, states } = await startOf(work, list);
    const climates = history.climates.slice(0, tick - history.checkpoint.tick - 1);
    const byWorker = Map.groupBy([...spreadBlocks(blocks, list, pool.size)], ([, worker]) => worker);
    const results = await Promise.allSettled([...byWorker].map(async ([worker, mine]) => {
      pool.tell(worker, { kind: "open", key, plan: runPlan, backend, population: "procedural", control: control.buffer });
      try {
        await pool.ask(worker, { kind: "hold", key, blocks: mine.map(([block]) => ({ block, state: states.get(block) ?? null })), replayFrom: history.checkpoint.tick + 1, climates, inboxes: [] });
        await action(worker, key, mine.map(([block]) => block).toSorted((left, right) => left - right));
      } finally {
        pool.tell(worker, { kind: "close", key });
      }
    }));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** The newest checkpoint with the states of `list`; where one of them is lost or damaged, the beginning of the run. */
  async function startOf({ request: { run }, history, fromBeginning }: Work, list: readonly number[]): Promise<{ readonly history: History; readonly states: ReadonlyMap<number, Uint8Array> }> {
    const { tick, states } = history.checkpoint;
    if (tick < 0) return { history, states: new Map() };
    try {
      return { history, states: new Map(await Promise.all(list.map(async (block) => [block, await stateOf(run, tick, block, states[block])] as const))) };
    } catch (error) {
      const anew = error instanceof PopulaceError && (error.code === "NOT_FOUND" || error.code === "CORRUPT") ? fromBeginning() : null;
      if (anew === null) throw error;
      logger.warn({ run, tick, error: String(error) }, "a second computation begins at the beginning of the run, for the checkpoint is lost");
      return { history: anew, states: new Map() };
    }
  }

  async function stateOf(run: string, tick: number, block: number, hash: string): Promise<Uint8Array> {
    const state = await ports.blobs.get(hash);
    if (state === null) throw new PopulaceError("NOT_FOUND", `run ${run}: the checkpoint of block ${block} at tick ${tick} is not in the blob store any more`, { run, block });
    return state;
  }
}

interface Work {
  readonly request: Recompute;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly plan: Plan;
  readonly pool: WorkerPool;
  readonly blocks: readonly Block[];
  readonly shard: Shard;
  readonly history: History;
  /** The same without a checkpoint. */
  readonly fromBeginning: () => History | null;
  readonly backend: string;
}

const climateOf = ({ history }: Work, tick: number) => history.climates[tick - history.checkpoint.tick - 1];
