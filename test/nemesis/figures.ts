import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { samplePlan } from "@populace/kernels/sample-plan";
import type { NatsProgram } from "../../io/nats/server.fixture.ts";
import { median } from "../bench/bench.ts";
import { startCluster, type Member, type NemesisCluster } from "./cluster.ts";
import { EXECUTION, planOf } from "./scenarios.ts";

/** One measured thing. */
export interface Figure {
  readonly what: string;
  readonly unit: "ms" | "shards" | "ratio" | "exposures";
  readonly median: number;
  readonly worst: number;
  readonly count: number;
  readonly floor: string;
  readonly target: string;
  /** Load of the machine when it was taken. */
  readonly load: number;
}

/** Lease of a leader on one NATS server. */
const TTL_MS = 2000;
const ENDLESS_TICKS = 50_000;
/** Kernels that count nothing for so long have stopped. */
const STILL_MS = 400;

/** Times from a SIGKILL to the commits that show that it is overcome, the cost of a tick's commit, and what a planned move costs. */
export async function figures(program: NatsProgram, rounds: number, onNote: (note: string) => void): Promise<readonly Figure[]> {
  const found: Figure[] = [];
  const add = (figure: Omit<Figure, "median" | "worst" | "count" | "load">, values: readonly number[]): void => {
    const line = { ...figure, median: round(median(values)), worst: round(Math.max(...values)), count: values.length, load: round(loadavg()[0]!) };
    found.push(line);
    onNote(`${line.what}: median ${line.median}, worst ${line.worst} ${line.unit} of ${line.count} (floor ${line.floor}, target ${line.target}; load ${line.load})`);
  };

  await on({ program, nodes: 3 }, async (cluster) => {
    const run = await begin(cluster, 1);
    const ticksMs = await intervals(cluster, run, 100);
    add({ what: "a tick of the run below, as COMMIT shows it", unit: "ms", floor: "50", target: "-" }, ticksMs);
    const nodesMs: number[] = [];
    for (let index = 0; index < rounds; index += 1) {
      await cluster.observer.tick(run, cluster.observer.lastTick(run) + 15);
      const owners = cluster.observer.record(run)?.owners ?? [];
      const victim = cluster.nodes().find((node) => owners.includes(cluster.incarnation(node)))!;
      // The tick that was open may have been whole already; the one after it needs the shards in other hands.
      const killedMs = performance.now(), next = cluster.observer.lastTick(run) + 2;
      const dead = cluster.kill(victim);
      nodesMs.push((await cluster.observer.tick(run, next)) - killedMs);
      await dead;
      await cluster.startNode();
    }
    add({ what: "SIGKILL of a node to the next COMMIT that needs its shards", unit: "ms", floor: "3000", target: "1500" }, nodesMs);

    const leadersMs: number[] = [];
    for (let index = 0; index < rounds; index += 1) {
      await cluster.observer.tick(run, cluster.observer.lastTick(run) + 15);
      const leader = await cluster.leader(), termBefore = Math.max(...cluster.observer.records.flatMap((record) => (record.kind === "term" ? [record.term] : [])));
      const killedMs = performance.now();
      const nextMs = new Promise<number>((resolve) => {
        const stop = cluster.observer.onCommit((_run, _tick, term, atMs) => {
          if (term <= termBefore) return;
          stop();
          resolve(atMs);
        });
      });
      const dead = cluster.kill(leader);
      leadersMs.push((await nextMs) - killedMs);
      await dead;
      await cluster.startCoordinator(cluster.coordinators.indexOf(leader));
    }
    add({ what: "SIGKILL of the leader to the first COMMIT of the next term", unit: "ms", floor: String(TTL_MS + 2000), target: String(TTL_MS + 500) }, leadersMs);
    await cluster.client.call("Cancel", { run });
  });

  await on({ program, nodes: 2, coordinators: 1 }, async (cluster) => {
    const run = await begin(cluster, 2, Array.from({ length: 8 }, () => 8));
    add({ what: "a tick of 64 agents in 8 shards on 2 nodes: open, compute, slots, commit, append", unit: "ms", floor: "-", target: "-" }, await intervals(cluster, run, 20 * rounds));
    const [leader] = cluster.coordinators;
    const sums = async (): Promise<readonly [number, number]> => [await cluster.metric(leader!, "populace_coordinator_commit_seconds_total"), await cluster.metric(leader!, "populace_coordinator_commits_total")];
    const commitsMs: number[] = [];
    for (let before = await sums(); commitsMs.length < 10 * rounds; ) {
      await cluster.observer.tick(run, cluster.observer.lastTick(run) + 2);
      const now = await sums();
      if (now[1] > before[1]) commitsMs.push((1000 * (now[0] - before[0])) / (now[1] - before[1]));
      before = now;
    }
    add({ what: "commit of a tick alone: transaction, flush, append (means of two or three ticks)", unit: "ms", floor: "5", target: "2" }, commitsMs);
    await cluster.client.call("Cancel", { run });
  });

  await on({ program, nodes: 2, coordinators: 1 }, async (cluster) => {
    const repliesMs: number[] = [], lastMs: number[] = [];
    const exposures = async (): Promise<readonly number[]> => Promise.all(cluster.nodes().map((node) => cluster.metric(node, "populace_node_exposures_total")));
    for (let round = 0; round < rounds; round += 1) {
      const before = await exposures();
      // Whole lives, block by block: kernels read no message for as long as a span takes, which is the run.
      const { run } = await cluster.client.submit(samplePlan(1000 + round, { agents: [20_000_000, 20_000_000], ticks: 60, worlds: 4, worldShift: 2, traits: 4, steps: 2 }), {});
      while ((await exposures()).some((count, node) => count === before[node])) await sleep(5);
      const askedMs = performance.now();
      const canceled = cluster.client.call("Cancel", { run }).then(() => { repliesMs.push(performance.now() - askedMs); });
      let last = await exposures(), changedMs = performance.now();
      for (let now = last; performance.now() - changedMs < STILL_MS; now = await exposures()) {
        if (now.some((count, node) => count !== last[node])) changedMs = performance.now();
        last = now;
      }
      await canceled;
      lastMs.push(changedMs - askedMs);
    }
    add({ what: "Cancel of a run that lives whole lives on 2 nodes to its answer, the record on disk", unit: "ms", floor: "-", target: "-" }, repliesMs);
    add({ what: "the same to the last exposure that any kernel counts", unit: "ms", floor: "-", target: "100" }, lastMs);
  });

  await on({ program, nodes: 4, coordinators: 1 }, async (cluster) => {
    const run = await begin(cluster, 3, Array.from({ length: 64 }, (_, persona) => 100 + persona), 64);
    await cluster.observer.tick(run, 20);
    const before = cluster.observer.record(run)!.owners;
    const had = (node: Member): number => before.filter((owner) => owner === cluster.incarnation(node)).length;
    const node = cluster.nodes().toSorted((left, right) => had(left) - had(right)).at(-2)!;
    const ideal = had(node), incarnation = cluster.incarnation(node);
    const { nodes: described } = await cluster.client.call("Describe", {});
    cluster.mayEnd(node);
    await cluster.client.call("Drain", { node: incarnation.slice(0, 13) });
    const code = await node.ended;
    if (code !== 0) throw new Error(`a drained node ended with ${code}:\n${node.said()}`);
    const after = cluster.observer.record(run)!.owners;
    add({ what: `shards of 64 that move when one of 4 nodes drains, which had ${ideal}`, unit: "shards", floor: String(round(ideal * 1.25)), target: String(round(ideal * 1.1)) }, [after.filter((owner, shard) => owner !== before[shard]).length]);
    // Nodes of one machine are told apart by their measured speed, so their shares are.
    const speeds = new Map(described.filter((each) => each.incarnation !== incarnation).map((each) => [each.incarnation, each.exposuresPerSecond]));
    const speed = [...speeds.values()].reduce((sum, value) => sum + value, 0);
    onNote(`speeds ${[...speeds.values()].map((value) => Math.round(value / 1e6)).join(", ")} M exposures/s; shards ${[...speeds.keys()].map((each) => after.filter((owner) => owner === each).length).join(", ")}, by speed ${[...speeds.values()].map((value) => round((64 * value) / speed)).join(", ")}`);
    await cluster.observer.tick(run, cluster.observer.lastTick(run) + 20);
    await cluster.client.call("Cancel", { run });
  });
  return found;
}

async function on(shape: Parameters<typeof startCluster>[0], work: (cluster: NemesisCluster) => Promise<void>): Promise<void> {
  const cluster = await startCluster(shape);
  try {
    await work(cluster);
  } finally {
    await cluster.close();
  }
}

async function begin(cluster: NemesisCluster, seed: number, agents?: readonly number[], shards: number = EXECUTION.shards): Promise<string> {
  const plan = agents === undefined ? planOf(seed, ENDLESS_TICKS) : samplePlan(seed, { agents, ticks: ENDLESS_TICKS, influence: true, worlds: 2, worldShift: 1, traits: 2, steps: 2, stimuli: 2, scenarios: 1 });
  const { run } = await cluster.client.submit(plan, { ...EXECUTION, shards });
  await cluster.observer.tick(run, 20);
  return run;
}

/** Milliseconds between the next `count` commits. */
async function intervals(cluster: NemesisCluster, run: string, count: number): Promise<readonly number[]> {
  const times: number[] = [];
  const stop = cluster.observer.onCommit((of, _tick, _term, atMs) => void (of === run && times.push(atMs)));
  await cluster.observer.tick(run, cluster.observer.lastTick(run) + count + 1);
  stop();
  return times.slice(1).map((atMs, index) => atMs - times[index]!);
}

const round = (value: number): number => Math.round(value * 100) / 100;
