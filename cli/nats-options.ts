import type { Command } from "commander";
import { PopulaceError } from "@populace/domain";
import type { Logger } from "@populace/io";
import type { Metric } from "@populace/io/status-server";
import type { NatsPorts, NatsPortsOptions, NatsRole } from "@populace/io/nats";
import { list } from "./arguments.ts";

/** Tenant of a cluster that nobody named one for. */
export const DEFAULT_TENANT = "default";

/** Where NATS is and who a process is to it. */
export interface NatsConnectionOptions {
  readonly nats: readonly string[];
  readonly natsSeed?: string;
  readonly natsCa?: string;
  readonly natsCert?: string;
  readonly natsKey?: string;
}

/** Options of every command that is a process of the cluster. */
export interface NatsCommandOptions extends NatsConnectionOptions {
  readonly metrics?: string;
}

const NATS_OPTION = ["--nats <urls>", "NATS servers, with commas between them, such as nats://127.0.0.1:4222", list] as const;

/** Where NATS is, for commands that can do without. */
export const withNatsConnection = (command: Command): Command => withCredentials(command.option(...NATS_OPTION));

/** Options of every process that stays. */
export const withNatsOptions = (command: Command): Command => withCredentials(command.requiredOption(...NATS_OPTION))
  .option("--metrics <host:port>", "serve /metrics, /healthz and /readyz there; :9100 listens on every address");

const withCredentials = (command: Command): Command => command
  .option("--nats-seed <file>", "seed file of this process's nkey; or put USER:PASSWORD into the address")
  .option("--nats-ca <file>", "authority of the servers' certificates")
  .option("--nats-cert <file>", "certificate to show to the servers")
  .option("--nats-key <file>", "its key");

export function tenantName(text: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(text)) throw new PopulaceError("BAD_USAGE", `--tenant "${text.slice(0, 80)}": expected 1 to 64 letters, digits, "_" and "-"`, { tenant: text });
  return text;
}

/** Opens the ports over NATS in the given role; errors name the server and the fix. */
export async function natsPortsOf(options: NatsConnectionOptions, role: NatsRole, name: string, logger: Logger, more: Pick<NatsPortsOptions, "storeDir"> & Partial<NatsPortsOptions>): Promise<NatsPorts> {
  const { openNatsPorts } = await import("@populace/io/nats");
  const { STREAM_TABLE } = await import("@populace/protocol");
  const servers = options.nats.map((url) => url.replace(/\/\/[^@/]*@/, "//"));
  const login = options.nats.map((url) => /\/\/([^:@/]+):([^@/]*)@/.exec(url)).find((match) => match !== null);
  const { natsSeed, natsCa, natsCert, natsKey } = options;
  return openNatsPorts({
    servers, role, name, streams: STREAM_TABLE, logger, ...more,
    ...(natsSeed !== undefined ? { credentials: { nkeySeedFile: natsSeed } } : login !== undefined ? { credentials: { user: decodeURIComponent(login[1]), password: decodeURIComponent(login[2]) } } : {}),
    ...(natsCa === undefined && natsCert === undefined ? {} : { tls: { ...(natsCa === undefined ? {} : { caFile: natsCa }), ...(natsCert === undefined ? {} : { certFile: natsCert }), ...(natsKey === undefined ? {} : { keyFile: natsKey }) } }),
  });
}

/** Name of a counter as Prometheus has it: commitsRepaired becomes commits_repaired_total. */
export const counterName = (name: string): string => `${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;

/** What is to be seen of the connection to NATS. */
export const natsMetrics = ({ connection }: NatsPorts): readonly Metric[] => [
  { name: "populace_nats_live", help: "Whether the connection to NATS is open and answered lately.", kind: "gauge", samples: [{ value: connection.isLive() ? 1 : 0 }] },
  ...Object.entries(connection.counters).map(([name, value]): Metric => ({ name: `populace_nats_${counterName(name)}`, help: `${name} of the connection to NATS, since it started.`, kind: "counter", samples: [{ value }] })),
];

/** Resolves when the process is told to stop; rejects when the connection to NATS ends for good. */
export function untilStopped(signal: AbortSignal, ports: NatsPorts): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
    void ports.connection.closed.then((why) => { if (why !== null) reject(why); });
  });
}
