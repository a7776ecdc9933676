// A cluster as an operator starts it: a nats-server, two coordinators, nodes, and a client, each a process of its own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCluster, type ClusterClient } from "../cli/cluster-client.ts";
import { embeddedRunner } from "../cli/embedded.ts";
import { NATS, type NatsServer, startNatsServer } from "../io/nats/server.fixture.ts";
import { samplePlan } from "@populace/kernels/sample-plan";
import type { Plan } from "@populace/protocol";
import type { Run } from "@populace/protocol/control";
import { killPopulaceProcesses, startPopulace, type PopulaceProcess } from "./helpers/populace-process.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-processes-"));
const startCoordinator = (nats: NatsServer, name: string): PopulaceProcess => startPopulace(["coordinator", "--nats", nats.url, "--store", join(folder, name), "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
const startNode = (nats: NatsServer): PopulaceProcess => startPopulace(["node", "--nats", nats.url, "--workers", "1"]);

/** Coupled, so that every tick is a barrier; small, so that a tick is a matter of milliseconds. */
const planOf = (seed: number, ticks: number): Plan => samplePlan(seed, { agents: [5000, 900, 1500, 700], ticks, influence: true, worlds: 4, gapTicks: 1, copula: true });
const EXECUTION = { shards: 4, spanTicks: 1, checkpointTicks: 10 } as const;

async function rootAlone(plan: Plan): Promise<string> {
  const runner = embeddedRunner({ storeDir: join(folder, `alone-${plan.ticks}-${plan.seed.join("-")}`), workers: 1 });
  try {
    return (await runner(plan, {})).rootHash;
  } finally {
    await runner.close();
  }
}

describe.skipIf(NATS.path === "")(`processes of a cluster${NATS.path === "" ? ` (skipped: ${NATS.why})` : ""}`, () => {
  let nats: NatsServer, coordinators: PopulaceProcess[], nodes: PopulaceProcess[], addresses: string[], cluster: ClusterClient;
  const incarnations = new Map<PopulaceProcess, string>();

  async function joined(node: PopulaceProcess): Promise<PopulaceProcess> {
    incarnations.set(node, (await node.says(/node ([0-9a-f-]{36})/))[1]);
    await node.says(/joined the cluster/);
    return node;
  }

  beforeAll(async () => {
    nats = await startNatsServer();
    coordinators = [startCoordinator(nats, "coordinator-1"), startCoordinator(nats, "coordinator-2")];
    addresses = await Promise.all(coordinators.map(async (each) => (await each.says(/at (127\.0\.0\.1:\d+), store/))[1]));
    nodes = await Promise.all([startNode(nats), startNode(nats)].map(joined));
    cluster = openCluster({ addresses });
  });

  afterAll(async () => {
    cluster?.close();
    killPopulaceProcesses();
    await nats?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs the plan and does one thing at each of the ticks, in order. */
  async function runWith(plan: Plan, faults: readonly { readonly tick: number; readonly strike: () => Promise<unknown> }[]): Promise<Run> {
    const entered = await cluster.submit(plan, EXECUTION);
    const left = [...faults];
    let last = entered;
    for await (last of cluster.watch(entered.run)) {
      if (left.length > 0 && last.tick >= left[0].tick) await left.shift()!.strike();
    }
    expect(left.map((fault) => fault.tick)).toEqual([]);
    expect(last).toMatchObject({ state: "done", reason: "" });
    return last;
  }

  it("end with the root of one process alone", async () => {
    const plan = planOf(21, 12);
    const { run, root } = await runWith(plan, []);
    expect(root).toBe(await rootAlone(plan));
    expect((await cluster.outcome(run)).rootHash).toBe(root);
  });

  it("end with it after a node was killed, a node joined and the leader was killed, all in one run", async () => {
    const plan = planOf(22, 280);
    const leader = (await cluster.call("Describe", {})).leader;
    await runWith(plan, [
      { tick: 10, strike: async () => { nodes[0].child.kill("SIGKILL"); await nodes[0].ended; } },
      { tick: 40, strike: async () => { nodes.push(await joined(startNode(nats))); } },
      { tick: 80, strike: async () => { const led = coordinators[addresses.indexOf(leader)]; led.child.kill("SIGKILL"); await led.ended; } },
    ]).then(async ({ root }) => expect(root).toBe(await rootAlone(plan)));
    const now = await cluster.call("Describe", {});
    expect(now.leader).not.toBe(leader);
    expect(addresses).toContain(now.leader);
  });

  it("end with it while one node drains, which leaves with success when it owns nothing any more", async () => {
    const plan = planOf(23, 120);
    const draining = nodes[1];
    const { root } = await runWith(plan, [
      { tick: 10, strike: async () => expect(await cluster.call("Drain", { node: incarnations.get(draining)!.slice(0, 13) })).toMatchObject({ state: "draining" }) },
    ]);
    expect(root).toBe(await rootAlone(plan));
    expect(await draining.ended).toBe(0);
    expect(draining.said()).toMatch(/drained after/);
  });

  it("are backed up while they work, and restored under another tenant", async () => {
    const archive = async (...args: readonly string[]): Promise<{ tenant: string; runs: readonly { state: string; root: string }[] }> => {
      const process = startPopulace([...args, "--nats", nats.url, "--json"]);
      expect(await process.ended, process.said()).toBe(0);
      return JSON.parse(process.said());
    };
    const backed = await archive("backup", join(folder, "backup"));
    expect(backed.runs.map((run) => run.state)).toEqual(["done", "done", "done"]);
    const restored = await archive("restore", join(folder, "backup"), "--tenant", "other");
    expect(restored).toMatchObject({ tenant: "other", runs: backed.runs });
  });

  it("say that they are ready, and end with success when they are asked to", async () => {
    const alive = coordinators.find((each) => each.child.exitCode === null && each.child.signalCode === null)!;
    const [, url] = await alive.says(/readiness at (http:\S+)/);
    expect(await (await fetch(`${url}/readyz`)).text()).toMatch(/^ok: default: leads with term [2-9]/);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/populace_coordinator_runs\{tenant="default",state="done"\} 3\n/);
    const node = nodes[2];
    node.child.kill("SIGTERM");
    expect(await node.ended, node.said()).toBe(0);
    alive.child.kill("SIGTERM");
    expect(await alive.ended, alive.said()).toBe(0);
  });
});
