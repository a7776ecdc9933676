import { studentQuantile } from "../inference/special-functions.ts";

/** Logged decisions as the estimators see them; parallel arrays, one element a row. */
export interface WeightedLog {
  /** Probability of the logged action under the policy that is valued, over the propensity it was logged with. */
  readonly weight: ArrayLike<number>;
  readonly reward: ArrayLike<number>;
  /** Reward that a model expects of the logged action; made without the row (cross-fitting), else the intervals are too short. */
  readonly expectedLogged: ArrayLike<number>;
  /** Reward that the model expects of the policy: its probabilities times the expected reward of each action. */
  readonly expectedPolicy: ArrayLike<number>;
}

/** Names of the estimators, in the order in which they are returned. */
export const OFF_POLICY_ESTIMATORS = ["IPW", "SNIPW", "clipped IPW", "DM", "DR", "SNDR", "Switch-DR", "DRos"] as const;

export interface PolicyEstimate {
  readonly name: (typeof OFF_POLICY_ESTIMATORS)[number];
  /** Mean reward per decision under the policy. */
  readonly value: number;
  /** Sampling error of `value`, by its influence function. */
  readonly se: number;
  /** Confidence interval; where an estimator trades bias for variance, its estimated bias and the error of that estimate widen it. */
  readonly low: number;
  readonly high: number;
  /** What the estimated mean squared error chose: largest weight kept (clipped IPW, Switch-DR) or lambda (DRos); null = nothing cut, or nothing to choose. */
  readonly cutoff: number | null;
  /** Clipped IPW: what clipping can have taken at most, largest reward x (1 - mean clipped weight); it is in `high`. */
  readonly biasMax?: number;
}

export interface PolicyEvaluation {
  /** Empty when the verdict refuses. */
  readonly estimators: readonly PolicyEstimate[];
  /** Effective sample size of the weights, (sum w)^2 / sum w^2: rows of the log that the value rests on. */
  readonly ess: number;
  readonly maxWeight: number;
  /** 1 where the propensities are right and the log holds every action the policy takes. */
  readonly meanWeight: number;
  /** What the policy behind the log earned on the same rows. */
  readonly logged: { readonly value: number; readonly se: number };
  /** SNDR value less what was logged, row by row; null when refused. */
  readonly lift: { readonly value: number; readonly se: number; readonly low: number; readonly high: number } | null;
  /** "better ...", "worse ...", "no difference shown ..." against the policy behind the log, or "refused: ...". */
  readonly verdict: string;
}

export interface OffPolicyOptions {
  /** Effective rows below which no number is given; default `ESS_FLOOR`. */
  readonly essFloor?: number;
  /** Coverage of the intervals; default 0.95. */
  readonly level?: number;
  /** Rewards possible at all; default those seen, and no limit to the intervals. */
  readonly rewardRange?: readonly [number, number];
  /** Cutoffs stated beforehand in place of chosen ones: largest weight kept (clipped IPW, Switch-DR) and lambda (DRos). */
  readonly cutoffs?: { readonly weight: number; readonly lambda: number };
}

/** With a hundred rows a rate of one half has an interval of +- 10 points; below, normal theory no longer holds for weighted means. */
export const ESS_FLOOR = 100;
/** The mean weight may be this far from 1 before propensities or support are doubted: standard errors, and at least a share. */
const WEIGHT_DOUBT = { errors: 5, share: 0.05 } as const;
const CUTOFFS = 24;

/**
 * Values a policy from decisions that another policy made and logged with their propensities.
 *
 * IPW (Horvitz and Thompson 1952), SNIPW (Swaminathan and Joachims 2015), DM, DR (Dudik, Langford, Li 2011), SNDR, Switch-DR
 * (Wang, Agarwal, Dudik 2017), DRos (Su, Dimakopoulou, Krishnamurthy, Dudik 2020). Cutoffs are chosen as in the last two, by the
 * smallest estimated mean squared error: variance / n + (mean of (w - kept w)(reward - expected))^2, over quantiles of the weights
 * and "keep everything". Standard errors by influence functions; intervals by Student's t with as many degrees of freedom as there are
 * effective rows, less one, and with that bias and its error in them: a shrunken value may be nearer, its interval is not shorter.
 *
 * Refuses when fewer than `essFloor` effective rows are left, or when the mean weight is not 1. Weights must be finite and >= 0.
 */
export function evaluatePolicy(log: WeightedLog, options: OffPolicyOptions = {}): PolicyEvaluation {
  const { essFloor = ESS_FLOOR, level = 0.95, rewardRange } = options;
  const n = log.reward.length;
  const { weight, reward, expectedLogged, expectedPolicy } = log;
  let sum = 0, squares = 0, maxWeight = 0;
  for (let i = 0; i < n; i++) {
    sum += weight[i];
    squares += weight[i] ** 2;
    maxWeight = Math.max(maxWeight, weight[i]);
  }
  const ess = squares === 0 ? 0 : (sum * sum) / squares;
  const meanWeight = n === 0 ? 0 : sum / n;
  const weightError = Math.sqrt(Math.max(0, squares / n - meanWeight ** 2) / n);
  const logged = momentsOf(n, (i) => reward[i]);
  const refuse = (reason: string): PolicyEvaluation => ({ estimators: [], ess, maxWeight, meanWeight, logged: { value: logged.mean, se: logged.se }, lift: null, verdict: `refused: ${reason}` });
  if (!(ess >= essFloor)) return refuse(`the log is worth ${ess.toFixed(1)} decisions of this policy (effective sample size), fewer than ${essFloor}; log more, or with a policy nearer to it`);
  if (Math.abs(meanWeight - 1) > Math.max(WEIGHT_DOUBT.share, WEIGHT_DOUBT.errors * weightError)) {
    return refuse(`the weights average ${meanWeight.toFixed(3)} instead of 1 (standard error ${weightError.toFixed(3)}): the propensities are wrong, or the policy takes actions that the log cannot show`);
  }

  const t = studentQuantile(0.5 + level / 2, Math.max(1, ess - 1));
  const bounded = (value: number): number => (rewardRange === undefined ? value : Math.min(Math.max(value, rewardRange[0]), rewardRange[1]));
  const estimate = (name: PolicyEstimate["name"], { value, se, bias, biasError }: Shrunk, cutoff: number | null = null): PolicyEstimate => {
    // Value and bias err together: both are means over the same rewards.
    const half = t * Math.hypot(se + biasError, bias);
    return { name, value, se, low: bounded(value - half), high: bounded(value + half), cutoff };
  };
  /** The doubly robust estimate with other weights, and what the change costs in bias. */
  const shrunk = (kept: (w: number) => number): Shrunk => {
    const terms = momentsOf(n, (i) => expectedPolicy[i] + kept(weight[i]) * (reward[i] - expectedLogged[i]));
    const lost = momentsOf(n, (i) => (weight[i] - kept(weight[i])) * (reward[i] - expectedLogged[i]));
    return { value: terms.mean, se: terms.se, bias: Math.abs(lost.mean), biasError: lost.se };
  };
  const clippedAt = (cutoff: number): Shrunk => {
    const terms = momentsOf(n, (i) => Math.min(weight[i], cutoff) * reward[i]);
    const lost = momentsOf(n, (i) => (weight[i] - Math.min(weight[i], cutoff)) * reward[i]);
    return { value: terms.mean, se: terms.se, bias: Math.abs(lost.mean), biasError: lost.se };
  };
  const { cutoffs: stated } = options;
  const cutoffs = stated === undefined ? quantilesOf(weight) : [stated.weight];
  const lambdas = stated === undefined ? cutoffs.map((cutoff) => cutoff ** 2) : [stated.lambda];
  const best = stated === undefined ? chosen : first;
  const switched = best(cutoffs, (cutoff) => shrunk((w) => (w <= cutoff ? w : 0)));
  const optimistic = best(lambdas, (lambda) => shrunk((w) => (lambda === Infinity ? w : (lambda * w) / (w * w + lambda))));
  const clipped = best(cutoffs, clippedAt);

  const ipw = momentsOf(n, (i) => weight[i] * reward[i]);
  const snipw = ipw.mean / meanWeight;
  const snipwError = momentsOf(n, (i) => (weight[i] * (reward[i] - snipw)) / meanWeight).se;
  const modelled = shrunk(() => 0), doubly = shrunk((w) => w);
  const correction = momentsOf(n, (i) => weight[i] * (reward[i] - expectedLogged[i])).mean / meanWeight;
  const sndrTerm = (i: number): number => expectedPolicy[i] + (weight[i] * (reward[i] - expectedLogged[i] - correction)) / meanWeight;
  const sndr = modelled.value + correction;
  const rewardMax = rewardRange?.[1] ?? Array.from({ length: n }, (_, i) => reward[i]).reduce((top, value) => Math.max(top, value), 0);
  const keptWeight = clipped.cutoff === null ? meanWeight : momentsOf(n, (i) => Math.min(weight[i], clipped.cutoff!)).mean;
  const biasMax = Math.max(0, rewardMax * (1 - keptWeight));
  const clippedEstimate = estimate("clipped IPW", unbiased(clipped.value, clipped.se), clipped.cutoff);
  const estimators: readonly PolicyEstimate[] = [
    estimate("IPW", unbiased(ipw.mean, ipw.se)),
    estimate("SNIPW", unbiased(snipw, snipwError)),
    clipped.cutoff === null ? clippedEstimate : { ...clippedEstimate, high: bounded(clippedEstimate.high + biasMax), biasMax },
    estimate("DM", modelled),
    estimate("DR", doubly),
    estimate("SNDR", unbiased(sndr, momentsOf(n, sndrTerm).se)),
    estimate("Switch-DR", switched, switched.cutoff),
    estimate("DRos", optimistic, optimistic.cutoff),
  ];
  const difference = momentsOf(n, (i) => sndrTerm(i) - reward[i]);
  const value = sndr - logged.mean;
  const lift = { value, se: difference.se, low: value - t * difference.se, high: value + t * difference.se };
  const found = lift.low > 0 ? "better than the policy behind the log" : lift.high < 0 ? "worse than the policy behind the log" : "no difference to the policy behind the log shown";
  return { estimators, ess, maxWeight, meanWeight, logged: { value: logged.mean, se: logged.se }, lift, verdict: found };
}

interface Shrunk { readonly value: number; readonly se: number; readonly bias: number; readonly biasError: number }

const unbiased = (value: number, se: number): Shrunk => ({ value, se, bias: 0, biasError: 0 });

/** The cutoff of the smallest estimated mean squared error; Infinity keeps everything and is said as null. Ties keep more. */
function chosen(cutoffs: readonly number[], at: (cutoff: number) => Shrunk): Shrunk & { readonly cutoff: number | null } {
  let found = at(Infinity), cutoff = Infinity;
  for (const candidate of cutoffs) {
    const other = at(candidate);
    if (other.se ** 2 + other.bias ** 2 < found.se ** 2 + found.bias ** 2) [found, cutoff] = [other, candidate];
  }
  return { ...found, cutoff: cutoff === Infinity ? null : cutoff };
}

function first(cutoffs: readonly number[], at: (cutoff: number) => Shrunk): Shrunk & { readonly cutoff: number } {
  return { ...at(cutoffs[0]), cutoff: cutoffs[0] };
}

/** Quantiles of the weights above 0, the largest last. */
function quantilesOf(weight: ArrayLike<number>): readonly number[] {
  const sorted = Float64Array.from(Array.from({ length: weight.length }, (_, i) => weight[i]).filter((w) => w > 0)).sort();
  if (sorted.length === 0) return [];
  const found = Array.from({ length: CUTOFFS }, (_, k) => sorted[Math.min(sorted.length - 1, Math.floor(((k + 1) / CUTOFFS) * sorted.length))]);
  return [...new Set(found)];
}

/** Mean of n terms and its standard error. */
function momentsOf(n: number, of: (i: number) => number): { readonly mean: number; readonly se: number } {
  let mean = 0, squares = 0;
  for (let i = 0; i < n; i++) {
    const value = of(i), delta = value - mean;
    mean += delta / (i + 1);
    squares += delta * (value - mean);
  }
  return { mean, se: n < 2 ? 0 : Math.sqrt(squares / (n - 1) / n) };
}
