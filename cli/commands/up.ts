import { whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { paint } from "../output.ts";

interface UpOptions {
  readonly model?: string;
  readonly campaigns?: string;
  readonly port: number;
  readonly host: string;
  readonly store: string;
  readonly requireConsent?: boolean;
  readonly force?: boolean;
}

/** How often the store is asked for a newer release: a decision may be as old as this. */
const REFRESH_MS = 2_000;

export const upCommand: CommandDefinition<UpOptions> = {
  name: "up",
  summary: "everything in one process: the store, and decisions over HTTP",
  examples: ["populace up --model model.json --campaigns campaigns.yaml", "populace up --port 0        # serves the release last committed to ./.populace"],
  configure: (command) => command
    .option("--model <file>", "commit this model's rates as the release to serve (default: serve the last release)")
    .option("--campaigns <file>", "campaigns the gateway holds, so that requests may leave them out")
    .option("--port <number>", "where to listen; 0 takes a free port", whole(0, 65_535), 8080)
    .option("--host <name>", "address to listen on; put authentication in front before opening it to a network", "127.0.0.1")
    .option("--store <folder>", "where releases and outcomes are kept", ".populace")
    .option("--force", "release a model whose calibration record is missing or failed")
    .option("--require-consent", "decide only for recipients who bring a permission"),
  async run(context, options) {
    const { startGateway } = await import("@populace/gateway");
    const { readModel } = await import("@populace/studies");
    const { embeddedRunner } = await import("../embedded.ts");
    const { commitRelease, committedModel, committedRelease } = await import("../release.ts");
    const { readCampaigns } = await import("../campaign-file.ts");
    const { sampleRequest } = await import("../sample-request.ts");
    const campaigns = options.campaigns === undefined ? [] : readCampaigns(options.campaigns);
    const model = options.model === undefined ? null : readModel(options.model);
    const runner = embeddedRunner({ storeDir: options.store });
    try {
      const ports = await runner.ports();
      if (model !== null) await commitRelease(ports, model, options.force === true, (note) => context.say(paint("yellow", note)));
      const gateway = await startGateway({
        loadTable: () => committedRelease(ports), loadModel: (release) => committedModel(ports, release), refreshMs: REFRESH_MS, store: ports.store, campaigns, port: options.port, host: options.host, requireConsent: options.requireConsent === true,
      });
      try {
        const release = await committedRelease(ports);
        context.say(`listening on ${paint("bold", gateway.url)}, store ${options.store}`);
        if (release === null) context.say(paint("yellow", "no release yet: decisions answer UNAVAILABLE until `populace up --model MODEL` commits one"));
        else {
          context.say(`serving ${release.model}, version ${release.version}, evidence ${release.evidence}, release ${release.release.slice(0, 16)}`);
          context.say(`try:\n  curl -s ${gateway.url}/v1/prioritize -H 'content-type: application/json' -d '${JSON.stringify(sampleRequest(release, campaigns)).replaceAll("'", "'\\''")}'`);
        }
        context.say("Ctrl-C stops it");
        await new Promise<void>((resolve) => {
          if (context.signal.aborted) resolve();
          else context.signal.addEventListener("abort", () => resolve(), { once: true });
        });
        return { json: { url: gateway.url, release: release?.release ?? null, store: options.store, stopped: true }, lines: ["stopped; outcomes and the release stay in the store"] };
      } finally {
        await gateway.close();
      }
    } finally {
      await runner.close();
    }
  },
};
