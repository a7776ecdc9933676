import { Worker } from "node:worker_threads";
import { type ErrorCode, ERROR_TABLE, PopulaceError } from "@populace/domain";
import type { ExposeKernel } from "@populace/kernels";
import { blockWorker } from "./block-worker.ts";
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

/** Long-lived workers. One works through its messages one after another. */
export interface WorkerPool {
  readonly size: number;
  /** Exposures computed so far by all workers, also inside unfinished spans. */
  exposures(): number;
  tell(worker: number, message: ToWorker): void;
  /** Rejects with KernelFailed, the worker's code and message, or INTERNAL when it died; `onState` gets the states of a checkpoint as they come. */
  ask(worker: number, request: Request, onState?: (block: number, state: Uint8Array) => void): Promise<Answer>;
  close(): Promise<void>;
}

/** One worker as the pool sees it. */
interface Hand {
  post(message: ToWorker): void;
  end(): Promise<unknown>;
}
/** Begins a worker that answers by `onMessage` and is replaced once `onLost` was called. */
type Spawn = (start: WorkerStart, onMessage: (message: FromWorker) => void, onLost: (why: string) => void) => Hand;

/** Worker threads of this process. */
export const startWorkers = (size: number): WorkerPool => startPool(size, (start, onMessage, onLost) => {
  const thread = new Worker(new URL(import.meta.resolve("@populace/agent-runtime/worker")), { workerData: start, name: `populace-${start.worker}`, execArgv: [] });
  thread.on("message", onMessage);
  thread.on("error", (error) => onLost(String(error)));
  thread.on("exit", (code) => onLost(`exit code ${code}`));
  return { post: (message) => thread.postMessage(message), end: () => thread.terminate() };
});

/** What workers without threads compute with. */
export interface InlineWork {
  readonly kernel: ExposeKernel;
  /** Exposures a second that each worker claims when it is calibrated. */
  readonly exposuresPerSecond: number;
  /** Resolves when a worker is to begin with a message: the computing time, where time is simulated. */
  pace(message: ToWorker): Promise<void>;
  /** Sees every answer before the node does, and may change it. */
  answer?(message: FromWorker): FromWorker;
}

/** Workers that compute inside the caller's thread, in an order that depends on nothing but their messages: for the simulated cluster. */
export const startWorkersInline = (size: number, { kernel, exposuresPerSecond, pace, answer = (message) => message }: InlineWork): WorkerPool => startPool(size, (start, onMessage) => {
  const work = blockWorker({
    worker: start.worker, progress: new BigInt64Array(start.progress), openKernel: async () => kernel, measure: async () => exposuresPerSecond,
    send: (message) => onMessage(answer(message)),
  });
  let queue = Promise.resolve();
  return { post: (message) => { queue = queue.then(() => pace(message)).then(() => work(message)); }, end: async () => {} };
});

function startPool(size: number, begin: Spawn): WorkerPool {
  const progress = new SharedArrayBuffer(8 * size);
  const counters = new BigInt64Array(progress);
  const waiting = new Map<number, Waiting>();
  let ticket = 0, closed = false;

  const hands: (Hand | null)[] = new Array<Hand | null>(size).fill(null);

  function spawn(index: number): Hand {
    const hand = begin({ progress, worker: index }, (message) => {
      const asked = waiting.get(message.ticket);
      if (asked === undefined) return;
      if (message.kind === "state") return asked.onState(message.block, message.state);
      waiting.delete(message.ticket);
      if (message.kind === "failed") asked.reject(new KernelFailed(message.code in ERROR_TABLE ? (message.code as ErrorCode) : "INTERNAL", message.message, {}));
      else asked.resolve(message);
    }, (why) => {
      if (hands[index] === hand) hands[index] = null;
      for (const [number, asked] of waiting) {
        if (asked.worker !== index) continue;
        waiting.delete(number);
        asked.reject(new PopulaceError(closed ? "INTERRUPTED" : "INTERNAL", closed ? "the node was stopped; what was committed stays" : `worker ${index} ended: ${why}`, { worker: index }));
      }
    });
    return hand;
  }

  /** A worker that died (out of memory) is replaced when it is next needed; it then holds nothing, and its runs are restored. */
  const at = (index: number): Hand => (hands[index] ??= spawn(index));
  for (let index = 0; index < size; index++) at(index);

  return {
    size,
    exposures: () => counters.reduce((sum, _, index) => sum + Number(Atomics.load(counters, index)), 0),
    tell: (worker, message) => at(worker).post(message),
    ask(worker, request, onState = () => {}) {
      const number = ++ticket;
      return new Promise((resolve, reject) => {
        waiting.set(number, { worker, resolve, reject, onState });
        at(worker).post({ ...request, ticket: number } as ToWorker);
      });
    },
    async close() {
      closed = true;
      await Promise.all(hands.filter((hand) => hand !== null).map((hand) => hand.end()));
    },
  };
}
