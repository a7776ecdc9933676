import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { PopulaceError } from "@populace/domain";

/** Makes a folder and those it lies in where they are missing. One at a time: node's recursive form never returns where a folder's parent is there and refuses (/proc). */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  for (let folder = resolve(path); !existsSync(folder); folder = dirname(folder)) missing.push(folder);
  for (const folder of missing.toReversed()) {
    try {
      mkdirSync(folder);
    } catch (cause) {
      // Somebody else was quicker.
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    }
  }
}

/**
 * Writes a file whole or not at all: temporary file beside it, fsync, rename. A reader sees the old content or the new, never half.
 * Missing folders are made. STORE_FAILED when the disk refuses; the temporary file is gone then.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  const temporary = temporaryPath(path);
  try {
    makeFolder(dirname(path));
    const file = openSync(temporary, "wx");
    try {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(file, bytes, offset);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    discard(temporary);
    throw new PopulaceError("STORE_FAILED", `${path} could not be written: ${(cause as Error).message}; the old content, if any, is untouched`, { path }, cause);
  }
}

/**
 * Lets `write` fill a temporary path and renames it to `path` when it succeeds; for writers that want a file name (Parquet).
 * When `write` throws, nothing is left behind and its error is passed on.
 */
export async function writeAtomicVia(path: string, write: (temporary: string) => Promise<void> | void): Promise<void> {
  makeFolder(dirname(path));
  const temporary = temporaryPath(path);
  try {
    await write(temporary);
    renameSync(temporary, path);
  } catch (cause) {
    discard(temporary);
    throw cause;
  }
}

const temporaryPath = (path: string): string => `${path}.${process.pid}.${randomUUID().slice(0, 8)}.part`;

function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // A parent that is no folder: there is nothing to remove, and the first error is the one to show.
  }
}
