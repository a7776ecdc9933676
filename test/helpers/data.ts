// The real data sets are never in the repository; tests that use them skip by name where they are absent.
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the checkout. */
export const ROOT: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The folder of the real data sets (`POPULACE_DATA`, else `../shared/data` beside the checkout), or null where there is none. */
function dataFolder(): string | null {
  const named = process.env.POPULACE_DATA;
  const folder = resolve(named ?? join(ROOT, "..", "shared", "data"));
  return existsSync(folder) ? folder : null;
}

/** The path of one file of the real data, or null where it is absent. */
export function dataFile(...parts: readonly string[]): string | null {
  const folder = dataFolder();
  if (folder === null) return null;
  const path = join(folder, ...parts);
  return existsSync(path) ? path : null;
}

/** What the name of a skipped suite says, so that the list of skipped tests carries its reason. */
export const NEEDS_DATA = "needs the real data: set POPULACE_DATA";
