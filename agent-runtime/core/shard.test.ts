import { samplePlan } from "@populace/kernels/sample-plan";
import { blocksOf, type Plan } from "@populace/protocol";
import { describe, expect, it } from "vitest";
import { assembleShardOut, personasOf, type ShardPart, spreadBlocks } from "./shard.ts";

const plan: Plan = samplePlan(1, { agents: [10, 70_000, 5], ticks: 2, worlds: 2, scenarios: 2 });
const blocks = blocksOf(plan);
const row = plan.worlds * (plan.steps.length + 3);

describe("shard", () => {
  it("covers the personas of its blocks", () => {
    expect(blocks.map((block) => block.persona)).toEqual([0, 1, 1, 2]);
    expect(personasOf(blocks, { index: 0, first: 0, count: 4 })).toEqual([0, 3]);
    expect(personasOf(blocks, { index: 0, first: 2, count: 2 })).toEqual([1, 2]);
  });

  it("puts every part in its place and adds parts of one persona, in whatever order they come", () => {
    const shard = { index: 3, first: 1, count: 3 }, span = 2;
    const part = (persona: number, fill: number): ShardPart => ({
      shard: 3, persona, counts: Uint32Array.from({ length: span * plan.cells.length * row }, (_, i) => fill + i), sections: new Uint32Array(span * 4).fill(fill),
    });
    const parts = [part(1, 100), part(2, 1000), part(1, 7), { ...part(1, 5), shard: 2 }];
    const hashes = [1, 2, 3].map((block) => ({ block, hashes: new Uint8Array(span * 64).fill(block), state: new Uint8Array(32).fill(block) }));
    const header = { run: "r", attempt: 1, tick: 0, span, view: 1, incarnation: "n", backend: "reference" };
    const out = assembleShardOut(header, plan, blocks, shard, parts, hashes);
    expect(assembleShardOut(header, plan, blocks, shard, parts.toReversed(), hashes.toReversed())).toEqual(out);
    expect(out.personas).toEqual([1, 2]);
    const cells = plan.cells.length;
    for (let tick = 0; tick < span; tick++) for (let cell = 0; cell < cells; cell++) for (let i = 0; i < row; i++) {
      const from = (tick * cells + cell) * row + i, to = (tick * cells + cell) * 2 * row + i;
      expect([out.counts[to], out.counts[to + row]]).toEqual([107 + 2 * from, 1000 + from]);
    }
    expect([...out.sections]).toEqual([107, 107, 107, 107, 1000, 1000, 1000, 1000, 107, 107, 107, 107, 1000, 1000, 1000, 1000]);
    expect([0, 1, 2, 3, 4, 5].map((leaf) => out.hashes[leaf * 64])).toEqual([1, 2, 3, 1, 2, 3]);
    expect([...out.states]).toEqual([1, 2, 3].flatMap((block) => new Array<number>(32).fill(block)));
  });

  it("spreads blocks over workers so that none has more than its share and one block", () => {
    const many = Array.from({ length: 40 }, (_, i) => ({ persona: 0, index: i, firstAgent: 0, agents: 65_536 - 1000 * i }));
    const placed = spreadBlocks(many, many.map((_, i) => i), 7), load = new Array<number>(7).fill(0);
    for (const [block, worker] of placed) load[worker] += many[block].agents;
    const total = many.reduce((sum, block) => sum + block.agents, 0);
    expect(placed.size).toBe(40);
    expect(Math.max(...load)).toBeLessThanOrEqual(total / 7 + 65_536);
  });
});
