import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A word as a POSIX shell must be given it. */
export const shellWord = (word: string): string => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/**
 * How the reader calls this program from the folder they are in: `populace` once installed, through npm in the root of a
 * checkout, and by its path from anywhere else. What is printed must work as printed.
 */
export function howToCall(): string {
  // The packed form is JavaScript (tools/pack.ts rewrites the name below).
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  if (main.endsWith(".js")) return basename(process.argv[1] ?? "") === "populace" ? "populace" : "npx populace";
  return join(process.cwd(), "cli", "main.ts") === main ? "npm run -s populace --" : `${shellWord(process.execPath)} ${shellWord(main)}`;
}
