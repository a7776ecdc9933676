import { PopulaceError } from "@populace/domain";
import { systemClock } from "../clock.ts";
import { openStore } from "../embedded/store.ts";
import { IO_LIMITS } from "../limits.ts";
import { memoryStore } from "../memory/store.ts";
import type { Ports, Store } from "../ports.ts";
import { filtersMeet } from "../subject.ts";
import { blobStream, createBlobs } from "./blobs.ts";
import { createBus } from "./bus.ts";
import { type LinkOptions, type NatsCounters, openLink } from "./link.ts";
import { CURSOR_STREAM, createLog } from "./log.ts";
import { REGISTRY_STREAM, createRegistry } from "./registry.ts";
import { checkStreams, makeStreams, probeServer, type Stream, type StreamFill, type StreamSpec, streamFill } from "./streams.ts";
import { createWire } from "./wire.ts";

export interface NatsPortsOptions extends LinkOptions {
  /** The streams of the log, by the subjects they hold. */
  readonly streams: readonly StreamSpec[];
  /** Folder of this process's own store; null keeps it in memory. */
  readonly storeDir: string | null;
  /** Bytes of the blobs' stream, as the coordinator makes it. */
  readonly blobBytesMax?: number;
  /** Copies of every stream over the servers of a NATS cluster, as the coordinator makes them; default 1. */
  readonly replicas?: number;
}

/** The ports of one process over NATS, its own store, and what can be seen of the connection. */
export interface NatsPorts extends Ports {
  readonly store: Store;
  readonly connection: NatsConnectionInfo;
  close(): Promise<void>;
}

/** What a health check, a metric or an operator wants to know of the connection. */
export interface NatsConnectionInfo {
  readonly server: () => string;
  readonly version: () => string;
  /** Whether the connection is open and answered lately. */
  readonly isLive: () => boolean;
  readonly counters: Readonly<NatsCounters>;
  /** How full each stream is: writers wait at the limit, so who sets the pace may slow down before it. */
  readonly streams: () => Promise<readonly StreamFill[]>;
  /** Bytes a stream of the log was made with, as a coordinator has read it back; to others, what it is where the server has room. */
  readonly bytesMaxOf: (stream: string) => number;
  /** Resolves when the connection is closed for good: null after `close`, else why. */
  readonly closed: Promise<PopulaceError | null>;
}

/**
 * Opens the ports over NATS: connects, probes the server, then makes the streams (a coordinator) or waits for them, and compares each with what it
 * should be. UNAVAILABLE without a server or without the streams, FORBIDDEN for a wrong credential, SERVER_UNFIT for a server without JetStream, one too
 * old, or a stream that was altered, STORE_FAILED for one without room.
 */
export async function openNatsPorts(options: NatsPortsOptions): Promise<NatsPorts> {
  const link = await openLink(options);
  try {
    const log = options.streams.map((spec) => known(link.cluster, spec, "log"));
    const cursors = known(link.cluster, CURSOR_STREAM, "cursor");
    const registry: Stream = { name: `KV_${link.cluster}_${REGISTRY_STREAM.name}`, prefix: `$KV.${link.cluster}_${REGISTRY_STREAM.name}.`, spec: REGISTRY_STREAM };
    const blobs = known(link.cluster, blobStream(options.blobBytesMax ?? IO_LIMITS.natsBlobStreamBytesMax), "blob");
    assertApart(options.streams);
    const all = [...log, cursors, registry, blobs];
    await probeServer(link);
    const startMs = options.startMs ?? IO_LIMITS.natsStartMs;
    let bytesMax: ReadonlyMap<string, number> = new Map();
    if (options.role === "coordinator") {
      const make = async (): Promise<void> => { bytesMax = await makeStreams(link, all, options.replicas ?? 1, performance.now() + startMs); };
      await make();
      // A server that lost its store comes back without streams.
      link.onAbsent(make);
    } else {
      await checkStreams(link, all, performance.now() + startMs);
    }
    const wire = createWire(link);
    const store = options.storeDir === null ? memoryStore() : openStore(options.storeDir);
    return {
      bus: createBus(link),
      log: createLog(link, wire, log, cursors),
      registry: createRegistry(wire, registry),
      blobs: createBlobs(wire, blobs),
      clock: systemClock,
      store,
      connection: {
        server: () => link.client.getServer(), version: () => link.client.info?.version ?? "?", isLive: () => link.isLive(), counters: link.counters, closed: link.closed,
        bytesMaxOf: (stream) => bytesMax.get(stream) ?? options.streams.find((spec) => spec.name === stream)?.bytesMax ?? 0,
        streams: () => Promise.all(all.map((stream) => streamFill(link, stream))),
      },
      async close() {
        await link.close();
        await store.close();
      },
    };
  } catch (error) {
    await link.close();
    throw error;
  }
}

const known = (cluster: string, spec: StreamSpec, kind: string): Stream => ({ name: `${cluster}_${spec.name}`, prefix: `${cluster}.${kind}.`, spec });

function assertApart(specs: readonly StreamSpec[]): void {
  for (const [index, spec] of specs.entries()) {
    for (const other of specs.slice(index + 1)) {
      const shared = spec.subjects.find((subject) => other.subjects.some((each) => filtersMeet(subject, each)));
      if (shared !== undefined) throw new PopulaceError("INTERNAL", `the streams ${spec.name} and ${other.name} share subjects of ${shared}`, { stream: spec.name });
    }
  }
}
