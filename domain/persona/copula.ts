import { MISSING } from "./trait.ts";
import type { TraitCoding } from "./trait.ts";
import { codeRange } from "./coding.ts";
import { normalQuantile } from "../inference/special-functions.ts";

/** Correlations below this are noise to a simulation and cost a product an agent. */
const CORRELATION_MIN = 0.1;

/**
 * Gaussian copula of the given rows: lower Cholesky factor (packed by rows) of the correlation of normal scores, shrunk a
 * little toward independence; empty when no pair correlates by more than 0.1. Ties take their mean rank, missing values 0.
 */
export function residualCorrelation(codings: readonly TraitCoding[], codes: Int16Array, rows: readonly number[]): readonly number[] {
  const traits = codings.length, n = rows.length;
  if (traits < 2) return [];
  const scores = codings.map((coding, t) => {
    const { count, offset } = codeRange(coding);
    const histogram = new Float64Array(count);
    let known = 0;
    for (const row of rows) {
      const code = codes[row * traits + t];
      if (code !== MISSING) { histogram[code + offset]++; known++; }
    }
    let below = 0;
    const scoreOf = histogram.map((size) => {
      const score = size === 0 ? 0 : normalQuantile((below + size / 2) / known);
      below += size;
      return score;
    });
    const score = new Float64Array(n);
    let sum = 0, squares = 0;
    rows.forEach((row, i) => {
      const code = codes[row * traits + t];
      if (code === MISSING) return;
      score[i] = scoreOf[code + offset];
      sum += score[i];
      squares += score[i] ** 2;
    });
    const mean = known === 0 ? 0 : sum / known;
    const sd = Math.sqrt(Math.max(squares / Math.max(known, 1) - mean * mean, 0));
    rows.forEach((row, i) => { score[i] = sd < 1e-9 || codes[row * traits + t] === MISSING ? 0 : (score[i] - mean) / sd; });
    return score;
  });
  const correlation = Array.from({ length: traits }, () => new Float64Array(traits));
  const shrink = n / (n + 20);
  let largest = 0;
  for (let i = 0; i < traits; i++) {
    correlation[i][i] = 1;
    for (let j = 0; j < i; j++) {
      let product = 0;
      for (let row = 0; row < n; row++) product += scores[i][row] * scores[j][row];
      const r = 0.98 * shrink * Math.max(-1, Math.min(1, product / n));
      correlation[i][j] = correlation[j][i] = r;
      largest = Math.max(largest, Math.abs(r));
    }
  }
  if (largest < CORRELATION_MIN) return [];
  const factor: number[] = [];
  const at = (i: number, j: number): number => factor[(i * (i + 1)) / 2 + j];
  for (let i = 0; i < traits; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = correlation[i][j];
      for (let k = 0; k < j; k++) rest -= at(i, k) * at(j, k);
      factor.push(i === j ? Math.sqrt(Math.max(rest, 1e-6)) : rest / at(j, j));
    }
  }
  return factor;
}
