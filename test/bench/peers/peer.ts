// A peer: someone else's implementation of what we measure, in a process of its own that lives through all rounds, so that no round pays
// for its start. It is told "run" on a line of its standard input and answers with a line of JSON.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** One round of a peer, timed by itself. */
export interface Round<R> {
  readonly seconds: number;
  readonly result: R;
}

export interface Peer<R> {
  /** For the table: "numpy 2.4.6", or "numpy 2.4.6 (absent: no python3)". */
  readonly name: string;
  /** Does the work once; null when the peer is absent. Rejects when the peer fails at it: that is a fault of ours, not an absence. */
  readonly round: (() => Promise<Round<R>>) | null;
  close(): void;
}

type Numbers = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array;

/** Arrays for a peer by name; a peer finds each as NAME.npy in its folder. */
export type PeerArrays = Readonly<Record<string, Numbers | { readonly data: Numbers; readonly shape: readonly number[] }>>;

/** A peer that cannot be had, and why. */
export function absentPeer<R>(name: string, reason: string): Peer<R> {
  return { name: `${name} (absent: ${reason})`, round: null, close() {} };
}

const folders: string[] = [];

/** A new folder of the system's temporary ones, removed when this process ends. */
export function temporaryFolder(): string {
  if (folders.length === 0) {
    process.once("exit", () => folders.forEach(removeFolder));
    // A signal ends a process without "exit".
    for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) process.once(signal, () => process.exit(code));
  }
  folders.push(mkdtempSync(join(tmpdir(), "populace-bench-")));
  return folders.at(-1)!;
}

const removeFolder = (folder: string): void => rmSync(folder, { recursive: true, force: true });

/**
 * Starts `command` with the folder of its arrays as the last argument and waits for its first line, {"ready": true}. Absent, with the last
 * line that it wrote to standard error, when it ends instead.
 */
export async function startPeer<R>(name: string, command: string, args: readonly string[], arrays: PeerArrays, env: Readonly<Record<string, string>> = {}): Promise<Peer<R>> {
  const folder = temporaryFolder();
  for (const [array, values] of Object.entries(arrays)) writeFileSync(join(folder, `${array}.npy`), npy(values));
  const child = spawn(command, [...args, folder], { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  const answers = answersOf(child);
  const close = (): void => {
    child.kill("SIGKILL");
    removeFolder(folder);
  };
  try {
    await answers.next();
  } catch (error) {
    close();
    return absentPeer(name, (error as Error).message);
  }
  return {
    name, close,
    async round() {
      child.stdin.write("run\n");
      return JSON.parse(await answers.next()) as Round<R>;
    },
  };
}

/** The lines of a child one after another; rejects when it ends. */
function answersOf(child: ChildProcessByStdio<Writable, Readable, Readable>): { next(): Promise<string> } {
  let said = "";
  let ended: Error | null = null;
  const lines: string[] = [];
  let waiting: { readonly resolve: (line: string) => void; readonly reject: (error: Error) => void } | null = null;
  const end = (why: string): void => {
    ended ??= new Error(said.trim().split("\n").at(-1) || why);
    waiting?.reject(ended);
  };
  child.stderr.on("data", (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-4000)));
  child.stdin.on("error", () => {});
  child.on("error", (error) => end(error.message));
  child.on("close", (code, signal) => end(`ended with ${code ?? signal}`));
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (waiting === null) lines.push(line);
    else waiting.resolve(line);
    waiting = null;
  });
  return {
    next: () => new Promise((resolve, reject) => {
      const line = lines.shift();
      if (line !== undefined) resolve(line);
      else if (ended !== null) reject(ended);
      else waiting = { resolve, reject };
    }),
  };
}

const NPY_TYPES = new Map<Function, string>([
  [Int8Array, "|i1"], [Uint8Array, "|u1"], [Int16Array, "<i2"], [Uint16Array, "<u2"], [Int32Array, "<i4"], [Uint32Array, "<u4"], [Float32Array, "<f4"], [Float64Array, "<f8"],
]);

/** An array in numpy's file format, version 1.0: a header padded to 64 bytes, then the values; C programs skip the header by its length at byte 8. */
function npy(array: PeerArrays[string]): Uint8Array {
  const { data, shape } = "data" in array ? array : { data: array, shape: [array.length] };
  const header = `{'descr': '${NPY_TYPES.get(data.constructor)!}', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`;
  const text = `${header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11)}\n`;
  const start = Buffer.alloc(10);
  start.write("\x93NUMPY\x01\x00", "latin1");
  start.writeUInt16LE(text.length, 8);
  return Buffer.concat([start, Buffer.from(text, "latin1"), new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
}
