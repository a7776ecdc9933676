import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import type { ColumnSource } from "hyparquet-writer";
import { sha256, sha256Hex, writeFileAtomic } from "@populace/io";
import { ARITHMETIC_PROFILES, BEHAVIOR_SPEC, KERNEL_SPEC, isBehaviorPlan, planHash, runSpecOf } from "@populace/protocol";
import type { BehaviorPlan, Plan, RunSpec } from "@populace/protocol";
import { tickRows } from "./intervals.ts";
import type { RateRow } from "./intervals.ts";
import type { Model } from "./model.ts";
import type { RunOutcome } from "./run.ts";
import type { Study } from "./study.ts";

/** Shape of the result files; grows when a column changes its meaning. */
export const RESULTS_FORMAT = 1;

/** What any run was, and what it left: enough to repeat it and to prove that the repetition is the same. */
interface RunManifest {
  readonly format: typeof RESULTS_FORMAT;
  readonly runId: string;
  readonly rootHash: string;
  /** Hex root of each tick. */
  readonly roots: readonly string[];
  readonly runSpec: RunSpec;
  /** SHA-256 over the names of everything that fixes the bits: kernel specification, arithmetic profile, results format. */
  readonly codeHash: string;
  readonly planHash: string;
  readonly seed: number;
  /** `backend`: those that computed it, joined by "+"; `backendReason`: why this machine took its own; `uncheckedFrom`: see RunOutcome. */
  readonly execution: RunOutcome["execution"] & { readonly seconds: number; readonly exposures: number; readonly cached: boolean; readonly backendReason: string; readonly uncheckedFrom: number | null };
  readonly versions: { readonly populace: string; readonly node: string };
  readonly files: Readonly<Record<string, { readonly rows: number; readonly sha256: string }>>;
}

/** The manifest of a study's run. */
export interface Manifest extends RunManifest {
  readonly study: Study;
  readonly model: { readonly name: string; readonly version: number; readonly evidence: Model["evidence"]; readonly personas: number; readonly worlds: number };
}

/** The manifest of a behavior's run: its exposures are agent ticks. */
export interface BehaviorManifest extends RunManifest {
  readonly behavior: { readonly name: string; readonly parameters: Readonly<Record<string, number>>; readonly counters: readonly string[] };
}

interface RunToWrite<P extends Plan> {
  readonly plan: P;
  readonly outcome: RunOutcome;
  readonly backendReason?: string;
}

function manifestOf({ plan, outcome, backendReason = "" }: RunToWrite<Plan>, seed: number, files: RunManifest["files"], version: string): RunManifest {
  const hash = planHash(plan, sha256);
  const specs = isBehaviorPlan(plan) ? [BEHAVIOR_SPEC] : [KERNEL_SPEC, ...ARITHMETIC_PROFILES];
  return {
    format: RESULTS_FORMAT, runId: outcome.runId, rootHash: outcome.rootHash, roots: outcome.roots, runSpec: runSpecOf(plan, hash),
    codeHash: sha256Hex(new TextEncoder().encode(["populace code 1", ...specs, `results ${RESULTS_FORMAT}`].join("\n"))), planHash: hash, seed,
    execution: { ...outcome.execution, backend: outcome.backend, backendReason, seconds: outcome.seconds, exposures: outcome.exposures, cached: outcome.cached, uncheckedFrom: outcome.uncheckedFrom },
    versions: { populace: version, node: process.versions.node }, files,
  };
}

/**
 * Writes `rates.parquet` (one row a scenario, persona, stimulus and step), `ticks.parquet` (the counts of every tick) and
 * `manifest.json` into `outDir`, each whole or not at all, the manifest last: where it stands, the tables are complete.
 * Returns the manifest. Throws STORE_FAILED when the disk refuses.
 */
export function writeRun(
  outDir: string,
  run: RunToWrite<Plan> & { readonly model: Model; readonly study: Study; readonly rows: readonly RateRow[] },
  version = "0.1.0",
): Manifest {
  const { model, study, plan, outcome, rows } = run;
  const files = writeFiles(outDir, { "rates.parquet": parquet(outcome, rows.length, rateColumns(rows)), "ticks.parquet": ticksParquet(plan, outcome) });
  const manifest: Manifest = {
    ...manifestOf(run, study.seed, files, version), study,
    model: { name: model.name, version: model.version, evidence: model.evidence, personas: model.mixture.personas.length, worlds: model.response.worlds },
  };
  writeFileAtomic(join(outDir, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** Writes the files of a behavior's run, each with its number of rows, and then its manifest, which it returns. Throws STORE_FAILED when the disk refuses. */
export function writeBehaviorRun(outDir: string, run: RunToWrite<BehaviorPlan> & { readonly seed: number; readonly files: Readonly<Record<string, FileToWrite>> }, version = "0.1.0"): BehaviorManifest {
  const { name, parameters } = run.plan.behavior;
  const manifest: BehaviorManifest = {
    ...manifestOf(run, run.seed, writeFiles(outDir, run.files), version),
    behavior: { name, parameters: Object.fromEntries(parameters.map((each) => [each.name, each.value])), counters: run.plan.steps },
  };
  writeFileAtomic(join(outDir, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

interface FileToWrite {
  readonly rows: number;
  readonly bytes: Uint8Array;
}

function writeFiles(outDir: string, files: Readonly<Record<string, FileToWrite>>): RunManifest["files"] {
  return Object.fromEntries(Object.entries(files).map(([name, { rows, bytes }]) => {
    writeFileAtomic(join(outDir, name), bytes);
    return [name, { rows, sha256: sha256Hex(bytes) }];
  }));
}

/** The table of ticks as a Parquet file: the counts of every tick by scenario, persona, stimulus and step. */
export function ticksParquet(plan: Plan, outcome: RunOutcome): { readonly rows: number; readonly bytes: Uint8Array } {
  const ticks = tickRows(plan, outcome);
  return parquet(outcome, ticks.length, [
    { name: "tick", data: Int32Array.from(ticks, (row) => row.tick), type: "INT32", nullable: false },
    text("scenario", ticks.map((row) => row.scenario)),
    text("persona", ticks.map((row) => row.persona)),
    text("stimulus", ticks.map((row) => row.stimulus)),
    text("step", ticks.map((row) => row.step)),
    integer("exposures", ticks.map((row) => row.exposures)),
    integer("responses", ticks.map((row) => row.responses)),
    integer("left", ticks.map((row) => row.left)),
    integer("shared", ticks.map((row) => row.shared)),
  ]);
}

/** One run of a sweep: the varied values, and what came of them. */
export interface SweepCell {
  readonly values: readonly (string | number | boolean)[];
  readonly runId: string;
  readonly rootHash: string;
  readonly rows: readonly RateRow[];
}

/** The rates of all runs of a sweep as one Parquet file: the varied values by the names in `paths`, the run, and the columns of rates.parquet. */
export function sweepParquet(paths: readonly string[], cells: readonly SweepCell[]): Uint8Array {
  const rows = cells.flatMap((cell) => cell.rows.map((row) => ({ cell, row })));
  const varied = paths.map((path, index): ColumnSource => {
    const values = rows.map(({ cell }) => cell.values[index]);
    return values.every((value) => typeof value === "number") ? number(path, values) : text(path, values.map(String));
  });
  return new Uint8Array(parquetWriteBuffer({ columnData: [...varied, text("runId", rows.map(({ cell }) => cell.runId)), text("rootHash", rows.map(({ cell }) => cell.rootHash)), ...rateColumns(rows.map(({ row }) => row))] }));
}

const rateColumns = (rows: readonly RateRow[]): ColumnSource[] => [
  text("scenario", rows.map((row) => row.scenario)),
  text("persona", rows.map((row) => row.persona)),
  text("stimulus", rows.map((row) => row.stimulus)),
  text("step", rows.map((row) => row.step)),
  number("mean", rows.map((row) => row.mean)),
  number("low", rows.map((row) => row.low)),
  number("high", rows.map((row) => row.high)),
  number("ess", rows.map((row) => row.ess)),
  text("label", rows.map((row) => row.label)),
  integer("exposures", rows.map((row) => row.exposures)),
  integer("responses", rows.map((row) => row.responses)),
  number("conditional", rows.map((row) => row.conditional)),
];

const parquet = (outcome: RunOutcome, rows: number, columnData: ColumnSource[]): { readonly rows: number; readonly bytes: Uint8Array } => ({
  rows, bytes: new Uint8Array(parquetWriteBuffer({ columnData, kvMetadata: [{ key: "populace.runId", value: outcome.runId }, { key: "populace.rootHash", value: outcome.rootHash }] })),
});

const text = (name: string, data: string[]): ColumnSource => ({ name, data, type: "STRING", nullable: false });
const number = (name: string, data: (number | null)[]): ColumnSource => ({ name, data, type: "DOUBLE", nullable: true });
const integer = (name: string, data: number[]): ColumnSource => ({ name, data: BigInt64Array.from(data, BigInt), type: "INT64", nullable: false });
