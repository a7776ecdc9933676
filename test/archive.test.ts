// A backup proves itself when it is restored, and a restored run goes on to the roots of an undisturbed one; releases only grow.
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backup, releasesOf, restore, runReader } from "@populace/coordinator";
import { id, type ScoreTable } from "@populace/domain";
import { linkCluster } from "@populace/gateway";
import { SILENT, memoryStore } from "@populace/io";
import { samplePlan } from "@populace/kernels/sample-plan";
import { LEADER_BEAT, leaderBeatSubject, runKey } from "@populace/protocol";
import { afterAll, afterEach, expect, test } from "vitest";
import { TENANT, testCluster, until, type TestCluster, type TestCoordinator } from "./helpers/cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-archive-"));
const open: TestCluster[] = [];
afterEach(async () => { for (const cluster of open.splice(0)) await cluster.close(); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const EXECUTION = { shards: 2, checkpointTicks: 3, spanTicks: 1 };
const planOf = (seed: number) => samplePlan(seed, { agents: [200, 100], ticks: 8, influence: true, worlds: 2, scenarios: 1, steps: 2, traits: 3 });

async function clusterOf(nodes = 1) {
  const cluster = testCluster();
  open.push(cluster);
  for (let node = 0; node < nodes; node += 1) await cluster.node();
  const { coordinator } = await cluster.coordinator("c");
  await coordinator.leading();
  return { cluster, coordinator, ports: cluster.shared };
}

test("a done run, a paused one and the releases come back in an empty cluster, where the paused one goes on to the same roots", async () => {
  const before = await clusterOf();
  const done = await before.coordinator.submit(planOf(1), EXECUTION);
  const whole = await before.coordinator.submit(planOf(2), EXECUTION);
  await expect(before.coordinator.submit(planOf(2), EXECUTION, { fresh: true, onProgress: ({ tick }) => { if (tick === 5) void before.coordinator.pause(whole.runId); } })).rejects.toMatchObject({ code: "INTERRUPTED" });
  const content = await before.ports.blobs.put(Buffer.from("a score table")), model = await before.ports.blobs.put(Buffer.from("a model"));
  await before.coordinator.announce({ content, model, ledger: "", runs: [], note: "the first" });
  const path = join(folder, "whole");
  const written = await backup(before.ports, TENANT, path);
  expect(written.runs.map((run) => run.state)).toEqual(["done", "paused"]);
  expect(written).toMatchObject({ releases: 1, tenant: TENANT });
  await expect(backup(before.ports, TENANT, path)).rejects.toMatchObject({ code: "BAD_REQUEST" });

  const after = await clusterOf();
  expect(await restore(after.ports, path)).toMatchObject({ commits: written.commits });
  await restore(after.ports, path);
  const again = await after.coordinator.outcome(done.runId);
  expect([again.roots, again.counts, again.tickCounts]).toEqual([done.roots, done.counts, done.tickCounts]);
  await after.coordinator.resume(whole.runId);
  const resumed = await after.coordinator.wait(whole.runId);
  expect([resumed.roots, resumed.counts]).toEqual([whole.roots, whole.counts]);
  expect(await releasesOf(after.ports.registry, TENANT)).toEqual([{ number: 1, content, model, ledger: "", runs: [], note: "the first" }]);
  expect(await after.ports.blobs.has(model)).toBe(true);

  // Another history of the same run: nothing is overwritten.
  const other = await clusterOf(0);
  await other.ports.log.append(`pop.${TENANT}.${done.runId}.all.commit`, Buffer.from("junk"));
  await expect(restore(other.ports, path)).rejects.toMatchObject({ code: "CORRUPT" });
});

test("a run whose plan or sums NATS has lost is left out by name, and the others are backed up", async () => {
  const before = await clusterOf();
  const kept = await before.coordinator.submit(planOf(1), EXECUTION), lost = await before.coordinator.submit(planOf(2), EXECUTION);
  const { sums } = (await runReader(before.ports, TENANT).commits(lost.runId)).at(-1)!;
  await before.ports.blobs.remove(sums);
  const path = join(folder, "left-out");
  const written = await backup(before.ports, TENANT, path);
  expect([written.runs.map(({ run }) => run), written.leftOut]).toEqual([[kept.runId], [{ run: lost.runId, state: "done" }]]);
  const after = await clusterOf();
  await restore(after.ports, path);
  expect((await after.coordinator.outcome(kept.runId)).roots).toEqual(kept.roots);
  expect(await after.coordinator.run(lost.runId)).toBeNull();
});

test("a run that was removed comes back from its archive, on the disks of all coordinators", async () => {
  const { cluster, coordinator, ports } = await clusterOf();
  const standby = await cluster.coordinator("standby");
  const done = await coordinator.submit(planOf(1), EXECUTION), path = join(folder, "removed");
  await backup(ports, TENANT, path);
  await coordinator.remove(done.runId);
  await until(() => standby.coordinator.metrics().runs.done === 0);
  expect((await backup(ports, TENANT, join(folder, "nothing"))).runs).toEqual([]);
  await restore(ports, path);
  await until(() => standby.coordinator.metrics().runs.done === 1);
  expect((await coordinator.outcome(done.runId)).roots).toEqual(done.roots);
  expect(await coordinator.submit(planOf(1), EXECUTION)).toMatchObject({ roots: done.roots, cached: true });
  const commits = standby.store.range("commits", { prefix: `${TENANT} ${done.runId} ` });
  expect(commits.length).toBe(done.roots.length);
});

test("an archive with a changed byte, a missing part, or cut short is refused, and nothing is written", async () => {
  const before = await clusterOf();
  const { runId } = await before.coordinator.submit(planOf(1), EXECUTION);
  const path = join(folder, "sound");
  await backup(before.ports, TENANT, path);
  const after = await clusterOf(0);
  const broken = (name: string, harm: (copy: string) => void): Promise<unknown> => {
    const copy = join(folder, name);
    cpSync(path, copy, { recursive: true });
    harm(copy);
    return restore(after.ports, copy);
  };
  const flip = (file: string, at: number): void => {
    const bytes = readFileSync(file);
    bytes[bytes.length - 1 - at] ^= 1;
    writeFileSync(file, bytes);
  };
  for (const [index, blob] of readdirSync(join(path, "blobs")).entries()) await expect(broken(`blob-${index}`, (copy) => flip(join(copy, "blobs", blob), 3))).rejects.toMatchObject({ code: "CORRUPT" });
  await expect(broken("commits-cut", (copy) => writeFileSync(join(copy, "runs", `${runId}.commits`), readFileSync(join(path, "runs", `${runId}.commits`)).subarray(0, 900)))).rejects.toMatchObject({ code: "CORRUPT" });
  await expect(broken("no-plan", (copy) => rmSync(join(copy, "blobs", JSON.parse(readFileSync(join(copy, "archive.json"), "utf8")).runs.length > 0 ? readdirSync(join(copy, "blobs"))[0] : "")))).rejects.toMatchObject({ code: "CORRUPT" });
  await expect(broken("cut", (copy) => rmSync(join(copy, "archive.json")))).rejects.toMatchObject({ code: "FILE_MISSING" });
  expect(await after.ports.registry.get(runKey(TENANT, runId))).toBeNull();
  expect((await after.ports.log.read(`pop.${TENANT}.>`)).length).toBe(0);
});

const tableOf = (version: number): ScoreTable => ({
  release: `version ${version}`, model: "shop", version, evidence: "randomized", steps: ["click"], currency: "EUR", minorUnits: 100, values: null, defaultValueMinor: null,
  mixture: { codings: [], personas: [{ id: id("all"), name: "all", share: 1, shareAlpha: 1, correlation: [], logDensityFloor: -9, lineage: { event: "fitted", parents: [], atVersion: 1 }, traits: [] }] },
  stimuli: [{ id: "mail", name: "mail", contact: true, channel: "email", contactCostMinor: 1, offerCostMinor: 0 }],
  rates: [{ mean: 0.1, low: 0.05, high: 0.2, ess: 90, essSimulated: 0, essReal: 90, label: "real" }],
});
const releaseOf = (content: string, note: string): { readonly content: string; readonly model: string; readonly ledger: string; readonly runs: readonly string[]; readonly note: string } => ({ content, model: "", ledger: "", runs: [], note });

test("releases have growing numbers, a roll-back is a new one, and a leader writes again what the registry forgot", async () => {
  const { cluster, coordinator, ports } = await clusterOf(0);
  const second = await cluster.coordinator("d");
  const [old, young] = [await ports.blobs.put(Buffer.from("old")), await ports.blobs.put(Buffer.from("young"))];
  await coordinator.announce(releaseOf(old, ""));
  await coordinator.announce(releaseOf(young, ""));
  await expect(coordinator.announce(releaseOf("ab".repeat(32), ""))).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(second.coordinator.announce(releaseOf(old, ""))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect((await coordinator.announce(releaseOf(old, "rolls back to 1"))).number).toBe(3);
  await until(() => second.store.range("releases").length === 3);
  for (const { key, revision } of await ports.registry.list(`${TENANT}.release.*`)) await ports.registry.remove(key, revision);
  await coordinator.close();
  await second.coordinator.leading();
  expect((await releasesOf(ports.registry, TENANT)).map((release) => [release.number, release.content])).toEqual([[1, old], [2, young], [3, old]]);
  expect((await second.coordinator.announce(releaseOf(young, ""))).number).toBe(4);
});

test("a number that another leader has told of is not given again, though the registry forgot it before this disk had it (simulator seed 220795)", async () => {
  const { coordinator, ports } = await clusterOf(0);
  const content = await ports.blobs.put(Buffer.from("one"));
  ports.bus.publish(leaderBeatSubject(TENANT), LEADER_BEAT.encode({ holder: "former", term: 0, view: 0, release: 5 }));
  expect((await coordinator.announce(releaseOf(content, ""))).number).toBe(6);
  expect((await coordinator.announce(releaseOf(content, ""))).number).toBe(7);
});

test("a new leader gives no number that a coordinator or a gateway knows of, though registry and disk do not (simulator seed 301166)", async () => {
  const cluster = testCluster(undefined, { ttlMs: 1500 }), ports = cluster.shared;
  open.push(cluster);
  const leader = async (name: string): Promise<TestCoordinator> => {
    const started = await cluster.coordinator(name);
    await started.coordinator.leading();
    return started;
  };
  const forget = async (): Promise<void> => { for (const { key, revision } of await ports.registry.list(`${TENANT}.release.*`)) await ports.registry.remove(key, revision); };
  const contents = await Promise.all([1, 2, 3].map((version) => ports.blobs.put(Buffer.from(JSON.stringify(tableOf(version))))));

  const first = await leader("first");
  expect((await first.coordinator.announce(releaseOf(contents[0]!, ""))).number).toBe(1);
  first.stop();
  await forget();
  const second = await leader("second");
  first.go();
  expect((await second.coordinator.announce(releaseOf(contents[1]!, ""))).number).toBe(2);
  expect((await releasesOf(ports.registry, TENANT)).map(({ number, content }) => [number, content])).toEqual([[1, contents[0]], [2, contents[1]]]);

  const link = linkCluster({ store: memoryStore(), tenant: TENANT, logger: SILENT, open: () => Promise.resolve({ ...ports, connection: { isLive: () => true, closed: new Promise<null>(() => {}) }, close: () => Promise.resolve() }) });
  await until(() => link.release()?.number === 2);
  for (const coordinator of [first, second]) coordinator.stop();
  await forget();
  const third = await leader("third");
  expect((await third.coordinator.announce(releaseOf(contents[2]!, ""))).number).toBe(3);
  await until(() => link.release()?.number === 3);
  await link.close();
}, 30_000);
