import type { ArchiveSummary } from "@populace/coordinator";
import { PopulaceError } from "@populace/domain";
import type { Blobs, Log, Registry } from "@populace/io";
import { whole } from "../arguments.ts";
import type { CommandDefinition, CommandResult } from "../command.ts";
import { LOCAL_TENANT } from "../names.ts";
import { DEFAULT_TENANT, natsPortsOf, tenantName, withNatsConnection, type NatsConnectionOptions } from "../nats-options.ts";
import { compact, count, paint } from "../output.ts";

interface ArchiveOptions extends Partial<NatsConnectionOptions> {
  readonly folder: string;
  readonly store?: string;
  readonly tenant?: string;
  readonly replicas?: number;
}

type ArchivePorts = { readonly registry: Registry; readonly log: Log; readonly blobs: Blobs };

/** Opens the cluster or the store that is named, and does the work with its ports. */
async function withPorts<T>(options: ArchiveOptions, isWriting: boolean, work: (ports: ArchivePorts, tenant: string) => Promise<T>): Promise<T> {
  const { nats, store } = options;
  if ((nats === undefined) === (store === undefined)) throw new PopulaceError("BAD_USAGE", "name a cluster with --nats URL, or a store of this machine with --store FOLDER", {});
  const { SILENT, claimProcess, openEmbeddedPorts } = await import("@populace/io");
  if (nats !== undefined) {
    const ports = await natsPortsOf({ ...options, nats }, isWriting ? "coordinator" : "client", isWriting ? "restore" : "backup", SILENT, { storeDir: null, ...(options.replicas === undefined ? {} : { replicas: options.replicas }) });
    try {
      return await work(ports, options.tenant ?? DEFAULT_TENANT);
    } finally {
      await ports.close();
    }
  }
  const ports = openEmbeddedPorts(store!), tenant = options.tenant ?? LOCAL_TENANT;
  let release = (): Promise<void> => Promise.resolve();
  try {
    if (isWriting) release = await claimProcess(ports.store, `coordinator ${tenant}`, `the store ${store!}`);
    return await work(ports, tenant);
  } finally {
    await release();
    await ports.close();
  }
}

export const backupCommand: CommandDefinition<ArchiveOptions> = {
  name: "backup",
  summary: "write all runs and releases of a cluster or store to a folder",
  examples: ["populace backup ./backup-1 --nats nats://127.0.0.1:4222", "populace backup ./backup-1 --store .populace"],
  configure: (command) => withNatsConnection(command.argument("<folder>", "new or empty"))
    .option("--store <folder>", "a store of this machine instead of a cluster")
    .option("--tenant <name>", `whose (default: ${DEFAULT_TENANT}, of a store ${LOCAL_TENANT})`, tenantName),
  async run(_context, options) {
    const { backup } = await import("@populace/coordinator");
    const summary = await withPorts(options, false, (ports, tenant) => backup(ports, tenant, options.folder));
    const ended = summary.leftOut.filter(({ state }) => ENDED.includes(state)), missed = summary.leftOut.filter(({ state }) => !ENDED.includes(state));
    const { json, lines } = answer("written to", options.folder, summary);
    if (missed.length > 0) throw new PopulaceError("CORRUPT", `the plan or the sums of ${named(missed)} are lost; all the rest is in ${options.folder}: submit ${missed.length === 1 ? "it" : "them"} again, which comes to the same root, and back up to a new folder`, json);
    return { json, lines: ended.length === 0 ? lines : [...lines, `left out, since what they would begin with is lost: ${named(ended)}`] };
  },
};

export const restoreCommand: CommandDefinition<ArchiveOptions> = {
  name: "restore",
  summary: "prove a backup and bring it into a cluster or store",
  examples: ["populace restore ./backup-1 --nats nats://127.0.0.1:4222", "populace restore ./backup-1 --store ./restored"],
  configure: (command) => withNatsConnection(command.argument("<folder>", "what backup wrote"))
    .option("--store <folder>", "a store of this machine instead of a cluster")
    .option("--replicas <number>", "copies of every stream over the NATS servers, as its coordinators were told (default: 1)", whole(1, 5))
    .option("--tenant <name>", `into whose (default: ${DEFAULT_TENANT}, of a store ${LOCAL_TENANT})`, tenantName),
  async run(_context, options) {
    const { restore } = await import("@populace/coordinator");
    return answer("restored from", options.folder, await withPorts(options, true, (ports, tenant) => restore(ports, options.folder, tenant)));
  },
};

/** States in which a run has no results, and whose loss is none. */
const ENDED = ["canceled", "failed"];
const named = (runs: ArchiveSummary["leftOut"]): string => runs.map(({ run, state }) => `run ${run.slice(0, 12)} (${state})`).join(", ");

function answer(verb: string, folder: string, summary: ArchiveSummary): CommandResult {
  return {
    json: { ...summary, folder },
    lines: [
      `${count(summary.runs.length)} runs with ${count(summary.commits)} commits and ${count(summary.releases)} releases of tenant ${summary.tenant}, ${count(summary.blobs)} blobs, ${compact(summary.bytes)}B ${verb} ${paint("bold", folder)}`,
      "every hash, every chain of roots and all sums agree; `populace replay RUN` computes a run again",
    ],
  };
}
