import { describe, expect, it } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { logistic } from "../inference/special-functions.ts";
import { OFF_POLICY_ESTIMATORS, evaluatePolicy } from "./off-policy.ts";
import type { PolicyEvaluation } from "./off-policy.ts";
import { crossFittedRewards } from "./reward-model.ts";
import type { DecisionRows } from "./reward-model.ts";

const named = (evaluation: PolicyEvaluation, name: string) => evaluation.estimators.find((each) => each.name === name)!;

describe("off-policy estimators", () => {
  it("equal those of the Open Bandit Pipeline 0.4.1 on the same table", () => {
    // obp.ope.estimators on these weights, rewards and expectations, with tau 1.2 and lambda 4.
    const log = {
      weight: [1.2, 0.4, 0, 2.5, 0.8, 1.5, 3, 0.3, 0.6, 1.1, 0.2, 0.9], reward: [1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1],
      expectedLogged: [0.5, 0.2, 0.6, 0.7, 0.3, 0.4, 0.8, 0.25, 0.55, 0.35, 0.15, 0.45], expectedPolicy: [0.45, 0.3, 0.5, 0.6, 0.35, 0.4, 0.7, 0.3, 0.5, 0.4, 0.2, 0.5],
    };
    const evaluation = evaluatePolicy(log, { essFloor: 1, cutoffs: { weight: 1.2, lambda: 4 } });
    const obp: Readonly<Record<string, number>> = { IPW: 0.6833333333333332, SNIPW: 0.656, DM: 0.43333333333333335, DR: 0.5420833333333333, SNDR: 0.5377333333333333, "Switch-DR": 0.4795833333333333, DRos: 0.47594716423580197 };
    for (const [name, value] of Object.entries(obp)) expect(named(evaluation, name).value, name).toBeCloseTo(value, 14);
    expect(evaluation.estimators.map((each) => each.name)).toEqual(OFF_POLICY_ESTIMATORS);
  });

  it("intervals cover the truth in every estimator, on logs of 1,500 decisions; chosen cutoffs lower the error of bad weights", () => {
    const worlds = 150, arms = 4, rows = 1500;
    const covered = new Map<string, number>(), squares = new Map<string, number>();
    for (let world = 0; world < worlds; world++) {
      const random = RandomStream.of(world, "coverage of off-policy intervals");
      const weight = new Float64Array(rows), reward = new Float64Array(rows), expectedLogged = new Float64Array(rows), expectedPolicy = new Float64Array(rows);
      let truth = 0;
      for (let i = 0; i < rows; i++) {
        const x = random.normal();
        const rate = Array.from({ length: arms }, (_, a) => logistic(-1 + 0.5 * a + x * (a - 1.5) * 0.4));
        const logging = softmax(Array.from({ length: arms }, (_, a) => -0.9 * a)), policy = softmax(Array.from({ length: arms }, (_, a) => 0.6 * a + 0.3 * x));
        let left = random.uniform(), action = 0;
        while (action < arms - 1 && left >= logging[action]) left -= logging[action++];
        weight[i] = policy[action] / logging[action];
        reward[i] = random.uniform() < rate[action] ? 1 : 0;
        // A model that is off: half-way to one half.
        expectedLogged[i] = 0.25 + rate[action] / 2;
        policy.forEach((share, a) => { expectedPolicy[i] += share * (0.25 + rate[a] / 2); truth += (share * rate[a]) / rows; });
      }
      for (const { name, value, low, high } of evaluatePolicy({ weight, reward, expectedLogged, expectedPolicy }, { rewardRange: [0, 1] }).estimators) {
        covered.set(name, (covered.get(name) ?? 0) + (low <= truth && truth <= high ? 1 : 0));
        squares.set(name, (squares.get(name) ?? 0) + (value - truth) ** 2);
      }
    }
    // 95 % of 150, less four standard errors; DM knows its bias only through the weights, so its interval is the widest.
    for (const [name, count] of covered) expect(count / worlds, name).toBeGreaterThan(0.88);
    expect(squares.get("DR")!).toBeLessThan(squares.get("IPW")!);
    expect(squares.get("SNDR")!).toBeLessThan(squares.get("IPW")!);
  });

  it("a policy that is the log's own is known no better than the log, however much of the weights an estimator gives up", () => {
    const random = RandomStream.of(4, "own policy"), rows = 4000;
    const evaluation = evaluatePolicy({ weight: new Float64Array(rows).fill(1), reward: Float64Array.from({ length: rows }, () => (random.uniform() < 0.1 ? 1 : 0)), expectedLogged: new Float64Array(rows).fill(0.1), expectedPolicy: new Float64Array(rows).fill(0.1) });
    for (const { name, low, high } of evaluation.estimators) expect((high - low) / (2 * 1.96 * evaluation.logged.se), name).toBeGreaterThan(0.97);
  });

  it("refuses a log that is worth too little, and weights that do not average 1", () => {
    const flat = (rows: number, weight: (i: number) => number) => ({ weight: Float64Array.from({ length: rows }, (_, i) => weight(i)), reward: Float64Array.from({ length: rows }, (_, i) => i % 2), expectedLogged: new Float64Array(rows).fill(0.5), expectedPolicy: new Float64Array(rows).fill(0.5) });
    const poor = evaluatePolicy(flat(2000, (i) => (i % 50 === 0 ? 50 : 0)));
    expect(poor).toMatchObject({ estimators: [], lift: null, ess: 40, maxWeight: 50, verdict: expect.stringMatching(/^refused: .*40\.0 decisions.*fewer than 100/) });
    expect(evaluatePolicy(flat(2000, () => 0.6)).verdict).toMatch(/^refused: the weights average 0\.600 instead of 1/);
    expect(evaluatePolicy(flat(2000, () => 0))).toMatchObject({ ess: 0, verdict: expect.stringContaining("refused") });
    expect(evaluatePolicy(flat(2000, (i) => (i % 50 === 0 ? 50 : 0)), { essFloor: 30 }).estimators.length).toBe(8);
  });

  it("clipping says what it can hide at most", () => {
    const rows = 3000;
    const log = { weight: Float64Array.from({ length: rows }, (_, i) => (i % 300 === 0 ? 60 : 240 / 299)), reward: Float64Array.from({ length: rows }, (_, i) => (i % 7 === 0 ? 1 : 0)), expectedLogged: new Float64Array(rows), expectedPolicy: new Float64Array(rows) };
    const clipped = named(evaluatePolicy(log, { essFloor: 20, rewardRange: [0, 1], cutoffs: { weight: 2, lambda: 1 } }), "clipped IPW");
    // Ten weights of 60 are cut to 2: 580 of 3,000.
    expect(clipped.biasMax).toBeCloseTo(580 / 3000, 12);
    expect(clipped.high - clipped.value).toBeGreaterThan(580 / 3000);
  });
});

describe("the model of rewards", () => {
  const rows = 6000, arms = 3;
  const random = RandomStream.of(5, "reward model test");
  const context = Float64Array.from({ length: rows }, () => random.normal()), action = Int32Array.from({ length: rows }, () => random.integer(arms));
  const eta = (i: number, arm: number): number => -1 + 0.5 * arm + 0.8 * (arm - 1) * context[i];
  const base: Omit<DecisionRows, "reward"> = { rows, arms, action, context, contextFeatures: 1, arm: new Float64Array(), armFeatures: 0 };
  const uniform = (_row: number, into: Float64Array): void => { into.fill(1 / arms); };

  it("finds rates of arms that depend on the context, row by row without the row", () => {
    const reward = Float64Array.from({ length: rows }, (_, i) => (random.uniform() < logistic(eta(i, action[i])) ? 1 : 0));
    const { logged, policy } = crossFittedRewards({ ...base, reward }, uniform, RandomStream.of(1, "fit"));
    const error = (found: Float64Array, truth: (i: number) => number): number => Math.sqrt(found.reduce((sum, value, i) => sum + (value - truth(i)) ** 2, 0) / rows);
    // Four coefficients from 4,000 rows each: a few points.
    expect(error(logged, (i) => logistic(eta(i, action[i])))).toBeLessThan(0.03);
    expect(error(policy, (i) => [0, 1, 2].reduce((sum, arm) => sum + logistic(eta(i, arm)) / 3, 0))).toBeLessThan(0.03);
  });

  it("amounts by ridge regression; one kind of reward only is refused; separable rewards stay finite", () => {
    const amounts = Float64Array.from({ length: rows }, (_, i) => 10 + 5 * eta(i, action[i]) + random.normal());
    const { logged } = crossFittedRewards({ ...base, reward: amounts }, uniform, RandomStream.of(1, "fit"));
    expect(Math.sqrt(logged.reduce((sum, value, i) => sum + (value - 10 - 5 * eta(i, action[i])) ** 2, 0) / rows)).toBeLessThan(0.1);
    expect(() => crossFittedRewards({ ...base, reward: new Float64Array(rows) }, uniform, RandomStream.of(1, "fit"))).toThrow(expect.objectContaining({ code: "DEGENERATE_DATA" }));
    const separable = crossFittedRewards({ ...base, reward: Float64Array.from(action, (arm) => (arm === 2 ? 1 : 0)) }, uniform, RandomStream.of(1, "fit"));
    expect(separable.policy.every((value) => value > 0.3 && value < 0.37)).toBe(true);
  });

  it("does not pull a policy that knows more of the arms than the log does to the value of the log", () => {
    // Rewards of 1 %, twenty arms: a log of 4,000 holds two rewards an arm, so that effects of arms shrink; the policy prefers the better ones.
    const worlds = 8, many = 20, decisions = 4000;
    let modelled = 0, truth = 0, logged = 0;
    for (let world = 0; world < worlds; world++) {
      const own = RandomStream.of(world, "knowing policy"), effect = Array.from({ length: many }, () => 0.6 * own.normal()), rate = effect.map((each) => logistic(-4.6 + each));
      const shares = softmax(effect.map((each) => 2 * each + 0.5 * own.normal()));
      const taken = Int32Array.from({ length: decisions }, () => own.integer(many)), reward = Float64Array.from(taken, (arm) => (own.uniform() < rate[arm] ? 1 : 0));
      const { policy } = crossFittedRewards({ rows: decisions, arms: many, action: taken, reward, context: new Float64Array(), contextFeatures: 0, arm: new Float64Array(), armFeatures: 0 }, (_row, into) => into.set(shares), own);
      modelled += policy.reduce((sum, each) => sum + each / decisions, 0) / worlds;
      truth += shares.reduce((sum, share, arm) => sum + share * rate[arm], 0) / worlds;
      logged += rate.reduce((sum, each) => sum + each / many, 0) / worlds;
    }
    expect(truth / logged).toBeGreaterThan(1.4);
    // Some 400 rewards in all: 10 % is two standard errors. Without the column of the policy's liking, 21 % are missing.
    expect(Math.abs(modelled / truth - 1)).toBeLessThan(0.1);
  });
});

function softmax(logits: readonly number[]): number[] {
  const odds = logits.map(Math.exp), sum = odds.reduce((total, each) => total + each, 0);
  return odds.map((each) => each / sum);
}
