import { describe, expect, test } from "vitest";
import { RandomStream, bayesianNetwork, cycleOf, drawStates, evidenceOf, topologicalOrder } from "../mod.ts";
import type { PopulaceError, StatedVariable } from "../mod.ts";

const YES_NO = ["yes", "no"];
const variable = (name: string, parents: readonly string[], table: readonly number[], states = YES_NO): StatedVariable => ({ name, states, parents, table });

const failureOf = (work: () => unknown): PopulaceError => {
  try {
    work();
  } catch (error) {
    return error as PopulaceError;
  }
  throw new TypeError("nothing was refused");
};

describe("a network", () => {
  test("with a cycle is refused with the variables of the cycle in the order of its arcs", () => {
    const error = failureOf(() => bayesianNetwork("loop", [
      variable("free", [], [0.5, 0.5]), variable("a", ["c"], [0.5, 0.5, 0.5, 0.5]), variable("b", ["a", "free"], Array<number>(8).fill(0.5)), variable("c", ["b"], [0.5, 0.5, 0.5, 0.5]),
    ]));
    expect(error.code).toBe("BAD_NETWORK");
    const cycle = error.details["cycle"] as readonly string[];
    expect(cycle.toSorted()).toEqual(["a", "b", "c"]);
    const arcs = cycle.map((name, at) => `${name} -> ${cycle[(at + 1) % 3]}`);
    expect(arcs.toSorted()).toEqual(["a -> b", "b -> c", "c -> a"]);
    expect(error.message).toContain(`${cycle.join(" -> ")} -> ${cycle[0]}`);
  });

  test("normalizes rows that are off by up to 1e-6, says so, and refuses others", () => {
    const { tables: [table], notes } = bayesianNetwork("rounded", [variable("a", [], [0.3333333, 0.6666666])]);
    expect(table[0] + table[1]).toBeCloseTo(1, 15);
    expect(table[0]).toBeCloseTo(0.3333333 / 0.9999999, 14);
    expect(notes).toEqual([expect.stringMatching(/"a": 1 of 1 rows .* 1\.0e-7/)]);
    const error = failureOf(() => bayesianNetwork("off", [variable("a", [], [0.5, 0.5]), variable("b", ["a"], [0.5, 0.5, 0.3, 0.699998])]));
    expect(error.message).toMatch(/row 2 of "b" adds to 0\.99999/);
    expect(bayesianNetwork("exact", [variable("a", [], [0.1, 0.2, 0.7], ["x", "y", "z"])]).notes).toEqual([]);
  });

  test.each([
    ["an unknown parent", [variable("smoke", [], [1, 0]), variable("a", ["smok"], [1, 0, 0, 1])], /did you mean "smoke"/],
    ["a name twice", [variable("a", [], [1, 0]), variable("a", [], [1, 0])], /stated twice/],
    ["a state twice", [variable("a", [], [1, 0], ["x", "x"])], /the state "x" twice/],
    ["no states", [variable("a", [], [], [])], /no states/],
    ["a parent twice", [variable("a", [], [1, 0]), variable("b", ["a", "a"], Array<number>(8).fill(0.5))], /a parent twice/],
    ["a table of another size", [variable("a", [], [1, 0]), variable("b", ["a"], [1, 0])], /holds 2 numbers; expected 2 rows of 2/],
    ["NaN in a table", [variable("a", [], [NaN, 1])], /row 1 of "a" holds NaN/],
    ["a negative probability", [variable("a", [], [-0.5, 1.5])], /row 1 of "a" holds -0.5/],
    ["nothing", [], /no variables/],
  ] as const)("with %s is refused by name", (_, stated, message) => {
    const error = failureOf(() => bayesianNetwork("bad", stated));
    expect(error.code).toBe("BAD_NETWORK");
    expect(error.message).toMatch(message);
  });

  test("with a table beyond the limit is refused before it is looked at", () => {
    const parents = Array.from({ length: 23 }, (_, i) => `p${i}`);
    const error = failureOf(() => bayesianNetwork("wide", [...parents.map((name) => variable(name, [], [0.5, 0.5])), variable("child", parents, [])]));
    expect([error.code, error.details["variable"]]).toEqual(["TOO_LARGE", "child"]);
  });
});

describe("evidence", () => {
  const network = bayesianNetwork("n", [variable("a", [], [0.2, 0.8]), variable("b", ["a"], [0.5, 0.5, 0.1, 0.9])]);

  test("names what is unknown and what was probably meant", () => {
    expect(failureOf(() => evidenceOf(network, { a: "yess" }))).toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining('did you mean "yes"') as string });
    expect(failureOf(() => evidenceOf(network, { zzzzzz: "yes" })).message).toContain("there are a, b");
  });

  test("of the soft kind gives every state a likelihood of 0 to 1, not all 0", () => {
    expect(failureOf(() => evidenceOf(network, {}, { a: { yes: 0.5 } })).message).toContain('"no" has no likelihood');
    expect(failureOf(() => evidenceOf(network, {}, { a: { yes: 0, no: 0 } })).message).toContain("at least one");
    expect(failureOf(() => evidenceOf(network, {}, { a: { yes: NaN, no: 1 } })).message).toContain("NaN");
    expect([...evidenceOf(network, { a: "yes" }, { a: { yes: 0.25, no: 1 } }).get(0)!]).toEqual([0.25, 0]);
  });
});

test("an order puts parents before children and takes the lowest index where there is a choice", () => {
  expect(topologicalOrder([[2], [], [1], []])).toEqual([1, 2, 0, 3]);
  expect(cycleOf([[2], [], [1], []])).toBeNull();
});

test("drawn rows have the shares of the network and never a state of probability 0", () => {
  const network = bayesianNetwork("n", [variable("b", ["a"], [0, 0.5, 0.5, 0.9, 0.1, 0], ["x", "y", "z"]), variable("a", [], [0.2, 0.8])]);
  const random = RandomStream.of(1, "rows"), order = topologicalOrder(network.parents), row = [0, 0];
  const counts = new Float64Array(6);
  const n = 20_000;
  for (let i = 0; i < n; i++) {
    drawStates(network, order, random, row);
    counts[row[1] * 3 + row[0]]++;
  }
  [0, 0.1, 0.1, 0.72, 0.08, 0].forEach((p, at) => {
    if (p === 0) expect(counts[at]).toBe(0);
    // Five standard errors.
    else expect(Math.abs(counts[at] / n - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / n));
  });
});
