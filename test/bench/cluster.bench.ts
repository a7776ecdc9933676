import { startNode, type RunningNode } from "@populace/agent-runtime";
import { startCoordinator } from "@populace/coordinator";
import { memoryPorts, memoryStore } from "@populace/io";
import { samplePlan } from "@populace/kernels/sample-plan";
import type { Plan } from "@populace/protocol";
import { gated } from "../helpers/cluster.ts";
import { compared, median, type Bench, type BenchRow } from "./bench.ts";

/**
 * Two nodes of one worker each beside one node of two workers, with the same coordinator, ports and machine: what it costs that the work is spread over
 * nodes. An uncoupled run lives whole; a coupled one has a barrier at every tick. The last row kills a node of two and waits for the next commit.
 */
export const bench: Bench = {
  name: "cluster",
  async run({ tiny }) {
    const scale = tiny ? 0.02 : 0.5;
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
      rows.push(await failover(tiny ? 1 : 20));
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

/** Seconds from the death of one of three nodes, somewhere in a run of short ticks, to the commit of a tick that it owed something; nothing of it reaches anybody any more. */
async function failover(kills: number): Promise<BenchRow> {
  const plan = samplePlan(7, { agents: [70_000, 70_000, 70_000], ticks: 100, influence: true });
  const taken: number[] = [], roots = new Set<string>();
  for (let kill = 0; kill < kills; kill++) {
    const ports = memoryPorts(), gates = [0, 1, 2].map(() => gated(ports, memoryStore()));
    const coordinator = await startCoordinator({ ports, tenant: "bench", alone: true });
    const nodes = gates.map((gate, index) => startNode({ ports: gate.ports, tenant: "bench", workers: 1, incarnation: `node-${index}` }));
    for (const node of nodes) await node.ready;
    while (coordinator.membership().members.size < nodes.length) await ports.clock.sleep(5);
    const committed = (): number => coordinator.metrics().counters.ticksCommitted;
    const outcome = coordinator.submit(plan, { shards: 6, spanTicks: 1, checkpointTicks: 10 });
    // At another tick and another phase of the heartbeats every time.
    while (committed() < 5 + (kill % 10)) await ports.clock.sleep(1);
    await ports.clock.sleep((kill * 37) % 50);
    gates[kill % 3].stop();
    const killedMs = performance.now(), before = committed();
    // The tick under way may have had all that it needs.
    while (committed() < before + 2) await ports.clock.sleep(1);
    taken.push((performance.now() - killedMs) / 1000);
    roots.add((await outcome).rootHash);
    await coordinator.close();
    for (const [index, node] of nodes.entries()) {
      gates[index].go();
      await node.stop();
    }
    await ports.close();
  }
  return { what: `a node of three killed: to the next commit, median of ${kills} (worst ${Math.max(...taken).toFixed(2)} s), in one process`, ours: median(taken), peer: null, peerName: "-", ratio: null, unit: "s", floor: "3 s", target: "1.5 s", hash: [...roots].join(" ") };
}
