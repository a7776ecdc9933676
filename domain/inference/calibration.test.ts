import { expect, test } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { areaUnderCurve, brierScore, calibrationCurve, coverage, expectedCalibrationError, logLoss, qini, rankOf, rankUniformity, uniformity } from "./calibration.ts";

/** glibc's linear congruential generator, so that Python can make the same numbers. */
const sequence = (seed: number, count: number): number[] => {
  let x = BigInt(seed);
  return Array.from({ length: count }, () => {
    x = (x * 1103515245n + 12345n) % 2147483648n;
    return Number(x) / 2147483648;
  });
};
// numpy rounds half to even; none of these products ends in exactly .5.
const rounded = (values: number[], digits: number): number[] => values.map((v) => Math.round(v * 10 ** digits) / 10 ** digits);

const COUNT = 400;
const predicted = rounded(sequence(1, COUNT), 2);
const response = sequence(2, COUNT).map((x, i) => (x < predicted[i] * 0.8 + 0.05 ? 1 : 0));
const treatment = sequence(3, COUNT).map((x) => (x < 0.5 ? 1 : 0));
const uplift = rounded(sequence(4, COUNT), 1);
const visited = sequence(5, COUNT).map((x, i) => (x < 0.1 + 0.3 * uplift[i] * treatment[i] ? 1 : 0));
const weight = sequence(6, COUNT).map((x) => 1 + Math.floor(x * 3));

test("scores equal scikit-learn's and scikit-uplift's on the same numbers, ties and weights included", () => {
  // roc_auc_score, log_loss, brier_score_loss (scikit-learn 1.8), qini_auc_score (scikit-uplift 0.5) on lcg(1..6).
  expect(areaUnderCurve(predicted, response)).toBeCloseTo(0.7485032190185126, 12);
  expect(areaUnderCurve(predicted, response, weight)).toBeCloseTo(0.7608112998092574, 12);
  expect(logLoss(predicted, response)).toBeCloseTo(0.6296169558031327, 12);
  expect(brierScore(predicted, response)).toBeCloseTo(0.20921950000000003, 12);
  expect(qini(visited, uplift, treatment).coefficient).toBeCloseTo(0.14403033007679808, 10);
});

test("a perfect order has Qini 1, a useless one about 0", () => {
  const ideal = visited.map((y, i) => y * (treatment[i] === 1 ? 1 : -1));
  expect(qini(visited, ideal, treatment).coefficient).toBeCloseTo(1, 12);
  expect(Math.abs(qini(visited, sequence(9, COUNT), treatment).coefficient)).toBeLessThan(0.1);
  expect(qini(visited, new Float64Array(COUNT), treatment).coefficient).toBeCloseTo(0, 12);
});

test("without a control group, treated ones or responses there is no Qini", () => {
  for (const same of [0, 1]) expect(qini(visited, uplift, visited.map(() => same)).coefficient).toBeNaN();
  expect(qini(visited.map(() => 0), uplift, treatment).coefficient).toBeNaN();
});

test("the calibration error of predictions that are off by a constant is that constant", () => {
  const p = Array.from({ length: 1000 }, (_, i) => (i < 500 ? 0.2 : 0.6));
  const y = p.map((q, i) => (i % 10 < q * 10 ? 1 : 0));
  expect(expectedCalibrationError(p, y)).toBeCloseTo(0, 12);
  expect(expectedCalibrationError(p.map((q) => q + 0.05), y)).toBeCloseTo(0.05, 12);
  expect(calibrationCurve(p, y).map((bin) => bin.share)).toEqual([0.5, 0.5]);
});

test("coverage counts closed ends, and one class has no area under the curve", () => {
  expect(coverage([1, 2, 3], [1, 2.5, 0], [1, 4, 3])).toBeCloseTo(2 / 3, 12);
  expect(areaUnderCurve([0.1, 0.2], [1, 1])).toBeNaN();
});

test("uniform ranks pass the chi-square test, shifted and squeezed ones fail it", () => {
  const random = RandomStream.of(8, "ranks");
  const ranks = Array.from({ length: 2000 }, () => random.integer(100));
  expect(rankUniformity(ranks, 99).pValue).toBeGreaterThan(0.001);
  expect(rankUniformity(ranks.map((r) => Math.min(r + 12, 99)), 99).pValue).toBeLessThan(1e-6);
  expect(uniformity(ranks.map((r) => 0.25 + r / 200)).pValue).toBeLessThan(1e-6);
  // scipy.stats.chisquare([12, 8, 11, 9]).pvalue
  expect(uniformity([...Array<number>(12).fill(0.1), ...Array<number>(8).fill(0.3), ...Array<number>(11).fill(0.6), ...Array<number>(9).fill(0.9)], 4).pValue).toBeCloseTo(0.8012519569012009, 10);
  expect(rankOf(2, [1, 2, 2, 3], 0)).toBe(1);
  expect(rankOf(2, [1, 2, 2, 3], 0.999)).toBe(3);
});
