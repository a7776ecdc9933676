import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunOutcome } from "@populace/studies";
import { embeddedRunner } from "../../cli/embedded.ts";
import type { NatsProgram } from "../../io/nats/server.fixture.ts";
import { between, chanceOf, oneOf } from "../simulator/chance.ts";
import { startCluster } from "./cluster.ts";
import { EXECUTION, planOf } from "./scenarios.ts";

/** One way to come to the root of a run. */
export interface MatrixRow {
  readonly way: string;
  readonly root: string;
  readonly exposures: number;
  /** Whether the root of every tick, and every count, is that of one process alone. */
  readonly isSame: boolean;
}

/** The same run on one process, on 1, 2, 4 and 8 nodes over NATS, and through kills, restores and a change of the coordinator. */
export async function hashMatrix(program: NatsProgram, seed: number, ticks: number, onRow: (row: MatrixRow) => void): Promise<readonly MatrixRow[]> {
  const plan = planOf(seed, ticks), chance = chanceOf(seed, "matrix"), rows: MatrixRow[] = [];
  const folder = mkdtempSync(join(tmpdir(), "populace-matrix-"));
  const runner = embeddedRunner({ storeDir: folder, workers: 1 });
  const alone = await runner(plan, EXECUTION);
  await runner.close();
  rmSync(folder, { recursive: true, force: true });
  const add = (way: string, { rootHash, roots, exposures, counts }: RunOutcome): void => {
    const isSame = roots.length === ticks && roots.every((root, tick) => root === alone.roots[tick]) && exposures === alone.exposures && counts.length === alone.counts.length && counts.every((count, index) => count === alone.counts[index]);
    rows.push({ way, root: rootHash, exposures, isSame });
    onRow(rows.at(-1)!);
  };
  add("one process, embedded", alone);

  const cluster = await startCluster({ program, nodes: 1 });
  const { client, observer } = cluster;
  const run = alone.runId;
  /** Runs the plan anew; `strike` is called at each of the ticks, in order. */
  const anew = async (strikes: readonly number[], strike: () => Promise<unknown>): Promise<RunOutcome> => {
    observer.forget(run);
    await client.submit(plan, EXECUTION, { fresh: true });
    for (const tick of strikes) {
      await observer.tick(run, tick);
      if (observer.lastTick(run) === ticks - 1) throw new Error(`the run ended before tick ${tick} was struck`);
      await strike();
    }
    for await (const now of client.watch(run)) if (now.state === "failed" || now.state === "frozen") throw new Error(`the run is ${now.state}: ${now.reason}`);
    return client.outcome(run);
  };
  try {
    for (const size of [1, 2, 4, 8]) {
      while (cluster.nodes().length < size) await cluster.startNode();
      add(`${size} ${size === 1 ? "node" : "nodes"} over NATS`, await anew([], () => Promise.resolve()));
    }
    while (cluster.nodes().length > 3) await cluster.kill(cluster.nodes()[0]!);
    add("3 nodes, 20 of them killed and replaced", await anew(Array.from({ length: 20 }, () => between(chance, 0, Math.floor(ticks * 0.9))).toSorted((a, b) => a - b), async () => {
      await cluster.kill(oneOf(chance, cluster.nodes()));
      await cluster.startNode();
    }));
    const every = EXECUTION.checkpointTicks, restored = new Set<number>();
    const outcome = await anew(Array.from({ length: Math.floor((ticks - 20) / every) }, (_, index) => (index + 1) * every), async () => {
      const { tick, state } = await client.call("Pause", { run });
      if (state !== "paused") throw new Error(`the run is ${state}, expected paused`);
      restored.add(Math.floor((tick + 1) / every));
      await client.call("Resume", { run });
    });
    add(`paused, and restored from ${restored.size} of its ${Math.floor((ticks - 1) / every)} checkpoints`, outcome);
    add("the leader killed in the middle", await anew([Math.floor(ticks / 2)], async () => cluster.kill(await cluster.leader())));
  } finally {
    await cluster.close();
  }
  return rows;
}
