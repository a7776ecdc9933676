/**
 * The process in which one behavior runs: started without permission for files, children, workers and addons, spoken to by its node
 * alone. Holds the sealed realm; the behavior has no object of this realm in its hands, so nothing here is within its reach. It imports
 * nothing of this repository: it may read no file but itself.
 */
import { hash } from "node:crypto";
import vm from "node:vm";
import type { Engine } from "./engine.ts";
import type { FromHost, HostAnswer, ToHost } from "./host-message.ts";

let engine: Engine | null = null;
let timeoutMs = 0;

const bytesOf = (words: ArrayBufferView): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
const sha256 = (...parts: readonly ArrayBufferView[]): Uint8Array => hash("sha256", Buffer.concat(parts.map(bytesOf)), "buffer");

process.on("message", (message: ToHost) => {
  let answer: HostAnswer | null = null;
  let failure: { readonly why: string; readonly where: string } | null = null;
  (globalThis as unknown as { work: () => void }).work = () => {
    // A foreign error may be any object: it is read here, where time is short.
    try { answer = handle(message); } catch (error) { failure = failureOf(error); }
  };
  try {
    WORK.runInThisContext({ timeout: message.kind === "start" ? message.timeoutMs : timeoutMs });
  } catch (error) {
    const isLate = (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
    failure = { why: isLate ? `did not end within ${timeoutMs / 1000} s` : String(error), where: "" };
  }
  send(failure === null ? { id: message.id, answer: answer! } : { id: message.id, failure, place: engine?.current() ?? -1 });
});
/** A script, because only a script's time can be bounded, whatever the functions it calls do. */
const WORK = new vm.Script("work()");

function handle(message: ToHost): HostAnswer {
  switch (message.kind) {
    case "start": {
      timeoutMs = message.timeoutMs;
      const realm = vm.createContext(vm.constants.DONT_CONTEXTIFY, { codeGeneration: { strings: false, wasm: false } });
      const createEngine = (vm.runInContext(message.engine, realm) as () => (load: () => unknown) => Engine)();
      vm.runInContext(message.seal, realm);
      engine = createEngine(new vm.Script(message.behavior, { filename: "behavior" }).runInContext(realm) as () => unknown);
      return { kind: "started", description: JSON.parse(JSON.stringify(engine.describe())) };
    }
    case "open":
      engine!.open(message.setup);
      return { kind: "done" };
    case "hold":
      engine!.hold(message.block, message.columns);
      return { kind: "done" };
    case "step": {
      const before = message.isDouble ? ownBytes(engine!.columnsOf(message.block)) : null;
      const { counts, outbox, columns } = engine!.step(message.block, message.tick, wordsOf(message.inbox));
      return {
        kind: "stepped", before, counts: wordsOf(bytesOf(counts)), outbox: wordsOf(bytesOf(outbox)), hashes: Buffer.concat([sha256(columns), sha256(counts, outbox)]),
        columns: message.withState ? ownBytes(columns) : null,
      };
    }
  }
}

function send(message: FromHost): void {
  process.send!(message);
}

// Arrays of this realm's kind, which the channel and the other realm both take, at an alignment of their own.
const ownBytes = (source: Uint8Array): Uint8Array => new Uint8Array(source);
const wordsOf = (source: Uint8Array): Uint32Array => new Uint32Array(new Uint8Array(source).buffer);

function failureOf(error: unknown): { readonly why: string; readonly where: string } {
  try {
    return { why: textOf((error as Error)?.message ?? error), where: textOf((error as Error)?.stack ?? "") };
  } catch {
    return { why: "threw something that could not be read", where: "" };
  }
}

function textOf(value: unknown): string {
  return `${value as string}`.slice(0, 500);
}
