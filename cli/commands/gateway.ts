import { PopulaceError } from "@populace/domain";
import { LIMITS } from "@populace/protocol/limits";
import { positive, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { DEFAULT_TENANT, natsMetrics, natsPortsOf, tenantName, withNatsConnection, type NatsConnectionOptions } from "../nats-options.ts";
import { paint } from "../output.ts";

interface GatewayCommandOptions extends NatsConnectionOptions {
  readonly tenant: string;
  readonly store: string;
  readonly port: number;
  readonly host: string;
  readonly campaigns?: string;
  readonly requireConsent?: boolean;
  readonly staleMax?: number;
  readonly ledgerHorizon: number;
}

/** One attempt to connect; the next one follows. A stop that falls into it waits as long. */
const CONNECT_MS = 3000;

export const gatewayCommand: CommandDefinition<GatewayCommandOptions> = {
  name: "gateway",
  summary: "serve the releases of a cluster over HTTP, and take its real outcomes",
  examples: [
    "populace gateway --nats nats://127.0.0.1:4222 --store ./gateway-1",
    "populace gateway --nats nats://127.0.0.1:4222 --store ./gateway-1 --campaigns campaigns.yaml --stale-max 3600",
  ],
  configure: (command) => withNatsConnection(command)
    .option("--tenant <name>", "whose releases it serves", tenantName, DEFAULT_TENANT)
    .requiredOption("--store <folder>", "this gateway's own database: the last release, and outcomes until they are counted; no two share one")
    .option("--port <number>", "where to listen; 0 takes a free port", whole(0, 65_535), 8080)
    .option("--host <name>", "address to listen on; put authentication in front before opening it to a network", "127.0.0.1")
    .option("--campaigns <file>", "campaigns the gateway holds, so that requests may leave them out")
    .option("--require-consent", "decide only for recipients who bring a permission")
    .option("--stale-max <seconds>", "not ready when no leader has confirmed the release for so long (default: it stays ready)", positive)
    .option("--ledger-horizon <days>", "as the coordinators have it: how long the ids of outcomes are known; outcomes of older days are refused", whole(1, 36_500), LIMITS.ledgerHorizonDays),
  async run(context, options) {
    if (options.nats === undefined) throw new PopulaceError("BAD_USAGE", "which cluster? name its NATS servers with --nats nats://HOST:PORT", {});
    const { claimProcess, createLogger, openStore } = await import("@populace/io");
    const { metricsText } = await import("@populace/io/status-server");
    const { linkCluster, startGateway } = await import("@populace/gateway");
    const { readCampaigns } = await import("../campaign-file.ts");
    const logger = createLogger("gateway", process.env["POPULACE_LOG"] ?? "info");
    const campaigns = options.campaigns === undefined ? [] : readCampaigns(options.campaigns);
    const store = openStore(options.store);
    const stops: (() => Promise<unknown>)[] = [() => store.close()];
    try {
      stops.push(await claimProcess(store, "gateway", `the store ${options.store}`));
      let nats: Awaited<ReturnType<typeof natsPortsOf>> | null = null;
      const link = linkCluster({
        store, tenant: options.tenant, logger, horizonDays: options.ledgerHorizon,
        open: async () => (nats = await natsPortsOf(options, "gateway", `gateway ${options.host}:${options.port}`, logger, { storeDir: null, startMs: CONNECT_MS })),
      });
      stops.push(() => link.close());
      // A wrong credential or an unfit server ends the start, unless there is something to serve meanwhile.
      const refused = new Promise<never>((_, reject) => { link.connected.catch((error: unknown) => { if (link.release() === null) reject(error as Error); }); });
      const gateway = await Promise.race([refused, startGateway({
        cluster: link, loadModel: (release) => Promise.resolve(link.modelText(release)), store, campaigns, port: options.port, host: options.host, requireConsent: options.requireConsent === true, logger,
        ...(options.staleMax === undefined ? {} : { staleSecondsMax: options.staleMax }), moreMetrics: async () => (nats === null ? "" : metricsText(natsMetrics(nats))),
      })]);
      stops.push(() => gateway.close());
      const release = link.release();
      context.say(`gateway of tenant ${paint("bold", options.tenant)} listening on ${paint("bold", gateway.url)}, store ${options.store}`);
      context.say(release === null ? "no release yet: decisions answer UNAVAILABLE until `populace release --model MODEL` announces one" : `serving release ${release.number} (${release.table.model}, version ${release.table.version}) while the cluster is asked for a newer one`);
      context.say("Ctrl-C stops it; outcomes that are not counted yet stay in its store");
      await Promise.race([refused, new Promise<void>((resolve) => {
        if (context.signal.aborted) resolve();
        else context.signal.addEventListener("abort", () => resolve(), { once: true });
      })]);
      return { json: { url: gateway.url, release: link.release()?.number ?? 0, outcomesWaiting: link.waiting(), store: options.store, stopped: true }, lines: [`stopped; ${link.waiting()} outcomes wait in the store`] };
    } finally {
      for (const stop of stops.toReversed()) await stop();
    }
  },
};
