import { describe, expect, test } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { EMPTY_EVIDENCE, addEvidence, mergeEvidence, mixtureCdf, mixtureMean, mixtureQuantile, mixtureVariance, powerPrior, readPurse, robustPrior, subtractEvidence, updateMixture } from "./evidence.ts";
import { learnExchangeRates } from "./exchange-rate.ts";
import type { ExchangeRate, PastCell } from "./exchange-rate.ts";
import { statisticsOf } from "./sufficient-statistics.ts";

describe("robust mixture .8 Beta(30, 970) + .2 Beta(1, 1)", () => {
  // Published vectors of the project's targets (closed forms, made with scipy).
  test.each([[3, 100, 0.9887, 0.0301], [12, 1000, 0.8689, 0.01995], [3, 1000, 0.0019, 0.00402], [60, 1000, 0.3734, 0.05495]])(
    "%d of %d", (responses, exposures, weight, mean) => {
      const updated = updateMixture(robustPrior({ alpha: 30, beta: 970 }), responses, exposures);
      expect(updated.weights[0]).toBeCloseTo(weight, 4);
      expect(mixtureMean(updated)).toBeCloseTo(mean, 5);
    });

  test.each([[200, 0.01497], [50, 0.01286]])("with a simulated effective sample size of %d, 12 of 1000", (ess, mean) => {
    expect(mixtureMean(updateMixture(robustPrior({ alpha: 0.03 * ess, beta: 0.97 * ess }), 12, 1000))).toBeCloseTo(mean, 5);
  });

  test("quantiles invert the cdf and the variance lies between those of the parts", () => {
    const updated = updateMixture(robustPrior({ alpha: 30, beta: 970 }), 60, 1000);
    for (const p of [0.001, 0.05, 0.5, 0.95]) expect(mixtureCdf(updated, mixtureQuantile(updated, p))).toBeCloseTo(p, 9);
    expect(mixtureVariance(updated)).toBeGreaterThan(0);
  });
});

test("a power prior keeps the simulation's mean and never counts more than max(50, real / 5)", () => {
  const simulated = { alpha: 30, beta: 970 };
  expect(powerPrior(simulated, 0.02, 0).alpha).toBeCloseTo(0.6, 12);
  const ess = (real: number): number => {
    const { alpha, beta } = powerPrior(simulated, 1, real);
    expect(alpha / (alpha + beta)).toBeCloseTo(0.03, 12);
    return alpha + beta;
  };
  expect(ess(0)).toBeCloseTo(50, 9);
  expect(ess(1000)).toBeCloseTo(200, 9);
  expect(ess(1e6)).toBeCloseTo(1000, 9);
});

describe("purses", () => {
  const yes = statisticsOf("binary", 1);
  const no = statisticsOf("binary", 0);

  test("merging commutes to the bit and one subject's evidence leaves no trace", () => {
    const a = addEvidence(addEvidence(EMPTY_EVIDENCE, "real", 3, yes), "real", 3, no);
    const b = addEvidence(addEvidence(EMPTY_EVIDENCE, "real", 5, yes), "simulated", 3, no);
    const entries = (evidence: typeof a) => (["simulated", "real", "external"] as const).map((purse) => [...evidence[purse]].sort(([x], [y]) => x - y));
    expect(entries(mergeEvidence(a, b))).toEqual(entries(mergeEvidence(b, a)));
    expect(entries(subtractEvidence(mergeEvidence(a, b), "real", 5, yes))).toEqual(entries(mergeEvidence(a, addEvidence(EMPTY_EVIDENCE, "simulated", 3, no))));
  });

  test("a half-life halves, an exchange rate scales, a cap holds all periods back alike", () => {
    let evidence = EMPTY_EVIDENCE;
    for (let i = 0; i < 100; i++) evidence = addEvidence(evidence, "simulated", 0, yes);
    for (let i = 0; i < 100; i++) evidence = addEvidence(evidence, "simulated", 10, no);
    expect(readPurse(evidence.simulated, 10, 10).effective).toBeCloseTo(150, 12);
    expect(readPurse(evidence.simulated, 10, Infinity, 0.5).effective).toBeCloseTo(100, 12);
    const capped = readPurse(evidence.simulated, 10, 10, 1, 50);
    expect(capped.effective).toBeCloseTo(50, 12);
    expect(capped.parts.map((part) => part.weight)).toEqual([expect.closeTo(1 / 6, 12), expect.closeTo(1 / 3, 12)]);
  });
});

describe("exchange rate", () => {
  /** Simulated effective sample size 1000, as in the mixture's vectors; what counts as biased depends on it. */
  const campaigns = (seed: number, count: number, bias: number): PastCell[] => {
    const random = RandomStream.of(seed, `bias ${bias}`);
    return Array.from({ length: count }, (_, c) => {
      const mean = 0.02 + 0.06 * random.uniform();
      const simulated = { alpha: 1000 * mean, beta: 1000 * (1 - mean) };
      const truth = random.beta(simulated.alpha, simulated.beta) / bias;
      let responses = 0;
      for (let i = 0; i < 2000; i++) if (random.uniform() < truth) responses++;
      return { simulated, responses, exposures: 2000, channel: "email", class: `class ${c % 4}` };
    });
  };

  test("over 20 campaigns an honest simulator earns more than .5, one that is off by a factor of 2 less than .1", () => {
    for (const seed of [1, 2, 3]) {
      const honest = learnExchangeRates(campaigns(seed, 20, 1));
      const biased = learnExchangeRates(campaigns(seed, 20, 2));
      expect(honest.global.mean).toBeGreaterThan(0.5);
      expect(honest.channels.get("email")!.mean).toBeGreaterThan(0.5);
      expect(biased.channels.get("email")!.mean).toBeLessThan(0.1);
      expect(biased.global.mean).toBeLessThan(0.15);
      for (const rate of biased.classes.values()) expect(rate.mean).toBeLessThan(0.15);
    }
  });

  test("means and limits are those of the same tree on a grid ten times as fine and twice as wide (numpy)", () => {
    const foretold = [[20, 180], [10, 190], [30, 170], [8, 92], [15, 285], [40, 160]], brought = [[26, 200], [9, 220], [40, 210], [30, 250], [12, 240], [45, 230]];
    const ratesOf = (factor: number) => learnExchangeRates(foretold.map(([alpha, beta], i) => ({
      simulated: { alpha, beta }, responses: brought[i][0] * factor, exposures: brought[i][1], channel: "email", class: i < 3 ? "a" : "b",
    })));
    const honest = ratesOf(1), biased = ratesOf(2);
    const expected: readonly (readonly [ExchangeRate, number, number, number])[] = [
      [honest.global, 0.682, 0.2434, 0.9665], [honest.channels.get("email")!, 0.7227, 0.2976, 0.9824], [honest.classes.get("a")!, 0.7327, 0.2881, 0.9897],
      [biased.global, 0.1476, 0.0259, 0.4509], [biased.channels.get("email")!, 0.0807, 0.0226, 0.1833], [biased.classes.get("a")!, 0.0612, 0.0185, 0.1287],
    ];
    for (const [{ mean, low, high }, ...exact] of expected) for (const [i, value] of [mean, low, high].entries()) expect(Math.abs(value - exact[i])).toBeLessThan(0.003);
  });

  test("without cells it is the prior, and an honest channel survives beside a biased one", () => {
    expect(learnExchangeRates([]).global.mean).toBeCloseTo(0.5, 2);
    const mixed = [...campaigns(4, 20, 1), ...campaigns(4, 20, 2).map((cell) => ({ ...cell, channel: "sms", class: "sms" }))];
    const { classes } = learnExchangeRates(mixed);
    expect(classes.get("sms")!.mean).toBeLessThan(0.1);
    for (let c = 0; c < 4; c++) expect(classes.get(`class ${c}`)!.mean).toBeGreaterThan(0.4);
  });
});
