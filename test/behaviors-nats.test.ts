import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compileBehavior, startNode } from "@populace/agent-runtime";
import { startCoordinator } from "@populace/coordinator";
import { memoryPorts, type Ports, type Store } from "@populace/io";
import { openNatsPorts } from "@populace/io/nats";
import { STREAM_TABLE, type BehaviorPlan } from "@populace/protocol";
import { expect, onTestFinished, test } from "vitest";
import { NATS, startNatsServer } from "../io/nats/server.fixture.ts";

const TENANT = "t";

async function rootOf(plan: BehaviorPlan, coordinatorPorts: Ports & { readonly store: Store }, nodePorts: readonly Ports[], shards: number): Promise<string> {
  const coordinator = await startCoordinator({ ports: coordinatorPorts, tenant: TENANT });
  const nodes = nodePorts.map((ports, index) => startNode({ ports, tenant: TENANT, workers: 1, incarnation: `n${index}`, backend: "reference", allowBehaviors: true }));
  try {
    await Promise.all(nodes.map((node) => node.ready));
    return (await coordinator.submit(plan, { shards, checkpointTicks: 3 })).rootHash;
  } finally {
    await coordinator.close();
    for (const node of nodes) await node.stop();
  }
}

test.skipIf(NATS.path === "")(`word of mouth has the same root on two nodes over NATS as in one process (${NATS.path === "" ? `skipped: ${NATS.why}` : NATS.name})`, async () => {
  const source = readFileSync(join(import.meta.dirname, "../cli/examples/behaviors/word-of-mouth.ts"), "utf8");
  const { plan } = await compileBehavior(source, { agents: 6000, ticks: 9, seed: [4, 0], blockAgents: 512 });
  const embedded = memoryPorts();
  const expected = await rootOf(plan, embedded, [embedded], 1);

  const server = await startNatsServer();
  onTestFinished(() => server.remove());
  const open = async (role: "coordinator" | "node", name: string) => {
    const ports = await openNatsPorts({ servers: [server.url], name, role, streams: STREAM_TABLE, storeDir: null });
    onTestFinished(() => ports.close());
    return ports;
  };
  const coordinator = await open("coordinator", "c");
  expect(await rootOf(plan, coordinator, [await open("node", "a"), await open("node", "b")], 5)).toBe(expected);
});
