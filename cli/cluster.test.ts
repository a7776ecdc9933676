import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNode, type RunningNode } from "@populace/agent-runtime";
import { startCoordinator, type Coordinator } from "@populace/coordinator";
import { controlService } from "@populace/coordinator/control";
import { PopulaceError } from "@populace/domain";
import { memoryPorts, memoryStore, type EmbeddedPorts } from "@populace/io";
import { connectGrpc, serveGrpc, type RpcServer } from "@populace/io/rpc";
import { samplePlan } from "@populace/kernels/sample-plan";
import { blocksOf, encodePlan, type Plan } from "@populace/protocol";
import { CONTROL, CONTROL_HEADER, CONTROL_SERVICE, controlVersionText, type Run } from "@populace/protocol/control";
import type { RunOutcome } from "@populace/studies";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clusterRunner, openCluster, type ClusterClient } from "./cluster-client.ts";
import { embeddedRunner } from "./embedded.ts";
import { runPopulace } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-cluster-"));
const TENANT = "default";
/** One bus, log, registry and blobs for everybody, as over a network; every coordinator has a store of its own. */
const shared = memoryPorts();
const shut: (() => Promise<unknown>)[] = [];

interface Process {
  readonly coordinator: Coordinator;
  readonly server: RpcServer;
}

/** A coordinator with its control service, as the command starts it. */
async function startProcess(): Promise<Process> {
  const ports: EmbeddedPorts = { ...shared, store: memoryStore() };
  let coordinator: Coordinator | null = null;
  const coordinatorOf = (tenant: string): { coordinator: Coordinator; tenant: string } => {
    if (tenant !== "" && tenant !== TENANT) throw new PopulaceError("NOT_FOUND", `not ${tenant}`, {});
    return { coordinator: coordinator!, tenant: TENANT };
  };
  const server = await serveGrpc({ listen: "127.0.0.1:0", services: [controlService({ coordinatorOf, ports, version: "0.0.0" })] });
  coordinator = await startCoordinator({ ports, tenant: TENANT, address: server.address, leaseTtlMs: 1500 });
  const process = { coordinator, server };
  shut.push(() => stop(process));
  return process;
}

const stop = async ({ coordinator, server }: Process): Promise<void> => {
  await coordinator.close();
  await server.close();
};

function startWorker(incarnation: string): RunningNode {
  const node = startNode({ ports: shared, incarnation, workers: 1, tenant: TENANT });
  shut.push(() => node.stop());
  return node;
}

const planOf = (ticks: number, seed = 11): Plan => samplePlan(seed, { agents: [4000, 900, 1500, 700], ticks, influence: true, worlds: 4, gapTicks: 1, copula: true });

let first: Process, second: Process, cluster: ClusterClient;

beforeAll(async () => {
  first = await startProcess();
  await first.coordinator.leading();
  second = await startProcess();
  await startWorker("node-a").ready;
  cluster = openCluster({ addresses: [second.server.address, first.server.address] });
});

afterAll(async () => {
  cluster.close();
  for (const each of shut.toReversed()) await each();
  rmSync(folder, { recursive: true, force: true });
});

async function alone(plan: Plan): Promise<RunOutcome> {
  const runner = embeddedRunner({ storeDir: join(folder, `store-${plan.seed[0]}-${plan.ticks}`) });
  try {
    return await runner(plan, { workers: 1 });
  } finally {
    await runner.close();
  }
}

async function populace(...args: readonly string[]): Promise<{ readonly code: number; readonly document: any; readonly err: string }> { // eslint-disable-line @typescript-eslint/no-explicit-any -- documents of many shapes
  let [out, err] = ["", ""];
  const code = await runPopulace([...args, "--json"], new AbortController().signal, { out: (text) => { out += text; }, err: (text) => { err += text; } });
  return { code, document: JSON.parse(out), err };
}

describe("control of a cluster", () => {
  test("a plan submitted to a standby runs at the leader, and its outcome is the one of this machine alone", async () => {
    const plan = planOf(6);
    const seen: Run[] = [];
    const entered = await cluster.submit(plan, {}, { label: "test", priority: 2 });
    for await (const run of cluster.watch(entered.run)) seen.push(run);
    expect(seen.at(-1)).toMatchObject({ run: entered.run, state: "done", tick: 5, ticks: 6, label: "test", priority: 2, tenant: TENANT });
    const expected = await alone(plan);
    const outcome = await cluster.outcome(entered.run);
    expect(outcome.roots).toEqual(expected.roots);
    expect(outcome).toMatchObject({ runId: expected.runId, rootHash: expected.rootHash, exposures: expected.exposures });
    expect(outcome.counts).toEqual(expected.counts);
    expect(outcome.tickCounts).toEqual(expected.tickCounts);
    expect(encodePlan(await cluster.plan(entered.run.slice(0, 16)))).toEqual(encodePlan(plan));
    // Submitted again it is read back.
    expect((await cluster.submit(plan, {})).state).toBe("done");
  });

  test("what no node could finish is refused before it is submitted, with the numbers; what can live whole does", async () => {
    const runner = clusterRunner({ addresses: [first.server.address, second.server.address] });
    const small = samplePlan(17, { agents: [400_000, 90_000], ticks: 12, worlds: 4, influence: false });
    const huge: Plan = { ...small, personas: small.personas.map((persona) => ({ ...persona, agents: 3_000_000_000 })) };
    await expect(runner(huge, {})).rejects.toMatchObject({ code: "TOO_LARGE", message: expect.stringContaining("6,000,000,000 agents") });
    expect((await runner(small, {})).execution).toMatchObject({ spanTicks: 12 });
    await runner.close();
  });

  test("describes itself, also where it stands by; a caller of another version is told whom to upgrade", async () => {
    const { nodes, ...leader } = await cluster.call("Describe", {});
    expect(leader).toMatchObject({ tenant: TENANT, control: controlVersionText(), version: "0.0.0" });
    expect([first, second].map((each) => each.server.address)).toContain(leader.leader);
    expect(nodes.length).toBe(leader.role === "leader" ? 1 : 0);
    const raw = connectGrpc({ address: first.server.address, headers: { [CONTROL_HEADER]: "1.9" } });
    await expect(raw.unary(CONTROL_SERVICE, "List", CONTROL.List.encodeRequest({}))).rejects.toMatchObject({ code: "INCOMPATIBLE", message: expect.stringContaining("upgrade the coordinators") });
    await expect(cluster.call("Get", { run: "ffff" })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(cluster.call("Describe", { tenant: "other" })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(cluster.call("Submit", { plan: new Uint8Array(100) })).rejects.toMatchObject({ code: "CORRUPT" });
    raw.close();
  });

  test("pauses, resumes and cancels from the command line", async () => {
    const at = ["--cluster", `${first.server.address},${second.server.address}`];
    const { run } = await cluster.submit(planOf(400, 12), { spanTicks: 1, checkpointTicks: 5 });
    for await (const now of cluster.watch(run)) if (now.tick >= 3) break;
    expect((await populace("runs", "pause", run.slice(0, 20), ...at)).document).toMatchObject({ run, state: "paused" });
    expect((await populace("runs", "watch", run, ...at)).document).toMatchObject({ state: "paused" });
    const resumed = await populace("runs", "resume", run, ...at);
    expect(resumed.document).toMatchObject({ run, attempt: 2 });
    for await (const now of cluster.watch(run)) if (now.tick >= 8) break;
    expect((await populace("runs", "resolve", run, ...at)).document).toMatchObject({ error: { code: "BAD_REQUEST" } });
    expect((await populace("runs", "cancel", run, ...at)).document).toMatchObject({ run, state: "canceled" });
    const { document } = await populace("runs", "list", ...at);
    expect(document.runs.map((each: Run) => [each.run, each.state])).toContainEqual([run, "canceled"]);
  });

  test("says which shards would move, and lets a node drain while a run goes on", async () => {
    const plan = planOf(150, 13);
    const at = ["--cluster", `${second.server.address},${first.server.address}`];
    const { run } = await cluster.submit(plan, { spanTicks: 1, checkpointTicks: 5, shards: blocksOf(plan).length });
    for await (const now of cluster.watch(run)) if (now.tick >= 2) break;
    const node = startWorker("node-b");
    await node.ready;
    await expect.poll(async () => (await populace("nodes", ...at)).document.nodes.map((each: { incarnation: string }) => each.incarnation), { timeout: 20_000 }).toEqual(["node-a", "node-b"]);
    const planned = (await populace("plan", "--leave", "node-a", ...at)).document;
    expect(planned.moves.every((move: { source: string; target: string }) => move.target === "node-b" && move.source === "node-a")).toBe(true);
    expect((await populace("plan", "--leave", "node-a,node-b", ...at)).document).toMatchObject({ error: { code: "BAD_REQUEST" } });
    expect((await populace("drain", "node-", ...at)).document).toMatchObject({ error: { code: "NOT_FOUND", message: expect.stringContaining("2 nodes") } });
    expect((await populace("drain", "node-b", ...at)).document).toMatchObject({ incarnation: "node-b", state: "draining" });
    expect(await node.ended).toBe("drained");
    for await (const _ of cluster.watch(run));
    expect((await cluster.outcome(run)).rootHash).toBe((await alone(plan)).rootHash);
  });

  test("a client goes on through the loss of the leader", async () => {
    const plan = planOf(120, 14);
    const { run } = await cluster.submit(plan, { spanTicks: 1, checkpointTicks: 5 });
    let isStopped = false;
    let last: Run | null = null;
    for await (last of cluster.watch(run)) {
      if (isStopped || last.tick < 3) continue;
      isStopped = true;
      await stop(first.coordinator.role === "leader" ? first : second);
    }
    expect(isStopped).toBe(true);
    expect(last).toMatchObject({ state: "done" });
    expect((await cluster.outcome(run)).rootHash).toBe((await alone(plan)).rootHash);
    expect(first.coordinator.role === second.coordinator.role).toBe(false);
  });
});
