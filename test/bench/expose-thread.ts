// A worker thread of expose-crew.ts: one session, and what it is told to do with it.
import { on } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { type ExposeBlock, type ExposePlan, type HeldBlock, type OnTick, initialClimate, openBackend } from "@populace/kernels";
import { addCounts } from "./expose-work.ts";

export interface ThreadStart {
  readonly plan: ExposePlan;
  readonly backend: string;
  readonly mode: "step" | "live";
  /** Own blocks where they are stepped, all blocks where they are lived. */
  readonly blocks: readonly ExposeBlock[];
  /** Next block that nobody lives yet, shared by all threads. */
  readonly next: SharedArrayBuffer;
}

/** "renew" makes the agents anew, "live" lives them, "copy" moves memory. Each is answered by one message, "live" by its counts. */
export type ThreadTask = "renew" | "live" | "copy";

/** Large enough to miss every cache. */
const COPY_BYTES = 64 << 20;
/** Bytes read and written by one "copy". */
export const COPIED_BYTES = 2 * 4 * COPY_BYTES;

let from = new Uint8Array(0), to = new Uint8Array(0);

/** Copies a large buffer four times over. */
export function copyMemory(): void {
  if (from.length === 0) [from, to] = [new Uint8Array(COPY_BYTES).fill(1), new Uint8Array(COPY_BYTES).fill(2)];
  for (let turn = 0; turn < 4; turn++) to.set(from);
}

if (parentPort !== null && (workerData as ThreadStart | null)?.plan !== undefined) await serve(parentPort, workerData as ThreadStart);

async function serve(port: NonNullable<typeof parentPort>, { plan, backend, mode, blocks, next }: ThreadStart): Promise<void> {
  const session = await (await openBackend(backend, "expose")).kernels.expose.open(plan, mode === "step" ? "stored" : "procedural");
  const counter = new Int32Array(next);
  let held: HeldBlock[] = [];
  for await (const [task] of on(port, "message") as AsyncIterable<[ThreadTask]>) {
    const counts = new Float64Array(task === "live" ? plan.cells.length * plan.worlds * (plan.steps.length + 3) : 0);
    const add: OnTick = (_, __, ticked) => addCounts(counts, ticked.counts);
    if (task === "copy") copyMemory();
    else if (task === "renew" && mode === "step") {
      held.forEach((block) => session.release(block));
      held = await Promise.all(blocks.map((block) => session.hold(block)));
    } else if (task === "live" && mode === "step") {
      for (let tick = 0; tick < plan.ticks; tick++) await session.step(held, tick, 1, initialClimate(plan), add);
    } else if (task === "live") {
      for (let at = Atomics.add(counter, 0, 1); at < blocks.length; at = Atomics.add(counter, 0, 1)) await session.live([blocks[at]!], add);
    }
    port.postMessage(counts, [counts.buffer]);
  }
}
