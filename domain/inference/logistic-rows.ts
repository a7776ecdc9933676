import { PopulaceError } from "../error.ts";
import { softplus } from "./special-functions.ts";

/** Sparse rows with equal rows merged: `success` and `trials` are sums of weights. */
export interface LogisticRows {
  readonly count: number;
  readonly columns: number;
  readonly rowStart: Int32Array;
  readonly column: Int32Array;
  readonly value: Float64Array;
  readonly success: Float64Array;
  readonly trials: Float64Array;
}

interface RawRows {
  readonly rows: number;
  readonly columns: number;
  readonly rowStart: Int32Array;
  readonly column: Int32Array;
  readonly value: Float64Array;
  readonly response: Uint8Array;
  readonly weight: Float64Array | null;
}

/**
 * Merges equal rows (same columns and values in the same order), dropping rows of weight 0 and refusing what cannot be
 * fitted. Order of first appearance is kept, so the same rows give the same bits. Cost: one hash over the values.
 */
export const aggregateRows = (design: RawRows): LogisticRows => {
  const { rows, columns, rowStart, column, value, response, weight } = design;
  if (rowStart.length !== rows + 1 || response.length < rows || (weight !== null && weight.length < rows)) {
    throw new PopulaceError("INTERNAL", `logistic design: ${rows} rows need ${rows + 1} row starts, ${rows} responses and weights`, { rows });
  }
  const bits = new Uint32Array(value.buffer, value.byteOffset, value.length * 2);
  let capacity = 1024;
  while (capacity < rows * 2) capacity *= 2;
  const slots = new Int32Array(capacity).fill(-1);
  const representative: number[] = [];
  const success = new Float64Array(rows);
  const trials = new Float64Array(rows);
  let nonzeros = 0;
  const lastSeen = new Int32Array(columns).fill(-1);
  for (let r = 0; r < rows; r++) {
    const w = weight === null ? 1 : weight[r];
    if (w === 0) continue;
    if (!(w > 0 && w < Infinity)) throw new PopulaceError("BAD_DATA", `row ${r}: weight ${w}; expected a finite number >= 0`, { row: r });
    const from = rowStart[r];
    const to = rowStart[r + 1];
    let hash = (to - from) | 0;
    for (let k = from; k < to; k++) {
      hash = Math.imul(hash ^ column[k], 0x9e3779b1);
      hash = Math.imul((hash ^ (hash >>> 15)) + bits[2 * k], 0x85ebca6b);
      hash = Math.imul((hash ^ (hash >>> 13)) + bits[2 * k + 1], 0xc2b2ae35);
    }
    hash ^= hash >>> 16;
    let slot = hash & (capacity - 1);
    let index = slots[slot];
    while (index !== -1 && !sameRow(design, r, representative[index])) {
      slot = (slot + 1) & (capacity - 1);
      index = slots[slot];
    }
    if (index === -1) {
      for (let k = from; k < to; k++) {
        if (!Number.isFinite(value[k])) throw new PopulaceError("BAD_DATA", `row ${r}: value ${value[k]} in column ${column[k]}; expected a finite number`, { row: r, column: column[k] });
        if (column[k] < 0 || column[k] >= columns) throw new PopulaceError("INTERNAL", `row ${r}: column ${column[k]} of ${columns}`, { row: r });
        if (lastSeen[column[k]] === r) throw new PopulaceError("INTERNAL", `row ${r}: column ${column[k]} twice; expected each column at most once a row`, { row: r });
        lastSeen[column[k]] = r;
      }
      index = slots[slot] = representative.length;
      representative.push(r);
      nonzeros += to - from;
    }
    trials[index] += w;
    if (response[r] !== 0) success[index] += w;
  }
  const count = representative.length;
  const starts = new Int32Array(count + 1);
  const merged = new Int32Array(nonzeros);
  const values = new Float64Array(nonzeros);
  for (let i = 0, at = 0; i < count; i++) {
    const r = representative[i];
    for (let k = rowStart[r]; k < rowStart[r + 1]; k++, at++) {
      merged[at] = column[k];
      values[at] = value[k];
    }
    starts[i + 1] = at;
  }
  return { count, columns, rowStart: starts, column: merged, value: values, success: success.slice(0, count), trials: trials.slice(0, count) };
};

const sameRow = (design: RawRows, a: number, b: number): boolean => {
  const { rowStart, column, value } = design;
  const length = rowStart[a + 1] - rowStart[a];
  if (rowStart[b + 1] - rowStart[b] !== length) return false;
  for (let k = 0, i = rowStart[a], j = rowStart[b]; k < length; k++, i++, j++) {
    if (column[i] !== column[j] || value[i] !== value[j]) return false;
  }
  return true;
};

/** Writes X beta into `eta`. */
export const linearPredictor = (rows: LogisticRows, beta: Float64Array, eta: Float64Array): void => {
  const { count, rowStart, column, value } = rows;
  for (let i = 0, k = 0; i < count; i++) {
    const end = rowStart[i + 1];
    let sum = 0;
    for (; k < end; k++) sum += value[k] * beta[column[k]];
    eta[i] = sum;
  }
};

/** Log likelihood at the linear predictor. */
export const logLikelihoodAt = (rows: LogisticRows, eta: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < rows.count; i++) sum += rows.success[i] * eta[i] - rows.trials[i] * softplus(eta[i]);
  return sum;
};

/** Beyond this a linear predictor leaves the range where products of exponentials are safe. */
const ETA_SAFE = 300;

/**
 * Log likelihoods at `eta + delta` and `eta - delta`; `odds` holds exp(eta). One exponential a row serves both, and
 * single rows' factors 1 + odds are multiplied up before one logarithm is taken: a third of the time of the plain form.
 */
export const logLikelihoodPair = (rows: LogisticRows, eta: Float64Array, odds: Float64Array, delta: Float64Array): [number, number] => {
  const { count, success, trials } = rows;
  let plus = 0;
  let minus = 0;
  let productPlus = 1;
  let productMinus = 1;
  for (let i = 0; i < count; i++) {
    const d = delta[i];
    const x = eta[i];
    const t = trials[i];
    plus += success[i] * (x + d);
    minus += success[i] * (x - d);
    if (!(Math.abs(x) + Math.abs(d) < ETA_SAFE)) {
      plus -= t * softplus(x + d);
      minus -= t * softplus(x - d);
      continue;
    }
    const factor = Math.exp(d);
    const a = 1 + odds[i] * factor;
    const b = 1 + odds[i] / factor;
    if (t === 1) {
      productPlus *= a;
      productMinus *= b;
      if (productPlus > 1e150 || productMinus > 1e150) {
        plus -= Math.log(productPlus);
        minus -= Math.log(productMinus);
        productPlus = productMinus = 1;
      }
    } else {
      plus -= t * Math.log(a);
      minus -= t * Math.log(b);
    }
  }
  return [plus - Math.log(productPlus), minus - Math.log(productMinus)];
};

/** Log likelihood at `beta`, with its gradient written into `gradient`. `eta` is scratch of `count` values. */
export const logLikelihoodGradient = (rows: LogisticRows, beta: Float64Array, gradient: Float64Array, eta: Float64Array): number => {
  const { count, rowStart, column, value, success, trials } = rows;
  linearPredictor(rows, beta, eta);
  gradient.fill(0);
  let sum = 0;
  for (let i = 0, k = 0; i < count; i++) {
    const end = rowStart[i + 1];
    const x = eta[i];
    const e = Math.exp(-Math.abs(x));
    const p = x >= 0 ? 1 / (1 + e) : e / (1 + e);
    sum += success[i] * x - trials[i] * (Math.max(x, 0) + Math.log1p(e));
    const residual = success[i] - trials[i] * p;
    for (; k < end; k++) gradient[column[k]] += residual * value[k];
  }
  return sum;
};

/** Adds X' W X at the linear predictor to the lower triangle of `hessian` (row-major, columns x columns), which it clears first. */
export const information = (rows: LogisticRows, eta: Float64Array, hessian: Float64Array): void => {
  const { count, columns, rowStart, column, value, trials } = rows;
  hessian.fill(0);
  for (let i = 0; i < count; i++) {
    const e = Math.exp(-Math.abs(eta[i]));
    const w = (trials[i] * e) / ((1 + e) * (1 + e));
    const from = rowStart[i];
    const to = rowStart[i + 1];
    for (let k = from; k < to; k++) {
      const c = column[k];
      const wv = w * value[k];
      for (let j = from; j <= k; j++) {
        const d = column[j];
        if (d <= c) hessian[c * columns + d] += wv * value[j];
        else hessian[d * columns + c] += wv * value[j];
      }
    }
  }
};
