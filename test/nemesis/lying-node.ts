// A node as `populace node` starts it, but for its kernel, which errs in one bit of every block's output and is sure of it.
//   node lying-node.ts NATS_URL INCARNATION
import { writeSync } from "node:fs";
import { startNode, startWorkersInline } from "@populace/agent-runtime";
import { createLogger } from "@populace/io";
import { openNatsPorts } from "@populace/io/nats";
import { openBackend } from "@populace/kernels/backends";
import { STREAM_TABLE } from "@populace/protocol";

const [url, incarnation] = process.argv.slice(2);
const logger = createLogger("node", "warn");
const { kernels } = await openBackend("wasm", "expose");
const ports = await openNatsPorts({ servers: [url], name: `node ${incarnation}`, role: "node", streams: STREAM_TABLE, storeDir: null, logger });
const node = startNode({
  ports, incarnation, workers: 1, backend: "wasm", logger,
  startPool: (size) => startWorkersInline(size, {
    // As fast as others say they are, or it would be given no shards.
    kernel: kernels.expose, exposuresPerSecond: 1e8, pace: () => new Promise(setImmediate),
    answer(message) {
      if (message.kind === "computed") for (const { hashes } of message.hashes) hashes[40] ^= 1;
      return message;
    },
  }),
});
await node.ready;
writeSync(1, `node ${incarnation} lies\n`);
process.on("SIGTERM", () => void node.stop().then(() => ports.close()).then(() => process.exit(0)));
