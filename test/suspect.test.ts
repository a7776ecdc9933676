// A divergence that is found after the commit: a node that lied alone, a replay that says so, and what becomes of run and releases.
import { controlService } from "@populace/coordinator/control";
import { serveGrpc } from "@populace/io/rpc";
import { samplePlan } from "@populace/kernels/sample-plan";
import { expect, onTestFinished, test } from "vitest";
import { openCluster } from "../cli/cluster-client.ts";
import { runPopulace } from "../cli/program.ts";
import { TENANT, testCluster, until } from "./helpers/cluster.ts";

const plan = samplePlan(33, { agents: [120, 60], ticks: 5, influence: true, worlds: 2, scenarios: 1, steps: 2, traits: 3 });

/** A cluster with a node, and its commands. */
async function servedCluster({ lie = false, doubleRunShare = 0.01 }) {
  const cluster = testCluster();
  onTestFinished(() => cluster.close());
  const node = await cluster.node({ lie });
  const { coordinator } = await cluster.coordinator("only", { doubleRunShare });
  await coordinator.leading();
  const server = await serveGrpc({ listen: "127.0.0.1:0", services: [controlService({ coordinatorOf: () => ({ coordinator, tenant: TENANT }), ports: cluster.shared, version: "0.0.0" })] });
  const client = openCluster({ addresses: [server.address] });
  onTestFinished(async () => {
    client.close();
    await server.close();
  });
  const populace = async (...args: readonly string[]): Promise<{ readonly code: number; readonly out: string }> => {
    let out = "";
    const code = await runPopulace([...args, "--cluster", server.address, "--json"], new AbortController().signal, { out: (text) => { out += text; }, err: () => {} });
    return { code, out };
  };
  return { cluster, node, coordinator, client, populace };
}

test("a replay that contradicts a finished run marks it and every release that rests on it; computed anew, the run is sound and the old release is not", async () => {
  const { cluster, node: liar, coordinator, client, populace } = await servedCluster({ lie: true });
  const table = new TextEncoder().encode("{}"), other = new TextEncoder().encode("{ }");
  const lied = await coordinator.submit(plan, { shards: 2, spanTicks: 1 });
  const unforced = { table, runs: [lied.runId] };
  await expect(client.call("Release", unforced)).rejects.toMatchObject({ code: "UNCALIBRATED", message: expect.stringContaining("without its model") });
  expect((await client.call("Releases", {})).releases).toEqual([]);
  const first = await client.call("Release", { force: "a test of suspicion", table, runs: [lied.runId.slice(0, 12)], note: "rests on what was said alone" });
  expect(first).toMatchObject({ number: 1, runs: [`${lied.runId} ${lied.rootHash}`], suspect: "" });
  expect(coordinator.metrics()).toMatchObject({ suspectRuns: 0, isReleaseSuspect: false });

  const replayed = await populace("replay", lied.runId);
  expect(replayed).toMatchObject({ code: 1, out: expect.stringMatching(/DIVERGENCE.*tick 0.*marked as suspect/) });
  expect(JSON.parse((await populace("runs", "show", lied.runId)).out)).toMatchObject({ state: "done", suspectFrom: 0 });
  expect((await client.call("Releases", {})).releases).toMatchObject([{ number: 1, suspect: expect.stringContaining("suspect from tick 0") }]);
  expect(coordinator.metrics()).toMatchObject({ suspectRuns: 1, isReleaseSuspect: true });
  await expect(client.call("Release", { force: "a test of suspicion", table: other, runs: [lied.runId] })).rejects.toMatchObject({ code: "DIVERGENCE", message: expect.stringContaining("--allow-suspect") });
  expect(await client.call("Release", { force: "a test of suspicion", table: other, runs: [lied.runId], allowSuspect: true })).toMatchObject({ number: 2, suspect: expect.stringContaining("suspect") });
  expect(await populace("release", "--back-to", "1")).toMatchObject({ code: 1, out: expect.stringContaining("--allow-suspect") });
  expect(JSON.parse((await populace("release", "--list")).out).releases.map(({ suspect }: { suspect: string }) => suspect)).toEqual([expect.stringContaining("suspect from tick 0"), expect.stringContaining("suspect from tick 0")]);
  await expect(client.call("Suspect", { run: lied.runId, tick: 5 })).rejects.toMatchObject({ code: "BAD_REQUEST" });

  await liar.stop();
  const node = await cluster.node();
  await until(() => [...coordinator.membership().members.keys()].join() === node.incarnation);
  const sound = await coordinator.submit(plan, { shards: 2, spanTicks: 1 });
  expect(sound.cached).toBe(false);
  expect(sound.rootHash).not.toBe(lied.rootHash);
  expect(JSON.parse((await populace("replay", lied.runId)).out)).toMatchObject({ isEqual: true, rootHash: sound.rootHash });
  expect((await client.call("Get", { run: lied.runId })).suspectFrom).toBeUndefined();
  expect((await client.call("Releases", {})).releases.map(({ suspect }) => suspect)).toEqual(Array.from({ length: 2 }, () => `run ${lied.runId.slice(0, 12)} was computed again, to another root`));
  expect(await client.call("Release", { force: "a test of suspicion", table, runs: [lied.runId], note: "rests on what is sound" })).toMatchObject({ number: 3, suspect: "" });
});

test("a run whose double runs were given up says from which tick on", async () => {
  const { coordinator, populace } = await servedCluster({ doubleRunShare: 1 });
  const { runId } = await coordinator.submit(plan, { shards: 2, spanTicks: 1, checkpointTicks: 1000 });
  expect(JSON.parse((await populace("runs", "show", runId)).out)).toMatchObject({ state: "done", uncheckedFrom: 0 });
});
