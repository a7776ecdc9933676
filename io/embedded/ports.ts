import { systemClock } from "../clock.ts";
import { SILENT, type Logger } from "../logging.ts";
import { memoryStore } from "../memory/store.ts";
import type { Blobs, Bus, Clock, Log, Ports, Registry, Store } from "../ports.ts";
import { createBlobs } from "./blobs.ts";
import { createBus } from "./bus.ts";
import { createLog } from "./log.ts";
import { createRegistry } from "./registry.ts";
import { openStore } from "./store.ts";

/** All ports of one process over one store, and the store itself for the coordinator's own tables. */
export interface EmbeddedPorts extends Ports {
  readonly bus: Bus;
  readonly log: Log;
  readonly registry: Registry;
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly store: Store;
  close(): Promise<void>;
}

/** Embedded twins over LMDB in `folder`: everything but the bus survives the process. */
export const openEmbeddedPorts = (folder: string, logger: Logger = SILENT): EmbeddedPorts => over(openStore(folder), logger);

/** The same twins over a store in memory: nothing survives. */
export const memoryPorts = (logger: Logger = SILENT): EmbeddedPorts => over(memoryStore(), logger);

function over(store: Store & { close(): Promise<void> }, logger: Logger): EmbeddedPorts {
  return {
    bus: createBus(logger),
    log: createLog(store, logger),
    registry: createRegistry(store, logger),
    blobs: createBlobs(store),
    clock: systemClock,
    store,
    close: () => store.close(),
  };
}
