import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream } from "@populace/domain";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runPopulace } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-distill-"));
const file = (name: string, content?: string | Uint8Array): string => {
  const path = join(folder, name);
  if (content !== undefined) writeFileSync(path, content);
  return path;
};
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents of several shapes, looked into key by key
async function json(code: number, ...args: readonly string[]): Promise<any> {
  let out = "";
  const exit = await runPopulace([...args, "--json"], new AbortController().signal, { out: (text) => { out += text; }, err: () => undefined });
  expect(exit, out.slice(0, 400)).toBe(code);
  return JSON.parse(out);
}

/** What studies/onnx.fixture.ts makes of weights 0.02 (age), 0.5 and -0.5 (north, south), -0.4 and 0.9 (none, mail) and bias -2: a sigmoid of a sum. */
const ONNX = "CAhCBAoAEBESDXBvcHVsYWNlIHRlc3Q6jgEKEgoBeAoBVwoBYhIBeiIER2VtbQoPCgF6EgFwIgdTaWdtb2lkEgVncmFwaCofCAUIARABQgFXShQK16M8AAAAPwAAAL/NzMy+ZmZmPyoNCAEQAUIBYkoEAAAAwFoXCgF4EhIKEAgBEgwKBhIEcm93cwoCCAViFwoBcBISChAIARIMCgYSBHJvd3MKAggB";
const SCHEMA = "name: shop\nrecipient: id\nattributes: {age: continuous, region: {kind: categorical, levels: [north, south]}}\nstimulus: {column: arm, stimuli: {none: {contact: false}, mail: {channel: email}}}\nfunnel: [visit]\n";

beforeAll(() => {
  const random = RandomStream.of(3, "distilled recipients");
  file("people.csv", `id,age,region\n${Array.from({ length: 500 }, (_, i) => `r${i},${Math.round(20 + 50 * random.uniform())},${["north", "south"][random.integer(2)]}`).join("\n")}\n`);
  file("schema.yaml", SCHEMA);
  file("response.onnx", Buffer.from(ONNX, "base64"));
});

const distill = (code: number, ...more: readonly string[]) => json(code, "distill", "--onnx", file("response.onnx"), "--schema", file("schema.yaml"), "--data", file("people.csv"), "--out", file("model.json"), "--personas", "2", "--worlds", "64", ...more);

describe("distill", () => {
  it("makes a model that simulates and prioritizes like the foreign one, and says where it came from", async () => {
    const made = await distill(0, "--observations", "20000");
    expect(made).toMatchObject({ evidence: "observational", rows: 500, steps: ["visit"], imported: { file: "response.onnx", observations: 20_000 }, errors: [{ step: "visit" }] });
    expect(made.errors[0].mean).toBeLessThan(0.002);
    const { rates } = await json(0, "simulate", "--model", file("model.json"), "--agents", "20000", "--ticks", "1", "--store", file("store"), "--out", file("run"));
    // The foreign model's own mean over the recipients.
    const people = readFileSync(file("people.csv"), "utf8").trim().split("\n").slice(1).map((line) => line.split(","));
    for (const [stimulus, effect] of [["none", -0.4], ["mail", 0.9]] as const) {
      const mean = people.reduce((sum, [, age, region]) => sum + 1 / (1 + Math.exp(2 - 0.02 * Number(age) - (region === "north" ? 0.5 : -0.5) - effect)), 0) / people.length;
      const simulated = rates.find((rate: { persona: string; stimulus: string }) => rate.persona === "*" && rate.stimulus === stimulus);
      if (simulated !== undefined) expect(Math.abs(simulated.mean - mean), stimulus).toBeLessThan(0.02);
    }
    expect(rates.some((rate: { stimulus: string }) => rate.stimulus === "mail")).toBe(true);
    expect(readFileSync(join(file("run"), "report.html"), "utf8")).toContain("Responses come from a foreign model (response.onnx");
    const campaigns = file("campaigns.yaml", "campaigns:\n  - {id: spring, stimuli: [mail], economicValueMinor: 1000}\n");
    const { decisions } = await json(0, "prioritize", "--model", file("model.json"), "--recipients", file("people.csv"), "--campaigns", campaigns, "--top", "1");
    expect(decisions[0].ranked[0]).toMatchObject({ campaign: "spring", stimulus: "mail", score: expect.any(Number) });

    // Nobody has held it against rows yet: neither a store nor a cluster takes it before that was done.
    for (const args of [["up", "--store", file("serving"), "--port", "0"], ["release", "--cluster", "127.0.0.1:1"]]) {
      expect(await json(2, ...args, "--model", file("model.json"))).toMatchObject({ error: { code: "UNCALIBRATED", message: expect.stringMatching(/no calibration record.*populace backtest .*--record.*--force/) } });
    }
    const random = RandomStream.of(4, "answers");
    const answers = Array.from({ length: 1500 }, (_, i) => {
      const age = Math.round(20 + 50 * random.uniform()), north = random.uniform() < 0.5, mail = random.uniform() < 0.5;
      return `a${i},${age},${north ? "north" : "south"},${mail ? "mail" : "none"},${random.uniform() < 1 / (1 + Math.exp(2 - 0.02 * age - (north ? 0.5 : -0.5) - (mail ? 0.9 : -0.4))) ? 1 : 0}`;
    });
    const judged = await json(0, "backtest", "--model", file("model.json"), "--data", file("answers.csv", `id,age,region,arm,visit\n${answers.join("\n")}\n`), "--record");
    expect(judged.calibration).toMatchObject({ against: "held-out rows", verdict: "passed" });
    expect(await json(1, "release", "--cluster", "127.0.0.1:1", "--model", file("model.json"))).toMatchObject({ error: { code: "UNAVAILABLE" } });
  });

  it("refuses a model that does not fit the schema, and a mapping that is none, and writes nothing", async () => {
    expect(await json(2, "distill", "--onnx", file("response.onnx"), "--schema", file("other.yaml", SCHEMA.replace("region: {kind: categorical, levels: [north, south]}", "region: {kind: categorical, levels: [north, south, west]}")), "--data", file("people.csv"), "--out", file("none.json"))).toMatchObject({ error: { code: "BAD_MODEL", message: expect.stringContaining('input "x"') } });
    expect(await distill(2, "--mapping", file("mapping.yaml", "input: {x: [age]}\n"))).toMatchObject({ error: { code: "BAD_SCHEMA", message: expect.stringContaining('did you mean "inputs"') } });
    expect(await json(2, "distill", "--onnx", file("people.csv"), "--schema", file("schema.yaml"), "--data", file("people.csv"), "--out", file("none.json"))).toMatchObject({ error: { code: "BAD_MODEL", message: expect.stringContaining("expected an ONNX model") } });
    expect(() => readFileSync(file("none.json"))).toThrow();
  });
});
