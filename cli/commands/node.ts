import { randomUUID } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import type { RunningNode } from "@populace/agent-runtime";
import { BACKEND_NAMES } from "@populace/kernels/names";
import { oneOf, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { DEFAULT_TENANT, natsMetrics, natsPortsOf, tenantName, untilStopped, withNatsOptions, type NatsCommandOptions } from "../nats-options.ts";
import { compact, paint } from "../output.ts";

interface NodeCommandOptions extends NatsCommandOptions {
  readonly tenant: string;
  readonly workers?: number;
  readonly backend?: string;
  readonly allowBehaviors?: boolean;
}

export const nodeCommand: CommandDefinition<NodeCommandOptions> = {
  name: "node",
  summary: "compute for a cluster over NATS",
  examples: ["populace node --nats nats://127.0.0.1:4222", "populace node --nats nats://127.0.0.1:4222 --workers 8 --metrics :9100"],
  configure: (command) => withNatsOptions(command)
    .option("--tenant <name>", "whose runs it computes", tenantName, DEFAULT_TENANT)
    .option("--workers <number>", "worker threads (default: the machine's cores)", whole(1, 256))
    .option("--backend <name>", `kernel backend: auto, ${BACKEND_NAMES.join(", ")}`, oneOf("auto", ...BACKEND_NAMES))
    .option("--allow-behaviors", "run behaviors, which are foreign code, in processes without files or network"),
  async run(context, options) {
    const { createLogger } = await import("@populace/io");
    const { startStatusServer } = await import("@populace/io/status-server");
    const { startNode } = await import("@populace/agent-runtime");
    const { JOB_NAMES } = await import("@populace/studies");
    const { VIEW_RECORD, viewKey } = await import("@populace/protocol");
    const logger = createLogger("node", process.env["POPULACE_LOG"] ?? "info");
    const { tenant } = options;
    const workers = options.workers ?? availableParallelism();
    const ports = await natsPortsOf(options, "node", `node ${hostname()}`, logger, { storeDir: null });
    const stops: (() => Promise<unknown> | void)[] = [() => ports.close()];
    let exposuresBefore = 0;
    try {
      let current: { readonly node: RunningNode; calibrated: number | null; isMember: boolean } | null = null;
      if (options.metrics !== undefined) {
        const status = await startStatusServer({
          listen: options.metrics,
          metrics: () => [
            { name: "populace_node_exposures_total", help: "Exposures computed.", kind: "counter", samples: [{ value: exposuresBefore + (current?.node.exposures() ?? 0) }] },
            { name: "populace_node_workers", help: "Worker threads.", kind: "gauge", samples: [{ value: workers }] },
            { name: "populace_node_calibrated_exposures_per_second", help: "Speed of all workers as it was measured at the start; 0 before.", kind: "gauge", samples: [{ value: current?.calibrated ?? 0 }] },
            { name: "populace_node_member", help: "Whether the leader has this node in its view.", kind: "gauge", samples: [{ value: current?.isMember === true ? 1 : 0 }] },
            ...natsMetrics(ports),
          ],
          health: () => ({ isOk: true, reason: current?.node.incarnation ?? "starting" }),
          readiness: () => {
            if (current === null || current.calibrated === null) return { isOk: false, reason: "the backend is being measured" };
            if (!ports.connection.isLive()) return { isOk: false, reason: "NATS does not answer" };
            return current.isMember ? { isOk: true, reason: "member of the view" } : { isOk: false, reason: "no leader has heard this node yet" };
          },
        });
        stops.push(() => status.close());
        context.say(`metrics, health and readiness at ${status.url}`);
      }
      // A member of the view has been heard by whoever leads.
      stops.push(ports.registry.watch(viewKey(tenant), (_, entry) => {
        if (current === null) return;
        const was = current.isMember;
        current.isMember = entry !== null && VIEW_RECORD.decode(entry.bytes).members.includes(current.node.incarnation);
        if (current.isMember && !was) context.say(`${paint("green", "joined")} the cluster of tenant ${tenant}`);
      }));
      for (;;) {
        const node = startNode({ ports, incarnation: randomUUID(), workers, tenant, logger, allowBehaviors: options.allowBehaviors === true, jobs: { names: JOB_NAMES, thread: new URL(import.meta.resolve("@populace/studies/job-thread")) }, ...(options.backend === undefined ? {} : { backend: options.backend }) });
        const life = { node, calibrated: null as number | null, isMember: false };
        current = life;
        context.say(`node ${paint("bold", node.incarnation)}, ${workers} workers, NATS ${ports.connection.server()} ${ports.connection.version()}; Ctrl-C drains it`);
        let ended: Awaited<typeof node.ended>;
        try {
          const { backend, reason, exposuresPerSecond } = await Promise.race([node.ready, node.ended.then(() => ({ backend: "none", reason: "it ended before it was measured", exposuresPerSecond: 0 }))]);
          life.calibrated = exposuresPerSecond;
          context.say(`backend ${paint("bold", backend)} (${reason}), ${compact(exposuresPerSecond)} exposures/s calibrated`);
          ended = await Promise.race([node.ended, untilStopped(context.signal, ports).then(async () => {
            context.say("draining: shards are handed over at the next barrier; Ctrl-C again exits at once");
            await node.drain();
            return node.ended;
          })]);
        } catch (error) {
          await node.stop();
          throw error;
        }
        exposuresBefore += node.exposures();
        if (ended !== "dead") return { json: { incarnation: node.incarnation, tenant, workers, exposures: exposuresBefore, ended }, lines: [`${ended} after ${compact(exposuresBefore)} exposures`] };
        context.say(paint("yellow", `node ${node.incarnation} was declared dead by the leader; it joins again as a new one`));
      }
    } finally {
      for (const stop of stops.toReversed()) await stop();
    }
  },
};
