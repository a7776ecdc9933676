import { RandomStream } from "@populace/domain";
import { describe, expect, test } from "vitest";
import { leastBusy, place, steadyWeights, type Candidate } from "./placement.ts";

const nodes = (count: number, weight: (node: number) => number = () => 1): Candidate[] =>
  Array.from({ length: count }, (_, node) => ({ incarnation: `node-${node}`, weight: weight(node), isDraining: false }));
const even = (count: number): number[] => new Array<number>(count).fill(1);
const moved = (before: readonly string[], after: readonly string[]): number => after.filter((owner, shard) => owner !== before[shard]).length;

/** Largest load over its fair share. */
function imbalance(costs: readonly number[], candidates: readonly Candidate[], owners: readonly string[]): number {
  const total = costs.reduce((sum, cost) => sum + cost, 0), weights = candidates.reduce((sum, node) => sum + node.weight, 0);
  return Math.max(...candidates.map(({ incarnation, weight }) => (costs.reduce((sum, cost, shard) => sum + (owners[shard] === incarnation ? cost : 0), 0) * weights) / (total * weight)));
}

/** Unbounded rendezvous hashing and modulo, the peers. */
const rendezvous = (count: number, candidates: readonly Candidate[]): string[] => {
  const draws = candidates.map((node) => { const stream = RandomStream.of("peer", node.incarnation); return Array.from({ length: count }, () => stream.uniform()); });
  return Array.from({ length: count }, (_, shard) => candidates[draws.reduce((best, draw, node) => (draw[shard] > draws[best][shard] ? node : best), 0)].incarnation);
};
const modulo = (count: number, candidates: readonly Candidate[]): string[] => Array.from({ length: count }, (_, shard) => candidates[shard % candidates.length].incarnation);

describe("placement", () => {
  test("256 shards, 8 nodes, one leaves: at most 1.1 of the ideal moves and 1.05 of the mean, whichever leaves; plain rendezvous and modulo do worse", () => {
    const costs = even(256), all = nodes(8);
    const owners = place("run", costs, all, null);
    expect(imbalance(costs, all, owners)).toBeLessThanOrEqual(1.05);
    const rows = all.map((gone) => {
      const rest = all.filter((node) => node !== gone);
      const next = place("run", costs, rest, owners);
      expect(next.every((owner, shard) => owner === owners[shard] || owners[shard] === gone.incarnation)).toBe(true);
      const plain = rendezvous(256, rest);
      return {
        moves: moved(owners, next), balance: imbalance(costs, rest, next),
        plainMoves: moved(rendezvous(256, all), plain), plainBalance: imbalance(costs, rest, plain), moduloMoves: moved(modulo(256, all), modulo(256, rest)),
      };
    });
    const worst = (key: keyof (typeof rows)[number]): number => Math.max(...rows.map((row) => row[key]));
    console.log(`256 shards, 8 nodes, one leaves (ideal 32 moves): bounded ${worst("moves")} moves, max/mean ${worst("balance").toFixed(3)}; plain rendezvous ${worst("plainMoves")}, ${worst("plainBalance").toFixed(3)}; modulo ${worst("moduloMoves")} moves`);
    expect(worst("moves")).toBeLessThanOrEqual(1.1 * 32);
    expect(worst("balance")).toBeLessThanOrEqual(1.05);
    expect(worst("plainBalance")).toBeGreaterThan(1.1);
    expect(worst("moduloMoves")).toBeGreaterThan(200);
  });

  test("a node that joins takes its share and next to nothing moves between the others", () => {
    const costs = even(256), seven = nodes(7), eight = nodes(8);
    const before = place("run", costs, seven, null), after = place("run", costs, eight, before);
    console.log(`joins: ${moved(before, after)} moves, ${after.filter((owner) => owner === "node-7").length} to the new node (ideal 32), max/mean ${imbalance(costs, eight, after).toFixed(3)}`);
    expect(after.filter((owner, shard) => owner !== before[shard] && owner !== "node-7").length).toBeLessThanOrEqual(3);
    expect(moved(before, after)).toBeLessThanOrEqual(32);
    expect(imbalance(costs, eight, after)).toBeLessThanOrEqual(1.06);
  });

  test("1 to 8 to 3 to 8 nodes: every step stays within the bound and moves little more than it must", () => {
    const costs = even(256);
    let owners = place("run", costs, nodes(1), null);
    for (const [from, to] of [[1, 8], [8, 3], [3, 8]]) {
      const next = place("run", costs, nodes(to), owners);
      const ideal = to > from ? (256 * (to - from)) / to : owners.filter((owner) => !nodes(to).some((node) => node.incarnation === owner)).length;
      expect(moved(owners, next), `${from} to ${to}`).toBeLessThanOrEqual(1.1 * ideal);
      expect(imbalance(costs, nodes(to), next), `${from} to ${to}`).toBeLessThanOrEqual(1.06);
      owners = next;
    }
  });

  test("speeds that change a little move nothing; one that halves loses about the half", () => {
    const costs = even(256), random = RandomStream.of(1, "speeds");
    const speeds = new Map(nodes(8).map((node) => [node.incarnation, 1]));
    const before = place("run", costs, nodes(8), null);
    const noisy = steadyWeights(speeds, new Map([...speeds.keys()].map((incarnation) => [incarnation, 0.85 + 0.3 * random.uniform()])));
    expect(place("run", costs, nodes(8).map((node) => ({ ...node, weight: noisy.get(node.incarnation)! })), before)).toEqual(before);
    const halved = steadyWeights(speeds, new Map([...speeds].map(([incarnation, speed]) => [incarnation, incarnation === "node-3" ? speed / 2 : speed])));
    const slower = nodes(8).map((node) => ({ ...node, weight: halved.get(node.incarnation)! }));
    const after = place("run", costs, slower, before);
    expect(imbalance(costs, slower, after)).toBeLessThanOrEqual(1.06);
    expect(after.every((owner, shard) => owner === before[shard] || before[shard] === "node-3")).toBe(true);
    expect(moved(before, after)).toBeLessThanOrEqual(16);
  });

  test("in the middle of a tick only what lost its owner moves, and a draining node keeps what it has and gets nothing", () => {
    const costs = even(64), all = nodes(4).map((node) => ({ ...node, isDraining: node.incarnation === "node-1" }));
    const before = place("run", costs, nodes(4), null);
    const alive = all.filter((node) => node.incarnation !== "node-2");
    const after = place("run", costs, alive, before, true);
    expect(after.every((owner, shard) => (before[shard] === "node-2" ? owner !== "node-1" && owner !== "node-2" : owner === before[shard]))).toBe(true);
    const drained = place("run", costs, alive, after);
    expect(drained).not.toContain("node-1");
    expect(drained.every((owner, shard) => owner === after[shard] || after[shard] === "node-1")).toBe(true);
    expect(new Set(place("run", costs, all.map((node) => ({ ...node, isDraining: true })), before)).size).toBe(4);
  });

  test("the next run of one shard goes where it would end first: not to a busy node, sooner to a fast one, to a draining one only if all drain", () => {
    const node = (incarnation: string, weight: number, isDraining = false): Candidate => ({ incarnation, weight, isDraining });
    const names = (held: readonly string[], ...all: readonly Candidate[]): readonly string[] => leastBusy(all, held).map(({ incarnation }) => incarnation);
    expect(names([], node("a", 1), node("b", 1))).toEqual(["a", "b"]);
    expect(names(["a"], node("a", 1), node("b", 1))).toEqual(["b"]);
    expect(names(["a"], node("a", 3), node("b", 1))).toEqual(["a"]);
    expect(names(["a", "a", "a"], node("a", 3), node("b", 1))).toEqual(["b"]);
    expect(names(["a"], node("a", 1), node("b", 1, true))).toEqual(["a"]);
    expect(names([], node("a", 1, true), node("b", 1, true))).toEqual(["a", "b"]);
  });

  test("runs of one shard are spread over the nodes", () => {
    const held = Array.from({ length: 400 }, (_, run) => place(`run ${run}`, [1], nodes(4), null)[0]);
    // Binomial: 100 +- 9, at five deviations.
    for (const { incarnation } of nodes(4)) expect(Math.abs(held.filter((owner) => owner === incarnation).length - 100)).toBeLessThan(45);
  });

  test("of any costs, speeds and histories: everybody owned, placed once more the same, no node above its bound by more than a shard", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const random = RandomStream.of(seed, "placements"), pick = (below: number): number => Math.floor(random.uniform() * below);
      const costs = Array.from({ length: 1 + pick(120) }, () => 1 + pick(seed % 2 === 0 ? 3 : 100));
      const candidates = nodes(1 + pick(9), () => 0.5 + 3 * random.uniform());
      const former = [...candidates.map((node) => node.incarnation), "gone", ""];
      const before = seed % 3 === 0 ? null : costs.map(() => former[pick(former.length)]);
      const owners = place("run", costs, candidates, before);
      const context = `seed ${seed}`;
      expect(owners.every((owner) => candidates.some((node) => node.incarnation === owner)), context).toBe(true);
      expect(place("run", costs, candidates, owners), context).toEqual(owners);
      expect(place("run", costs, candidates.toReversed(), before), context).toEqual(owners);
      const total = costs.reduce((sum, cost) => sum + cost, 0), weights = candidates.reduce((sum, node) => sum + node.weight, 0);
      for (const { incarnation, weight } of candidates) {
        const load = costs.reduce((sum, cost, shard) => sum + (owners[shard] === incarnation ? cost : 0), 0);
        expect(load, `${context}, ${incarnation}`).toBeLessThanOrEqual(1.05 * total * (weight / weights) + Math.max(...costs));
      }
    }
  });
});
