import { Worker } from "node:worker_threads";
import { type ErrorCode, ERROR_TABLE, PopulaceError } from "@populace/domain";
import type { Calibrate, FromWorker, HoldBlocks, ComputeSpan, ToWorker, WorkerStart } from "./worker-message.ts";

type Answer = Extract<FromWorker, { kind: "held" | "computed" | "calibrated" }>;
/** A message that is answered; the pool numbers it. */
type Request = Omit<HoldBlocks, "ticket"> | Omit<ComputeSpan, "ticket"> | Omit<Calibrate, "ticket">;

/** What a kernel failed with on a worker; ports and the node itself fail with other errors. */
export class KernelFailed extends PopulaceError {}

interface Waiting {
  readonly worker: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly onState: (block: number, state: Uint8Array) => void;
}

/** Long-lived worker threads. A worker works through its messages one after another. */
export interface WorkerPool {
  readonly size: number;
  /** Exposures computed so far by all workers, also inside unfinished spans. */
  exposures(): number;
  tell(worker: number, message: ToWorker): void;
  /** Rejects with KernelFailed, the worker's code and message, or INTERNAL when it died; `onState` gets the states of a checkpoint as they come. */
  ask(worker: number, request: Request, onState?: (block: number, state: Uint8Array) => void): Promise<Answer>;
  close(): Promise<void>;
}

export function startWorkers(size: number): WorkerPool {
  const progress = new SharedArrayBuffer(8 * size);
  const counters = new BigInt64Array(progress);
  const waiting = new Map<number, Waiting>();
  let ticket = 0, closed = false;

  const workers: (Worker | null)[] = new Array<Worker | null>(size).fill(null);

  function spawn(index: number): Worker {
    const workerData: WorkerStart = { progress, worker: index };
    const worker = new Worker(new URL(import.meta.resolve("@populace/agent-runtime/worker")), { workerData, name: `populace-${index}`, execArgv: [] });
    worker.on("message", (message: FromWorker) => {
      const asked = waiting.get(message.ticket);
      if (asked === undefined) return;
      if (message.kind === "state") return asked.onState(message.block, message.state);
      waiting.delete(message.ticket);
      if (message.kind === "failed") asked.reject(new KernelFailed(message.code in ERROR_TABLE ? (message.code as ErrorCode) : "INTERNAL", message.message, {}));
      else asked.resolve(message);
    });
    const lost = (why: string): void => {
      if (workers[index] === worker) workers[index] = null;
      for (const [number, asked] of waiting) {
        if (asked.worker !== index) continue;
        waiting.delete(number);
        asked.reject(new PopulaceError(closed ? "INTERRUPTED" : "INTERNAL", closed ? "the node was stopped; what was committed stays" : `worker ${index} ended: ${why}`, { worker: index }));
      }
    };
    worker.on("error", (error) => lost(String(error)));
    worker.on("exit", (code) => lost(`exit code ${code}`));
    return worker;
  }

  /** A worker that died (out of memory) is replaced when it is next needed; it then holds nothing, and its runs are restored. */
  const at = (index: number): Worker => (workers[index] ??= spawn(index));
  for (let index = 0; index < size; index++) at(index);

  return {
    size,
    exposures: () => counters.reduce((sum, _, index) => sum + Number(Atomics.load(counters, index)), 0),
    tell: (worker, message) => at(worker).postMessage(message),
    ask(worker, request, onState = () => {}) {
      const number = ++ticket;
      return new Promise((resolve, reject) => {
        waiting.set(number, { worker, resolve, reject, onState });
        at(worker).postMessage({ ...request, ticket: number });
      });
    },
    async close() {
      closed = true;
      await Promise.all(workers.filter((worker) => worker !== null).map((worker) => worker.terminate()));
    },
  };
}
