import { hostname } from "node:os";
import type { Coordinator, CoordinatorMetrics } from "@populace/coordinator";
import { PopulaceError } from "@populace/domain";
import type { Metric } from "@populace/io/status-server";
import { whole } from "../arguments.ts";
import { securityOf, withTlsOptions, type TlsOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { counterMetrics, natsMetrics, natsPortsOf, untilStopped, withNatsOptions, type NatsCommandOptions } from "../nats-options.ts";
import { paint } from "../output.ts";
import { VERSION } from "../version.ts";

interface CoordinatorCommandOptions extends NatsCommandOptions, TlsOptions {
  readonly store: string;
  readonly listen: string;
  readonly advertise?: string;
  readonly replicas: number;
}

/** Lease times by CLUSTER measurements: one server answers at once, three may take seconds to agree on a new leader of theirs. */
const LEASE_TTL_MS = { one: 2000, several: 15_000 } as const;

export const coordinatorCommand: CommandDefinition<CoordinatorCommandOptions> = {
  name: "coordinator",
  summary: "lead a cluster over NATS, or stand by until the leader is lost",
  examples: [
    "populace coordinator --nats nats://127.0.0.1:4222 --store ./coordinator-1",
    "populace coordinator --nats nats://127.0.0.1:4222 --store ./coordinator-2 --listen 127.0.0.1:7601 --metrics :9101",
  ],
  configure: (command) => withTlsOptions(withNatsOptions(command)
    .requiredOption("--store <folder>", "this coordinator's own database; no two share one")
    .option("--listen <host:port>", "where clients and operators call", "127.0.0.1:7600")
    .option("--advertise <host:port>", "how others reach it, where that is not what it listens on")
    .option("--replicas <number>", "copies of every stream over the NATS servers; above 1 a lost leader is noticed after 15 s instead of 2", whole(1, 5), 1)),
  async run(context, options) {
    const { claimProcess, createLogger } = await import("@populace/io");
    const { serveGrpc } = await import("@populace/io/rpc");
    const { startStatusServer } = await import("@populace/io/status-server");
    const { startCoordinator } = await import("@populace/coordinator");
    const { controlService } = await import("@populace/coordinator/control");
    const logger = createLogger("coordinator", process.env["POPULACE_LOG"] ?? "info");
    const { tenant } = options;
    const ports = await natsPortsOf(options, "coordinator", `coordinator ${options.listen}`, logger, { storeDir: options.store, replicas: options.replicas });
    const stops: (() => Promise<unknown>)[] = [() => ports.close()];
    try {
      stops.push(await claimProcess(ports.store, `coordinator ${tenant}`, `the store ${options.store}`));
      let coordinator: Coordinator | null = null;
      const coordinatorOf = (asked: string): { readonly coordinator: Coordinator; readonly tenant: string } => {
        if (asked !== "" && asked !== tenant) throw new PopulaceError("NOT_FOUND", `this coordinator serves tenant ${tenant}, not ${asked.slice(0, 64)}; leave --tenant out or call another`, { tenant: asked });
        if (coordinator === null) throw new PopulaceError("UNAVAILABLE", "the coordinator is starting; call again", { address: "" });
        return { coordinator, tenant };
      };
      const server = await serveGrpc({ listen: options.listen, services: [controlService({ coordinatorOf, ports, version: VERSION })], logger, ...securityOf(options) });
      stops.push(() => server.close());
      const address = options.advertise ?? server.address.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, hostname());
      const leads = await startCoordinator({ ports, tenant, logger, holder: `coordinator-${address}`, address, leaseTtlMs: options.replicas > 1 ? LEASE_TTL_MS.several : LEASE_TTL_MS.one });
      coordinator = leads;
      stops.push(() => leads.close());
      if (options.metrics !== undefined) {
        const status = await startStatusServer({
          listen: options.metrics,
          metrics: () => [...coordinatorMetrics(leads.metrics(), tenant), ...natsMetrics(ports)],
          health: () => ({ isOk: true, reason: leads.role }),
          readiness: () => {
            if (!ports.connection.isLive()) return { isOk: false, reason: "NATS does not answer" };
            if (leads.role === "leader") return { isOk: true, reason: `leads with term ${leads.term}` };
            const leader = leads.leader();
            return leader === null ? { isOk: false, reason: "nobody is known to lead" } : { isOk: true, reason: `follows ${leader.holder}` };
          },
        });
        stops.push(() => status.close());
        context.say(`metrics, health and readiness at ${status.url}`);
      }
      context.say(`coordinator of tenant ${paint("bold", tenant)} at ${paint("bold", address)}, store ${options.store}, NATS ${ports.connection.server()} ${ports.connection.version()}`);
      context.say("Ctrl-C hands the lead over and stops it");
      await untilStopped(context.signal, ports);
      return { json: { tenant, address, stopped: true }, lines: ["stopped; what was committed stays"] };
    } finally {
      for (const stop of stops.toReversed()) await stop();
    }
  },
};

function coordinatorMetrics({ role, term, view, members, runs, counters }: CoordinatorMetrics, tenant: string): readonly Metric[] {
  const gauge = (name: string, help: string, value: number): Metric => ({ name: `populace_coordinator_${name}`, help, kind: "gauge", samples: [{ labels: { tenant }, value }] });
  return [
    gauge("leads", "Whether this coordinator leads its tenant.", role === "leader" ? 1 : 0), gauge("term", "Term of the lead as this coordinator knows it.", term), gauge("view", "Number of the view.", view), gauge("nodes", "Nodes of the view.", members),
    { name: "populace_coordinator_runs", help: "Runs by state.", kind: "gauge", samples: Object.entries(runs).map(([state, value]) => ({ labels: { tenant, state }, value })) },
    ...counterMetrics("populace_coordinator", "this coordinator", { ...counters }),
  ];
}
