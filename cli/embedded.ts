import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { startNode, type RunningNode } from "@populace/agent-runtime";
import { runReader, startCoordinator, type Coordinator, type RunReader } from "@populace/coordinator";
import { PopulaceError } from "@populace/domain";
import { SILENT, claimProcess, openEmbeddedPorts, type EmbeddedPorts, type Logger } from "@populace/io";
import { KERNEL_SPEC, isBehaviorPlan, type ExecutionPlan, type Plan, type RunRecord } from "@populace/protocol";
import type { RunPlan } from "@populace/studies";
import { admitted } from "./admission.ts";
import { LOCAL_TENANT } from "./names.ts";

/** Runs shorter than this say little about a machine's speed. */
const SPEED_SAMPLE_SECONDS = 0.5;

export interface EmbeddedOptions {
  /** Folder of the store, made if missing: runs are committed there, read back and resumed from there. */
  readonly storeDir: string;
  /** Worker threads of runs that name no number; default: the machine's cores. */
  readonly workers?: number;
  readonly shards?: number;
  readonly population?: "stored" | "procedural";
  /** Kernel backend by name; default: the fastest this machine has. */
  readonly backend?: string;
  /** Begin runs whose estimated time is beyond the bound. */
  readonly force?: boolean;
  /** Sentences for a person: a choice that was made for them. */
  readonly onNote?: (note: string) => void;
  readonly logger?: Logger;
  readonly tenant?: string;
}

/** A RunPlan with the cluster of one process behind it. The cluster starts with the first run; `close` ends it, after that runs are refused. */
export interface EmbeddedRunner extends RunPlan {
  /**
   * Starts the cluster and its node; STORE_IN_USE when another process leads in this store. `ready` resolves when the node has chosen its backend and measured
   * it on its workers, so that a first run finds them warm; BACKEND_MISSING when the backend asked for does not exist here. The caller may block meanwhile.
   */
  warmUp(): Promise<{ readonly ready: Promise<BackendInUse> }>;
  /** Starts the cluster if need be. STORE_IN_USE when another process leads in this store. */
  coordinator(): Promise<Coordinator>;
  ports(): Promise<EmbeddedPorts>;
  /** Pauses what runs, stops the workers, closes the store. */
  close(): Promise<void>;
}

/** The kernel backend of the node, why it was taken, and what it does on all workers together. */
export interface BackendInUse {
  readonly backend: string;
  readonly reason: string;
  readonly exposuresPerSecond: number;
}

interface Cluster {
  readonly ports: EmbeddedPorts;
  readonly coordinator: Coordinator;
  readonly release: () => Promise<void>;
}

/**
 * Runs plans in this process by the protocol of the cluster: a coordinator and a node over embedded ports, which meet only in bus,
 * log, registry and blobs. A run that is committed already is read back; one that was interrupted goes on from its last checkpoint.
 */
export function embeddedRunner(options: EmbeddedOptions): EmbeddedRunner {
  const tenant = options.tenant ?? LOCAL_TENANT;
  const logger = options.logger ?? SILENT;
  let cluster: Promise<Cluster> | null = null;
  let node: { readonly workers: number; readonly service: RunningNode } | null = null;
  let runsUnderWay = 0;
  let nodeChange: Promise<void> = Promise.resolve();
  let closing: Promise<void> | null = null;

  const run: RunPlan = async (plan, execution, runOptions = {}) => {
    const { coordinator, ports } = await start();
    const workers = workersOf(execution.workers);
    runsUnderWay += 1;
    try {
      const { exposuresPerSecond } = await (await nodeOf(ports, workers)).ready;
      return await coordinator.submit(plan, isBehaviorPlan(plan) ? { ...execution, workers } : admitHere(await coordinator.runs(), plan, { ...execution, workers }, exposuresPerSecond), runOptions);
    } finally {
      runsUnderWay -= 1;
    }
  };

  const workersOf = (wanted: number | undefined): number => Math.max(1, Math.floor(wanted ?? options.workers ?? availableParallelism()));

  return Object.assign(run, {
    async warmUp() {
      const { ready } = await nodeOf((await start()).ports, workersOf(undefined));
      return { ready };
    },
    coordinator: async () => (await start()).coordinator,
    ports: async () => (await start()).ports,
    close: () => (closing ??= close()),
  });

  async function close(): Promise<void> {
    const started = await cluster?.catch(() => null);
    if (!started) return;
    await started.coordinator.close();
    await nodeChange.catch(() => {});
    await node?.service.stop();
    await started.release();
    await started.ports.close();
  }

  function start(): Promise<Cluster> {
    if (closing !== null) throw new PopulaceError("INTERRUPTED", "the runner is closed; open another one", {});
    cluster ??= (async () => {
      const ports = openEmbeddedPorts(options.storeDir, logger);
      try {
        const release = await claimProcess(ports.store, `coordinator ${tenant}`, `the store ${options.storeDir}`);
        // The claim proves that no other coordinator lives, so the lease of a dead one is not waited for. There is one node, so nothing is computed a second time.
        const coordinator = await startCoordinator({ ports, tenant, logger, alone: true, doubleRunShare: 0 });
        return { ports, coordinator, release };
      } catch (error) {
        await ports.close();
        cluster = null;
        throw error;
      }
    })();
    return cluster;
  }

  /** The node for so many workers, started. */
  async function nodeOf(ports: EmbeddedPorts, workers: number): Promise<RunningNode> {
    await (nodeChange = nodeChange.then(() => ensureNode(ports, workers)));
    return node!.service;
  }

  async function ensureNode(ports: EmbeddedPorts, workers: number): Promise<void> {
    // Another number of workers is another node: the old one leaves first, unless a run still needs it.
    if (node !== null && (node.workers === workers || runsUnderWay > 1)) return;
    await node?.service.stop();
    node = { workers, service: startNode({ ports, tenant, workers, logger, incarnation: randomUUID(), allowBehaviors: true, ...(options.backend === undefined ? {} : { backend: options.backend }) }) };
  }

  function admitHere(runs: readonly RunRecord[], plan: Plan, execution: Partial<ExecutionPlan> & { readonly workers: number }, calibrated: number): Partial<ExecutionPlan> {
    const shards = execution.shards ?? options.shards, population = execution.population ?? options.population;
    const carrier = { workers: execution.workers, availableBytes: process.availableMemory(), exposuresPerSecond: measuredSpeed(runs, execution.workers) ?? calibrated };
    return admitted(plan, { ...execution, ...(shards === undefined ? {} : { shards }), ...(population === undefined ? {} : { population }) }, carrier, options.force ?? false, options.onNote ?? (() => {}));
  }
}

/** Reads the runs of a store without leading in it; safe while another process works there. */
export function openRuns(storeDir: string, tenant: string = LOCAL_TENANT): RunReader & { close(): Promise<void> } {
  const ports = openEmbeddedPorts(storeDir);
  return { ...runReader(ports, tenant), close: () => ports.close() };
}

/** Exposures a second as the newest long runs of this store had them with as many workers; null before the first. */
function measuredSpeed(runs: readonly RunRecord[], workers: number): number | null {
  const measured = runs
    .filter((row) => row.state === "done" && row.spec.kernelSpec === KERNEL_SPEC && row.execution?.workers === workers && row.seconds >= SPEED_SAMPLE_SECONDS)
    .slice(-5)
    .map((row) => row.exposures / row.seconds);
  return measured.length === 0 ? null : Math.max(...measured);
}
