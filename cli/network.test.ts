import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readBif, readNetwork } from "@populace/studies";
import { retailerLog, retailerLogCsv, retailerPeople } from "./examples/retailer.ts";
import { runPopulace } from "./program.ts";

const SCHEMA = fileURLToPath(new URL("examples/retailer-schema.yaml", import.meta.url));
const GENERATOR = { seed: 7, misspecified: true };
const folder = mkdtempSync(join(tmpdir(), "populace-network-"));
const file = (name: string): string => join(folder, name);

async function populace(...args: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  let [out, err] = ["", ""];
  const code = await runPopulace(args, new AbortController().signal, { out: (text) => { out += text; }, err: (text) => { err += text; } });
  return { code, out, err };
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents of many shapes, looked into key by key
async function json(code: number, ...args: readonly string[]): Promise<any> {
  const said = await populace(...args, "--json");
  expect(said.code, said.out.slice(0, 500)).toBe(code);
  return JSON.parse(said.out);
}

beforeAll(async () => {
  writeFileSync(file("log.csv"), retailerLogCsv(retailerLog(retailerPeople(GENERATOR, "log", 2500), "log", 0, 25, GENERATOR)));
  writeFileSync(file("sprinkler.bif"), `network sprinkler { }
variable rain { type discrete [ 2 ] { yes, no }; }
variable wet { type discrete [ 2 ] { yes, no }; }
probability ( rain ) { table 0.2, 0.8; }
probability ( wet | rain ) { (yes) 1, 0; (no) 0.25, 0.75; }
`);
  expect((await populace("fit", "--schema", SCHEMA, "--data", file("log.csv"), "--out", file("model.json"), "--personas", "3", "--worlds", "50")).err).toBe("");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("network query of a BIF file", () => {
  test("gives posterior and pEvidence by Bayes' rule, joint ones, soft evidence and the likeliest states", async () => {
    const answer = await json(0, "network", "query", "--bif", file("sprinkler.bif"), "--evidence", "wet=yes", "--query", "rain", "--map");
    expect(answer.posterior.yes).toBeCloseTo(0.2 / 0.4, 14);
    expect(answer).toMatchObject({ query: ["rain"], intervals: null, label: "as stated", map: { states: { rain: "yes" } } });
    expect(answer.pEvidence).toBeCloseTo(0.4, 14);
    const joint = await json(0, "network", "query", "--bif", file("sprinkler.bif"), "--query", "rain,wet", "--soft", "wet=yes:0.5/no:1");
    expect(joint.posterior["no|yes"]).toBeCloseTo((0.8 * 0.25 * 0.5) / (0.4 * 0.5 + 0.6), 14);
    const each = await json(0, "network", "query", "--bif", file("sprinkler.bif"));
    expect(each.posteriors[1]).toMatchObject({ query: ["wet"], posterior: { yes: 0.4 } });
  });

  test("names impossible evidence, unknown names and places in a bad file: exit 2", async () => {
    const impossible = await json(2, "network", "query", "--bif", file("sprinkler.bif"), "--evidence", "rain=yes,wet=no", "--query", "rain");
    expect(impossible.error).toMatchObject({ code: "IMPOSSIBLE_EVIDENCE", message: expect.stringContaining("rain=yes, wet=no") });
    expect((await json(2, "network", "query", "--bif", file("sprinkler.bif"), "--evidence", "rains=yes")).error).toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining('did you mean "rain"') });
    writeFileSync(file("bad.bif"), readFileSync(file("sprinkler.bif"), "utf8").replace("0.25, 0.75", "0.25, 0.749"));
    expect((await json(2, "network", "query", "--bif", file("bad.bif"))).error).toMatchObject({ code: "BAD_NETWORK", message: expect.stringMatching(/bad\.bif:3:10: .*row 2 of "wet" adds to 0\.999/) });
  });
});

describe("network learn, query, explain and compare", () => {
  test("go from a log to what-if answers with intervals, the same for the same seed", async () => {
    const learned = await json(0, "network", "learn", "--model", file("model.json"), "--data", file("log.csv"), "--out", file("n.json"), "--bif", file("n.bif"), "--draw", file("n.svg"), "--forbid", "persona->basket");
    expect(learned.arcs).toEqual(expect.arrayContaining([{ from: "visit", to: "basket" }, { from: "basket", to: "purchase" }, { from: "persona", to: "visit" }, { from: "stimulus", to: "visit" }]));
    expect(learned).toMatchObject({ score: { kind: "bdeu", value: expect.any(Number) }, rows: expect.any(Number), evidence: expect.any(String) });
    const visit = learned.tables.find(({ variable }: { variable: string }) => variable === "visit");
    for (const row of visit.rows) {
      const { mean, low, high } = row.probabilities.yes;
      expect(low).toBeLessThanOrEqual(mean);
      expect(high).toBeGreaterThanOrEqual(mean);
    }
    expect(readBif(file("n.bif")).variables.map(({ name }) => name)).toEqual(learned.variables.map(({ name }: { name: string }) => name));
    expect(readFileSync(file("n.svg"), "utf8")).toMatch(/^<svg [\s\S]*visit[\s\S]*<\/svg>$/);

    const stimulus = learned.variables.find(({ role }: { role: string }) => role === "stimulus").states.at(-1);
    const ask = ["network", "query", "--network", file("n.json"), "--evidence", `stimulus=${stimulus},age=33`, "--query", "visit", "--seed", "4"];
    const answer = await json(0, ...ask);
    expect(answer.posterior.yes + answer.posterior.no).toBeCloseTo(1, 12);
    expect(answer.intervals.yes.low).toBeLessThan(answer.posterior.yes);
    expect(answer.intervals.yes.high).toBeGreaterThan(answer.posterior.yes);
    // A number stands for the bin that holds it.
    expect(answer.evidence.age).toMatch(/\.\./);
    expect(await json(0, ...ask)).toEqual(answer);

    const explained = await json(0, "network", "explain", "--network", file("n.json"), "--persona", "p1", "--out", file("p1.html"));
    expect(explained.inPersona.interval.low).toBeLessThan(explained.inPersona.mean);
    expect(explained.influences.length).toBeGreaterThan(2);
    expect(readFileSync(file("p1.html"), "utf8").match(/<figure/g)!.length).toBeGreaterThanOrEqual(3);

    writeFileSync(file("run.json"), JSON.stringify(await json(0, "simulate", "--model", file("model.json"), "--ticks", "1", "--agents", "30000", "--store", file("store"))));
    const compared = await json(0, "network", "compare", "--network", file("n.json"), "--run", file("run.json"));
    expect(compared.compared).toBe(compared.rows.length);
    expect(compared.disagreement).toBeGreaterThan(0);
    const visits = compared.rows.filter(({ step }: { step: string }) => step === "visit");
    expect(visits.length).toBeGreaterThan(3);
    expect(visits.filter(({ agrees }: { agrees: boolean }) => agrees).length).toBeGreaterThanOrEqual(0.8 * visits.length);
    const said = await populace("network", "compare", "--network", file("n.json"), "--run", file("run.json"));
    expect(said.out).toMatch(/pairs of 90 % intervals meet; root mean square difference/);
  });

  test("forget takes rows out of the counts", async () => {
    const [header, ...lines] = readFileSync(file("log.csv"), "utf8").trimEnd().split("\n");
    writeFileSync(file("subject.csv"), `${[header, ...lines.slice(0, 2)].join("\n")}\n`);
    await json(0, "network", "learn", "--schema", SCHEMA, "--data", file("log.csv"), "--out", file("all.json"));
    const result = await json(0, "network", "forget", "--network", file("all.json"), "--schema", SCHEMA, "--data", file("subject.csv"), "--out", file("rest.json"));
    const counted = (name: string): number => readNetwork(file(name)).learned!.counts[0].reduce((sum, each) => sum + each, 0);
    expect(result.forgotten).toBeGreaterThan(0);
    expect(counted("all.json") - counted("rest.json")).toBe(result.forgotten);
    expect((await json(2, "network", "forget", "--network", file("n.json"), "--schema", SCHEMA, "--data", file("subject.csv"), "--out", file("x.json"))).error.code).toBe("BAD_USAGE");
  });

  test("say what is wrong with their input: exit 2", async () => {
    expect((await json(2, "network", "explain", "--network", file("sprinkler.bif"), "--persona", "p1")).error.code).toBe("BAD_NETWORK");
    writeFileSync(file("hand.json"), JSON.stringify({ variables: [{ name: "a", states: ["x", "z"], table: [0.5, 0.5] }] }));
    expect((await json(2, "network", "explain", "--network", file("hand.json"), "--persona", "p1")).error).toMatchObject({ code: "BAD_USAGE", message: expect.stringContaining("--model MODEL") });
    expect((await json(2, "network", "learn", "--schema", SCHEMA, "--data", file("log.csv"), "--out", file("x.json"), "--require", "purchase->age")).error).toMatchObject({ code: "BAD_NETWORK", message: expect.stringContaining("against time") });
    expect((await json(2, "network", "compare", "--network", file("hand.json"), "--run", file("none.json"))).error.code).toBe("BAD_USAGE");
  });
});
