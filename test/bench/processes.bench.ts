import { setTimeout as sleep } from "node:timers/promises";
import { samplePlan } from "@populace/kernels/sample-plan";
import type { ExecutionPlan, Plan } from "@populace/protocol";
import { nats } from "../../tools/nats.ts";
import { ROOT } from "../helpers/data.ts";
import { startCluster, type NemesisCluster } from "../nemesis/cluster.ts";
import { compared, type Bench, type BenchRow } from "./bench.ts";

/**
 * Two node processes of one worker each beside one node process of two, over real NATS servers of this machine: what it costs that the work is spread over processes.
 * Coordinators, servers and nodes share the cores on both sides. Timed from the submission until the run is done.
 */
export const bench: Bench = {
  name: "processes",
  async run({ tiny }) {
    const { env, note } = await nats(ROOT);
    const program = { name: "nats-server", path: env["POPULACE_NATS_SERVER"] ?? "", why: note };
    if (program.path === "") return [{ what: `two node processes over NATS (absent: ${note})`, ours: 0, peer: null, peerName: "-", ratio: null, unit: "-", floor: null, target: null, hash: "absent" }];
    const scale = tiny ? 0.02 : 0.4;
    const uncoupled = samplePlan(5, { agents: Array.from({ length: 16 }, () => Math.round(1_000_000 * scale)), ticks: 30 });
    const coupled = samplePlan(6, { agents: Array.from({ length: 16 }, () => Math.round(500_000 * scale)), ticks: 40, influence: true });
    const one = await startCluster({ program, nodes: 1, workers: 2, coordinators: 1 }), two = await startCluster({ program, nodes: 2, workers: 1, coordinators: 1 });
    try {
      const rows: BenchRow[] = [];
      for (const [what, plan, execution, floor, target] of [
        ["an uncoupled run, whole lives", uncoupled, { population: "procedural", spanTicks: uncoupled.ticks, checkpointTicks: 0 }, "90 %", "97 %"],
        ["a coupled run, a barrier a tick", coupled, { population: "stored", spanTicks: 1, checkpointTicks: 20 }, "75 %", "90 %"],
      ] as const) {
        let hash = "";
        const side = (cluster: NemesisCluster) => async (): Promise<number> => {
          const { seconds, root } = await live(cluster, plan, { shards: 8, ...execution });
          if (hash !== "" && hash !== root) throw new Error(`another root on another cluster: ${hash} and ${root}`);
          hash = root;
          return seconds;
        };
        rows.push(await compared({ what: `${what}: two node processes of one worker over NATS`, unit: "s", peerName: "one node process of two workers", floor, target, better: "smaller", rounds: tiny ? 1 : 5, ours: side(two), peer: side(one), isWarm: tiny, hash: () => hash }));
      }
      return rows;
    } finally {
      await one.close();
      await two.close();
    }
  },
};

async function live({ client, observer }: NemesisCluster, plan: Plan, execution: Partial<ExecutionPlan>): Promise<{ readonly seconds: number; readonly root: string }> {
  const startedMs = performance.now();
  const { run } = await client.submit(plan, execution, { fresh: true });
  let state = "";
  for await (const now of client.watch(run)) ({ state } = now);
  if (state !== "done") throw new Error(`the run is ${state}`);
  const seconds = (performance.now() - startedMs) / 1000, { rootHash } = await client.outcome(run);
  observer.forget(run);
  // What the end of one run leaves to do is not the next one's.
  await sleep(100);
  return { seconds, root: rootHash };
}
