import { startNode, type RunningNode } from "@populace/agent-runtime";
import { startCoordinator } from "@populace/coordinator";
import { memoryPorts } from "@populace/io";
import { samplePlan } from "@populace/kernels/sample-plan";
import type { Plan } from "@populace/protocol";
import { compared, type Bench, type BenchRow } from "./bench.ts";

/**
 * Two nodes of one worker each beside one node of two workers, with the same coordinator, ports and machine: what it costs that the work is spread over
 * nodes. An uncoupled run lives whole; a coupled one has a barrier at every tick.
 */
export const bench: Bench = {
  name: "cluster",
  async run({ tiny }) {
    const scale = tiny ? 0.02 : 1;
    const uncoupled = samplePlan(5, { agents: Array.from({ length: 16 }, () => Math.round(500_000 * scale)), ticks: 30 });
    const coupled = samplePlan(6, { agents: Array.from({ length: 16 }, () => Math.round(250_000 * scale)), ticks: 40, influence: true });
    const one = await clusterOf([2]), two = await clusterOf([1, 1]);
    try {
      const rows: BenchRow[] = [];
      for (const [what, plan, execution, floor, target] of [
        ["an uncoupled run, whole lives", uncoupled, { population: "procedural", spanTicks: uncoupled.ticks, checkpointTicks: 0 }, "90 %", "97 %"],
        ["a coupled run, a barrier a tick", coupled, { population: "stored", spanTicks: 1, checkpointTicks: 20 }, "75 %", "90 %"],
      ] as const) {
        let hash = "";
        const side = (cluster: Awaited<ReturnType<typeof clusterOf>>) => async (): Promise<number> => {
          const { seconds, root } = await cluster.live(plan, { shards: 8, ...execution });
          if (hash !== "" && hash !== root) throw new Error(`another root on another cluster: ${hash} and ${root}`);
          hash = root;
          return seconds;
        };
        rows.push(await compared({ what: `${what}: two nodes of one worker`, unit: "s", peerName: "one node of two workers", floor, target, better: "smaller", rounds: tiny ? 1 : 7, ours: side(two), peer: side(one), isWarm: tiny, hash: () => hash }));
      }
      return rows;
    } finally {
      await one.close();
      await two.close();
    }
  },
};

async function clusterOf(workersByNode: readonly number[]) {
  const ports = memoryPorts();
  const coordinator = await startCoordinator({ ports, tenant: "bench", alone: true });
  const nodes: RunningNode[] = workersByNode.map((workers, index) => startNode({ ports, tenant: "bench", workers, incarnation: `node-${index}` }));
  for (const node of nodes) await node.ready;
  while (coordinator.membership().members.size < nodes.length) await ports.clock.sleep(5);
  return {
    async live(plan: Plan, execution: Parameters<typeof coordinator.submit>[1]) {
      const startedMs = performance.now();
      const { roots } = await coordinator.submit(plan, execution, { fresh: true });
      return { seconds: (performance.now() - startedMs) / 1000, root: roots.at(-1)! };
    },
    async close() {
      await coordinator.close();
      for (const node of nodes) await node.stop();
      await ports.close();
    },
  };
}
