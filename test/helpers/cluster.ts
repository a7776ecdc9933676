// A cluster in one process: coordinators with disks of their own and nodes on the reference kernel, over shared ports in memory or over NATS.
import { randomUUID } from "node:crypto";
import { startNode, startWorkersInline, type RunningNode } from "@populace/agent-runtime";
import { startCoordinator, type Coordinator, type CoordinatorOptions } from "@populace/coordinator";
import { memoryPorts, memoryStore, type Clock, type EmbeddedPorts, type Ports, type Store } from "@populace/io";
import { openBackend } from "@populace/kernels/backends";

export const TENANT = "t";
/** Short, for tests: a rival takes over after so long. */
const TTL_MS = 600;

type Call = { readonly port: keyof Ports | "store"; readonly method: string; readonly argument: string };

/** A process as the fault sees it: `stop` is SIGSTOP, `go` SIGCONT; stopped for ever it is dead. */
export interface Gate {
  readonly ports: Ports & { readonly store: Store };
  stop(): void;
  go(): void;
  /** Stops the process right before (or after) the first call that matches. */
  stopAt(when: "before" | "after", matches: (call: Call) => boolean): Promise<void>;
}

/** Ports whose every call waits while the process is stopped. What others send it meanwhile is heard when it goes on. */
export function gated(shared: Ports, store: Store): Gate {
  let going = Promise.resolve(), resume = (): void => {}, isStopped = false;
  let trap: { readonly when: "before" | "after"; readonly matches: (call: Call) => boolean; readonly sprung: () => void } | null = null;
  const stop = (): void => {
    if (isStopped) return;
    isStopped = true;
    ({ promise: going, resolve: resume } = Promise.withResolvers<void>());
  };
  const spring = (when: "before" | "after", call: Call): void => {
    if (trap?.when !== when || !trap.matches(call)) return;
    trap.sprung();
    trap = null;
    stop();
  };
  const listening = new Set(["subscribe", "follow", "watch", "every"]), immediate = new Set(["monotonicMs", "get", "range"]);
  const wrap = <T extends object>(port: Call["port"], twin: T): T => new Proxy(twin, {
    get(target, method: string) {
      const action = (target as Record<string, (...args: unknown[]) => unknown>)[method];
      if (typeof action !== "function") return action;
      return (...args: unknown[]): unknown => {
        if (listening.has(method)) {
          const receive = args.at(-1) as (...heard: unknown[]) => unknown;
          return action.call(target, ...args.slice(0, -1), async (...heard: unknown[]) => { await going; return receive(...heard); });
        }
        const call = { port, method, argument: String(args[0]) };
        if (method === "publish") {
          if (!isStopped) action.call(target, ...args);
          return;
        }
        if ((port === "store" || port === "clock") && immediate.has(method)) return action.call(target, ...args);
        return (async () => {
          spring("before", call);
          await going;
          const result = await action.call(target, ...args);
          spring("after", call);
          await going;
          return result;
        })();
      };
    },
  });
  return {
    ports: { bus: wrap("bus", shared.bus), log: wrap("log", shared.log), registry: wrap("registry", shared.registry), blobs: wrap("blobs", shared.blobs), clock: wrap<Clock>("clock", shared.clock), store: wrap("store", store) },
    stop,
    go() {
      isStopped = false;
      resume();
    },
    stopAt: (when, matches) => new Promise((sprung) => { trap = { when, matches, sprung }; }),
  };
}

export interface TestCoordinator extends Gate {
  readonly coordinator: Coordinator;
  readonly store: Store;
}

export interface TestCluster {
  /** What all share; over NATS unused. */
  readonly shared: EmbeddedPorts;
  coordinator(name: string, options?: Partial<CoordinatorOptions>, store?: Store): Promise<TestCoordinator>;
  /** A node; `lie` may change what it computes, `fail` makes its kernel throw. */
  node(options?: { readonly lie?: boolean; readonly fail?: boolean; readonly tenant?: string }): Promise<RunningNode>;
  close(): Promise<void>;
}

/** What each process is given, and how it lets go of it. */
type OpenPorts = (role: "coordinator" | "node", name: string) => Promise<Ports & { close(): Promise<void> }>;

export function testCluster(openPorts?: OpenPorts, options: { readonly ttlMs?: number; readonly paceMs?: number; readonly tenant?: string } = {}): TestCluster {
  const shared = memoryPorts();
  const { ttlMs = TTL_MS, paceMs = 0, tenant = TENANT } = options;
  const portsOf: OpenPorts = openPorts ?? (async () => ({ ...shared, close: async () => {} }));
  const stops: (() => Promise<void>)[] = [];
  return {
    shared,
    async coordinator(name, more = {}, store = memoryStore()) {
      const ports = await portsOf("coordinator", name);
      const gate = gated(ports, store);
      const coordinator = await startCoordinator({ ports: gate.ports, tenant, holder: name, address: `${name}:1`, leaseTtlMs: ttlMs, ...more });
      stops.push(async () => {
        gate.go();
        await coordinator.close();
        await ports.close();
      });
      return { ...gate, coordinator, store };
    },
    async node({ lie = false, fail = false, tenant: whose = tenant } = {}) {
      const { kernels } = await openBackend("reference", "expose");
      const ports = await portsOf("node", "node");
      const node = startNode({
        ports, tenant: whose, workers: 1, backend: "reference", incarnation: `${lie ? "liar" : fail ? "broken" : "node"}-${randomUUID().slice(0, 8)}`, leaseTtlMs: ttlMs,
        startPool: (size) => startWorkersInline(size, {
          kernel: kernels.expose, exposuresPerSecond: 1e6,
          // Other processes have their turns between two pieces of work.
          pace: () => new Promise((resolve) => (paceMs > 0 ? setTimeout(resolve, paceMs) : setImmediate(resolve))),
          answer: (message) => {
            if (lie && message.kind === "computed") for (const { hashes } of message.hashes) hashes[40] ^= 1;
            return fail && message.kind === "computed" ? { kind: "failed", ticket: message.ticket, code: "INTERNAL", message: "planted: this kernel is broken" } : message;
          },
        }),
      });
      stops.unshift(async () => {
        await node.stop();
        await ports.close();
      });
      await node.ready;
      return node;
    },
    async close() {
      for (const stop of stops.splice(0)) await stop();
      await shared.close();
    },
  };
}

/** Waits for a condition, with no bound of its own. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}
