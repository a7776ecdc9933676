// A run of real processes that freezes because one node's kernel errs, and an operator who resolves it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { samplePlan } from "@populace/kernels/sample-plan";
import { afterAll, expect, it, describe } from "vitest";
import { openCluster } from "../cli/cluster-client.ts";
import { NATS, startNatsServer } from "../io/nats/server.fixture.ts";
import { rootsOf, truthOf } from "./simulator/truth.ts";
import { killPopulaceProcesses, startPopulace } from "./helpers/populace-process.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-divergence-"));

describe.skipIf(NATS.path === "")(`a node whose kernel errs${NATS.path === "" ? ` (skipped: ${NATS.why})` : ""}`, () => {
  afterAll(() => {
    killPopulaceProcesses();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is found by double runs, which freeze the run; `runs resolve` excludes it, and the root is that of a run without it", async () => {
    const nats = await startNatsServer();
    try {
      const coordinator = startPopulace(["coordinator", "--nats", nats.url, "--store", join(folder, "coordinator"), "--listen", "127.0.0.1:0", "--double-runs", "1"]);
      const [, address] = await coordinator.says(/at (127\.0\.0\.1:\d+), store/);
      startPopulace([nats.url, "liar"], { program: "test/nemesis/lying-node.ts" });
      const sound = [1, 2].map(() => startPopulace(["node", "--nats", nats.url, "--workers", "1"]));
      await Promise.all(sound.map((node) => node.says(/joined the cluster/)));
      const cluster = openCluster({ addresses: [address] });
      await expect.poll(async () => (await cluster.call("Describe", {})).nodes.length, { timeout: 60_000 }).toBe(3);

      const plan = samplePlan(24, { agents: [700, 600, 500, 400, 300, 200], ticks: 40, influence: true, worlds: 2, worldShift: 1, gapTicks: 1, traits: 3, steps: 2 });
      const { run } = await cluster.submit(plan, { shards: 6, spanTicks: 1, checkpointTicks: 5 });
      let states: string[] = [];
      const followed = async (): Promise<string> => {
        states = [];
        for await (const { state, code } of cluster.watch(run)) states.push(`${state} ${code}`);
        return states.at(-1)!;
      };
      expect(await followed(), coordinator.said()).toBe("frozen DIVERGENCE");
      const watched = startPopulace(["runs", "watch", run, "--cluster", address]);
      expect(await watched.ended).toBe(1);
      expect(watched.said()).toMatch(/DIVERGENCE|disagree|different blocks[\s\S]*runs resolve/);

      const resolved = startPopulace(["runs", "resolve", run.slice(0, 16), "--cluster", address]);
      expect(await resolved.ended, resolved.said()).toBe(0);
      expect(await followed(), coordinator.said()).toBe("done ");
      const [, liars] = await coordinator.says(/"liars":\[([^\]]*)\]/);
      expect(liars).toBe('"liar wasm"');
      const outcome = await cluster.outcome(run);
      expect(outcome.roots).toEqual(rootsOf(await truthOf(plan)));
      cluster.close();
    } finally {
      killPopulaceProcesses();
      await nats.remove();
    }
  }, 180_000);
});
