import { readFileSync } from "node:fs";
import type { FitRequest, FittedModel, Schema } from "@populace/studies";
import { personaCount, whole } from "../arguments.ts";
import { withJobOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandContext, CommandDefinition } from "../command.ts";
import { howToCall, shellWord } from "../how-to-call.ts";
import { count, duration, paint, percent, plain, table } from "../output.ts";

interface FitOptions extends ClusterCommandOptions {
  readonly schema: string;
  readonly data?: string;
  readonly out: string;
  readonly personas: "auto" | number;
  readonly worlds?: number;
}

export const fitCommand: CommandDefinition<FitOptions> = {
  name: "fit",
  summary: "personas and a response model from a data file",
  examples: [
    "populace fit --schema cli/examples/hillstrom.yaml --data hillstrom.csv.gz --out model.json",
    "populace fit --schema cli/examples/hillstrom.yaml --data hillstrom.csv.gz --out model.json --cluster 127.0.0.1:7600",
    "populace fit --schema before-launch.yaml --out model.json        # no data yet: the schema's priors alone",
  ],
  configure: (command) => withJobOptions(command)
    .requiredOption("--schema <file>", "YAML or JSON: what the columns of the data mean")
    .option("--data <file>", "CSV, CSV.gz or Parquet; without it the model is made from the schema's priors alone")
    .requiredOption("--out <file>", "where to write the model")
    .option("--personas <auto|K>", "how many personas", personaCount, "auto")
    .option("--worlds <number>", "posterior draws to keep", whole(16, 4096)),
  async run(context, options) {
    const { readSchema, authoredModel, writeModel } = await import("@populace/studies");
    const startedMs = performance.now();
    const schema = readSchema(options.schema);
    const common = { ...(options.worlds === undefined ? {} : { worlds: options.worlds }), ...(context.seed === null ? {} : { seed: context.seed }) };
    let model;
    let notes: readonly string[] = [];
    if (options.data === undefined) {
      model = authoredModel(schema, common);
    } else {
      const fit = options.cluster === undefined ? fitHere : fitThere;
      ({ model, notes } = await fit(context, options, schema, options.data, { ...common, personas: options.personas }));
    }
    writeModel(options.out, model);
    const seconds = (performance.now() - startedMs) / 1000;
    const { personas } = model.mixture;
    return {
      json: {
        personas: personas.map((persona) => ({ id: persona.id, name: persona.name, share: persona.share, size: Math.round(persona.share * model.fit.rows) })),
        steps: model.response.steps.map((step) => step.name),
        rows: model.fit.rows, rejected: model.fit.rejected, noConsent: model.fit.noConsent, missing: model.fit.missing, otherLevels: model.fit.otherLevels,
        stimuli: model.response.stimuli.map((stimulus) => stimulus.id), evidence: model.evidence, calibration: model.calibration, candidates: model.fit.candidates, out: options.out, seconds,
      },
      lines: [
        ...table(
          [{ title: "persona" }, { title: "name" }, { title: "share", align: "right" }, { title: "recipients", align: "right" }],
          personas.map((persona) => [plain(persona.id), plain(persona.name), percent(persona.share), count(persona.share * model.fit.rows)]),
        ),
        "",
        `${count(model.fit.rows)} rows read, ${count(model.fit.rejected)} rejected, ${count(model.fit.noConsent)} without consent left out; evidence: ${model.evidence}`,
        ...(model.calibration === null || model.calibration.pit.cells === 0 ? [] : [`posterior predictive check on its own rows: ${Math.round(model.calibration.pit.coverage90 * model.calibration.pit.cells)} of ${model.calibration.pit.cells} cells inside their 90 % intervals, calibration error ${(model.calibration.ece ?? 0).toFixed(4)}: ${model.calibration.verdict}`]),
        ...notes.map((note) => paint("yellow", `note: ${plain(note)}`)),
        `model written to ${paint("bold", options.out)} in ${duration(seconds)}; next: ${howToCall()} simulate --model ${shellWord(options.out)}`,
      ],
    };
  },
};

async function fitHere(context: CommandContext, _: FitOptions, schema: Schema, data: string, options: FitRequest["options"]): Promise<FittedModel> {
  const { readDataset, fitWithNotes } = await import("@populace/studies");
  const reading = context.progress("reading", "B");
  const dataset = await readDataset(schema, data, { onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
  context.signal.throwIfAborted();
  const fitting = context.progress("fitting", "%");
  // Personas are the first half of the bar, the response model the second.
  const onProgress = ({ stage, share }: { readonly stage: string; readonly share: number }): void => fitting.update(50 * (share + (stage === "personas" ? 0 : 1)), 100);
  const fitted = context.blocking(() => fitWithNotes(schema, dataset, { ...options, onProgress }));
  fitting.stop();
  return fitted;
}

/** As a job of the cluster, with the same bits; a repeated command reads the finished one. */
async function fitThere(context: CommandContext, { schema: path, ...cluster }: FitOptions, schema: Schema, data: string, options: FitRequest["options"]): Promise<FittedModel> {
  const { fitCall, fittedOf } = await import("@populace/studies");
  const { callOn } = await import("../job-client.ts");
  // Rows whose consent has run out are left out as of now, as they would be here.
  const request: FitRequest = { schema: { path, text: readFileSync(path, "utf8") }, data, options, ...(schema.consent === null ? {} : { atMs: Date.now() }) };
  return fittedOf(await callOn(context, cluster, fitCall(request)));
}
