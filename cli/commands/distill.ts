import { personaCount, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { howToCall, shellWord } from "../how-to-call.ts";
import { count, duration, paint, percent, plain, table } from "../output.ts";

interface DistillCommandOptions {
  readonly onnx: string;
  readonly schema: string;
  readonly data: string;
  readonly out: string;
  readonly mapping?: string;
  readonly personas: "auto" | number;
  readonly worlds?: number;
  readonly observations?: number;
}

export const distillCommand: CommandDefinition<DistillCommandOptions> = {
  name: "distill",
  summary: "a response model trained elsewhere (ONNX) as a model of populace",
  examples: [
    "populace distill --onnx response.onnx --schema shop.yaml --data recipients.csv --out model.json",
    "populace distill --onnx response.onnx --mapping inputs.yaml --observations 20000 --schema shop.yaml --data recipients.csv --out model.json",
  ],
  configure: (command) => command
    .requiredOption("--onnx <file>", "the model, exported from PyTorch, scikit-learn or TensorFlow; it runs in WebAssembly")
    .requiredOption("--schema <file>", "YAML or JSON: attributes, stimuli by name, funnel steps")
    .requiredOption("--data <file>", "recipients, CSV, CSV.gz or Parquet; outcomes are not needed")
    .requiredOption("--out <file>", "where to write the model")
    .option("--mapping <file>", "which columns each input tensor has, and what the output means (default: by name, or by position)")
    .option("--observations <number>", "real observations the model was fitted on; its intervals are those of so many (default: 1,000)", whole(1, 1_000_000_000))
    .option("--personas <auto|K>", "how many personas", personaCount, "auto")
    .option("--worlds <number>", "draws to keep", whole(16, 4096)),
  async run(context, options) {
    const { distillOnnx, readDataset, readOnnxMapping, readSchema, writeModel } = await import("@populace/studies");
    const startedMs = performance.now();
    const schema = readSchema(options.schema);
    const mapping = options.mapping === undefined ? undefined : readOnnxMapping(options.mapping);
    const reading = context.progress("reading", "B");
    const dataset = await readDataset(schema, options.data, { recipientsOnly: true, onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const bar = context.progress("distilling", "%");
    const { model, notes } = await distillOnnx(options.onnx, dataset, {
      personas: options.personas, ...(mapping === undefined ? {} : { mapping }), ...(options.worlds === undefined ? {} : { worlds: options.worlds }), ...(context.seed === null ? {} : { seed: context.seed }),
      ...(options.observations === undefined ? {} : { observations: options.observations }), onProgress: ({ stage, share }) => bar.update(50 * (share + (stage === "personas" ? 0 : 1)), 100),
    }).finally(() => bar.stop());
    writeModel(options.out, model);
    const imported = model.imported!, seconds = (performance.now() - startedMs) / 1000;
    return {
      json: {
        imported, errors: imported.errors, evidence: model.evidence, notes, seconds, out: options.out, rows: dataset.rows, rejected: dataset.rejectedCount, noConsent: dataset.noConsent,
        personas: model.mixture.personas.map((persona) => ({ id: persona.id, name: persona.name, share: persona.share, size: Math.round(persona.share * dataset.rows) })), steps: model.response.steps.map((step) => step.name),
      },
      lines: [
        ...table(
          [{ title: "step" }, { title: "mean error", align: "right" }, { title: "95 % of errors below", align: "right" }, { title: "R2 of logits", align: "right" }],
          imported.errors.map((each) => [plain(each.step), percent(each.mean).replace("%", "pp"), percent(each.p95).replace("%", "pp"), each.r2.toFixed(4)]),
        ),
        "",
        `${count(imported.rows)} of ${count(dataset.rows)} rows scored with ${count(model.response.stimuli.length)} stimuli by ${plain(imported.file)} (${imported.sha256.slice(0, 12)}); errors on the fifth that took no part`,
        ...notes.map((note) => paint("yellow", `note: ${plain(note)}`)),
        `${count(model.mixture.personas.length)} personas; evidence: external, ${model.evidence}, like ${count(imported.observations)} observations`,
        `model written to ${paint("bold", options.out)} in ${duration(seconds)}; next: ${howToCall()} simulate --model ${shellWord(options.out)}`,
      ],
    };
  },
};
