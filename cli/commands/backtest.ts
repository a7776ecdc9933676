import { list, whole } from "../arguments.ts";
import type { BacktestResult, Model, ModelCalibration } from "@populace/studies";
import type { CommandDefinition } from "../command.ts";
import { personaNames } from "../names.ts";
import { amount, count, paint, percent, plain, rateText, shortened, sparkline, table } from "../output.ts";
import { OBSERVATIONAL } from "../report/wording.ts";

interface BacktestCommandOptions {
  readonly model: string;
  readonly data: string;
  readonly by?: readonly string[];
  readonly rolling?: number;
  readonly predictions?: string;
  readonly allowSeen?: boolean;
  readonly record?: boolean;
  readonly report?: string;
}

export const backtestCommand: CommandDefinition<BacktestCommandOptions> = {
  name: "backtest",
  summary: "hold predictions against outcomes the model never saw",
  examples: [
    "populace backtest --model model.json --data held-out.csv",
    "populace backtest --model model.json --data held-out.csv --by region,loyalty --predictions predictions.csv",
    "populace backtest --model model.json --data held-out.csv --record --report calibration.html",
  ],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .requiredOption("--data <file>", "rows with outcomes, CSV, CSV.gz or Parquet")
    .option("--by <columns>", "group by these columns instead of by persona", list)
    .option("--rolling <rows>", "refit every so many rows, each predicted before it is seen", whole(1))
    .option("--predictions <file>", "write row,stimulus,step,predicted,low,high for every row and stimulus")
    .option("--record", "write the verdict into the model file: a release asks for it")
    .option("--report <file>", "write a page with a calibration plot for each step and the PIT histogram")
    .option("--allow-seen", "accept rows that were in the fit: the figures then flatter the model"),
  async run(context, options) {
    const { PopulaceError } = await import("@populace/domain");
    if (options.record === true && (options.allowSeen === true || options.rolling !== undefined || options.by !== undefined)) throw new PopulaceError("BAD_USAGE", "--record holds a model against rows it has not seen, persona by persona; it goes with neither --allow-seen, --by nor --rolling");
    const { backtest, columnsToKeep, readDataset, readModel, unseenNote, unseenStimuli, writeModel } = await import("@populace/studies");
    const model = readModel(options.model);
    const reading = context.progress("reading", "B");
    const dataset = await readDataset(model.schema, options.data, {
      ...(options.by === undefined ? {} : { keep: columnsToKeep(model.schema, options.by) }), nowMs: Date.now(), onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal),
    }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const judging = context.progress("judging", "%");
    const result = context.blocking(() => backtest(model, dataset, {
      ...(options.by === undefined ? {} : { by: options.by }), ...(options.rolling === undefined ? {} : { rolling: options.rolling }),
      ...(options.predictions === undefined ? {} : { predictions: options.predictions }), allowSeen: options.allowSeen === true,
      ...(context.seed === null ? {} : { seed: context.seed }), onProgress: (share) => judging.update(100 * share, 100),
    }));
    judging.stop();
    const names = personaNames(model);
    if (options.record === true) writeModel(options.model, { ...model, calibration: result.calibration });
    if (options.report !== undefined) await writePage(options.report, model, result, names, dataset.path);
    const shown = shortened(result.cells, 40, "cells"), unseen = unseenStimuli(model, dataset.schema.stimulus.stimuli);
    const minor = model.schema.value?.minorUnits ?? 100;
    const percentOf = (value: number): string => `${(100 * value).toFixed(1)} %`;
    return {
      json: { ...result, unseen, rejected: dataset.rejectedCount, noConsent: dataset.noConsent, ...(options.predictions === undefined ? {} : { predictions: options.predictions }) },
      lines: [
        ...(result.evidence === "observational" ? [paint("yellow", OBSERVATIONAL), ""] : []),
        ...table(
          [{ title: "group" }, { title: "stimulus" }, { title: "step" }, { title: "exposures", align: "right" }, { title: "observed", align: "right" }, { title: "predicted [90 % predictive]", align: "right" }, { title: "" }],
          shown.rows.map((cell) => [
            plain(names.get(cell.group) ?? cell.group), plain(cell.stimulus), plain(cell.step), count(cell.exposures), percent(cell.observed), rateText({ mean: cell.predicted, low: cell.low, high: cell.high }),
            cell.observed >= cell.low && cell.observed <= cell.high ? "" : paint("yellow", "outside"),
          ]),
        ),
        ...shown.rest, ...unseen.map((each) => `${plain(each.stimulus)}: ${unseenNote(each)}`), "",
        ...table(
          [{ title: "step" }, { title: "inside 90 %", align: "right" }, { title: "log loss", align: "right" }, { title: "AUC", align: "right" }, { title: "calibration error", align: "right" }],
          result.steps.map((step) => [plain(step.step), percentOf(step.coverage90), step.logLoss.toFixed(4), Number.isNaN(step.auc) ? "-" : step.auc.toFixed(3), step.ece.toFixed(4)]),
        ),
        `outcomes in their predictions: PIT ${sparkline(result.pit.counts)} over ${count(result.pit.cells)} cells, ${percentOf(result.pit.coverage90)} inside their 90 % intervals (uniform with p = ${result.pit.pValue.toPrecision(2)}): ${verdictText(result.calibration)}`,
        ...(options.record === true ? [`recorded in ${paint("bold", options.model)}`] : []), ...(options.report === undefined ? [] : [`page written to ${paint("bold", options.report)}`]),
        ...(result.policies.length === 0 ? [] : ["", ...table(
          [{ title: "policy" }, { title: "step" }, { title: "value", align: "right" }, { title: "se", align: "right" }],
          result.policies.map((policy) => [plain(policy.name), plain(policy.step), policy.value.toFixed(4), policy.se.toFixed(4)]),
        )]),
        ...result.qini.map((row) => `Qini of ${plain(row.stimulus)} on ${plain(row.step)}: ${row.value.toFixed(3)}`),
        ...result.value.map((row) => `value of ${plain(row.stimulus)}: observed ${amount(row.observed, minor)} ± ${amount(row.se, minor)}, predicted ${amount(row.predicted, minor)} [${amount(row.low, minor)}, ${amount(row.high, minor)}] per responder`),
        ...(result.rolling === null ? [] : [`rolling refit every ${count(result.rolling.every)} rows: log loss ${result.rolling.logLoss.toFixed(4)} against ${result.rolling.logLossSingle.toFixed(4)} of a single fit (difference ${result.rolling.difference.toFixed(5)} ± ${result.rolling.se.toFixed(5)})`]),
        `${count(result.rows)} rows judged, ${count(result.seen)} seen in the fit and left out, ${count(dataset.rejectedCount)} rejected`,
      ],
    };
  },
};

const verdictText = ({ verdict, reason }: ModelCalibration): string => (verdict === "passed" ? paint("green", "calibrated") : paint("yellow", `${verdict}: ${reason}`));

async function writePage(path: string, model: Model, result: BacktestResult, names: ReadonlyMap<string, string>, against: string): Promise<void> {
  const { writeFileAtomic } = await import("@populace/io");
  const { calibrationPlot } = await import("../report/figures.ts");
  const { pitHistogram } = await import("../report/evidence-figures.ts");
  const { warningsOf } = await import("../report/from-run.ts");
  const { runPage } = await import("../report/page.ts");
  const figures = [
    await calibrationPlot({ against: "rows the model has not seen", coverage90: result.coverage90, cells: result.cells.map((cell) => ({ ...cell, group: names.get(cell.group) ?? cell.group })) }),
    await pitHistogram(result.pit),
  ];
  writeFileAtomic(path, await runPage({
    title: `Backtest: ${model.name}`, subtitle: `Version ${model.version} against ${count(result.rows)} rows`, warnings: warningsOf(model), roots: [],
    tiles: [
      ...result.steps.map((step) => ({ label: `${step.step}: inside 90 %`, value: `${(100 * step.coverage90).toFixed(0)} %`, note: `log loss ${step.logLoss.toFixed(4)}, calibration error ${step.ece.toFixed(4)}` })),
      { label: "verdict", value: result.calibration.verdict, note: result.calibration.reason },
    ],
    provenance: [["rows", against], ["model", `${model.name}, version ${model.version}`], ["seen in the fit and left out", count(result.seen)]],
  }, figures));
}
