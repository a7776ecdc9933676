import { Option, type Command } from "commander";
import { PopulaceError } from "@populace/domain";
import type { ClusterClient } from "./cluster-client.ts";
import { list } from "./arguments.ts";
import type { CommandContext } from "./command.ts";
import { paint } from "./output.ts";

/** Options of mutual TLS, of whichever side. */
export interface TlsOptions {
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecure?: boolean;
}

/** Options of every command that speaks to a cluster. */
export interface ClusterCommandOptions extends TlsOptions {
  readonly cluster?: readonly string[];
  readonly tenant?: string;
}

export const withTlsOptions = (command: Command): Command => command
  .addOption(new Option("--tls-ca <file>", "certificate of the authority that both sides' certificates are of").env("POPULACE_TLS_CA"))
  .addOption(new Option("--tls-cert <file>", "this side's certificate").env("POPULACE_TLS_CERT"))
  .addOption(new Option("--tls-key <file>", "its key").env("POPULACE_TLS_KEY"))
  .option("--insecure", "plain text beyond this machine, on a network that you trust");

export const withClusterOptions = (command: Command): Command => withTlsOptions(command
  .option("--cluster <host:port>", "a coordinator, or several with commas between them (default: POPULACE_CLUSTER)", list)
  .option("--tenant <name>", "whose cluster (default: the coordinator's own)"));

/** Options of a command that computes here, or as a job of a cluster where one is named on the command line. */
export const withJobOptions = (command: Command): Command => withTlsOptions(command
  .option("--cluster <host:port>", "compute as a job of this cluster, to which the files are sent (POPULACE_CLUSTER alone sends nothing)", list)
  .option("--tenant <name>", "whose cluster (default: the coordinator's own)"));

export function securityOf(options: TlsOptions): { readonly tls?: { readonly caFile: string; readonly certFile: string; readonly keyFile: string }; readonly isInsecure?: boolean } {
  const { tlsCa, tlsCert, tlsKey } = options;
  const given = [tlsCa, tlsCert, tlsKey].filter((file) => file !== undefined).length;
  if (given !== 0 && given !== 3) throw new PopulaceError("BAD_USAGE", "mutual TLS needs all of --tls-ca, --tls-cert and --tls-key", {});
  return { ...(given === 3 ? { tls: { caFile: tlsCa!, certFile: tlsCert!, keyFile: tlsKey! } } : {}), ...(options.insecure === true ? { isInsecure: true } : {}) };
}

/** The coordinators that the command line or the environment names; null when neither does. */
export function addressesOf(options: ClusterCommandOptions): readonly string[] | null {
  if (options.cluster !== undefined) return options.cluster;
  const stated = process.env["POPULACE_CLUSTER"];
  return stated === undefined || stated.trim() === "" ? null : list(stated);
}

/** Opens the cluster that the options name, does the work, and closes it. BAD_USAGE when they name none. */
export async function withCluster<T>(context: Pick<CommandContext, "say" | "signal">, options: ClusterCommandOptions, work: (cluster: ClusterClient) => Promise<T>): Promise<T> {
  const addresses = addressesOf(options);
  if (addresses === null) throw new PopulaceError("BAD_USAGE", "which cluster? name a coordinator with --cluster HOST:PORT, or in POPULACE_CLUSTER", {});
  const { openCluster } = await import("./cluster-client.ts");
  const cluster = openCluster({
    addresses, signal: context.signal, onNote: (note) => context.say(paint("dim", note)), ...securityOf(options),
    ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
  });
  try {
    return await work(cluster);
  } finally {
    cluster.close();
  }
}
