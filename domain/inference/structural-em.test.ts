import { describe, expect, test } from "vitest";
import { RandomStream, bayesianNetwork, drawStates, learnStructure, learnStructureWithMissing, topologicalOrder } from "../mod.ts";
import type { BayesianNetwork, NetworkRows } from "../mod.ts";

const YES_NO = ["yes", "no"];
const SPRINKLER = bayesianNetwork("sprinkler", [
  { name: "cloudy", states: YES_NO, parents: [], table: [0.5, 0.5] },
  { name: "sprinkler", states: YES_NO, parents: ["cloudy"], table: [0.2, 0.8, 0.6, 0.4] },
  { name: "rain", states: YES_NO, parents: ["cloudy"], table: [0.7, 0.3, 0.3, 0.7] },
  { name: "wet", states: YES_NO, parents: ["sprinkler", "rain"], table: [0.95, 0.05, 0.7, 0.3, 0.7, 0.3, 0.1, 0.9] },
  { name: "alone", states: YES_NO, parents: [], table: [0.4, 0.6] },
]);
const SKELETON = ["0-1", "0-2", "1-3", "2-3"];

/** Rows of a network; `hides` says whether a state is lost, given the whole row. */
function rowsOf(network: BayesianNetwork, count: number, random: RandomStream, hides: (v: number, row: ArrayLike<number>) => boolean): NetworkRows {
  const width = network.variables.length, order = topologicalOrder(network.parents), states = new Int16Array(count * width);
  for (let row = 0; row < count; row++) {
    const own = states.subarray(row * width, (row + 1) * width);
    drawStates(network, order, random, own);
    const whole = own.slice();
    for (let v = 0; v < width; v++) if (hides(v, whole)) own[v] = -1;
  }
  return { states, rows: count, weight: null };
}

function completeRows({ states, rows }: NetworkRows, width: number): NetworkRows {
  const kept = Array.from({ length: rows }, (_, row) => [...states.subarray(row * width, (row + 1) * width)]).filter((row) => row.every((state) => state >= 0));
  return { states: Int16Array.from(kept.flat()), rows: kept.length, weight: null };
}

const skeleton = (parents: readonly (readonly number[])[]): readonly string[] => parents.flatMap((of, v) => of.map((parent) => `${Math.min(parent, v)}-${Math.max(parent, v)}`)).toSorted();
/** Arcs too few and too many. */
const errors = (parents: readonly (readonly number[])[], truth: readonly string[]): number => {
  const found = skeleton(parents);
  return truth.filter((arc) => !found.includes(arc)).length + found.filter((arc) => !truth.includes(arc)).length;
};

describe("structural expectation maximization", () => {
  test.each(["bdeu", "bic"] as const)("finds arcs (%s) that complete rows are too few to show, over 10 worlds", (score) => {
    let filled = 0, dropped = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const random = RandomStream.of(seed, "holes"), rows = rowsOf(SPRINKLER, 800, random, () => random.uniform() < 0.45);
      filled += errors(learnStructureWithMissing("sprinkler", SPRINKLER.variables, rows, { score }).structure.parents, SKELETON);
      dropped += errors(learnStructure(SPRINKLER.variables, completeRows(rows, 5), { score }).parents, SKELETON);
    }
    // Of 40 arcs.
    expect(dropped).toBeGreaterThan(10);
    expect(filled).toBeLessThan(dropped / 2);
  });

  test("finds no arc that only the choice of complete rows makes", () => {
    // Two coins and a third variable that is mostly lost where the coins differ: among complete rows they agree.
    const coins = bayesianNetwork("coins", [
      { name: "a", states: YES_NO, parents: [], table: [0.5, 0.5] }, { name: "b", states: YES_NO, parents: [], table: [0.5, 0.5] }, { name: "c", states: YES_NO, parents: ["a"], table: [0.8, 0.2, 0.3, 0.7] },
    ]);
    for (let seed = 1; seed <= 10; seed++) {
      const random = RandomStream.of(seed, "chosen"), rows = rowsOf(coins, 1500, random, (v, row) => v === 2 && row[0] !== row[1] && random.uniform() < 0.9);
      expect(skeleton(learnStructure(coins.variables, completeRows(rows, 3)).parents), `seed ${seed}`).toContain("0-1");
      expect(skeleton(learnStructureWithMissing("coins", coins.variables, rows).structure.parents), `seed ${seed}`).toEqual(["0-2"]);
    }
  });

  test("on complete rows finds what a search finds; keeps required and forbidden arcs; is the same twice", () => {
    const rows = rowsOf(SPRINKLER, 3000, RandomStream.of(1, "rows"), () => false);
    const { structure, rounds, hasConverged, leftOut } = learnStructureWithMissing("sprinkler", SPRINKLER.variables, rows), plain = learnStructure(SPRINKLER.variables, rows);
    expect(structure.parents).toEqual(plain.parents);
    expect(structure.score).toBeCloseTo(plain.score, 8);
    expect([rounds, hasConverged, leftOut]).toEqual([1, true, 0]);
    const random = RandomStream.of(2, "rows"), holes = rowsOf(SPRINKLER, 500, random, () => random.uniform() < 0.3), options = { required: [[4, 0]], forbidden: [[0, 1], [1, 0]] } as const;
    const ruled = learnStructureWithMissing("sprinkler", SPRINKLER.variables, holes, options);
    expect(ruled.structure.parents[0]).toContain(4);
    expect(skeleton(ruled.structure.parents)).not.toContain("0-1");
    expect(learnStructureWithMissing("sprinkler", SPRINKLER.variables, holes, options)).toEqual(ruled);
  });

  test("rows without anything known change no arc, and no complete row is needed", () => {
    const random = RandomStream.of(3, "rows");
    // Each row lacks one of the first four states, and so no row is complete.
    let turn = 0;
    const rows = rowsOf(SPRINKLER, 3000, random, (v) => v === (v === 0 ? (turn = random.integer(4)) : turn));
    expect(completeRows(rows, 5).rows).toBe(0);
    const found = learnStructureWithMissing("sprinkler", SPRINKLER.variables, rows);
    expect(errors(found.structure.parents, SKELETON)).toBeLessThanOrEqual(1);
    const empty = { states: Int16Array.from([...rows.states, ...new Array<number>(50).fill(-1)]), rows: rows.rows + 10, weight: null };
    expect(skeleton(learnStructureWithMissing("sprinkler", SPRINKLER.variables, empty).structure.parents)).toEqual(skeleton(found.structure.parents));
  });
});
