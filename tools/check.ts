// The repository keeps its own rules: `npm run check` runs every one and says what it looked at.
//   npm run check                      all rules
//   npm run check -- direction purity  only these
//   npm run check -- --write           refresh the generated tables in the documents first
//   npm run check -- --root DIR        another checkout
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { direction } from "./rules/direction.ts";
import { blockPattern, errors, generatedBlocks, glossary, links, rooms } from "./rules/documents.ts";
import { lint, types, unused } from "./rules/programs.ts";
import { purity } from "./rules/purity.ts";
import { type Rule, readTree } from "./rules/rule.ts";
import { docstrings, files, manifests, testHygiene, words } from "./rules/tidiness.ts";

const RULES: readonly Rule[] = [
  { name: "types", run: types },
  { name: "lint", run: lint },
  { name: "direction", run: direction },
  { name: "purity", run: purity },
  { name: "rooms", run: rooms },
  { name: "manifests", run: manifests },
  { name: "unused", run: unused },
  { name: "docstrings", run: docstrings },
  { name: "errors", run: errors },
  { name: "links", run: links },
  { name: "glossary", run: glossary },
  { name: "files", run: files },
  { name: "words", run: words },
  { name: "tests", run: testHygiene },
];

/** At most this many violations of one rule are printed; the count says the rest. */
const PRINTED_MAX = 40;

export interface CheckResult {
  readonly passed: number;
  readonly failed: readonly string[];
}

/** Runs the rules (all of them when none is named) over a checkout, printing one line each and its violations. */
export async function check(root: string, names: readonly string[] = []): Promise<CheckResult> {
  const unknown = names.filter((name) => !RULES.some((rule) => rule.name === name));
  if (unknown.length > 0) throw new RangeError(`no rule is called ${unknown.join(", ")}; there are ${RULES.map((rule) => rule.name).join(", ")}`);
  const tree = readTree(root);
  const failed: string[] = [];
  const chosen = RULES.filter((rule) => names.length === 0 || names.includes(rule.name));
  for (const rule of chosen) {
    const started = performance.now();
    const { saw, violations } = await rule.run(tree);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${violations.length === 0 ? "ok  " : "FAIL"} check ${rule.name.padEnd(10)} ${saw} (${seconds} s)`);
    for (const violation of violations.slice(0, PRINTED_MAX)) console.log(`       ${violation}`);
    if (violations.length > PRINTED_MAX) console.log(`       and ${violations.length - PRINTED_MAX} more`);
    if (violations.length > 0) failed.push(rule.name);
  }
  return { passed: chosen.length - failed.length, failed };
}

async function write(root: string): Promise<void> {
  for (const { path, name, content } of await generatedBlocks(readTree(root))) {
    const text = readFileSync(join(root, path), "utf8");
    writeFileSync(join(root, path), text.replace(blockPattern(name), (_, open: string, __, close: string) => `${open}${content}${close}`));
  }
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { root: { type: "string" }, write: { type: "boolean" } } });
  const root = resolve(values.root ?? dirname(dirname(fileURLToPath(import.meta.url))));
  if (values.write) await write(root);
  const { failed } = await check(root, positionals);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
