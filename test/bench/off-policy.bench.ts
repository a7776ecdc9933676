import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readDataset, readSchema, valuePolicy } from "@populace/studies";
import { ROOT, dataFile } from "../helpers/data.ts";
import type { Bench, BenchRow } from "./bench.ts";
import { PUBLISHED, estimated, policyTask } from "./off-policy-world.ts";
import { pythonPeer } from "./peers/python.ts";

/** Off-policy estimates: the synthetic protocol of the Open Bandit Pipeline's authors, and the Open Bandit data in both directions. */
export const bench: Bench = {
  name: "off-policy",
  async run({ tiny }) {
    return [...(await synthetic(tiny)), ...(await openBandit(tiny))];
  },
};

/** Relative errors in the authors' table: 20 logs of 10,000 decisions, 30 arms, beta -3, logistic regression. */
const TABLE: Readonly<Record<string, number>> = { IPW: 0.009481, SNIPW: 0.006665, DM: 0.07439, DR: 0.006175, SNDR: 0.006118, "Switch-DR": 0.006175, DRos: 0.021951 };

async function synthetic(tiny: boolean): Promise<BenchRow[]> {
  const worlds = tiny ? 2 : 20, options = tiny ? { ...PUBLISHED, rows: 600, arms: 4 } : PUBLISHED;
  const { rows, arms, features } = options;
  const python = await pythonPeer({ tiny });
  const errors = new Map<string, number[]>(), theirs = new Map<string, number[]>(), inside = new Map<string, number>();
  let peerName = "obp 0.4.1 (absent: not looked for in a tiny run)";
  const put = (into: Map<string, number[]>, name: string, value: number, truth: number): void => { into.set(name, [...(into.get(name) ?? []), Math.abs(value - truth) / truth]); };
  for (let world = 0; world < worlds; world++) {
    const task = policyTask(options, world);
    for (const { name, value, low, high } of estimated(task, options, world).estimators) {
      put(errors, name, value, task.truth);
      inside.set(name, (inside.get(name) ?? 0) + (low <= task.truth && task.truth <= high ? 1 : 0));
    }
    const { action, reward, propensity, context, policy } = task;
    const peer = await python.start<Readonly<Record<string, number>>>({ script: "off_policy_obp.py", of: "obp", arrays: { action, reward, propensity, context: { data: context, shape: [rows, features] }, policy: { data: policy, shape: [rows, arms] } }, args: { arms } });
    peerName = peer.name;
    try {
      if (peer.round !== null) for (const [name, value] of Object.entries((await peer.round()).result)) put(theirs, name, value, task.truth);
    } finally {
      peer.close();
    }
  }
  return [...errors].map(([name, of]) => {
    const peer = theirs.has(name) ? mean(theirs.get(name)!) : null, ours = mean(of);
    return {
      what: `off-policy, synthetic decisions: relative error of ${name} over ${worlds} logs (se ${standardError(of).toFixed(5)}${peer === null ? "" : `, peer's ${standardError(theirs.get(name)!).toFixed(5)}`}; ${inside.get(name)} of ${worlds} intervals hold the truth)`,
      ours, peer, peerName: `${peer === null && theirs.size > 0 ? "none" : peerName}${TABLE[name] === undefined ? "" : `; published ${TABLE[name]}`}`, ratio: peer === null ? null : peer / ours, unit: "relative error", floor: TABLE[name] === undefined ? null : `published ${TABLE[name]}`, target: null, hash: hashOf(of),
    };
  });
}

const LOGS = ["random", "bts"] as const;

async function openBandit(tiny: boolean): Promise<BenchRow[]> {
  const paths = LOGS.map((log) => dataFile("open-bandit", `${log}_men.csv.gz`)), references = dataFile("open-bandit", "reference_results.json");
  if (paths.includes(null) || references === null) return [{ what: "off-policy, Open Bandit men (absent: set POPULACE_DATA)", ours: 0, peer: null, peerName: "none", ratio: null, unit: "relative error", floor: null, target: null, hash: "absent" }];
  const reference = (JSON.parse(readFileSync(references, "utf8")) as { men: Readonly<Record<string, Readonly<Record<string, { relative_error: number } | number>>>> }).men;
  const schema = readSchema(join(ROOT, "cli", "examples", "open-bandit.yaml"));
  const [random, bts] = await Promise.all(paths.map((path) => readDataset(schema, path!)));
  const rate = (log: typeof random): number => log!.outcomes.reduce((sum, click) => sum + click, 0) / log!.rows;
  const folder = mkdtempSync(join(tmpdir(), "populace-bandit-"));
  try {
    const shares = join(folder, "bts.csv");
    writeFileSync(shares, itemShares(bts!));
    const directions = tiny ? [{ name: "Thompson's log, random policy", log: bts!, policy: "uniform", truth: rate(random), peer: reference["bts_log_to_random_policy"]! }] : [
      { name: "Thompson's log, random policy", log: bts!, policy: "uniform", truth: rate(random), peer: reference["bts_log_to_random_policy"]! },
      { name: "random log, Thompson's policy", log: random!, policy: shares, truth: rate(bts), peer: reference["random_log_to_bts_policy"]! },
    ];
    const rows: BenchRow[] = [];
    for (const { name, log, policy, truth, peer } of directions) {
      const found = await valuePolicy(log, { policy });
      for (const { name: estimator, value, se, low, high } of found.estimators) {
        const known = peer[{ IPW: "ipw", SNIPW: "snipw", DR: "dr", DM: "dm_smoothed_table" }[estimator as string] ?? ""];
        const theirs = typeof known === "object" ? known.relative_error : null, ours = Math.abs(value - truth) / truth;
        rows.push({
          what: `off-policy, Open Bandit men, ${name}: relative error of ${estimator} (${value.toFixed(5)}, se ${se.toFixed(5)}, 95 % ${low.toFixed(5)} to ${high.toFixed(5)}; on-policy ${truth.toFixed(4)}, itself +- 15 %)`,
          ours, peer: theirs, peerName: theirs === null ? "none" : "the data's README", ratio: theirs === null ? null : theirs / ours, unit: "relative error", floor: null, target: null, hash: hashOf([value, se]),
        });
      }
      const ess = peer["effective_sample_size"] as number;
      rows.push({ what: `off-policy, Open Bandit men, ${name}: effective sample size (largest weight ${found.maxWeight.toFixed(2)})`, ours: found.ess, peer: ess, peerName: "the data's README", ratio: found.ess / ess, unit: "decisions", floor: "the same", target: null, hash: hashOf([found.ess, found.maxWeight]) });
    }
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The policy behind a log, from the log: shares of the items at each position. */
function itemShares(log: Awaited<ReturnType<typeof readDataset>>): string {
  const column = log.columns[log.schema.attributes.findIndex((attribute) => attribute.name === "position")]!;
  if (column.kind !== "text") throw new TypeError("position is categorical");
  const { stimuli } = log.schema.stimulus;
  const counts = column.dictionary.map(() => new Float64Array(stimuli.length));
  for (let row = 0; row < log.rows; row++) counts[column.codes[row]!]![log.stimulus[row]!]!++;
  return `position,item_id,probability\n${counts.flatMap((of, at) => [...of].map((count, arm) => `${column.dictionary[at]},${stimuli[arm]!.value},${count / of.reduce((sum, each) => sum + each, 0)}`)).join("\n")}\n`;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const standardError = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1) / values.length);
const hashOf = (values: readonly number[]): string => createHash("sha256").update(Float64Array.from(values)).digest("hex").slice(0, 12);
