import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { RandomStream } from "@populace/domain";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runPopulace } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-policy-"));
const file = (name: string, text?: string | Uint8Array): string => {
  const path = join(folder, name);
  if (text !== undefined) writeFileSync(path, text);
  return path;
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- one document of many shapes, looked into key by key
async function json(code: number, ...args: readonly string[]): Promise<any> {
  let out = "";
  const exit = await runPopulace([...args, "--json"], new AbortController().signal, { out: (text) => { out += text; }, err: () => undefined });
  expect(exit, out.slice(0, 400)).toBe(code);
  return JSON.parse(out);
}

/** Arms a, b, c; north answers a, south answers c; the log takes a, b, c with 0.5, 0.3, 0.2. */
const RATE = { north: [0.4, 0.2, 0.1], south: [0.1, 0.2, 0.4] } as const;
const SHARES = [0.5, 0.3, 0.2];
const LINES = ((): readonly string[] => {
  const random = RandomStream.of(2, "policy log");
  return Array.from({ length: 4000 }, () => {
    const region = random.uniform() < 0.5 ? "north" : "south", u = random.uniform(), arm = u < 0.5 ? 0 : u < 0.8 ? 1 : 2;
    return `${region},${"abc"[arm]},${random.uniform() < RATE[region][arm] ? 1 : 0},${SHARES[arm]}`;
  });
})();
const log = (lines: readonly string[]): string => `region,arm,click,p\n${lines.join("\n")}\n`;
const edited = (row: number, edit: (line: string) => string): string => log(LINES.map((line, i) => (i === row - 1 ? edit(line) : line)));
const FLAGS = ["--action", "arm", "--reward", "click", "--propensity", "p", "--context", "region"];
const BY_REGION = "region,arm,probability\nnorth,a,0.9\nnorth,b,0.1\nsouth,c,0.9\nsouth,b,0.1\n";

beforeAll(() => {
  file("log.csv.gz", gzipSync(log(LINES)));
  file("by-region.csv", BY_REGION);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const evaluate = (code: number, policy: string, path = file("log.csv.gz"), ...more: readonly string[]) => json(code, "evaluate-policy", "--log", path, "--policy", policy, ...FLAGS, ...more);

describe("evaluate-policy", () => {
  it("values a policy by context, by row and by name; the truth lies in the intervals; the same bits for the same seed", async () => {
    const found = await evaluate(0, file("by-region.csv"));
    expect(found).toMatchObject({ rows: 4000, arms: 3, reward: "click", ess: expect.any(Number), maxWeight: 4.5, verdict: "better than the policy behind the log" });
    // 0.9 x 0.4 + 0.1 x 0.2 in both regions.
    for (const { name, low, high, value, se } of found.estimators) {
      expect(low <= 0.38 && 0.38 <= high, `${name}: ${low} to ${high}`).toBe(true);
      expect(Number.isFinite(value) && se > 0).toBe(true);
    }
    expect(await evaluate(0, file("by-region.csv"))).toEqual(found);
    const wide = file("wide.csv", "region,a,b,c\nnorth,0.9,0.1,0\nsouth,0,0.1,0.9\n");
    expect((await evaluate(0, wide)).estimators).toEqual(found.estimators);
    const rows = file("rows.csv", `a,b,c\n${LINES.map((line) => (line.startsWith("north") ? "0.9,0.1,0" : "0,0.1,0.9")).join("\n")}\n`);
    expect((await evaluate(0, rows)).estimators).toEqual(found.estimators);
    const fixed = await evaluate(0, "best-fixed:b");
    expect(fixed.estimators.find((each: { name: string }) => each.name === "SNDR").value).toBeCloseTo(0.2, 1);
    expect((await evaluate(0, "uniform")).estimators.length).toBe(8);
  });

  it("refuses without a number when the log is worth too little", async () => {
    const few = file("few.csv", log(LINES.slice(0, 300)));
    expect(await evaluate(0, "best-fixed:c", few)).toMatchObject({ estimators: [], lift: null, verdict: expect.stringMatching(/^refused: .*effective sample size/) });
  });

  it("names row and column of a propensity that is none, and an arm that was never logged", async () => {
    for (const [bad, found] of [["NaN", "NaN"], ["0", "0"], ["-0.2", "-0.2"], ["1.5", "1.5"], ["", ""]]) {
      const path = file("bad.csv", edited(17, (line) => line.replace(/[^,]*$/, bad)));
      const { error } = await evaluate(2, "uniform", path);
      expect(error, bad).toMatchObject({ code: "BAD_DATA" });
      expect(error.message).toContain(`bad.csv:18: column p: expected a probability above 0 and at most 1, found "${found}"`);
    }
    expect(await evaluate(2, file("unlogged.csv", "region,arm,probability\nnorth,a,0.5\nnorth,d,0.5\nsouth,a,1\n"))).toMatchObject({ error: { code: "DEGENERATE_DATA", message: expect.stringMatching(/unlogged\.csv:3: the policy takes "d" with probability 0\.5, an arm that the log never shows/) } });
    expect(await evaluate(2, file("unlogged-wide.csv", "a,d\n0.5,0.5\n"))).toMatchObject({ error: { code: "DEGENERATE_DATA", message: expect.stringContaining('column "d" is neither an arm that the log shows') } });
    expect(await evaluate(2, "best-fixed:d")).toMatchObject({ error: { code: "DEGENERATE_DATA", message: expect.stringContaining('"d", an arm that column "arm" never shows') } });
    const declared = file("declared.yaml", "attributes: {region: categorical}\nstimulus: {column: arm, stimuli: {a: {}, b: {}, c: {}, d: {}}}\nassignment: {kind: logged, propensity: p}\nfunnel: [click]\n");
    expect(await json(2, "evaluate-policy", "--log", file("log.csv.gz"), "--schema", declared, "--policy", "uniform")).toMatchObject({ error: { code: "DEGENERATE_DATA", message: expect.stringContaining('the policy takes "d" with probability 0.25 in row 1') } });
  });

  it("refuses probabilities that are none or do not add to 1, contexts without a line, and rewards that never differ", async () => {
    expect(await evaluate(2, file("sum.csv", BY_REGION.replace("south,b,0.1", "south,b,0.3")))).toMatchObject({ error: { code: "BAD_DATA", message: expect.stringContaining("sum.csv:4: the probabilities add to 1.2; expected 1") } });
    expect(await evaluate(2, file("sum-wide.csv", "region,a,b\nnorth,0.9,0.1\nsouth,0.5,0.1\n"))).toMatchObject({ error: { code: "BAD_DATA", message: expect.stringContaining("sum-wide.csv:3: the probabilities add to 0.6") } });
    expect(await evaluate(2, file("none.csv", BY_REGION.replace("0.9", "x")))).toMatchObject({ error: { code: "BAD_DATA", message: expect.stringContaining('none.csv:2: column probability: expected a probability from 0 to 1; found "x"') } });
    expect(await evaluate(2, file("half.csv", BY_REGION.split("south")[0]))).toMatchObject({ error: { code: "BAD_DATA", message: expect.stringMatching(/no line for region=south; row \d+ of /) } });
    expect(await evaluate(2, file("short.csv", "a,b\n1,0\n0,1\n"))).toMatchObject({ error: { code: "BAD_DATA", message: expect.stringContaining("2 lines; row 3 of") } });
    expect(await evaluate(2, "uniform", file("zeros.csv", log(LINES.map((line) => line.replace(/,[01],/, ",0,")))))).toMatchObject({ error: { code: "DEGENERATE_DATA", message: expect.stringContaining('column "click": all 4000 rewards are 0') } });
    expect(await json(2, "evaluate-policy", "--log", file("log.csv.gz"), "--policy", "uniform")).toMatchObject({ error: { code: "BAD_USAGE" } });
    expect(await json(2, "evaluate-policy", "--log", file("log.csv.gz"), "--policy", "uniform", "--schema", file("unknown.yaml", "attributes: {region: categorical}\nstimulus: arm\nfunnel: [click]\n"))).toMatchObject({ error: { code: "BAD_SCHEMA", message: expect.stringContaining("the assignment is unknown") } });
  });

  it("values what a model recommends to its personas, on rows it has not seen", async () => {
    const schema = file("shop.yaml", "attributes: {region: categorical}\nstimulus: arm\nassignment: {kind: logged, propensity: p}\nfunnel: [click]\n");
    const first = file("first.csv", log(LINES.slice(0, 2000))), rest = file("rest.csv", log(LINES.slice(2000).map((line) => line.replace(/0\.\d$/, (p) => `${p}0`))));
    await json(0, "fit", "--schema", schema, "--data", first, "--out", file("model.json"), "--personas", "2", "--worlds", "16");
    const args = ["evaluate-policy", "--schema", schema, "--policy"];
    const own = await json(0, ...args, file("model.json"), "--log", rest);
    const sndr = own.estimators.find((each: { name: string }) => each.name === "SNDR");
    // North gets a, south c: 0.4 each.
    expect(sndr.low <= 0.4 && 0.4 <= sndr.high && own.verdict.startsWith("better")).toBe(true);
    const best = file("best.json", JSON.stringify({ best: [{ persona: "p1", stimulus: "b" }, { persona: "p2", stimulus: "b" }] }));
    expect((await json(0, ...args, best, "--model", file("model.json"), "--log", rest)).estimators[0].value).toBeCloseTo((await json(0, ...args, "best-fixed:b", "--log", rest)).estimators[0].value, 12);
    expect(await json(2, ...args, best, "--log", rest)).toMatchObject({ error: { code: "BAD_USAGE" } });
    expect(await json(2, ...args, file("model.json"), "--log", first)).toMatchObject({ error: { code: "SEEN_ROWS" } });
  });
});
