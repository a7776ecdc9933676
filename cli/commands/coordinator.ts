import { hostname } from "node:os";
import type { Coordinator, CoordinatorMetrics } from "@populace/coordinator";
import { PopulaceError } from "@populace/domain";
import type { Metric } from "@populace/io/status-server";
import { LIMITS } from "@populace/protocol/limits";
import { list, share, whole } from "../arguments.ts";
import { securityOf, withTlsOptions, type TlsOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { DEFAULT_TENANT, counterName, natsMetrics, natsPortsOf, tenantName, untilStopped, withNatsOptions, type NatsCommandOptions } from "../nats-options.ts";
import { paint } from "../output.ts";
import { VERSION } from "../version.ts";

interface CoordinatorCommandOptions extends NatsCommandOptions, TlsOptions {
  readonly tenant: readonly string[];
  readonly store: string;
  readonly listen: string;
  readonly advertise?: string;
  readonly replicas: number;
  readonly doubleRuns: number;
  readonly ledgerHorizon: number;
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
    .option("--tenant <names>", "whom it serves, with commas between them; all share its turns", (text) => list(text).map(tenantName), [DEFAULT_TENANT])
    .requiredOption("--store <folder>", "this coordinator's own database; no two share one")
    .option("--listen <host:port>", "where clients and operators call", "127.0.0.1:7600")
    .option("--advertise <host:port>", "how others reach it, where that is not what it listens on")
    .option("--replicas <number>", "copies of every stream over the NATS servers; above 1 a lost leader is noticed after 15 s instead of 2", whole(1, 5), 1)
    .option("--double-runs <share>", "share of the blocks that are computed again on a second node and compared, 0 to 1", share, 0.01)
    .option("--ledger-horizon <days>", "how long the ids of real outcomes are remembered; outcomes of older days are refused", whole(1, 36_500), LIMITS.ledgerHorizonDays)),
  async run(context, options) {
    const { claimProcess, createLogger } = await import("@populace/io");
    const { serveGrpc } = await import("@populace/io/rpc");
    const { startStatusServer } = await import("@populace/io/status-server");
    const { boundsFor, createTurns, startCoordinator } = await import("@populace/coordinator");
    const { slotBytesMaxOf } = await import("@populace/protocol");
    const { controlService } = await import("@populace/coordinator/control");
    const logger = createLogger("coordinator", process.env["POPULACE_LOG"] ?? "info");
    const tenants = [...new Set(options.tenant)];
    const ports = await natsPortsOf(options, "coordinator", `coordinator ${options.listen}`, logger, { storeDir: options.store, replicas: options.replicas });
    const stops: (() => Promise<unknown>)[] = [() => ports.close()];
    try {
      stops.push(await claimProcess(ports.store, "coordinator", `the store ${options.store}`));
      const coordinators = new Map<string, Coordinator>();
      const coordinatorOf = (asked: string): { readonly coordinator: Coordinator; readonly tenant: string } => {
        const tenant = asked === "" ? tenants[0] : asked;
        if (!tenants.includes(tenant)) throw new PopulaceError("NOT_FOUND", `this coordinator serves tenant ${tenants.join(", ")}, not ${tenant.slice(0, 64)}`, { tenant });
        const coordinator = coordinators.get(tenant);
        if (coordinator === undefined) throw new PopulaceError("UNAVAILABLE", "the coordinator is starting; call again", { address: "" });
        return { coordinator, tenant };
      };
      const server = await serveGrpc({ listen: options.listen, services: [controlService({ coordinatorOf, ports, version: VERSION })], logger, ...securityOf(options) });
      stops.push(() => server.close());
      const address = options.advertise ?? server.address.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, hostname());
      const turns = createTurns(boundsFor(tenants.length));
      stops.push(() => Promise.all([...coordinators.values()].map((coordinator) => coordinator.close())));
      for (const tenant of tenants) {
        coordinators.set(tenant, await startCoordinator({ ports, tenant, turns, logger, holder: `coordinator-${address}`, address, doubleRunShare: options.doubleRuns, ledgerHorizonDays: options.ledgerHorizon, slotBytesMax: () => slotBytesMaxOf(ports.connection.bytesMaxOf("SLOT")), leaseTtlMs: options.replicas > 1 ? LEASE_TTL_MS.several : LEASE_TTL_MS.one }));
      }
      if (options.metrics !== undefined) {
        const status = await startStatusServer({
          listen: options.metrics,
          metrics: () => [...coordinatorMetrics(new Map([...coordinators].map(([tenant, coordinator]) => [tenant, coordinator.metrics()]))), ...natsMetrics(ports)],
          health: () => ({ isOk: true, reason: [...coordinators].map(([tenant, { role }]) => `${tenant}: ${role}`).join(", ") }),
          readiness: () => {
            if (!ports.connection.isLive()) return { isOk: false, reason: "NATS does not answer" };
            const leaderless = [...coordinators].filter(([, coordinator]) => coordinator.role !== "leader" && coordinator.leader() === null).map(([tenant]) => tenant);
            if (leaderless.length > 0) return { isOk: false, reason: `nobody is known to lead ${leaderless.join(", ")}` };
            return { isOk: true, reason: [...coordinators].map(([tenant, coordinator]) => `${tenant}: ${coordinator.role === "leader" ? `leads with term ${coordinator.term}` : `follows ${coordinator.leader()!.holder}`}`).join(", ") };
          },
        });
        stops.push(() => status.close());
        context.say(`metrics, health and readiness at ${status.url}`);
      }
      context.say(`coordinator of tenant ${paint("bold", tenants.join(", "))} at ${paint("bold", address)}, store ${options.store}, NATS ${ports.connection.server()} ${ports.connection.version()}`);
      context.say("Ctrl-C hands the lead over and stops it");
      await untilStopped(context.signal, ports);
      return { json: { tenants, address, stopped: true }, lines: ["stopped; what was committed stays"] };
    } finally {
      for (const stop of stops.toReversed()) await stop();
    }
  },
};

/** One metric a quantity, one sample a tenant. */
function coordinatorMetrics(all: ReadonlyMap<string, CoordinatorMetrics>): readonly Metric[] {
  const each = (name: string, kind: Metric["kind"], help: string, value: (metrics: CoordinatorMetrics) => number): Metric =>
    ({ name: `populace_coordinator_${name}`, help, kind, samples: [...all].map(([tenant, metrics]) => ({ labels: { tenant }, value: value(metrics) })) });
  const counters = Object.keys([...all.values()][0]?.counters ?? {}) as (keyof CoordinatorMetrics["counters"])[];
  return [
    each("leads", "gauge", "Whether this coordinator leads its tenant.", ({ role }) => (role === "leader" ? 1 : 0)),
    each("term", "gauge", "Term of its lead; 0 while it has none.", ({ term }) => term),
    each("view", "gauge", "Number of the view while it leads.", ({ view }) => view),
    each("nodes", "gauge", "Nodes of the view while it leads.", ({ members }) => members),
    { name: "populace_coordinator_runs", help: "Runs by state.", kind: "gauge", samples: [...all].flatMap(([tenant, { runs }]) => Object.entries(runs).map(([state, value]) => ({ labels: { tenant, state }, value }))) },
    each("suspect_runs", "gauge", "Committed runs that another computation contradicts.", ({ suspectRuns }) => suspectRuns),
    each("release_suspect", "gauge", "Whether the release that production serves rests on a suspect run.", ({ isReleaseSuspect }) => (isReleaseSuspect ? 1 : 0)),
    ...counters.map((name) => each(counterName(name), "counter", `${name} of this coordinator, since it started.`, (metrics) => metrics.counters[name])),
  ];
}
