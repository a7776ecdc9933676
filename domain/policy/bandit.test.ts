import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { BANDIT_NAMES, bandit, sharesOf, verdictOf } from "./bandit.ts";
import type { BanditName } from "./bandit.ts";
import { betaBelief, linearBelief, logisticBelief } from "./belief.ts";
import type { BanditProblem, Belief } from "./belief.ts";
import { indexOfLargest } from "./index-of-largest.ts";
import { largestRemainder } from "./largest-remainder.ts";
import { playBandit } from "./play.ts";
import type { Play } from "./play.ts";

/** One persona, arms without features. */
const problemOf = (values: readonly number[], costs: readonly number[] = values.map(() => 0)): BanditProblem => ({ value: [values], cost: costs, features: values.map(() => []) });

function seen(belief: Belief, counts: readonly (readonly [exposures: number, responses: number])[]): Belief {
  counts.forEach(([exposures, responses], arm) => belief.update(0, arm, exposures, responses));
  return belief;
}

const flat = (counts: readonly (readonly [number, number])[], values = counts.map(() => 1), costs = counts.map(() => 0)): Belief => seen(betaBelief(problemOf(values, costs), "none"), counts);

describe("top-two Thompson sampling", () => {
  const shares = (counts: readonly (readonly [number, number])[], seed: number): Float64Array => {
    const policy = bandit("top-two", problemOf(counts.map(() => 1)));
    seen(policy.belief, counts);
    return sharesOf(policy, 0, 2_000, RandomStream.of(seed, "test"), counts.length);
  };

  it("shares add to 1 and go to the two arms in contention", () => {
    const found = shares([[1_000, 100], [1_000, 105], [1_000, 20]], 1);
    expect(found.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
    expect(found[2]).toBeLessThan(0.01);
    expect(found[0]).toBeGreaterThan(0.4);
    expect(found[1]).toBeGreaterThan(0.4);
  });

  it("a settled leader still gets half of the exposures, its rivals the rest", () => {
    // Binomial(2,000, 1/2): four standard errors are 0.045.
    expect(Math.abs(shares([[10_000, 100], [10_000, 2_000]], 2)[1] - 0.5)).toBeLessThan(0.045);
  });
});

describe("verdictOf", () => {
  it("the chance of being best and the expected loss match integrals over the Beta posteriors", () => {
    const verdict = verdictOf(flat([[200, 20], [200, 26]]), 0, 200_000, RandomStream.of(3, "test"));
    // scipy 1.17, A = Beta(21, 181), B = Beta(27, 175): quad of pdf_B * cdf_A, and quad of sf_A * cdf_B = E[(A - B)+].
    expect(verdict.best).toBe(1);
    expect(Math.abs(verdict.probabilityBest - 0.824101)).toBeLessThan(0.004);
    expect(Math.abs(verdict.expectedLoss - 0.0030478)).toBeLessThan(0.0001);
  });

  it("value and cost decide, not the rate alone", () => {
    expect(verdictOf(flat([[1_000, 100], [1_000, 300]], [10, 1]), 0, 100, RandomStream.of(4, "test")).best).toBe(0);
    expect(verdictOf(flat([[1_000, 100], [1_000, 300]], [10, 1], [0.9, 0]), 0, 100, RandomStream.of(4, "test")).best).toBe(1);
  });
});

describe("beliefs", () => {
  const expected = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures", "belief.json"), "utf8")) as Record<"linear" | "logistic", Record<"mean" | "deviation", number[]>>;
  const exposures = [[400, 300, 0], [50, 700, 20]], responses = [[40, 45, 0], [9, 63, 0]];
  const problem: BanditProblem = { value: [[1, 1, 1], [1, 1, 1]], cost: [0, 0, 0], features: [[0, 1], [0.5, 0], [1, 1]] };

  it.each([["linear", linearBelief], ["logistic", logisticBelief]] as const)("the %s one has the posterior that numpy and scipy find (fixtures/belief.py)", (name, make) => {
    const belief = make(problem);
    exposures.forEach((row, persona) => row.forEach((count, arm) => belief.update(persona, arm, count, responses[persona][arm])));
    const random = RandomStream.of(1, "draws"), draws = 20_000;
    for (const persona of [0, 1]) {
      const mean = belief.mean(persona), deviation = belief.deviation(persona);
      for (const arm of [0, 1, 2]) {
        // BFGS ends at a gradient of 1e-10; the ridge moves a variance by 1e-9.
        expect(Math.abs(mean[arm] - expected[name].mean[persona * 3 + arm])).toBeLessThan(1e-6);
        expect(Math.abs(deviation[arm] - expected[name].deviation[persona * 3 + arm])).toBeLessThan(1e-6);
      }
      // Joint draws have these deviations: five standard errors of a deviation over 20,000 draws, and the curvature of the logistic.
      const drawn = Array.from({ length: draws }, () => belief.draw(persona, random)[1]);
      const center = drawn.reduce((sum, each) => sum + each, 0) / draws;
      const spread = Math.sqrt(drawn.reduce((sum, each) => sum + (each - center) ** 2, 0) / draws);
      expect(Math.abs(spread / deviation[1] - 1)).toBeLessThan(0.06);
    }
  });

  it("a persona hardly met answers like the others, and one well met for itself", () => {
    const pooled = betaBelief({ value: [[1], [1], [1], [1]], cost: [0], features: [[]] }, "personas");
    [[5_000, 500], [5_000, 520], [5_000, 480], [2, 2]].forEach(([shown, hits], persona) => pooled.update(persona, 0, shown, hits));
    expect(pooled.mean(3)[0]).toBeLessThan(0.12);
    pooled.update(3, 0, 20_000, 15_000);
    expect(pooled.mean(3)[0]).toBeGreaterThan(0.7);
  });

  it("one million counts against one, none and only responses: finite answers", () => {
    for (const make of [linearBelief, logisticBelief, (of: BanditProblem) => betaBelief(of, "personas")]) {
      const belief = make(problem);
      for (const check of [0, 1]) {
        for (const persona of [0, 1]) for (const values of [belief.mean(persona), belief.deviation(persona), belief.draw(persona, RandomStream.of(1, "x"))]) expect(values.every(Number.isFinite)).toBe(true);
        if (check === 0) [[1_000_000, 0], [1, 1], [1_000_000, 1_000_000]].forEach(([shown, hits], arm) => belief.update(0, arm, shown, hits));
      }
    }
  });
});

/** Combinations of on and off features, of which each persona likes others; a response is worth 1. */
const combinations = (features: number): readonly (readonly number[])[] => Array.from({ length: 2 ** features }, (_, arm) => Array.from({ length: features }, (_unused, feature) => (arm >> feature) & 1));
const FACTORIAL = combinations(3);

interface World {
  readonly problem: BanditProblem;
  readonly rates: readonly (readonly number[])[];
  /** The arm that is best for all personas together. */
  readonly fixed: number;
}

function factorialWorld(seed: number, features = 3, personas = 4): World {
  const random = RandomStream.of(seed, "world"), arms = combinations(features);
  const shared = arms[0].map(() => 0.5 * random.normal());
  const rates = Array.from({ length: personas }, () => {
    const own = shared.map((effect) => effect + 0.3 * random.normal());
    return arms.map((z) => 1 / (1 + Math.exp(2.6 - z.reduce((sum, by, feature) => sum + by * own[feature], 0))));
  });
  return { problem: { value: rates.map(() => arms.map(() => 1)), cost: arms.map(() => 0), features: arms }, rates, fixed: indexOfLargest(arms.map((_, arm) => rates.reduce((sum, row) => sum + row[arm], 0))) };
}

const SEEDS = Array.from({ length: 20 }, (_, seed) => seed + 1);
const played = new Map<string, Play[]>();
/** A play in each seed's world: 8 rounds of 200 exposures a persona. */
function plays(name: BanditName, world: (seed: number) => World): Play[] {
  const key = `${name} ${world.name}`;
  if (!played.has(key)) played.set(key, SEEDS.map((seed) => {
    const { problem, rates, fixed } = world(seed);
    return playBandit(bandit(name, problem, fixed), problem, rates, { rounds: 8, batch: 200, choices: 10 }, RandomStream.of(seed, name));
  }));
  return played.get(key)!;
}
const regretsOf = (list: readonly Play[]): number[] => list.map((play) => play.regret.at(-1)!);

/** Mean of the paired differences in standard errors. */
function paired(a: readonly number[], b: readonly number[]): number {
  const differences = a.map((each, seed) => each - b[seed]), n = differences.length, mean = differences.reduce((sum, each) => sum + each, 0) / n;
  return mean / Math.sqrt(differences.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (n - 1) / n);
}

describe("bandits in generated worlds", () => {
  it("every one that learns loses less than random, by more than two standard errors over 20 seeds", () => {
    const random = regretsOf(plays("random", factorialWorld));
    for (const name of BANDIT_NAMES) if (name !== "random" && name !== "best-fixed") expect([name, paired(regretsOf(plays(name, factorialWorld)), random) < -2]).toEqual([name, true]);
  });

  it("features that sixteen arms share are worth something", () => {
    const wide = (seed: number): World => factorialWorld(seed, 4), alone = plays("thompson", wide);
    for (const name of ["linear-thompson", "logistic-thompson"] as const) expect(paired(plays(name, wide).map((play) => play.recommended), alone.map((play) => play.recommended))).toBeGreaterThan(2);
  });

  it("where personas like different arms, what is learned beats the best fixed arm; where all like one, it ties", () => {
    const alike = (seed: number): World => {
      const { problem, rates } = factorialWorld(seed), arm = seed % 8, same = rates.map((row) => row.map((_, each) => (each === arm ? 0.15 : 0.08)));
      return { problem, rates: same, fixed: arm };
    };
    for (const name of ["thompson", "linear-thompson", "logistic-thompson"] as const) {
      const beside = (world: (seed: number) => World): readonly [number[], number[]] => [plays(name, world).map((play) => play.recommended), plays("best-fixed", world).map((play) => play.recommended)];
      expect([name, paired(...beside(factorialWorld)) > 2]).toEqual([name, true]);
      const [learned, fixed] = beside(alike), mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;
      // A tie: within 1 % of the best fixed arm.
      expect([name, mean(learned) / mean(fixed) > 0.99]).toEqual([name, true]);
    }
  });

  it("the same seed gives the same regret to the bit, another seed another", () => {
    for (const name of BANDIT_NAMES) {
      const { problem, rates } = factorialWorld(1);
      const play = (seed: number): number[] => [...playBandit(bandit(name, problem), problem, rates, { rounds: 4, batch: 100, choices: 20 }, RandomStream.of(seed, "play")).regret];
      expect(play(1)).toEqual(play(1));
      if (name !== "best-fixed") expect(play(1)).not.toEqual(play(2));
    }
  });
});

describe("an arm that nobody has been shown", () => {
  it("is chosen by its features", () => {
    // Seven combinations shown, of which every feature helps; the eighth has all three.
    const problem: BanditProblem = { value: [FACTORIAL.map(() => 1)], cost: FACTORIAL.map(() => 0), features: FACTORIAL };
    const unseen = (name: BanditName): number => {
      const policy = bandit(name, problem);
      FACTORIAL.slice(0, 7).forEach((z, arm) => policy.belief.update(0, arm, 2_000, Math.round(2_000 / (1 + Math.exp(3 - z.reduce((sum, each) => sum + 0.8 * each, 0))))));
      return policy.recommend(0);
    };
    expect(unseen("logistic-thompson")).toBe(7);
    expect(unseen("linear-thompson")).toBe(7);
    // Beta(1, 1) holds half of all exposures for responses, and knows nothing else.
    expect(betaBelief(problem, "none").mean(0)[7]).toBe(0.5);
  });
});

describe("largestRemainder", () => {
  it("keeps the total, and ties go to the earlier share", () => {
    expect(largestRemainder([1, 1, 1], 10)).toEqual([4, 3, 3]);
    expect(largestRemainder([0.47, 0.16, 0.158, 0.12, 0.061, 0.031], 100)).toEqual([47, 16, 16, 12, 6, 3]);
    expect(largestRemainder([0, 0], 5)).toEqual([3, 2]);
  });
});
