// The coordinator of `populace coordinator` on the same ports, stopped or killed by its own hand at a point that signals from outside hit by luck only.
//   node trapped-coordinator.ts NATS_URL STORE HOST:PORT SIGNAL before-flush|after-flush|after-append COMMITS
import { writeSync } from "node:fs";
import { startCoordinator } from "@populace/coordinator";
import { controlService } from "@populace/coordinator/control";
import { claimProcess, createLogger, type Ports, type Store } from "@populace/io";
import { openNatsPorts } from "@populace/io/nats";
import { serveGrpc } from "@populace/io/rpc";
import { STREAM_TABLE } from "@populace/protocol";

const TENANT = "default";
const [url, storeDir, listen, signal, point, after] = process.argv.slice(2);
const logger = createLogger("coordinator", "warn");
const opened = await openNatsPorts({ servers: [url], name: `coordinator ${listen}`, role: "coordinator", streams: STREAM_TABLE, storeDir, logger });
await claimProcess(opened.store, `coordinator ${TENANT}`, storeDir);

/** Commits appended so far; the trap is set after `after` of them, and springs once. */
let appended = 0, isSprung = false;
function spring(at: string): void {
  if (at !== point || appended < Number(after) || isSprung) return;
  isSprung = true;
  writeSync(1, `trap sprung ${at}\n`);
  process.kill(process.pid, signal);
}
const store: Store = {
  ...opened.store,
  async flushed() {
    spring("before-flush");
    await opened.store.flushed();
    spring("after-flush");
  },
};
const ports: Ports & { readonly store: Store } = {
  ...opened, store,
  log: {
    ...opened.log,
    async append(subject, bytes, expectedLast) {
      const result = await opened.log.append(subject, bytes, expectedLast);
      if (!subject.endsWith(".commit")) return result;
      appended += 1;
      spring("after-append");
      return result;
    },
  },
};

let coordinator: Awaited<ReturnType<typeof startCoordinator>> | null = null;
const server = await serveGrpc({ listen, services: [controlService({ coordinatorOf: () => ({ coordinator: coordinator!, tenant: TENANT }), ports, version: "0.1.0" })], logger });
coordinator = await startCoordinator({ ports, tenant: TENANT, logger, holder: `coordinator-${server.address}`, address: server.address });
writeSync(1, `coordinator at ${server.address}, store ${storeDir}\n`);
process.on("SIGTERM", () => void coordinator.close().then(() => server.close()).then(() => opened.close()).then(() => process.exit(0)));
