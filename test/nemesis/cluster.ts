import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { openCluster, type ClusterClient } from "../../cli/cluster-client.ts";
import { freePort, startNatsCluster, startNatsServer, type NatsProgram, type NatsServer } from "../../io/nats/server.fixture.ts";
import { startPopulace, type PopulaceProcess } from "../helpers/populace-process.ts";
import { startChaosProxy, type ChaosProxy } from "./chaos-proxy.ts";
import type { Namespace } from "./namespace.ts";
import { observe, usageOf, type Observer } from "./observer.ts";

const TENANT = "default";

/** A process of the cluster: its fate is in the nemesis' hands. */
export interface Member extends PopulaceProcess {
  readonly name: string;
  readonly pid: number;
  /** Between it and NATS; null where it is connected directly. */
  readonly proxy: ChaosProxy | null;
  /** HOST:PORT of a coordinator's control, "" of a node. */
  readonly address: string;
  readonly storeDir: string;
  isAlive(): boolean;
}

export interface Trap {
  readonly signal: "SIGSTOP" | "SIGKILL";
  readonly point: "before-flush" | "after-flush" | "after-append";
  /** Commits that pass before it is set. */
  readonly after: number;
}

/** Real processes on one NATS server, whoever watches them, and what was done to them. */
export interface NemesisCluster {
  /** The first server, most often the only one; and all. */
  readonly nats: NatsServer;
  readonly servers: readonly NatsServer[];
  readonly client: ClusterClient;
  readonly observer: Observer;
  readonly coordinators: readonly Member[];
  /** Nodes alive. */
  nodes(): readonly Member[];
  /** Faults done, by kind. */
  readonly faults: ReadonlyMap<string, number>;
  count(fault: string): void;
  /** Resolves when it has joined. */
  startNode(options?: { readonly proxied?: boolean; readonly namespace?: Namespace }): Promise<Member>;
  /** A gateway on a store of its own, always the same; resolves when it listens, and says where. */
  startGateway(options?: { readonly proxied?: boolean }): Promise<Member & { readonly url: string }>;
  /** Incarnation of a node as it calls itself now. */
  incarnation(node: Member): string;
  /** Starts a coordinator; by its number again, on the store of the one before. */
  startCoordinator(index: number, options?: { readonly trap?: Trap; readonly proxied?: boolean }): Promise<Member>;
  leader(): Promise<Member>;
  kill(member: Member): Promise<void>;
  /** Its end, by a signal of its own or a drain, is no surprise. */
  mayEnd(member: Member): void;
  /** Value of a metric of a coordinator or node. */
  metric(member: Member, name: string): Promise<number>;
  /** Bytes that the server's streams hold. */
  streamBytes(): Promise<number>;
  /** Samples of each process's resident memory in MiB. */
  readonly memory: ReadonlyMap<string, readonly number[]>;
  /** Most files that each had open. */
  readonly files: ReadonlyMap<string, number>;
  sample(): void;
  close(): Promise<void>;
}

export interface ClusterShape {
  readonly program: NatsProgram;
  readonly nodes: number;
  /** Worker threads of each node; 1 unless said. */
  readonly workers?: number;
  /** NATS servers; with several every stream has a copy on each. */
  readonly servers?: number;
  readonly coordinators?: number;
  readonly isProxied?: boolean;
  /** The server is reached from other namespaces too. */
  readonly isOpen?: boolean;
  readonly trap?: Trap;
}

const open = ({ port, storeDir }: { readonly port: number; readonly storeDir: string }): string => `listen: "0.0.0.0:${port}"\njetstream { store_dir: ${JSON.stringify(storeDir)}, max_file_store: ${8 * 1024 ** 3}, max_memory_store: 67108864 }\n`;

/** Starts NATS, coordinators (the first one leads) and nodes, each a process of its own. */
export async function startCluster({ program, nodes: nodeCount, workers = 1, servers: serverCount = 1, coordinators: coordinatorCount = 2, isProxied = false, isOpen = false, trap }: ClusterShape): Promise<NemesisCluster> {
  const folder = mkdtempSync(join(tmpdir(), "populace-nemesis-"));
  const servers = serverCount === 1 ? [await startNatsServer({ program, ...(isOpen ? { whole: open } : {}) })] : await startNatsCluster(serverCount, { program });
  const nats = servers[0]!, urls = servers.map(({ url }) => url).join(",");
  const nodes = new Set<Member>(), gateways = new Set<Member>(), coordinators: Member[] = [], proxies: ChaosProxy[] = [];
  const ports = await Promise.all(Array.from({ length: coordinatorCount }, () => freePort()));
  const faults = new Map<string, number>(), memory = new Map<string, number[]>(), files = new Map<string, number>();
  const count = (fault: string): void => void faults.set(fault, (faults.get(fault) ?? 0) + 1);
  const mayEnd = new Set<number>();
  let nodeNumber = 0, observer: Observer | null = null;

  async function member(name: string, isBehindProxy: boolean, address: string, start: (url: string) => PopulaceProcess, storeDir = ""): Promise<Member> {
    const proxy = isBehindProxy ? await startChaosProxy(nats.port) : null;
    if (proxy !== null) proxies.push(proxy);
    const process = start(proxy === null ? urls : `nats://127.0.0.1:${proxy.port}`);
    const pid = process.child.pid ?? 0;
    void process.ended.then((code) => {
      if (!mayEnd.has(pid)) observer?.records.push({ kind: "died", who: name, error: `exit ${code ?? process.child.signalCode}: ${process.said().slice(-2000)}` });
    });
    return { ...process, name, pid, proxy, address, storeDir, isAlive: () => process.child.exitCode === null && process.child.signalCode === null };
  }

  async function startNode({ proxied = isProxied, namespace }: { readonly proxied?: boolean; readonly namespace?: Namespace } = {}): Promise<Member> {
    const node = await member(`node-${(nodeNumber += 1)}`, proxied, "", (url) => startPopulace(["node", "--nats", namespace === undefined ? url : `nats://${namespace.host}:${nats.port}`, "--workers", String(workers), "--metrics", "127.0.0.1:0"], { nodeOptions: ["--inspect-port=0"], prefix: namespace?.prefix ?? [] }));
    void node.ended.then(() => nodes.delete(node));
    nodes.add(node);
    await node.says(/joined the cluster/);
    return node;
  }

  async function startCoordinator(index: number, options: { readonly trap?: Trap; readonly proxied?: boolean } = {}): Promise<Member> {
    const address = `127.0.0.1:${ports[index]}`, storeDir = join(folder, `coordinator-${index + 1}`);
    const trapped = options.trap;
    const coordinator = await member(`coordinator-${index + 1}`, options.proxied ?? isProxied, address, (url) => (trapped === undefined
      ? startPopulace(["coordinator", "--nats", url, "--store", storeDir, "--listen", address, "--metrics", "127.0.0.1:0", "--replicas", String(serverCount)])
      : startPopulace([url, storeDir, address, trapped.signal, trapped.point, String(trapped.after)], { program: "test/nemesis/trapped-coordinator.ts" })), storeDir);
    coordinators[index] = coordinator;
    await coordinator.says(/at 127\.0\.0\.1:\d+, store/);
    return coordinator;
  }

  async function startGateway({ proxied = isProxied }: { readonly proxied?: boolean } = {}): Promise<Member & { readonly url: string }> {
    const storeDir = join(folder, "gateway");
    const gateway = await member("gateway", proxied, "", (url) => startPopulace(["gateway", "--nats", url, "--store", storeDir, "--port", "0"]), storeDir);
    gateways.add(gateway);
    void gateway.ended.then(() => gateways.delete(gateway));
    return { ...gateway, url: (await gateway.says(/listening on (http:\S+),/))[1] };
  }

  await startCoordinator(0, trap === undefined ? {} : { trap });
  const client = openCluster({ addresses: ports.map((port) => `127.0.0.1:${port}`) });
  const leader = async (): Promise<Member> => {
    for (;;) {
      const { leader: address } = await client.call("Describe", {});
      const found = coordinators.find((each) => each.address === address && each.isAlive());
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await leader();
  for (let index = 1; index < coordinatorCount; index += 1) await startCoordinator(index);
  const watching = await observe(urls.split(","), TENANT);
  observer = watching;
  await Promise.all(Array.from({ length: nodeCount }, () => startNode()));

  return {
    nats, servers, client, observer: watching, coordinators, faults, count, startNode, startGateway, startCoordinator, leader, memory, files,
    nodes: () => [...nodes],
    incarnation: (node) => [...node.said().matchAll(/node ([0-9a-f-]{36}),/g)].at(-1)?.[1] ?? "",
    mayEnd: (each) => void mayEnd.add(each.pid),
    async kill(victim) {
      mayEnd.add(victim.pid);
      victim.child.kill("SIGKILL");
      await victim.ended;
    },
    async metric(each, name) {
      const [, url] = await each.says(/readiness at (http:\S+)/);
      return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, "m").exec(await (await fetch(`${url}/metrics`)).text())?.[1] ?? Number.NaN);
    },
    async streamBytes() {
      const connection = await connect({ servers: servers.map(({ url }) => url), timeout: 2000 });
      try {
        let bytes = 0;
        for await (const { state } of (await jetstreamManager(connection)).streams.list()) bytes += state.bytes;
        return bytes;
      } finally {
        await connection.close();
      }
    },
    sample() {
      for (const each of [...coordinators, ...nodes, ...gateways, ...servers.map((server, index) => ({ name: serverCount === 1 ? "nats-server" : `nats-server-${index + 1}`, pid: server.pid() }))]) {
        const usage = usageOf(each.pid);
        if (usage === null || usage.memoryBytes === 0) continue;
        memory.set(each.name, [...(memory.get(each.name) ?? []), Math.round(usage.memoryBytes / 1024 ** 2)]);
        files.set(each.name, Math.max(usage.files, files.get(each.name) ?? 0));
      }
    },
    async close() {
      client.close();
      await watching.close();
      for (const each of [...coordinators, ...nodes, ...gateways]) {
        mayEnd.add(each.pid);
        each.child.kill("SIGKILL");
        await each.ended;
      }
      for (const proxy of proxies) await proxy.close();
      for (const server of servers) await server.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
