import { cpSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { samplePlan } from "@populace/kernels/sample-plan";
import type { Plan } from "@populace/protocol";
import { GATEWAY_MODEL, announce, gatewayClient, outcomeOf, type Ready } from "../helpers/gateway-client.ts";
import { between, oneOf } from "../simulator/chance.ts";
import type { ClusterShape, Member, NemesisCluster } from "./cluster.ts";
import { blockEventLoop } from "./event-loop.ts";
import { openNamespace } from "./namespace.ts";

/** A source of chance from 0 to 1. */
type Chance = () => number;

/** What a scenario is told of the run under way. */
export interface Course {
  readonly cluster: NemesisCluster;
  readonly chance: Chance;
  /** The first run and its ticks. */
  readonly run: string;
  readonly ticks: number;
  /** Resolves when the first run has committed the tick; rejects when it ended before. */
  tick(tick: number): Promise<void>;
  /** Resolves when so many more ticks of any run are committed. */
  more(commits: number): Promise<void>;
  /** How long the faults of a soak go on. */
  readonly minutes: number;
  /** This machine cannot do it. */
  skip(why: string): void;
  /** Whether a fault was seen to have its effect, for the summary and the verdict. */
  expect(what: string, holds: boolean): void;
}

export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly shape: Omit<ClusterShape, "program">;
  /** Ticks of each run; runs are submitted one after another while the faults go on. */
  readonly ticks: number;
  readonly faults: (course: Course) => Promise<void>;
}

/** Coupled, so that every tick is a barrier; small, so that a tick is a matter of milliseconds; eight blocks. */
export const planOf = (seed: number, ticks: number): Plan => samplePlan(seed, { agents: [1500, 900, 700, 500, 400, 300, 200, 100], ticks, influence: true, worlds: 4, worldShift: 2, gapTicks: 1, traits: 4, steps: 2 });
export const EXECUTION = { shards: 8, spanTicks: 1, checkpointTicks: 10 } as const;

async function killAndReplace({ cluster, chance }: Pick<Course, "cluster" | "chance">): Promise<void> {
  await cluster.kill(oneOf(chance, cluster.nodes()));
  cluster.count("SIGKILL node");
  await cluster.startNode();
}

async function pause({ cluster }: Pick<Course, "cluster">, member: Member, ms: number): Promise<void> {
  member.child.kill("SIGSTOP");
  cluster.count(`SIGSTOP ${member.address === "" ? "node" : "coordinator"}`);
  await sleep(ms);
  member.child.kill("SIGCONT");
}

async function restartCoordinator({ cluster }: Pick<Course, "cluster">, coordinator: Member): Promise<void> {
  await cluster.kill(coordinator);
  await cluster.startCoordinator(cluster.coordinators.indexOf(coordinator));
}

async function restartNats({ cluster }: Pick<Course, "cluster">, loses: boolean): Promise<void> {
  await cluster.nats.kill();
  cluster.count(loses ? "nats-server's store deleted" : "SIGKILL nats-server");
  if (loses) {
    rmSync(cluster.nats.storeDir, { recursive: true, force: true });
    for (const observer of ["log", "registry"]) cluster.observer.records.push({ kind: "forgot", observer, atMs: performance.now() });
  }
  await cluster.nats.start();
}

/** The leader holds its own signal at a point of a commit; a rival leads; if it was only stopped, it goes on afterwards. */
function trapped(name: string, what: string, trap: ClusterShape["trap"] & object): Scenario {
  return {
    name, what, ticks: 200, shape: { nodes: 2, trap },
    async faults({ cluster, expect, more }) {
      const leader = cluster.coordinators[0], termsBefore = cluster.observer.terms();
      cluster.mayEnd(leader);
      await leader.says(/trap sprung/);
      cluster.count(`${trap.signal} leader ${trap.point}`);
      await more(20);
      expect("a rival leads", cluster.observer.terms() > termsBefore && (await cluster.leader()) !== leader);
      if (trap.signal === "SIGSTOP") {
        leader.child.kill("SIGCONT");
        await more(20);
        expect("the one that was stopped stands by", leader.isAlive() && (await cluster.leader()) !== leader);
      } else {
        await leader.ended;
        await cluster.startCoordinator(0);
      }
    },
  };
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "kill-nodes", what: "20 nodes killed at random ticks of one run, each replaced", ticks: 1200, shape: { nodes: 3 },
    async faults(course) {
      for (let kill = 0; kill < 20; kill += 1) {
        await course.tick(Math.floor((course.ticks * 0.9 * (kill + course.chance())) / 20));
        await killAndReplace(course);
      }
    },
  },
  {
    name: "pause-node", what: "a node stopped for 8 s with finished work, declared dead, and gone on", ticks: 300, shape: { nodes: 3 },
    async faults(course) {
      const { cluster, expect, more } = course;
      await course.tick(20);
      const node = cluster.nodes()[0], incarnation = cluster.incarnation(node);
      await pause(course, node, 8000);
      await node.says(/was declared dead/);
      expect("it joins again as another", cluster.incarnation(node) !== incarnation || (await node.says(/declared dead[\s\S]*node [0-9a-f-]{36},/)) !== null);
      await more(20);
    },
  },
  trapped("stop-leader-before-flush", "the leader stopped after its transaction, before the flush", { signal: "SIGSTOP", point: "before-flush", after: 15 }),
  trapped("stop-leader-before-append", "the leader stopped between flush and append", { signal: "SIGSTOP", point: "after-flush", after: 15 }),
  trapped("stop-leader-after-append", "the leader stopped right after an append", { signal: "SIGSTOP", point: "after-append", after: 15 }),
  trapped("kill-leader-before-append", "the leader killed between flush and append", { signal: "SIGKILL", point: "after-flush", after: 15 }),
  trapped("kill-leader-after-append", "the leader killed after an append, before it knows", { signal: "SIGKILL", point: "after-append", after: 15 }),
  {
    name: "kill-leaders", what: "the leader killed at 5 random ticks of one run, each started again", ticks: 600, shape: { nodes: 2 },
    async faults(course) {
      for (let kill = 0; kill < 5; kill += 1) {
        await course.tick(Math.floor((course.ticks * 0.8 * (kill + course.chance())) / 5));
        course.cluster.count("SIGKILL leader");
        await restartCoordinator(course, await course.cluster.leader());
        await course.more(3);
      }
    },
  },
  {
    name: "kill-nats", what: "nats-server killed every 2 s for 60 s", ticks: 300, shape: { nodes: 2 },
    async faults(course) {
      await course.tick(5);
      for (const untilMs = performance.now() + 60_000; performance.now() < untilMs; await sleep(2000)) await restartNats(course, false);
    },
  },
  {
    name: "lose-nats", what: "nats-server killed and its store deleted, three times", ticks: 400, shape: { nodes: 2 },
    async faults(course) {
      for (let loss = 0; loss < 3; loss += 1) {
        await course.more(30);
        await restartNats(course, true);
      }
    },
  },
  {
    name: "three-servers", what: "three NATS servers, each killed for 3 s and stopped for 8 s in turn, whoever leads the streams", ticks: 150, shape: { nodes: 2, servers: 3 },
    async faults({ cluster, tick, more }) {
      await tick(5);
      for (const server of cluster.servers) {
        await server.kill();
        cluster.count("SIGKILL one nats-server of three");
        await sleep(3000);
        await server.start();
        await more(10);
        await server.kill("SIGSTOP");
        cluster.count("SIGSTOP one nats-server of three");
        await sleep(8000);
        await server.kill("SIGCONT");
        await more(10);
      }
    },
  },
  {
    name: "cut-node", what: "a node that hears nothing, then one that nobody hears, for 15 s each", ticks: 300, shape: { nodes: 3, isProxied: true },
    async faults({ cluster, more, tick }) {
      await tick(20);
      for (const [index, direction] of (["to client", "to server"] as const).entries()) {
        const node = cluster.nodes()[index];
        node.proxy?.cut(direction);
        cluster.count(`cut ${direction === "to client" ? "towards a node" : "from a node"}`);
        await sleep(15_000);
        await more(5);
        node.proxy?.heal();
        await more(10);
      }
    },
  },
  {
    name: "cut-node-by-kernel", what: "the same by the kernel, with a network namespace, where this machine allows one", ticks: 300, shape: { nodes: 2, isOpen: true },
    async faults({ cluster, more, tick, skip }) {
      const namespace = openNamespace(1 + (process.pid % 200));
      if (typeof namespace === "string") return skip(namespace);
      try {
        const node = await cluster.startNode({ namespace });
        await tick(20);
        for (const direction of ["to client", "to server"] as const) {
          namespace.cut(direction);
          cluster.count(`kernel drops all ${direction === "to client" ? "towards a node" : "from a node"}`);
          await sleep(15_000);
          await more(5);
          namespace.heal();
          await more(10);
        }
        await cluster.kill(node);
      } finally {
        namespace.remove();
      }
    },
  },
  {
    name: "old-stores", what: "both coordinators killed and started on an older copy of a disk, then on empty ones", ticks: 300, shape: { nodes: 2 },
    async faults({ cluster, more, tick }) {
      await tick(20);
      const standby = cluster.coordinators[1]!, old = `${standby.storeDir}-old`;
      await cluster.kill(standby);
      cpSync(standby.storeDir, old, { recursive: true });
      await cluster.startCoordinator(1);
      await more(30);
      for (const disk of ["older", "empty"] as const) {
        const both = [...cluster.coordinators];
        for (const coordinator of both) await cluster.kill(coordinator);
        for (const { storeDir } of both) {
          rmSync(storeDir, { recursive: true });
          if (disk === "older") cpSync(old, storeDir, { recursive: true });
        }
        cluster.count(`both coordinators on ${disk} disks`);
        for (const index of both.keys()) await cluster.startCoordinator(index);
        await more(30);
      }
    },
  },
  {
    name: "cut-leader", what: "the leader cut off from NATS for 8 s while a rival leads", ticks: 300, shape: { nodes: 2, isProxied: true },
    async faults({ cluster, more, tick, expect }) {
      await tick(20);
      const leader = await cluster.leader();
      leader.proxy?.cut("to server", "to client");
      cluster.count("cut leader");
      await sleep(8000);
      await more(5);
      leader.proxy?.heal();
      await more(20);
      expect("a rival leads", (await cluster.leader()) !== leader);
    },
  },
  {
    name: "cut-gateway", what: "a gateway cut off from NATS while a release is announced and the leader killed, then killed and started again without NATS", ticks: 400, shape: { nodes: 2 },
    async faults(course) {
      const { cluster, more, expect, chance } = course, { records } = cluster.observer;
      let gateway = await cluster.startGateway({ proxied: true }), number = 0;
      const { until, decide, report } = gatewayClient(() => gateway.url, records);
      const some = (): Promise<unknown> => report(...Array.from({ length: 1 + Math.floor(chance() * 40) }, () => outcomeOf((number += 1))), outcomeOf(number));
      const isCalm = ({ outcomesWaiting, staleSeconds }: Ready): boolean => outcomesWaiting === 0 && staleSeconds === 0;
      await announce(cluster.client, records, GATEWAY_MODEL);
      await until(({ releaseNumber }) => releaseNumber === 1);
      for (let cut = 0; cut < 2; cut += 1) {
        await some();
        gateway.proxy?.cut(...(cut === 0 ? ["to client", "to server"] as const : ["to client"] as const));
        cluster.count("cut gateway");
        await some();
        await announce(cluster.client, records, { ...GATEWAY_MODEL, version: 2 + cut });
        if (cut === 0) {
          cluster.count("SIGKILL leader");
          await restartCoordinator(course, await cluster.leader());
        }
        const { staleSeconds, releaseNumber } = await until((state) => (state.staleSeconds ?? 0) > 2);
        expect("a gateway that is cut off says how stale the last release is, and serves it", (staleSeconds ?? 0) > 2 && releaseNumber === 1 + cut && (await decide()).stale >= 2);
        await some();
        gateway.proxy?.heal();
        await until((state) => isCalm(state) && state.releaseNumber === 2 + cut);
        await decide();
      }
      await cluster.nats.kill();
      cluster.count("SIGKILL nats-server");
      await some();
      await cluster.kill(gateway);
      cluster.count("SIGKILL gateway");
      gateway = await cluster.startGateway({ proxied: true });
      expect("a gateway that is started without NATS serves the last release", (await decide()).number === 3);
      await some();
      await cluster.nats.start();
      await more(5);
      await announce(cluster.client, records, GATEWAY_MODEL, 1);
      await until((state) => isCalm(state) && state.releaseNumber === 4);
      await decide();
      // What its last commit named was seen by the observer as well.
      await more(5);
      await cluster.kill(gateway);
    },
  },
  {
    name: "block-node", what: "the event loop of a node blocked for 10 s: nobody else is declared dead", ticks: 300, shape: { nodes: 3 },
    async faults({ cluster, tick, more, expect }) {
      await tick(20);
      const node = cluster.nodes()[0], blocked = cluster.incarnation(node);
      cluster.count("event loop blocked");
      await blockEventLoop(node, 10_000);
      await more(20);
      const dead = new Set(cluster.observer.records.flatMap((record) => (record.kind === "view" ? record.dead : [])));
      expect("nobody else is declared dead", [...dead].every((incarnation) => incarnation === blocked));
    },
  },
  {
    name: "scale", what: "1 to 8 to 3 nodes during one run, with a kill at every move", ticks: 900, shape: { nodes: 1 },
    async faults(course) {
      const { cluster, tick, more } = course;
      await tick(10);
      for (let size = 1; size < 8; size += 1) {
        await cluster.startNode();
        cluster.count("node joined");
        await more(5);
        if (size % 3 === 0) await killAndReplace(course);
      }
      for (let size = 8; size > 3; size -= 1) {
        const node = cluster.nodes()[0];
        cluster.mayEnd(node);
        await cluster.client.call("Drain", { node: cluster.incarnation(node).slice(0, 13) });
        cluster.count("drain");
        course.expect("a drained node leaves with success", (await node.ended) === 0);
        await more(5);
        if (size % 2 === 0) await killAndReplace(course);
      }
    },
  },
  {
    name: "slow-node", what: "a node on a line of 16 KiB/s that is 50 ms late, and connections that break", ticks: 150, shape: { nodes: 2, isProxied: true },
    async faults({ cluster, tick, more }) {
      await tick(10);
      const [node] = cluster.nodes();
      node.proxy?.limit(16 * 1024);
      node.proxy?.delay(50);
      cluster.count("slow line");
      for (let broken = 0; broken < 3; broken += 1) {
        await more(10);
        node.proxy?.reset();
        cluster.count("connection reset");
      }
      await more(10);
      node.proxy?.heal();
    },
  },
  {
    name: "soak", what: "all of it at random, for as long as asked", ticks: 400, shape: { nodes: 3, isProxied: true },
    async faults(course) {
      const { cluster, chance, more, minutes } = course;
      const strikes: readonly (() => Promise<unknown>)[] = [
        () => killAndReplace(course),
        () => killAndReplace(course),
        () => pause(course, oneOf(chance, cluster.nodes()), between(chance, 500, 6000)),
        async () => pause(course, await cluster.leader(), between(chance, 500, 6000)),
        async () => {
          cluster.count("SIGKILL leader");
          await restartCoordinator(course, await cluster.leader());
        },
        () => restartNats(course, false),
        async () => {
          await cluster.nats.kill("SIGSTOP");
          cluster.count("SIGSTOP nats-server");
          await sleep(between(chance, 500, 3000));
          await cluster.nats.kill("SIGCONT");
        },
        async () => {
          const { proxy } = oneOf(chance, [...cluster.nodes(), await cluster.leader()]);
          proxy?.cut(...oneOf(chance, [["to client"], ["to server"], ["to client", "to server"]] as const));
          cluster.count("cut");
          await sleep(between(chance, 500, 8000));
          proxy?.heal();
        },
        async () => {
          oneOf(chance, cluster.nodes()).proxy?.reset();
          cluster.count("connection reset");
        },
        async () => {
          cluster.count("event loop blocked");
          await blockEventLoop(oneOf(chance, cluster.nodes()), between(chance, 500, 5000));
        },
      ];
      for (const untilMs = performance.now() + minutes * 60_000; performance.now() < untilMs; ) {
        await oneOf(chance, strikes)();
        cluster.sample();
        await more(between(chance, 1, 20));
        if (chance() < 0.05) await restartNats(course, true);
      }
    },
  },
];
