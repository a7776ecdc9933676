// Processes of a cluster as an operator starts them.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "./data.ts";

/** A running `populace` command, or another program of the checkout. */
export interface PopulaceProcess {
  readonly child: ChildProcess;
  /** Everything it has printed. */
  readonly said: () => string;
  /** Resolves with the first match in what it has printed; rejects when it ends without one. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<number | null>;
}

const running = new Set<ChildProcess>();
process.on("exit", killPopulaceProcesses);

/** Kills whatever this process has started and still runs. */
export function killPopulaceProcesses(): void {
  for (const child of running) child.kill("SIGKILL");
}

export interface StartOptions {
  /** Another file of the checkout than the command line. */
  readonly program?: string;
  readonly nodeOptions?: readonly string[];
  /** A command that starts the command behind it. */
  readonly prefix?: readonly string[];
}

/** Starts `populace <args>`. */
export function startPopulace(args: readonly string[], { program = "cli/main.ts", nodeOptions = [], prefix = [] }: StartOptions = {}): PopulaceProcess {
  const [command, ...rest] = [...prefix, process.execPath, ...nodeOptions, join(ROOT, program), ...args];
  const child = spawn(command!, rest, { env: { ...process.env, NO_COLOR: "1", POPULACE_LOG: "warn" }, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let said = "";
  const waiting = new Set<() => void>();
  const ended = new Promise<number | null>((resolve) => child.on("close", (code) => {
    running.delete(child);
    for (const look of waiting) look();
    resolve(code);
  }));
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => { said += chunk.toString(); for (const look of waiting) look(); });
  return {
    child, ended, said: () => said,
    says: (pattern) => new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(said);
        if (match === null && running.has(child)) return;
        waiting.delete(look);
        if (match === null) reject(new Error(`${program} ${args[0]} ended without saying ${pattern.source}:\n${said}`));
        else resolve(match);
      };
      waiting.add(look);
      look();
    }),
  };
}
