/**
 * The cluster simulator.
 *   npm run simulator -- --seeds 1000 [--first 1] [--seconds 180] [--workers 2] [--failures 1] [--json]
 *   npm run simulator -- --seed 42          one seed, with a trace of everything that happens
 * Either takes `--plant "no fencing"` (planted.ts). The exit code is 1 when a promise was broken; a failing seed is shrunk and its command printed.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { setFlagsFromString } from "node:v8";
import type { SeedReport } from "./cluster.ts";
import { plant } from "./planted.ts";
import type { FaultKind, Schedule, Strike } from "./schedule.ts";

const HELP = `The cluster simulator: seeds of faults over simulated ports; the exit code is 1 when a promise was broken.

  npm run simulator -- --seeds 1000 --workers 2     many seeds
  npm run simulator -- --seed 42                    one seed, with a trace of everything that happens

  --seeds N      how many (100)              --first N      the first of them (1)
  --stride N     from one to the next (1)    --seconds N    begin none after so long
  --workers N    processes, 1 or 2 (1)       --failures N   stop after so many that failed (1)
  --seed N       this one, traced            --plant NAME   break the product first (planted.ts)
  --flips        bits of nodes' memory flip in every seed, instead of in some
  --removals     runs are removed when they are done, and submitted once more
  --json         one JSON document           --lines        the same on one line
`;
const OPTIONS = {
  seeds: { type: "string", default: "100" }, first: { type: "string", default: "1" }, stride: { type: "string", default: "1" }, seconds: { type: "string" }, failures: { type: "string", default: "1" },
  workers: { type: "string", default: "1" }, seed: { type: "string" }, plant: { type: "string" }, flips: { type: "boolean", default: false }, removals: { type: "boolean", default: false }, json: { type: "boolean", default: false }, lines: { type: "boolean", default: false }, help: { type: "boolean", default: false },
} as const satisfies ParseArgsConfig["options"];
const values = asked();
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const planted = values.plant;
if (planted !== undefined) {
  try {
    plant(planted);
  } catch (error) {
    refuse((error as Error).message);
  }
}
const { runSchedule } = await import("./cluster.ts");
const { scheduleOf } = await import("./schedule.ts");
const { shrink } = await import("./shrink.ts");
const { FAULT_KINDS, KINDS_WITH_LIVE_INPUTS } = await import("./schedule.ts");
forbidAmbient();
// What a seed makes is garbage when it ends: a larger nursery, in MiB, is cleared less often (a tenth of the time).
setFlagsFromString("--min-semi-space-size=32");
// Of many seeds nobody reads where an error was made: finding it out costs more than what the error is about.
if (values.seed === undefined) Error.stackTraceLimit = 0;
const kinds = planted === "live inputs" || planted === "reopened without its sealed input" ? KINDS_WITH_LIVE_INPUTS : FAULT_KINDS;
/** Nothing else is for double runs to find. */
const hasFlips = values.flips || planted === "no double run";
const schedule = (seed: number): Schedule => scheduleOf(seed, { kinds, removals: values.removals, ...(hasFlips ? { flips: true } : {}) });

/** The options, or one line and exit code 2. */
function asked() {
  try {
    const given = parseArgs({ options: OPTIONS }).values;
    for (const name of ["seeds", "first", "stride", "seconds", "failures", "workers", "seed"] as const) {
      const text = given[name];
      if (text !== undefined && !/^\d+$/.test(text)) refuse(`--${name} is "${text}"; expected a whole number`);
    }
    return given;
  } catch (error) {
    return refuse((error as Error).message);
  }
}
function refuse(why: string): never {
  process.stderr.write(`simulator: ${why}; --help shows the options\n`);
  process.exit(2);
}

/** What a number of seeds came to. */
interface Summary {
  seeds: number;
  seconds: number;
  readonly faults: Partial<Record<FaultKind, number>>;
  readonly counts: Record<string, number>;
  virtualHours: number;
  readonly failed: { readonly seed: number; readonly violations: SeedReport["violations"] }[];
}

/** How far one process is. */
interface Progress {
  /** Seeds so far. */
  readonly progress: number;
  readonly failed: number;
  readonly seconds: number;
}
const PROGRESS_S = 10;
const progresses: Progress[] = [];
const tell = ({ progress, failed, seconds }: Progress): void => void process.stderr.write(`${progress} of ${values.seeds} seeds, ${failed} failed, ${Math.round(seconds)} s\n`);

const emptySummary = (): Summary => ({ seeds: 0, seconds: 0, faults: {}, counts: {}, virtualHours: 0, failed: [] });
const replayOf = (seed: number): string => `npm run simulator -- --seed ${seed}${values.flips ? " --flips" : ""}${values.removals ? " --removals" : ""}${planted === undefined ? "" : ` --plant "${planted}"`}`;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

if (values.seed !== undefined) {
  const seed = Number(values.seed);
  const report = await runSchedule(schedule(seed), { trace: say });
  say(JSON.stringify(report.counts));
  for (const { invariant, message } of report.violations) say(`VIOLATION ${invariant}: ${message}`);
  if (report.violations.length > 0) await printShrunk(seed, report);
  process.exit(report.violations.length > 0 ? 1 : 0);
} else {
  const workers = Math.min(2, Number(values.workers));
  const summary = workers === 1 ? await runSeeds(values.lines ? (so) => say(JSON.stringify(so)) : tell) : joined(await Promise.all(Array.from({ length: workers }, (_, index) => inProcess(index, workers))));
  if (values.lines) say(JSON.stringify(summary));
  else {
    if (values.json) say(JSON.stringify(summary, null, 1));
    else print(summary);
    if (!values.json) for (const { seed } of summary.failed.slice(0, 3)) await printShrunk(seed, await runSchedule(schedule(seed)));
  }
  process.exit(summary.failed.length > 0 ? 1 : 0);
}

/** `onProgress` hears every PROGRESS_S seconds how far it is; a seed that failed is told on standard error at once. */
async function runSeeds(onProgress: (progress: Progress) => void): Promise<Summary> {
  const summary = emptySummary(), startedMs = performance.now(), secondsMax = Number(values.seconds ?? Number.POSITIVE_INFINITY);
  let told = 0;
  const stride = Number(values.stride), first = Number(values.first), count = Number(values.seeds);
  for (let index = 0; index < count && summary.failed.length < Number(values.failures); index += 1) {
    summary.seconds = (performance.now() - startedMs) / 1000;
    if (summary.seconds > secondsMax) break;
    if (summary.seconds - told >= PROGRESS_S) {
      told = summary.seconds;
      onProgress({ progress: summary.seeds, failed: summary.failed.length, seconds: told });
    }
    const report = await runSchedule(schedule(first + index * stride));
    add(summary.faults as Record<string, number>, report.faults as Record<string, number>);
    add(summary.counts, { ...report.counts });
    summary.virtualHours += report.virtualMs / 3_600_000;
    summary.seeds += 1;
    if (report.violations.length > 0) {
      summary.failed.push({ seed: report.seed, violations: report.violations });
      process.stderr.write(`violation: ${report.violations[0].invariant}: ${report.violations[0].message}; ${replayOf(report.seed)}\n`);
    }
  }
  summary.seconds = (performance.now() - startedMs) / 1000;
  return summary;
}

/** The machine's own clock, timers and chance: whatever inside the cluster used them would break the promise of one seed, one course of events. */
function forbidAmbient(): void {
  const forbid = (what: string) => (): never => { throw new Error(`something inside the simulated cluster called ${what}; it has a port for that`); };
  Math.random = forbid("Math.random");
  Date.now = forbid("Date.now");
  Object.assign(globalThis, { setTimeout: forbid("setTimeout"), setInterval: forbid("setInterval") });
}

function sum(what: (progress: Progress) => number): number {
  return progresses.reduce((total, one) => total + what(one), 0);
}

/** Every `of`-th seed in a process of its own. */
function inProcess(index: number, of: number): Promise<Summary> {
  const args = ["--lines", "--first", String(Number(values.first) + index), "--stride", String(of), "--seeds", String(Math.ceil((Number(values.seeds) - index) / of)), "--failures", values.failures];
  if (values.seconds !== undefined) args.push("--seconds", values.seconds);
  if (planted !== undefined) args.push("--plant", planted);
  if (values.flips) args.push("--flips");
  if (values.removals) args.push("--removals");
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [import.meta.filename, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    let last = "";
    createInterface({ input: child.stdout }).on("line", (line) => {
      last = line;
      if (!line.startsWith('{"progress"')) return;
      progresses[index] = JSON.parse(line) as Progress;
      // Once for all processes: when the last of them has told.
      if (index === of - 1) tell({ progress: sum(({ progress }) => progress), failed: sum(({ failed }) => failed), seconds: progresses[index].seconds });
    });
    child.on("error", reject);
    child.on("close", (code) => {
      try {
        resolve(JSON.parse(last) as Summary);
      } catch {
        reject(new Error(`a simulator process ended with ${code}: ${last.slice(-500)}`));
      }
    });
  });
}

function joined(parts: readonly Summary[]): Summary {
  const summary = emptySummary();
  for (const part of parts) {
    add(summary.faults as Record<string, number>, part.faults as Record<string, number>);
    add(summary.counts, part.counts);
    summary.seeds += part.seeds;
    summary.seconds = Math.max(summary.seconds, part.seconds);
    summary.virtualHours += part.virtualHours;
    summary.failed.push(...part.failed);
  }
  return summary;
}

function print({ seeds, seconds, faults, counts, virtualHours, failed }: Summary): void {
  say(`seeds       ${seeds} in ${seconds.toFixed(1)} s, ${((1000 * seconds) / Math.max(1, seeds)).toFixed(1)} ms each; ${virtualHours.toFixed(1)} hours of the clusters' own time`);
  say(`faults      ${Object.entries(faults).toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([kind, count]) => `${kind} ${count}`).join(", ")}`);
  say(`seen        ${Object.entries(counts).map(([what, count]) => `${what} ${count}`).join(", ")}`);
  say(`violations  ${failed.length}`);
  for (const { seed, violations } of failed) {
    say(`seed ${seed}: ${replayOf(seed)}`);
    for (const { invariant, message } of violations) say(`  ${invariant}: ${message}`);
  }
}

/** The fewest faults of the seed's schedule that still break the same promise. */
async function printShrunk(seed: number, report: SeedReport): Promise<void> {
  const whole = schedule(seed), broken = new Set(report.violations.map(({ invariant }) => invariant));
  const strikes = await shrink<Strike>(whole.strikes, async (some) => (await runSchedule({ ...whole, strikes: some })).violations.some(({ invariant }) => broken.has(invariant)));
  say(`seed ${seed} with ${strikes.length} of its ${whole.strikes.length} faults breaks ${[...broken].join(", ")}: ${JSON.stringify({ ...whole, strikes })}`);
  say(`replay: ${replayOf(seed)}`);
}

function add(to: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [key, value] of Object.entries(from)) to[key] = (to[key] ?? 0) + value;
}
