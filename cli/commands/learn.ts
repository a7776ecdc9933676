import type { CommandDefinition } from "../command.ts";
import { personaNames } from "../names.ts";
import { count, evidence, paint, plain, rateText, shortened, table } from "../output.ts";

interface LearnOptions {
  readonly model: string;
  readonly outcomes: string;
  readonly out?: string;
}

export const learnCommand: CommandDefinition<LearnOptions> = {
  name: "learn",
  summary: "real outcomes correct the posteriors",
  examples: ["populace learn --model model.json --outcomes ab-test.csv --out model-2.json"],
  configure: (command) => command
    .requiredOption("--model <file>", "the model to correct")
    .requiredOption("--outcomes <file>", "what happened: CSV, CSV.gz or Parquet in the model's schema")
    .option("--out <file>", "where to write the corrected model (default: over the old one, whole or not at all)"),
  async run(context, options) {
    const { cellRates, learn, readDataset, readModel, writeModel } = await import("@populace/studies");
    const model = readModel(options.model);
    const reading = context.progress("reading", "B");
    const outcomes = await readDataset(model.schema, options.outcomes, { onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const result = learn(model, outcomes);
    const out = options.out ?? options.model;
    if (result.rows > 0 || options.out !== undefined) writeModel(out, result.model);
    const [before, after] = [cellRates(model), cellRates(result.model)];
    const stimuli = model.response.stimuli.map((stimulus) => stimulus.id as string);
    const steps = model.response.steps.map((step) => step.name);
    const personas = model.mixture.personas.map((persona) => persona.id as string);
    const at = (row: { readonly persona: string; readonly stimulus: string; readonly step: string }): number =>
      (personas.indexOf(row.persona) * stimuli.length + stimuli.indexOf(row.stimulus)) * steps.length + steps.indexOf(row.step);
    const updated = result.updated.map((row) => ({ ...row, before: before[at(row)], after: after[at(row)] }));
    const names = personaNames(model);
    const shown = shortened(updated, 48, "cells");
    const unknown = Object.entries(result.rejected.unknownStimuli);
    return {
      json: { updated, exchangeRate: result.exchangeRate, rejected: result.rejected, rows: result.rows, version: result.model.version, out },
      lines: [
        ...table(
          [{ title: "persona" }, { title: "stimulus" }, { title: "step" }, { title: "observed", align: "right" }, { title: "before", align: "right" }, { title: "after", align: "right" }, { title: "evidence" }],
          shown.rows.map((row) => [plain(names.get(row.persona) ?? row.persona), plain(row.stimulus), plain(row.step), `${count(row.responses)} of ${count(row.exposures)}`, rateText(row.before), rateText(row.after), evidence(row.after.label)]),
        ),
        ...shown.rest, "",
        `${count(result.rows)} outcomes taken; left out: ${count(result.rejected.malformed)} malformed, ${count(result.rejected.seen)} already counted, ${count(result.rejected.noConsent)} without consent`,
        ...unknown.map(([stimulus, rows]) => paint("yellow", `note: ${count(rows)} rows of the unknown stimulus ${plain(stimulus)}`)),
        `exchange rate of simulated evidence: ${result.exchangeRate.a0} (${result.exchangeRate.learned ? "learned" : "fixed"})`,
        result.rows > 0 ? `version ${result.model.version} written to ${paint("bold", out)}` : "nothing new: the model stays as it is",
      ],
    };
  },
};
