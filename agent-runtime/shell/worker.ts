/** The worker thread: holds the blocks it was given and steps them. It decides nothing and talks to its node alone. */
import { hash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { PopulaceError } from "@populace/domain/error";
import { type ExposeSession, type HeldBlock, openBackend, type TickOutput } from "@populace/kernels";
import { type Block, blocksOf, columnCount, type Plan } from "@populace/protocol/plan";
import type { BlockHashes, ShardPart } from "../core/shard.ts";
import type { ComputeSpan, FromWorker, HoldBlocks, OpenRun, ToWorker, WorkerStart } from "./worker-message.ts";

interface WorkerRun {
  readonly plan: Plan;
  readonly blocks: readonly Block[];
  readonly session: ExposeSession;
  readonly control: Int32Array;
  readonly held: Map<number, HeldBlock>;
}

const port = parentPort!;
const start = workerData as WorkerStart;
const progress = new BigInt64Array(start.progress);
const runs = new Map<string, WorkerRun>();

// One message after another: a later one may speak of what an earlier one is still building.
let queue: Promise<void> = Promise.resolve();
port.on("message", (message: ToWorker) => {
  queue = queue.then(() => handle(message)).catch((error: unknown) => {
    const ticket = "ticket" in message ? message.ticket : -1;
    const known = error instanceof PopulaceError;
    send({ kind: "failed", ticket, code: known ? error.code : "INTERNAL", message: known ? error.message : `worker ${start.worker}: ${String(error)}` });
  });
});

function handle(message: ToWorker): Promise<void> | void {
  switch (message.kind) {
    case "open": return open(message);
    case "hold": return hold(message);
    case "release": return release(message);
    case "compute": return compute(message);
    case "close": {
      runs.get(message.key)?.session.close();
      runs.delete(message.key);
    }
  }
}

// Not from @populace/io, and the imports above by their narrow doors: a thread that loads a database, a logger and the whole
// domain takes 0.3 s of processor time to start.
const sha256 = (bytes: Uint8Array): Uint8Array => hash("sha256", bytes, "buffer");

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

async function open({ key, plan, backend, population, control }: OpenRun): Promise<void> {
  const { kernels } = await openBackend(backend, "expose");
  runs.set(key, { plan, blocks: blocksOf(plan), session: await kernels.expose.open(plan, population), control: new Int32Array(control), held: new Map() });
}

function runOf(key: string): WorkerRun {
  const run = runs.get(key);
  if (run === undefined) throw new PopulaceError("INTERNAL", `worker ${start.worker}: run ${key} was never opened`, { key });
  return run;
}

async function hold({ key, ticket, blocks, replayFrom, climates }: HoldBlocks): Promise<void> {
  const run = runOf(key);
  const hashes: BlockHashes[] = [];
  for (const { block, state } of blocks) {
    stopIfAsked(run);
    release({ key, blocks: [block] });
    const held = await run.session.hold(run.blocks[block], state ?? undefined);
    run.held.set(block, held);
    for (const [i, climate] of climates.entries()) {
      stopIfAsked(run);
      await run.session.step([held], replayFrom + i, 1, climate, (_, __, output) => progressed(run, output));
    }
    if (climates.length > 0) hashes.push({ block, hashes: sha256(await run.session.stateOf(held)) });
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

/** Block by block, all ticks of the span at once: a block's state then stays in the cache. */
async function compute({ key, ticket, tick, span, climate, checkpoint, shards }: ComputeSpan): Promise<void> {
  const run = runOf(key);
  const parts: ShardPart[] = [], hashes: BlockHashes[] = [];
  for (const { shard, blocks } of shards) {
    const byPersona = new Map<number, ShardPart>();
    for (const block of blocks) {
      const held = run.held.get(block);
      if (held === undefined) throw new PopulaceError("INTERNAL", `worker ${start.worker}: block ${block} of run ${key} is not held here`, { key, block });
      const { persona } = run.blocks[block];
      const own = new Uint8Array(span * 64);
      stopIfAsked(run);
      await run.session.step([held], tick, span, climate, (_, t, output) => {
        stopIfAsked(run);
        const { counts, sections, whole } = output, i = t - tick;
        let part = byPersona.get(persona);
        if (part === undefined) {
          part = { shard, persona, counts: new Uint32Array(span * counts.length), sections: new Uint32Array(span * sections.length) };
          byPersona.set(persona, part);
        }
        progressed(run, output);
        own.set(output.stateHash, i * 64);
        own.set(sha256(new Uint8Array(whole.buffer, whole.byteOffset, whole.byteLength)), i * 64 + 32);
        add(part.counts, i * counts.length, counts);
        add(part.sections, i * sections.length, sections);
      });
      hashes.push({ block, hashes: own });
      if (checkpoint) {
        const state = await run.session.stateOf(held);
        send({ kind: "state", ticket, block, state }, [state.buffer as ArrayBuffer]);
      }
    }
    parts.push(...byPersona.values());
  }
  send({ kind: "computed", ticket, parts, hashes }, parts.flatMap((part) => [part.counts.buffer as ArrayBuffer, part.sections.buffer as ArrayBuffer]));
}

/** Tells the node how far this thread is. */
function progressed(run: WorkerRun, { counts }: TickOutput): void {
  let exposures = 0;
  for (let i = 0, columns = columnCount(run.plan.steps.length); i < counts.length; i += columns) exposures += counts[i];
  Atomics.add(progress, start.worker, BigInt(exposures));
}

function add(target: Uint32Array, at: number, source: Uint32Array): void {
  for (let i = 0; i < source.length; i++) target[at + i] += source[i];
}

/** Called before each block and tick: the node can stop a kernel within one block, though this thread reads no message meanwhile. */
function stopIfAsked(run: WorkerRun): void {
  if (Atomics.load(run.control, 0) !== 0) throw new PopulaceError("INTERRUPTED", "the run was stopped; what was committed stays", {});
}
