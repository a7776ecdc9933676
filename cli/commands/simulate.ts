import { join } from "node:path";
import { BACKEND_NAMES } from "@populace/kernels/names";
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
  readonly population?: "auto" | "coded" | "factor" | "stored" | "procedural";
  readonly backend?: string;
  readonly force?: boolean;
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
    "populace simulate --model model.json --agents 1e9 --ticks 1",
  ],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .option("--study <file>", "YAML or JSON: what to rehearse; without it each stimulus in a world of its own")
    .option("--agents <number>", "simulated individuals", whole(1))
    .option("--ticks <number>", "simulated time steps", whole(1))
    .option("--workers <number>", "worker threads; changes no result", whole(1, 256))
    .option("--shards <number>", "parts the population is cut into; changes no result", whole(1, 4096))
    .option("--population <form>", "auto, coded or factor: how agents are drawn, as population.form of a study; stored or procedural: keep coded agents in memory or draw them anew, which changes no result", oneOf("auto", "coded", "factor", "stored", "procedural"))
    .option("--backend <name>", `kernel backend, which changes no result: auto, ${BACKEND_NAMES.join(", ")}`, oneOf("auto", ...BACKEND_NAMES))
    .option("--force", "begin a run that will take longer than two hours")
    .option("--store <folder>", "where runs are committed and resumed from", ".populace")
    .option("--out <folder>", "where the results go (default: STORE/runs/RUNID)")
    .option("--fresh", "compute again what was already committed"),
  async run(context, options) {
    const { readModel, readStudy, compileStudy, summarizeRun, writeRun } = await import("@populace/studies");
    const { embeddedRunner } = await import("../embedded.ts");
    const { runReport } = await import("../report/from-run.ts");
    const { writeReport } = await import("../report/write.ts");
    const model = readModel(options.model);
    const stated = readStudy(options.study ?? {}, model);
    const { population } = options;
    const held = population === "stored" || population === "procedural" ? population : undefined;
    // Agents that are to be kept are coded ones.
    const form = population === "stored" ? "coded" : population === undefined || population === "procedural" ? stated.population.form : population;
    const study = {
      ...stated,
      agents: options.agents ?? stated.agents, ticks: options.ticks ?? stated.ticks, seed: context.seed ?? stated.seed, population: { ...stated.population, form },
    };
    const note = (text: string): void => { if (text !== "") context.say(paint("dim", text)); };
    const bar = context.progress("simulating", "exposures");
    const runner = embeddedRunner({
      storeDir: options.store, onNote: note, force: options.force === true,
      ...(options.workers === undefined ? {} : { workers: options.workers }), ...(options.backend === undefined ? {} : { backend: options.backend }),
    });
    const { compiled, outcome, inUse } = await withRunner(runner, bar, async () => {
      // The workers start and warm up while this thread compiles the study.
      const warming = runner.warmUp();
      warming.catch(() => {});
      const made = compileStudy(model, study);
      note(made.note);
      const used = await warming;
      note(`backend ${used.backend}: ${used.reason}`);
      const ran = await runner(made.plan, {
        ...(options.shards === undefined ? {} : { shards: options.shards }), ...(held === undefined ? {} : { population: held }),
      }, {
        signal: context.signal, fresh: options.fresh === true,
        onProgress: ({ exposures, exposuresTotal }) => bar.update(exposures, exposuresTotal),
      });
      return { compiled: made, outcome: ran, inUse: used };
    });
    const { plan } = compiled;
    const rates = summarizeRun(model, study, plan, outcome);
    const outDir = options.out ?? join(options.store, "runs", outcome.runId);
    const manifest = writeRun(outDir, { model, study, plan, outcome, rows: rates, backendReason: inUse.reason }, VERSION);
    await writeReport(outDir, await runReport(model, manifest, rates));
    const peakBytes = process.resourceUsage().maxRSS * 1024;
    // From the start of the process: set-up, warm-up, the run, intervals, files.
    const secondsTotal = performance.now() / 1000;
    const shown = shortened(rates, 48, "rates");
    return {
      json: {
        runId: outcome.runId, rootHash: outcome.rootHash, exposures: outcome.exposures, seconds: outcome.seconds, rates,
        exposuresPerSecond: outcome.exposures / Math.max(outcome.seconds, 1e-9), secondsTotal, peakBytes,
        backend: outcome.backend, backendReason: inUse.reason, calibratedExposuresPerSecond: inUse.exposuresPerSecond, cached: outcome.cached,
        agents: study.agents, ticks: study.ticks, population: compiled.form, formDifference: compiled.formDifference, outDir,
      },
      lines: [
        ...table(
          [{ title: "persona" }, { title: "stimulus" }, { title: "step" }, { title: "rate [90 % interval]", align: "right" }, { title: "ess", align: "right" }, { title: "evidence" }],
          shown.rows.map((rate) => [plain(rate.persona), plain(rate.stimulus), plain(rate.step), rateText(rate), rate.ess === null ? "-" : count(rate.ess), evidence(rate.label)]),
        ),
        ...shown.rest, "",
        `run ${paint("bold", outcome.runId)}${outcome.cached ? " (read back from the store; --fresh computes it again)" : ""}`,
        `root hash ${outcome.rootHash}`,
        `${count(outcome.exposures)} exposures in ${duration(outcome.seconds)}, ${compact(outcome.exposures / Math.max(outcome.seconds, 1e-9))}/s, backend ${outcome.backend}`,
        `${duration(secondsTotal)} in all from the start of the process, warm-up and files included${outcome.cached ? "" : ` (${compact(outcome.exposures / secondsTotal)}/s)`}; peak memory ${compact(peakBytes)}B`,
        `results in ${paint("bold", outDir)}; report in ${join(outDir, "report.html")}`,
      ],
    };
  },
};
