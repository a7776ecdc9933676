// The tutorial of the README on the data it names, judged by rows the model has not seen.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { NEEDS_DATA, ROOT, dataFile } from "./helpers/data.ts";
import { populaceJson, sharedTemporaryFolder } from "./helpers/process.ts";

const hillstrom = dataFile("hillstrom", "hillstrom_half_a.csv.gz");
const folder = sharedTemporaryFolder();

interface Backtest {
  readonly coverage90: number;
  readonly cells: readonly { readonly step: string; readonly exposures: number; readonly observed: number; readonly predicted: number }[];
  readonly policies: readonly { readonly name: string; readonly value: number; readonly se: number }[];
}

describe.skipIf(hillstrom === null)(`the tutorial on real data (${NEEDS_DATA})`, () => {
  test("half of the rows predict the other half: intervals hold, no e-mail is told from an e-mail, the best arm is found", { timeout: 240_000 }, async () => {
    const [header, ...rows] = gunzipSync(readFileSync(hillstrom!)).toString().trimEnd().split("\n");
    const half = (parity: number): string => [header, ...rows.filter((_, index) => index % 2 === parity)].join("\n");
    writeFileSync(join(folder(), "fit.csv"), `${half(0)}\n`);
    writeFileSync(join(folder(), "held-out.csv"), `${half(1)}\n`);
    const options = { cwd: folder(), timeoutMs: 200_000 };
    await populaceJson(["fit", "--schema", join(ROOT, "cli/examples/hillstrom.yaml"), "--data", "fit.csv", "--out", "model.json", "--personas", "5"], options);
    const backtest = await populaceJson<Backtest>(["backtest", "--model", "model.json", "--data", "held-out.csv", "--by", "mens,womens,newbie"], options);

    // 6 groups x 3 arms x 2 steps of one split: binomial noise alone leaves 0.9 +- 0.05.
    expect(backtest.cells.length).toBeGreaterThanOrEqual(30);
    expect(backtest.coverage90).toBeGreaterThan(0.75);
    const visits = backtest.cells.filter((cell) => cell.step === "visit");
    const weight = visits.reduce((sum, cell) => sum + cell.exposures, 0);
    const error = visits.reduce((sum, cell) => sum + cell.exposures * Math.abs(cell.predicted - cell.observed), 0) / weight;
    expect(error).toBeLessThan(0.02);
    // 18 % of those who got an e-mail visited and 10.6 % of the others (published means of the challenge: 18.3, 15.1, 10.6 %).
    const named = (name: string): { readonly value: number; readonly se: number } => backtest.policies.find((policy) => policy.name === name)!;
    expect(named("best predicted").value).toBeGreaterThan(named("always mens-email").value - 2 * named("best predicted").se);
    expect(named("always mens-email").value).toBeGreaterThan(named("always none").value + 0.05);
  });
});
