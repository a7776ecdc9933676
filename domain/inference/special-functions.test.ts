import { expect, test } from "vitest";
import { betaBinomialCdf, betaBinomialInterval, betaBinomialPit, betaBinomialQuantile } from "./beta-binomial.ts";
import expected from "./fixtures/special-functions.json" with { type: "json" };
import * as special from "./special-functions.ts";

/** Largest relative error over the rows of a fixture; the expected value is the last entry (or the last `outputs`). */
const worst = (rows: readonly number[][], f: (...x: number[]) => number | number[], outputs = 1): number => {
  let largest = 0;
  for (const row of rows) {
    const values = [f(...row.slice(0, row.length - outputs))].flat();
    values.forEach((value, i) => {
      const wanted = row[row.length - outputs + i];
      const error = Math.abs(value - wanted) / Math.max(Math.abs(wanted), 1e-300);
      if (!(error <= largest)) largest = Number.isNaN(error) ? Infinity : error;
    });
  }
  return largest;
};

// Expected: fixtures/special-functions.py. Tolerances: a relative change of 1e-16 in x already moves a tail of
// Beta(1e7, 1e8) by 1e-10, and scipy's own Student quantile is good to 1e-10.
test.each<[string, readonly number[][], (...x: number[]) => number | number[], number, number]>([
  ["logGamma", expected.logGamma, special.logGamma, 1, 1e-13],
  ["logBeta", expected.logBeta, special.logBeta, 1, 1e-12],
  ["digamma", expected.digamma, special.digamma, 1, 1e-13],
  ["trigamma", expected.trigamma, special.trigamma, 1, 1e-12],
  ["normalCdf", expected.normalCdf, special.normalCdf, 1, 1e-12],
  ["normalQuantile", expected.normalQuantile, special.normalQuantile, 1, 1e-13],
  ["betaCdf and betaTail", expected.betaCdf, (x, a, b) => [special.betaCdf(x, a, b), special.betaTail(x, a, b)], 2, 1e-9],
  ["betaQuantile", expected.betaQuantile, special.betaQuantile, 1, 1e-11],
  ["gammaCdf and gammaTail", expected.gammaCdf, (a, x) => [special.gammaCdf(a, x), special.gammaTail(a, x)], 2, 1e-10],
  ["gammaQuantile", expected.gammaQuantile, special.gammaQuantile, 1, 1e-11],
  ["studentCdf", expected.studentCdf, special.studentCdf, 1, 1e-11],
  ["studentQuantile", expected.studentQuantile, special.studentQuantile, 1, 1e-9],
  ["betaBinomialCdf", expected.betaBinomialCdf, betaBinomialCdf, 1, 1e-10],
  ["betaBinomialQuantile", expected.betaBinomialQuantile, betaBinomialQuantile, 1, 0],
])("%s agrees with mpmath and scipy", (_, rows, f, outputs, tolerance) => {
  expect(rows.length).toBeGreaterThan(5);
  expect(worst(rows as number[][], f, outputs)).toBeLessThanOrEqual(tolerance);
});

test("the ends and the impossible have answers that say so", () => {
  expect(special.betaQuantile(0, 2, 3)).toBe(0);
  expect(special.betaQuantile(1, 2, 3)).toBe(1);
  expect(special.betaCdf(-1, 2, 3)).toBe(0);
  expect(special.betaCdf(2, 2, 3)).toBe(1);
  expect(special.gammaQuantile(1, 2)).toBe(Infinity);
  expect(special.normalQuantile(0)).toBe(-Infinity);
  expect(special.normalQuantile(1.5)).toBeNaN();
  expect(special.betaCdf(0.5, -1, 3)).toBeNaN();
  expect(special.logGamma(-1)).toBeNaN();
  expect(special.softplus(1000)).toBe(1000);
  expect(special.logistic(-1000)).toBe(0);
  // A quantile far below the smallest double is 0, not a failure.
  expect(special.betaQuantile(0.05, 1e-3, 5)).toBeLessThan(1e-300);
});

test("a predictive interval holds its level, and its transform runs from the mass below to the mass up to k", () => {
  const [n, alpha, beta] = [250, 4, 90];
  const { low, high } = betaBinomialInterval(n, alpha, beta, 0.9);
  const mass = betaBinomialCdf(high, n, alpha, beta) - betaBinomialCdf(low - 1, n, alpha, beta);
  expect(mass).toBeGreaterThanOrEqual(0.9);
  expect(betaBinomialCdf(high - 1, n, alpha, beta) - betaBinomialCdf(low, n, alpha, beta)).toBeLessThan(0.9);
  expect(betaBinomialPit(7, n, alpha, beta, 0)).toBeCloseTo(betaBinomialCdf(6, n, alpha, beta), 12);
  expect(betaBinomialPit(7, n, alpha, beta, 1)).toBeCloseTo(betaBinomialCdf(7, n, alpha, beta), 12);
});
