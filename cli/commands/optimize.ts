import { join } from "node:path";
import { BANDIT_NAMES } from "@populace/domain";
import type { BanditName } from "@populace/domain";
import { BACKEND_NAMES } from "@populace/kernels/names";
import { oneOf, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { amount, count, duration, paint, percent, plain, table } from "../output.ts";
import { personaNames } from "../names.ts";
import { withRunner } from "../with-runner.ts";

interface OptimizeOptions {
  readonly model: string;
  readonly study?: string;
  readonly method: BanditName;
  readonly replicates: number;
  readonly out?: string;
  readonly step?: string;
  readonly batch?: number;
  readonly rounds?: number;
  readonly workers?: number;
  readonly backend?: string;
  readonly store: string;
}

export const optimizeCommand: CommandDefinition<OptimizeOptions> = {
  name: "optimize",
  summary: "search the best stimulus for each persona inside the simulation",
  examples: ["populace optimize --model model.json --study study.yaml", "populace optimize --model model.json --method logistic-thompson --replicates 50 --out search"],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .option("--study <file>", "YAML or JSON: which personas and stimuli")
    .option("--method <name>", `which bandit searches: ${BANDIT_NAMES.join(", ")}`, oneOf(...BANDIT_NAMES), "top-two")
    .option("--replicates <number>", "plays of the method, of random and of best-fixed behind the regret's intervals", whole(0, 1_000), 20)
    .option("--out <folder>", "where to write optimize.html, with the regret curves")
    .option("--step <name>", "funnel step whose responses have the value (default: the last)")
    .option("--batch <number>", "simulated exposures of one round for each persona", whole(10, 10_000_000))
    .option("--rounds <number>", "rounds at most", whole(1, 10_000))
    .option("--workers <number>", "worker threads; changes no result", whole(1, 256))
    .option("--backend <name>", `kernel backend, which changes no result: auto, ${BACKEND_NAMES.join(", ")}`, oneOf("auto", ...BACKEND_NAMES))
    .option("--store <folder>", "where runs are committed", ".populace"),
  async run(context, options) {
    const { readModel, readStudy, optimize } = await import("@populace/studies");
    const { embeddedRunner } = await import("../embedded.ts");
    const startedMs = performance.now();
    const model = readModel(options.model);
    const stated = readStudy(options.study ?? {}, model);
    const study = { ...stated, seed: context.seed ?? stated.seed };
    const bar = context.progress("optimizing", "rounds");
    const runner = embeddedRunner({ storeDir: options.store, onNote: (note) => context.say(paint("dim", note)), ...(options.workers === undefined ? {} : { workers: options.workers }), ...(options.backend === undefined ? {} : { backend: options.backend }) });
    const { result, inUse } = await withRunner(runner, bar, async () => {
      const used = await (await runner.warmUp()).ready;
      context.say(paint("dim", `backend ${used.backend}: ${used.reason}`));
      return { inUse: used, result: await optimize(model, study, runner, {
        method: options.method, replicates: options.replicates,
        ...(options.step === undefined ? {} : { step: options.step }), ...(options.batch === undefined ? {} : { batch: options.batch }),
        ...(options.rounds === undefined ? {} : { roundsMax: options.rounds }),
        signal: context.signal, onProgress: ({ round, rounds }) => bar.update(round, rounds),
      }) };
    });
    const page = options.out === undefined ? null : join(options.out, "optimize.html");
    if (page !== null) {
      const { writeFileAtomic } = await import("@populace/io");
      const { optimizePage } = await import("../report/from-optimize.ts");
      writeFileAtomic(page, await optimizePage(model, result, study.seed));
    }
    const names = personaNames(model);
    const minor = model.schema.value?.minorUnits ?? 100;
    const currency = model.schema.value?.currency ?? "";
    return {
      json: { method: result.method, best: result.best, regret: result.regret, baselines: result.baselines, curves: result.curves, replicates: options.replicates, step: result.step, runs: result.runs, ...(page === null ? {} : { page }), backend: inUse.backend, backendReason: inUse.reason, evidence: model.evidence },
      lines: [
        ...table(
          [{ title: "persona" }, { title: "best stimulus" }, { title: "chance best", align: "right" }, { title: `value ${currency}`, align: "right" }, { title: `expected loss ${currency}`, align: "right" }, { title: "exposures", align: "right" }, { title: "settled" }],
          result.best.map((row) => [plain(names.get(row.persona) ?? row.persona), plain(row.stimulus), percent(row.probabilityBest), (row.valueMinor / minor).toFixed(3), (row.expectedLoss / minor).toFixed(4), count(row.exposures), row.settled ? "yes" : paint("yellow", "not yet")]),
        ),
        "",
        ...table(
          [{ title: "policy" }, { title: `value per exposure ${currency}`, align: "right" }, { title: `regret ${currency}`, align: "right" }],
          result.baselines.map((row) => [row.name, (row.valuePerExposure / minor).toFixed(4), amount(row.regret, minor)]),
        ),
        "",
        ...(result.curves.length === 0 ? [] : [...table(
          [{ title: `${options.replicates} replicates of` }, { title: `regret ${currency} [90 % of replicates]`, align: "right" }, { title: `recommended, value ${currency}`, align: "right" }],
          [...result.curves.map((curve) => [curve.policy, `${amount(curve.regret, minor)} [${amount(curve.points.at(-1)!.low, minor)}, ${amount(curve.points.at(-1)!.high, minor)}]`, `${(curve.recommended / minor).toFixed(4)} +- ${(curve.recommendedSe / minor).toFixed(4)}`]), ["oracle", "0", (result.curves[0].oracle / minor).toFixed(4)]],
        ), ""]),
        ...(page === null ? [] : [`regret curves in ${paint("bold", page)}`]),
        `simulated evidence only, ${count(result.regret.at(-1)?.exposures ?? 0)} exposures in ${result.runs.length} rounds, ${duration((performance.now() - startedMs) / 1000)}; what the model does not know shows in “chance best”`,
      ],
    };
  },
};
