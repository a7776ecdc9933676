import { PopulaceError } from "@populace/domain";
import { nkeys } from "@nats-io/transport-node";
import { inboxOf, type NatsRole } from "./link.ts";
import { CURSOR_STREAM } from "./log.ts";
import { REGISTRY_STREAM } from "./registry.ts";
import { PROBE } from "./streams.ts";

/** What a role may do, in subjects of the ports and names of the log's streams. */
export interface NatsAccess {
  readonly publishes: readonly string[];
  readonly hears: readonly string[];
  readonly writes: readonly string[];
  readonly reads: readonly string[];
  readonly writesRegistry: boolean;
  readonly writesBlobs: boolean;
}

export interface NatsServerConfig {
  readonly serverName: string;
  /** host:port for clients. */
  readonly listen: string;
  /** host:port for `/healthz` and its counts, in plain text. */
  readonly monitor?: string;
  readonly storeDir: string;
  /** Bytes of the JetStream store. */
  readonly fileBytesMax: number;
  /** As in `openNatsPorts`. */
  readonly cluster: string;
  /** Names of the log's streams. */
  readonly streams: readonly string[];
  /** Public nkeys and what they may do. */
  readonly users: readonly { readonly publicKey: string; readonly role: NatsRole; readonly access: NatsAccess }[];
  /** An operator, who alone may alter or delete streams; without one nobody may. */
  readonly operatorKey?: string;
  /** The server's own certificate; with `caFile` clients must show one too. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly caFile?: string };
  /** The servers of a NATS cluster; with `caFile` they show one another the certificate of `tls`, and let nobody else in. */
  readonly routes?: { readonly listen: string; readonly servers: readonly string[]; readonly caFile?: string };
  /** Flush every message to disk before it is acknowledged. Servers before 2.10 do not start with it. */
  readonly flushesAlways?: boolean;
}

/** A new key of a process: the seed goes into its own file, the public key into the server's configuration. */
export function createNatsKey(): { readonly seed: string; readonly publicKey: string } {
  const pair = nkeys.createUser();
  return { seed: Buffer.from(pair.getSeed()).toString(), publicKey: pair.getPublicKey() };
}

/** The public key that belongs to a seed. CORRUPT when it is none. */
export function natsPublicKey(seed: string): string {
  try {
    return nkeys.fromSeed(Buffer.from(seed.trim())).getPublicKey();
  } catch (cause) {
    throw new PopulaceError("CORRUPT", "a seed file holds no nkey seed; remove it to have a new one made, which every process that used it then needs", {}, cause);
  }
}

/**
 * The text of a nats-server configuration in which each role may do what its access says and no more: it publishes its own subjects, reads streams
 * through consumers of its own, and only a coordinator makes and purges streams. Nobody but the operator alters or deletes one.
 */
export function natsServerConfig(config: NatsServerConfig): string {
  const { tls, routes } = config;
  const operator = config.operatorKey === undefined ? [] : [`    { nkey: ${config.operatorKey} }`];
  return [
    `server_name: ${quoted(config.serverName)}`,
    `listen: ${quoted(config.listen)}`,
    ...(config.monitor === undefined ? [] : [`http: ${quoted(config.monitor)}`]),
    "jetstream {",
    `  store_dir: ${quoted(config.storeDir)}`,
    `  max_file_store: ${config.fileBytesMax}`,
    // Without it an acknowledged message may be in memory for two minutes, and lost with the power.
    ...(config.flushesAlways === true ? ["  sync_interval: always"] : []),
    "}",
    ...(tls === undefined ? [] : ["tls {", `  cert_file: ${quoted(tls.certFile)}`, `  key_file: ${quoted(tls.keyFile)}`, ...(tls.caFile === undefined ? [] : [`  ca_file: ${quoted(tls.caFile)}`, "  verify: true"]), "}"]),
    ...(routes === undefined ? [] : [
      "cluster {", `  name: ${quoted(config.cluster)}`, `  listen: ${quoted(routes.listen)}`, `  routes: [${routes.servers.map(quoted).join(", ")}]`,
      ...(tls === undefined || routes.caFile === undefined ? [] : [`  tls { cert_file: ${quoted(tls.certFile)}, key_file: ${quoted(tls.keyFile)}, ca_file: ${quoted(routes.caFile)}, verify: true }`]),
      "}",
    ]),
    "authorization {",
    "  users: [",
    ...operator,
    ...config.users.flatMap(({ publicKey, role, access }) => {
      const { publish, subscribe } = permissions(config, role, access);
      return ["    {", `      nkey: ${publicKey}`, "      permissions {", `        publish: { allow: [${publish.map(quoted).join(", ")}] }`, `        subscribe: { allow: [${subscribe.map(quoted).join(", ")}] }`, "      }", "    }"];
    }),
    "  ]",
    "}",
    "",
  ].join("\n");
}

function permissions({ cluster, streams }: NatsServerConfig, role: NatsRole, access: NatsAccess): { readonly publish: readonly string[]; readonly subscribe: readonly string[] } {
  const registry = `KV_${cluster}_${REGISTRY_STREAM.name}`, cursors = `${cluster}_${CURSOR_STREAM.name}`, blobs = `${cluster}_BLOB`;
  const all = [...streams.map((stream) => `${cluster}_${stream}`), registry, cursors, blobs];
  const isCoordinator = role === "coordinator";
  const read = isCoordinator ? all : [...access.reads.map((stream) => `${cluster}_${stream}`), registry, blobs];
  return {
    publish: [
      `${cluster}.pulse.>`,
      ...access.publishes.map((filter) => `${cluster}.bus.${filter}`),
      ...access.writes.map((filter) => `${cluster}.log.${filter}`),
      ...(access.writesRegistry ? [`$KV.${cluster}_${REGISTRY_STREAM.name}.>`] : []),
      ...(access.writesBlobs ? [`${cluster}.blob.>`] : []),
      ...(isCoordinator ? [`${cluster}.cursor.>`, ...all.flatMap((stream) => [`$JS.API.STREAM.CREATE.${stream}`, `$JS.API.STREAM.PURGE.${stream}`]), `$JS.API.STREAM.CREATE.${cluster}_${PROBE}`, `$JS.API.STREAM.DELETE.${cluster}_${PROBE}`] : []),
      "$JS.API.INFO",
      ...all.map((stream) => `$JS.API.STREAM.INFO.${stream}`),
      ...read.flatMap((stream) => [
        `$JS.API.STREAM.MSG.GET.${stream}`, `$JS.API.CONSUMER.CREATE.${stream}`, `$JS.API.CONSUMER.CREATE.${stream}.>`, `$JS.API.CONSUMER.INFO.${stream}.*`,
        `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`, `$JS.API.CONSUMER.DELETE.${stream}.*`,
      ]),
      "$JS.ACK.>",
    ],
    subscribe: [`${cluster}.pulse.>`, `${inboxOf(cluster, role)}.>`, ...access.hears.map((filter) => `${cluster}.bus.${filter}`)],
  };
}

const quoted = (text: string): string => JSON.stringify(text);
