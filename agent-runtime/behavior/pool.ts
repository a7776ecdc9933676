/** Moves the blocks of behavior plans: one process a worker and run, beside the workers that compute kernels. */
import { philox4x32, PopulaceError } from "@populace/domain";
import { sha256 } from "@populace/io";
import { type BehaviorPlan, type Block, blocksOf, columnCount, isBehaviorPlan, LEAF_BYTES } from "@populace/protocol";
import type { BlockHashes, BlockMail, ShardPart } from "../core/shard.ts";
import type { WorkerPool } from "../shell/worker-pool.ts";
import type { ComputeSpan, HoldBlocks, OpenRun } from "../shell/worker-message.ts";
import { decodeBlockState, encodeBlockState } from "./block-state.ts";
import { setupOf } from "./compile.ts";
import { BEHAVIOR_LIMITS } from "./limits.ts";
import { BehaviorFault, startSandbox, type RealmScripts, type Sandbox, type SandboxBounds, SandboxLost } from "./sandbox.ts";

/** A process of a behavior ended for a reason from outside; the blocks it held are to be restored. */
export class ProcessLost extends PopulaceError {}

interface Run {
  readonly plan: BehaviorPlan;
  readonly blocks: readonly Block[];
  readonly control: Int32Array;
  /** One a worker, started when it is first needed. */
  readonly sandboxes: (Promise<Sandbox> | null)[];
  /** Workers whose process has computed its first tick. */
  readonly isWarm: boolean[];
}

/** One tick of a block, to be computed again. */
interface Computed {
  readonly block: number;
  readonly tick: number;
  readonly inbox: Uint8Array;
  /** Columns before the tick; null: before tick 0. */
  readonly before: Uint8Array | null;
  readonly hashes: Uint8Array;
}

/** Tag of the draws that choose what is computed twice; they belong to no agent. */
const DOUBLE = 0x646f7562;

/** A pool for behavior plans. `realm` is there so that a test can leave the realm open. */
export function startBehaviorPool(size: number, bounds: SandboxBounds = BEHAVIOR_LIMITS, realm?: RealmScripts): WorkerPool {
  const runs = new Map<string, Run>();
  let agentTicks = 0, closed = false;

  return {
    size,
    exposures: () => agentTicks,
    tell(worker, message) {
      // One process a worker is started lazily, so a run is opened, and closed, once for all of them.
      if (message.kind === "open" && !runs.has(message.key)) open(message);
      else if (message.kind === "close" && worker === 0) close(message.key);
    },
    async ask(worker, request, onState = () => {}) {
      if (closed) throw new PopulaceError("INTERRUPTED", "the node was stopped; what was committed stays", {});
      if (request.kind === "calibrate") return { kind: "calibrated", ticket: 0, exposuresPerSecond: 0 };
      const run = runs.get(request.key);
      if (run === undefined) throw new PopulaceError("INTERRUPTED", `run ${request.key} was closed`, {});
      if (request.kind === "hold") return { kind: "held", ticket: 0, hashes: await hold(run, worker, request) };
      return { kind: "computed", ticket: 0, ...(await compute(run, worker, request, onState)) };
    },
    async close() {
      closed = true;
      for (const key of runs.keys()) close(key);
    },
  };

  function open({ key, plan, control }: OpenRun): void {
    if (!isBehaviorPlan(plan)) throw new PopulaceError("INTERNAL", `run ${key} has no behavior`, {});
    runs.set(key, { plan, blocks: blocksOf(plan), control: new Int32Array(control), sandboxes: new Array(size).fill(null), isWarm: new Array(size).fill(false) });
  }

  function close(key: string): void {
    const run = runs.get(key);
    runs.delete(key);
    for (const sandbox of run?.sandboxes ?? []) sandbox?.then((started) => started.end(), () => {});
  }

  function sandboxOf(run: Run, worker: number): Promise<Sandbox> {
    return (run.sandboxes[worker] ??= openSandbox(run));
  }

  async function openSandbox({ plan }: Run): Promise<Sandbox> {
    const sandbox = await startSandbox(plan.behavior.module, bounds, realm).catch((error: unknown) => {
      throw error instanceof SandboxLost ? new ProcessLost("UNAVAILABLE", `behavior "${plan.behavior.name}": ${error.message}`, {}, error) : error;
    });
    const { description } = sandbox;
    const isSame = description.name === plan.behavior.name && String(description.counters) === String(plan.steps) && description.messages.length > 0 === plan.behavior.hasMessages
      && String(description.personas.map(({ name }) => name)) === String(plan.personas.map(({ id }) => id));
    if (!isSame) {
      sandbox.end();
      throw new PopulaceError("BAD_BEHAVIOR", `behavior "${plan.behavior.name}": its plan names other personas, counters or messages than its module; compile it again`, {});
    }
    await sandbox.open(setupOf(plan));
    return sandbox;
  }

  /** The answer of a block's process, and whatever goes wrong in the words of the behavior. */
  async function told<T>(run: Run, worker: number, block: number, tick: number, action: (sandbox: Sandbox) => Promise<T>): Promise<T> {
    if (Atomics.load(run.control, 0) !== 0) throw stopped();
    try {
      return await action(await sandboxOf(run, worker));
    } catch (error) {
      if (error instanceof BehaviorFault || error instanceof SandboxLost) {
        run.sandboxes[worker]?.then((sandbox) => sandbox.end(), () => {});
        run.sandboxes[worker] = null;
      }
      throw named(run, block, tick, error);
    }
  }

  function named({ plan, blocks }: Run, index: number, tick: number, error: unknown): unknown {
    const { persona, firstAgent, agents } = blocks[index], { id } = plan.personas[persona];
    const when = tick < 0 ? "before tick 0" : `tick ${tick}`;
    const what = `behavior "${plan.behavior.name}", ${when}`;
    if (error instanceof SandboxLost) return new ProcessLost("UNAVAILABLE", `${what}: ${error.message}`, { tick, block: index }, error);
    if (!(error instanceof BehaviorFault)) return error;
    const agent = error.place < 0 ? null : firstAgent + error.place;
    const who = agent === null ? `agents ${firstAgent} to ${firstAgent + agents - 1}` : `agent ${agent}`;
    return new PopulaceError("BEHAVIOR_FAILED", `${what}, ${who} of persona ${id}: ${error.message}`, { behavior: plan.behavior.name, tick, persona: id, block: index, ...(agent === null ? {} : { agent }) }, error);
  }

  async function hold(run: Run, worker: number, request: Omit<HoldBlocks, "ticket">): Promise<BlockHashes[]> {
    const hashes: BlockHashes[] = [];
    for (const { block, state } of request.blocks) {
      await told(run, worker, block, -1, (sandbox) => sandbox.hold(block, state === null ? null : decodeBlockState(state).columns));
      let last: Uint8Array | null = null;
      for (let i = 0; i < request.climates.length; i++) {
        const tick = request.replayFrom + i, inbox = request.inboxes?.[i]?.get(block);
        last = (await told(run, worker, block, tick, (sandbox) => sandbox.step({ block, tick, inbox: bytesOf(inbox), withState: false, isDouble: false }))).hashes;
      }
      if (last !== null) hashes.push({ block, hashes: last, state: null });
    }
    return hashes;
  }

  async function compute(run: Run, worker: number, request: Omit<ComputeSpan, "ticket">, onState: (block: number, state: Uint8Array) => void): Promise<{ parts: ShardPart[]; hashes: BlockHashes[]; mail: BlockMail[] }> {
    const { plan, blocks } = run, columns = columnCount(plan.steps.length), { tick: first, span } = request;
    const parts = new Map<string, ShardPart>(), hashes: BlockHashes[] = [], mail: BlockMail[] = [], twice: Computed[] = [];
    for (const { shard, blocks: mine } of request.shards) {
      for (const block of mine) {
        const leaves = new Uint8Array(span * LEAF_BYTES), { persona, agents } = blocks[block];
        const key = `${shard} ${persona}`;
        const part = parts.get(key) ?? { shard, persona, counts: new Uint32Array(span * columns), sections: new Uint32Array(span * 2) };
        parts.set(key, part);
        let state: Uint8Array | null = null;
        for (let tick = first; tick < first + span; tick++) {
          const inbox = bytesOf(request.inboxes?.get(block)), withState = request.checkpoint && tick === first + span - 1;
          const isDouble = !run.isWarm[worker] || philox4x32([block, tick, 0, DOUBLE], plan.seed)[0] < 0x1_0000_0000 / BEHAVIOR_LIMITS.doubleOneOf;
          const done = await told(run, worker, block, tick, (sandbox) => sandbox.step({ block, tick, inbox, withState, isDouble }));
          if (isDouble) twice.push({ block, tick, inbox, before: tick === 0 ? null : done.before, hashes: done.hashes });
          leaves.set(done.hashes, (tick - first) * LEAF_BYTES);
          for (let i = 0; i < columns; i++) part.counts[(tick - first) * columns + i] += done.counts[i];
          if (plan.behavior.hasMessages) mail.push({ block, outbox: done.outbox });
          if (done.columns !== null) state = encodeBlockState(done.columns, done.outbox);
          agentTicks += agents;
        }
        hashes.push({ block, hashes: leaves, state: state === null ? null : sha256(state) });
        if (state !== null) onState(block, state);
      }
    }
    run.isWarm[worker] = true;
    if (twice.length > 0) await computeAgain(run, twice);
    return { parts: [...parts.values()], hashes, mail };
  }

  /** What was computed comes out the same in a process that has never computed anything, or the behavior is not deterministic. */
  async function computeAgain(run: Run, twice: readonly Computed[]): Promise<void> {
    const { plan, blocks } = run;
    const sandbox = await openSandbox(run);
    try {
      for (const { block, tick, inbox, before, hashes } of twice) {
        if (Atomics.load(run.control, 0) !== 0) throw stopped();
        const again = await (async () => {
          await sandbox.hold(block, before);
          return sandbox.step({ block, tick, inbox, withState: false, isDouble: false });
        })().catch((error: unknown) => { throw named(run, block, tick, error); });
        if (Buffer.compare(again.hashes, hashes) === 0) continue;
        const { persona, firstAgent, agents } = blocks[block], { id } = plan.personas[persona];
        throw new PopulaceError(
          "DIVERGENCE",
          `behavior "${plan.behavior.name}", tick ${tick}, agents ${firstAgent} to ${firstAgent + agents - 1} of persona ${id}: computed twice it gave two results; something in it depends on more than its agents, its messages and its random streams`,
          { behavior: plan.behavior.name, tick, persona: id, block },
        );
      }
    } finally {
      sandbox.end();
    }
  }
}

const stopped = (): PopulaceError => new PopulaceError("INTERRUPTED", "the run was stopped; what was committed stays", {});

const bytesOf = (words: Uint32Array | undefined): Uint8Array => (words === undefined ? new Uint8Array(0) : new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
