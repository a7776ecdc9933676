// Peers in Python: an environment that the benchmark makes for itself and throws away, and scripts that run in it.
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { BenchOptions } from "../bench.ts";
import { absentPeer, type Peer, type PeerArrays, type Round, startPeer, temporaryFolder } from "./peer.ts";

export interface PythonScript {
  /** File of this folder. It defines `prepare(arrays, args)`, which returns an object with `run()` and, if a round needs it, an untimed `reset()` (host.py). */
  readonly script: string;
  /** The package of requirements.txt that the peer is named after. */
  readonly of: string;
  readonly arrays: PeerArrays;
  /** Anything JSON can say. */
  readonly args: unknown;
  /** Threads that its libraries may use; 1 unless told. */
  readonly threads?: number;
}

/**
 * Python with the packages of requirements.txt. Where it cannot be had, every peer it starts is absent and says why.
 *
 *   const python = await pythonPeer({ tiny });
 *   const peer = await python.start<number[]>({ script: "expose_numpy.py", of: "numpy", arrays: { codes }, args: { ticks: 9 } });
 *   if (peer.round !== null) console.log(peer.name, (await peer.round()).seconds);
 *   peer.close();
 */
export interface PythonPeer {
  /** A process that has loaded its script and its arrays and waits for rounds. */
  start<R>(script: PythonScript): Promise<Peer<R>>;
  /** One round and no more; null when the peer is absent. */
  run<R>(script: PythonScript): Promise<Round<R> | null>;
}

const run = promisify(execFile);
const HERE = import.meta.dirname;
const REQUIREMENTS = join(HERE, "requirements.txt");

let environment: Promise<{ readonly python: string } | { readonly absent: string }> | null = null;

/**
 * The environment is made once a process, in a temporary folder that goes when the process ends; `POPULACE_PEERS=<folder>` names one that stays
 * and is used again while requirements.txt is the same. A tiny run looks for nothing.
 */
export async function pythonPeer({ tiny }: BenchOptions): Promise<PythonPeer> {
  const found = tiny ? { absent: "not looked for in a tiny run" } : await (environment ??= makeEnvironment(process.env.POPULACE_PEERS ?? temporaryFolder()).catch((error: unknown) => ({ absent: reasonOf(error) })));
  async function start<R>({ script, of, arrays, args, threads = 1 }: PythonScript): Promise<Peer<R>> {
    const name = `${of} ${versionOf(of)}`;
    if ("absent" in found) return absentPeer(name, found.absent);
    // One variable each for OpenMP, OpenBLAS, MKL and polars.
    const env = Object.fromEntries(["OMP", "OPENBLAS", "MKL", "POLARS_MAX"].map((library) => [library === "POLARS_MAX" ? "POLARS_MAX_THREADS" : `${library}_NUM_THREADS`, String(threads)]));
    return startPeer(name, found.python, [join(HERE, "host.py"), join(HERE, script), JSON.stringify(args)], arrays, env);
  }
  return {
    start,
    async run<R>(script: PythonScript) {
      const peer = await start<R>(script);
      try {
        return peer.round === null ? null : await peer.round();
      } finally {
        peer.close();
      }
    },
  };
}

/** The version that requirements.txt pins. */
function versionOf(name: string): string {
  const line = readFileSync(REQUIREMENTS, "utf8").split("\n").find((each) => each.startsWith(`${name}==`));
  if (line === undefined) throw new TypeError(`test/bench/peers/requirements.txt does not pin ${name}`);
  return line.slice(name.length + 2);
}

async function makeEnvironment(folder: string): Promise<{ readonly python: string }> {
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python"), made = join(folder, "requirements.txt");
  if (existsSync(made) && readFileSync(made, "utf8") === readFileSync(REQUIREMENTS, "utf8")) return { python };
  mkdirSync(folder, { recursive: true });
  await run("python3", ["-m", "venv", folder]);
  await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary", ":all:", "-r", REQUIREMENTS], { timeout: 300_000 });
  copyFileSync(REQUIREMENTS, made);
  return { python };
}

function reasonOf(error: unknown): string {
  const { code, stderr, message } = error as { readonly code?: unknown; readonly stderr?: string; readonly message: string };
  if (code === "ENOENT") return "no python3";
  const lines = (stderr ?? "").trim().split("\n").filter((line) => line !== "");
  return (lines.find((line) => line.startsWith("ERROR")) ?? lines.at(-1) ?? message).slice(0, 160);
}
