import type { Beta } from "./distribution.ts";
import { betaLogMarginal } from "./distribution.ts";
import { logistic } from "./special-functions.ts";

/** A past cell: what the simulation foretold, with its uncertainty, and what randomized exposures then brought. */
export interface PastCell {
  readonly simulated: Beta;
  readonly responses: number;
  readonly exposures: number;
  readonly channel: string;
  /** Persona x channel x stimulus class. */
  readonly class: string;
}

export interface ExchangeRate {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  /** Past cells behind it, counted at its own level. */
  readonly cells: number;
}

export interface ExchangeRates {
  readonly global: ExchangeRate;
  readonly channels: ReadonlyMap<string, ExchangeRate>;
  readonly classes: ReadonlyMap<string, ExchangeRate>;
}

/** Grid of logit a0: 0.001 to 0.999, finer than the posterior of a hundred cells. */
const STEP = 0.15;
const GRID = Float64Array.from({ length: 93 }, (_, i) => -6.9 + i * STEP);
const RATES = GRID.map(logistic);
/** sd 1.7 on the logit makes a0 nearly uniform on (0, 1) before any cell is seen. */
const GLOBAL_SD = 1.7;
/**
 * Channels and classes lie around their parent like Student's t with 2 degrees of freedom and this scale on the logit: most
 * agree, and one that does not leaves its parent (a Gaussian lets a biased channel drag an honest one of 20 cells to .37).
 */
const LEVEL_SCALE = 0.5;
/** Beta of least say: a0 times the simulated ess never falls below this many observations, so that the likelihood at a0 = 0 is that of a vague prior and not of a degenerate one. */
const ESS_FLOOR = 1;

/**
 * Posterior of the exchange rate a0 (how much of a simulated exposure counts as a real one), global, per channel and per
 * class. A cell's likelihood is the beta-binomial predictive of its outcome under the Beta with a0 x the simulated ess,
 * which is normalized for every a0 (the plain power prior is not, and always ends at 0). logit a0 is t-distributed around
 * its parent's; the tree is solved exactly on a grid. Without cells: the prior, mean 0.5. Cost: cells x 93.
 */
export const learnExchangeRates = (cells: readonly PastCell[]): ExchangeRates => {
  const transition = Array.from(GRID, (parent) => normalize(GRID.map((t) => (1 + ((t - parent) / LEVEL_SCALE) ** 2 / 2) ** -1.5)));
  const up = (child: Float64Array): Float64Array => toLog(Float64Array.from(GRID, (_, i) => dot(transition[i], fromLog(child))), child);
  const down = (parent: Float64Array): Float64Array => {
    const weights = fromLog(parent);
    const result = new Float64Array(GRID.length);
    transition.forEach((row, i) => row.forEach((p, j) => (result[j] += weights[i] * p)));
    return result.map((p) => Math.log(p));
  };

  const classes = new Map<string, { channel: string; log: Float64Array; cells: number }>();
  for (const cell of cells) {
    const key = cell.class;
    let entry = classes.get(key);
    if (entry === undefined) classes.set(key, (entry = { channel: cell.channel, log: new Float64Array(GRID.length), cells: 0 }));
    entry.cells++;
    const ess = cell.simulated.alpha + cell.simulated.beta;
    for (let i = 0; i < GRID.length; i++) {
      const scale = Math.max(RATES[i] * ess, ESS_FLOOR) / ess;
      entry.log[i] += betaLogMarginal({ alpha: cell.simulated.alpha * scale, beta: cell.simulated.beta * scale }, cell.responses, cell.exposures);
    }
  }
  const channels = new Map<string, { log: Float64Array; cells: number }>();
  const classMessages = new Map([...classes].map(([key, entry]) => [key, up(entry.log)]));
  for (const [key, entry] of classes) {
    let channel = channels.get(entry.channel);
    if (channel === undefined) channels.set(entry.channel, (channel = { log: new Float64Array(GRID.length), cells: 0 }));
    channel.cells += entry.cells;
    add(channel.log, classMessages.get(key)!, 1);
  }
  const global = GRID.map((t) => -0.5 * (t / GLOBAL_SD) ** 2);
  const channelMessages = new Map([...channels].map(([key, entry]) => [key, up(entry.log)]));
  for (const message of channelMessages.values()) add(global, message, 1);

  const channelRates = new Map<string, ExchangeRate>();
  const channelPosteriors = new Map<string, Float64Array>();
  for (const [key, entry] of channels) {
    const rest = add(Float64Array.from(global), channelMessages.get(key)!, -1);
    const log = add(down(rest), entry.log, 1);
    channelPosteriors.set(key, log);
    channelRates.set(key, summary(log, entry.cells));
  }
  const classRates = new Map<string, ExchangeRate>();
  for (const [key, entry] of classes) {
    const rest = add(Float64Array.from(channelPosteriors.get(entry.channel)!), classMessages.get(key)!, -1);
    classRates.set(key, summary(add(down(rest), entry.log, 1), entry.cells));
  }
  return { global: summary(global, cells.length), channels: channelRates, classes: classRates };
};

const normalize = (values: Float64Array): Float64Array => {
  const total = values.reduce((a, b) => a + b, 0);
  return values.map((v) => v / total);
};

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** Exponentials relative to the largest. */
const fromLog = (log: Float64Array): Float64Array => {
  const top = log.reduce((a, b) => Math.max(a, b), -Infinity);
  return log.map((l) => Math.exp(l - top));
};

const toLog = (values: Float64Array, source: Float64Array): Float64Array => {
  const top = source.reduce((a, b) => Math.max(a, b), -Infinity);
  return values.map((v) => Math.log(Math.max(v, 1e-300)) + top);
};

const add = (into: Float64Array, other: Float64Array, sign: number): Float64Array => {
  for (let i = 0; i < into.length; i++) into[i] += sign * other[i];
  return into;
};

/** Mean and 5 % and 95 % limits; a point of the grid stands for what is nearer to it than to its neighbors, evenly on the logit. */
const summary = (log: Float64Array, cells: number): ExchangeRate => {
  const p = normalize(fromLog(log));
  const limit = (share: number): number => {
    let below = 0;
    for (let i = 0; i < p.length; below += p[i], i++) if (below + p[i] >= share) return logistic(GRID[i] + STEP * ((share - below) / p[i] - 0.5));
    return RATES[RATES.length - 1];
  };
  return { mean: dot(p, RATES), low: limit(0.05), high: limit(0.95), cells };
};
