import { describe, expect, test } from "vitest";
import { JunctionTree, RandomStream, bayesianNetwork, eliminate, evidenceOf, mostProbable } from "../mod.ts";
import type { BayesianNetwork, NetworkEvidence, PopulaceError } from "../mod.ts";
import { everyState, randomNetwork } from "./network.fixture.ts";

/** Two ways of adding the same few hundred doubles. */
const ROUNDING = 1e-12;

function randomEvidence(network: BayesianNetwork, random: RandomStream): NetworkEvidence {
  const evidence = new Map<number, Float64Array>();
  network.variables.forEach(({ states }, v) => {
    const kind = random.integer(4);
    if (kind === 0) evidence.set(v, Float64Array.from(states, () => random.uniform()));
    if (kind === 1) {
      const certain = random.integer(states.length);
      evidence.set(v, Float64Array.from(states, (_, state) => (state === certain ? 1 : 0)));
    }
  });
  return evidence;
}

const farthest = (ours: Float64Array, sums: Float64Array, total: number): number => Math.max(...ours.map((value, at) => Math.abs(value - sums[at] / total)));

const asCode = (work: () => unknown): string => {
  try {
    work();
    return "done";
  } catch (error) {
    return (error as PopulaceError).code;
  }
};

describe("beliefs of random networks under hard and soft evidence (the seed is in the name)", () => {
  for (let seed = 1; seed <= 40; seed++) {
    test(`equal the sum over all states and variable elimination: seed ${seed}`, () => {
      const random = RandomStream.of(seed, "network");
      const network = randomNetwork(3 + random.integer(5), random, seed % 3 === 0 ? 0.3 : 0);
      const evidence = randomEvidence(network, random);
      const together = network.variables.map((_, v) => v).filter(() => random.uniform() < 0.4);
      random.shuffle(together);
      const expected = new Float64Array(together.reduce((size, v) => size * network.variables[v].states.length, 1));
      const entryOf = (states: readonly number[]): number => together.reduce((at, v) => at * network.variables[v].states.length + states[v], 0);
      const marginals = network.variables.map(({ states }) => new Float64Array(states.length));
      let total = 0, best = 0;
      const atState = new Map<string, number>();
      everyState(network, evidence, (states, probability) => {
        expected[entryOf(states)] += probability;
        states.forEach((state, v) => (marginals[v][state] += probability));
        total += probability;
        atState.set(states.join(), probability);
        best = Math.max(best, probability);
      });
      const tree = new JunctionTree(network, together);
      if (total === 0) {
        expect([asCode(() => tree.beliefs(evidence)), asCode(() => eliminate(network, together, evidence)), asCode(() => mostProbable(network, null, evidence))]).toEqual(Array(3).fill("IMPOSSIBLE_EVIDENCE"));
        return;
      }
      const beliefs = tree.beliefs(evidence), eliminated = eliminate(network, together, evidence);
      expect(farthest(beliefs.joint, expected, total)).toBeLessThan(ROUNDING);
      expect(farthest(eliminated.joint, expected, total)).toBeLessThan(ROUNDING);
      marginals.forEach((marginal, v) => expect(farthest(beliefs.marginals[v], marginal, total)).toBeLessThan(ROUNDING));
      expect(Math.abs(Math.exp(beliefs.logEvidence) - total)).toBeLessThan(ROUNDING);
      expect(Math.abs(Math.exp(eliminated.logEvidence) - total)).toBeLessThan(ROUNDING);
      // The likeliest explanation, and the likeliest states of some variables with the others summed out.
      const explained = mostProbable(network, network.variables.map((_, v) => v), evidence);
      expect(Math.abs(Math.exp(explained.logProbability) - best / total)).toBeLessThan(ROUNDING);
      expect(Math.abs(atState.get(explained.states.join())! - best)).toBeLessThan(ROUNDING);
      const some = mostProbable(network, together, evidence), most = Math.max(...expected);
      expect(Math.abs(Math.exp(some.logProbability) - most / total)).toBeLessThan(ROUNDING);
      const stateOf = network.variables.map((_, v) => some.states[together.indexOf(v)] ?? 0);
      expect(Math.abs(expected[entryOf(stateOf)] - most)).toBeLessThan(ROUNDING);
    });
  }
});

describe("a junction tree", () => {
  const coin = (name: string, parents: readonly string[] = []): { name: string; states: string[]; parents: readonly string[]; table: number[] } => ({ name, states: ["yes", "no"], parents, table: Array<number[]>(2 ** parents.length).fill([0.5, 0.5]).flat() });

  test("holds every family in a clique and joins parts that nothing connects", () => {
    const tree = new JunctionTree(bayesianNetwork("parts", [coin("a"), coin("b", ["a"]), coin("c"), coin("d", ["c"])]));
    expect(tree.cliques).toEqual([[0, 1], [2, 3]]);
    expect([tree.treewidth, tree.entries]).toEqual([1, 8]);
    const beliefs = tree.beliefs(evidenceOf(bayesianNetwork("parts", [coin("a"), coin("b", ["a"]), coin("c"), coin("d", ["c"])]), { a: "yes", d: "no" }));
    expect(Math.exp(beliefs.logEvidence)).toBeCloseTo(0.25, 15);
  });

  test("fills in a circle of neighbors with as few arcs as can be: width 2", () => {
    // Moral graph: a ring of eight, which any triangulation turns into six triangles.
    const ring = bayesianNetwork("ring", [coin("v0"), ...[1, 2, 3, 4, 5, 6].map((v) => coin(`v${v}`, [`v${v - 1}`])), coin("v7", ["v6"]), coin("end", ["v0", "v7"])]);
    const tree = new JunctionTree(ring);
    expect(tree.treewidth).toBe(2);
  });

  test("beyond the limit is refused with the largest clique and the reason, before it takes memory", () => {
    const parents = Array.from({ length: 20 }, (_, v) => `p${v}`);
    const pairs = parents.flatMap((a, at) => parents.slice(at + 1).map((b) => coin(`${a}-${b}`, [a, b])));
    const network = bayesianNetwork("dense", [...parents.map((name) => coin(name)), ...pairs]);
    try {
      new JunctionTree(network, [], 1 << 18);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "TOO_LARGE", message: expect.stringMatching(/over 20 variables with 1048576 entries/) as string });
      expect((error as PopulaceError).details["clique"]).toEqual(parents);
    }
    expect(asCode(() => eliminate(bayesianNetwork("wide", Array.from({ length: 25 }, (_, v) => coin(`v${v}`))), Array.from({ length: 25 }, (_, v) => v)))).toBe("TOO_LARGE");
  });

  test("names a smallest conflict in impossible evidence and goes on with the next question", () => {
    const network = bayesianNetwork("or", [coin("a"), coin("b"), { ...coin("or", ["a", "b"]), table: [1, 0, 1, 0, 1, 0, 0, 1] }, coin("other")]);
    const tree = new JunctionTree(network);
    expect(() => tree.beliefs(evidenceOf(network, { b: "no", other: "yes", or: "no", a: "yes" }))).toThrow("or=no, a=yes cannot be");
    expect(tree.beliefs(evidenceOf(network, { or: "no" })).marginals[0][1]).toBe(1);
  });

  test("of three thousand variables in a row keeps the probability of evidence that no double could hold", () => {
    const rare = { name: "v0", states: ["yes", "no"], parents: [], table: [0.01, 0.99] };
    const count = 3000;
    const chain = bayesianNetwork("chain", [rare, ...Array.from({ length: count - 1 }, (_, v) => ({ name: `v${v + 1}`, states: ["yes", "no"], parents: [`v${v}`], table: [0.01, 0.99, 0.01, 0.99] }))]);
    const beliefs = new JunctionTree(chain).beliefs(new Map(chain.variables.map((_, v) => [v, Float64Array.of(1, 0)])));
    expect(beliefs.logEvidence).toBeCloseTo(count * Math.log(0.01), 6);
  });
});
