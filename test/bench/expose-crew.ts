// A plan on several cores: bare kernels in worker threads, without the product around them.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { ExposePlan } from "@populace/kernels";
import { COPIED_BYTES, type ThreadStart, type ThreadTask } from "./expose-thread.ts";
import { addCounts, blocksOf } from "./expose-work.ts";

export interface Crew {
  /** One life of all agents, made anew outside of the clock. */
  life(): Promise<{ readonly seconds: number; readonly counts: Float64Array }>;
  /** Bytes a second that all threads together read and write when they only copy. */
  copyRate(): Promise<number>;
  close(): Promise<void>;
}

/** Threads with a session each. "step" keeps the agents and steps them tick by tick, "live" draws each block when its turn comes. */
export async function startCrew(plan: ExposePlan, backend: string, threads: number, mode: ThreadStart["mode"]): Promise<Crew> {
  const blocks = blocksOf(plan), next = new SharedArrayBuffer(4);
  const workers = Array.from({ length: threads }, (_, index) => {
    const workerData: ThreadStart = { plan, backend, mode, blocks: mode === "live" ? blocks : blocks.filter((__, block) => block % threads === index), next };
    return new Worker(new URL("./expose-thread.ts", import.meta.url), { workerData, execArgv: [] });
  });
  const all = (task: ThreadTask): Promise<readonly Float64Array[]> => Promise.all(workers.map(async (worker) => {
    worker.postMessage(task);
    const [counts] = (await once(worker, "message")) as [Float64Array];
    return counts;
  }));
  async function timed(task: ThreadTask): Promise<{ readonly seconds: number; readonly found: readonly Float64Array[] }> {
    const started = performance.now();
    const found = await all(task);
    return { seconds: (performance.now() - started) / 1000, found };
  }
  return {
    async life() {
      await all("renew");
      Atomics.store(new Int32Array(next), 0, 0);
      const { seconds, found } = await timed("live");
      const counts = new Float64Array(found[0]!.length);
      for (const part of found) addCounts(counts, part);
      return { seconds, counts };
    },
    copyRate: async () => (threads * COPIED_BYTES) / (await timed("copy")).seconds,
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
