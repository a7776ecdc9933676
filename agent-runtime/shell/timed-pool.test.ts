import { expect, it } from "vitest";
import { timedPool } from "./timed-pool.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** A pool whose pieces of work take so long and count so many exposures. */
function measured(pieces: number, pieceMs: number, exposuresEach: number): Promise<number | null> {
  let nowMs = 0, exposures = 0;
  const pool: WorkerPool = {
    size: 1, exposures: () => exposures, tell() {}, close: async () => {},
    async ask() {
      nowMs += pieceMs;
      exposures += exposuresEach;
      return { kind: "held", ticket: 0, hashes: [] };
    },
  };
  const timed = timedPool(pool, { monotonicMs: () => nowMs });
  return Array.from({ length: pieces }).reduce<Promise<unknown>>((before) => before.then(() => timed.ask(0, { kind: "hold", key: "k", blocks: [], replayFrom: 0, climates: [] })), Promise.resolve()).then(() => timed.exposuresPerSecond());
}

it("a node's speed is that of long pieces of much work, and nothing else's", async () => {
  expect(await measured(10, 100, 1_000_000)).toBe(10_000_000);
  // A thread's start takes half a second and computes a few hundred agents.
  expect(await measured(2, 400, 300)).toBeNull();
  expect(await measured(1000, 5, 100_000)).toBeNull();
  expect(await measured(1, 100, 10_000_000)).toBeNull();
});
