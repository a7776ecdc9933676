import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PopulaceError } from "@populace/domain";
import type { BehaviorDescription, BehaviorSetup } from "./description.ts";
import type { FromHost, HostAnswer, Request, Stepped, StepRequest, ToHost } from "./host-message.ts";
import { BEHAVIOR_LIMITS } from "./limits.ts";
import { scriptOf, statementsOf } from "./rules.ts";

/** Bounds of one process. */
export interface SandboxBounds {
  readonly blockMs: number;
  readonly heapMiB: number;
}

/** A process that runs one behavior. */
export interface Sandbox {
  /** What the behavior declares. */
  readonly description: BehaviorDescription;
  // Each of these rejects with BehaviorFault (the behavior's own doing) or SandboxLost (the process is gone for a reason from outside).
  open(setup: BehaviorSetup): Promise<void>;
  /** `columns` null: before tick 0. */
  hold(block: number, columns: Uint8Array | null): Promise<void>;
  step(request: Omit<StepRequest, "kind">): Promise<Stepped>;
  /** Ends the process at once; what was asked is rejected as INTERRUPTED. */
  end(): void;
}

/** What a behavior did wrong. `place`: of the agent in its block whose turn it was, -1 = not known. */
export class BehaviorFault extends Error {
  readonly place: number;
  constructor(message: string, place: number) {
    super(message);
    this.place = place;
  }
}

/** The process ended for a reason that is not the behavior's: the run goes on in another one. */
export class SandboxLost extends Error {}

/** Scripts of a sandbox's realm. */
export interface RealmScripts {
  readonly engine: string;
  readonly seal: string;
}

/**
 * Node's permission model without any permission. It has none for the network before Node 25: the realm gives the behavior no object
 * through which to reach it.
 */
export const PROCESS_FLAGS = ["--permission", "--no-addons", "--disallow-code-generation-from-strings", "--max-semi-space-size=8", "--no-warnings"] as const;

let scripts: RealmScripts | null = null;

/** Engine and seal as scripts, made from their sources once. */
export function realmScripts(): RealmScripts {
  if (scripts !== null) return scripts;
  const read = (url: URL): string => statementsOf(readFileSync(fileURLToPath(url), "utf8"));
  const philox = read(new URL("./philox.ts", import.meta.resolve("@populace/domain/random")));
  const engine = read(new URL("./engine.ts", import.meta.url)), seal = read(new URL("./seal.ts", import.meta.url));
  scripts = {
    // The engine keeps the typed arrays; the seal takes their names away.
    engine: `(function () { "use strict"; return (function (Uint8Array, Uint16Array, Int32Array, Uint32Array) {\n${philox}\n${engine}\nreturn createEngine; })(Uint8Array, Uint16Array, Int32Array, Uint32Array); })`,
    seal: `(function () { "use strict";\n${seal}\nsealRealm(); })();`,
  };
  return scripts;
}

/**
 * Starts a process for the module, checked by the rules first, under Node's permission model: no files, children, threads or addons.
 * BAD_BEHAVIOR when the module breaks a rule or its definition is malformed.
 */
export async function startSandbox(module: string, bounds: SandboxBounds = BEHAVIOR_LIMITS, realm: RealmScripts = realmScripts()): Promise<Sandbox> {
  const behavior = scriptOf(module);
  const child = fork(fileURLToPath(new URL("./host.ts", import.meta.url)), [], {
    execArgv: [...PROCESS_FLAGS, `--max-old-space-size=${bounds.heapMiB}`],
    serialization: "advanced", env: {}, stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const waiting = new Map<number, { resolve(answer: HostAnswer): void; reject(error: Error): void; readonly timer: NodeJS.Timeout }>();
  let id = 0, last = "", ended: Error | null = null;
  child.stderr!.on("data", (bytes: Buffer) => { last = `${last}${bytes.toString("latin1")}`.slice(-4000); });

  const settle = (number: number): ReturnType<typeof waiting.get> => {
    const asked = waiting.get(number);
    waiting.delete(number);
    clearTimeout(asked?.timer);
    return asked;
  };
  const lose = (error: Error): void => {
    ended ??= error;
    for (const number of waiting.keys()) settle(number)!.reject(ended);
  };
  child.on("message", (message: FromHost) => {
    const asked = settle(message.id);
    if ("answer" in message) asked?.resolve(message.answer);
    else asked?.reject(new BehaviorFault(`${message.failure.why}${placeIn(message.failure.where)}`, message.place));
  });
  child.on("error", (error) => lose(new SandboxLost(`the process could not be used: ${error.message}`)));
  child.on("close", (code, signal) => lose(/heap (limit|out of memory)|OOM/i.test(last)
    ? new BehaviorFault(`used more than ${bounds.heapMiB} MiB of memory`, -1)
    : new SandboxLost(`its process ended (${signal ?? `exit code ${code}`})`)));

  const ask = (request: Request): Promise<HostAnswer> => new Promise((resolve, reject) => {
    if (ended !== null) return reject(ended);
    const number = ++id;
    const timer = setTimeout(() => {
      lose(new BehaviorFault(`did not end within ${bounds.blockMs / 1000} s and could not be stopped`, -1));
      child.kill("SIGKILL");
    }, bounds.blockMs + BEHAVIOR_LIMITS.graceMs);
    waiting.set(number, { resolve, reject, timer });
    child.send({ ...request, id: number } satisfies ToHost, (error) => { if (error !== null) settle(number)?.reject(ended ?? new SandboxLost(error.message)); });
  });
  const end = (): void => {
    ended ??= new PopulaceError("INTERRUPTED", "the run was stopped; what was committed stays", {});
    child.kill("SIGKILL");
  };
  try {
    const started = await ask({ kind: "start", ...realm, behavior, timeoutMs: bounds.blockMs });
    if (started.kind !== "started") throw new PopulaceError("INTERNAL", `a sandbox answered "${started.kind}" to "start"`, {});
    return {
      description: started.description,
      open: async (setup) => void await ask({ kind: "open", setup }),
      hold: async (block, columns) => void await ask({ kind: "hold", block, columns }),
      step: async (request) => await ask({ kind: "step", ...request }) as Stepped,
      end,
    };
  } catch (error) {
    end();
    if (error instanceof BehaviorFault) throw new PopulaceError("BAD_BEHAVIOR", `the behavior: ${error.message}`, {}, error);
    throw error;
  }
}

/** " (line 12, column 5)": the innermost call of the behavior's own. */
function placeIn(where: string): string {
  const place = /(\d+):(\d+)/.exec(where);
  return place === null ? "" : ` (line ${place[1]}, column ${place[2]})`;
}
