import { copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runReader } from "@populace/coordinator";
import { openEmbeddedPorts } from "@populace/io";
import { SIGNAL_FORMATS } from "@populace/signals";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startSmallCluster } from "./cluster.fixture.ts";
import { COMMANDS, NETWORK_COMMANDS, RUN_COMMANDS, SIGNAL_COMMANDS } from "./commands/table.ts";
import { FORMATS } from "./commands/signals.ts";
import { RETAILER_FEED, consumerConfidenceCsv, retailerLog, retailerLogCsv, retailerPeople, retailerRecipientsCsv, retailerStudents } from "./examples/retailer.ts";
import { LOCAL_TENANT } from "./names.ts";
import { runPopulace } from "./program.ts";

const EXAMPLES = fileURLToPath(new URL("examples/", import.meta.url));
const GENERATOR = { seed: 41, misspecified: true };
const folder = mkdtempSync(join(tmpdir(), "populace-cli-"));
const file = (name: string): string => join(folder, name);

interface Said { readonly code: number; readonly out: string; readonly err: string }

async function populace(...args: readonly string[]): Promise<Said> {
  let [out, err] = ["", ""];
  const code = await runPopulace(args, new AbortController().signal, { out: (text) => { out += text; }, err: (text) => { err += text; } });
  return { code, out, err };
}

/** Runs with --json and returns the one document; anything else on either stream fails. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents of many shapes, looked into key by key
async function json(code: number, ...args: readonly string[]): Promise<any> {
  const said = await populace(...args, "--json");
  expect(said.err).toBe("");
  expect(said.out.endsWith("\n") && said.out.trimEnd().split("\n").length === 1, said.out.slice(0, 300)).toBe(true);
  const document = JSON.parse(said.out);
  expect(said.code, said.out.slice(0, 500)).toBe(code);
  return document;
}

const rate = { persona: expect.any(String), stimulus: expect.any(String), step: expect.any(String), mean: expect.any(Number), low: expect.any(Number), high: expect.any(Number) };

beforeAll(() => {
  const log = retailerLog(retailerPeople(GENERATOR, "log", 4000), "log", 0, 25, GENERATOR);
  writeFileSync(file("log.csv"), retailerLogCsv(log));
  writeFileSync(file("held-out.csv"), retailerLogCsv(retailerLog(retailerPeople(GENERATOR, "held", 1500), "held", 0, 25, GENERATOR)));
  writeFileSync(file("outcomes.csv"), retailerLogCsv(retailerLog(retailerPeople(GENERATOR, "test", 800), "test", 26, 28, GENERATOR)));
  writeFileSync(file("recipients.csv"), retailerRecipientsCsv(retailerPeople(GENERATOR, "next", 200)));
  writeFileSync(file("live.csv"), retailerRecipientsCsv([...retailerPeople(GENERATOR, "live", 500), ...retailerStudents(GENERATOR, "fresh", 90)]));
  writeFileSync(file("feed.xml"), RETAILER_FEED);
  writeFileSync(file("confidence.csv"), consumerConfidenceCsv());
  writeFileSync(file("points.csv"), "x,y\n0,0\n0,1\n1,0\n10,10\n10,11\n11,10\n");
  writeFileSync(file("texts.txt"), "what a wonderful day\n\nthis is awful\n");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the JSON contract of the commands", () => {
  it("fit: personas, steps, rows, rejected", async () => {
    const fitted = await json(0, "fit", "--schema", join(EXAMPLES, "retailer-schema.yaml"), "--data", file("log.csv"), "--out", file("model.json"), "--personas", "4", "--worlds", "64", "--seed", "3");
    expect(fitted.personas.length).toBe(4);
    expect(fitted.personas[0]).toMatchObject({ id: expect.any(String), share: expect.any(Number), size: expect.any(Number) });
    expect(fitted.personas.reduce((sum: number, persona: { share: number }) => sum + persona.share, 0)).toBeCloseTo(1, 6);
    expect(fitted).toMatchObject({ steps: ["visit", "basket", "purchase"], rows: 3960, rejected: 0, noConsent: 40 });
    expect(existsSync(file("model.json"))).toBe(true);
  });

  it("surface: axes, means and intervals row by row; the same on every backend within its tolerance", async () => {
    const args = ["surface", "--model", file("model.json"), "--persona", "p1", "--stimulus", "discount-20", "--step", "visit", "--trait", "recency", "--feature", "price", "--grid", "5x3", "--out", file("surface.html")];
    const map = await json(0, ...args);
    expect(map).toMatchObject({
      persona: "p1", stimulus: "discount-20", step: "visit", label: "simulated only", evidence: "randomized", worlds: 64, members: 128, backend: "wasm", device: expect.any(String), reason: expect.any(String), seconds: expect.any(Number), out: file("surface.html"),
      columns: { kind: "trait", name: "recency", unit: "days", levels: [] }, rows: { kind: "feature", name: "priceCut", values: [0, 0.1, 0.2], now: 0.2 },
    });
    expect([map.mean, map.low, map.high].map((rows) => rows.map((row: number[]) => row.length))).toEqual([[5, 5, 5], [5, 5, 5], [5, 5, 5]]);
    map.mean.flat().forEach((mean: number, at: number) => expect(map.low.flat()[at] <= mean && mean <= map.high.flat()[at] && mean > 0 && mean < 1).toBe(true));
    for (const backend of ["reference", "gpu-js"]) {
      const same = await json(0, ...args, "--backend", backend);
      same.mean.flat().forEach((mean: number, at: number) => expect(Math.abs(mean / map.mean.flat()[at] - 1)).toBeLessThan(1e-5));
    }
    const whole = await json(0, "surface", "--model", file("model.json"), "--trait2", "region", "--grid", "3x3", "--out", file("surface.svg"));
    expect(whole).toMatchObject({ persona: "*", rows: { kind: "trait", name: "region", levels: expect.arrayContaining(["other"]), now: null } });
    expect(readFileSync(file("surface.svg"), "utf8").startsWith("<svg ")).toBe(true);
    const said = await populace(...args);
    expect(said.out).toMatch(/\d %? \[[\d.]+, [\d.]+\]/);
    expect(said.out).toContain("simulated only");
    expect(await json(2, ...args, "--backend", "webgpu")).toMatchObject({ error: { code: "BACKEND_MISSING", message: expect.stringContaining("available for responseSurface: wasm, gpu-js, reference") } });
    for (const [option, word, hint] of [["--trait", "recensy", 'did you mean "recency"?'], ["--stimulus", "discount20", 'did you mean "discount-20"?'], ["--persona", "p9", 'did you mean "p'], ["--feature", "prise", 'did you mean "price"?'], ["--step", "vist", 'did you mean "visit"?']]) {
      expect(await json(2, ...args, option, word)).toMatchObject({ error: { code: "NOT_FOUND", message: expect.stringContaining(hint) } });
    }
  });

  it("simulate: runId, rootHash, exposures, seconds, rates; the same root for other workers and shards, and read back when repeated", async () => {
    const args = ["simulate", "--model", file("model.json"), "--agents", "3_000", "--ticks", "6", "--store", file("store")];
    const first = await json(0, ...args, "--workers", "1", "--out", file("run"));
    expect(first).toMatchObject({ runId: expect.stringMatching(/^[0-9a-f]{64}$/), rootHash: expect.stringMatching(/^[0-9a-f]{64}$/), exposures: 12_000, seconds: expect.any(Number), cached: false });
    expect(first.rates[0]).toMatchObject({ ...rate, ess: expect.any(Number) });
    for (const row of first.rates) expect(row.low <= row.mean && row.mean <= row.high && row.low >= 0 && row.high <= 1).toBe(true);
    expect(JSON.parse(readFileSync(join(file("run"), "manifest.json"), "utf8"))).toMatchObject({ runId: first.runId, rootHash: first.rootHash });
    for (const name of ["rates.parquet", "ticks.parquet", "report.html", "report.json"]) expect(existsSync(join(file("run"), name)), name).toBe(true);
    expect(await json(0, ...args)).toMatchObject({ runId: first.runId, rootHash: first.rootHash, cached: true });
    expect(await json(0, ...args, "--fresh", "--workers", "2", "--shards", "3", "--population", "procedural")).toMatchObject({ rootHash: first.rootHash, cached: false });
    expect((await json(0, ...args, "--seed", "99")).rootHash).not.toBe(first.rootHash);
  });

  it("simulate: a stimulus that the model has never seen is named, with why its intervals are wide", async () => {
    writeFileSync(file("new.json"), JSON.stringify({ newStimuli: [{ id: "summer", channel: "email" }], stimuli: ["summer"] }));
    const args = ["simulate", "--model", file("model.json"), "--study", file("new.json"), "--agents", "1000", "--ticks", "1", "--store", file("store-new")];
    const { unseen } = await json(0, ...args);
    expect(unseen).toEqual([{ stimulus: "summer", seen: expect.any(Number), oddsFactor: expect.any(Number) }]);
    expect(unseen[0].oddsFactor).toBeGreaterThan(1);
    expect((await populace(...args)).out).toMatch(/summer: never seen by the model, so its intervals hold how much stimuli differ/);
  });

  it("runs list, runs show: what lies in the store", async () => {
    const { runs } = await json(0, "runs", "list", "--store", file("store"));
    expect(runs.length).toBe(2);
    expect(await json(0, "runs", "show", runs[0].runId.slice(0, 12), "--store", file("store"))).toMatchObject({ runId: runs[0].runId, outDir: runs[0].outDir });
    expect(runs[0]).toMatchObject({ kind: "study", study: expect.any(String) });
    expect(await json(2, "runs", "show", "zz", "--store", file("store"))).toMatchObject({ error: { code: "NOT_FOUND" } });
  });

  it("replay: every committed root again; compile: the plan of the same run", async () => {
    const args = ["--model", file("model.json"), "--agents", "3000", "--ticks", "6"];
    const { runId, rootHash, outDir } = await json(0, "simulate", ...args, "--store", file("store"));
    const { roots } = JSON.parse(readFileSync(join(outDir, "manifest.json"), "utf8"));
    expect(await json(0, "replay", runId.slice(0, 16), "--store", file("store"), "--backend", "reference", "--workers", "1")).toMatchObject({ runId, rootHash, ticks: roots.length, isEqual: true, backend: "reference" });
    expect(await json(2, "replay", "ffff", "--store", file("store"))).toMatchObject({ error: { code: "NOT_FOUND" } });
    const compiled = await json(0, "compile", ...args, "--out", file("study.plan"));
    expect(compiled).toMatchObject({ runId, agents: 3000, ticks: 6, bytes: readFileSync(file("study.plan")).length });
  });

  it("sweep: one run a combination, the same as that run alone; a table and a drawing of all", async () => {
    const swept = await json(0, "sweep", "--model", file("model.json"), "--vary", "agents=1000,2000", "--vary", "ticks=2,3", "--seed", "5", "--store", file("store-sweep"), "--out", file("sweep"));
    expect(swept.cells.map((cell: { values: number[] }) => cell.values)).toEqual([[1000, 2], [1000, 3], [2000, 2], [2000, 3]]);
    const alone = await json(0, "simulate", "--model", file("model.json"), "--agents", "2000", "--ticks", "2", "--seed", "5", "--store", file("store-sweep"));
    expect(alone).toMatchObject({ runId: swept.cells[2].runId, rootHash: swept.cells[2].rootHash, cached: true });
    expect(new Set(swept.cells.map((cell: { rootHash: string }) => cell.rootHash)).size).toBe(4);
    expect(swept.cells[2].rates).toEqual(alone.rates.filter((row: { persona: string }) => row.persona === "*"));
    expect(readFileSync(swept.table).subarray(0, 4).toString()).toBe("PAR1");
    expect(readFileSync(swept.page, "utf8")).toContain("ticks 3");
    expect(await json(2, "sweep", "--model", file("model.json"), "--vary", "agent=1,2", "--store", file("store-sweep"))).toMatchObject({ error: { code: "BAD_STUDY" } });
  });

  it("backup, restore: another store has the same runs, proven; what was altered is refused", async () => {
    const backed = await json(0, "backup", file("backup"), "--store", file("store-sweep"));
    expect(backed).toMatchObject({ runs: Array.from({ length: 4 }, () => ({ state: "done", root: expect.stringMatching(/^[0-9a-f]{64}$/) })), folder: file("backup") });
    expect(await json(2, "backup", file("backup"), "--store", file("store-sweep"))).toMatchObject({ error: { code: "BAD_REQUEST" } });
    expect(await json(0, "restore", file("backup"), "--store", file("store-restored"))).toMatchObject({ runs: backed.runs });
    expect(await json(0, "replay", backed.runs[0].run, "--store", file("store-restored"))).toMatchObject({ rootHash: backed.runs[0].root, isEqual: true });
    expect(await json(0, "simulate", "--model", file("model.json"), "--agents", "2000", "--ticks", "2", "--seed", "5", "--store", file("store-restored"))).toMatchObject({ cached: true });
    // What lost its plan is left out by name, and the others are backed up all the same.
    const ports = openEmbeddedPorts(file("store-restored")), lost = backed.runs[0].run as string;
    await ports.blobs.remove((await runReader(ports, LOCAL_TENANT).run(lost))!.spec.planHash);
    await ports.close();
    const { error } = await json(1, "backup", file("backup-partial"), "--store", file("store-restored"));
    expect(error).toMatchObject({ code: "CORRUPT", message: expect.stringContaining(lost.slice(0, 12)), details: { leftOut: [{ run: lost, state: "done" }] } });
    expect((await json(0, "restore", file("backup-partial"), "--store", file("store-partial"))).runs.length).toBe(error.details.runs.length);
    const [blob] = readdirSync(join(file("backup"), "blobs"));
    writeFileSync(join(file("backup"), "blobs", blob), "altered");
    expect(await json(1, "restore", file("backup"), "--store", file("store-other"))).toMatchObject({ error: { code: "CORRUPT" } });
    expect(await json(2, "backup", file("backup-2"))).toMatchObject({ error: { code: "BAD_USAGE" } });
  });

  it("runs remove: by id, or all but the newest; from the store with their results, and computed anew when they are submitted again", async () => {
    const store = file("store-sweep"), { runs } = await json(0, "backup", file("backup-before"), "--store", store), ids = runs.map(({ run }: { run: string }) => run);
    const at = ["--store", store], rehearsal = ["simulate", "--model", file("model.json"), "--agents", "1000", "--ticks", "2", "--seed", "5", ...at];
    const first = await json(0, ...rehearsal);
    expect([first.cached, existsSync(first.outDir)]).toEqual([true, true]);
    for (const args of [[], [first.runId, "--keep", "1"], [first.runId, "--label", "trial"], ["--keep", "1", "--state", "running"], ["--keep", "-1"]]) expect(await json(2, "runs", "remove", ...args, ...at), args.join(" ")).toMatchObject({ error: { code: "BAD_USAGE" } });
    expect(await json(2, "runs", "remove", "ffff", ...at)).toMatchObject({ error: { code: "NOT_FOUND" } });
    expect(await json(0, "runs", "remove", "--keep", "1", "--dry-run", ...at)).toMatchObject({ removed: { length: 3 }, kept: 1, dryRun: true });
    expect(await json(0, "runs", "remove", first.runId.slice(0, 12), ...at)).toEqual({ removed: [{ run: first.runId, state: "done", label: "" }], kept: 3, dryRun: false });
    expect(existsSync(first.outDir)).toBe(false);
    expect(await json(0, ...rehearsal)).toMatchObject({ rootHash: first.rootHash, cached: false });
    expect((await json(0, "runs", "remove", "--keep", "0", "--label", "trial", ...at)).removed).toEqual([]);
    expect(await json(0, "runs", "remove", "--keep", "1", ...at)).toMatchObject({ removed: { length: 3 }, kept: 1 });
    expect((await json(0, "backup", file("backup-after"), ...at)).runs.map(({ run }: { run: string }) => run)).toEqual([ids.at(-1)]);
  });

  it("on a cluster: simulate, sweep and replay as on this machine, with results and report here", async () => {
    const { address, coordinator, close } = await startSmallCluster({}, 1);
    onTestFinished(close);
    const args = ["--model", file("model.json"), "--seed", "5"], at = ["--cluster", address];
    const here = await json(0, "simulate", ...args, "--agents", "2000", "--ticks", "3", "--store", file("store-here"));
    const there = await json(0, "simulate", ...args, "--agents", "2000", "--ticks", "3", "--store", file("store-there"), "--label", "trial", ...at);
    expect(there).toMatchObject({ runId: here.runId, rootHash: here.rootHash, exposures: here.exposures, rates: here.rates, cached: false, uncheckedFrom: 0 });
    expect(here.uncheckedFrom).toBeNull();
    expect(JSON.parse(readFileSync(join(there.outDir, "manifest.json"), "utf8")).execution.uncheckedFrom).toBe(0);
    for (const [outDir, isUnchecked] of [[there.outDir, true], [here.outDir, false]]) expect(readFileSync(join(outDir, "report.html"), "utf8").includes("Unchecked from tick 0 on"), outDir).toBe(isUnchecked);
    for (const name of ["rates.parquet", "ticks.parquet", "report.html"]) expect(readFileSync(join(there.outDir, name)).length, name).toBeGreaterThan(0);
    expect((await coordinator.runs()).map((run) => run.label)).toEqual(["trial"]);
    expect(await json(0, "runs", "remove", "--keep", "0", "--label", "trial", ...at)).toMatchObject({ removed: [{ run: here.runId, state: "done", label: "trial" }], kept: 0 });
    expect(await json(0, "runs", "list", ...at)).toEqual({ runs: [] });
    expect(await json(0, "simulate", ...args, "--agents", "2000", "--ticks", "3", "--store", file("store-there"), "--label", "trial", ...at)).toMatchObject({ rootHash: here.rootHash, cached: false });
    expect(await json(0, "replay", here.runId.slice(0, 12), ...at)).toMatchObject({ runId: here.runId, rootHash: here.rootHash, isEqual: true });
    const swept = await json(0, "sweep", ...args, "--vary", "agents=1000,2000", "--vary", "ticks=2,3", "--out", file("sweep-there"), ...at);
    expect(swept.cells[3]).toMatchObject({ values: [2000, 3], runId: here.runId, rootHash: here.rootHash });
    expect((await json(0, "runs", "list", ...at)).runs.length).toBe(4);
    const behave = ["behave", "--behavior", join(EXAMPLES, "behaviors", "word-of-mouth.ts"), "--agents", "2000", "--ticks", "3", "--store", file("store-here")];
    const behaved = await json(0, ...behave, ...at, "--out", file("behaved"));
    expect(behaved.rootHash).toBe((await json(0, ...behave)).rootHash);
    for (const asked of [["watch", behaved.runId.slice(0, 16)], ["show", behaved.runId.slice(0, 16)]]) expect(await json(0, "runs", ...asked, ...at)).toMatchObject({ run: behaved.runId, kind: "behavior", state: "done" });
    expect(await json(2, "simulate", "--model", file("model.json"), "--agents", "1000", "--backend", "gpu-js", ...at)).toMatchObject({ error: { code: "BACKEND_MISSING" } });
  });

  it("commands of a cluster: what to do when none is named, or none answers", async () => {
    expect(await json(2, "nodes")).toMatchObject({ error: { code: "BAD_USAGE", message: expect.stringContaining("--cluster HOST:PORT") } });
    expect(await json(2, "drain", "node-1", "--cluster", "example.org:7600")).toMatchObject({ error: { code: "BAD_USAGE", message: expect.stringContaining("--tls-ca") } });
    expect(await json(2, "plan", "--cluster", "127.0.0.1:1")).toMatchObject({ error: { code: "BAD_USAGE", message: expect.stringContaining("--leave NODE or --join NUMBER") } });
    expect(await json(1, "runs", "watch", "3f9a", "--cluster", "127.0.0.1:1")).toMatchObject({ error: { code: "UNAVAILABLE", message: expect.stringContaining("populace coordinator --nats URL") } });
  });

  it("optimize: best, regret, baselines", async () => {
    const found = await json(0, "optimize", "--model", file("model.json"), "--batch", "500", "--rounds", "3", "--store", file("store"));
    expect(found.best.length).toBe(4);
    expect(found.best[0]).toMatchObject({ persona: expect.any(String), stimulus: expect.any(String), probabilityBest: expect.any(Number), expectedLoss: expect.any(Number) });
    expect(found.baselines.map((row: { name: string }) => row.name)).toEqual(expect.arrayContaining(["oracle", "best-fixed", "random"]));
    expect(Array.isArray(found.regret)).toBe(true);
  });

  it("optimize by a bandit of features: replicates with their intervals, a page, the same twice", async () => {
    const search = ["optimize", "--model", file("model.json"), "--method", "logistic-thompson", "--batch", "500", "--rounds", "3", "--replicates", "4", "--store", file("store")];
    const found = await json(0, ...search, "--out", file("search"));
    expect(found.curves.map((curve: { policy: string }) => curve.policy)).toEqual(["logistic-thompson", "best-fixed", "random"]);
    for (const { points } of found.curves) for (const { mean, low, high } of points) expect(low <= mean && mean <= high).toBe(true);
    expect(readFileSync(found.page, "utf8")).toContain("Bands hold 90 % of the replicates");
    expect({ ...(await json(0, ...search)), page: found.page }).toEqual(found);
    expect(await json(2, "optimize", "--model", file("model.json"), "--step", "visits")).toMatchObject({ error: { code: "BAD_STUDY", message: expect.stringContaining('did you mean "visit"') } });
    expect(await json(2, "optimize", "--model", file("model.json"), "--method", "luck")).toMatchObject({ error: { code: "BAD_USAGE" } });
  });

  it("optimize --find contacts: policies, a schedule, and a study that is the same run", async () => {
    writeFileSync(file("contacts.json"), JSON.stringify({ ticks: 8, agents: 2000, worlds: 16, pressure: { perContact: 60, logitPerUnit: 0.01, leaveLogitPerUnit: 0.02 }, contactPolicy: { leaveCostMinor: 1000, contactsMax: 3 } }));
    const at = ["--model", file("model.json"), "--store", file("store")];
    const found = await json(0, "optimize", ...at, "--study", file("contacts.json"), "--find", "contacts", "--replicates", "2", "--out", file("contacts"));
    expect(found.policies.map((row: { name: string }) => row.name)).toEqual(["sequential", "myopic", "best-fixed", "random", "oracle"]);
    expect(found.schedule.length).toBe(4);
    expect(found.schedule.every((row: readonly string[]) => row.length === 8 && row.filter((stimulus) => stimulus !== "no-contact").length <= 3)).toBe(true);
    expect(readFileSync(found.page, "utf8")).toContain("Whom to contact when with what");
    expect((await json(0, "simulate", ...at, "--study", join(file("contacts"), "study.json"), "--out", file("replayed"))).rootHash).toBe(found.rootHash);
  });

  it("optimize --find design: a front, what is known beside it, a page; no design is refused", async () => {
    writeFileSync(file("design.json"), JSON.stringify({ ticks: 6, worlds: 16, agents: 100, design: { channels: { email: 2, sms: 9 }, priceCut: [0, 0.1, 0.2], priceMinor: 3000, everyTicks: [2, 6] } }));
    const found = await json(0, "optimize", "--model", file("model.json"), "--study", file("design.json"), "--find", "design", "--out", file("designs"));
    expect(found).toMatchObject({ designs: 12, isWhole: true });
    expect(found.rows[0]).toMatchObject({ kind: "front", id: expect.stringContaining("design: "), probabilityBest: expect.any(Number), value: { mean: expect.any(Number) } });
    expect(found.rows.some((row: { kind: string }) => row.kind === "known")).toBe(true);
    expect(readFileSync(found.page, "utf8")).toContain("Value against leaving");
    expect(await json(2, "optimize", "--model", file("model.json"), "--find", "design")).toMatchObject({ error: { code: "BAD_STUDY", message: expect.stringContaining("design") } });
  });

  it("backtest --record: the verdict goes into the model, and a page is drawn; a model that failed or was never judged is not released without force", async () => {
    copyFileSync(file("model.json"), file("judged.json"));
    const judged = await json(0, "backtest", "--model", file("judged.json"), "--data", file("held-out.csv"), "--record", "--report", file("backtest.html"));
    expect(judged.calibration).toMatchObject({ against: "held-out rows", verdict: expect.stringMatching(/passed|failed/) });
    expect(judged.pit.counts.reduce((sum: number, each: number) => sum + each, 0)).toBe(judged.cells.length);
    const { readModel, writeModel } = await import("@populace/studies");
    const model = readModel(file("judged.json"));
    expect(model.calibration).toEqual(judged.calibration);
    expect(readFileSync(file("backtest.html"), "utf8").match(/<svg /g)?.length).toBe(2);
    expect(await json(2, "backtest", "--model", file("judged.json"), "--data", file("held-out.csv"), "--record", "--by", "region")).toMatchObject({ error: { code: "BAD_USAGE" } });

    const { admitRelease } = await import("./release.ts");
    const notes: string[] = [];
    const released = (calibration: typeof model.calibration, isForced = false): void => admitRelease({ ...model, calibration }, isForced, (note) => notes.push(note));
    const failed = { ...model.calibration!, verdict: "failed" as const, reason: "9 of 20 outcomes lie outside" };
    expect(() => released({ ...failed, verdict: "passed" })).not.toThrow();
    expect(() => released(null)).toThrow(expect.objectContaining({ code: "UNCALIBRATED", message: expect.stringContaining("no calibration record") }) as Error);
    expect(() => released(failed)).toThrow(expect.objectContaining({ code: "UNCALIBRATED", message: expect.stringContaining("9 of 20 outcomes lie outside") }) as Error);
    expect(notes).toEqual([]);
    released(failed, true);
    expect(notes).toEqual([expect.stringContaining("released by force")]);
    writeModel(file("judged.json"), { ...model, calibration: failed });
    expect(await json(2, "up", "--model", file("judged.json"), "--store", file("refused-store"), "--port", "0")).toMatchObject({ error: { code: "UNCALIBRATED" } });
    // No cluster is asked before the model has passed.
    const release = ["release", "--model", file("judged.json"), "--cluster", "127.0.0.1:1"] as const;
    expect(await json(2, ...release)).toMatchObject({ error: { code: "UNCALIBRATED", message: expect.stringContaining("--force") } });
    expect(await json(1, ...release, "--force", "the outcomes are known to be odd")).toMatchObject({ error: { code: "UNAVAILABLE" } });
  });

  it("learn --update logistic, --half-life, --subtract", async () => {
    const absorbed = await json(0, "learn", "--model", file("model.json"), "--outcomes", file("outcomes.csv"), "--update", "logistic", "--half-life", "60", "--out", file("absorbed.json"));
    expect(absorbed).toMatchObject({ rows: 792, halfLife: 60, score: { every: 1000, memories: [{ halfLife: 60, logLoss: expect.any(Number) }] } });
    expect(await json(0, "learn", "--model", file("absorbed.json"), "--outcomes", file("outcomes.csv"), "--subtract")).toMatchObject({ subtracted: 0, pending: 792 });
    await json(0, "learn", "--model", file("model.json"), "--outcomes", file("outcomes.csv"), "--out", file("counted.json"));
    expect(await json(0, "learn", "--model", file("counted.json"), "--outcomes", file("outcomes.csv"), "--subtract")).toMatchObject({ subtracted: 792, pending: 0, exchangeRate: { learned: false } });
    for (const time of ["0", "-3", "NaN", "Infinity", "1e400", "soon"]) {
      expect(await json(2, "learn", "--model", file("counted.json"), "--outcomes", file("outcomes.csv"), `--half-life=${time}`)).toMatchObject({ error: { code: "BAD_USAGE", message: expect.stringContaining("above 0, auto or none") } });
    }
    expect(await json(0, "learn", "--model", file("model.json"), "--outcomes", file("outcomes.csv"), "--half-life", "1e308", "--out", file("eternal.json"))).toMatchObject({ halfLife: 1e308, rows: 792 });
    expect(await json(2, "learn", "--model", file("counted.json"), "--outcomes", file("outcomes.csv"), "--subtract", "--half-life", "3")).toMatchObject({ error: { code: "BAD_USAGE" } });
  });

  it("learn: updated, exchangeRate, rejected; the same file twice counts once", async () => {
    const learned = await json(0, "learn", "--model", file("model.json"), "--outcomes", file("outcomes.csv"), "--out", file("model-2.json"));
    expect(learned.rows).toBe(792);
    expect(learned.updated.length).toBeGreaterThan(0);
    expect(learned).toMatchObject({ exchangeRate: { a0: expect.any(Number) }, rejected: { seen: 0, noConsent: 8 }, version: 2 });
    expect(await json(0, "learn", "--model", file("model-2.json"), "--outcomes", file("outcomes.csv"))).toMatchObject({ rows: 0, rejected: { seen: 792 } });
  });

  it("learn: an outcome that is still to come is refused with its line and column, and can be taken out again where it was counted", async () => {
    const lines = readFileSync(file("outcomes.csv"), "utf8").split("\n");
    writeFileSync(file("to-come.csv"), lines.map((line, at) => (at >= 1 && at <= 40 ? line.replace(/\b2023-\d\d-\d\d\b/, "2090-01-01") : line)).join("\n"));
    const { error } = await json(2, "learn", "--model", file("model.json"), "--outcomes", file("to-come.csv"), "--out", file("never.json"));
    expect(error).toMatchObject({ code: "BAD_DATA", message: expect.stringMatching(/to-come\.csv:2: column \w+: expected a time that has come \(here it is 20.*Z\), found "2090-01-01"/) });
    expect(existsSync(file("never.json"))).toBe(false);
    expect(await json(0, "learn", "--model", file("model-2.json"), "--outcomes", file("to-come.csv"), "--subtract", "--out", file("without.json"))).toMatchObject({ subtracted: expect.any(Number) });
  });

  it("prioritize: decisions in descending score, plain mode being rate x value", async () => {
    const args = ["prioritize", "--model", file("model-2.json"), "--recipients", file("recipients.csv"), "--campaigns", join(EXAMPLES, "retailer-campaigns.yaml"), "--top", "2"];
    const { decisions } = await json(0, ...args);
    expect(decisions.length).toBe(198);
    for (const decision of decisions) {
      expect(decision).toMatchObject({ recipient: expect.any(String), persona: expect.any(String), ranked: expect.any(Array), suppressed: expect.any(Array) });
      expect(decision.ranked.length).toBe(2);
      expect(decision.ranked[0].score).toBeGreaterThanOrEqual(decision.ranked[1].score);
      for (const row of decision.ranked) {
        expect(row).toMatchObject({ campaign: expect.any(String), stimulus: expect.any(String), low: expect.any(Number), high: expect.any(Number) });
        expect(row.score).toBeCloseTo(row.rate * row.value, 9);
      }
    }
    const strict = await json(0, ...args, "--rate-min", "0.9");
    expect(strict.decisions[0].suppressed[0]).toMatchObject({ campaign: expect.any(String), reason: "rate below threshold" });
    expect((await json(0, ...args, "--mode", "thompson", "--seed", "5")).decisions).toEqual((await json(0, ...args, "--mode", "thompson", "--seed", "5")).decisions);
    expect(await json(2, ...args, "--mode", "best")).toMatchObject({ error: { code: "BAD_USAGE" } });
  });

  it("backtest: cells, coverage90, ece, logLoss, auc, policies, qini; seen rows are refused", async () => {
    const judged = await json(0, "backtest", "--model", file("model.json"), "--data", file("held-out.csv"), "--predictions", file("predictions.csv"));
    expect(judged).toMatchObject({ coverage90: expect.any(Number), ece: expect.any(Number), logLoss: expect.any(Number), auc: expect.any(Number), policies: expect.any(Array), qini: expect.any(Array) });
    expect(judged.cells[0]).toMatchObject({ group: expect.any(String), persona: expect.any(String), stimulus: expect.any(String), step: expect.any(String), exposures: expect.any(Number), observed: expect.any(Number), predicted: expect.any(Number), rateLow: expect.any(Number), rateHigh: expect.any(Number), low: expect.any(Number), high: expect.any(Number) });
    expect(readFileSync(file("predictions.csv"), "utf8").split("\n")[0]).toBe("row,stimulus,step,predicted,low,high");
    expect((await json(0, "backtest", "--model", file("model.json"), "--data", file("held-out.csv"), "--by", "region")).cells[0].persona).toBe("*");
    expect(await json(2, "backtest", "--model", file("model.json"), "--data", file("log.csv"))).toMatchObject({ error: { code: "SEEN_ROWS" } });
  });

  it("cluster: labels, k, sse, noise, lineage; a new cluster can be promoted", async () => {
    expect(await json(0, "cluster", "--method", "kmeans", "--data", file("points.csv"), "--k", "2")).toMatchObject({ labels: [0, 0, 0, 1, 1, 1], k: 2, noise: 0, lineage: [] });
    // Two right triangles with legs of 1: each has a sum of squares of 4/3 around its centroid.
    expect((await json(0, "cluster", "--method", "kmeans", "--data", file("points.csv"), "--k", "2")).sse).toBeCloseTo(8 / 3, 12);
    const live = await json(0, "cluster", "--method", "kmeans", "--model", file("model-2.json"), "--data", file("live.csv"), "--k", "5");
    expect(live.labels.length).toBe(584);
    const shadow = live.emerging.find((cluster: { stage: string }) => cluster.stage === "shadow");
    expect(shadow, JSON.stringify(live.emerging)).toBeDefined();
    const promoted = await json(0, "cluster", "--method", "kmeans", "--model", file("model-2.json"), "--data", file("live.csv"), "--k", "5", "--promote", String(shadow.cluster), "--out", file("model-3.json"));
    expect(promoted.promoted).toMatchObject({ persona: "p5", members: shadow.size });
    expect((await json(0, "report", "--model", file("model-3.json"), "--out", file("model-3.html"))).rates).toBe(5 * 4 * 3);
  });

  it("signals: records, rejected; scores; shocks", async () => {
    expect((await json(0, "signals", "parse", "--format", "rss", "--in", file("feed.xml"))).records.length).toBe(8);
    const { scores } = await json(0, "signals", "sentiment", "--in", file("texts.txt"));
    expect(scores.length).toBe(3);
    expect(scores[0]).toBeGreaterThan(0.3);
    expect(scores[2]).toBeLessThan(-0.3);
    const run = await json(0, "signals", "run", "--source", `rss=${file("feed.xml")}`, "--source", `series=${file("confidence.csv")}`, "--effect", "consumer_confidence=+brand-warmth", "--origin", "2023-06-24", "--out", file("shocks.yaml"));
    expect(run).toMatchObject({ doubled: 1, rejected: [] });
    expect(run.shocks.length).toBe(2);
    expect(FORMATS).toEqual(SIGNAL_FORMATS);
  });

  it("report: a run's page is written again from its data", async () => {
    const again = await json(0, "report", "--run", file("run"), "--out", file("again.html"));
    expect(readFileSync(file("again.html"), "utf8") === readFileSync(join(file("run"), "report.html"), "utf8")).toBe(true);
    expect(again.figures).toBeGreaterThan(5);
    expect(await json(2, "report", "--run", folder)).toMatchObject({ error: { code: "FILE_MISSING" } });
    expect(await json(2, "report")).toMatchObject({ error: { code: "BAD_USAGE" } });
  });

  it("up: answers over HTTP from the committed release, also after a restart without a model", async () => {
    const serve = async (...more: readonly string[]): Promise<{ status: number; body: { release: string; decisions: { ranked: unknown[] }[] }; line: string }> => {
      const stop = new AbortController();
      let out = "";
      const running = runPopulace(["up", "--port", "0", "--store", file("up-store"), ...more], stop.signal, { out: (text) => { out += text; }, err: (text) => { out += text; } });
      await expect.poll(() => out, { timeout: 20_000 }).toContain("Ctrl-C stops it");
      const [, url, body] = /curl -s (\S+) .* -d '(.*)'/.exec(out) ?? [];
      const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
      const answer = await response.json();
      stop.abort();
      expect(await running).toBe(0);
      return { status: response.status, body: answer as never, line: out };
    };
    const first = await serve("--model", file("model-2.json"), "--campaigns", join(EXAMPLES, "retailer-campaigns.yaml"));
    expect(first.status).toBe(200);
    expect(first.body.decisions[0].ranked.length).toBe(3);
    const second = await serve();
    expect(second.status).toBe(200);
    expect(second.body.release).toBe(first.body.release);
  });
});

describe("the command line", () => {
  const all = [...COMMANDS.map((command) => [command.name, command] as const), ...SIGNAL_COMMANDS.map((command) => [`signals ${command.name}`, command] as const), ...RUN_COMMANDS.map((command) => [`runs ${command.name}`, command] as const), ...NETWORK_COMMANDS.map((command) => [`network ${command.name}`, command] as const)];

  it.each(all)("%s --help shows an example and the options every command has", async (name) => {
    const said = await populace(...name.split(" "), "--help");
    expect(said.code).toBe(0);
    expect(said.out).toMatch(/Examples?:\n {2}\$ populace /);
    for (const option of ["--json", "--seed"]) expect(said.out).toContain(option);
    expect(said.err).toBe("");
  });

  it.each([
    [["simulat"], "Did you mean simulate"],
    [["simulate", "--modle", "x"], "did you mean --model?"],
    [["simulate", "--model", "x", "--agents", "-5"], "Expected a number"],
    [["simulate", "--model", "x", "--agents", "NaN"], "Expected a number"],
    [["simulate", "--model", "x", "--agents", "0"], "at least 1"],
    [["cluster", "--method", "kmean", "--data", "x"], "kmeans, dbscan"],
    [["fit", "--schema", "x"], "--out"],
    [["surface", "--model", "x", "--grid", "41*41"], "such as 41x41"],
    [["surface", "--model", "x", "--grid", "0x5"], "1 to 401"],
    [["runs"], "a command is missing"],
    [["network", "query", "--query", "a"], "either --network FILE or --bif FILE"],
    [["network", "query", "--bif", "x", "--evidence", "smoke"], "variable=state"],
    [["network", "query", "--bif", "x", "--soft", "smoke=yes"], "state:likelihood"],
    [["network", "learn", "--data", "x", "--out", "y", "--require", "a>b"], "channel->visit"],
    [["network", "learn", "--data", "x", "--out", "y"], "--schema FILE, or --model FILE"],
    [["signals", "run", "--source", "rss", "--origin", "2026-01-01"], "FORMAT=PLACE"],
  ])("%j is bad usage: exit 2, a hint, no stack trace", async (args, hint) => {
    const said = await populace(...args);
    expect(said.code).toBe(2);
    expect(said.err).toContain(hint);
    expect(said.err).not.toMatch(/\n\s+at /);
    expect(said.out).toBe("");
    expect((await json(2, ...args)).error).toMatchObject({ code: "BAD_USAGE" });
  });

  it("a work interrupted says how to resume, leaves the store whole, and the same command ends with the same root", async () => {
    const args = ["simulate", "--model", file("model.json"), "--agents", "10000", "--ticks", "40", "--workers", "1"];
    const whole = await json(0, ...args, "--store", file("store-whole"));
    const stop = new AbortController();
    let err = "";
    const running = runPopulace([...args, "--store", file("store-cut")], stop.signal, { out: () => undefined, err: (text) => { err += text; } });
    // As soon as the run is in the store there is something to interrupt.
    await expect.poll(() => existsSync(join(file("store-cut"), "data.mdb")), { timeout: 20_000, interval: 5 }).toBe(true);
    stop.abort();
    const code = await running;
    expect(code).toBe(1);
    expect(err).toContain("resume with the same command");
    expect((await json(0, ...args, "--store", file("store-cut"))).rootHash).toBe(whole.rootHash);
  });
});
