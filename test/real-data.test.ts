import { describe, expect, test } from "vitest";
import { hillstromHalves, hillstromLeaveOut } from "./bench/hillstrom-protocol.ts";
import { REAL_DATA, bankRolling, halfBacktest, readRealData } from "./bench/real-data.ts";
import type { RealData } from "./bench/real-data.ts";
import { NEEDS_DATA, dataFile } from "./helpers/data.ts";

const isPresent = Object.values(REAL_DATA).every((parts) => dataFile(...parts) !== null);

describe.skipIf(!isPresent)(`real campaigns, small (${NEEDS_DATA})`, () => {
  test.each(Object.keys(REAL_DATA) as RealData[])("the example schema of %s reads its whole file", async (name) => {
    const data = (await readRealData(name))!;
    expect(data.rejectedCount).toBe(0);
    expect(data.rows).toBe({ hillstrom: 31_868, bank: 28_831, "open-bandit": 10_000, "customer-personality": 1128, kdd98: 1552 }[name]);
  });

  test("Hillstrom: two halves beat raw cells and cell plus arm on the fixed cells", async () => {
    const result = hillstromHalves((await readRealData("hillstrom"))!, { splits: 2, personas: 6, worlds: 100 });
    expect(result.r.mean).toBeGreaterThan(0.9);
    expect(result.squaredError.mean).toBeLessThan(result.squaredErrorRaw.mean);
    expect(result.squaredError.mean).toBeLessThan(result.squaredErrorAdditive.mean);
    // 72 cell-splits: 90 % +- 3 standard errors.
    expect(result.coverage.mean).toBeGreaterThan(0.79);
    expect(result.policyGain).toBeGreaterThan(-0.003);
  });

  test("Hillstrom: a campaign the model never saw is told from the other e-mail", async () => {
    const result = hillstromLeaveOut((await readRealData("hillstrom"))!, { splits: 2, personas: 6, worlds: 100 });
    expect(result.r.mean).toBeGreaterThan(result.rSame.mean);
    expect(result.coverage.mean).toBeGreaterThanOrEqual(0.85);
  });

  test("bank: updating every thousand calls beats the single fit", async () => {
    const { rolling } = bankRolling((await readRealData("bank"))!, 60);
    expect(rolling!.logLoss).toBeLessThan(rolling!.logLossSingle);
  });

  test("fundraising: rows drawn by outcome are judged at the true base rate, gifts at their size", async () => {
    const result = halfBacktest((await readRealData("kdd98"))!, 100);
    expect(result.steps[0].observed).toBeCloseTo(0.051, 6);
    expect(Math.abs(result.steps[0].predicted - 0.051)).toBeLessThan(0.01);
    const [value] = result.value;
    expect(Math.abs(value.predicted - value.observed)).toBeLessThan(4 * value.se);
  });
});
