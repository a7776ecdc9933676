/** The worker thread. */
import { parentPort, workerData } from "node:worker_threads";
import { openBackend } from "@populace/kernels/backends";
import { blockWorker } from "./block-worker.ts";
import { measureExposures } from "./calibration.ts";
import type { ToWorker, WorkerStart } from "./worker-message.ts";

const { worker, progress } = workerData as WorkerStart;
const port = parentPort!;
port.on("message", blockWorker({
  worker,
  progress: new BigInt64Array(progress),
  openKernel: async (backend) => (await openBackend(backend, "expose")).kernels.expose,
  measure: measureExposures,
  send: (message, transfer = []) => port.postMessage(message, transfer),
}) as (message: ToWorker) => void);
