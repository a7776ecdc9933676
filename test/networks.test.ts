// The standard networks of the shared data, and the network of a real campaign beside its simulation.
import { describe, expect, test } from "vitest";
import { JunctionTree, evidenceOf, learnStructure } from "@populace/domain";
import { bifText, parseBif } from "@populace/studies";
import { NETWORKS, differencesOf, drawRows, hillstromAgreement, networkOf, statedOf } from "./bench/networks.bench.ts";
import { structuralDistance } from "./bench/network-distance.ts";
import { REAL_DATA } from "./bench/real-data.ts";
import { NEEDS_DATA, dataFile } from "./helpers/data.ts";

describe.skipIf(dataFile("bayes-nets", "asia.bif") === null)(`standard networks (${NEEDS_DATA})`, () => {
  test.each(NETWORKS)("%s has the stated posteriors, by two algorithms that agree", (name) => {
    const { stated, between, count } = differencesOf(name);
    expect(count).toBeGreaterThan(10);
    // The rows of sachs and alarm add to 1 only within 1e-7.
    expect(stated).toBeLessThan(name === "sachs" || name === "alarm" ? 1e-6 : 1e-9);
    expect(between).toBeLessThan(1e-12);
  });

  test.each(NETWORKS)("%s written as BIF and read again is the same to the bit", (name) => {
    const network = networkOf(name);
    expect(parseBif(bifText(network))).toEqual({ ...network, notes: [] });
  });

  test("sachs and alarm say which rows were normalized, the others have none", () => {
    expect(NETWORKS.map((name) => networkOf(name).notes.length > 0)).toEqual([false, false, false, false, true, true]);
  });

  test("asia names the evidence that is impossible, and nothing besides", () => {
    const network = networkOf("asia"), tree = new JunctionTree(network);
    for (const evidence of statedOf("asia").impossible_evidence!) {
      expect(() => tree.beliefs(evidenceOf(network, { smoke: "yes", dysp: "no", ...evidence }))).toThrow(expect.objectContaining({ code: "IMPOSSIBLE_EVIDENCE", details: expect.objectContaining({ conflict: Object.entries(evidence).map(([name, state]) => `${name}=${state}`).join(", ") }) as object }) as Error);
    }
  });

  test.each(["asia", "cancer", "sachs"] as const)("arcs learned from 10,000 rows of %s have its skeleton", (name) => {
    const network = networkOf(name);
    expect(structuralDistance(learnStructure(network.variables, drawRows(network, 10_000, 1)).parents, network.parents).skeletons).toBe(0);
  });
});

describe.skipIf(dataFile(...REAL_DATA.hillstrom) === null)(`Hillstrom's network (${NEEDS_DATA})`, () => {
  test("agrees with the simulation on P(step | persona, stimulus) within their intervals", { timeout: 120_000 }, async () => {
    const { rows, leftOut } = (await hillstromAgreement({ personas: 3, worlds: 40, agents: 100_000 }))!;
    expect([rows.length, leftOut]).toEqual([18, 0]);
    expect(rows.filter(({ agrees }) => !agrees)).toEqual([]);
    for (const { difference } of rows) expect(Math.abs(difference)).toBeLessThan(0.03);
  });
});
