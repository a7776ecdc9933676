import { describe, expect, test } from "vitest";
import type { TraitDistribution } from "../persona/trait.ts";
import { RandomStream } from "../random/random-stream.ts";
import { rankOf, rankUniformity } from "./calibration.ts";
import { posterior } from "./conjugate.ts";
import { betaFromDraws, betaFromMoments, betaVariance, divergence, drawParameters, parameterMean, parameterQuantile, parameterVariance, predictiveVariance } from "./distribution.ts";
import { emptyStatistics, mergeStatistics, statisticsOf, subtractStatistics } from "./sufficient-statistics.ts";
import type { SufficientStatistics } from "./sufficient-statistics.ts";

const CODING = { center: 0.4, scale: 1.5 };
const PRIORS: readonly TraitDistribution[] = [
  { kind: "binary", alpha: 2, beta: 5 },
  { kind: "categorical", alphas: [1, 2, 0.5, 3] },
  { kind: "continuous", mean: 0.2, kappa: 1.5, shape: 3, rate: 2 },
  { kind: "count", shape: 3, rate: 1.2 },
];

/** One member's statistics, its value drawn given the parameters. */
const observe = (kind: TraitDistribution["kind"], parameters: readonly number[], random: RandomStream): SufficientStatistics => {
  switch (kind) {
    case "binary": return statisticsOf(kind, random.uniform() < parameters[0] ? 1 : 0);
    case "categorical": {
      let u = random.uniform();
      let level = 0;
      while (level < parameters.length - 1 && u >= parameters[level]) u -= parameters[level++];
      return statisticsOf(kind, level, parameters.length);
    }
    case "continuous": return statisticsOf(kind, (parameters[0] + Math.sqrt(parameters[1]) * random.normal() - CODING.center) / CODING.scale);
    case "count": {
      // Knuth: products of uniforms.
      let count = -1;
      for (let product = 1; product > Math.exp(-parameters[0]); count++) product *= random.uniform();
      return statisticsOf(kind, count);
    }
  }
};

describe("simulation-based calibration: 500 simulations, 99 draws, 10 bins (seed 77)", () => {
  test.each(PRIORS.map((prior) => [prior.kind, prior] as const))("%s", (kind, prior) => {
    const ranks: number[][] = drawParameters(prior, RandomStream.of(77, "shape")).map(() => []);
    for (let simulation = 0; simulation < 500; simulation++) {
      const random = RandomStream.of(77, `${kind} ${simulation}`);
      const truth = drawParameters(prior, random);
      let statistics = emptyStatistics(kind, truth.length);
      for (let i = 0; i < 7; i++) statistics = mergeStatistics(statistics, observe(kind, truth, random));
      const fitted = posterior(prior, statistics, CODING);
      const draws = Array.from({ length: 99 }, () => drawParameters(fitted, random));
      truth.forEach((value, i) => ranks[i].push(rankOf(value, draws.map((d) => d[i]), random.uniform())));
    }
    for (const each of ranks) expect(rankUniformity(each, 99).pValue).toBeGreaterThan(0.01 / ranks.length);
  });
});

describe("sufficient statistics", () => {
  const members = (kind: TraitDistribution["kind"], count: number): SufficientStatistics[] => {
    const prior = PRIORS.find((p) => p.kind === kind)!;
    const random = RandomStream.of(5, kind);
    const parameters = drawParameters(prior, random);
    return Array.from({ length: count }, () => observe(kind, parameters, random));
  };

  test.each(PRIORS.map((prior) => prior.kind))("%s: any order of merging and taking a member out are equal to the bit", (kind) => {
    const all = members(kind, 200);
    const sum = (list: SufficientStatistics[]): SufficientStatistics => list.reduce(mergeStatistics);
    const whole = sum(all);
    expect(sum(all.toReversed())).toEqual(whole);
    expect(mergeStatistics(sum(all.slice(0, 70)), sum(all.slice(70)))).toEqual(whole);
    expect(subtractStatistics(whole, all[42])).toEqual(sum(all.filter((_, i) => i !== 42)));
  });

  test("what does not belong together is refused, and sums past 2^53 are not rounded silently", () => {
    expect(() => mergeStatistics(statisticsOf("binary", 1), statisticsOf("count", 1))).toThrow(/cannot be combined/);
    const huge: SufficientStatistics = { kind: "count", count: 1, sum: Number.MAX_SAFE_INTEGER };
    expect(() => mergeStatistics(huge, huge)).toThrow(/2\^53/);
    expect(() => statisticsOf("continuous", Number.NaN)).toThrow(/missing/);
  });
});

describe("closed forms", () => {
  test("divergences equal scipy: special functions for Beta, numerical integrals for the others", () => {
    expect(divergence({ kind: "binary", alpha: 3, beta: 5 }, { kind: "binary", alpha: 2, beta: 7 })).toBeCloseTo(0.5547991356128499, 12);
    expect(divergence({ kind: "count", shape: 3, rate: 2 }, { kind: "count", shape: 2.5, rate: 1.5 })).toBeCloseTo(0.022133038591659774, 10);
    expect(divergence({ kind: "continuous", mean: 0.3, kappa: 4, shape: 5, rate: 3 }, { kind: "continuous", mean: 0.1, kappa: 2, shape: 3, rate: 2.5 })).toBeCloseTo(0.4042002810731346, 9);
    for (const prior of PRIORS) expect(divergence(prior, prior)).toBeCloseTo(0, 12);
  });

  test("means and variances agree with draws, quantiles hold their share of them", () => {
    for (const d of PRIORS) {
      const random = RandomStream.of(13, d.kind);
      const draws = Array.from({ length: 20_000 }, () => drawParameters(d, random)[0]);
      const mean = draws.reduce((a, b) => a + b, 0) / draws.length;
      const variance = draws.reduce((a, b) => a + (b - mean) ** 2, 0) / draws.length;
      // Four standard errors of a mean of 20,000.
      expect(Math.abs(mean - parameterMean(d)[0])).toBeLessThan(4 * Math.sqrt(parameterVariance(d)[0] / draws.length));
      expect(Math.abs(variance / parameterVariance(d)[0] - 1)).toBeLessThan(0.1);
      const limit = parameterQuantile(d, 0.9)[0];
      expect(Math.abs(draws.filter((x) => x < limit).length / draws.length - 0.9)).toBeLessThan(0.01);
      expect(predictiveVariance(d)[0]).toBeGreaterThan(parameterVariance(d)[0]);
    }
    // 0.3 + sqrt(3 / (5 * 4)) * scipy.stats.t.ppf(.9, 10)
    expect(parameterQuantile({ kind: "continuous", mean: 0.3, kappa: 4, shape: 5, rate: 3 }, 0.9)[0]).toBeCloseTo(0.8314444389958586, 10);
  });

  test("a Beta matched to moments has them; draws without spread and means at the ends stay finite", () => {
    const matched = betaFromMoments(0.03, 0.0001);
    expect(matched.alpha / (matched.alpha + matched.beta)).toBeCloseTo(0.03, 12);
    expect(betaVariance(matched)).toBeCloseTo(0.0001, 12);
    expect(matched.alpha + matched.beta).toBeCloseTo((0.03 * 0.97) / 0.0001 - 1, 9);
    for (const draws of [[0.2, 0.2, 0.2], [0, 0], [1, 1], [0, 1], [0.5]]) {
      const { alpha, beta } = betaFromDraws(draws);
      expect(alpha > 0 && beta > 0 && Number.isFinite(alpha + beta)).toBe(true);
    }
  });
});
