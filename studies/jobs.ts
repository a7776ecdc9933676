import { PopulaceError } from "@populace/domain";
import { jobPlan, type JobInput, type JobPlan } from "@populace/protocol";
import { CALIBRATION } from "./calibration-record.ts";
import { readDataset } from "./dataset.ts";
import { fitWithNotes, type FitOptions, type FittedModel } from "./fit.ts";
import { modelText, parseModel } from "./model-file.ts";
import { parseSchema } from "./schema.ts";

/** A function of a job: pure in its parameters and in the bytes of its inputs, whose paths it is given by name. */
interface JobFunction {
  /** Another output for the same input is another version. */
  readonly version: string;
  run(parameters: string, files: Readonly<Record<string, string>>): Promise<Uint8Array>;
}

/** What a fit is asked for; everything that its bits depend on. */
export interface FitRequest {
  /** The schema as it was written; `path` only names it in messages, as `data` names the data. */
  readonly schema: { readonly path: string; readonly text: string };
  readonly data: string;
  readonly options: Pick<FitOptions, "personas" | "worlds" | "seed">;
  /** Time against which consent is checked, epoch milliseconds; left out where the schema asks for none. */
  readonly atMs?: number;
}

const DATA = "data";

/** Functions by name. The numbers are raised by whoever changes an output; the hash is that of the code of the posteriors. */
const FUNCTIONS: Readonly<Record<string, JobFunction>> = {
  fit: { version: `1-${CALIBRATION.code.slice(0, 12)}`, run: (parameters, files) => fit(JSON.parse(parameters) as FitRequest, files[DATA]) },
};

/** What this version computes, as nodes name it. */
export const JOB_NAMES: readonly string[] = Object.entries(FUNCTIONS).map(([name, { version }]) => `${name} ${version}`);

/** The job of a fit whose data lie in these parts of the blob store. */
export const fitJob = (request: FitRequest, parts: readonly string[]): JobPlan => {
  const { schema: { path, text }, data, options: { personas, worlds, seed }, atMs } = request;
  // In one order, whoever calls: the text is part of the job's identity.
  const parameters = JSON.stringify({ schema: { path, text }, data, options: { personas, worlds, seed }, atMs });
  return jobPlan({ function: "fit", version: FUNCTIONS["fit"].version, parameters, inputs: [{ name: DATA, parts } satisfies JobInput] });
};

/** The model and the notes that a fit came to; BAD_MODEL when the bytes are damaged. */
export function fittedOf(output: Uint8Array): FittedModel {
  const text = new TextDecoder().decode(output), end = text.indexOf("\n");
  return { model: parseModel(text.slice(end + 1), "the fitted model"), notes: JSON.parse(text.slice(0, end)) as readonly string[] };
}

/** Computes a job. NOT_FOUND for a function that this version lacks; otherwise the errors of the function, which name its inputs as its parameters do. */
export async function runJob(name: string, parameters: string, files: Readonly<Record<string, string>>): Promise<Uint8Array> {
  const found = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (found === undefined) throw new PopulaceError("NOT_FOUND", `there is no function "${name.slice(0, 40)}"; this version computes ${Object.keys(FUNCTIONS).join(", ")}`, { function: name });
  return found.run(parameters, files);
}

/** A line of notes as JSON, then the text of the model file. */
async function fit({ schema: { path, text }, data, options, atMs }: FitRequest, file: string): Promise<Uint8Array> {
  try {
    const schema = parseSchema(text, path);
    const dataset = await readDataset(schema, file, atMs === undefined ? {} : { atMs });
    const { model, notes } = fitWithNotes(schema, dataset, options);
    return new TextEncoder().encode(`${JSON.stringify(notes)}\n${modelText(model)}`);
  } catch (error) {
    // The file lies elsewhere than where its owner has it.
    throw error instanceof PopulaceError ? new PopulaceError(error.code, error.message.replaceAll(file, data), error.details, error) : error;
  }
}
