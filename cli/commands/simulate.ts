import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Model, Study } from "@populace/studies";
import { BACKEND_NAMES } from "@populace/kernels/names";
import { oneOf, whole } from "../arguments.ts";
import { withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import type { ModelFigures } from "../report/page.ts";
import type { ModelParts } from "../report/report.ts";
import { uncheckedText } from "../report/wording.ts";
import { VERSION } from "../version.ts";
import { compact, count, duration, evidence, paint, plain, rateText, shortened, table } from "../output.ts";
import { runnerOf } from "../runner.ts";
import { withRunner } from "../with-runner.ts";

interface SimulateOptions extends ClusterCommandOptions {
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
  readonly label?: string;
  readonly priority?: number;
}

/** A run with so long to go is not held up by drawing beside it. */
const DRAWING_SECONDS = 1;

export const simulateCommand: CommandDefinition<SimulateOptions> = {
  name: "simulate",
  summary: "rehearse a study on simulated agents",
  examples: [
    "populace simulate --model model.json",
    "populace simulate --model model.json --study study.yaml --agents 1e6 --ticks 30 --workers 2",
    "populace simulate --model model.json --agents 1e9 --ticks 1",
    "populace simulate --model model.json --cluster 127.0.0.1:7600",
  ],
  configure: (command) => withClusterOptions(command
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
    .option("--fresh", "compute again what was already committed")
    .option("--label <text>", "on a cluster: what runs that belong together have in common")
    .option("--priority <number>", "on a cluster: higher ones are given more of it", whole(0, 100))),
  async run(context, options) {
    const note = (text: string): void => { if (text !== "") context.say(paint("dim", text)); };
    const bar = context.progress("simulating", "exposures");
    const runner = await runnerOf(options, context.signal, note, { label: options.label ?? "", priority: options.priority ?? 0 });
    return withRunner(runner, bar, async () => {
      // The workers start and warm up while this thread loads and compiles; not for a file that will turn out to be missing.
      const warming = [options.model, options.study].every((file) => file === undefined || existsSync(file)) ? await runner.warmUp() : null;
      warming?.ready.catch(() => {});
      const { readModel, readStudy, compileStudy, stimuliOf, summarizeRun, unseenNote, unseenStimuli } = await import("@populace/studies");
      const model = readModel(options.model);
      const study = studyOf(readStudy(options.study ?? {}, model), options, context.seed);
      const compiled = compileStudy(model, study);
      note(compiled.note);
      const inUse = await (warming ?? await runner.warmUp()).ready;
      note(`backend ${inUse.backend}: ${inUse.reason}`);
      // What the report shows of the model alone is drawn while the workers compute.
      let drawing: ReturnType<typeof drawnModel> | null = null;
      const draw = (): ReturnType<typeof drawnModel> => (drawing ??= drawnModel(model));
      const { population } = options;
      const outcome = await runner(compiled.plan, {
        ...(options.shards === undefined ? {} : { shards: options.shards }), ...(options.workers === undefined ? {} : { workers: options.workers }), ...(population === "stored" || population === "procedural" ? { population } : {}),
      }, {
        signal: context.signal, fresh: options.fresh === true,
        onProgress({ exposures, exposuresTotal }) {
          bar.update(exposures, exposuresTotal);
          if (exposuresTotal - exposures > DRAWING_SECONDS * inUse.exposuresPerSecond) draw().catch(() => {});
        },
      });
      // A cached run was computed earlier, another one by what the node ended with.
      const backendReason = outcome.cached ? "read back from the store" : outcome.backend === inUse.backend ? inUse.reason : `the run began on ${inUse.backend}, which failed: ${inUse.reason}`;
      const { writeRun } = await import("@populace/studies/results");
      const rates = summarizeRun(model, study, compiled.plan, outcome);
      const outDir = options.out ?? join(options.store, "runs", outcome.runId);
      const manifest = writeRun(outDir, { model, study, plan: compiled.plan, outcome, rows: rates, backendReason }, VERSION);
      const { parts, figures } = await draw();
      const { runReport } = await import("../report/from-run.ts");
      const { writeReport } = await import("../report/write.ts");
      await writeReport(outDir, runReport(model, parts, manifest, rates), figures);
      const peakBytes = process.resourceUsage().maxRSS * 1024;
      // From the start of the process: set-up, warm-up, the run, intervals, files.
      const secondsTotal = performance.now() / 1000;
      const shown = shortened(rates, 48, "rates"), unseen = unseenStimuli(model, stimuliOf(model, study));
      return {
        json: {
          runId: outcome.runId, rootHash: outcome.rootHash, exposures: outcome.exposures, seconds: outcome.seconds, rates,
          exposuresPerSecond: outcome.exposures / Math.max(outcome.seconds, 1e-9), secondsTotal, peakBytes,
          backend: outcome.backend, backendReason, calibratedExposuresPerSecond: inUse.exposuresPerSecond, cached: outcome.cached, uncheckedFrom: outcome.uncheckedFrom,
          agents: study.agents, ticks: study.ticks, population: compiled.form, formDifference: compiled.formDifference, outDir, unseen,
        },
        lines: [
          ...table(
            [{ title: "persona" }, { title: "stimulus" }, { title: "step" }, { title: "rate [90 % interval]", align: "right" }, { title: "ess", align: "right" }, { title: "evidence" }],
            shown.rows.map((rate) => [plain(rate.persona), plain(rate.stimulus), plain(rate.step), rateText(rate), rate.ess === null ? "-" : count(rate.ess), evidence(rate.label)]),
          ),
          ...shown.rest, ...unseen.map((each) => `${plain(each.stimulus)}: ${unseenNote(each)}`), "",
          `run ${paint("bold", outcome.runId)}${outcome.cached ? " (read back from the store; --fresh computes it again)" : ""}`,
          `root hash ${outcome.rootHash}`, ...(outcome.uncheckedFrom === null ? [] : [`unchecked ${uncheckedText(outcome.uncheckedFrom)}`]),
          `${count(outcome.exposures)} exposures in ${duration(outcome.seconds)}, ${compact(outcome.exposures / Math.max(outcome.seconds, 1e-9))}/s, backend ${outcome.backend}`,
          `${duration(secondsTotal)} in all from the start of the process, warm-up and files included${outcome.cached ? "" : ` (${compact(outcome.exposures / secondsTotal)}/s)`}; peak memory ${compact(peakBytes)}B`,
          `results in ${paint("bold", outDir)}; report in ${join(outDir, "report.html")}`,
        ],
      };
    });
  },
};

/** The study with what the command line says of it. */
function studyOf(stated: Study, options: SimulateOptions, seed: number | null): Study {
  const { population = stated.population.form } = options;
  // Agents that are to be kept are coded ones; drawing anew leaves the form to the study.
  const form = population === "stored" ? "coded" : population === "procedural" ? stated.population.form : population;
  return { ...stated, agents: options.agents ?? stated.agents, ticks: options.ticks ?? stated.ticks, seed: seed ?? stated.seed, population: { ...stated.population, form } };
}

/** What the report shows of the model alone, as data and as figures. */
async function drawnModel(model: Model): Promise<{ readonly parts: ModelParts; readonly figures: ModelFigures }> {
  const { modelParts } = await import("../report/model-parts.ts");
  const { drawModel } = await import("../report/page.ts");
  // Loaded here, while the workers compute, for what follows the run.
  await import("@populace/studies/results");
  const parts = modelParts(model);
  return { parts, figures: await drawModel(parts) };
}
