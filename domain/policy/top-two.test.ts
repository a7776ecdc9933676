import { describe, expect, it } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { largestRemainder, topTwoShares, verdictOf } from "./top-two.ts";
import type { Arm } from "./top-two.ts";

const arm = (exposures: number, responses: number, value = 1, cost = 0): Arm => ({ exposures, responses, value, cost });

describe("top-two Thompson sampling", () => {
  it("shares add to 1 and go to the two arms in contention", () => {
    const shares = topTwoShares([arm(1_000, 100), arm(1_000, 105), arm(1_000, 20)], 2_000, RandomStream.of(1, "test"));
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
    expect(shares[2]).toBeLessThan(0.01);
    expect(shares[0]).toBeGreaterThan(0.4);
    expect(shares[1]).toBeGreaterThan(0.4);
  });

  it("a settled leader still gets half of the exposures, its rivals the rest", () => {
    const shares = topTwoShares([arm(10_000, 100), arm(10_000, 2_000)], 2_000, RandomStream.of(2, "test"));
    // Binomial(2,000, 1/2): four standard errors are 0.045.
    expect(Math.abs(shares[1] - 0.5)).toBeLessThan(0.045);
  });

  it("the chance of being best and the expected loss match integrals over the Beta posteriors", () => {
    const verdict = verdictOf([arm(200, 20), arm(200, 26)], 200_000, RandomStream.of(3, "test"));
    // scipy 1.17, A = Beta(21, 181), B = Beta(27, 175): quad of pdf_B * cdf_A, and quad of sf_A * cdf_B = E[(A - B)+].
    expect(verdict.best).toBe(1);
    expect(Math.abs(verdict.probabilityBest - 0.824101)).toBeLessThan(0.004);
    expect(Math.abs(verdict.expectedLoss - 0.0030478)).toBeLessThan(0.0001);
  });

  it("value and cost decide, not the rate alone", () => {
    expect(verdictOf([arm(1_000, 100, 10), arm(1_000, 300, 1)], 100, RandomStream.of(4, "test")).best).toBe(0);
    expect(verdictOf([arm(1_000, 100, 10, 0.9), arm(1_000, 300, 1)], 100, RandomStream.of(4, "test")).best).toBe(1);
  });
});

describe("largestRemainder", () => {
  it("keeps the total, and ties go to the earlier share", () => {
    expect(largestRemainder([1, 1, 1], 10)).toEqual([4, 3, 3]);
    expect(largestRemainder([0.47, 0.16, 0.158, 0.12, 0.061, 0.031], 100)).toEqual([47, 16, 16, 12, 6, 3]);
    expect(largestRemainder([0, 0], 5)).toEqual([3, 2]);
  });
});
