// The example schemas over the real data sets beside the checkout; every function answers null where a file is absent.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { backtest, fitModel, readDataset, readSchema, selectRows, splitDataset } from "@populace/studies";
import type { BacktestResult, Dataset } from "@populace/studies";
import type { BenchRow } from "./bench.ts";
import { ROOT, dataFile } from "../helpers/data.ts";

/** Example schema -> its data file below the data folder. */
export const REAL_DATA = {
  hillstrom: ["hillstrom", "hillstrom_half_a.csv.gz"],
  bank: ["bank-marketing", "bank_first70.csv.gz"],
  "open-bandit": ["open-bandit", "random_men.csv.gz"],
  "customer-personality": ["customer-personality", "marketing_campaign_half_a.csv"],
  kdd98: ["direct-mail", "kdd98_fundraising_half_a.csv"],
} as const;
export type RealData = keyof typeof REAL_DATA;

/** The data set through its example schema, or null where the data are absent. */
export async function readRealData(name: RealData): Promise<Dataset | null> {
  const path = dataFile(...REAL_DATA[name]);
  return path === null ? null : readDataset(readSchema(join(ROOT, "cli", "examples", `${name}.yaml`)), path);
}

/** First and last part of a dataset in its own order. */
function cutInOrder(data: Dataset, share: number): readonly [Dataset, Dataset] {
  const cut = Math.round(share * data.rows);
  return [selectRows(data, Int32Array.from({ length: cut }, (_, row) => row)), selectRows(data, Int32Array.from({ length: data.rows - cut }, (_, row) => cut + row))];
}

/** The bank calls in date order: fitted on the first 70 %, the rest predicted a thousand at a time before being learned. */
export function bankRolling(data: Dataset, worlds: number): BacktestResult {
  const [fit, held] = cutInOrder(data, 0.7);
  return backtest(fitModel(fit.schema, fit, { worlds }), held, { rolling: 1000 });
}

/** A fit on half of the rows judged on the other half. */
export function halfBacktest(data: Dataset, worlds: number, seed = 1): BacktestResult {
  const [fit, held] = splitDataset(data, 0.5, seed);
  return backtest(fitModel(fit.schema, fit, { worlds, seed }), held);
}

/** The one row of a benchmark whose data are absent, so that the table says why a figure is missing. */
export const absent = (what: string): readonly BenchRow[] => [{ what: `${what}: skipped, the real data are absent (POPULACE_DATA)`, ours: 0, peer: null, peerName: "none", ratio: null, unit: "", floor: null, target: null, hash: "absent" }];

/** Short hash of figures rounded to nine digits. */
export const hashOf = (value: unknown): string => createHash("sha256").update(JSON.stringify(value, (_, each: unknown) => (typeof each === "number" ? each.toPrecision(9) : each))).digest("hex");
