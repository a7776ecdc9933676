import { join } from "node:path";
import { InvalidArgumentError } from "commander";
import { PopulaceError } from "@populace/domain";
import type { SweepCell } from "@populace/studies/results";
import { whole } from "../arguments.ts";
import { addressesOf, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { combinations, variation, withValue, type Variation } from "../grid.ts";
import { count, duration, paint, plain, rateText, shortened, table } from "../output.ts";
import { runnerOf } from "../runner.ts";
import { withRunner } from "../with-runner.ts";

interface SweepOptions extends ClusterCommandOptions {
  readonly model: string;
  readonly study?: string;
  readonly vary: readonly Variation[];
  readonly step?: string;
  readonly agents?: number;
  readonly store: string;
  readonly out: string;
  readonly label: string;
  readonly fresh?: boolean;
}

/** Runs of a sweep that a cluster has at once; one machine takes one after the other. */
const CELLS_AT_ONCE = 4;
/** Most runs of one sweep. */
const CELLS_MAX = 1000;

const vary = (text: string, before: readonly Variation[] = []): readonly Variation[] => {
  try {
    return [...before, variation(text)];
  } catch (error) {
    throw error instanceof PopulaceError ? new InvalidArgumentError(error.message) : error;
  }
};

export const sweepCommand: CommandDefinition<SweepOptions> = {
  name: "sweep",
  summary: "run a study for every combination of some of its values",
  examples: [
    "populace sweep --model model.json --vary agents=1e4,1e5,1e6",
    "populace sweep --model model.json --study study.yaml --vary pressure.perContact=0,1,2 --vary ticks=10,30 --cluster 127.0.0.1:7600",
  ],
  configure: (command) => withClusterOptions(command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .option("--study <file>", "YAML or JSON: what to rehearse; without it each stimulus in a world of its own")
    .requiredOption("--vary <key=values>", "a value of the study and what it takes, such as ticks=10,30; more than one make a grid", vary)
    .option("--step <name>", "funnel step to draw (default: the last)")
    .option("--agents <number>", "simulated individuals of every run", whole(1))
    .option("--store <folder>", "where runs are committed, on this machine", ".populace")
    .option("--out <folder>", "where sweep.parquet and sweep.html go", "sweep")
    .option("--label <text>", "what the runs have in common on a cluster", "sweep")
    .option("--fresh", "compute again what was already committed")),
  async run(context, options) {
    const { compileStudy, readDocument, readModel, readStudy, summarizeRun } = await import("@populace/studies");
    const { sweepParquet } = await import("@populace/studies/results");
    const { writeFileAtomic } = await import("@populace/io");
    const model = readModel(options.model);
    const paths = options.vary.map((each) => each.path);
    const grid = combinations(options.vary);
    if (grid.length > CELLS_MAX) throw new PopulaceError("TOO_LARGE", `the grid has ${count(grid.length)} runs; at most ${count(CELLS_MAX)} are begun at once: vary fewer values`, { runs: grid.length, limit: CELLS_MAX });
    const step = options.step ?? model.response.steps.at(-1)!.name;
    if (!model.response.steps.some(({ name }) => name === step)) throw new PopulaceError("BAD_USAGE", `--step ${step}: the model has ${model.response.steps.map(({ name }) => name).join(", ")}`, { step });
    const stated = options.study === undefined ? {} : readDocument(options.study, "BAD_STUDY").value;
    // All cells are read before the first one runs: a misspelled path is refused at once.
    const studies = grid.map((values) => {
      const document = values.reduce<unknown>((so, value, index) => withValue(so, paths[index], value), stated) as object;
      const study = readStudy(document, model);
      return { ...study, agents: options.agents ?? study.agents, seed: context.seed ?? study.seed };
    });
    const bar = context.progress("sweeping", "runs");
    const runner = await runnerOf(options, context.signal, () => {}, { label: options.label });
    const startedMs = performance.now();
    const cells = await withRunner(runner, bar, async () => {
      const done: SweepCell[] = [];
      let next = 0, finished = 0;
      const work = async (): Promise<void> => {
        for (let index = next++; index < grid.length; index = next++) {
          const { plan } = compileStudy(model, studies[index]);
          const outcome = await runner(plan, {}, { signal: context.signal, fresh: options.fresh === true });
          done[index] = { values: grid[index], runId: outcome.runId, rootHash: outcome.rootHash, rows: summarizeRun(model, studies[index], plan, outcome) };
          bar.update((finished += 1), grid.length);
        }
      };
      await Promise.all(Array.from({ length: addressesOf(options) === null ? 1 : CELLS_AT_ONCE }, work));
      return done;
    });

    const files = { table: join(options.out, "sweep.parquet"), page: join(options.out, "sweep.html") };
    writeFileAtomic(files.table, sweepParquet(paths, cells));
    const everybody = cells.flatMap((cell) => cell.rows.filter((row) => row.persona === "*" && row.step === step).map((row) => ({ cell, row })));
    const { stimulusNames } = await import("../names.ts");
    const { sweepFigure } = await import("../report/sweep-figure.ts");
    const { tablePage } = await import("../report/page.ts");
    const { warningsOf } = await import("../report/from-run.ts");
    const names = stimulusNames(model);
    const points = everybody.map(({ cell, row }) => ({ at: cell.values, stimulus: names.get(row.stimulus) ?? row.stimulus, mean: row.mean, low: row.low, high: row.high }));
    writeFileAtomic(files.page, tablePage({
      title: `Sweep: ${paths.join(", ")}`, subtitle: `${model.name}, version ${model.version}: ${grid.length} runs`, warnings: warningsOf(model),
      provenance: [["model", `${model.name}, version ${model.version}, ${model.evidence}`], ["varied", options.vary.map((each) => `${each.path} = ${each.values.join(", ")}`).join("; ")]],
    }, [await sweepFigure(step, paths, points)], { title: `All ${cells.length} runs`, columns: [...paths, "run", "root hash"], rows: cells.map((cell) => [...cell.values.map(String), cell.runId, cell.rootHash]) }, "Every run by itself gives the same root hash on any machine."));
    const shown = shortened(everybody, 48, "rates");
    return {
      json: { paths, step, seconds: (performance.now() - startedMs) / 1000, ...files, cells: cells.map((cell) => ({ values: cell.values, runId: cell.runId, rootHash: cell.rootHash, rates: cell.rows.filter((row) => row.persona === "*") })) },
      lines: [
        ...table(
          [...paths.map((title) => ({ title })), { title: "stimulus" }, { title: `${step} [90 % interval]`, align: "right" as const }, { title: "run" }],
          shown.rows.map(({ cell, row }) => [...cell.values.map((value) => plain(String(value))), plain(names.get(row.stimulus) ?? row.stimulus), rateText(row), cell.runId.slice(0, 12)]),
        ),
        ...shown.rest, "",
        `${count(grid.length)} runs in ${duration((performance.now() - startedMs) / 1000)}; all rates in ${paint("bold", files.table)}, drawn in ${paint("bold", files.page)}`,
      ],
    };
  },
};
