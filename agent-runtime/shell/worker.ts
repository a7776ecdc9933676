/** The worker thread: holds the blocks it was given and steps them. It decides nothing and talks to its node alone. */
import { hash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { PopulaceError } from "@populace/domain/error";
import { backendOf, type BlockOutput, type BlockState, type ExposeSession } from "@populace/kernels";
import { type Block, blocksOf, columnCount, type Plan } from "@populace/protocol/plan";
import type { BlockHashes, ShardPart } from "../core/shard.ts";
import type { ComputeSpan, FromWorker, HoldBlocks, OpenRun, ToWorker, WorkerStart } from "./worker-message.ts";

interface WorkerRun {
  readonly plan: Plan;
  readonly blocks: readonly Block[];
  readonly session: ExposeSession;
  readonly population: OpenRun["population"];
  readonly control: Int32Array;
  readonly held: Map<number, BlockState>;
  /** One block's output of one tick, counts then sections in one buffer: what outHash covers. */
  readonly output: BlockOutput & { readonly whole: Uint32Array };
}

const port = parentPort!;
const start = workerData as WorkerStart;
const progress = new BigInt64Array(start.progress);
const runs = new Map<string, WorkerRun>();

port.on("message", (message: ToWorker) => {
  try {
    switch (message.kind) {
      case "open": return open(message);
      case "hold": return hold(message);
      case "release": for (const block of message.blocks) runs.get(message.key)?.held.delete(block); return;
      case "compute": return compute(message);
      case "close": runs.delete(message.key); return;
    }
  } catch (error) {
    const ticket = "ticket" in message ? message.ticket : -1;
    const known = error instanceof PopulaceError;
    send({ kind: "failed", ticket, code: known ? error.code : "INTERNAL", message: known ? error.message : `worker ${start.worker}: ${String(error)}` });
  }
});

// Not from @populace/io, and the imports above by their narrow doors: a thread that loads a database, a logger and the whole
// domain takes 0.3 s of processor time to start.
const sha256 = (bytes: Uint8Array): Uint8Array => hash("sha256", bytes, "buffer");

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function open({ key, plan, backend, population, control }: OpenRun): void {
  const countsLength = plan.cells.length * plan.worlds * columnCount(plan.steps.length);
  const whole = new Uint32Array(countsLength + plan.scenarios.length * 2);
  runs.set(key, {
    plan, population, blocks: blocksOf(plan), session: backendOf(backend).open(plan), control: new Int32Array(control), held: new Map(),
    output: { whole, counts: whole.subarray(0, countsLength), sections: whole.subarray(countsLength) },
  });
}

function runOf(key: string): WorkerRun {
  const run = runs.get(key);
  if (run === undefined) throw new PopulaceError("INTERNAL", `worker ${start.worker}: run ${key} was never opened`, { key });
  return run;
}

function hold({ key, ticket, blocks, replayFrom, climates }: HoldBlocks): void {
  const run = runOf(key);
  const hashes: BlockHashes[] = [];
  for (const { block, state } of blocks) {
    stopIfAsked(run);
    const held = run.session.createBlock(run.blocks[block], run.population, state ?? undefined);
    climates.forEach((climate, i) => {
      stopIfAsked(run);
      step(run, held, replayFrom + i, climate);
    });
    if (climates.length > 0) hashes.push({ block, hashes: sha256(held.state) });
    run.held.set(block, held);
  }
  send({ kind: "held", ticket, hashes });
}

/** Block by block, all ticks of the span at once: a block's state then stays in the cache. */
function compute({ key, ticket, tick, span, climate, checkpoint, shards }: ComputeSpan): void {
  const run = runOf(key);
  const { output } = run;
  const parts: ShardPart[] = [], hashes: BlockHashes[] = [];
  for (const { shard, blocks } of shards) {
    const byPersona = new Map<number, ShardPart>();
    for (const block of blocks) {
      const held = run.held.get(block);
      if (held === undefined) throw new PopulaceError("INTERNAL", `worker ${start.worker}: block ${block} of run ${key} is not held here`, { key, block });
      const { persona } = run.blocks[block];
      let part = byPersona.get(persona);
      if (part === undefined) {
        part = { shard, persona, counts: new Uint32Array(span * output.counts.length), sections: new Uint32Array(span * output.sections.length) };
        byPersona.set(persona, part);
      }
      const own = new Uint8Array(span * 64);
      for (let i = 0; i < span; i++) {
        stopIfAsked(run);
        step(run, held, tick + i, climate);
        own.set(sha256(held.state), i * 64);
        own.set(sha256(new Uint8Array(output.whole.buffer)), i * 64 + 32);
        add(part.counts, i * output.counts.length, output.counts);
        add(part.sections, i * output.sections.length, output.sections);
      }
      hashes.push({ block, hashes: own });
      if (checkpoint) {
        const state = held.state.slice();
        send({ kind: "state", ticket, block, state }, [state.buffer]);
      }
    }
    parts.push(...byPersona.values());
  }
  send({ kind: "computed", ticket, parts, hashes }, parts.flatMap((part) => [part.counts.buffer as ArrayBuffer, part.sections.buffer as ArrayBuffer]));
}

/** One tick of one block into the run's output buffer, zeroed first. */
function step(run: WorkerRun, held: BlockState, tick: number, climate: ComputeSpan["climate"]): void {
  const { output, plan } = run;
  output.whole.fill(0);
  run.session.stepBlock(held, tick, climate, output);
  let exposures = 0;
  for (let i = 0, columns = columnCount(plan.steps.length); i < output.counts.length; i += columns) exposures += output.counts[i];
  Atomics.add(progress, start.worker, BigInt(exposures));
}

function add(target: Uint32Array, at: number, source: Uint32Array): void {
  for (let i = 0; i < source.length; i++) target[at + i] += source[i];
}

/** Called before each block and tick: the node can stop a kernel within one block, though this thread reads no message meanwhile. */
function stopIfAsked(run: WorkerRun): void {
  if (Atomics.load(run.control, 0) !== 0) throw new PopulaceError("INTERRUPTED", "the run was stopped; what was committed stays", {});
}
