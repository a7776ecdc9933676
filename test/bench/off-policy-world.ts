// The synthetic decisions of the Open Bandit Pipeline's authors, by a generator of our own: contexts are normal, the logit of the reward is
// linear in the context with coefficients of each arm, uniform in 0 .. 1 (their version 0.4), the log is made by a softmax of beta x reward rate, and the policy that is valued is a
// multinomial regression of the actions weighted by reward / propensity, fitted on a second log.
import { RandomStream, crossFittedRewards, evaluatePolicy, logistic } from "@populace/domain";
import type { DecisionRows, PolicyEvaluation } from "@populace/domain";

export interface WorldOptions {
  readonly rows: number;
  readonly arms: number;
  readonly features: number;
  readonly beta: number;
}

/** The protocol behind the published table: 10,000 decisions, 30 arms, 5 features, a log that prefers the worse arms. */
export const PUBLISHED: WorldOptions = { rows: 10_000, arms: 30, features: 5, beta: -3 };

export interface LoggedDecisions {
  readonly context: Float64Array;
  readonly action: Int32Array;
  readonly reward: Float64Array;
  readonly propensity: Float64Array;
  /** rows x arms: true reward rates. */
  readonly rate: Float64Array;
}

export interface PolicyTask extends LoggedDecisions {
  /** rows x arms: probabilities of the policy that is valued. */
  readonly policy: Float64Array;
  readonly truth: number;
}

/** One world of the protocol: a log, the policy to value, and its true value on the log's contexts. */
export function policyTask({ rows, arms, features, beta }: WorldOptions, seed: number): PolicyTask {
  const random = RandomStream.of(seed, "off-policy world");
  const coefficients = random.child("coefficients");
  const ofContext = Float64Array.from({ length: arms * features }, () => coefficients.uniform()), ofArm = Float64Array.from({ length: arms }, () => coefficients.uniform());
  const log = (stream: RandomStream): LoggedDecisions => {
    const context = Float64Array.from({ length: rows * features }, () => stream.normal());
    const rate = new Float64Array(rows * arms);
    for (let i = 0; i < rows; i++) {
      for (let a = 0; a < arms; a++) {
        let logit = ofArm[a]!;
        for (let f = 0; f < features; f++) logit += context[i * features + f]! * ofContext[a * features + f]!;
        rate[i * arms + a] = logistic(logit);
      }
    }
    const action = new Int32Array(rows), reward = new Float64Array(rows), propensity = new Float64Array(rows);
    for (let i = 0; i < rows; i++) {
      const shares = softmax(rate.subarray(i * arms, (i + 1) * arms).map((q) => beta * q));
      let left = stream.uniform(), a = 0;
      while (a < arms - 1 && left >= shares[a]!) left -= shares[a++]!;
      action[i] = a;
      propensity[i] = shares[a]!;
      reward[i] = stream.uniform() < rate[i * arms + a]! ? 1 : 0;
    }
    return { context, action, reward, propensity, rate };
  };
  const training = log(random.child("training")), test = log(random.child("test"));
  const policy = learnedPolicy(training, { rows, arms, features }, test.context);
  let truth = 0;
  for (let i = 0; i < policy.length; i++) truth += (policy[i]! * test.rate[i]!) / rows;
  return { ...test, policy, truth };
}

/** Changes the logits into shares that add to 1, in place. */
function softmax(logits: Float64Array): Float64Array {
  let top = -Infinity, sum = 0;
  for (const logit of logits) if (logit > top) top = logit;
  for (let a = 0; a < logits.length; a++) sum += logits[a] = Math.exp(logits[a]! - top);
  for (let a = 0; a < logits.length; a++) logits[a]! /= sum;
  return logits;
}

/** Multinomial logistic regression by accelerated gradient steps; probabilities of each arm for the given contexts. */
function learnedPolicy(log: LoggedDecisions, { rows, arms, features }: Pick<WorldOptions, "rows" | "arms" | "features">, contexts: Float64Array): Float64Array {
  const width = features + 1;
  const kept: number[] = [];
  for (let i = 0; i < rows; i++) if (log.reward[i] === 1) kept.push(i);
  const weight = kept.map((i) => 1 / log.propensity[i]!);
  const total = weight.reduce((sum, w) => sum + w, 0);
  const at = (context: Float64Array, i: number, f: number): number => (f === 0 ? 1 : context[i * features + f - 1]!);
  let beta = new Float64Array(arms * width), previous = beta;
  const logits = new Float64Array(arms);
  const scores = (coefficients: Float64Array, context: Float64Array, i: number): Float64Array => {
    for (let a = 0; a < arms; a++) {
      let eta = 0;
      for (let f = 0; f < width; f++) eta += coefficients[a * width + f]! * at(context, i, f);
      logits[a] = eta;
    }
    return softmax(logits);
  };
  for (let step = 1; step <= 100; step++) {
    const look = beta.map((b, j) => b + ((step - 1) / (step + 2)) * (b - previous[j]!));
    const slope = look.map((b) => -b / (100 * total));
    kept.forEach((i, k) => {
      const shares = scores(look, log.context, i), w = weight[k]! / total;
      for (let a = 0; a < arms; a++) {
        const rest = w * ((a === log.action[i] ? 1 : 0) - shares[a]!);
        for (let f = 0; f < width; f++) slope[a * width + f]! += rest * at(log.context, i, f);
      }
    });
    [previous, beta] = [beta, look.map((b, j) => b + slope[j]!)];
  }
  const policy = new Float64Array(rows * arms);
  for (let i = 0; i < rows; i++) policy.set(scores(beta, contexts, i), i * arms);
  return policy;
}

/** Our estimates of a task. */
export function estimated(task: PolicyTask, { rows, arms, features }: WorldOptions, seed: number): PolicyEvaluation {
  const decisions: DecisionRows = { rows, arms, action: task.action, reward: task.reward, context: task.context, contextFeatures: features, arm: new Float64Array(), armFeatures: 0 };
  const expected = crossFittedRewards(decisions, (row, into) => into.set(task.policy.subarray(row * arms, (row + 1) * arms)), RandomStream.of(seed, "reward model"));
  const weight = Float64Array.from({ length: rows }, (_, i) => task.policy[i * arms + task.action[i]!]! / task.propensity[i]!);
  return evaluatePolicy({ weight, reward: task.reward, expectedLogged: expected.logged, expectedPolicy: expected.policy }, { rewardRange: [0, 1] });
}
