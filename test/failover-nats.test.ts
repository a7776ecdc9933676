// The server between coordinators and nodes is killed, and loses everything it acknowledged: a run ends with the roots of an undisturbed one.
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Coordinator } from "@populace/coordinator";
import { openNatsPorts } from "@populace/io/nats";
import { samplePlan } from "@populace/kernels/sample-plan";
import { LIMITS, STREAM_TABLE } from "@populace/protocol";
import type { RunOutcome } from "@populace/studies";
import { beforeAll, describe, expect, test } from "vitest";
import { NATS, startNatsServer, type NatsServer } from "../io/nats/server.fixture.ts";
import { testCluster, until } from "./helpers/cluster.ts";

const TICKS = 40;
const PLAN = samplePlan(31, { agents: [2000, 900, 700], ticks: TICKS, influence: true, worlds: 2, scenarios: 1, steps: 2, traits: 3 });

describe.skipIf(NATS.path === "")(`over NATS${NATS.path === "" ? ` (skipped: ${NATS.why})` : ""}`, () => {
  let undisturbed: RunOutcome;
  beforeAll(async () => {
    const cluster = testCluster();
    await cluster.node();
    undisturbed = await (await cluster.coordinator("alone", { alone: true })).coordinator.submit(PLAN, { shards: 1 });
    await cluster.close();
  }, 60_000);

  /** A run watched through the standby; `strike` is called once at each of the ticks. */
  async function run(strikes: readonly number[], strike: (server: NatsServer) => Promise<void>): Promise<readonly ReturnType<Coordinator["metrics"]>["counters"][]> {
    const server = await startNatsServer();
    const cluster = testCluster((role, name) => openNatsPorts({ servers: [server.url], name, role, streams: STREAM_TABLE, storeDir: null }), { ttlMs: LIMITS.leaseTtlMs, paceMs: 10, tenant: "default" });
    try {
      const first = (await cluster.coordinator("first")).coordinator;
      await first.leading();
      const second = (await cluster.coordinator("second")).coordinator;
      await cluster.node();
      await cluster.node();
      await until(() => first.membership().members.size === 2);
      const record = await first.enter(PLAN, { shards: 4, spanTicks: 1, checkpointTicks: 7 });
      const left = [...strikes];
      let striking = Promise.resolve();
      const outcome = await second.wait(record.run, { onProgress: ({ tick }) => { if (left.length > 0 && tick >= left[0]) { left.shift(); striking = striking.then(() => strike(server)); } } });
      await striking;
      expect(left).toEqual([]);
      expect([outcome.roots, outcome.counts, outcome.tickCounts]).toEqual([undisturbed.roots, undisturbed.counts, undisturbed.tickCounts]);
      // Whoever led when something was missing.
      return [first, second].map((coordinator) => coordinator.metrics().counters);
    } finally {
      await cluster.close();
      await server.remove();
    }
  }

  test("the server is killed twice and comes back, once before and once after the leader gives up", async () => {
    let waitMs = 300;
    await run([8, 20], async (server) => {
      await server.kill("SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = 2 * LIMITS.leaseTtlMs;
      await server.start();
    });
  });

  test("its store is deleted in the middle of a run: plan, commits and checkpoints are written again from the coordinator's own disk", async () => {
    const counters = await run([16], async (server) => {
      await server.kill("SIGKILL");
      rmSync(join(server.storeDir, "jetstream"), { recursive: true, force: true });
      await server.start();
    });
    expect(counters.some(({ commitsRepaired, logsRewritten }) => commitsRepaired + logsRewritten > 0)).toBe(true);
    expect(counters.some(({ checkpointsLost }) => checkpointsLost > 0)).toBe(true);
  });
});
