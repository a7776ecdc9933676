import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream } from "@populace/domain";
import { afterAll, describe, expect, it } from "vitest";
import { runPopulace } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-experiment-"));
const file = (name: string, text?: string): string => {
  const path = join(folder, name);
  if (text !== undefined) writeFileSync(path, text);
  return path;
};
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function said(...args: readonly string[]): Promise<{ readonly code: number; readonly out: string }> {
  let out = "";
  const code = await runPopulace(["experiment", ...args], new AbortController().signal, { out: (text) => { out += text; }, err: (text) => { out += text; } });
  return { code, out };
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents of several shapes, looked into key by key
async function json(code: number, ...args: readonly string[]): Promise<any> {
  const { code: exit, out } = await said(...args, "--json");
  expect(exit, out.slice(0, 400)).toBe(code);
  return JSON.parse(out);
}

describe("experiment plan", () => {
  it("perArm of one look, and of many", async () => {
    const plan = await json(0, "plan", "--baseline", "0.05", "--effect", "0.06", "--traffic", "1000", "--looks", "30");
    expect(plan).toMatchObject({ perArm: 8158, total: 16_316, days: 17, alpha: 0.05, power: 0.8, arms: 2, sequential: { looks: 30, perArm: 14_031, days: 29, expectedPerArm: expect.any(Number), falsePositive: expect.any(Number) } });
    expect(await json(0, "plan", "--baseline", "0.05", "--lift", "0.2")).toMatchObject({ perArm: 8158, days: null });
    expect((await json(0, "plan", "--sd", "1", "--difference", "0.5")).perArm).toBe(63);
    expect((await json(0, "plan", "--baseline", "0.05", "--lift", "-0.2", "--arms", "4", "--power", "0.9")).perArm).toBeGreaterThan(8158);
    expect((await said("plan", "--baseline", "0.05", "--effect", "0.06")).out).toContain("8,158 recipients an arm");
  });

  it("refuses what cannot be planned", async () => {
    for (const args of [[], ["--baseline", "0.05"], ["--baseline", "0.05", "--effect", "0.06", "--lift", "0.1"], ["--baseline", "0.05", "--effect", "0.05"], ["--baseline", "0.6", "--lift", "1"], ["--sd", "3"], ["--baseline", "1.2", "--effect", "0.5"], ["--baseline", "x", "--effect", "0.5"], ["--baseline", "0.1", "--effect", "0.2", "--power", "1"]]) {
      expect(await json(2, "plan", ...args)).toMatchObject({ error: { code: "BAD_USAGE" } });
    }
  });
});

describe("experiment analyze", () => {
  it("counts: verdict, effect, low, high, srm, kind; a page and a drawing", async () => {
    const page = file("page.html");
    const found = await json(0, "analyze", "--counts", "a=120/5000,b=150/5020", "--out", page);
    expect(found).toMatchObject({ verdict: "no difference shown", effect: expect.closeTo(150 / 5020 - 120 / 5000, 12), kind: "randomized", srm: { isMismatch: false }, control: "a" });
    expect(found.low < found.effect && found.effect < found.high && found.low < 0).toBe(true);
    expect(readFileSync(page, "utf8")).toContain("no difference shown");
    const looks = ["--counts", "a=25/500,b=31/500", "--counts", "a=50/1000,b=95/1000", "--counts", "a=100/2000,b=200/2000"];
    const drawn = file("sequence.svg");
    const many = await json(0, "analyze", ...looks, "--planned", "2000", "--out", drawn);
    expect(many).toMatchObject({ verdict: "b better than a", looks: 3, comparisons: [{ arm: "b", shownAt: 2, looks: [{ recipients: 1000 }, { recipients: 2000 }, { recipients: 4000 }] }] });
    expect(readFileSync(drawn, "utf8").startsWith("<svg ")).toBe(true);
    expect((await said("analyze", ...looks)).out).toMatch(/\+5\.00 pp/);
  });

  it("a sample ratio mismatch and a harmed guardrail block the verdict", async () => {
    expect(await json(0, "analyze", "--counts", "a=500/10000,b=900/9200")).toMatchObject({ verdict: expect.stringMatching(/^blocked: sample ratio mismatch/), effect: null, low: null, high: null, comparisons: [], srm: { isMismatch: true } });
    expect(await json(2, "analyze", "--counts", "a=500/10000,b=900/9200", "--out", file("none.svg"))).toMatchObject({ error: { code: "DEGENERATE_DATA" } });
    expect(existsSync(file("none.svg"))).toBe(false);
    expect(await json(0, "analyze", "--counts", "a=500/10000,b=700/9200", "--shares", "0.52,0.48")).toMatchObject({ verdict: "b better than a" });
    expect(await json(0, "analyze", "--counts", "a=500/10000,b=700/10000", "--guardrail-counts", "unsubscribe:a=20/10000,b=90/10000")).toMatchObject({ verdict: expect.stringMatching(/^blocked: guardrail unsubscribe/), guardrails: [{ name: "unsubscribe", isHarmed: true }] });
    expect(await json(0, "analyze", "--counts", "a=500/10000,b=700/10000", "--guardrail-counts", "unsubscribe:a=20/10000,b=90/10000", "--margin", "0.01")).toMatchObject({ verdict: "b better than a" });
    expect(await json(0, "analyze", "--counts", "a=500/10000,b=700/10000", "--observational")).toMatchObject({ verdict: "observational: b better than a", kind: "observational" });
  });

  it("odd counts are answered soundly", async () => {
    for (const counts of ["a=0/5000,b=0/5000", "a=5000/5000,b=5000/5000", "a=0/3,b=3/3"]) {
      const { verdict, low, high } = await json(0, "analyze", "--counts", counts);
      expect(verdict).toBe("no difference shown");
      expect(low >= -1 && high <= 1 && low <= high).toBe(true);
    }
    const million = await json(0, "analyze", "--counts", "a=50000/1000000,b=1/1", "--shares", "1000000,1");
    expect(million.verdict).toBe("no difference shown");
    expect(JSON.stringify(million)).not.toMatch(/NaN|null,"high"/);
    expect(await json(0, "analyze", "--counts", "a=50000/1000000,b=1/1")).toMatchObject({ srm: { isMismatch: true } });
  });

  it("refuses counts that are none", async () => {
    for (const args of [["--counts", "a=1/2"], ["--counts", "a=3/2,b=1/2"], ["--counts", "a=1/2,a=1/2"], ["--counts", "a:1/2,b=1/2"], ["--counts", "a=1/2,b=1/2", "--counts", "a=1/1,b=1/2"], ["--counts", "a=1/2,b=1/2", "--counts", "a=1/2,c=1/2"], ["--counts", "a=1/2,b=1/2", "--shares", "1,2,3"], ["--counts", "a=1/2,b=1/2", "--data", "x.csv"], []]) {
      expect(await json(2, "analyze", ...args), args.join(" ")).toMatchObject({ error: { code: "BAD_USAGE" } });
    }
    expect(await json(2, "analyze", "--counts", "a=1/2,b=1/2", "--control", "c")).toMatchObject({ error: { code: "NOT_FOUND" } });
  });

  it("data: steps, amounts, guardrails, looks in the order of time, weights by propensity", async () => {
    const random = RandomStream.of(4, "experiment data");
    const lines = Array.from({ length: 9000 }, (_, i) => {
      const arm = random.uniform() < 0.7 ? "plain" : "gift", buys = random.uniform() < (arm === "gift" ? 0.14 : 0.08);
      return `${9000 - i},${arm},${buys ? 1 : 0},${buys ? (10 + 5 * random.normal()).toFixed(2) : ""},${random.uniform() < 0.01 ? 1 : 0},${arm === "plain" ? 0.7 : 0.3}`;
    });
    const data = file("data.csv", `day,arm,buy,spend,left,p\n${lines.join("\n")}\n`);
    const schema = (assignment: string): string => file(`${assignment.length}.yaml`, `stimulus: {column: arm, stimuli: {plain: {}, gift: {}}}\nassignment: ${assignment}\nfunnel: [buy]\nvalue: spend\ntime: {column: day, format: index}\n`);
    const args = ["analyze", "--data", data, "--looks", "9", "--shares", "0.7,0.3", "--guardrail", "left", "--schema"];
    const bought = await json(0, ...args, schema("randomized"));
    expect(bought).toMatchObject({ verdict: "gift better than plain", metric: "buy", control: "plain", kind: "randomized", guardrails: [{ name: "left", isHarmed: false }] });
    expect(bought.comparisons[0].looks.length).toBe(9);
    expect(bought.comparisons[0].looks[0].recipients).toBe(1000);
    expect(bought.low < 0.06 && 0.06 < bought.high).toBe(true);
    const spent = await json(0, ...args, schema("randomized"), "--metric", "value");
    // 0.14 x 10 - 0.08 x 10 in minor units.
    expect(spent.low < 60 && 60 < spent.high).toBe(true);
    expect(await json(0, ...args, schema("unknown"))).toMatchObject({ kind: "observational", verdict: expect.stringMatching(/^observational: /) });
    const logged = await json(0, "analyze", "--data", data, "--schema", schema("{kind: logged, propensity: p}"));
    expect(logged.effect).toBeCloseTo(bought.effect, 9);
    expect(logged.srm.isMismatch).toBe(false);
    const wrong = file("wrong.csv", `day,arm,buy,spend,left,p\n${lines.map((line) => line.replace(/[\d.]+$/, "0.5")).join("\n")}\n`);
    expect(await json(0, "analyze", "--data", wrong, "--schema", schema("{kind: logged, propensity: p}"))).toMatchObject({ verdict: expect.stringMatching(/^blocked: sample ratio/) });
    expect(await json(2, ...args, schema("randomized"), "--metric", "bye")).toMatchObject({ error: { code: "NOT_FOUND", message: expect.stringContaining("buy") } });
    expect(await json(2, "analyze", "--data", data)).toMatchObject({ error: { code: "BAD_USAGE" } });
  });
});
