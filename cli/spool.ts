import { closeSync, fsyncSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PopulaceError } from "@populace/domain";
import { writeAtomicVia } from "@populace/io";

/** Bytes kept in memory; what is longer goes to a file. */
const MEMORY_BYTES_MAX = 32_000_000;
const READ_BYTES = 1 << 20;

/**
 * JSON lines on their way to standard output, which must stay empty until they are all known to be right. Short ones wait in memory, long ones in a nameless
 * file of the folder for temporary files, which is gone when the process is. STORE_FAILED when the disk refuses.
 */
export class Spool {
  readonly #memoryBytesMax: number;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #file: number | null = null;

  constructor(memoryBytesMax = MEMORY_BYTES_MAX) {
    this.#memoryBytesMax = memoryBytesMax;
  }

  /** Keeps the bytes; they must stay as they are. */
  add(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    if (this.#file === null && this.#bytes <= this.#memoryBytesMax) {
      this.#pieces.push(bytes);
      return;
    }
    this.#file ??= this.#moveToFile();
    this.#write(this.#file, bytes);
  }

  /** The lines as items of a JSON array, once: a comma in place of each line's end but the last. */
  *items(): Iterable<string> {
    const decoder = new TextDecoder();
    let read = 0;
    try {
      for (const piece of this.#file === null ? this.#pieces : fileBytes(this.#file)) {
        read += piece.length;
        const text = decoder.decode(piece, { stream: true }).replaceAll("\n", ",");
        yield read === this.#bytes && text.endsWith(",") ? text.slice(0, -1) : text;
      }
    } finally {
      if (this.#file !== null) closeSync(this.#file);
      this.#file = null;
    }
  }

  #moveToFile(): number {
    const path = join(tmpdir(), `populace-${process.pid}-${randomUUID().slice(0, 8)}.jsonl`);
    let file: number;
    try {
      file = openSync(path, "wx+", 0o600);
      // The open file lives on without its name, and nobody has to clean up after a crash.
      rmSync(path);
    } catch (cause) {
      throw new PopulaceError("STORE_FAILED", `${path}: ${(cause as Error).message}; set TMPDIR to a folder with room, or write with --out`, { path }, cause);
    }
    for (const piece of this.#pieces) this.#write(file, piece);
    this.#pieces = [];
    return file;
  }

  #write(file: number, bytes: Uint8Array): void {
    try {
      writeAll(file, bytes);
    } catch (cause) {
      throw new PopulaceError("STORE_FAILED", `the folder for temporary files, ${tmpdir()}: ${(cause as Error).message}; set TMPDIR to a folder with room, or write with --out`, {}, cause);
    }
  }
}

/**
 * Lets `write` fill a file piece by piece: the file is there whole in the end or not at all. STORE_FAILED when the disk refuses; what `write`
 * throws is passed on.
 */
export async function writePiecesAtomic(path: string, write: (add: (piece: Uint8Array) => void) => Promise<void>): Promise<void> {
  try {
    await writeAtomicVia(path, async (temporary) => {
      const file = openSync(temporary, "wx");
      try {
        await write((piece) => writeAll(file, piece));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    });
  } catch (cause) {
    if (cause instanceof PopulaceError || (cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw new PopulaceError("STORE_FAILED", `${path} could not be written: ${(cause as Error).message}; the old content, if any, is untouched`, { path }, cause);
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(file, bytes, offset);
}

function* fileBytes(file: number): Iterable<Uint8Array> {
  const buffer = new Uint8Array(READ_BYTES);
  for (let position = 0; ; ) {
    const read = readSync(file, buffer, 0, READ_BYTES, position);
    if (read === 0) return;
    position += read;
    yield buffer.subarray(0, read);
  }
}
