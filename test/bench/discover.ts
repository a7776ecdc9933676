import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Bench } from "./bench.ts";

/** Every benchmark of this folder, by name; throws for a `*.bench.ts` that exports none. */
export async function discover(): Promise<readonly Bench[]> {
  const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".bench.ts"));
  const benches: Bench[] = [];
  for (const file of files.toSorted()) {
    const module = (await import(pathToFileURL(join(import.meta.dirname, file)).href)) as { readonly bench?: Bench };
    if (module.bench === undefined) throw new TypeError(`test/bench/${file}: exports no \`bench\` of { name, run }`);
    benches.push(module.bench);
  }
  return benches;
}
