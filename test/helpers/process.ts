// Runs the product as its users do: as a process, over its command line.
import { spawn } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { readTree } from "../../tools/rules/rule.ts";
import { ROOMS } from "../../tools/rooms.ts";
import { ROOT } from "./data.ts";

/** How a process ended, and all it said. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  /** Called once, with the process, when its output first holds `when`. */
  readonly when?: string;
  readonly act?: (kill: (signal: NodeJS.Signals) => void) => void;
  /** Calls `act` once, as soon as the file exists. */
  readonly soon?: { readonly file: string; readonly act: (kill: (signal: NodeJS.Signals) => void) => void };
}

/** Runs a command to its end; it is killed, and the promise rejects, after `timeoutMs` (two minutes unless told). */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd ?? ROOT, env: { ...process.env, ...options.env }, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    let isSeen = false;
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`${command} ${args.join(" ")} did not end; so far it said:\n${stdout}${stderr}`));
    }, options.timeoutMs ?? 120_000);
    const look = (): void => {
      if (isSeen || options.when === undefined || !`${stdout}${stderr}`.includes(options.when)) return;
      isSeen = true;
      options.act?.((signal) => child.kill(signal));
    };
    const soon = options.soon;
    const watch = soon === undefined ? null : setInterval(() => {
      if (!existsSync(soon.file)) return;
      clearInterval(watch ?? undefined);
      soon.act((signal) => child.kill(signal));
    }, 20);
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
      look();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      look();
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      clearInterval(watch ?? undefined);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Runs `populace <args>` from the checkout under this Node. */
export function populace(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return run(process.execPath, [join(ROOT, "cli", "main.ts"), ...args], options);
}

/** Runs `populace <args> --json`, expects success and exactly one JSON document on stdout, and returns it. */
export async function populaceJson<T = Record<string, unknown>>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const ended = await populace([...args, "--json"], options);
  if (ended.code !== 0) throw new Error(`populace ${args.join(" ")} ended with ${ended.code ?? ended.signal}:\n${ended.stderr}${ended.stdout}`);
  return JSON.parse(ended.stdout) as T;
}

/** A new empty folder outside the checkout, removed when the test has finished. */
export function temporaryFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "populace-")));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A new empty folder outside the checkout for all tests of a file, removed after the last; call the answer inside the tests. */
export function sharedTemporaryFolder(): () => string {
  let folder: string | null = null;
  beforeAll(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), "populace-")));
  });
  afterAll(() => {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    if (folder === null) throw new Error("the folder exists only while the tests run");
    return folder;
  };
}

/**
 * A copy of the working tree as a fresh clone would have it. With `isInstalled` it borrows the installed packages, so that
 * programs run in it at once; without, it has only what is tracked or could be.
 */
export function copyOfCheckout(isInstalled: boolean): string {
  const folder = temporaryFolder();
  for (const path of readTree(ROOT).files) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(ROOT, path), target);
  }
  if (isInstalled) {
    for (const { name } of ROOMS) {
      const modules = join(ROOT, name, "node_modules");
      // Links between rooms are relative and lead into the copy; links to packages lead to the link made below.
      if (existsSync(modules)) cpSync(modules, join(folder, name, "node_modules"), { recursive: true, verbatimSymlinks: true });
    }
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  }
  return folder;
}
