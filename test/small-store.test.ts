// A server with room for a hundredth of what a cluster asks for.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { samplePlan } from "@populace/kernels/sample-plan";
import { afterAll, expect, it } from "vitest";
import { openCluster } from "../cli/cluster-client.ts";
import { describeOnNats } from "../io/nats/describe.fixture.ts";
import { NATS, startNatsServer } from "../io/nats/server.fixture.ts";
import { killPopulaceProcesses, startPopulace } from "./helpers/populace-process.ts";
import { rootsOf, truthOf } from "./simulator/truth.ts";

const MB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), "populace-small-store-"));

describeOnNats("NATS with little room", (program) => {
  afterAll(() => {
    killPopulaceProcesses();
    rmSync(folder, { recursive: true, force: true });
  });

  it("of 64 MB runs a plan whose outputs are more than its slots: the run takes checkpoints that nobody asked for and ends with the root of a run alone", async () => {
    const nats = await startNatsServer({ program, fileBytesMax: 64 * MB });
    try {
      const coordinator = startPopulace(["coordinator", "--nats", nats.url, "--store", join(folder, "coordinator"), "--listen", "127.0.0.1:0"]);
      const [, address] = await coordinator.says(/at (127\.0\.0\.1:\d+), store/);
      const node = startPopulace(["node", "--nats", nats.url, "--workers", "1"]);
      await node.says(/joined the cluster/);
      const plan = samplePlan(24, { agents: [700, 600, 500, 400, 300, 200], ticks: 60, influence: true, worlds: 32, worldShift: 1, gapTicks: 1, traits: 3, steps: 2 });
      const cluster = openCluster({ addresses: [address] });
      const { run } = await cluster.submit(plan, { shards: 6, spanTicks: 1, checkpointTicks: 60 });
      const states: string[] = [];
      for await (const { state, code } of cluster.watch(run)) states.push(`${state} ${code}`);
      expect(states.at(-1), coordinator.said()).toBe("done ");
      expect((await cluster.outcome(run)).roots).toEqual(rootsOf(await truthOf(plan)));
      expect(coordinator.said()).toMatch(/streams are made smaller/);
      expect(coordinator.said()).toMatch(/slots are near their limit/);
      cluster.close();
    } finally {
      killPopulaceProcesses();
      await nats.remove();
    }
  }, 180_000);

  it("of 16 MB is refused, with what the streams need and the setting that gives it", async () => {
    const nats = await startNatsServer({ program, fileBytesMax: 16 * MB });
    try {
      const coordinator = startPopulace(["coordinator", "--nats", nats.url, "--store", join(folder, "refused"), "--listen", "127.0.0.1:0"]);
      expect(await coordinator.ended).toBe(1);
      expect(coordinator.said()).toMatch(/no room for the streams: all streams together need at least 39845888 bytes: raise max_file_store/);
    } finally {
      await nats.remove();
    }
  }, 60_000);
}, [NATS]);
