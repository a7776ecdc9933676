import { describe, expect, it } from "vitest";
import { RETAILER_STIMULI, retailerLog, retailerLogCsv, retailerPeople, retailerRecipientsCsv, retailerTruth } from "./retailer.ts";

const SEED = 20260105;

describe("the retailer's generator", () => {
  it.each([true, false])("draws outcomes at the rates it calls true (misspecified: %s)", (misspecified) => {
    const options = { seed: SEED, misspecified };
    const rows = retailerLog(retailerPeople(options, "check", 40_000), "check", 0, 25, options);
    for (const stimulus of RETAILER_STIMULI) {
      const met = rows.filter((row) => row.stimulus === stimulus);
      const truth = met.map((row) => retailerTruth(row, stimulus, row.week, options));
      (["visit", "basket", "purchase"] as const).forEach((step, k) => {
        const expected = truth.reduce((sum, rates) => sum + rates[k], 0) / met.length;
        const observed = met.reduce((sum, row) => sum + row[step], 0) / met.length;
        // Four standard errors: 24 comparisons at this seed.
        expect(Math.abs(observed - expected), `seed ${SEED}, ${stimulus} ${step}`).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / met.length));
      });
    }
  });

  it("has a threshold, a hidden trait and drift only when misspecified", () => {
    const base = retailerPeople({ seed: SEED, misspecified: true }, "one", 1)[0];
    const rate = (misspecified: boolean, income: number, hunter: 0 | 1, week: number): number =>
      retailerTruth({ ...base, income, bargainHunter: hunter }, "discount-20", week, { seed: SEED, misspecified })[0];
    expect(rate(true, 62_100, 0, 3)).toBeLessThan(rate(true, 61_900, 0, 3) * 0.6);
    expect(rate(false, 62_100, 0, 3)).toBeCloseTo(rate(false, 61_900, 0, 3), 3);
    expect(rate(true, 40_000, 1, 3)).toBeGreaterThan(rate(true, 40_000, 0, 3));
    expect(rate(false, 40_000, 1, 3)).toBe(rate(false, 40_000, 0, 3));
    expect(rate(true, 40_000, 0, 20)).toBeLessThan(rate(true, 40_000, 0, 1));
    expect(rate(false, 40_000, 0, 20)).toBe(rate(false, 40_000, 0, 1));
  });

  it("gives the same bytes for a seed, others for another, and never writes the hidden trait", () => {
    const csv = (seed: number): string => {
      const options = { seed, misspecified: true };
      return retailerLogCsv(retailerLog(retailerPeople(options, "log", 300), "log", 0, 25, options));
    };
    expect(csv(1) === csv(1)).toBe(true);
    expect(csv(1) === csv(2)).toBe(false);
    expect(csv(1).split("\n")[0]).not.toMatch(/hunter/i);
    expect(retailerRecipientsCsv(retailerPeople({ seed: 1, misspecified: true }, "next", 2)).trim().split("\n").length).toBe(3);
  });
});
