import { describe, expect, test } from "vitest";
import { JunctionTree, PopulaceError, RandomStream, bayesianNetwork, betaInterval, drawStates, drawTables, entryInterval, forgetRows, learnStructure, learnTables, learnWithMissing, logGamma, topologicalOrder } from "../mod.ts";
import type { Arc, BayesianNetwork, NetworkRows } from "../mod.ts";
import { everyState, randomNetwork } from "./network.fixture.ts";

function rowsOf(network: BayesianNetwork, count: number, random: RandomStream, missing = 0): NetworkRows {
  const width = network.variables.length, order = topologicalOrder(network.parents);
  const states = new Int16Array(count * width);
  for (let row = 0; row < count; row++) {
    const target = states.subarray(row * width, (row + 1) * width);
    drawStates(network, order, random, target);
    for (let v = 0; v < width; v++) if (random.uniform() < missing) target[v] = -1;
  }
  return { states, rows: count, weight: null };
}

const part = (rows: NetworkRows, width: number, from: number, to: number): NetworkRows => ({ states: rows.states.slice(from * width, to * width), rows: to - from, weight: null });

const YES_NO = ["yes", "no"];
const PAIR = [{ name: "a", states: YES_NO }, { name: "b", states: YES_NO }];
/** a=yes b=yes 3 times, yes no once, no yes never, no no 4 times. */
const EIGHT: NetworkRows = { states: Int16Array.of(0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1), rows: 8, weight: null };

describe("tables", () => {
  test("are posterior means: counts plus half an observation a state, or the variable's own distribution", () => {
    const learned = learnTables("pair", PAIR, [[], [0]], EIGHT);
    expect([...learned.counts[1]]).toEqual([3, 1, 0, 4]);
    expect([...learned.network.tables[0]]).toEqual([0.5, 0.5]);
    // b over all rows: (3.5, 5.5) of 9, worth 0.5 / (3.5 / 9) observations.
    const weight = 0.5 / (3.5 / 9), alpha = weight * 3.5 / 9;
    expect(alpha).toBeCloseTo(0.5, 15);
    expect(learned.network.tables[1][0]).toBeCloseTo((3 + alpha) / (4 + weight), 14);
    expect(learned.network.tables[1][2]).toBeCloseTo(alpha / (4 + weight), 14);
    const interval = entryInterval(learned, 1, 1, 0), expected = betaInterval({ alpha, beta: 4 + weight - alpha });
    expect(interval.low).toBeCloseTo(expected.low, 12);
    expect(interval.high).toBeCloseTo(expected.high, 12);
  });

  test("hold a truth drawn from their prior as often as they say: 90 % intervals of 4,000 entries", () => {
    let inside = 0, all = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const random = RandomStream.of(seed, "coverage");
      const network = randomNetwork(5, random);
      const learned = learnTables("n", network.variables, network.parents, rowsOf(network, 400, random));
      network.tables.forEach((table, v) => {
        const states = network.variables[v].states.length;
        for (let row = 0; row < Math.min(4, table.length / states); row++) {
          const { low, high } = entryInterval(learned, v, row, 0);
          inside += low <= table[row * states] && table[row * states] <= high ? 1 : 0;
          all++;
        }
      });
    }
    // Entries of one network share rows, hence twice the binomial standard error.
    expect(all).toBeGreaterThan(2000);
    expect(Math.abs(inside / all - 0.9)).toBeLessThan(4 * 2 * Math.sqrt(0.09 / all));
  });

  test("without some subjects are those that never saw them, to the bit", () => {
    const network = randomNetwork(6, RandomStream.of(3, "forget"));
    const rows = rowsOf(network, 500, RandomStream.of(3, "rows"));
    const all = learnTables("n", network.variables, network.parents, rows);
    const never = learnTables("n", network.variables, network.parents, part(rows, 6, 20, 500));
    const forgotten = forgetRows(forgetRows(all, part(rows, 6, 0, 7)), part(rows, 6, 7, 20));
    expect(forgotten).toEqual(never);
    expect(all).not.toEqual(never);
  });

  test("refuse to forget who was never counted, and what is no whole number", () => {
    const learned = learnTables("pair", PAIR, [[], [0]], EIGHT);
    expect(() => forgetRows(learned, { states: Int16Array.of(1, 0), rows: 1, weight: null })).toThrow(/"b" where none was counted/);
    const weighted = learnTables("pair", PAIR, [[], [0]], { ...EIGHT, weight: new Float64Array(8).fill(0.3) });
    expect(() => forgetRows(weighted, part(EIGHT, 2, 0, 1))).toThrow(/learn it again/);
  });

  test("keep what cannot be at 0 and refuse rows in which it is", () => {
    const never = [{ variable: 1, state: 0, parent: 0, parentState: 1 }];
    const learned = learnTables("pair", PAIR, [[], [0]], EIGHT, never);
    expect(Array.from(learned.network.tables[1].subarray(2))).toEqual([0, 1]);
    expect(entryInterval(learned, 1, 1, 0)).toEqual({ low: 0, high: 0 });
    expect(drawTables(learned, RandomStream.of(1, "draw"))[1][2]).toBe(0);
    expect(() => learnTables("pair", PAIR, [[], [0]], { states: Int16Array.of(1, 0), rows: 1, weight: null }, never)).toThrow(expect.objectContaining({ code: "DEGENERATE_DATA" }) as Error);
  });

  test("drawn from the posterior have its mean and spread", () => {
    const learned = learnTables("pair", PAIR, [[], [0]], EIGHT), random = RandomStream.of(1, "draws");
    const draws = Array.from({ length: 4000 }, () => drawTables(learned, random)[1][0]);
    const mean = draws.reduce((sum, value) => sum + value / draws.length, 0), variance = draws.reduce((sum, value) => sum + (value - mean) ** 2 / draws.length, 0);
    const alpha = 3.5, beta = 1 + 0.5 / (3.5 / 9) - 0.5, expected = (alpha * beta) / ((alpha + beta) ** 2 * (alpha + beta + 1));
    expect(Math.abs(mean - alpha / (alpha + beta))).toBeLessThan(5 * Math.sqrt(expected / draws.length));
    expect(Math.abs(variance / expected - 1)).toBeLessThan(0.15);
  });
});

describe("expectation maximization", () => {
  test("on complete rows is the conjugate posterior", () => {
    const { learned, hasConverged } = learnWithMissing("pair", PAIR, [[], [0]], EIGHT);
    const complete = learnTables("pair", PAIR, [[], [0]], EIGHT);
    expect(hasConverged).toBe(true);
    learned.network.tables.forEach((table, v) => table.forEach((value, entry) => expect(value).toBeCloseTo(complete.network.tables[v][entry], 14)));
  });

  test("never lowers its objective, is deterministic, and ends where the gradient says", () => {
    const network = randomNetwork(5, RandomStream.of(8, "network"));
    const rows = rowsOf(network, 400, RandomStream.of(8, "rows"), 0.25);
    const { learned, objective, hasConverged } = learnWithMissing("n", network.variables, network.parents, rows, { tolerance: 1e-9 });
    expect(hasConverged).toBe(true);
    for (let round = 1; round < objective.length; round++) expect(objective[round]).toBeGreaterThanOrEqual(objective[round - 1] - 1e-9);
    expect(learnWithMissing("n", network.variables, network.parents, rows, { tolerance: 1e-9 }).learned).toEqual(learned);
    // The objective by brute force, and its fixed point: expected counts over all states that each row leaves open.
    const { tables } = learned.network;
    const counts = tables.map((table) => new Float64Array(table.length));
    let value = 0;
    for (let row = 0; row < rows.rows; row++) {
      const evidence = new Map(network.variables.flatMap((variable, v) => {
        const state = rows.states[row * 5 + v];
        return state < 0 ? [] : [[v, Float64Array.from(variable.states, (_, each) => (each === state ? 1 : 0))] as const];
      }));
      const all: { readonly states: readonly number[]; readonly probability: number }[] = [];
      everyState(learned.network, evidence, (states, probability) => { if (probability > 0) all.push({ states: [...states], probability }); });
      const total = all.reduce((sum, { probability }) => sum + probability, 0);
      value += Math.log(total);
      for (const { states, probability } of all) network.parents.forEach((parents, v) => {
        const at = parents.reduce((entry, parent) => entry * network.variables[parent].states.length + states[parent], 0);
        counts[v][at * network.variables[v].states.length + states[v]] += probability / total;
      });
    }
    tables.forEach((table, v) => table.forEach((probability, entry) => { value += learned.prior[v][entry] * Math.log(probability); }));
    expect(objective.at(-1)!).toBeCloseTo(value, 5);
    counts.forEach((table, v) => table.forEach((count, entry) => expect(Math.abs(count - learned.counts[v][entry])).toBeLessThan(1e-4)));
  });

  test("recovers tables from rows of which a quarter is missing, and filled-in rows narrow no interval", () => {
    const network = bayesianNetwork("pair", [{ name: "a", states: YES_NO, parents: [], table: [0.3, 0.7] }, { name: "b", states: YES_NO, parents: ["a"], table: [0.8, 0.2, 0.1, 0.9] }]);
    const rows = rowsOf(network, 8000, RandomStream.of(5, "rows"), 0.25);
    const { learned } = learnWithMissing("pair", network.variables, network.parents, rows);
    // Five standard errors of the 4,500 rows in which both are known.
    [0.8, 0.2, 0.1, 0.9].forEach((truth, entry) => expect(Math.abs(learned.network.tables[1][entry] - truth)).toBeLessThan(5 * Math.sqrt(0.16 / (4500 * 0.3))));
    const complete = learnTables("pair", network.variables, network.parents, rowsOf(network, 8000, RandomStream.of(5, "rows")));
    const width = ({ low, high }: { low: number; high: number }): number => high - low;
    expect(learned.observed[1]).toBeCloseTo(0.5625, 1);
    expect(width(entryInterval(learned, 1, 0, 0)) / width(entryInterval(complete, 1, 0, 0))).toBeGreaterThan(1.25);
    expect(() => forgetRows(learned, part(rows, 2, 0, 1))).toThrow(/learn it again/);
  });

  test("names a row that the impossible states rule out", () => {
    const rows: NetworkRows = { states: Int16Array.of(1, 0, 0, -1), rows: 2, weight: null };
    expect(() => learnWithMissing("pair", PAIR, [[], [0]], rows, { impossible: [{ variable: 1, state: 0, parent: 0, parentState: 1 }] })).toThrow(PopulaceError);
  });
});

describe("structure", () => {
  const sprinkler = bayesianNetwork("sprinkler", [
    { name: "cloudy", states: YES_NO, parents: [], table: [0.5, 0.5] },
    { name: "sprinkler", states: YES_NO, parents: ["cloudy"], table: [0.1, 0.9, 0.5, 0.5] },
    { name: "rain", states: YES_NO, parents: ["cloudy"], table: [0.8, 0.2, 0.2, 0.8] },
    { name: "wet", states: YES_NO, parents: ["sprinkler", "rain"], table: [0.99, 0.01, 0.9, 0.1, 0.9, 0.1, 0.01, 0.99] },
    { name: "alone", states: YES_NO, parents: [], table: [0.4, 0.6] },
  ]);
  const rows = rowsOf(sprinkler, 4000, RandomStream.of(1, "rows"));
  const skeleton = (parents: readonly (readonly number[])[]): readonly string[] => parents.flatMap((of, v) => of.map((parent) => `${Math.min(parent, v)}-${Math.max(parent, v)}`)).toSorted();

  test.each(["bdeu", "bic"] as const)("of a known network is found by %s: its skeleton and what determines its collider", (score) => {
    const found = learnStructure(sprinkler.variables, rows, { score });
    expect(skeleton(found.parents)).toEqual(["0-1", "0-2", "1-3", "2-3"]);
    expect(found.parents[3]).toEqual([1, 2]);
    expect(learnStructure(sprinkler.variables, rows, { score })).toEqual(found);
    // Here hill climbing is caught in an optimum with two more arcs, which tabu search leaves.
    expect(learnStructure(sprinkler.variables, rows, { score, search: "hill-climbing" }).score).toBeLessThan(found.score - 1);
  });

  test("keeps required arcs, leaves forbidden ones out and obeys the limit of parents", () => {
    const required: readonly Arc[] = [[4, 0]], forbidden: readonly Arc[] = [[0, 1], [1, 0]];
    const { parents } = learnStructure(sprinkler.variables, rows, { required, forbidden, parentsMax: 1 });
    expect(parents[0]).toContain(4);
    expect(parents[1]).not.toContain(0);
    expect(Math.max(...parents.map((of) => of.length))).toBe(1);
  });

  test("that is required and cannot be is refused with the reason", () => {
    const learn = (options: object): (() => unknown) => () => learnStructure(sprinkler.variables, rows, options);
    expect(learn({ required: [[0, 1], [1, 2], [2, 0]] })).toThrow(/cycle: .*cloudy -> sprinkler -> rain|cycle: .*rain -> cloudy -> sprinkler|cycle: .*sprinkler -> rain -> cloudy/);
    expect(learn({ required: [[0, 1]], forbidden: [[0, 1]] })).toThrow(/cloudy -> sprinkler is required and forbidden/);
    expect(learn({ required: [[0, 3], [1, 3]], parentsMax: 1 })).toThrow(/2 parents of "wet" are required, at most 1/);
  });

  test("scores are the closed forms of one table, and equal for both directions of an arc", () => {
    const forward = learnStructure(PAIR, EIGHT, { required: [[0, 1]], equivalentSampleSize: 4 }), backward = learnStructure(PAIR, EIGHT, { required: [[1, 0]], equivalentSampleSize: 4 });
    expect(forward.score).toBeCloseTo(backward.score, 12);
    const term = (alpha: number, count: number): number => logGamma(alpha + count) - logGamma(alpha);
    const a = 2 * term(2, 4) - term(4, 8), b = term(1, 3) + term(1, 1) - term(2, 4) + term(1, 4) - term(2, 4);
    expect(forward.score).toBeCloseTo(a + b, 12);
    const bic = learnStructure(PAIR, EIGHT, { required: [[0, 1]], score: "bic" });
    expect(bic.score).toBeCloseTo(8 * Math.log(0.5) + 3 * Math.log(0.75) + Math.log(0.25) - 1.5 * Math.log(8), 12);
  });
});

test("a learned network answers questions like any other", () => {
  const learned = learnTables("pair", PAIR, [[], [0]], EIGHT);
  const [a] = new JunctionTree(learned.network).beliefs(new Map([[1, Float64Array.of(1, 0)]])).marginals;
  const [yes, no] = [0.5 * learned.network.tables[1][0], 0.5 * learned.network.tables[1][2]];
  expect(a[0]).toBeCloseTo(yes / (yes + no), 14);
});
