/** The thread of one job on a node. */
import { parentPort, workerData } from "node:worker_threads";
import { PopulaceError } from "@populace/domain";
import { runFunction } from "./jobs.ts";

const call = workerData as { readonly function: string; readonly parameters: string; readonly files: Readonly<Record<string, string>> };
try {
  const output = await runFunction(call);
  parentPort!.postMessage({ kind: "done", output });
} catch (error) {
  const failure = error instanceof PopulaceError ? error : new PopulaceError("INTERNAL", String(error), {}, error);
  parentPort!.postMessage({ kind: "failed", code: failure.code, message: failure.message });
}
