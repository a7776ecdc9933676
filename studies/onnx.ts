import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { PopulaceError, logistic } from "@populace/domain";
import type { Stimulus, TraitCoding } from "@populace/domain";
import type { InferenceSession, Tensor } from "onnxruntime-web";
import type { Dataset } from "./dataset.ts";
import { didYouMean, parseEntry, readDocument } from "./document.ts";
import type { Entry } from "./document.ts";

/** How a model's tensors are made of attributes and stimuli, and what its output means. */
export interface OnnxMapping {
  /** Input tensor -> its columns in order: `age`, `region=north`, `stimulus`, `stimulus=mail`, `channel=email`, `tag.about=men`, `offer.priceCut`, `offer.valueMinor`, `feature.NAME`. Null = by name or by position. */
  readonly inputs: Readonly<Record<string, readonly string[]>> | null;
  /** The output, or step -> its output; null = the outputs named like the steps, or the only one of floats. */
  readonly output: string | Readonly<Record<string, string>> | null;
  /** Step -> columns of its output, whose probabilities add up; null = the last column of one step, or one column a step in order. */
  readonly columns: Readonly<Record<string, readonly number[]>> | null;
  /** `softmax`: the columns are logits of classes, of which one happens. */
  readonly scale: "probability" | "logit" | "softmax";
  /** Whether a later step's number is given the step before it; false = per exposure. */
  readonly isConditional: boolean;
  /** Attribute or `stimulus` -> its levels in the order of their numbers 0, 1, ...: what an input of integers calls them. */
  readonly codes: Readonly<Record<string, readonly string[]>>;
  /** What a missing number becomes: NaN, for models that know what to do with it, or the mean of the data. */
  readonly missing: "nan" | "mean";
}

/** A loaded model with its mapping checked against a dataset. */
export interface OnnxModel {
  readonly sha256: string;
  readonly inputs: readonly { readonly name: string; readonly type: string; readonly columns: readonly string[] }[];
  readonly output: string;
  /** P(step | exposure) of these rows with one stimulus: rows x steps, later steps never above earlier ones. */
  readonly score: (rows: ArrayLike<number>, stimulus: number) => Promise<Float64Array>;
  readonly close: () => Promise<void>;
}

const DEFAULT_MAPPING: OnnxMapping = { inputs: null, output: null, columns: null, scale: "probability", isConditional: false, codes: {}, missing: "nan" };

/** Reads a mapping file (YAML or JSON): `inputs`, `output`, `columns`, `scale`, `conditional`, `codes`, `missing`, all optional. BAD_SCHEMA as from a schema. */
export function readOnnxMapping(path: string): OnnxMapping {
  return mappingOf(readDocument(path, "BAD_SCHEMA"));
}

/** The same from text. */
export function parseOnnxMapping(text: string, path = "mapping"): OnnxMapping {
  return mappingOf(parseEntry(text, path, "BAD_SCHEMA"));
}

function mappingOf(root: Entry): OnnxMapping {
  root.only(["inputs", "output", "columns", "scale", "conditional", "codes", "missing"]);
  const inputs = root.at("inputs"), output = root.at("output"), columns = root.at("columns"), codes = root.at("codes");
  const numberOrList = (entry: Entry): readonly number[] => (entry.isList ? entry.list().map((each) => each.number({ integer: true, min: 0 })) : [entry.number({ integer: true, min: 0 })]);
  return {
    inputs: inputs.absent ? null : Object.fromEntries(inputs.entries().map(([name, list]) => [name, list.texts([])])),
    output: output.isMap ? Object.fromEntries(output.entries().map(([step, name]) => [step, name.text()])) : output.textOrNull(),
    columns: columns.absent ? null : Object.fromEntries(columns.entries().map(([step, column]) => [step, numberOrList(column)])),
    scale: root.at("scale").oneOf(["probability", "logit", "softmax"] as const, "probability"),
    codes: codes.absent ? {} : Object.fromEntries(codes.entries().map(([name, levels]) => [name, levels.texts([])])),
    isConditional: root.at("conditional").boolean(false),
    missing: root.at("missing").oneOf(["nan", "mean"] as const, "nan"),
  };
}

const CHUNK_ROWS = 4096;
const BYTES_MAX = 512 * 1024 * 1024;
/** A later step may exceed an earlier one by rounding; beyond this the columns are mixed up. */
const ORDER_TOLERANCE = 1e-5;

/**
 * Loads an ONNX model and checks that its inputs can be made of the dataset's attributes and stimuli. It runs in WebAssembly on one thread, so a
 * foreign file can touch nothing and gives the same bits on every machine.
 *
 * UNAVAILABLE when onnxruntime-web is not installed; FILE_MISSING; BAD_MODEL for a file that is no ONNX model, and for inputs or outputs of
 * another type or shape than the mapping makes, each named with what was expected; BAD_SCHEMA for a mapping that names what is not there;
 * BAD_DATA, while scoring, for a row whose score is no probability.
 */
export async function loadOnnx(path: string, dataset: Dataset, codings: readonly TraitCoding[], mapping: OnnxMapping = DEFAULT_MAPPING): Promise<OnnxModel> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name an ONNX file`, { file: path }, cause);
  }
  if (bytes.length > BYTES_MAX) throw new PopulaceError("TOO_LARGE", `${path}: ${bytes.length} bytes; at most ${BYTES_MAX}`, { file: path, limit: BYTES_MAX });
  const runtime = await import("onnxruntime-web").catch((cause: unknown) => {
    throw new PopulaceError("UNAVAILABLE", "onnxruntime-web is not installed, which reads ONNX models; it is an optional dependency: npm install onnxruntime-web@1.30.0", { package: "onnxruntime-web" }, cause);
  });
  runtime.env.wasm.numThreads = 1;
  runtime.env.logLevel = "error";
  const refuse = (message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown): never => {
    throw new PopulaceError("BAD_MODEL", `${path}: ${message}`, { file: path, ...details }, cause);
  };
  // PyTorch's exporter writes the weights beside the model unless told `external_data=False`.
  const weights = existsSync(`${path}.data`) ? readFileSync(`${path}.data`) : null;
  if (weights !== null && weights.length > BYTES_MAX) throw new PopulaceError("TOO_LARGE", `${path}.data: ${weights.length} bytes; at most ${BYTES_MAX}`, { file: `${path}.data`, limit: BYTES_MAX });
  const session: InferenceSession = await runtime.InferenceSession.create(bytes, { executionProviders: ["wasm"], ...(weights === null ? {} : { externalData: [{ path: `${basename(path)}.data`, data: weights }] }) }).catch((cause: unknown) => refuse((cause as Error).message.includes("external data")
    ? `its weights lie in a file of their own, "${/external data file "*([^"]+)"/.exec((cause as Error).message)?.[1] ?? "unknown"}"; put them beside it as ${basename(path)}.data, if that is the name they were exported under, or export without (PyTorch: external_data=False)`
    : `cannot be loaded: ${(cause as Error).message.split("\n")[0].slice(0, 200)}; expected an ONNX model`, {}, cause));
  const { schema } = dataset;
  const stimuli = schema.stimulus.stimuli, steps = schema.funnel.map((step) => step.name);
  const source = new Columns(dataset, codings, mapping);
  const uncoded = Object.keys(mapping.codes).find((name) => name !== "stimulus" && !source.names.includes(name));
  if (uncoded !== undefined) throw new PopulaceError("BAD_SCHEMA", `the mapping's codes name "${uncoded}"${didYouMean(uncoded, [...source.names, "stimulus"])}`, { column: uncoded });
  const unknown = Object.keys(mapping.inputs ?? {}).find((name) => !session.inputNames.includes(name));
  if (unknown !== undefined) throw new PopulaceError("BAD_SCHEMA", `the mapping names input "${unknown}", the model has ${session.inputNames.join(", ")}${didYouMean(unknown, session.inputNames)}`, { input: unknown });
  const inputs = session.inputMetadata.map((input) => {
    if (!input.isTensor) return refuse(`input "${input.name}" is no tensor; export the model with tensors only`, { input: input.name });
    const columns = mapping.inputs?.[input.name] ?? defaultColumns(input.name, input.shape.at(-1), session.inputMetadata.length, source);
    if (columns === null && mapping.inputs !== null) return refuse(`input "${input.name}" ${JSON.stringify(input.shape)} is not in the mapping, which names ${Object.keys(mapping.inputs).join(", ")}; name its columns, or fold it into the model if it is a constant (tf2onnx leaves those of Keras's Normalization outside: use Rescaling)`, { input: input.name, shape: input.shape });
    if (columns === null) return refuse(`input "${input.name}" ${JSON.stringify(input.shape)} is neither an attribute nor the stimulus, and ${source.all.length} columns come by position (${source.all.join(", ")}); name its columns in a mapping: {inputs: {${input.name}: [...]}}`, { input: input.name, shape: input.shape });
    const width = input.shape.at(-1), rank = input.shape.length;
    if (rank > 2) return refuse(`input "${input.name}" has ${rank} dimensions; expected rows x columns`, { input: input.name, shape: input.shape });
    if (rank === 2 && typeof width === "number" && width > 0 && width !== columns.length) return refuse(`input "${input.name}" has ${width} columns; the mapping makes ${columns.length} (${columns.join(", ")})`, { input: input.name, expected: width, columns });
    if (!Object.hasOwn(TENSORS, input.type)) return refuse(`input "${input.name}" is of type ${input.type}; expected one of ${Object.keys(TENSORS).join(", ")}`, { input: input.name, type: input.type });
    const cells = columns.map((column) => source.cell(column));
    const wrong = columns.findIndex((_, at) => (input.type === "string" ? cells[at].text === null : cells[at].number === null));
    if (wrong >= 0) return refuse(`input "${input.name}" is of type ${input.type}, column "${columns[wrong]}" is ${input.type === "string" ? "a number" : "text"}; ${input.type === "string" ? "give text" : `give one column a level, such as ${columns[wrong]}=LEVEL, or its levels numbers: {codes: {${columns[wrong]}: [...]}}`}`, { input: input.name, column: columns[wrong] });
    const fixedRows = rank > 0 && typeof input.shape[0] === "number" && input.shape[0] > 0 ? input.shape[0] : null;
    return { name: input.name, type: input.type, columns, cells, rank, fixedRows };
  });
  const outputs = outputsOf(session, mapping.output, steps, refuse), fetched = [...new Set(outputs)];
  const chunk = inputs.reduce((rows, { fixedRows }) => (fixedRows === null ? rows : Math.min(rows, fixedRows)), CHUNK_ROWS);

  const score = async (rows: ArrayLike<number>, stimulus: number): Promise<Float64Array> => {
    const scores = new Float64Array(rows.length * steps.length);
    for (let from = 0; from < rows.length; from += chunk) {
      const to = Math.min(rows.length, from + chunk);
      // A model of fixed batch size gets its last rows twice.
      const size = inputs.some(({ fixedRows }) => fixedRows !== null) ? chunk : to - from;
      const feeds = Object.fromEntries(inputs.map(({ name, type, cells, columns, rank }) => {
        const values = Array.from({ length: size * cells.length }, (_, at) => {
          const cell = cells[at % cells.length], row = rows[Math.min(to - 1, from + Math.floor(at / cells.length))];
          if (type === "string") return cell.text!(row, stimulus);
          const value = cell.number!(row, stimulus);
          if (Number.isNaN(value) && !type.startsWith("float")) throw new PopulaceError("BAD_DATA", `${path}: row ${dataset.rowNumber[row]}: nothing for column "${columns[at % cells.length]}", and input "${name}" of type ${type} has no word for it; give the value, or \`missing: mean\` in the mapping`, { file: path, row: dataset.rowNumber[row], input: name });
          return value;
        });
        return [name, TENSORS[type as keyof typeof TENSORS](runtime.Tensor, values, rank === 1 ? [size] : [size, cells.length])];
      }));
      const found = await session.run(feeds, fetched).catch((cause: unknown) => refuse(`fails on rows ${dataset.rowNumber[rows[from]]} to ${dataset.rowNumber[rows[to - 1]]}: ${(cause as Error).message.split("\n")[0].slice(0, 200)}`, {}, cause));
      const read = columnsOf(steps, outputs, outputs.map((name) => found[name].data.length / size), mapping, refuse).map((columns, step) => ({ columns, data: found[outputs[step]].data as ArrayLike<number | bigint>, width: found[outputs[step]].data.length / size }));
      for (let i = 0; i < to - from; i++) {
        for (let step = 0; step < steps.length; step++) {
          const { columns, data, width } = read[step], raw = rawOf(data, i * width, width, columns, mapping.scale), value = mapping.scale === "logit" ? logistic(raw) : raw;
          const row = dataset.rowNumber[rows[from + i]];
          if (!(value >= 0 && value <= 1)) {
            throw new PopulaceError("BAD_DATA", `${path}: row ${row} with stimulus "${stimuli[stimulus].value}": output "${outputs[step]}" column ${columns.join(" + ")} is ${raw}; expected a probability${Number.isNaN(raw) ? " (is an attribute missing? then `missing: mean` in the mapping)" : " (or `scale: logit` in the mapping)"}`, { file: path, row, stimulus: stimuli[stimulus].value, output: outputs[step], columns });
          }
          const before = step === 0 ? 1 : scores[(from + i) * steps.length + step - 1], rate = mapping.isConditional ? value * before : value;
          if (rate > before + ORDER_TOLERANCE) throw new PopulaceError("BAD_DATA", `${path}: row ${row}: step "${steps[step]}" has probability ${rate}, above ${before} of "${steps[step - 1]}" before it; expected probabilities per exposure (or \`conditional: true\` in the mapping)`, { file: path, row, step: steps[step] });
          scores[(from + i) * steps.length + step] = Math.min(rate, before);
        }
      }
    }
    return scores;
  };
  return { sha256: createHash("sha256").update(bytes).update(weights ?? "").digest("hex"), inputs: inputs.map(({ name, type, columns }) => ({ name, type, columns })), output: fetched.join(", "), score, close: () => session.release() };
}

type TensorClass = typeof Tensor;

/** Types of input tensors, and how each is made of plain values. */
const TENSORS = {
  float32: (make: TensorClass, values: readonly (number | string)[], shape: readonly number[]) => new make("float32", Float32Array.from(values as number[]), shape),
  float64: (make: TensorClass, values: readonly (number | string)[], shape: readonly number[]) => new make("float64", Float64Array.from(values as number[]), shape),
  int32: (make: TensorClass, values: readonly (number | string)[], shape: readonly number[]) => new make("int32", Int32Array.from(values as number[], (value) => Math.round(value)), shape),
  int64: (make: TensorClass, values: readonly (number | string)[], shape: readonly number[]) => new make("int64", BigInt64Array.from(values as number[], (value) => BigInt(Math.round(value))), shape),
  bool: (make: TensorClass, values: readonly (number | string)[], shape: readonly number[]) => new make("bool", Uint8Array.from(values as number[]), shape),
  string: (make: TensorClass, values: readonly (number | string)[], shape: readonly number[]) => new make("string", values as string[], shape),
} as const;

type Refuse = (message: string, details?: Readonly<Record<string, unknown>>) => never;

/** The output of every step. */
function outputsOf(session: InferenceSession, asked: OnnxMapping["output"], steps: readonly string[], refuse: Refuse): readonly string[] {
  const floats = session.outputMetadata.filter((output) => output.isTensor && (output.type === "float32" || output.type === "float64")).map(({ name }) => name);
  const known = (name: string): string => (floats.includes(name) ? name : refuse(`output "${name}" is no tensor of floats; the model has ${floats.join(", ") || "none"}${didYouMean(name, floats)}`, { output: name, outputs: session.outputNames }));
  const of = asked ?? (steps.every((step) => floats.includes(step)) ? Object.fromEntries(steps.map((step) => [step, step])) : null);
  if (typeof of === "string") return steps.map(() => known(of));
  if (of !== null) return steps.map((step) => known(Object.hasOwn(of, step) ? of[step] : refuse(`step "${step}" has no output in the mapping; give each step one: {output: {${step}: NAME, ...}}`, { step })));
  const named = floats.filter((name) => /prob/i.test(name)), only = floats.length === 1 ? floats : named;
  if (only.length === 1) return steps.map(() => only[0]);
  return refuse(floats.length === 0
    ? `outputs ${session.outputNames.join(", ")}: none is a tensor of floats; export probabilities as a tensor (scikit-learn: without zipmap)`
    : `outputs ${floats.join(", ")} are all floats; name the one of the probabilities, {output: NAME}, or one a step, {output: {${steps[0]}: NAME, ...}}`, { outputs: session.outputNames });
}

/** The columns of every step in its output. */
function columnsOf(steps: readonly string[], outputs: readonly string[], widths: readonly number[], { columns: asked, scale }: OnnxMapping, refuse: Refuse): readonly (readonly number[])[] {
  const shared = new Set(outputs).size === 1;
  return steps.map((step, at) => {
    const width = widths[at];
    if (asked === null) {
      if (shared && width === steps.length && scale !== "softmax") return [at];
      if (!shared && width === 1) return [0];
      // Two columns of one step are no and yes.
      if ((!shared || steps.length === 1) && width === 2) return scale === "logit" ? refuse(`output "${outputs[at]}" has two logits of step "${step}", of no and yes; say {scale: softmax}`, { width, step }) : [1];
      const classes = shared && width === steps.length + 1 ? ` or, of classes by the last step that is reached, {columns: {${steps.map((each, i) => `${each}: ${i + 1 === steps.length ? width - 1 : `[${Array.from({ length: steps.length - i }, (_, k) => i + 1 + k).join(", ")}]`}`).join(", ")}}}` : "";
      return refuse(`the output has ${width} columns for ${shared ? `${steps.length} steps (${steps.join(", ")})` : `step "${step}"`}; say which is which: {columns: {${steps[0]}: 0, ...}}${classes}`, { width, steps });
    }
    const columns = Object.hasOwn(asked, step) ? asked[step] : [];
    const beyond = columns.find((column) => column >= width);
    if (columns.length === 0 || beyond !== undefined) return refuse(`step "${step}": ${beyond === undefined ? "no column" : `column ${beyond}`} of ${width} in the mapping's columns`, { step, width });
    if (columns.length > 1 && scale === "logit") return refuse(`step "${step}": logits of columns ${columns.join(", ")} do not add up; logits of classes, of which one happens, are {scale: softmax}`, { step });
    return columns;
  });
}

/** The number of some columns of one row: their sum, after a softmax over the row if the scale asks for it. */
function rawOf(data: ArrayLike<number | bigint>, start: number, width: number, columns: readonly number[], scale: OnnxMapping["scale"]): number {
  let top = 0, total = 1;
  if (scale === "softmax") {
    const logits = Array.from({ length: width }, (_, column) => Number(data[start + column]));
    top = Math.max(...logits);
    total = logits.reduce((sum, each) => sum + Math.exp(each - top), 0);
  }
  const sum = columns.reduce((before, column) => before + (scale === "softmax" ? Math.exp(Number(data[start + column]) - top) / total : Number(data[start + column])), 0);
  // Shares of floats of 32 bits add to a little more than 1.
  return columns.length > 1 && sum > 1 && sum < 1 + ORDER_TOLERANCE ? 1 : sum;
}

/** Columns of one input without a mapping: an input named like an attribute or the stimulus, or the only input, which takes them all in order. */
function defaultColumns(name: string, width: number | string | undefined, inputs: number, source: Columns): readonly string[] | null {
  if (source.names.includes(name)) return [name];
  if (name === source.stimulusColumn) return ["stimulus"];
  return inputs === 1 && (typeof width !== "number" || width <= 0 || width === source.all.length) ? source.all : null;
}

interface Cell { readonly number: ((row: number, stimulus: number) => number) | null; readonly text: ((row: number, stimulus: number) => string) | null }

/** What columns of a tensor can be made of: the raw values of attributes, and what is told of the stimuli. */
class Columns {
  readonly names: readonly string[];
  readonly stimulusColumn: string;
  /** Every column in the default order: numbers, yes or no as 1 or 0, one a level, then one a stimulus. */
  readonly all: readonly string[];
  readonly #dataset: Dataset;
  readonly #codings: readonly TraitCoding[];
  readonly #missing: OnnxMapping["missing"];
  readonly #codes: OnnxMapping["codes"];

  constructor(dataset: Dataset, codings: readonly TraitCoding[], { codes, missing }: Pick<OnnxMapping, "codes" | "missing">) {
    this.#dataset = dataset;
    this.#codings = codings;
    this.#missing = missing;
    this.#codes = codes;
    const { attributes, stimulus } = dataset.schema;
    this.names = attributes.map((attribute) => attribute.name);
    this.stimulusColumn = stimulus.column ?? "stimulus";
    this.all = [
      ...attributes.flatMap((attribute) => (attribute.kind === "categorical" ? this.#levels(attribute.name).map((level) => `${attribute.name}=${level}`) : [attribute.name])),
      ...(stimulus.stimuli.length > 1 ? stimulus.stimuli.map((each) => `stimulus=${each.value}`) : []),
    ];
  }

  #levels(name: string): readonly string[] {
    return (this.#codings.find((coding) => coding.name === name)?.levels ?? []).filter((level) => level !== "other");
  }

  cell(spec: string): Cell {
    const { stimuli } = this.#dataset.schema.stimulus;
    const ofStimulus = (value: (stimulus: Stimulus) => number): Cell => {
      const values = stimuli.map(value);
      return { number: (_row, stimulus) => values[stimulus], text: null };
    };
    const equals = spec.indexOf("="), name = equals < 0 ? spec : spec.slice(0, equals), level = equals < 0 ? null : spec.slice(equals + 1);
    const attribute = this.names.indexOf(name);
    if (attribute >= 0) return level === null ? this.#attribute(attribute) : this.#level(attribute, level);
    if (name === "stimulus" && level === null) return this.#coded(name, (_row, stimulus) => stimuli[stimulus].value);
    if (name === "stimulus") {
      if (!stimuli.some((each) => each.value === level)) throw new PopulaceError("BAD_SCHEMA", `mapping: column "${spec}": no stimulus is named "${level}"${didYouMean(level!, stimuli.map((each) => each.value))}`, { column: spec });
      return { number: (_row, stimulus) => (stimuli[stimulus].value === level ? 1 : 0), text: null };
    }
    if (spec === "contact") return ofStimulus((stimulus) => (stimulus.contact ? 1 : 0));
    if (spec === "offer.priceCut") return ofStimulus((stimulus) => stimulus.offer.priceCut ?? 0);
    if (spec === "offer.valueMinor") return ofStimulus((stimulus) => stimulus.offer.valueMinor ?? 0);
    if (name === "channel" && level !== null) return ofStimulus((stimulus) => (stimulus.channel === level ? 1 : 0));
    if (name.startsWith("tag.") && level !== null) return ofStimulus((stimulus) => (stimulus.tags[name.slice(4)] === level ? 1 : 0));
    if (name.startsWith("feature.") && level === null) return ofStimulus((stimulus) => stimulus.features[name.slice(8)] ?? 0);
    throw new PopulaceError("BAD_SCHEMA", `mapping: column "${spec}" is neither an attribute nor told of a stimulus${didYouMean(name, [...this.names, "stimulus", "contact", "offer.priceCut", "offer.valueMinor"])}; expected an attribute, ATTRIBUTE=LEVEL, stimulus, stimulus=VALUE, contact, channel=NAME, tag.KEY=VALUE, offer.priceCut, offer.valueMinor or feature.NAME`, { column: spec });
  }

  /** Text, and the numbers that the mapping gives its levels. */
  #coded(name: string, text: NonNullable<Cell["text"]>): Cell {
    if (!Object.hasOwn(this.#codes, name)) return { number: null, text };
    const codeOf = new Map(this.#codes[name].map((level, code) => [level, code]));
    return {
      text,
      number: (row, stimulus) => {
        const level = text(row, stimulus), code = codeOf.get(level);
        if (code === undefined) throw new PopulaceError("BAD_DATA", `row ${this.#dataset.rowNumber[row]}: ${name} is "${level}", which has no number in the mapping's codes (${this.#codes[name].join(", ")}); add it, or what the model was taught to take for it`, { row: this.#dataset.rowNumber[row], column: name, level });
        return code;
      },
    };
  }

  #attribute(at: number): Cell {
    const { kind, name } = this.#dataset.schema.attributes[at], column = this.#dataset.columns[at];
    if (column.kind === "number") {
      const known = column.values.filter((value) => !Number.isNaN(value)), mean = known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
      return { number: (row) => (Number.isNaN(column.values[row]) && this.#missing === "mean" ? mean : column.values[row]), text: null };
    }
    const text = (row: number): string => column.dictionary[column.codes[row]] ?? "";
    if (kind === "categorical") return this.#coded(name, text);
    const [no, yes] = this.#codings.find((coding) => coding.name === name)?.levels ?? [];
    let yesCount = 0, known = 0;
    for (let row = 0; row < this.#dataset.rows; row++) { if (text(row) === yes) yesCount++; if (text(row) !== "") known++; }
    const absent = this.#missing === "mean" ? yesCount / Math.max(1, known) : NaN;
    return { number: (row) => (text(row) === yes ? 1 : text(row) === no ? 0 : absent), text };
  }

  #level(at: number, level: string): Cell {
    const column = this.#dataset.columns[at], { name } = this.#dataset.schema.attributes[at];
    if (column.kind === "number") throw new PopulaceError("BAD_SCHEMA", `mapping: column "${name}=${level}": "${name}" is a number and has no levels; name it alone`, { column: `${name}=${level}` });
    const code = column.dictionary.indexOf(level);
    if (code < 0 && !this.#levels(name).includes(level)) throw new PopulaceError("BAD_SCHEMA", `mapping: column "${name}=${level}": the data hold no such level${didYouMean(level, column.dictionary)}`, { column: `${name}=${level}` });
    return { number: (row) => (code >= 0 && column.codes[row] === code ? 1 : 0), text: null };
  }
}
