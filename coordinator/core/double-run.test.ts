import { describe, expect, test } from "vitest";
import { isDoubled, secondOf, stragglers } from "./double-run.ts";

describe("double runs", () => {
  test("1 in 100 blocks, the same ones for every leader, others at other ticks and in other runs", () => {
    const chosen = (run: string, tick: number): number[] => Array.from({ length: 10_000 }, (_, block) => block).filter((block) => isDoubled(run, tick, block));
    expect(chosen("a", 0)).toEqual(chosen("a", 0));
    // Binomial: 100 +- 10, at five deviations.
    for (const some of [chosen("a", 0), chosen("a", 1), chosen("b", 0)]) expect(Math.abs(some.length - 100)).toBeLessThan(50);
    expect(chosen("a", 0)).not.toEqual(chosen("a", 1));
    expect(chosen("a", 0)).not.toEqual(chosen("b", 0));
    expect(isDoubled("a", 0, 0, 1)).toBe(true);
  });

  test("run on another node, on another backend where there is one, and nowhere where there is no other node", () => {
    const wasm = { incarnation: "b", backends: ["wasm"] }, both = { incarnation: "c", backends: ["webgpu", "wasm", "reference"] };
    expect(secondOf([{ incarnation: "a", backends: ["wasm"] }], "a", "wasm", 0)).toBeNull();
    expect(secondOf([wasm, both], "a", "wasm", 0)).toEqual({ incarnation: "c", backend: "webgpu" });
    expect(secondOf([wasm, both], "a", "webgpu", 0)).toEqual({ incarnation: "b", backend: "wasm" });
    expect(secondOf([wasm, both], "a", "webgpu", 1)).toEqual({ incarnation: "c", backend: "wasm" });
    expect(secondOf([wasm], "a", "wasm", 3)).toEqual({ incarnation: "b", backend: "wasm" });
  });
});

describe("stragglers", () => {
  const shards = Array.from({ length: 4 }, (_, index) => ({ index, first: index, count: 1 }));
  const late = (tookMs: readonly (number | null)[], openMs: number): number[] => stragglers(shards, tookMs, openMs).map((shard) => shard.index);
  test("are those that have taken three times as long as the middle one of those that have reported, and no more than these", () => {
    expect(late([600, 700, null, null], 2000)).toEqual([2, 3]);
    expect(late([600, 700, null, null], 1700)).toEqual([]);
    expect(late([600, null, null, null], 60_000)).toEqual([1]);
    expect(late([null, null, null, null], 60_000)).toEqual([]);
    expect(late([600, 700, 800, 900], 60_000)).toEqual([]);
    // Short spans: a second longer at least.
    expect(late([10, 10, 10, null], 900)).toEqual([]);
    expect(late([10, 10, 10, null], 1100)).toEqual([3]);
  });
});
