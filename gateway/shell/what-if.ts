import { Worker } from "node:worker_threads";
import { ERROR_TABLE, PopulaceError } from "@populace/domain";
import type { ErrorCode } from "@populace/domain";
import type { Logger } from "@populace/io";
import type { WhatIfAnswer, WhatIfQuestion } from "@populace/studies";
import { GATEWAY_LIMITS } from "../core/limits.ts";
import type { FromWhatIf, ToWhatIf } from "./what-if-message.ts";

/** The text of the model file behind a release, or null where it is not to be had any more. */
export type LoadModel = (release: string) => Promise<string | null>;

/** An answer and what it came from. */
export interface WhatIfReply {
  readonly release: string;
  readonly answer: WhatIfAnswer;
  readonly backend: string;
}

interface Thread {
  readonly release: string;
  readonly worker: Worker;
  readonly waiting: Map<number, { readonly resolve: (reply: WhatIfReply) => void; readonly reject: (error: PopulaceError) => void }>;
  readonly answered: Map<string, Promise<WhatIfReply>>;
}

/**
 * What-if questions on a thread beside the one that serves: it holds the model of the release being served, and starts with it, so that no first
 * question waits for code to be compiled. The same question to the same release has the same answer, so that one is remembered.
 */
export class WhatIfDesk {
  readonly #loadModel: LoadModel;
  readonly #logger: Logger;
  #thread: Promise<Thread> | null = null;
  #release = "";
  #tickets = 0;

  constructor(loadModel: LoadModel, logger: Logger) {
    this.#loadModel = loadModel;
    this.#logger = logger;
  }

  /** Answers from the model of this release. UNAVAILABLE while it cannot, BAD_STUDY and others as `whatIf` of room studies. */
  async ask(release: string, question: WhatIfQuestion): Promise<WhatIfReply> {
    const thread = await this.serve(release);
    const key = JSON.stringify(question), known = thread.answered.get(key);
    if (known !== undefined) return known;
    if (thread.waiting.size >= GATEWAY_LIMITS.whatIfsWaitingMax) {
      throw new PopulaceError("UNAVAILABLE", `${thread.waiting.size} what-if questions are waiting already; ask again in a moment`, { waiting: thread.waiting.size });
    }
    const reply = new Promise<WhatIfReply>((resolve, reject) => {
      const ticket = this.#tickets++;
      thread.waiting.set(ticket, { resolve, reject });
      thread.worker.postMessage({ kind: "ask", ticket, question } satisfies ToWhatIf);
    });
    thread.answered.set(key, reply);
    reply.catch(() => thread.answered.delete(key));
    if (thread.answered.size > GATEWAY_LIMITS.whatIfsKeptMax) thread.answered.delete(thread.answered.keys().next().value!);
    return reply;
  }

  /** Starts the thread for a release, or answers with the one that runs for it. A thread for another release answers what it was asked and ends. */
  serve(release: string): Promise<Thread> {
    if (this.#thread !== null && this.#release === release) return this.#thread;
    const before = this.#thread;
    this.#release = release;
    const starting = this.#start(release);
    this.#thread = starting;
    // After a failure the next question tries again.
    starting.catch(() => { if (this.#thread === starting) this.#thread = null; });
    void before?.then(retire, () => {});
    return starting;
  }

  async close(): Promise<void> {
    const thread = await this.#thread?.catch(() => null);
    this.#thread = null;
    if (thread) await end(thread, "the gateway is closing");
  }

  async #start(release: string): Promise<Thread> {
    const text = await this.#loadModel(release);
    if (text === null) throw new PopulaceError("UNAVAILABLE", `the model of release ${release} is not in the store, so nothing can be simulated from it; a newer one may be on its way`, { release });
    const worker = new Worker(new URL("./what-if-worker.ts", import.meta.url), { name: "populace-what-if" });
    worker.unref();
    const thread: Thread = { release, worker, waiting: new Map(), answered: new Map() };
    return new Promise((resolve, reject) => {
      const died = (cause: unknown): void => {
        const error = new PopulaceError("UNAVAILABLE", "the thread of what-if questions ended; ask again", { release }, cause);
        this.#logger.error({ error: String(cause) }, "what-if thread ended");
        if (this.#release === release) this.#thread = null;
        reject(error);
        for (const { reject: refuse } of thread.waiting.values()) refuse(error);
        thread.waiting.clear();
      };
      worker.once("error", died);
      worker.once("exit", () => { if (thread.waiting.size > 0) died("it exited"); });
      worker.on("message", (message: FromWhatIf) => {
        if (message.kind === "ready") {
          this.#logger.info({ release, backend: message.backend }, "what-if questions are answered");
          return resolve(thread);
        }
        const failure = message.kind === "failed" ? new PopulaceError(message.code in ERROR_TABLE ? (message.code as ErrorCode) : "INTERNAL", message.message, message.details) : null;
        if (message.ticket === null) return reject(failure);
        const asked = thread.waiting.get(message.ticket);
        thread.waiting.delete(message.ticket);
        if (message.kind === "answer") asked?.resolve({ release, answer: message.answer, backend: message.backend });
        else asked?.reject(failure!);
      });
      worker.postMessage({ kind: "model", text } satisfies ToWhatIf);
    });
  }
}

/** Lets a thread answer what it was asked before it ends. */
function retire(thread: Thread): void {
  const isDone = (): boolean => {
    if (thread.waiting.size > 0) return false;
    void thread.worker.terminate();
    return true;
  };
  if (!isDone()) thread.worker.on("message", isDone);
}

async function end(thread: Thread, why: string): Promise<void> {
  for (const { reject } of thread.waiting.values()) reject(new PopulaceError("UNAVAILABLE", why, {}));
  thread.waiting.clear();
  await thread.worker.terminate();
}
