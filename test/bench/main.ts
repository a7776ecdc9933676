// `npm run bench`: ours beside the peers, in one run on this machine.
//   npm run bench                      all, into test/bench/results/latest.json and latest.md
//   npm run bench -- --only expose     those whose name holds the word; the files keep the rows of the others
//   npm run bench -- --json            one JSON document on stdout
//   npm run bench -- --tiny            tiny inputs, as in the test run; no files are written
// README.md says how to read the table, and who the peers are.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { BenchRow } from "./bench.ts";
import { discover } from "./discover.ts";

interface Measured extends BenchRow {
  readonly bench: string;
  readonly measuredAt: string;
}

interface Results {
  readonly machine: string;
  readonly rows: readonly Measured[];
}

const RESULTS = join(import.meta.dirname, "results");

const { values } = parseArgs({ options: { only: { type: "string" }, json: { type: "boolean" }, tiny: { type: "boolean" } } });
const benches = (await discover()).filter((bench) => values.only === undefined || bench.name.includes(values.only));
if (benches.length === 0) {
  console.error(`no benchmark's name holds "${values.only ?? ""}"`);
  process.exit(2);
}
const rows: Measured[] = [];
for (const bench of benches) {
  if (!values.json) console.error(`bench ${bench.name} ...`);
  for (const row of await bench.run({ tiny: values.tiny === true })) rows.push({ bench: bench.name, ...row, measuredAt: new Date().toISOString() });
}
const results: Results = {
  machine: `${availableParallelism()} x ${cpus()[0]?.model ?? "unknown processor"}, Node ${process.versions.node}`,
  rows: values.tiny ? rows : merged(rows),
};
if (!values.tiny) {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, "latest.json"), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(RESULTS, "latest.md"), markdown(results));
}
process.stdout.write(values.json ? `${JSON.stringify({ ...results, rows })}\n` : markdown({ ...results, rows }));

/** New rows take the place of the old rows of their benchmark. */
function merged(fresh: readonly Measured[]): readonly Measured[] {
  const path = join(RESULTS, "latest.json");
  if (!existsSync(path)) return fresh;
  const known = (JSON.parse(readFileSync(path, "utf8")) as Results).rows;
  const renewed = new Set(fresh.map((row) => row.bench));
  return [...known.filter((row) => !renewed.has(row.bench)), ...fresh].toSorted((a, b) => a.bench.localeCompare(b.bench));
}

function markdown({ machine, rows: shown }: Results): string {
  const lines = shown.map(
    (row) => `| ${row.ratio === null ? "-" : `**${figure(row.ratio)}x**`} | ${row.what} | ${figure(row.ours)} ${row.unit} | ${row.peer === null ? "-" : `${figure(row.peer)} ${row.unit}`} (${row.peerName}) | ${row.floor ?? "-"} | ${row.target ?? "-"} | \`${row.hash.slice(0, 12)}\` |`,
  );
  return ["# Benchmarks", "", `Measured on ${machine}. A ratio above 1 means that ours is better.`, "", "| ratio | what | ours | peer | floor | target | hash |", "|---|---|---|---|---|---|---|", ...lines, ""].join("\n");
}

function figure(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
