import type { RandomStream } from "../random/random-stream.ts";
import { symmetricEigen } from "./linear-algebra.ts";
import { logStudentDensity, smoothWeights } from "./pareto.ts";

/** Log density (up to a constant) of a few hyperparameters on an unbounded scale; writes the gradient when given a place for it. */
export type LogDensity = (theta: Float64Array, gradient?: Float64Array) => number;

export interface Exploration {
  /** points x dimension. */
  readonly points: Float64Array;
  /** Normalized importance weights of the points. */
  readonly weights: Float64Array;
  readonly mode: Float64Array;
  /** log of the integral of the density. */
  readonly logEvidence: number;
  readonly effectiveSize: number;
  readonly paretoK: number;
}

/** Heavier tails than a log scale's posterior has, and a quantile in closed form. */
const DEGREES = 4;
/** Distance, in standard deviations of the mode's curvature, at which the true drop of the density sets each side's width. */
const PROBE = 1.6;

/**
 * Maximizes a smooth log density by BFGS from `start` and returns the mode and its value. The density must fall off in
 * every direction. At most 100 iterations; ends when a step gains less than 1e-7.
 */
export const maximize = (logDensity: LogDensity, start: Float64Array): { mode: Float64Array; value: number } => {
  const n = start.length;
  let point = Float64Array.from(start);
  let gradient = new Float64Array(n);
  let value = logDensity(point, gradient);
  const inverse = new Float64Array(n * n);
  const reset = (): void => {
    inverse.fill(0);
    for (let i = 0; i < n; i++) inverse[i * n + i] = 1;
  };
  reset();
  let fresh = true;
  for (let iteration = 0; iteration < 100; iteration++) {
    const step = new Float64Array(n);
    let slope = 0;
    let longest = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) step[i] += inverse[i * n + j] * gradient[j];
      slope += step[i] * gradient[i];
      longest = Math.max(longest, Math.abs(step[i]));
    }
    if (!(slope > 0)) {
      if (fresh) break;
      reset();
      fresh = true;
      continue;
    }
    // A scale moves by at most a factor e^1.5 a step: further out the curvature says nothing.
    let size = longest > 1.5 ? 1.5 / longest : 1;
    const nextGradient = new Float64Array(n);
    let next = point;
    let nextValue = -Infinity;
    for (let halving = 0; halving < 30; halving++, size /= 2) {
      next = point.map((x, i) => x + size * step[i]);
      nextValue = logDensity(next, nextGradient);
      if (nextValue >= value + 1e-4 * size * slope) break;
      nextValue = -Infinity;
    }
    if (nextValue === -Infinity) {
      if (fresh) break;
      reset();
      fresh = true;
      continue;
    }
    const gain = nextValue - value;
    const s = next.map((x, i) => x - point[i]);
    const y = gradient.map((g, i) => g - nextGradient[i]);
    let sy = 0;
    for (let i = 0; i < n; i++) sy += s[i] * y[i];
    if (sy > 1e-12) {
      const hy = new Float64Array(n);
      let yhy = 0;
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) hy[i] += inverse[i * n + j] * y[j];
        yhy += hy[i] * y[i];
      }
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          inverse[i * n + j] += ((1 + yhy / sy) * s[i] * s[j]) / sy - (hy[i] * s[j] + s[i] * hy[j]) / sy;
        }
      }
      fresh = false;
    }
    point = next;
    gradient = Float64Array.from(nextGradient);
    value = nextValue;
    if (gain < 1e-7) break;
  }
  return { mode: point, value };
};

/**
 * Points and weights that represent a log density of few dimensions (prior scales on the log scale): importance sampling
 * from t distributions fitted at the mode, with a width of its own to each side of every principal axis, because the
 * posterior of a log scale has a long left tail. The points are a Latin hypercube (McKay, Beckman, Conover 1979), in the order
 * of the widest axis: drawn independently, 384 of them left limits of 18 pooled rates off by up to .18 standard deviations. Cost: about 30 densities with gradient and `pointCount` without.
 */
export const explore = (logDensity: LogDensity, start: Float64Array, pointCount: number, random: RandomStream): Exploration => {
  const n = start.length;
  if (n === 0) {
    return {
      points: new Float64Array(0), weights: new Float64Array([1]), mode: new Float64Array(0),
      logEvidence: logDensity(start), effectiveSize: 1, paretoK: -Infinity,
    };
  }
  const { mode, value } = maximize(logDensity, start);
  const { vectors, widths } = principalAxes(logDensity, mode);
  const left = new Float64Array(n);
  const right = new Float64Array(n);
  for (let axis = 0; axis < n; axis++) {
    for (const [side, sign] of [[left, -1], [right, 1]] as const) {
      const at = mode.map((x, i) => x + sign * PROBE * widths[axis] * vectors[i * n + axis]);
      const drop = value - logDensity(at);
      const factor = drop > 0 ? PROBE / Math.sqrt(2 * drop) : 3;
      side[axis] = widths[axis] * Math.min(Math.max(factor, 0.4), 3);
    }
  }
  const order = strata(left, right, pointCount, random);
  const points = new Float64Array(pointCount * n);
  const logWeights = new Float64Array(pointCount);
  const theta = new Float64Array(n);
  for (let k = 0; k < pointCount; k++) {
    let logProposal = 0;
    theta.set(mode);
    for (let axis = 0; axis < n; axis++) {
      const u = (order[axis][k] + random.uniform()) / pointCount;
      const shareLeft = left[axis] / (left[axis] + right[axis]);
      const isRight = u >= shareLeft;
      const t = upperStudentQuantile(isRight ? (1 - u) / (1 - shareLeft) : u / shareLeft);
      logProposal += Math.log(2 / (left[axis] + right[axis])) + logStudentDensity(t * t, 1, DEGREES);
      const move = isRight ? t * right[axis] : -t * left[axis];
      for (let i = 0; i < n; i++) theta[i] += move * vectors[i * n + axis];
    }
    points.set(theta, k * n);
    const density = logDensity(theta);
    logWeights[k] = Number.isNaN(density) ? -Infinity : density - logProposal;
  }
  const { weights, paretoK, effectiveSize, logMean } = smoothWeights(logWeights);
  return { points, weights, mode, logEvidence: logMean, effectiveSize, paretoK };
};

/** Value that |T| exceeds with probability `tail`, 0 < tail <= 1, T of four degrees of freedom (Shaw 2006, section 2.3). */
const upperStudentQuantile = (tail: number): number => {
  const a = Math.sqrt(tail * (2 - tail));
  return 2 * Math.sqrt(Math.max(0, Math.cos(Math.acos(a) / 3) / a - 1));
};

/** For every axis the stratum of each point: those of the widest axis in order, the others shuffled. */
const strata = (left: Float64Array, right: Float64Array, pointCount: number, random: RandomStream): readonly Int32Array[] => {
  const widths = left.map((width, axis) => width + right[axis]);
  const widest = widths.indexOf(Math.max(...widths));
  return Array.from(widths, (_, axis) => {
    const order = Int32Array.from({ length: pointCount }, (_unused, k) => k);
    if (axis !== widest) random.shuffle(order);
    return order;
  });
};

/** Principal axes (columns) and standard deviations of the curvature at the mode, by central differences of the gradient. */
const principalAxes = (logDensity: LogDensity, mode: Float64Array): { vectors: Float64Array; widths: Float64Array } => {
  const n = mode.length;
  const hessian = new Float64Array(n * n);
  const step = 0.05;
  const up = new Float64Array(n);
  const down = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const at = Float64Array.from(mode);
    at[i] = mode[i] + step;
    logDensity(at, up);
    at[i] = mode[i] - step;
    logDensity(at, down);
    for (let j = 0; j < n; j++) hessian[i * n + j] = (down[j] - up[j]) / (2 * step);
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) hessian[i * n + j] = hessian[j * n + i] = (hessian[i * n + j] + hessian[j * n + i]) / 2;
  }
  const { values, vectors } = symmetricEigen(hessian, n);
  // A flat or rising direction (noise of the differences) gets a width of 1.5: a factor of 4.5 in the scale.
  const widths = values.map((v) => (v > 0.2 ? Math.min(1 / Math.sqrt(v), 1.5) : 1.5));
  return { vectors, widths };
};

/** Adds a numerical gradient (central differences) to a log density that has none. */
export const withNumericalGradient = (value: (theta: Float64Array) => number, step = 1e-3): LogDensity => (theta, gradient) => {
  if (gradient) {
    const at = Float64Array.from(theta);
    for (let i = 0; i < theta.length; i++) {
      at[i] = theta[i] + step;
      const up = value(at);
      at[i] = theta[i] - step;
      gradient[i] = (up - value(at)) / (2 * step);
      at[i] = theta[i];
    }
  }
  return value(theta);
};

