import { join } from "node:path";
import { oneOf, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { VERSION } from "../version.ts";
import { compact, count, duration, evidence, paint, plain, rateText, shortened, table } from "../output.ts";
import { withRunner } from "../with-runner.ts";

interface SimulateOptions {
  readonly model: string;
  readonly study?: string;
  readonly agents?: number;
  readonly ticks?: number;
  readonly workers?: number;
  readonly shards?: number;
  readonly population?: "stored" | "procedural";
  readonly backend?: "reference";
  readonly store: string;
  readonly out?: string;
  readonly fresh?: boolean;
}

export const simulateCommand: CommandDefinition<SimulateOptions> = {
  name: "simulate",
  summary: "rehearse a study on simulated agents",
  examples: [
    "populace simulate --model model.json",
    "populace simulate --model model.json --study study.yaml --agents 1e6 --ticks 30 --workers 2",
  ],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .option("--study <file>", "YAML or JSON: what to rehearse; without it each stimulus in a world of its own")
    .option("--agents <number>", "simulated individuals", whole(1))
    .option("--ticks <number>", "simulated time steps", whole(1))
    .option("--workers <number>", "worker threads; changes no result", whole(1, 256))
    .option("--shards <number>", "parts the population is cut into; changes no result", whole(1, 4096))
    .option("--population <stored|procedural>", "keep the agents in memory or draw them anew each tick; changes no result", oneOf("stored", "procedural"))
    .option("--backend <name>", "kernel backend; changes no result", oneOf("reference"))
    .option("--store <folder>", "where runs are committed and resumed from", ".populace")
    .option("--out <folder>", "where the results go (default: STORE/runs/RUNID)")
    .option("--fresh", "compute again what was already committed"),
  async run(context, options) {
    const { readModel, readStudy, compilePlan, summarizeRun, writeRun } = await import("@populace/studies");
    const { embeddedRunner } = await import("../embedded.ts");
    const { runReport } = await import("../report/from-run.ts");
    const { writeReport } = await import("../report/write.ts");
    const model = readModel(options.model);
    const stated = readStudy(options.study ?? {}, model);
    const study = {
      ...stated,
      agents: options.agents ?? stated.agents, ticks: options.ticks ?? stated.ticks, seed: context.seed ?? stated.seed,
    };
    const plan = compilePlan(model, study);
    const bar = context.progress("simulating", "exposures");
    const runner = embeddedRunner({ storeDir: options.store, onNote: (note) => context.say(paint("dim", note)) });
    const outcome = await withRunner(runner, bar, () => runner(plan, {
      ...(options.workers === undefined ? {} : { workers: options.workers }), ...(options.shards === undefined ? {} : { shards: options.shards }),
      ...(options.population === undefined ? {} : { population: options.population }), ...(options.backend === undefined ? {} : { backend: options.backend }),
    }, {
      signal: context.signal, fresh: options.fresh === true,
      onProgress: ({ exposures, exposuresTotal }) => bar.update(exposures, exposuresTotal),
    }));
    const rates = summarizeRun(model, study, plan, outcome);
    const outDir = options.out ?? join(options.store, "runs", outcome.runId);
    const manifest = writeRun(outDir, { model, study, plan, outcome, rows: rates }, VERSION);
    await writeReport(outDir, await runReport(model, manifest, rates));
    const peakBytes = process.resourceUsage().maxRSS * 1024;
    const shown = shortened(rates, 48, "rates");
    return {
      json: {
        runId: outcome.runId, rootHash: outcome.rootHash, exposures: outcome.exposures, seconds: outcome.seconds, rates,
        backend: outcome.backend, cached: outcome.cached, agents: study.agents, ticks: study.ticks, peakBytes, outDir,
      },
      lines: [
        ...table(
          [{ title: "persona" }, { title: "stimulus" }, { title: "step" }, { title: "rate [90 % interval]", align: "right" }, { title: "ess", align: "right" }, { title: "evidence" }],
          shown.rows.map((rate) => [plain(rate.persona), plain(rate.stimulus), plain(rate.step), rateText(rate), rate.ess === null ? "-" : count(rate.ess), evidence(rate.label)]),
        ),
        ...shown.rest, "",
        `run ${paint("bold", outcome.runId)}${outcome.cached ? " (read back from the store; --fresh computes it again)" : ""}`,
        `root hash ${outcome.rootHash}`,
        `${count(outcome.exposures)} exposures in ${duration(outcome.seconds)}, ${compact(outcome.exposures / Math.max(outcome.seconds, 1e-9))}/s, peak memory ${compact(peakBytes)}B, backend ${outcome.backend}`,
        `results in ${paint("bold", outDir)}; report in ${join(outDir, "report.html")}`,
      ],
    };
  },
};
