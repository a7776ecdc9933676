import { PopulaceError } from "../error.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { choleskyInPlace, solveLowerInPlace, solveUpperInPlace } from "./linear-algebra.ts";
import { systematicResample } from "./pareto.ts";
import { explore, withNumericalGradient } from "./scale-exploration.ts";
import { normalCdf, normalQuantile } from "./special-functions.ts";

/** One row a response: what it was worth, who responded, to which stimulus. */
export interface ValueRows {
  /** Positive amounts in any unit; the result is in the same unit. */
  readonly amount: Float64Array;
  readonly persona: Int32Array;
  readonly stimulus: Int32Array;
  readonly personaCount: number;
  readonly stimulusCount: number;
  /** How many responses a row stands for; absent means 1 each. */
  readonly weight?: Float64Array;
}

export interface ParameterSummary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface ValuePosterior {
  /** Posterior mean of E[amount | response], personas x stimuli, persona-major. */
  readonly mean: Float64Array;
  /** Draws of E[amount | response] = exp(mu + sigma^2 / 2): worlds x (personas x stimuli). */
  readonly draws: Float64Array;
  /** Mean of the log amount a cell: posterior median and 90 % interval, persona-major. */
  readonly mu: readonly ParameterSummary[];
  /** Standard deviation of the log amount around its cell's mean, shared by all cells. */
  readonly sigma: ParameterSummary;
  /** Its draws, one a world. */
  readonly sigmaDraws: Float64Array;
  /** Standard deviations between personas, between stimuli, and between cells beyond both. */
  readonly scales: { readonly persona: ParameterSummary; readonly stimulus: ParameterSummary; readonly cell: ParameterSummary };
  readonly rows: number;
}

/** Prior medians of the half-normal scales on the log of the amount: personas and stimuli differ by a third, amounts by a factor of e. */
const EFFECT_MEDIAN = 0.3;
const SIGMA_MEDIAN = 1;
/** Wide enough to know nothing of the unit of the amount. */
const LEVEL_SD = 20;
const POINTS = 512;
const HALF_NORMAL_MEDIAN = normalQuantile(0.75);

/**
 * Posterior of the expected amount given a response in every cell of persona and stimulus:
 *   log amount ~ N(mu_cell, sigma^2),  mu_cell ~ N(level + a_persona + b_stimulus, tau_cell^2),  a ~ N(0, tau_a^2), b alike.
 * The three scales and sigma are explored by importance sampling, everything else is Gaussian given them, so draws are exact
 * up to resampling. Cells without rows answer from their persona and stimulus. Refuses amounts that are not positive and
 * finite (BAD_DATA) and an empty table (DEGENERATE_DATA). Cost: one pass over the rows, then some hundred factorizations of
 * 1 + personas + stimuli.
 */
export const fitLogNormalValue = (rows: ValueRows, options: { readonly worlds: number; readonly random: RandomStream }): ValuePosterior => {
  const { worlds, random } = options;
  const cells = cellMoments(rows);
  const { personaCount, stimulusCount } = rows;
  const cellCount = personaCount * stimulusCount;
  const level = cells.totalLog / cells.total;
  const system = gaussianSystem(cells, level, personaCount, stimulusCount);

  const hyper = [EFFECT_MEDIAN, EFFECT_MEDIAN, EFFECT_MEDIAN, SIGMA_MEDIAN].map((median) => median / HALF_NORMAL_MEDIAN);
  const logDensity = withNumericalGradient((theta) => {
    let value = system(theta).logLikelihood;
    for (let i = 0; i < 4; i++) value += theta[i] - 0.5 * (Math.exp(theta[i]) / hyper[i]) ** 2;
    return value;
  });
  const spread = Math.sqrt(Math.max(cells.withinSquares / Math.max(cells.total - cells.occupied, 1), 1e-4));
  const start = Float64Array.from([EFFECT_MEDIAN, EFFECT_MEDIAN, EFFECT_MEDIAN, cells.total > cells.occupied ? spread : SIGMA_MEDIAN], Math.log);
  const exploration = explore(logDensity, start, POINTS, random.child("scales"));
  const chosen = systematicResample(exploration.weights, worlds, random.child("scale-choice").uniform());
  random.child("order").shuffle(chosen);

  const stream = random.child("draws");
  const draws = new Float64Array(worlds * cellCount);
  const muDraws = new Float64Array(worlds * cellCount);
  const mean = new Float64Array(cellCount);
  const scaleDraws = [0, 1, 2, 3].map(() => new Float64Array(worlds));
  for (let w = 0; w < worlds; w++) {
    const theta = exploration.points.subarray(chosen[w] * 4, chosen[w] * 4 + 4);
    const { center, factor, sd } = system(theta);
    const cellVariance = Math.exp(2 * theta[2]);
    const variance = Math.exp(2 * theta[3]);
    theta.forEach((t, i) => (scaleDraws[i][w] = Math.exp(t)));
    const effects = Float64Array.from(center, () => stream.normal());
    solveUpperInPlace(factor, effects.length, effects);
    effects.forEach((e, j) => (effects[j] = sd[j] * (center[j] + e)));
    for (let p = 0; p < personaCount; p++) {
      for (let s = 0; s < stimulusCount; s++) {
        const c = p * stimulusCount + s;
        const prior = level + effects[0] + effects[1 + p] + effects[1 + personaCount + s];
        const count = cells.count[c];
        const precision = 1 / cellVariance + count / variance;
        const middle = count === 0 ? prior : prior + ((cells.meanLog[c] - prior) * count) / variance / precision;
        const mu = middle + stream.normal() / Math.sqrt(precision);
        muDraws[w * cellCount + c] = mu;
        draws[w * cellCount + c] = Math.exp(mu + variance / 2);
        mean[c] += Math.exp(middle + 0.5 / precision + variance / 2) / worlds;
      }
    }
  }
  return {
    mean, draws,
    mu: Array.from({ length: cellCount }, (_, c) => summarize(Float64Array.from({ length: worlds }, (_, w) => muDraws[w * cellCount + c]))),
    sigma: summarize(scaleDraws[3]),
    sigmaDraws: scaleDraws[3],
    scales: { persona: summarize(scaleDraws[0]), stimulus: summarize(scaleDraws[1]), cell: summarize(scaleDraws[2]) },
    rows: rows.amount.length,
  };
};

/**
 * 90 % predictive interval of a mean of independent log-normal amounts, of which each world knows expectation and variance: in every
 * world the log-normal of these two moments (Fenton 1960, "The sum of log-normal probability distributions"), worlds in equal parts.
 * The mean is that of the expectations. With variances of 0 it is the credible interval of the expectation. By bisection on the log (1e-9).
 */
export const amountMeanInterval = (expectations: ArrayLike<number>, variances: ArrayLike<number>): { readonly mean: number; readonly low: number; readonly high: number } => {
  const worlds = expectations.length;
  const spreads = Float64Array.from(variances, (variance, w) => Math.sqrt(Math.log1p(variance / expectations[w] ** 2)));
  const centers = Float64Array.from(expectations, (expectation, w) => Math.log(expectation) - spreads[w] ** 2 / 2);
  const quantile = (p: number): number => {
    let low = Infinity, high = -Infinity;
    centers.forEach((center, w) => { low = Math.min(low, center - 9 * spreads[w]); high = Math.max(high, center + 9 * spreads[w]); });
    for (let i = 0; i < 60 && high - low > 1e-9; i++) {
      const middle = (low + high) / 2;
      const below = centers.reduce((sum, center, w) => sum + (spreads[w] === 0 ? Number(center <= middle) : normalCdf((middle - center) / spreads[w])), 0);
      if (below < p * worlds) low = middle;
      else high = middle;
    }
    return Math.exp((low + high) / 2);
  };
  return { mean: Array.from(expectations).reduce((sum, each) => sum + each, 0) / worlds, low: quantile(0.05), high: quantile(0.95) };
};

interface CellMoments {
  readonly count: Float64Array;
  readonly meanLog: Float64Array;
  readonly total: number;
  readonly totalLog: number;
  readonly occupied: number;
  /** Sum over cells of squared deviations of the log amount from its cell's mean. */
  readonly withinSquares: number;
}

const cellMoments = (rows: ValueRows): CellMoments => {
  const { amount, persona, stimulus, personaCount, stimulusCount, weight } = rows;
  const cellCount = personaCount * stimulusCount;
  const count = new Float64Array(cellCount);
  const meanLog = new Float64Array(cellCount);
  let withinSquares = 0;
  let total = 0;
  let totalLog = 0;
  for (let i = 0; i < amount.length; i++) {
    const w = weight === undefined ? 1 : weight[i];
    if (w === 0) continue;
    if (!(amount[i] > 0 && amount[i] < Infinity)) {
      throw new PopulaceError("BAD_DATA", `value row ${i}: amount ${amount[i]}; expected a positive finite number (rows without an amount are left out)`, { row: i });
    }
    const c = persona[i] * stimulusCount + stimulus[i];
    if (!(persona[i] >= 0 && persona[i] < personaCount && stimulus[i] >= 0 && stimulus[i] < stimulusCount)) {
      throw new PopulaceError("INTERNAL", `value row ${i}: persona ${persona[i]}, stimulus ${stimulus[i]} outside ${personaCount} x ${stimulusCount}`, { row: i });
    }
    const y = Math.log(amount[i]);
    count[c] += w;
    const difference = y - meanLog[c];
    meanLog[c] += (w * difference) / count[c];
    withinSquares += w * difference * (y - meanLog[c]);
    total += w;
    totalLog += w * y;
  }
  if (!(total > 0)) {
    throw new PopulaceError("DEGENERATE_DATA", "value model: no row has an amount; expected at least one response with a positive amount", {});
  }
  return { count, meanLog, total, totalLog, occupied: count.reduce((n, c) => n + (c > 0 ? 1 : 0), 0), withinSquares };
};

/**
 * Given log scales (persona, stimulus, cell, sigma): the marginal log likelihood with all effects integrated out, and the
 * Gaussian of the effects (level, personas, stimuli) in units of their prior sd: center, and the factor of the precision.
 */
const gaussianSystem = (cells: CellMoments, level: number, personaCount: number, stimulusCount: number) => {
  const n = 1 + personaCount + stimulusCount;
  return (theta: Float64Array): { logLikelihood: number; center: Float64Array; factor: Float64Array; sd: Float64Array } => {
    const variance = Math.exp(2 * theta[3]);
    const cellVariance = Math.exp(2 * theta[2]);
    const sd = Float64Array.from({ length: n }, (_, j) => (j === 0 ? LEVEL_SD : Math.exp(j <= personaCount ? theta[0] : theta[1])));
    const factor = new Float64Array(n * n);
    const center = new Float64Array(n);
    for (let j = 0; j < n; j++) factor[j * n + j] = 1;
    let logLikelihood = -(cells.total - cells.occupied) * theta[3] - cells.withinSquares / (2 * variance);
    for (let p = 0; p < personaCount; p++) {
      for (let s = 0; s < stimulusCount; s++) {
        const c = p * stimulusCount + s;
        if (cells.count[c] === 0) continue;
        const spread = variance / cells.count[c] + cellVariance;
        const y = cells.meanLog[c] - level;
        logLikelihood -= 0.5 * (Math.log(spread) + (y * y) / spread);
        const a = 1 + p;
        const b = 1 + personaCount + s;
        factor[0] += (sd[0] * sd[0]) / spread;
        factor[a * n] += (sd[a] * sd[0]) / spread;
        factor[a * n + a] += (sd[a] * sd[a]) / spread;
        factor[b * n] += (sd[b] * sd[0]) / spread;
        factor[b * n + a] += (sd[b] * sd[a]) / spread;
        factor[b * n + b] += (sd[b] * sd[b]) / spread;
        center[0] += (sd[0] * y) / spread;
        center[a] += (sd[a] * y) / spread;
        center[b] += (sd[b] * y) / spread;
      }
    }
    logLikelihood -= choleskyInPlace(factor, n);
    solveLowerInPlace(factor, n, center);
    for (const x of center) logLikelihood += 0.5 * x * x;
    solveUpperInPlace(factor, n, center);
    return { logLikelihood, center, factor, sd };
  };
};

const summarize = (values: Float64Array): ParameterSummary => {
  const sorted = Float64Array.from(values).sort();
  const at = (p: number): number => {
    const position = p * (sorted.length - 1);
    const i = Math.floor(position);
    return i + 1 < sorted.length ? sorted[i] + (position - i) * (sorted[i + 1] - sorted[i]) : sorted[i];
  };
  return { median: at(0.5), low: at(0.05), high: at(0.95) };
};
