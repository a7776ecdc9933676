import { describe, expect, it } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { differenceInterval, differenceSequence, rateSequence, sequenceErrors } from "./confidence-sequence.ts";
import type { ArmSummary } from "./confidence-sequence.ts";
import { analyzeExperiment } from "./experiment.ts";
import { sampleRatio } from "./sample-ratio.ts";
import { fixedPower, fixedSampleSize, sequentialPower, sequentialSampleSize } from "./sample-size.ts";

const counts = (responses: number, exposures: number): ArmSummary => ({ kind: "counts", exposures, responses });
const AB = { arms: ["a", "b"] };

/** Cumulative looks of two arms, 500 recipients an arm and look. */
function looksOf(rates: readonly [number, number], looks: number, random: RandomStream): ArmSummary[][] {
  const sums = [0, 0];
  return Array.from({ length: looks }, (_, look) => rates.map((rate, arm) => {
    // Normal approximation of a binomial draw, rounded: 500 draws a time would take minutes.
    sums[arm] += Math.max(0, Math.round(500 * rate + Math.sqrt(500 * rate * (1 - rate)) * random.normal()));
    return counts(sums[arm], 500 * (look + 1));
  }));
}

describe("confidence sequences", () => {
  it("the boundary is that of the paper", () => {
    // Waudby-Smith et al. (2024), theorem 2.2: sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha)) at sigma 1, by hand at t = 300 of 1,000 planned.
    const alpha = 0.05, rho2 = (-2 * Math.log(alpha) + Math.log(-2 * Math.log(alpha) + 1)) / 1000, t = 300;
    const published = Math.sqrt(((2 * (t * rho2 + 1)) / (t * t * rho2)) * Math.log(Math.sqrt(t * rho2 + 1) / alpha));
    expect(sequenceErrors(t / 1000, alpha) / Math.sqrt(t)).toBeCloseTo(published, 12);
    expect(sequenceErrors(0, alpha)).toBe(Infinity);
    const errors = [0.25, 0.5, 1, 2, 4].map((share) => sequenceErrors(share, alpha) / Math.sqrt(share) / sequenceErrors(share, alpha));
    expect(errors.every((each) => Number.isFinite(each))).toBe(true);
  });

  it("30 looks at no difference seldom see one, and 5 against 6 per cent is seen as often as the integration says", () => {
    const tests = 500, planned = 15_000;
    const seen = (rates: readonly [number, number], name: string): number => {
      let shown = 0;
      for (let test = 0; test < tests; test++) {
        if (looksOf(rates, 30, RandomStream.of(test, name)).some(([a, b]) => { const { low, high } = differenceSequence(a, b, { planned }); return low > 0 || high < 0; })) shown++;
      }
      return shown / tests;
    };
    // Integration: 0.0120 and 0.832; four standard errors of 500 tests are 0.019 and 0.067.
    expect(Math.abs(seen([0.05, 0.05], "A/A") - 0.012)).toBeLessThan(0.02);
    expect(Math.abs(seen([0.05, 0.06], "A/B") - sequentialPower({ kind: "rates", control: 0.05, treatment: 0.06 }, planned, 30))).toBeLessThan(0.067);
  });

  it("the exact sequence of a rate holds the truth at every one of 400 exposures, and answers nothing and one", () => {
    const tests = 150, truth = 0.02;
    let left = 0;
    for (let test = 0; test < tests; test++) {
      const random = RandomStream.of(test, "exact sequence");
      let responses = 0;
      for (let n = 1; n <= 400; n++) {
        if (random.uniform() < truth) responses++;
        const { low, high } = rateSequence(responses, n, 0.1);
        if (truth < low || truth > high) { left++; break; }
      }
    }
    expect(left / tests).toBeLessThan(0.1);
    expect(rateSequence(0, 0)).toEqual({ low: 0, high: 1 });
    expect(rateSequence(0, 1).low).toBe(0);
    expect(rateSequence(1, 1).high).toBe(1);
    // Uniform mixture: p is left out where (1 - p)^n (n + 1) < alpha.
    expect(rateSequence(0, 100).high).toBeCloseTo(1 - (0.05 / 101) ** (1 / 100), 9);
  });
});

describe("the verdict of an experiment", () => {
  it("sound on one-class outcomes, on separable arms, on a million against one", () => {
    const finite = (result: ReturnType<typeof analyzeExperiment>): void => {
      const [{ effect, low, high, fixed, expectedLoss }] = result.comparisons;
      for (const value of [effect, low, high, fixed.low, fixed.high, expectedLoss.choosingArm, expectedLoss.choosingControl]) expect(Number.isFinite(value)).toBe(true);
      expect(low <= effect && effect <= high && low >= -1 && high <= 1).toBe(true);
    };
    const equal = { ...AB, shares: [1_000_000, 1] };
    for (const [look, verdict] of [
      [[counts(0, 5000), counts(0, 5000)], "no difference shown"], [[counts(5000, 5000), counts(5000, 5000)], "no difference shown"],
      [[counts(0, 5000), counts(5000, 5000)], "b better than a"], [[counts(0, 5000), counts(150, 5000)], "b better than a"], [[counts(9, 10), counts(1, 10)], "no difference shown"],
    ] as const) {
      const result = analyzeExperiment([[...look]], AB);
      expect(result.verdict).toBe(verdict);
      finite(result);
    }
    const million = analyzeExperiment([[counts(50_000, 1_000_000), counts(1, 1)]], equal);
    expect(million).toMatchObject({ verdict: "no difference shown", comparisons: [{ method: "exact" }] });
    finite(million);
    finite(analyzeExperiment([[counts(1_000_000, 1_000_000), counts(1, 1_000_000)]], AB));
  });

  it("is blocked by a sample ratio mismatch, at the end or at any look, whatever the difference", () => {
    const skewed = analyzeExperiment([[counts(500, 10_000), counts(900, 9_200)]], AB);
    // Pearson: 800^2 / 9,600 / 2.
    expect(skewed.srm.chiSquare).toBeCloseTo(800 ** 2 / 19_200, 9);
    expect(skewed).toMatchObject({ verdict: expect.stringMatching(/^blocked: sample ratio mismatch: a 10000 instead of 9600, b 9200 instead of 9600/), effect: null, low: null, high: null, comparisons: [], srm: { isMismatch: true } });
    expect(analyzeExperiment([[counts(500, 10_000), counts(900, 9_200)]], { ...AB, shares: [0.52, 0.48] }).verdict).toBe("b better than a");
    const healed = sampleRatio([[6000, 4500], [20_000, 20_000]], [1, 1]);
    expect(healed.pValue).toBe(1);
    expect(healed.isMismatch).toBe(true);
    // Watched for ever under the right shares: at most 1 in 1,000.
    let alarms = 0;
    for (let test = 0; test < 100; test++) {
      const random = RandomStream.of(test, "sample ratio");
      const seen = [0, 0];
      alarms += sampleRatio(Array.from({ length: 40 }, () => { for (let i = 0; i < 50; i++) seen[random.integer(2)]++; return [...seen]; }), [1, 1]).isMismatch ? 1 : 0;
    }
    expect(alarms).toBeLessThan(3);
  });

  it("divides alpha over several treatments, labels what was not randomized, stops at a guardrail, and notices looks that contradict each other", () => {
    const three = analyzeExperiment([[counts(500, 10_000), counts(520, 10_000), counts(750, 10_000)]], { arms: ["none", "mail", "gift"] });
    expect(three).toMatchObject({ verdict: "gift better than none", effect: expect.closeTo(0.025, 12), comparisons: [{ arm: "mail" }, { arm: "gift" }] });
    const alone = differenceSequence(counts(500, 10_000), counts(750, 10_000), { alpha: 0.025 });
    expect(three.low).toBe(alone.low);
    expect(analyzeExperiment([[counts(500, 10_000), counts(750, 10_000)]], { ...AB, kind: "observational" })).toMatchObject({ verdict: "observational: b better than a", kind: "observational" });
    const guarded = analyzeExperiment([[counts(500, 10_000), counts(750, 10_000)]], { ...AB, guardrails: [{ name: "unsubscribe", looks: [[counts(50, 10_000), counts(150, 10_000)]] }] });
    expect(guarded).toMatchObject({ verdict: expect.stringMatching(/^blocked: guardrail unsubscribe: b raises it by 0\.010/), guardrails: [{ isHarmed: true }] });
    expect(analyzeExperiment([[counts(500, 10_000), counts(750, 10_000)]], { ...AB, guardrails: [{ name: "unsubscribe", looks: [[counts(50, 10_000), counts(60, 10_000)]] }] }).verdict).toBe("b better than a");
    expect(analyzeExperiment([[counts(100, 2000), counts(300, 2000)], [counts(3000, 40_000), counts(1000, 40_000)]], AB).verdict).toMatch(/^blocked: the looks contradict each other on b/);
    expect(analyzeExperiment([[counts(500, 10_000), counts(300, 10_000)]], AB).verdict).toBe("b worse than a");
  });

  it("amounts: the same on means; the expected loss is a cost that agrees with simulation", () => {
    const amounts = (mean: number): ArmSummary => ({ kind: "amounts", count: 20_000, mean, variance: 2500 });
    expect(analyzeExperiment([[amounts(10), amounts(12)]], AB)).toMatchObject({ verdict: "b better than a", effect: 2 });
    expect(analyzeExperiment([[{ kind: "amounts", count: 20, mean: 1, variance: 4 }, { kind: "amounts", count: 20, mean: 90, variance: 4 }]], AB)).toMatchObject({ verdict: "no difference shown", low: -Infinity });
    const random = RandomStream.of(1, "expected loss");
    let loss = 0;
    const draws = 200_000;
    for (let i = 0; i < draws; i++) loss += Math.max(0, random.beta(121, 4881) - random.beta(151, 4871)) / draws;
    const found = analyzeExperiment([[counts(120, 5000), counts(150, 5020)]], AB).comparisons[0].expectedLoss.choosingArm;
    // Some 3 % of the draws lose anything: 3 % of Monte Carlo noise.
    expect(Math.abs(found / loss - 1)).toBeLessThan(0.09);
  });
});

describe("sample sizes", () => {
  it("are those of the textbooks", () => {
    // Evan Miller's and statsmodels' 8,158 for 5 against 6 per cent; 20 against 30 per cent: Fleiss' table, 293 an arm before its correction.
    expect(fixedSampleSize({ kind: "rates", control: 0.05, treatment: 0.06 })).toBe(8158);
    expect(fixedSampleSize({ kind: "rates", control: 0.2, treatment: 0.3 })).toBe(294);
    // Half a standard deviation at 80 %: 63 an arm by normal theory.
    expect(fixedSampleSize({ kind: "means", difference: 0.5, sd: 1 })).toBe(63);
    expect(fixedSampleSize({ kind: "rates", control: 0.05, treatment: 0.05 })).toBe(Infinity);
    expect(fixedSampleSize({ kind: "rates", control: 0.05, treatment: 0.06 }, { arms: 3 })).toBeGreaterThan(9500);
    expect(fixedPower({ kind: "rates", control: 0.05, treatment: 0.06 }, 8158)).toBeCloseTo(0.8, 2);
  });

  it("with looks: the power that was asked for, the alpha that was allowed, fewer recipients on average than at most", () => {
    const effect = { kind: "rates", control: 0.05, treatment: 0.06 } as const;
    const plan = sequentialSampleSize(effect, 30);
    expect(sequentialPower(effect, plan.perArm, 30)).toBeCloseTo(0.8, 3);
    expect(plan.falsePositive).toBeLessThan(0.05);
    expect(plan.expectedPerArm).toBeLessThan(plan.perArm);
    expect(plan.perArm).toBeGreaterThan(8158);
    // One look is a single test with the sequence's own critical value.
    expect(sequentialPower(effect, 10_000, 1)).toBeCloseTo(fixedPower(effect, 10_000, { alpha: 2 * 0.0012 }), 1);
    expect(differenceInterval(counts(120, 5000), counts(150, 5020)).low).toBeLessThan(0.001);
  });
});
