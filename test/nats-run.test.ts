// A run over a real NATS server, each process's ports with the credential of its role: the protocol's subjects, the streams' table
// and the server's permissions must agree for it to end at all.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startNode } from "@populace/agent-runtime";
import { startCoordinator } from "@populace/coordinator";
import { openNatsPorts, createNatsKey, natsServerConfig, type NatsPorts, type NatsRole } from "@populace/io/nats";
import { samplePlan } from "@populace/kernels/sample-plan";
import { ROLE_NAMES, STREAM_TABLE, accessOf } from "@populace/protocol";
import { expect, onTestFinished, test } from "vitest";
import { embeddedRunner } from "../cli/embedded.ts";
import { describeOnNats } from "../io/nats/describe.fixture.ts";
import { startNatsServer } from "../io/nats/server.fixture.ts";
import { temporaryFolder } from "./helpers/process.ts";

const MB = 1024 * 1024;

describeOnNats("a run over NATS", (program) => {
  test("ends with the roots of the embedded run, on two nodes, with the server killed in the middle", async () => {
    const folder = temporaryFolder();
    const keys = ROLE_NAMES.map((role) => ({ role, access: accessOf(role), ...createNatsKey() }));
    for (const { role, seed } of keys) writeFileSync(join(folder, `${role}.seed`), seed);
    const streams = STREAM_TABLE.map((stream) => ({ ...stream, bytesMax: 64 * MB }));
    const server = await startNatsServer({ program, whole: ({ port, storeDir }) => natsServerConfig({
      serverName: "test", listen: `127.0.0.1:${port}`, storeDir, fileBytesMax: 1024 * MB, cluster: "test", streams: streams.map((stream) => stream.name), users: keys,
    }) });
    onTestFinished(() => server.remove());
    const portsOf = async (role: NatsRole, name: string): Promise<NatsPorts> => {
      const ports = await openNatsPorts({ servers: [server.url], name, role, cluster: "test", credentials: { nkeySeedFile: join(folder, `${role}.seed`) }, streams, storeDir: role === "coordinator" ? join(folder, name) : null, blobBytesMax: 128 * MB });
      onTestFinished(() => ports.close());
      return ports;
    };
    const coordinator = await startCoordinator({ ports: await portsOf("coordinator", "coordinator"), tenant: "t" });
    await coordinator.leading();
    const nodes = await Promise.all(["a", "b"].map(async (incarnation) => startNode({ ports: await portsOf("node", incarnation), tenant: "t", incarnation, workers: 1, backend: "wasm" })));
    await Promise.all(nodes.map((node) => node.ready));

    const plan = samplePlan(41, { agents: [200_000, 70_000], ticks: 12, worlds: 3, worldShift: 8, influence: true, gapTicks: 1 });
    const restarts: Promise<void>[] = [];
    const outcome = await coordinator.submit(plan, { shards: 4, checkpointTicks: 3 }, {
      onProgress: ({ tick }) => { if (tick >= 4 && restarts.length === 0) restarts.push(server.kill().then(() => server.start())); },
    });
    await Promise.all(restarts);
    const runner = embeddedRunner({ storeDir: join(folder, "embedded"), backend: "wasm" });
    const embedded = await runner(plan, {});
    await runner.close();
    expect(restarts.length).toBe(1);
    expect(outcome.roots).toEqual(embedded.roots);
    expect((await coordinator.commits(outcome.runId)).map((commit) => commit.root)).toEqual(embedded.roots);
    for (const node of nodes) await node.stop();
    await coordinator.close();
  }, 120_000);
});
