/** What one worker does, in a thread of its own or not: holds the blocks it was given and steps them. It decides nothing and answers its node alone. */
import { hash } from "node:crypto";
import { PopulaceError } from "@populace/domain/error";
import type { ExposeKernel, ExposeSession, HeldBlock, OnTick, TickOutput } from "@populace/kernels";
import { type Block, blocksOf, columnCount, type Plan } from "@populace/protocol/plan";
import type { BlockHashes, ShardPart } from "../core/shard.ts";
import type { Calibrate, ComputeSpan, FromWorker, HoldBlocks, OpenRun, ToWorker } from "./worker-message.ts";

interface WorkerRun {
  readonly plan: Plan;
  readonly blocks: readonly Block[];
  readonly session: ExposeSession;
  readonly control: Int32Array;
  readonly held: Map<number, HeldBlock>;
}

export interface BlockWorkerOptions {
  /** Its index among the node's workers. */
  readonly worker: number;
  /** One BigInt64 a worker: exposures computed so far. */
  readonly progress: BigInt64Array;
  openKernel(backend: string): Promise<ExposeKernel>;
  measure(backend: string): Promise<number>;
  send(message: FromWorker, transfer?: ArrayBuffer[]): void;
}

/** outHash of all-zero outputs, by their length. */
const zeroHashes = new Map<number, Uint8Array>();

// Not from @populace/io, and the imports above by their narrow doors: a thread that loads a database, a logger and the whole
// domain takes 0.3 s of processor time to start.
const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(Buffer.from(hash("sha256", bytes, "binary"), "binary"));

/** A worker that takes its node's messages one after another: a later one may speak of what an earlier one is still building. */
export function blockWorker({ worker, progress, openKernel, measure, send }: BlockWorkerOptions): (message: ToWorker) => void {
  const runs = new Map<string, WorkerRun>();
  /** `open` is not answered: what it failed with is told to whoever asks for the run. */
  const failedOpens = new Map<string, unknown>();
  let queue: Promise<void> = Promise.resolve();

  return (message) => {
    queue = queue.then(() => handle(message)).catch((error: unknown) => {
      const ticket = "ticket" in message ? message.ticket : -1;
      const known = error instanceof PopulaceError;
      send({ kind: "failed", ticket, code: known ? error.code : "INTERNAL", message: known ? error.message : `worker ${worker}: ${String(error)}` });
    });
  };

  function handle(message: ToWorker): Promise<void> | void {
    switch (message.kind) {
      case "open": return open(message);
      case "hold": return hold(message);
      case "release": return release(message);
      case "compute": return compute(message);
      case "calibrate": return calibrate(message);
      case "close": {
        runs.get(message.key)?.session.close();
        runs.delete(message.key);
        failedOpens.delete(message.key);
      }
    }
  }

  async function open(message: OpenRun): Promise<void> {
    failedOpens.delete(message.key);
    await tryOpen(message).catch((error: unknown) => failedOpens.set(message.key, error));
  }

  async function tryOpen({ key, plan, backend, population, control }: OpenRun): Promise<void> {
    const kernel = await openKernel(backend);
    const flag = new Int32Array(control);
    const session = await kernel.open(plan, population, () => stopIfAsked(flag));
    runs.set(key, { plan, blocks: blocksOf(plan), session, control: flag, held: new Map() });
  }

  function runOf(key: string): WorkerRun {
    const run = runs.get(key);
    if (run === undefined && failedOpens.has(key)) throw failedOpens.get(key);
    if (run === undefined) throw new PopulaceError("INTERNAL", `worker ${worker}: run ${key} was never opened`, { key });
    return run;
  }

  async function hold({ key, ticket, blocks, replayFrom, climates }: HoldBlocks): Promise<void> {
    const run = runOf(key);
    const hashes: BlockHashes[] = [];
    for (const { block, state } of blocks) {
      stopIfAsked(run.control);
      release({ key, blocks: [block] });
      const held = await run.session.hold(run.blocks[block], state ?? undefined);
      run.held.set(block, held);
      const leaf = new Uint8Array(64);
      for (const [i, climate] of climates.entries()) {
        await run.session.step([held], replayFrom + i, 1, climate, (_, __, output) => {
          progressed(run, output);
          if (i === climates.length - 1) setLeaf(leaf, 0, output);
        });
      }
      if (climates.length > 0) hashes.push({ block, hashes: leaf, state: null });
    }
    send({ kind: "held", ticket, hashes });
  }

  function release({ key, blocks }: { readonly key: string; readonly blocks: readonly number[] }): void {
    const run = runs.get(key);
    for (const block of blocks) {
      const held = run?.held.get(block);
      if (held === undefined) continue;
      run!.held.delete(block);
      run!.session.release(held);
    }
  }

  async function calibrate({ ticket, backend }: Calibrate): Promise<void> {
    send({ kind: "calibrated", ticket, exposuresPerSecond: await measure(backend) });
  }

  /** Batch by batch, all ticks of the span at once: a block's state then stays in the cache, its procedural codes in registers. */
  async function compute(message: ComputeSpan): Promise<void> {
    const { key, ticket, tick, span, checkpoint } = message;
    const run = runOf(key);
    const tasks = message.shards.flatMap(({ shard, blocks }) => blocks.map((block) => ({ shard, block })));
    const parts = new Map<string, ShardPart>(), hashes: BlockHashes[] = [];
    for (const batch of batches(message, tasks, run.session.batchBlocks)) {
      stopIfAsked(run.control);
      const leaves = batch.map(() => new Uint8Array(span * 64));
      const onTick: OnTick = (index, t, output) => {
        progressed(run, output);
        setLeaf(leaves[index], (t - tick) * 64, output);
        addTo(parts, batch[index].shard, run.blocks[batch[index].block].persona, span, t - tick, output);
      };
      const held = message.next === null ? batch.map(({ block }) => heldBlock(run, key, block)) : null;
      if (held === null) await run.session.live(batch.map(({ block }) => run.blocks[block]), onTick);
      else await run.session.step(held, tick, span, message.climate, onTick);
      for (const [index, { block }] of batch.entries()) {
        const state = checkpoint && held !== null ? await run.session.stateOf(held[index]) : null;
        hashes.push({ block, hashes: leaves[index], state: state === null ? null : sha256(state) });
        if (state !== null) send({ kind: "state", ticket, block, state }, [state.buffer as ArrayBuffer]);
      }
    }
    const found = [...parts.values()];
    send({ kind: "computed", ticket, parts: found, hashes }, found.flatMap((part) => [part.counts.buffer as ArrayBuffer, part.sections.buffer as ArrayBuffer]));
  }

  function heldBlock(run: WorkerRun, key: string, block: number): HeldBlock {
    const held = run.held.get(block);
    if (held === undefined) throw new PopulaceError("INTERNAL", `worker ${worker}: block ${block} of run ${key} is not held here`, { key, block });
    return held;
  }

  /** Tells the node how far this thread is. */
  function progressed(run: WorkerRun, { counts }: TickOutput): void {
    let exposures = 0;
    for (let i = 0, columns = columnCount(run.plan.steps.length); i < counts.length; i += columns) exposures += counts[i];
    Atomics.add(progress, worker, BigInt(exposures));
  }
}

/** Held blocks in the order given; whole lives from a counter that all workers share, so that a slow core takes fewer. */
function* batches<T>({ next }: ComputeSpan, tasks: readonly T[], size: number): Generator<readonly T[]> {
  const counter = next === null ? null : new Int32Array(next);
  for (let own = 0; ; own += size) {
    const from = counter === null ? own : Atomics.add(counter, 0, size);
    if (from >= tasks.length) return;
    yield tasks.slice(from, from + size);
  }
}

/** stateHash, then outHash. Most ticks show nobody anything: the hash of those zeros is taken once. */
function setLeaf(leaf: Uint8Array, at: number, { stateHash, whole }: TickOutput): void {
  leaf.set(stateHash, at);
  const isZero = whole.every((count) => count === 0);
  let outHash = isZero ? zeroHashes.get(whole.length) : undefined;
  if (outHash === undefined) {
    outHash = sha256(new Uint8Array(whole.buffer, whole.byteOffset, whole.byteLength));
    if (isZero) zeroHashes.set(whole.length, outHash);
  }
  leaf.set(outHash, at + 32);
}

function addTo(parts: Map<string, ShardPart>, shard: number, persona: number, span: number, offset: number, { counts, sections }: TickOutput): void {
  const key = `${shard} ${persona}`;
  let part = parts.get(key);
  if (part === undefined) {
    part = { shard, persona, counts: new Uint32Array(span * counts.length), sections: new Uint32Array(span * sections.length) };
    parts.set(key, part);
  }
  add(part.counts, offset * counts.length, counts);
  add(part.sections, offset * sections.length, sections);
}

function add(target: Uint32Array, at: number, source: Uint32Array): void {
  for (let i = 0; i < source.length; i++) target[at + i] += source[i];
}

/** Called between pieces of work: the node can stop a kernel within one of them, though this thread reads no message meanwhile. */
function stopIfAsked(control: Int32Array): void {
  if (Atomics.load(control, 0) !== 0) throw new PopulaceError("INTERRUPTED", "the run was stopped; what was committed stays", {});
}
