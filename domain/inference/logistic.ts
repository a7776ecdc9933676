import type { RandomStream } from "../random/random-stream.ts";
import { choleskyInPlace, gramOfLower, invertLower, packLower, solveLowerInPlace, solveUpperInPlace, unpackLower } from "./linear-algebra.ts";
import { aggregateRows, information, linearPredictor, logLikelihoodAt, logLikelihoodGradient, logLikelihoodPair } from "./logistic-rows.ts";
import type { LogisticRows } from "./logistic-rows.ts";
import { smoothWeights, systematicResample } from "./pareto.ts";
import { explore, maximize } from "./scale-exploration.ts";
import type { LogDensity } from "./scale-exploration.ts";
import { logistic, normalQuantile } from "./special-functions.ts";

/** Rows of a hierarchical logistic regression. A column occurs at most once in a row; columns of no row are allowed. */
export interface LogisticDesign {
  readonly rows: number;
  readonly columns: number;
  /** rows + 1 offsets into `column` and `value`. */
  readonly rowStart: Int32Array;
  readonly column: Int32Array;
  readonly value: Float64Array;
  /** 0 or 1 a row. */
  readonly response: Uint8Array;
  /** How many observations a row stands for; null means 1 each. */
  readonly weight: Float64Array | null;
  /** Group of each column, -1 for a coefficient with a fixed prior. */
  readonly scaleGroup: Int32Array;
  /** Coefficients of a group share a prior N(priorMean, sd^2) with sd half-normal of that median. */
  readonly groups: readonly { readonly name: string; readonly priorMedian: number }[];
  readonly priorMean: Float64Array;
  /** Prior standard deviation where scaleGroup is -1 (held within 1e-6 .. 1e3, so that separable data stay finite). */
  readonly priorSd: Float64Array;
}

export interface LogisticPosterior {
  readonly mean: Float64Array;
  /** Lower Cholesky factor of the posterior covariance (scales integrated over), packed by rows. */
  readonly covarianceCholesky: Float64Array;
  /** Posterior draws, world-major: worlds x columns. */
  readonly draws: Float64Array;
  /** Standard deviation of each group behind each draw: worlds x groups. */
  readonly scaleDraws: Float64Array;
  readonly scaleGroups: readonly { readonly name: string; readonly median: number; readonly low: number; readonly high: number }[];
  readonly method: "laplace" | "prior-only";
  /** log p(responses), scales integrated over. */
  readonly logMarginal: number;
  readonly diagnostics: LogisticDiagnostics;
}

/** What was done and how far it can be trusted. */
export interface LogisticDiagnostics {
  /** Distinct rows that were left after equal rows were merged. */
  readonly distinctRows: number;
  readonly newtonSteps: number;
  readonly converged: boolean;
  /** Effective number of points that represent the posterior of the scales. */
  readonly scaleEffectiveSize: number;
  /** Pareto shape of exact posterior / Gaussian approximation: below 0.7 the draws are exact up to resampling. */
  readonly paretoK: number;
  /**
   * "importance": draws reweighted to the exact posterior; "partial": reweighted, the far tails not trustworthy; "skew": only
   * the odd part of the Gaussian's error removed; "none": plain Gaussian (sequential updates) or prior.
   */
  readonly correction: "none" | "skew" | "partial" | "importance";
}

export interface LogisticOptions {
  readonly worlds: number;
  readonly random: RandomStream;
}

/** Quadratic approximation of the log likelihood in delta = beta - priorMean: constant + slope' delta - delta' H delta / 2. */
interface Quadratic {
  readonly constant: number;
  readonly slope: Float64Array;
  /** Lower triangle, row-major; the upper one is filled in too. */
  readonly information: Float64Array;
}

const SD_MIN = 1e-6;
const SD_MAX = 1e3;
/** Median of |Z|, Z standard normal. */
const HALF_NORMAL_MEDIAN = normalQuantile(0.75);
const NEWTON_STEPS_MAX = 100;
/** Draws in the pool for each one kept, and the multiply-adds spent on it (about a quarter of a second) between these bounds. */
const POOL_MIN = 3;
const POOL_MAX = 20;
const POOL_COST = 1e8;
/** From this cost of one draw a world (some 200,000 rows) the pool is not enlarged: so many rows leave little to reweight. */
const SINGLE_COST = 3e9;
/** Up to here smoothed weights are exact for our purposes, up to 1 they still help (coverage of rare responses 88.3 -> 89.0 %). */
const PARETO_K_GOOD = 0.7;
const PARETO_K_MAX = 1;

/**
 * Posterior of a hierarchical Bayesian logistic regression, as draws.
 *
 * 1. Newton's method finds the mode of the coefficients given the scales; the log likelihood becomes its quadratic there.
 * 2. With a quadratic likelihood the marginal posterior of the scales is linear algebra; its mode is found, the quadratic
 *    is renewed at the coefficients of that mode, until both agree.
 * 3. The scales are explored by importance sampling around their mode (plugging in the mode alone makes 90 % intervals of
 *    three personas' effects cover 72 %) and each draw takes a scale point by weight, then coefficients from the Gaussian
 *    given that point (Rue, Martino, Chopin 2009, without their grid).
 * 4. Each draw is mirrored at the Gaussian's center with the exact probability that the true posterior prefers its mirror
 *    image (Pozza, Durante, Szabo 2024: skew-symmetric approximation), and a pool of such draws is resampled by
 *    Pareto-smoothed importance weights where their shape allows it.
 *
 * Without rows the draws come from the prior and `method` is "prior-only". Groups without columns keep their prior.
 * Cost: a few dozen passes over rows x nonzeros^2, some hundred Cholesky factors of `columns`, two likelihoods a draw.
 */
export const fitHierarchicalLogistic = (design: LogisticDesign, options: LogisticOptions): LogisticPosterior => {
  const { columns, groups, scaleGroup, priorMean } = design;
  const { worlds, random } = options;
  const rows = aggregateRows(design);
  if (rows.count === 0) return priorOnly(design, worlds, random);

  const hyper = groups.map((group) => Math.max(group.priorMedian, 1e-9) / HALF_NORMAL_MEDIAN);
  const used = groups.map((_, g) => scaleGroup.indexOf(g) !== -1);
  const active = groups.map((_, g) => g).filter((g) => used[g]);
  const sdAt = (theta: Float64Array): Float64Array => columnSds(design, active, theta);

  // 1 and 2: mode of coefficients and scales.
  let theta = Float64Array.from(active, (g) => Math.log(Math.max(groups[g].priorMedian, 1e-9)));
  let delta: Float64Array = new Float64Array(columns);
  let newtonSteps = 0;
  let converged = false;
  let quadratic: Quadratic;
  for (let round = 0; ; round++) {
    const found = newton(rows, priorMean, sdAt(theta), delta);
    newtonSteps += found.steps;
    delta = found.delta;
    quadratic = found.quadratic;
    if (active.length === 0) {
      converged = found.converged;
      break;
    }
    const { mode } = maximize(scaleDensity(design, active, hyper, quadratic), theta);
    let change = 0;
    for (let i = 0; i < mode.length; i++) change = Math.max(change, Math.abs(mode[i] - theta[i]));
    theta = Float64Array.from(mode);
    converged = found.converged && change < 0.05;
    if (converged || round === 12) break;
  }

  // 3: the scales.
  const density = scaleDensity(design, active, hyper, quadratic);
  const pointCount = columns <= 100 ? 384 : columns <= 200 ? 256 : 128;
  const scales = explore(density, theta, active.length === 0 ? 1 : pointCount, random.child("scales"));

  // 4: pool of draws, corrected towards the exact posterior.
  const drawCost = 2 * rows.rowStart[rows.count] + 30 * rows.count + 3 * columns * columns;
  const poolFactor = drawCost * worlds > SINGLE_COST ? 1 : Math.min(Math.max(Math.floor(POOL_COST / (drawCost * worlds)), POOL_MIN), POOL_MAX);
  const poolSize = worlds * poolFactor;
  const chosen = systematicResample(scales.weights, poolSize, random.child("scale-choice").uniform());
  const pool = drawPool(rows, design, active, quadratic, scales.points, chosen, random.child("draws"));
  const { weights, paretoK, logMean } = smoothWeights(pool.logWeight);
  const isImportance = poolFactor > 1 && paretoK < PARETO_K_MAX;
  const uniform = new Float64Array(poolSize).fill(1 / poolSize);
  const poolWeights = isImportance ? weights : uniform;
  const kept = systematicResample(poolWeights, worlds, random.child("resample").uniform());
  random.child("order").shuffle(kept);

  const draws = new Float64Array(worlds * columns);
  const scaleDraws = new Float64Array(worlds * groups.length);
  const priorScales = random.child("prior-scales");
  for (let w = 0; w < worlds; w++) {
    const k = kept[w];
    for (let j = 0; j < columns; j++) draws[w * columns + j] = priorMean[j] + pool.delta[k * columns + j];
    for (let g = 0; g < groups.length; g++) {
      const at = active.indexOf(g);
      scaleDraws[w * groups.length + g] =
        at === -1 ? hyper[g] * Math.abs(priorScales.normal()) : Math.exp(scales.points[chosen[k] * active.length + at]);
    }
  }
  const { mean, covarianceCholesky } = poolMoments(pool, poolWeights, priorMean, columns);
  return {
    mean, covarianceCholesky, draws, scaleDraws,
    scaleGroups: summarizeScales(design, active, hyper, scales.points, chosen, poolWeights),
    method: "laplace",
    logMarginal: scales.logEvidence + (isImportance ? logMean : 0),
    diagnostics: {
      distinctRows: rows.count, newtonSteps, converged, scaleEffectiveSize: scales.effectiveSize, paretoK,
      correction: !isImportance ? "skew" : paretoK < PARETO_K_GOOD ? "importance" : "partial",
    },
  };
};

const columnSds = (design: LogisticDesign, active: readonly number[], theta: Float64Array): Float64Array => {
  const sds = new Float64Array(design.columns);
  const byGroup = new Float64Array(design.groups.length);
  active.forEach((g, i) => {
    byGroup[g] = Math.exp(Math.min(Math.max(theta[i], -30), 7));
  });
  for (let j = 0; j < design.columns; j++) {
    const g = design.scaleGroup[j];
    sds[j] = g >= 0 ? byGroup[g] : Math.min(Math.max(design.priorSd[j], SD_MIN), SD_MAX);
  }
  return sds;
};

/**
 * Mode of the coefficients under N(0, sd^2) on delta, by Newton steps on u = delta / sd with step halving, and the
 * quadratic of the log likelihood there. In u the matrix is I + sd H sd, well conditioned for any scale.
 */
const newton = (
  rows: LogisticRows, priorMean: Float64Array, sd: Float64Array, start: Float64Array,
): { delta: Float64Array; quadratic: Quadratic; steps: number; converged: boolean } => {
  const n = rows.columns;
  const eta = new Float64Array(rows.count);
  const gradient = new Float64Array(n);
  const hessian = new Float64Array(n * n);
  const matrix = new Float64Array(n * n);
  const beta = new Float64Array(n);
  let u = start.map((d, j) => d / sd[j]);
  const evaluate = (point: Float64Array): number => {
    let square = 0;
    for (let j = 0; j < n; j++) {
      beta[j] = priorMean[j] + sd[j] * point[j];
      square += point[j] ** 2;
    }
    return logLikelihoodGradient(rows, beta, gradient, eta) - square / 2;
  };
  let value = evaluate(u);
  let steps = 0;
  let converged = false;
  while (steps < NEWTON_STEPS_MAX) {
    information(rows, eta, hessian);
    const step = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) matrix[i * n + j] = sd[i] * hessian[i * n + j] * sd[j];
      matrix[i * n + i] += 1;
      step[i] = sd[i] * gradient[i] - u[i];
    }
    choleskyInPlace(matrix, n);
    solveLowerInPlace(matrix, n, step);
    let decrement = 0;
    for (let i = 0; i < n; i++) decrement += step[i] ** 2;
    if (decrement < 1e-12) {
      converged = true;
      break;
    }
    solveUpperInPlace(matrix, n, step);
    steps++;
    let size = 1;
    let next = u;
    let nextValue = Number.NaN;
    for (let halving = 0; halving < 40; halving++, size /= 2) {
      next = u.map((x, i) => x + size * step[i]);
      nextValue = evaluate(next);
      if (nextValue >= value + 0.25 * size * decrement - 1e-9 * Math.abs(value)) break;
    }
    if (!(nextValue >= value - 1e-9 * Math.abs(value))) {
      evaluate(u);
      information(rows, eta, hessian);
      break;
    }
    u = next;
    value = nextValue;
    if (decrement < 1e-8) {
      information(rows, eta, hessian);
      converged = true;
      break;
    }
  }
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) hessian[j * n + i] = hessian[i * n + j];
  const delta = u.map((x, j) => x * sd[j]);
  const slope = new Float64Array(n);
  let constant = logLikelihoodAt(rows, eta);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += hessian[i * n + j] * delta[j];
    slope[i] = gradient[i] + sum;
    constant -= gradient[i] * delta[i] + 0.5 * delta[i] * sum;
  }
  return { delta, quadratic: { constant, slope, information: hessian }, steps, converged };
};

/** Factor of I + sd H sd and the center of u = delta / sd, given the scales. */
const condition = (
  quadratic: Quadratic, sd: Float64Array, matrix: Float64Array,
): { halfLogDeterminant: number; center: Float64Array; energy: number } => {
  const n = sd.length;
  const center = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) matrix[i * n + j] = sd[i] * quadratic.information[i * n + j] * sd[j];
    matrix[i * n + i] += 1;
    center[i] = sd[i] * quadratic.slope[i];
  }
  const halfLogDeterminant = choleskyInPlace(matrix, n);
  solveLowerInPlace(matrix, n, center);
  let energy = 0;
  for (let i = 0; i < n; i++) energy += center[i] ** 2;
  solveUpperInPlace(matrix, n, center);
  return { halfLogDeterminant, center, energy };
};

/** Log posterior of the log scales under the quadratic likelihood, half-normal prior and Jacobian included. */
const scaleDensity = (design: LogisticDesign, active: readonly number[], hyper: readonly number[], quadratic: Quadratic): LogDensity => {
  const n = design.columns;
  const matrix = new Float64Array(n * n);
  const place = new Int32Array(design.groups.length).fill(-1);
  active.forEach((g, i) => (place[g] = i));
  return (theta, gradient) => {
    const { halfLogDeterminant, center, energy } = condition(quadratic, columnSds(design, active, theta), matrix);
    let value = quadratic.constant + energy / 2 - halfLogDeterminant;
    for (let i = 0; i < active.length; i++) {
      const ratio = Math.exp(theta[i]) / hyper[active[i]];
      value += Math.log(2 / hyper[active[i]]) - 0.9189385332046727 + theta[i] - 0.5 * ratio * ratio;
    }
    if (gradient) {
      for (let i = 0; i < active.length; i++) gradient[i] = 1 - (Math.exp(theta[i]) / hyper[active[i]]) ** 2;
      const inverse = invertLower(matrix, n);
      const variance = new Float64Array(n);
      for (let k = 0; k < n; k++) for (let j = 0; j <= k; j++) variance[j] += inverse[k * n + j] ** 2;
      for (let j = 0; j < n; j++) {
        const g = design.scaleGroup[j];
        if (g >= 0) gradient[place[g]] += center[j] ** 2 + variance[j] - 1;
      }
    }
    return value;
  };
};

interface Pool {
  /** pool x columns, relative to the prior mean. */
  readonly delta: Float64Array;
  /** log of exact / approximate posterior, its even part. */
  readonly logWeight: Float64Array;
  /** pool x columns: expectation over the two mirror images. */
  readonly expected: Float64Array;
  /** pool x columns: centers of the Gaussians; null when all are 0. */
  readonly centers: Float64Array | null;
  /** Full lower triangle: covariance given the scales, averaged over a few dozen of the chosen scale points. */
  readonly within: Float64Array;
  readonly size: number;
}

/** Scale points over which the covariance given the scales is averaged: each costs two triangular n^3 / 6. */
const WITHIN_POINTS = 24;
/** A half-normal, the most one-sided thing mirroring can make, has moved its mean by 2 / pi of its second moment. */
const SHIFT_SHARE_MAX = 2 / Math.PI;

/** Draws from the Gaussian given each chosen scale point, mirrored by the exact posterior. `chosen` is ascending. */
const drawPool = (
  rows: LogisticRows, design: LogisticDesign, active: readonly number[], quadratic: Quadratic,
  points: Float64Array, chosen: Int32Array, random: RandomStream,
): Pool => {
  const n = design.columns;
  const size = chosen.length;
  const delta = new Float64Array(size * n);
  const expected = new Float64Array(size * n);
  const centers = new Float64Array(size * n);
  const logWeight = new Float64Array(size);
  const within = new Float64Array(n * n);
  const withinPoints = Math.min(WITHIN_POINTS, size);
  let withinDone = 0;
  const matrix = new Float64Array(n * n);
  const etaCenter = new Float64Array(rows.count);
  const odds = new Float64Array(rows.count);
  const etaMove = new Float64Array(rows.count);
  const move = new Float64Array(n);
  const beta = new Float64Array(n);
  let sd: Float64Array = new Float64Array(n);
  let center: Float64Array = new Float64Array(n);
  let previous = -1;
  for (let k = 0; k < size; k++) {
    if (chosen[k] !== previous) {
      previous = chosen[k];
      sd = columnSds(design, active, points.subarray(previous * active.length, (previous + 1) * active.length));
      center = condition(quadratic, sd, matrix).center;
      for (let j = 0; j < n; j++) {
        center[j] *= sd[j];
        beta[j] = design.priorMean[j] + center[j];
      }
      linearPredictor(rows, beta, etaCenter);
      for (let i = 0; i < rows.count; i++) odds[i] = Math.exp(etaCenter[i]);
    }
    if (k * withinPoints >= withinDone * size) {
      withinDone++;
      // Row k of L^-1 scaled by sd: its Gram matrix is sd (I + sd H sd)^-1 sd.
      const scaled = invertLower(matrix, n);
      for (let a = 0; a < n; a++) for (let b = 0; b <= a; b++) scaled[a * n + b] *= sd[b];
      gramOfLower(scaled, n, within, 1 / withinPoints);
    }
    for (let j = 0; j < n; j++) move[j] = random.normal();
    solveUpperInPlace(matrix, n, move);
    for (let j = 0; j < n; j++) move[j] *= sd[j];
    linearPredictor(rows, move, etaMove);
    const [plus, minus] = logLikelihoodPair(rows, etaCenter, odds, etaMove);
    const [quadraticPlus, quadraticMinus] = quadraticPair(quadratic, center, move);
    const errorPlus = plus - quadraticPlus;
    const errorMinus = minus - quadraticMinus;
    const preferPlus = logistic(errorPlus - errorMinus);
    const sign = random.uniform() < preferPlus ? 1 : -1;
    const top = Math.max(errorPlus, errorMinus);
    logWeight[k] = top + Math.log((Math.exp(errorPlus - top) + Math.exp(errorMinus - top)) / 2);
    for (let j = 0; j < n; j++) {
      centers[k * n + j] = center[j];
      delta[k * n + j] = center[j] + sign * move[j];
      expected[k * n + j] = center[j] + (2 * preferPlus - 1) * move[j];
    }
  }
  return { delta, expected, centers, within, logWeight, size };
};

const quadraticPair = (quadratic: Quadratic, center: Float64Array, move: Float64Array): [number, number] => {
  const n = center.length;
  const { slope, information: matrix, constant } = quadratic;
  let even = constant;
  let odd = 0;
  for (let i = 0; i < n; i++) {
    let ofCenter = 0;
    let ofMove = 0;
    for (let j = 0; j < n; j++) {
      const h = matrix[i * n + j];
      ofCenter += h * center[j];
      ofMove += h * move[j];
    }
    even += slope[i] * center[i] - 0.5 * (center[i] * ofCenter + move[i] * ofMove);
    odd += slope[i] * move[i] - move[i] * ofCenter;
  }
  return [even + odd, even - odd];
};

/** Adds weight x x' to the lower triangle of an n x n matrix. */
const addOuter = (matrix: Float64Array, n: number, x: Float64Array, weight: number): void => {
  for (let i = 0; i < n; i++) {
    const a = weight * x[i];
    for (let j = 0; j <= i; j++) matrix[i * n + j] += a * x[j];
  }
};

/**
 * Mean and Cholesky factor of the covariance, with as little Monte Carlo noise as the pool allows: mirror images are
 * averaged out, the covariance given the scales is exact, only the spread of the centers comes from the pool.
 */
const poolMoments = (
  pool: Pool, weights: Float64Array, priorMean: Float64Array, n: number,
): { mean: Float64Array; covarianceCholesky: Float64Array } => {
  const mean = new Float64Array(n);
  const center = new Float64Array(n);
  for (let k = 0; k < pool.size; k++) {
    for (let j = 0; j < n; j++) {
      mean[j] += weights[k] * pool.expected[k * n + j];
      if (pool.centers !== null) center[j] += weights[k] * pool.centers[k * n + j];
    }
  }
  const covariance = Float64Array.from(pool.within);
  const away = new Float64Array(n);
  for (let k = 0; k < pool.size && pool.centers !== null; k++) {
    for (let j = 0; j < n; j++) away[j] = pool.centers[k * n + j] - center[j];
    addOuter(covariance, n, away, weights[k]);
  }
  // Mirroring moves the mean by s and takes s s' from the covariance. The two come from different averages, so where the
  // Gaussian was far off (separable data) only as much is taken as leaves a covariance.
  const shift = mean.map((m, j) => m - center[j]);
  const whitened = Float64Array.from(shift);
  solveLowerInPlace(factorOf(covariance, n), n, whitened);
  const share = Math.min(1, SHIFT_SHARE_MAX / Math.max(whitened.reduce((sum, x) => sum + x * x, 0), 1e-300));
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) covariance[i * n + j] -= share * shift[i] * shift[j];
  return { mean: mean.map((m, j) => m + priorMean[j]), covarianceCholesky: packLower(factorOf(covariance, n), n) };
};

/** Cholesky factor of a covariance; a matrix that rounding made singular gets a relative ridge. */
const factorOf = (covariance: Float64Array, n: number): Float64Array => {
  for (let ridge = 0; ; ridge = ridge === 0 ? 1e-12 : ridge * 100) {
    const factor = Float64Array.from(covariance);
    for (let i = 0; i < n; i++) factor[i * n + i] += ridge * covariance[i * n + i] + (ridge > 0 ? 1e-18 : 0);
    if (!Number.isNaN(choleskyInPlace(factor, n))) return factor;
    if (ridge > 1) throw new Error("covariance is not finite");
  }
};

const summarizeScales = (
  design: LogisticDesign, active: readonly number[], hyper: readonly number[], points: Float64Array, chosen: Int32Array, weights: Float64Array,
): LogisticPosterior["scaleGroups"] =>
  design.groups.map(({ name }, g) => {
    const at = active.indexOf(g);
    // Half-normal quantiles of a group that no column belongs to.
    if (at === -1) return { name, median: hyper[g] * HALF_NORMAL_MEDIAN, low: hyper[g] * normalQuantile(0.525), high: hyper[g] * normalQuantile(0.975) };
    const values = Float64Array.from(chosen, (k) => Math.exp(points[k * active.length + at]));
    return { name, median: weightedQuantile(values, weights, 0.5), low: weightedQuantile(values, weights, 0.05), high: weightedQuantile(values, weights, 0.95) };
  });

const weightedQuantile = (values: Float64Array, weights: Float64Array, p: number): number => {
  const order = Int32Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b]);
  let sum = 0;
  for (const i of order) {
    sum += weights[i];
    if (sum >= p) return values[i];
  }
  return values[order[order.length - 1]];
};

const priorOnly = (design: LogisticDesign, worlds: number, random: RandomStream): LogisticPosterior => {
  const { columns, groups, scaleGroup, priorMean, priorSd } = design;
  const hyper = groups.map((group) => Math.max(group.priorMedian, 1e-9) / HALF_NORMAL_MEDIAN);
  const draws = new Float64Array(worlds * columns);
  const scaleDraws = new Float64Array(worlds * groups.length);
  const scaleStream = random.child("prior-scales");
  const stream = random.child("draws");
  for (let w = 0; w < worlds; w++) {
    for (let g = 0; g < groups.length; g++) scaleDraws[w * groups.length + g] = hyper[g] * Math.abs(scaleStream.normal());
    for (let j = 0; j < columns; j++) {
      const g = scaleGroup[j];
      const sd = g >= 0 ? scaleDraws[w * groups.length + g] : Math.min(Math.max(priorSd[j], SD_MIN), SD_MAX);
      draws[w * columns + j] = priorMean[j] + sd * stream.normal();
    }
  }
  const factor = new Float64Array(columns * columns);
  // E[sd^2] of a half-normal is the square of its parameter.
  for (let j = 0; j < columns; j++) factor[j * columns + j] = scaleGroup[j] >= 0 ? hyper[scaleGroup[j]] : Math.min(Math.max(priorSd[j], SD_MIN), SD_MAX);
  return {
    mean: Float64Array.from(priorMean), covarianceCholesky: packLower(factor, columns), draws, scaleDraws,
    scaleGroups: groups.map(({ name }, g) => ({
      name, median: groups[g].priorMedian, low: hyper[g] * normalQuantile(0.525), high: hyper[g] * normalQuantile(0.975),
    })),
    method: "prior-only", logMarginal: 0,
    diagnostics: { distinctRows: 0, newtonSteps: 0, converged: true, scaleEffectiveSize: worlds, paretoK: -Infinity, correction: "none" },
  };
};

export interface UpdateOptions {
  readonly worlds: number;
  readonly random: RandomStream;
  /** Share of the previous precision that is kept, the rest falling back to the design's prior: 1 (default) forgets nothing. */
  readonly forgetting?: number;
}

/**
 * Posterior after new rows, with the previous posterior (its Gaussian) as the prior: assumed density, one Newton solve over
 * the new rows only, then draws mirrored and reweighted to the exact posterior as in `fitHierarchicalLogistic`, whose mean and
 * covariance are what the next update starts from. The scales keep their posterior. With `forgetting` below 1 the previous precision and its pull are
 * first mixed with those of the design's own prior (group columns at the median of their scale), so that old rows fade at
 * that rate a call while columns never seen again return to their prior instead of drifting.
 * Cost: a few n^3 and rows x nonzeros^2 per Newton step.
 */
export const updateLogistic = (previous: LogisticPosterior, design: LogisticDesign, options: UpdateOptions): LogisticPosterior => {
  const n = design.columns;
  const { worlds, random, forgetting = 1 } = options;
  const rows = aggregateRows(design);
  const precision = gramOfLower(invertLower(unpackLower(previous.covarianceCholesky, n), n), n);
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) precision[j * n + i] = precision[i * n + j];
  let center = previous.mean;
  if (forgetting < 1) {
    const shift = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        shift[i] += forgetting * precision[i * n + j] * (center[j] - design.priorMean[j]);
        precision[i * n + j] *= forgetting;
      }
      const g = design.scaleGroup[i];
      const sd = Math.min(Math.max(g >= 0 ? previous.scaleGroups[g].median : design.priorSd[i], SD_MIN), SD_MAX);
      precision[i * n + i] += (1 - forgetting) / sd ** 2;
    }
    const factor = Float64Array.from(precision);
    choleskyInPlace(factor, n);
    solveLowerInPlace(factor, n, shift);
    solveUpperInPlace(factor, n, shift);
    center = shift.map((s, j) => s + design.priorMean[j]);
  }
  const found = newtonFromGaussian(rows, center, precision);
  const { draws, mean, covarianceCholesky, paretoK, correction } = correctedDraws(rows, found.mode, found.factor, worlds, random);
  const groupCount = design.groups.length;
  const previousWorlds = groupCount === 0 ? 0 : previous.scaleDraws.length / groupCount;
  const scaleDraws = new Float64Array(worlds * groupCount);
  for (let w = 0; w < worlds; w++) {
    for (let g = 0; g < groupCount; g++) scaleDraws[w * groupCount + g] = previous.scaleDraws[(w % previousWorlds) * groupCount + g];
  }
  return {
    mean, covarianceCholesky, draws, scaleDraws,
    scaleGroups: previous.scaleGroups, method: "laplace", logMarginal: previous.logMarginal,
    diagnostics: {
      distinctRows: rows.count, newtonSteps: found.steps, converged: found.converged, scaleEffectiveSize: previous.diagnostics.scaleEffectiveSize,
      paretoK, correction,
    },
  };
};

/** Multiply-adds spent on the pool of an update, which holds at least the draws that are kept: those are mirrored, but not reweighted. */
const UPDATE_POOL_COST = 2e7;
/** Effective draws a column from which weighted second moments keep a covariance positive. */
const DRAWS_PER_COLUMN_MIN = 20;

/**
 * Draws of a posterior whose mode and precision (Cholesky factor) under a Gaussian prior are known: mirrored at the mode by exact
 * preference, then resampled by smoothed weights. The prior is quadratic, so only the likelihood's own error matters; at the mode its
 * gradient cancels the prior's pull. Mean and covariance as in `poolMoments`.
 */
const correctedDraws = (
  rows: LogisticRows, mode: Float64Array, factor: Float64Array, worlds: number, random: RandomStream,
): Pick<LogisticPosterior, "draws" | "mean" | "covarianceCholesky"> & Pick<LogisticDiagnostics, "paretoK" | "correction"> => {
  const n = mode.length;
  const eta = new Float64Array(rows.count);
  const gradient = new Float64Array(n);
  const atMode = logLikelihoodGradient(rows, mode, gradient, eta);
  const odds = eta.map((x) => Math.exp(x));
  const curvature = eta.map((x, i) => {
    const e = Math.exp(-Math.abs(x));
    return (rows.trials[i] * e) / ((1 + e) * (1 + e));
  });
  const drawCost = 2 * rows.rowStart[rows.count] + 30 * rows.count + n * n;
  const size = worlds * Math.min(Math.max(Math.floor(UPDATE_POOL_COST / (drawCost * worlds)), 1), POOL_MAX);
  const stream = random.child("draws");
  const delta = new Float64Array(size * n);
  const expected = new Float64Array(size * n);
  const logWeight = new Float64Array(size);
  const move = new Float64Array(n);
  const etaMove = new Float64Array(rows.count);
  for (let k = 0; k < size; k++) {
    for (let j = 0; j < n; j++) move[j] = stream.normal();
    solveUpperInPlace(factor, n, move);
    linearPredictor(rows, move, etaMove);
    const [plus, minus] = logLikelihoodPair(rows, eta, odds, etaMove);
    const odd = dot(gradient, move);
    const even = 0.5 * weightedSquare(curvature, etaMove);
    const errorPlus = plus - atMode - odd + even;
    const errorMinus = minus - atMode + odd + even;
    const preferPlus = logistic(errorPlus - errorMinus);
    const sign = stream.uniform() < preferPlus ? 1 : -1;
    const top = Math.max(errorPlus, errorMinus);
    logWeight[k] = top + Math.log((Math.exp(errorPlus - top) + Math.exp(errorMinus - top)) / 2);
    for (let j = 0; j < n; j++) {
      delta[k * n + j] = sign * move[j];
      expected[k * n + j] = (2 * preferPlus - 1) * move[j];
    }
  }
  const { weights, paretoK } = smoothWeights(logWeight);
  const isImportance = size > worlds;
  // Where the tail of the weights cannot be smoothed they are cut (Ionides 2008): one wild draw must not undo the correction of all others.
  const poolWeights = !isImportance ? new Float64Array(size).fill(1 / size) : paretoK < PARETO_K_MAX ? weights : truncatedWeights(logWeight);
  const kept = systematicResample(poolWeights, worlds, random.child("resample").uniform());
  random.child("order").shuffle(kept);
  const draws = new Float64Array(worlds * n);
  for (let w = 0; w < worlds; w++) for (let j = 0; j < n; j++) draws[w * n + j] = mode[j] + delta[kept[w] * n + j];
  const within = gramOfLower(invertLower(factor, n), n);
  // What the weights change of the second moments, measured against the same draws unweighted; where too few draws carry the weight it is noise.
  if (isImportance && 1 / poolWeights.reduce((sum, w) => sum + w * w, 0) > DRAWS_PER_COLUMN_MIN * n) {
    for (let k = 0; k < size; k++) addOuter(within, n, delta.subarray(k * n, (k + 1) * n), poolWeights[k] - 1 / size);
  }
  const { mean, covarianceCholesky } = poolMoments({ delta, expected, centers: null, within, logWeight, size }, poolWeights, mode, n);
  return { draws, mean, covarianceCholesky, paretoK, correction: !isImportance ? "skew" : paretoK < PARETO_K_GOOD ? "importance" : "partial" };
};

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

const weightedSquare = (weight: Float64Array, x: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += weight[i] * x[i] * x[i];
  return sum;
};

/** Normalized weights, none above sqrt(n) times their mean. */
const truncatedWeights = (logWeights: Float64Array): Float64Array => {
  const top = logWeights.reduce((a, b) => Math.max(a, b), -Infinity);
  const raw = logWeights.map((l) => Math.exp(l - top));
  const bound = (raw.reduce((a, b) => a + b, 0) / raw.length) * Math.sqrt(raw.length);
  const cut = raw.map((w) => Math.min(w, bound));
  const total = cut.reduce((a, b) => a + b, 0);
  return cut.map((w) => w / total);
};

/** Mode and Cholesky factor of the precision under a dense Gaussian prior. */
const newtonFromGaussian = (
  rows: LogisticRows, center: Float64Array, precision: Float64Array,
): { mode: Float64Array; factor: Float64Array; steps: number; converged: boolean } => {
  const n = center.length;
  const eta = new Float64Array(rows.count);
  const gradient = new Float64Array(n);
  const hessian = new Float64Array(n * n);
  let beta = Float64Array.from(center);
  const slope = new Float64Array(n);
  const evaluate = (point: Float64Array): number => {
    let value = logLikelihoodGradient(rows, point, gradient, eta);
    for (let i = 0; i < n; i++) {
      let pull = 0;
      for (let j = 0; j < n; j++) pull += precision[i * n + j] * (point[j] - center[j]);
      slope[i] = gradient[i] - pull;
      value -= 0.5 * pull * (point[i] - center[i]);
    }
    return value;
  };
  let value = evaluate(beta);
  let factor: Float64Array = new Float64Array(n * n);
  let steps = 0;
  let converged = false;
  for (; steps < NEWTON_STEPS_MAX; steps++) {
    information(rows, eta, hessian);
    for (let i = 0; i < n * n; i++) hessian[i] += precision[i];
    factor = factorOf(hessian, n);
    const step = Float64Array.from(slope);
    solveLowerInPlace(factor, n, step);
    let decrement = 0;
    for (let i = 0; i < n; i++) decrement += step[i] ** 2;
    if (decrement < 1e-10) {
      converged = true;
      break;
    }
    solveUpperInPlace(factor, n, step);
    let size = 1;
    let next = beta;
    let nextValue = Number.NaN;
    for (let halving = 0; halving < 40; halving++, size /= 2) {
      next = beta.map((b, i) => b + size * step[i]);
      nextValue = evaluate(next);
      if (nextValue >= value + 0.25 * size * decrement - 1e-9 * Math.abs(value)) break;
    }
    if (!(nextValue >= value - 1e-9 * Math.abs(value))) break;
    beta = next;
    value = nextValue;
  }
  return { mode: beta, factor, steps, converged };
};
