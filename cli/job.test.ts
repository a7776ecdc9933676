import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startNode, type NodeOptions, type RunningNode } from "@populace/agent-runtime";
import { backup, restore, runReader, startCoordinator, type Coordinator } from "@populace/coordinator";
import { controlService } from "@populace/coordinator/control";
import { memoryPorts, memoryStore, sha256Hex, type EmbeddedPorts } from "@populace/io";
import { serveGrpc } from "@populace/io/rpc";
import { samplePlan } from "@populace/kernels/sample-plan";
import { RUN_RECORD, runKey, type RunRecord } from "@populace/protocol";
import { JOB_NAMES } from "@populace/studies";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCluster, type ClusterClient } from "./cluster-client.ts";
import { runPopulace } from "./program.ts";

const TENANT = "default";
const folder = mkdtempSync(join(tmpdir(), "populace-jobs-"));
const gate = join(folder, "gate"), scratch = join(folder, "scratch");
const shared = memoryPorts();
const shut: (() => Promise<unknown>)[] = [];
const file = (name: string): string => join(folder, name);
let first: Coordinator, second: Coordinator, at: string, cluster: ClusterClient;

/** A node that can be killed: then nothing it says or writes arrives any more. */
function killableNode(incarnation: string, options: Partial<NodeOptions> = {}): { readonly node: RunningNode; kill(): void } {
  let isDead = false;
  const never = new Promise<never>(() => {});
  const ports: EmbeddedPorts = {
    ...shared,
    bus: { ...shared.bus, publish: (subject, bytes) => { if (!isDead) shared.bus.publish(subject, bytes); } },
    log: { ...shared.log, fill: (subject, bytes) => (isDead ? never : shared.log.fill(subject, bytes)) },
  };
  const node = startNode({ ports, incarnation, workers: 2, tenant: TENANT, jobs: { names: JOB_NAMES, thread: new URL("gated-job.fixture.ts", import.meta.url) }, ...options });
  // What a dead one waits for never comes.
  shut.push(() => (isDead ? Promise.resolve() : node.stop()));
  return { node, kill: () => { isDead = true; } };
}

const nodes = new Map<string, ReturnType<typeof killableNode>>();
const closeGate = (): void => rmSync(gate, { force: true });
const openGate = (): void => writeFileSync(gate, "");

async function startProcess(): Promise<{ readonly coordinator: Coordinator; readonly address: string }> {
  const ports: EmbeddedPorts = { ...shared, store: memoryStore() };
  let coordinator: Coordinator | null = null;
  const server = await serveGrpc({ listen: "127.0.0.1:0", services: [controlService({ coordinatorOf: () => ({ coordinator: coordinator!, tenant: TENANT }), ports, version: "0.0.0" })] });
  coordinator = await startCoordinator({ ports, tenant: TENANT, address: server.address, leaseTtlMs: 2000, doubleRunShare: 1 });
  shut.push(() => coordinator!.close(), () => server.close());
  return { coordinator, address: server.address };
}

beforeAll(async () => {
  process.env["POPULACE_TEST_GATE"] = gate;
  mkdirSync(scratch);
  process.env["TMPDIR"] = scratch;
  // What a process left that was killed in the middle of a job.
  mkdirSync(join(scratch, `populace-job-${spawnSync(process.execPath, ["-e", ""]).pid}-abcdef`));
  openGate();
  writeFileSync(file("schema.yaml"), "name: shop\nattributes: {age: continuous, city: categorical}\nstimulus: {column: offer}\nfunnel: [visit]\nassignment: randomized\n");
  writeFileSync(file("data.csv"), `age,city,offer,visit\n${Array.from({ length: 240 }, (_, i) => `${20 + ((i * 7919) % 50)},${["north", "south", "west"][(i * 31) % 3]},${i % 2 === 0 ? "mail" : "none"},${(i * 104729) % 17 < (i % 2 === 0 ? 6 : 3) ? 1 : 0}`).join("\n")}\n`);
  writeFileSync(file("log.csv"), `age,city,offer,visit,p\n${readFileSync(file("data.csv"), "utf8").trim().split("\n").slice(1).map((line) => `${line},0.5`).join("\n")}\n`);
  writeFileSync(file("table.csv"), "city,offer,probability\nnorth,mail,0.8\nnorth,none,0.2\nsouth,none,1\nwest,mail,0.4\nwest,none,0.6\n");
  writeFileSync(file("points.csv"), Array.from({ length: 90 }, (_, i) => `${(i % 3) * 10 + ((i * 7919) % 13) / 10} ${(i % 3) * 5 + ((i * 104729) % 11) / 10}`).join("\n"));
  writeFileSync(file("bad.csv"), `age,city,offer,visit\n${Array.from({ length: 60 }, (_, i) => `old-${i},north,mail,1`).join("\n")}\n`);
  const one = await startProcess();
  first = one.coordinator;
  await first.leading();
  const other = await startProcess();
  second = other.coordinator;
  at = `${one.address},${other.address}`;
  for (const name of ["node-a", "node-b", "node-c"]) nodes.set(name, killableNode(name));
  await Promise.all([...nodes.values()].map(({ node }) => node.ready));
  expect(readdirSync(scratch)).toEqual([]);
  cluster = openCluster({ addresses: at.split(",") });
});

afterAll(async () => {
  openGate();
  cluster.close();
  for (const each of shut.toReversed()) await each();
  rmSync(folder, { recursive: true, force: true });
});

async function populace(...args: readonly string[]): Promise<{ readonly code: number; readonly document: any }> { // eslint-disable-line @typescript-eslint/no-explicit-any -- documents of many shapes
  let out = "";
  const code = await runPopulace([...args, "--json"], new AbortController().signal, { out: (text) => { out += text; }, err: () => {} });
  return { code, document: JSON.parse(out) };
}

const fit = (seed: number, out: string, data = "data.csv", ...more: readonly string[]): ReturnType<typeof populace> =>
  populace("fit", "--schema", file("schema.yaml"), "--data", file(data), "--out", file(out), "--personas", "2", "--worlds", "16", "--seed", String(seed), ...more);
const fitThere = (seed: number, out: string, data = "data.csv"): ReturnType<typeof populace> => fit(seed, out, data, "--cluster", at);
const hashOf = (name: string): string => sha256Hex(new Uint8Array(readFileSync(file(name))));

async function record(run: string): Promise<RunRecord> {
  return RUN_RECORD.decode((await shared.registry.get(runKey(TENANT, run)))!.bytes);
}

/** The record of the newest run, once `is` holds of it. */
async function newest(is: (record: RunRecord) => boolean): Promise<RunRecord> {
  for (;;) {
    const { runs } = await cluster.call("List", {});
    const last = runs.at(-1);
    if (last !== undefined) {
      const found = await record(last.run);
      if (is(found)) return found;
    }
    await sleep(20);
  }
}
const isComputing = (run: RunRecord): boolean => run.state === "running" && readdirSync(scratch).length > 0;

test("a fit on the cluster is the fit of this machine, bit for bit; repeated, it is read back; its data do not stay", async () => {
  const [here, there] = [await fit(1, "here.json"), await fitThere(1, "there.json")];
  expect(here.code).toBe(0);
  expect(there.code).toBe(0);
  expect(hashOf("there.json")).toBe(hashOf("here.json"));
  expect({ ...there.document, out: "", seconds: 0 }).toEqual({ ...here.document, out: "", seconds: 0 });
  const { runs: [run] } = await cluster.call("List", {});
  expect(run).toMatchObject({ kind: "job", state: "done", label: "fit", attempt: 1, ticks: 1, tick: 0, backends: ["job"] });
  await fitThere(1, "again.json");
  expect(hashOf("again.json")).toBe(hashOf("here.json"));
  expect((await cluster.call("List", {})).runs).toMatchObject([{ run: run.run, attempt: 1 }]);
  // Computed a second time on another node, and compared.
  const counters = [first, second].map((each) => each.metrics().counters);
  expect([counters[0].doubleRuns + counters[1].doubleRuns, counters[0].doubleRunsGivenUp + counters[1].doubleRunsGivenUp]).toEqual([1, 0]);
  await cluster.submit(samplePlan(3, { agents: [100], ticks: 1, worlds: 4 }), {});
  expect(await shared.blobs.has(hashOf("data.csv"))).toBe(false);
  await expect(cluster.file("Table", { run: run.run, table: "ticks" })).rejects.toMatchObject({ code: "BAD_REQUEST" });
});

test("an archive holds the output of a job, proven by its root", async () => {
  const { runs: [{ run }] } = await cluster.call("List", {});
  await backup(shared, TENANT, file("archive"));
  const other = memoryPorts();
  await restore(other, file("archive"));
  expect(await runReader(other, TENANT).output(run)).toEqual(await cluster.file("Output", { run }));
  await other.close();
});

test("bad data are refused in the words of this machine, on one node and not on all", async () => {
  const [here, there] = [await fit(1, "bad.json", "bad.csv"), await fitThere(1, "bad.json", "bad.csv")];
  expect(here.document.error.code).toBe("BAD_DATA");
  expect(there.code).toBe(here.code);
  expect(there.document.error).toMatchObject({ code: here.document.error.code, message: here.document.error.message });
  expect(existsSync(file("bad.json"))).toBe(false);
  expect(await newest(({ state }) => state === "failed")).toMatchObject({ unfit: [] });
});

test("a node is killed in the middle, another one ends it", async () => {
  closeGate();
  const fitted = fitThere(2, "killed.json");
  const { owners: [owner] } = await newest(isComputing);
  nodes.get(owner)!.kill();
  nodes.delete(owner);
  const moved = await newest(({ owners }) => owners[0] !== owner);
  expect(nodes.has(moved.owners[0])).toBe(true);
  openGate();
  expect((await fitted).code).toBe(0);
  await fit(2, "whole.json");
  expect(hashOf("killed.json")).toBe(hashOf("whole.json"));
});

test("cancel ends the thread at once, and its copy of the data is removed", async () => {
  closeGate();
  const fitted = fitThere(3, "canceled.json");
  const { run, owners: [owner] } = await newest(isComputing);
  const before = readdirSync(scratch);
  expect((await populace("runs", "cancel", run, "--cluster", at)).document).toMatchObject({ run, state: "canceled", kind: "job" });
  expect((await fitted).document.error).toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("canceled") });
  // Those of the killed node stay: it never hears of anything.
  const isGone = (): boolean => readdirSync(scratch).length < before.length;
  while (!isGone()) await sleep(10);
  expect(owner).not.toBe("");
  openGate();
});

test.each([
  ["cluster", "--method", "kmeans", "--data", file("points.csv"), "--k", "3", "--seed", "11"],
  ["evaluate-policy", "--schema", file("schema.yaml"), "--log", file("data.csv"), "--policy", file("table.csv"), "--seed", "12"],
])("cancel of a job of %s ends its command, and its copy of the data is removed", async (...args) => {
  closeGate();
  const called = populace(...args, "--cluster", at);
  const before = readdirSync(scratch).length;
  const { run } = await newest((each) => each.label === args[0] && isComputing(each) && readdirSync(scratch).length > before);
  const during = readdirSync(scratch).length;
  expect((await populace("runs", "cancel", run, "--cluster", at)).document).toMatchObject({ run, state: "canceled", kind: "job" });
  expect((await called).document.error).toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("canceled") });
  while (readdirSync(scratch).length >= during) await sleep(10);
  openGate();
});

test("an emerging cluster promoted on the cluster is the persona and the model of this machine", async () => {
  // Twice as old as anybody in the data.
  const strangers = Array.from({ length: 60 }, (_, i) => `${140 + (i % 5)},west`);
  writeFileSync(file("strange.csv"), `age,city\n${readFileSync(file("data.csv"), "utf8").trim().split("\n").slice(1).map((line) => line.split(",").slice(0, 2).join(",")).concat(strangers).join("\n")}\n`);
  const args = ["cluster", "--method", "kmeans", "--k", "3", "--model", file("here.json"), "--data", file("strange.csv"), "--seed", "7"];
  const { document: { emerging } } = await populace(...args);
  expect(emerging.length).toBeGreaterThan(0);
  const promote = (out: string): readonly string[] => [...args, "--promote", String(emerging[0].cluster ?? emerging[0]), "--out", file(out)];
  const here = await populace(...promote("promoted-here.json")), there = await populace(...promote("promoted-there.json"), "--cluster", at);
  expect(here.code, JSON.stringify(here.document)).toBe(0);
  expect(there).toEqual(here);
  expect(here.document.promoted.moved).toBeGreaterThan(0);
  expect(hashOf("promoted-there.json")).toBe(hashOf("promoted-here.json"));
  expect(hashOf("promoted-here.json")).not.toBe(hashOf("here.json"));
});

/** Clusterings and valuations: what is said and what is written, here or there. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  "clustering of live recipients": ["cluster", "--method", "kmeans", "--model", file("here.json"), "--data", file("data.csv"), "--seed", "7"],
  "clustering of bare points": ["cluster", "--method", "dbscan", "--data", file("points.csv"), "--standardize"],
  "valuation of a table of probabilities": ["evaluate-policy", "--schema", file("schema.yaml"), "--log", file("data.csv"), "--policy", file("table.csv"), "--seed", "3", "--ess-floor", "10"],
  "valuation of a model": ["evaluate-policy", "--action", "offer", "--reward", "visit", "--propensity", "p", "--log", file("log.csv"), "--policy", file("here.json"), "--allow-seen", "--ess-floor", "10"],
};

test.each(Object.entries(CALLS))("a %s on the cluster is that of this machine", async (_, args) => {
  const [here, there] = [await populace(...args), await populace(...args, "--cluster", at)];
  expect(here.code, JSON.stringify(here.document)).toBe(0);
  expect(there).toEqual(here);
  expect((await cluster.call("List", {})).runs.at(-1)).toMatchObject({ kind: "job", state: "done", label: args[0] });
});

test("a policy's bad file is refused in the words of this machine", async () => {
  const args = ["evaluate-policy", "--schema", file("schema.yaml"), "--log", file("data.csv"), "--policy", file("bad.csv")];
  const [here, there] = [await populace(...args), await populace(...args, "--cluster", at)];
  expect(here.code).toBe(2);
  expect([there.code, there.document.error.code, there.document.error.message]).toEqual([here.code, here.document.error.code, here.document.error.message]);
});

test("a clustering goes on on another node when its own is killed", async () => {
  closeGate();
  const args = ["cluster", "--method", "kmeans", "--model", file("here.json"), "--data", file("data.csv"), "--seed", "8"];
  const clustered = populace(...args, "--cluster", at);
  const { owners: [owner] } = await newest((run) => run.label === "cluster" && isComputing(run));
  nodes.get(owner)!.kill();
  nodes.delete(owner);
  nodes.set("node-d", killableNode("node-d"));
  await newest(({ owners }) => owners[0] !== owner);
  openGate();
  expect(await clustered).toEqual(await populace(...args));
});

test("two jobs and a simulation share the nodes; the leader hands over in the middle", async () => {
  closeGate();
  const fits = [fitThere(4, "four.json"), fitThere(5, "five.json")];
  await newest(({ spec, state }) => spec.kernelSpec === "job-1" && state === "running");
  const { run } = await cluster.submit(samplePlan(5, { agents: [3000, 800], ticks: 8, worlds: 4 }), {});
  while ((await cluster.call("List", {})).runs.filter(({ kind, state }) => kind === "job" && state === "running").length < 2) await sleep(20);
  const [leader, next] = first.role === "leader" ? [first, second] : [second, first];
  await leader.close();
  await next.leading();
  openGate();
  expect((await Promise.all(fits)).map(({ code }) => code)).toEqual([0, 0]);
  for await (const now of cluster.watch(run)) if (now.state === "done") expect(now.kind).toBe("study");
  await fit(4, "four-here.json");
  expect(hashOf("four.json")).toBe(hashOf("four-here.json"));
  expect(hashOf("five.json")).not.toBe(hashOf("four.json"));
});

test("a job that two nodes end differently freezes, says whom to ask, and is resolved by a third: who erred is excluded and the fit is that of this machine", async () => {
  closeGate();
  const liar = killableNode("liar", { jobs: { names: JOB_NAMES, thread: new URL("lying-job.fixture.ts", import.meta.url) } });
  nodes.set("liar", liar);
  await liar.node.ready;
  const seen: string[] = [];
  // Who computes a job follows from its hash: one of these lies on the liar's node, or is checked there.
  for (let seed = 20; seed < 40 && seen.length === 0; seed += 1) {
    openGate();
    const { code, document } = await fitThere(seed, "frozen.json");
    if (code === 0) continue;
    expect(document.error.code).toBe("DIVERGENCE");
    expect(document.error.message).toMatch(/liar[\s\S]*runs resolve/);
    const { runs } = await cluster.call("List", {});
    const { run } = runs.at(-1)!;
    expect(runs.at(-1)).toMatchObject({ kind: "job", state: "frozen" });
    seen.push(run);
    expect((await populace("runs", "resolve", run, "--cluster", at)).code).toBe(0);
    expect(await newest(({ state }) => state === "done")).toMatchObject({ run });
    expect((await fitThere(seed, "resolved.json")).code).toBe(0);
    await fit(seed, "resolved-here.json");
    expect(hashOf("resolved.json")).toBe(hashOf("resolved-here.json"));
  }
  expect(seen.length).toBe(1);
  expect((await record(seen[0])).unfit).toEqual(["liar job"]);
});
