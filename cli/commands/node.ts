import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { BACKEND_NAMES } from "@populace/kernels/names";
import { oneOf, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { natsMetrics, natsPortsOf, untilStopped, withNatsOptions, type NatsCommandOptions } from "../nats-options.ts";
import { compact, paint } from "../output.ts";

interface NodeCommandOptions extends NatsCommandOptions {
  readonly workers?: number;
  readonly backend?: string;
}

export const nodeCommand: CommandDefinition<NodeCommandOptions> = {
  name: "node",
  summary: "compute for a cluster over NATS",
  examples: ["populace node --nats nats://127.0.0.1:4222", "populace node --nats nats://127.0.0.1:4222 --workers 8 --metrics :9100"],
  configure: (command) => withNatsOptions(command)
    .option("--workers <number>", "worker threads (default: the machine's cores)", whole(1, 256))
    .option("--backend <name>", `kernel backend: auto, ${BACKEND_NAMES.join(", ")}`, oneOf("auto", ...BACKEND_NAMES)),
  async run(context, options) {
    const { createLogger } = await import("@populace/io");
    const { startStatusServer } = await import("@populace/io/status-server");
    const { startNode } = await import("@populace/agent-runtime");
    const { VIEW_RECORD, viewKey } = await import("@populace/protocol");
    const logger = createLogger("node", process.env["POPULACE_LOG"] ?? "info");
    const { tenant } = options;
    const incarnation = randomUUID(), workers = options.workers ?? availableParallelism();
    const ports = await natsPortsOf(options, "node", `node ${incarnation}`, logger, { storeDir: null });
    const stops: (() => Promise<unknown> | void)[] = [() => ports.close()];
    try {
      // A member of the view has been heard by whoever leads.
      let isMember = false, calibrated: Awaited<typeof node.ready> | null = null;
      stops.push(ports.registry.watch(viewKey(tenant), (_, entry) => {
        const was = isMember;
        isMember = entry !== null && VIEW_RECORD.decode(entry.bytes).members.includes(incarnation);
        if (isMember && !was) context.say(`${paint("green", "joined")} the cluster of tenant ${tenant}`);
      }));
      const node = startNode({ ports, incarnation, workers, tenant, logger, ...(options.backend === undefined ? {} : { backend: options.backend }) });
      stops.push(() => node.stop());
      if (options.metrics !== undefined) {
        const status = await startStatusServer({
          listen: options.metrics,
          metrics: () => [
            { name: "populace_node_exposures_total", help: "Exposures computed.", kind: "counter", samples: [{ value: node.exposures() }] },
            { name: "populace_node_workers", help: "Worker threads.", kind: "gauge", samples: [{ value: workers }] },
            { name: "populace_node_calibrated_exposures_per_second", help: "Speed of all workers as it was measured at the start; 0 before.", kind: "gauge", samples: [{ value: calibrated?.exposuresPerSecond ?? 0 }] },
            { name: "populace_node_member", help: "Whether the leader has this node in its view.", kind: "gauge", samples: [{ value: isMember ? 1 : 0 }] },
            ...natsMetrics(ports),
          ],
          health: () => ({ isOk: true, reason: incarnation }),
          readiness: () => {
            if (calibrated === null) return { isOk: false, reason: "the backend is being measured" };
            if (!ports.connection.isLive()) return { isOk: false, reason: "NATS does not answer" };
            return isMember ? { isOk: true, reason: "member of the view" } : { isOk: false, reason: "no leader has heard this node yet" };
          },
        });
        stops.push(() => status.close());
        context.say(`metrics, health and readiness at ${status.url}`);
      }
      context.say(`node ${paint("bold", incarnation)}, ${workers} workers, NATS ${ports.connection.server()} ${ports.connection.version()}`);
      calibrated = await node.ready;
      context.say(`backend ${paint("bold", calibrated.backend)} (${calibrated.reason}), ${compact(calibrated.exposuresPerSecond)} exposures/s calibrated`);
      context.say("Ctrl-C drains and stops it");
      await untilStopped(context.signal, ports);
      return { json: { incarnation, tenant, workers, exposures: node.exposures(), stopped: true }, lines: [`stopped after ${compact(node.exposures())} exposures`] };
    } finally {
      for (const stop of stops.toReversed()) await stop();
    }
  },
};
