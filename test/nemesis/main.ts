// The nemesis: a cluster of real processes under faults, held to the invariants.
//   npm run nemesis -- --scenario NAME|all [--minutes 10] [--seed 1] [--server own|current] [--json]
//   npm run nemesis -- --matrix [--seed 1]      the same run in every way it can be computed: one root
//   npm run nemesis -- --figures [--rounds 20]  times of failover, cost of a commit, a planned move
import { parseArgs } from "node:util";
import type { NatsProgram } from "../../io/nats/server.fixture.ts";
import { nats } from "../../tools/nats.ts";
import { ROOT } from "../helpers/data.ts";
import { figures } from "./figures.ts";
import { hashMatrix } from "./matrix.ts";
import { runScenario, type NemesisReport } from "./run-scenario.ts";
import { SCENARIOS } from "./scenarios.ts";

const { values } = parseArgs({ options: {
  scenario: { type: "string" }, minutes: { type: "string", default: "10" }, seed: { type: "string", default: "1" }, server: { type: "string", default: "own" }, json: { type: "boolean", default: false },
  matrix: { type: "boolean", default: false }, figures: { type: "boolean", default: false }, rounds: { type: "string", default: "20" },
} });
const chosen = SCENARIOS.filter(({ name }) => name === values.scenario || (values.scenario === "all" && name !== "soak"));
if (chosen.length === 0 && !values.matrix && !values.figures) {
  console.error(["which scenario? --scenario all (without the soak), or one of", ...SCENARIOS.map(({ name, what }) => `  ${name.padEnd(26)} ${what}`)].join("\n"));
  process.exit(2);
}
const { env, note } = await nats(ROOT);
const path = env[values.server === "current" ? "POPULACE_NATS_SERVER_CURRENT" : "POPULACE_NATS_SERVER"] ?? "";
if (path === "") {
  console.error(note);
  process.exit(1);
}
const say = (line: string): void => { if (!values.json) console.log(line); };
const program: NatsProgram = { name: values.server, path, why: "" };
let isWrong = false;
if (values.matrix) {
  const rows = await hashMatrix(program, Number(values.seed), 300, (row) => say(`${row.isSame ? "same" : "DIFFERENT"}  ${row.root}  ${row.exposures} exposures  ${row.way}`));
  if (values.json) console.log(JSON.stringify(rows, null, 2));
  isWrong ||= rows.some(({ isSame }) => !isSame);
}
if (values.figures) {
  const found = await figures(program, Number(values.rounds), say);
  if (values.json) console.log(JSON.stringify(found, null, 2));
}
const reports: NemesisReport[] = [];
for (const scenario of chosen) {
  say(`${scenario.name}: ${scenario.what}`);
  const report = await runScenario(scenario, { program, seed: Number(values.seed), minutes: Number(values.minutes), onNote: (line) => say(`  ${line}`) });
  reports.push(report);
  say(lines(report).map((line) => `  ${line}`).join("\n"));
}
if (values.json && chosen.length > 0) console.log(JSON.stringify(reports, null, 2));
else if (chosen.length > 0) say(`${reports.length} scenarios, ${reports.reduce((sum, { violations }) => sum + violations.length, 0)} violations; again with: npm run nemesis -- --scenario ${values.scenario} --seed ${values.seed}`);
process.exitCode = isWrong || reports.some(({ violations }) => violations.length > 0) ? 1 : 0;

function lines({ faults, runs, commits, views, terms, seconds, root, exposures, longestSilenceMs, memoryMb, streamBytes, files, violations }: NemesisReport): readonly string[] {
  return [
    `faults: ${Object.entries(faults).map(([fault, times]) => `${times} x ${fault}`).join(", ")}`,
    `${runs} runs, ${commits} commits, ${views} views, ${terms} terms in ${seconds} s; longest without a commit ${longestSilenceMs} ms`,
    `${exposures} exposures, none lost or counted twice where I5 holds; last root ${root.slice(0, 16)}`,
    `streams ${Math.round(streamBytes / 1024 ** 2)} MiB; at most ${files} open files a process; memory in MiB over time:`,
    ...Object.entries(memoryMb).map(([who, { most, overTime }]) => `  ${who.padEnd(16)} at most ${most}: ${overTime.join(" ")}`),
    violations.length === 0 ? "every invariant holds" : violations.map(({ invariant, message }) => `BROKEN ${invariant}: ${message}`).join("\n  "),
  ];
}
