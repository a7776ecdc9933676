/** Computes the blocks of job plans: each in a thread of its own, beside the workers that compute kernels. */
import { readdirSync, rmSync } from "node:fs";
import { mkdtemp, open as openFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { type ErrorCode, ERROR_TABLE, PopulaceError } from "@populace/domain";
import { type Blobs, sha256 } from "@populace/io";
import { isJobPlan, type JobPlan, LEAF_BYTES } from "@populace/protocol";
import type { WorkerPool } from "./worker-pool.ts";

/** The functions of jobs that a node computes. */
export interface NodeJobs {
  /** As `jobName` has them. */
  readonly names: readonly string[];
  /** The program of a thread: it is started with a `JobCall` as its workerData, and posts one `JobAnswer`. */
  readonly thread: URL;
}

/** What a job's thread is started with. */
export interface JobCall {
  readonly function: string;
  readonly parameters: string;
  /** Paths of the inputs by their names. */
  readonly files: Readonly<Record<string, string>>;
}

/** What a job's thread says, once. */
export type JobAnswer =
  | { readonly kind: "done"; readonly output: Uint8Array }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

interface Run {
  readonly plan: JobPlan;
  readonly control: Int32Array;
}

/** How often a thread is looked after: a stopped run ends it within the 100 ms that kernels have. */
const LOOK_MS = 50;

/** Folders of inputs, the process in their names: what a killed one left is removed by the next that starts. */
const FOLDER = "populace-job-";

/** A pool for job plans: at most `size` threads at once, further blocks wait. */
export function startJobPool(size: number, jobs: NodeJobs, blobs: Pick<Blobs, "get">): WorkerPool {
  const runs = new Map<string, Run>();
  const waiting: (() => void)[] = [];
  let busy = 0, closed = false;
  for (const name of readdirSync(tmpdir())) if (name.startsWith(FOLDER) && isDead(Number.parseInt(name.slice(FOLDER.length), 10))) rmSync(join(tmpdir(), name), { recursive: true, force: true });

  return {
    size,
    exposures: () => 0,
    tell(_, message) {
      if (message.kind === "open" && isJobPlan(message.plan)) runs.set(message.key, { plan: message.plan, control: new Int32Array(message.control) });
      else if (message.kind === "close") runs.delete(message.key);
    },
    async ask(_, request, onState = () => {}) {
      if (request.kind === "calibrate") return { kind: "calibrated", ticket: 0, exposuresPerSecond: 0 };
      if (request.kind === "hold") return { kind: "held", ticket: 0, hashes: [] };
      const run = runs.get(request.key);
      if (run === undefined) throw new PopulaceError("INTERRUPTED", `run ${request.key} was closed`, {});
      const output = await inTurn(() => compute(run, () => runs.get(request.key) !== run));
      const hash = sha256(output), leaf = new Uint8Array(LEAF_BYTES);
      leaf.set(hash);
      leaf.set(hash, hash.length);
      const [{ blocks: [block] }] = request.shards;
      onState(block, output);
      return { kind: "computed", ticket: 0, parts: [], hashes: [{ block, hashes: leaf, state: request.checkpoint ? hash : null }] };
    },
    async close() {
      closed = true;
    },
  };

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (busy >= size) await new Promise<void>((resolve) => waiting.push(resolve));
    else busy += 1;
    try {
      return await work();
    } finally {
      // The place goes to whoever waits longest.
      const next = waiting.shift();
      if (next === undefined) busy -= 1;
      else next();
    }
  }

  async function compute(run: Run, isClosed: () => boolean): Promise<Uint8Array> {
    const { job } = run.plan;
    const check = (): void => {
      if (closed || isClosed() || Atomics.load(run.control, 0) !== 0) throw new PopulaceError("INTERRUPTED", `job ${job.function} was stopped`, {});
    };
    check();
    const folder = await mkdtemp(join(tmpdir(), `${FOLDER}${process.pid}-`));
    try {
      const files: Record<string, string> = {};
      for (const [index, { name, parts }] of job.inputs.entries()) {
        const file = await openFile(files[name] = join(folder, String(index)), "wx", 0o600);
        try {
          for (const part of parts) {
            check();
            const bytes = await blobs.get(part);
            if (bytes === null) throw new PopulaceError("NOT_FOUND", `job ${job.function}: part ${part} of its input ${name} is not in the blob store; submit it again`, { part });
            await file.writeFile(bytes);
          }
        } finally {
          await file.close();
        }
      }
      return await called({ function: job.function, parameters: job.parameters, files }, check);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async function called(call: JobCall, check: () => void): Promise<Uint8Array> {
    const answer = Promise.withResolvers<Uint8Array>();
    const thread = new Worker(jobs.thread, { workerData: call, name: `populace-job-${call.function}`, execArgv: [] });
    thread.on("message", (message: JobAnswer) => {
      if (message.kind === "done") answer.resolve(message.output);
      else answer.reject(new PopulaceError(message.code in ERROR_TABLE ? (message.code as ErrorCode) : "INTERNAL", message.message, {}));
    });
    thread.on("error", (error) => answer.reject(new PopulaceError("INTERNAL", `job ${call.function}: ${String(error)}`, {}, error)));
    thread.on("exit", (code) => answer.reject(new PopulaceError("INTERNAL", `job ${call.function}: its thread ended with exit code ${code} and no output`, {})));
    const look = setInterval(() => {
      try {
        check();
      } catch (error) {
        answer.reject(error);
      }
    }, LOOK_MS);
    try {
      return await answer.promise;
    } finally {
      clearInterval(look);
      await thread.terminate();
    }
  }
}

function isDead(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    // One that may not be signaled lives.
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
