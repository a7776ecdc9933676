import { PopulaceError } from "../error.ts";
import { choleskyInPlace, packLower, solveLowerInPlace, solveUpperInPlace } from "../inference/linear-algebra.ts";
import { fitHierarchicalLogistic, updateLogistic } from "../inference/logistic.ts";
import type { LogisticDesign, LogisticPosterior } from "../inference/logistic.ts";
import { logistic } from "../inference/special-functions.ts";
import type { RandomStream } from "../random/random-stream.ts";

/** Decisions with what was known before each: features of the moment and of the arms. */
export interface DecisionRows {
  readonly rows: number;
  readonly arms: number;
  /** Arm taken, 0 .. arms - 1. */
  readonly action: ArrayLike<number>;
  readonly reward: ArrayLike<number>;
  /** rows x contextFeatures, scaled to about unit spread; 0 or 1 for levels. */
  readonly context: Float64Array;
  readonly contextFeatures: number;
  /** arms x armFeatures; may be empty. */
  readonly arm: Float64Array;
  readonly armFeatures: number;
}

export interface ExpectedRewards {
  /** Expected reward of the action that was logged. */
  readonly logged: Float64Array;
  /** Expected reward of the policy: its probabilities times the expected reward of each arm. */
  readonly policy: Float64Array;
}

/** Parts the rows are cut into; each is predicted by a model of the others. */
const FOLDS = 3;
/** Columns of the regression; arm x context is left out where it would not fit. */
const COLUMNS_MAX = 300;
/** Prior medians of the scales of a logit's effects. */
const SCALES = [{ name: "arm", priorMedian: 0.5 }, { name: "context", priorMedian: 0.5 }, { name: "arm feature", priorMedian: 0.5 }, { name: "arm x context", priorMedian: 0.3 }, { name: "policy", priorMedian: 0.5 }] as const;
/** Added to a policy's probability, in shares of 1 / arms, before its logarithm is taken: what the policy never does is told from the rest, not infinitely far. */
const SHARE_FLOOR = 0.1;

/**
 * Expected rewards of every row from models that did not see it (three folds, dealt by `random`). Rewards of 0 and 1: hierarchical
 * logistic regression on arms, context, arm features and arm x context; the scales of their priors, four numbers, are learned from all rows, the
 * effects from those of the other folds, and what the rows do not carry shrinks to none. Other rewards: ridge regression on the same columns. `policy` writes the arms' probabilities of a row.
 * How much the policy likes an arm is a column, too (log share): effects that shrink would else pull the policy's value to that of the log wherever the
 * policy knows more of the arms than the log (regularization-induced confounding; Hahn, Murray, Carvalho 2020).
 * DEGENERATE_DATA when a fold's rows hold one kind of reward only.
 */
export function crossFittedRewards(rows: DecisionRows, policy: (row: number, into: Float64Array) => void, random: RandomStream): ExpectedRewards {
  const liking = likingOf(rows, policy), layout = layoutOf(rows, liking.logged !== null);
  const fold = Int32Array.from({ length: rows.rows }, (_, row) => row % FOLDS);
  random.child("folds").shuffle(fold);
  const isBinary = Array.prototype.every.call(rows.reward, (reward: number) => reward === 0 || reward === 1);
  const others = (k: number): Int32Array => Int32Array.from({ length: rows.rows }, (_row, row) => row).filter((row) => fold[row] !== k);
  const whole = isBinary ? fitHierarchicalLogistic(designOf(rows, layout, liking, others(-1)), { worlds: 4, random: random.child("scales") }) : null;
  const coefficients = Array.from({ length: FOLDS }, (_, k) => (whole === null ? ridgeFit(rows, layout, liking, others(k)) : withScalesOf(whole, designOf(rows, layout, liking, others(k)), random)));
  const logged = new Float64Array(rows.rows), expected = new Float64Array(rows.rows);
  const probabilities = new Float64Array(rows.arms);
  for (let row = 0; row < rows.rows; row++) {
    const beta = coefficients[fold[row]];
    policy(row, probabilities);
    const rewardOf = (arm: number): number => {
      let eta = 0;
      visit(rows, layout, row, arm, liking.of(probabilities[arm]), (column, value) => { eta += beta[column] * value; });
      return isBinary ? logistic(eta) : eta;
    };
    logged[row] = rewardOf(rows.action[row]);
    for (let arm = 0; arm < rows.arms; arm++) if (probabilities[arm] > 0) expected[row] += probabilities[arm] * (arm === rows.action[row] ? logged[row] : rewardOf(arm));
  }
  return { logged, policy: expected };
}

/** How much the policy likes an arm, about unit spread over the logged actions. */
interface Liking {
  of(probability: number): number;
  /** Of each logged action; null where the policy likes all of them alike. */
  readonly logged: Float64Array | null;
}

function likingOf({ rows, arms, action }: DecisionRows, policy: (row: number, into: Float64Array) => void): Liking {
  const probabilities = new Float64Array(arms), raw = (probability: number): number => Math.log(SHARE_FLOOR + arms * probability);
  const logged = Float64Array.from({ length: rows }, (_, row) => {
    policy(row, probabilities);
    return raw(probabilities[action[row]]);
  });
  const mean = logged.reduce((sum, each) => sum + each, 0) / rows, sd = Math.sqrt(logged.reduce((sum, each) => sum + (each - mean) ** 2, 0) / rows);
  if (!(sd > 1e-6)) return { of: () => 0, logged: null };
  return { of: (probability) => (raw(probability) - mean) / sd, logged: logged.map((each) => (each - mean) / sd) };
}

/** First column of each block: intercept, arms, context, arm features, arm x context, the policy's liking (-1 = left out). */
interface Layout { readonly columns: number; readonly context: number; readonly armFeature: number; readonly crossed: number; readonly liking: number }

function layoutOf({ arms, contextFeatures, armFeatures }: DecisionRows, hasLiking: boolean): Layout {
  const context = 1 + arms, armFeature = context + contextFeatures, end = armFeature + armFeatures;
  const isCrossed = contextFeatures > 0 && end + arms * contextFeatures <= COLUMNS_MAX, all = isCrossed ? end + arms * contextFeatures : end;
  return { columns: all + (hasLiking ? 1 : 0), context, armFeature, crossed: isCrossed ? end : -1, liking: hasLiking ? all : -1 };
}

function visit(rows: DecisionRows, layout: Layout, row: number, arm: number, liking: number, each: (column: number, value: number) => void): void {
  each(0, 1);
  each(1 + arm, 1);
  for (let f = 0; f < rows.contextFeatures; f++) {
    const value = rows.context[row * rows.contextFeatures + f];
    if (value === 0) continue;
    each(layout.context + f, value);
    if (layout.crossed >= 0) each(layout.crossed + arm * rows.contextFeatures + f, value);
  }
  for (let f = 0; f < rows.armFeatures; f++) {
    const value = rows.arm[arm * rows.armFeatures + f];
    if (value !== 0) each(layout.armFeature + f, value);
  }
  if (layout.liking >= 0) each(layout.liking, liking);
}

function designOf(rows: DecisionRows, layout: Layout, liking: Liking, kept: Int32Array): LogisticDesign {
  const column: number[] = [], value: number[] = [], starts = [0];
  let events = 0;
  for (const row of kept) {
    visit(rows, layout, row, rows.action[row], liking.logged?.[row] ?? 0, (c, v) => { column.push(c); value.push(v); });
    starts.push(column.length);
    events += rows.reward[row];
  }
  if (events === 0 || events === kept.length) {
    throw new PopulaceError("DEGENERATE_DATA", `${events} of ${kept.length} rewards are 1; a model of rewards needs both 0 and 1`, { rows: kept.length, events });
  }
  const group = (c: number): number => (c === layout.liking ? 4 : c === 0 ? -1 : c < layout.context ? 0 : c < layout.armFeature ? 1 : layout.crossed < 0 || c < layout.crossed ? 2 : 3);
  const priorMean = new Float64Array(layout.columns);
  priorMean[0] = Math.log(events / (kept.length - events));
  return {
    rows: kept.length, columns: layout.columns, rowStart: Int32Array.from(starts), column: Int32Array.from(column), value: Float64Array.from(value),
    response: Uint8Array.from(kept, (row) => rows.reward[row]), weight: null,
    scaleGroup: Int32Array.from({ length: layout.columns }, (_, c) => group(c)), groups: layout.liking < 0 ? SCALES.slice(0, -1) : SCALES, priorMean, priorSd: new Float64Array(layout.columns).fill(2),
  };
}

/** Mode of the coefficients of a design under the scales that another fit has found. */
function withScalesOf(fit: LogisticPosterior, design: LogisticDesign, random: RandomStream): Float64Array {
  const n = design.columns, prior = new Float64Array(n * n);
  for (let c = 0; c < n; c++) prior[c * n + c] = design.scaleGroup[c] < 0 ? design.priorSd[c] : fit.scaleGroups[design.scaleGroup[c]].median;
  return updateLogistic({ ...fit, mean: design.priorMean, covarianceCholesky: packLower(prior, n) }, design, { worlds: 0, random }).mean;
}

/** Least squares with one pseudo-row against each coefficient but the intercept; the reward is centered first. */
function ridgeFit(rows: DecisionRows, layout: Layout, liking: Liking, kept: Int32Array): Float64Array {
  const n = layout.columns;
  const gram = new Float64Array(n * n), slope = new Float64Array(n);
  let mean = 0;
  for (const row of kept) mean += rows.reward[row] / kept.length;
  const columns: number[] = [], values: number[] = [];
  for (const row of kept) {
    columns.length = values.length = 0;
    visit(rows, layout, row, rows.action[row], liking.logged?.[row] ?? 0, (c, v) => { columns.push(c); values.push(v); });
    for (let i = 0; i < columns.length; i++) {
      slope[columns[i]] += values[i] * (rows.reward[row] - mean);
      for (let j = 0; j < columns.length; j++) gram[columns[i] * n + columns[j]] += values[i] * values[j];
    }
  }
  for (let c = 0; c < n; c++) gram[c * n + c] += c === 0 ? 1e-9 * kept.length + 1e-9 : 1;
  choleskyInPlace(gram, n);
  solveLowerInPlace(gram, n, slope);
  solveUpperInPlace(gram, n, slope);
  slope[0] += mean;
  return slope;
}
