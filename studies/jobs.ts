import { PopulaceError } from "@populace/domain";
import { jobPlan, type JobPlan } from "@populace/protocol";
import { CALIBRATION } from "./calibration-record.ts";
import { clusterLive, clusterPoints, promoteCluster, type ClusterOptions, type Clustering, type LiveClustering } from "./cluster.ts";
import { readPoints } from "./cluster-points.ts";
import { readDataset, type Dataset, type ReadOptions } from "./dataset.ts";
import { fitWithNotes, type FitOptions, type FittedModel } from "./fit.ts";
import { modelText, parseModel, readModel } from "./model-file.ts";
import { valuePolicy, type PolicyAnswer, type PolicyQuestion } from "./off-policy.ts";
import { parseSchema } from "./schema.ts";

/** A call of a function, here or on a node of a cluster: its output's bits follow from the name, the parameters and what the files hold. */
export interface FunctionCall {
  readonly function: keyof typeof FUNCTIONS;
  /** Canonical JSON. Paths in it only name the files in messages. */
  readonly parameters: string;
  /** Paths of the files by their names. */
  readonly files: Readonly<Record<string, string>>;
}

/** What whoever calls a function in its own process may do meanwhile; the output does not depend on it. */
export interface CallHooks {
  readonly onReading?: ReadOptions["onProgress"];
  /** Runs what computes without giving back the thread. */
  readonly blocking?: <T>(compute: () => T) => T;
  /** Ends the call between reading and computing. */
  readonly signal?: AbortSignal;
}

/** A schema as it was written. */
export interface SchemaText {
  readonly path: string;
  readonly text: string;
}

/** What a fit is asked for. */
export interface FitRequest {
  readonly schema: SchemaText;
  readonly data: string;
  readonly options: Pick<FitOptions, "personas" | "worlds" | "seed">;
  /** Time against which consent is checked, epoch milliseconds; left out where the schema asks for none. */
  readonly atMs?: number;
}

/** What a clustering is asked for. */
export interface ClusteringRequest {
  /** Recipients of the model's schema where a model is named, else points of numbers. */
  readonly data: string;
  readonly model?: string;
  readonly options: ClusterOptions;
  /** This emerging cluster becomes a persona. */
  readonly promote?: number;
  readonly atMs?: number;
}

/** What a clustering came to. */
export interface ClusteringAnswer {
  readonly rows: number;
  readonly clustering: Omit<Clustering, "labels"> & Partial<Pick<LiveClustering, "lineage" | "emerging">> & { readonly labels: readonly number[] };
  /** Of recipients only. */
  readonly reading: Pick<Dataset, "rejectedCount" | "noConsent"> | null;
  readonly promoted: { readonly persona: string; readonly members: number; readonly moved: number } | null;
  /** Text of the model with the promoted persona; "" without one. */
  readonly model: string;
}

/** What the valuation of a policy is asked for. */
export interface PolicyRequest {
  readonly schema: SchemaText;
  readonly log: string;
  readonly question: Omit<PolicyQuestion, "policyFile" | "modelFile">;
  /** Whether the policy is a file. */
  readonly isFile: boolean;
  readonly atMs?: number;
}

/** The numbers are raised by whoever changes an output; the hash is that of the code of the posteriors. */
const versioned = (number: number): string => `${number}-${CALIBRATION.code.slice(0, 12)}`;

/** Functions by name: pure in their parameters and in the bytes of their files. */
const FUNCTIONS = {
  fit: { version: versioned(1), run: fit },
  cluster: { version: versioned(1), run: cluster },
  "evaluate-policy": { version: versioned(1), run: evaluatePolicy },
} as const;

/** What this version computes, as nodes name it. */
export const JOB_NAMES: readonly string[] = Object.entries(FUNCTIONS).map(([name, { version }]) => `${name} ${version}`);

/** The job of a call whose files lie in these parts of the blob store, by the files' names. */
export const jobOf = ({ function: name, parameters }: FunctionCall, parts: Readonly<Record<string, readonly string[]>>): JobPlan =>
  jobPlan({ function: name, version: FUNCTIONS[name].version, parameters, inputs: Object.entries(parts).map(([file, of]) => ({ name: file, parts: of })) });

// Parameters are written in one order, whoever calls: the text is part of the job's identity.

/** The call of a fit. */
export const fitCall = ({ schema: { path, text }, data, options: { personas, worlds, seed }, atMs }: FitRequest): FunctionCall =>
  ({ function: "fit", parameters: JSON.stringify({ schema: { path, text }, data, options: { personas, worlds, seed }, atMs }), files: { data } });

/** The call of a clustering. */
export const clusterCall = ({ data, model, options: { method, k, eps, minPoints, standardize, seed }, promote, atMs }: ClusteringRequest): FunctionCall =>
  ({ function: "cluster", parameters: JSON.stringify({ data, model, options: { method, k, eps, minPoints, standardize, seed }, promote, atMs }), files: { data, ...(model === undefined ? {} : { model }) } });

/** The call of a policy's valuation. */
export const policyCall = ({ schema: { path, text }, log, question: { policy, model, reward, essFloor, level, seed, allowSeen }, isFile, atMs }: PolicyRequest): FunctionCall => ({
  function: "evaluate-policy",
  parameters: JSON.stringify({ schema: { path, text }, log, question: { policy, model, reward, essFloor, level, seed, allowSeen }, isFile, atMs }),
  files: { log, ...(isFile ? { policy } : {}), ...(model === undefined ? {} : { model }) },
});

/** The model and the notes that a fit came to; BAD_MODEL when the bytes are damaged. */
export function fittedOf(output: Uint8Array): FittedModel {
  const text = new TextDecoder().decode(output), end = text.indexOf("\n");
  return { model: parseModel(text.slice(end + 1), "the fitted model"), notes: JSON.parse(text.slice(0, end)) as readonly string[] };
}

/** What a clustering came to. */
export const clusteringOf = (output: Uint8Array): ClusteringAnswer => documentOf(output) as ClusteringAnswer;

/** What the valuation of a policy came to. */
export const policyAnswerOf = (output: Uint8Array): PolicyAnswer => documentOf(output) as PolicyAnswer;

/** Computes a call. NOT_FOUND for a function that this version lacks; otherwise the errors of the function, which name the files as its parameters do. */
export async function runFunction(call: { readonly function: string } & Omit<FunctionCall, "function">, hooks: CallHooks = {}): Promise<Uint8Array> {
  const { function: name, parameters, files } = call;
  const found = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name as keyof typeof FUNCTIONS] : undefined;
  if (found === undefined) throw new PopulaceError("NOT_FOUND", `there is no function "${name.slice(0, 40)}"; this version computes ${Object.keys(FUNCTIONS).join(", ")}`, { function: name });
  return found.run(parameters, files, hooks);
}

/** A line of notes as JSON, then the text of the model file. */
async function fit(parameters: string, files: FunctionCall["files"], { onReading }: CallHooks): Promise<Uint8Array> {
  const { schema: { path, text }, data, options, atMs } = JSON.parse(parameters) as FitRequest;
  return naming({ [files["data"]]: data }, async () => {
    const dataset = await readDataset(parseSchema(text, path), files["data"], readOptions(atMs, onReading));
    const { model, notes } = fitWithNotes(dataset.schema, dataset, options);
    return new TextEncoder().encode(`${JSON.stringify(notes)}\n${modelText(model)}`);
  });
}

async function cluster(parameters: string, files: FunctionCall["files"], { onReading, signal, blocking = (compute) => compute() }: CallHooks): Promise<Uint8Array> {
  const { data, model: modelPath, options, promote, atMs } = JSON.parse(parameters) as ClusteringRequest;
  return naming({ [files["data"]]: data, ...(modelPath === undefined ? {} : { [files["model"]]: modelPath }) }, async () => {
    if (modelPath === undefined) {
      const points = readPoints(files["data"]);
      const found = blocking(() => clusterPoints(points, options));
      return documented({ rows: points.rows, clustering: { ...found, labels: Array.from(found.labels) }, reading: null, promoted: null, model: "" } satisfies ClusteringAnswer);
    }
    const model = readModel(files["model"]);
    const dataset = await readDataset(model.schema, files["data"], { ...readOptions(atMs, onReading), recipientsOnly: true });
    signal?.throwIfAborted();
    const found = blocking(() => clusterLive(model, dataset, options));
    const { rows, rejectedCount, noConsent } = dataset;
    const answer = { rows, clustering: { ...found, labels: Array.from(found.labels) }, reading: { rejectedCount, noConsent }, promoted: null, model: "" };
    if (promote === undefined) return documented(answer satisfies ClusteringAnswer);
    const chosen = found.emerging.find((each) => each.cluster === promote);
    if (chosen === undefined || chosen.stage !== "shadow") {
      throw new PopulaceError("DEGENERATE_DATA", `cluster ${promote} is ${chosen === undefined ? "no emerging one" : `a ${chosen.stage} only (stability ${chosen.stability.toFixed(2)})`}; promotable: ${found.emerging.filter((each) => each.stage === "shadow").map((each) => each.cluster).join(", ") || "none"}`, { cluster: promote });
    }
    const { model: next, ...promoted } = promoteCluster(model, dataset, found.labels, promote);
    return documented({ ...answer, promoted, model: modelText(next) } satisfies ClusteringAnswer);
  });
}

async function evaluatePolicy(parameters: string, files: FunctionCall["files"], { onReading, signal }: CallHooks): Promise<Uint8Array> {
  const { schema: { path, text }, log, question, atMs } = JSON.parse(parameters) as PolicyRequest;
  const { policy: policyFile, model: modelFile } = files;
  return naming({ [files["log"]]: log, ...(policyFile === undefined ? {} : { [policyFile]: question.policy }), ...(modelFile === undefined ? {} : { [modelFile]: question.model! }) }, async () => {
    const dataset = await readDataset(parseSchema(text, path), files["log"], readOptions(atMs, onReading));
    signal?.throwIfAborted();
    return documented(await valuePolicy(dataset, { ...question, ...(policyFile === undefined ? {} : { policyFile }), ...(modelFile === undefined ? {} : { modelFile }) }));
  });
}

const readOptions = (atMs: number | undefined, onProgress: ReadOptions["onProgress"]): ReadOptions => ({ ...(atMs === undefined ? {} : { atMs }), ...(onProgress === undefined ? {} : { onProgress }) });

const documented = (answer: object): Uint8Array => new TextEncoder().encode(JSON.stringify(answer));
const documentOf = (output: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(output));

/** Work on copies of files, whose errors name them as their owner does. */
async function naming<T>(owners: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PopulaceError)) throw error;
    const message = Object.entries(owners).reduce((text, [copy, owner]) => text.replaceAll(copy, owner), error.message);
    throw message === error.message ? error : new PopulaceError(error.code, message, error.details, error);
  }
}
