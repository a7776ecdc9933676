import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { describe, expect, it } from "vitest";
import type { PopulaceError } from "@populace/domain";
import { sha256Hex } from "@populace/io";
import { contact, handModel } from "./hand-model.fixture.ts";
import { summarizeRun, tickRows } from "./intervals.ts";
import { runHere } from "./local-run.fixture.ts";
import { compilePlan } from "./plan.ts";
import { sweepParquet, writeRun } from "./results.ts";
import type { Manifest } from "./results.ts";
import { readStudy } from "./study.ts";

const model = handModel({
  codings: [], personas: [{ id: "a", share: 0.5, distributions: [] }, { id: "b", share: 0.5, distributions: [] }], stimuli: [contact("mail"), contact("call")],
  steps: ["open", "buy"], terms: [{ kind: "intercept" }], coefficients: [[-1], [-1]], sd: 0.2, worlds: 8,
});
const study = readStudy({ agents: 2_000, ticks: 3, everyTicks: 1, seed: 11 }, model);
const plan = compilePlan(model, study);
const outcome = runHere(plan);
const rows = summarizeRun(model, study, plan, outcome);
const parquet = async (path: string) => parquetOf(readFileSync(path));
const parquetOf = async (bytes: Uint8Array) => {
  return parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer });
};

describe("writeRun", () => {
  it("writes tables that read back, and a manifest that names their hashes", async () => {
    const outDir = join(mkdtempSync(join(tmpdir(), "run-")), "deep", "er");
    const manifest = writeRun(outDir, { model, study, plan, outcome, rows });
    const stored = JSON.parse(readFileSync(join(outDir, "manifest.json"), "utf8")) as Manifest;
    expect(stored).toEqual(JSON.parse(JSON.stringify(manifest)));
    expect(stored).toMatchObject({ seed: 11, rootHash: outcome.rootHash, roots: outcome.roots, runSpec: { agents: 2_000, ticks: 3, kernelSpec: "expose-2" } });
    for (const [name, { sha256 }] of Object.entries(stored.files)) expect(sha256Hex(readFileSync(join(outDir, name)))).toBe(sha256);
    const rates = await parquet(join(outDir, "rates.parquet"));
    expect(rates).toHaveLength(rows.length);
    expect(rates.map((row) => ({ ...row, exposures: Number(row["exposures"]), responses: Number(row["responses"]) }))).toEqual(rows.map((row) => ({ ...row })));
    const ticks = await parquet(join(outDir, "ticks.parquet"));
    expect(ticks.map((row) => Number(row["responses"]))).toEqual(tickRows(plan, outcome).map((row) => row.responses));
  });

  it("the rates of a sweep are one table with the varied values, numbers as numbers", async () => {
    const cell = (values: (string | number)[]) => ({ values, runId: `run ${values[0]}`, rootHash: "ab", rows });
    const read = await parquetOf(sweepParquet(["agents", "population.form"], [cell([1, "coded"]), cell([2, "factor"])]));
    expect(read).toHaveLength(2 * rows.length);
    expect(read[rows.length]).toMatchObject({ agents: 2, "population.form": "factor", runId: "run 2", rootHash: "ab", persona: rows[0].persona, mean: rows[0].mean });
  });

  it("a folder that cannot be written leaves nothing behind", () => {
    const path = join(mkdtempSync(join(tmpdir(), "run-")), "file");
    writeFileSync(path, "");
    expect(() => writeRun(path, { model, study, plan, outcome, rows })).toThrow(expect.objectContaining({ code: "STORE_FAILED" }) as PopulaceError);
    expect(existsSync(join(path, "manifest.json"))).toBe(false);
  });
});
