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
