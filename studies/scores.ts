/** Area under the receiver operating characteristic: P(score of a responder > score of another), ties half; NaN with one class. */
export function auc(score: ArrayLike<number>, outcome: ArrayLike<number>, weight: ArrayLike<number> | null = null): number {
  const order = Int32Array.from({ length: score.length }, (_, i) => i).sort((a, b) => score[a] - score[b]);
  let below = 0, won = 0, yes = 0;
  for (let i = 0; i < order.length; ) {
    let j = i, tiedYes = 0, tiedNo = 0;
    for (; j < order.length && score[order[j]] === score[order[i]]; j++) {
      const w = weight === null ? 1 : weight[order[j]];
      if (outcome[order[j]] === 1) tiedYes += w;
      else tiedNo += w;
    }
    won += tiedYes * (below + tiedNo / 2);
    below += tiedNo;
    yes += tiedYes;
    i = j;
  }
  return yes === 0 || below === 0 ? NaN : won / (yes * below);
}

/** -log of the probability given to what happened; predictions are kept 1e-15 off 0 and 1. */
export function logLossOf(predicted: number, outcome: number): number {
  const p = Math.min(1 - 1e-15, Math.max(1e-15, predicted));
  return -Math.log(outcome === 1 ? p : 1 - p);
}

/** Expected calibration error: |mean predicted - observed share| averaged over ten bins of equal size. */
export function calibrationError(predicted: ArrayLike<number>, outcome: ArrayLike<number>, weight: ArrayLike<number> | null = null, bins = 10): number {
  const n = predicted.length;
  const order = Int32Array.from({ length: n }, (_, i) => i).sort((a, b) => predicted[a] - predicted[b]);
  let error = 0, total = 0;
  for (let bin = 0; bin < bins; bin++) {
    let gap = 0;
    for (let i = Math.floor((bin * n) / bins); i < Math.floor(((bin + 1) * n) / bins); i++) {
      const w = weight === null ? 1 : weight[order[i]];
      gap += w * (predicted[order[i]] - outcome[order[i]]);
      total += w;
    }
    error += Math.abs(gap);
  }
  return total === 0 ? NaN : error / total;
}

/**
 * Qini coefficient of an uplift ranking: area between the Qini curve and the random line over the same area of the perfect
 * ranking (normalization of scikit-uplift's `qini_auc_score`, negative effects allowed; Radcliffe 2007). NaN when an arm is empty.
 */
export function qini(uplift: ArrayLike<number>, outcome: ArrayLike<number>, treated: ArrayLike<number>): number {
  const n = outcome.length;
  const perfectScore = Float64Array.from({ length: n }, (_, i) => outcome[i] * (treated[i] === 1 ? 1 : -1));
  const perfect = qiniCurve(perfectScore, outcome, treated), actual = qiniCurve(uplift, outcome, treated);
  const last = perfect[perfect.length - 1];
  const base = (last.x * last.y) / 2;
  return (area(actual) - base) / (area(perfect) - base);
}

interface Point { readonly x: number; readonly y: number }

function qiniCurve(score: ArrayLike<number>, outcome: ArrayLike<number>, treated: ArrayLike<number>): readonly Point[] {
  const order = Int32Array.from({ length: outcome.length }, (_, i) => i).sort((a, b) => score[b] - score[a]);
  const points: Point[] = [{ x: 0, y: 0 }];
  let treatedCount = 0, controlCount = 0, treatedYes = 0, controlYes = 0;
  order.forEach((row, i) => {
    if (treated[row] === 1) { treatedCount++; treatedYes += outcome[row]; }
    else { controlCount++; controlYes += outcome[row]; }
    if (i + 1 === order.length || score[order[i + 1]] !== score[row]) points.push({ x: i + 1, y: treatedYes - (controlCount === 0 ? 0 : (controlYes * treatedCount) / controlCount) });
  });
  return points;
}

const area = (points: readonly Point[]): number => points.reduce((sum, point, i) => (i === 0 ? 0 : sum + ((point.x - points[i - 1].x) * (point.y + points[i - 1].y)) / 2), 0);
