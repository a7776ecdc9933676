import { chmodSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PopulaceError } from "@populace/domain";
import { list, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";

interface KeysOptions {
  readonly out: string;
  readonly nats: readonly string[];
  readonly coordinators: readonly string[];
  readonly mount: string;
  readonly natsStore: string;
  readonly days: number;
  readonly oldNats?: boolean;
}

/** Ports of a NATS server: clients, other servers, its own health and counts. */
const NATS_PORTS = { clients: 4222, servers: 6222, monitor: 8222 } as const;
/** Who speaks to NATS; a client reads there what it backs up. */
const NATS_ROLES = ["coordinator", "node", "gateway", "client"] as const;
/** Cursors and registry, beside the streams whose limits are known here. */
const NATS_SPARE_BYTES = 256 * 1024 * 1024;

export const keysCommand: CommandDefinition<KeysOptions> = {
  name: "keys",
  summary: "keys, certificates and NATS configuration of a cluster, a folder for each role",
  examples: [
    "populace keys --out secrets",
    "populace keys --out secrets --nats nats-0.nats,nats-1.nats,nats-2.nats --coordinators coordinator-0.coordinator,coordinator-1.coordinator",
  ],
  configure: (command) => command
    .requiredOption("--out <folder>", "where to write; keys that are there already are kept, certificates made anew")
    .option("--nats <hosts>", "hosts of the NATS servers, as others reach them", list, ["nats-1", "nats-2", "nats-3"])
    .option("--coordinators <hosts>", "hosts of the coordinators, as others reach them", list, ["coordinator-1", "coordinator-2"])
    .option("--mount <folder>", "where a NATS server will find its folder", "/run/secrets/populace")
    .option("--nats-store <folder>", "where a NATS server keeps its streams", "/data")
    .option("--days <number>", "how long the certificates hold", whole(1, 3650), 365)
    .option("--old-nats", "for servers before 2.10, which do not know sync_interval: what they acknowledge may be lost with the power"),
  async run(_, options) {
    const { IO_LIMITS, makeFolder, writeFileAtomic } = await import("@populace/io");
    const { createNatsKey, natsPublicKey, natsServerConfig } = await import("@populace/io/nats");
    const { STREAM_TABLE, accessOf } = await import("@populace/protocol");
    const { createAuthority, issueCertificate } = await import("../certificates.ts");
    const nowMs = Date.now();
    const written: string[] = [];
    const write = (path: string, text: string, isSecret = false): void => {
      const file = join(options.out, path);
      writeFileAtomic(file, text);
      if (isSecret) chmodSync(file, 0o600);
      written.push(path);
    };
    const kept = (path: string): string | null => (existsSync(join(options.out, path)) ? readFileSync(join(options.out, path), "utf8") : null);
    for (const folder of ["operator", "nats", "coordinator", "node", "gateway", "client"]) {
      makeFolder(join(options.out, folder));
      chmodSync(join(options.out, folder), 0o700);
    }

    const authority = async (name: string): Promise<Awaited<ReturnType<typeof createAuthority>>> => {
      const certificate = kept(`operator/${name}-ca.crt`), key = kept(`operator/${name}-ca.key`);
      if (certificate !== null && key !== null) return { certificate, key };
      if (certificate !== null || key !== null) throw new PopulaceError("FILE_MISSING", `${options.out}/operator holds only one of ${name}-ca.crt and ${name}-ca.key; bring the other back, or make all keys anew in an empty folder`, { folder: options.out });
      const made = await createAuthority(`Populace ${name}`, nowMs);
      write(`operator/${name}-ca.crt`, made.certificate);
      write(`operator/${name}-ca.key`, made.key, true);
      return made;
    };
    const natsKey = (path: string): string => {
      const seed = kept(path);
      if (seed !== null) return natsPublicKey(seed);
      const made = createNatsKey();
      write(path, `${made.seed}\n`, true);
      return made.publicKey;
    };
    // Two authorities: a NATS server's certificate opens no door of the coordinators.
    const nats = await authority("nats"), control = await authority("control");
    const certify = async (folder: string, of: typeof nats, hosts: readonly string[]): Promise<void> => {
      const { certificate, key } = await issueCertificate(of, { name: folder, hosts, days: options.days, nowMs });
      write(`${folder}/ca.crt`, of.certificate);
      write(`${folder}/tls.crt`, certificate);
      write(`${folder}/tls.key`, key, true);
    };
    await certify("nats", nats, [...options.nats, "localhost", "127.0.0.1"]);
    await certify("coordinator", control, [...options.coordinators, "localhost", "127.0.0.1"]);
    await certify("client", control, []);
    for (const role of NATS_ROLES) write(`${role}/nats-ca.crt`, nats.certificate);

    const file = (name: string): string => join(options.mount, name);
    write("nats/nats.conf", natsServerConfig({
      serverName: options.nats[0], listen: `0.0.0.0:${NATS_PORTS.clients}`, monitor: `0.0.0.0:${NATS_PORTS.monitor}`, storeDir: options.natsStore, cluster: "populace",
      fileBytesMax: STREAM_TABLE.reduce((sum, stream) => sum + stream.bytesMax, IO_LIMITS.natsBlobStreamBytesMax + NATS_SPARE_BYTES),
      streams: STREAM_TABLE.map((stream) => stream.name),
      users: NATS_ROLES.map((role) => ({ publicKey: natsKey(`${role}/nats.seed`), role, access: accessOf(role) })),
      operatorKey: natsKey("operator/nats.seed"),
      tls: { certFile: file("tls.crt"), keyFile: file("tls.key") },
      flushesAlways: options.oldNats !== true,
      ...(options.nats.length === 1 ? {} : { routes: { listen: `0.0.0.0:${NATS_PORTS.servers}`, caFile: file("ca.crt"), servers: options.nats.map((host) => `nats-route://${host}:${NATS_PORTS.servers}`) } }),
    }));
    return {
      json: { folder: options.out, written },
      lines: [
        `wrote ${written.length} files under ${options.out}; each process gets the folder of its role and no other`,
        "operator/ signs and repairs: keep it off the cluster's machines",
        `certificates hold for ${options.days} days; the same command again makes them anew and keeps the keys`,
      ],
    };
  },
};
