import { chiSquareTail } from "./special-functions.ts";

/** Measures of how well predictions agree with what was seen. Arrays are parallel; `weight` counts a row that often. */

/** Share of truths inside their closed intervals; NaN when there are none. */
export const coverage = (truth: ArrayLike<number>, low: ArrayLike<number>, high: ArrayLike<number>): number => {
  let inside = 0;
  for (let i = 0; i < truth.length; i++) if (truth[i] >= low[i] && truth[i] <= high[i]) inside++;
  return inside / truth.length;
};

/** Mean of -log p of what happened; predictions are held within 1e-15 of 0 and 1. */
export const logLoss = (predicted: ArrayLike<number>, response: ArrayLike<number>, weight?: ArrayLike<number>): number =>
  weightedMean(predicted.length, weight, (i) => {
    const p = Math.min(Math.max(predicted[i], 1e-15), 1 - 1e-15);
    return -(response[i] * Math.log(p) + (1 - response[i]) * Math.log1p(-p));
  });

/** Mean squared difference of prediction and response (0 or 1). */
export const brierScore = (predicted: ArrayLike<number>, response: ArrayLike<number>, weight?: ArrayLike<number>): number =>
  weightedMean(predicted.length, weight, (i) => (predicted[i] - response[i]) ** 2);

/**
 * Expected calibration error: mean over `bins` equally populated bins of prediction of |mean response - mean prediction|,
 * weighted by the bins' sizes. Equal predictions share a bin.
 */
export const expectedCalibrationError = (predicted: ArrayLike<number>, response: ArrayLike<number>, bins = 10, weight?: ArrayLike<number>): number =>
  calibrationCurve(predicted, response, bins, weight).reduce((sum, bin) => sum + bin.share * Math.abs(bin.predicted - bin.observed), 0);

export interface CalibrationBin {
  readonly predicted: number;
  readonly observed: number;
  /** Share of the rows, 0 to 1. */
  readonly share: number;
}

/** Mean prediction and mean response in up to `bins` equally populated bins, ascending; equal predictions share a bin. */
export const calibrationCurve = (predicted: ArrayLike<number>, response: ArrayLike<number>, bins = 10, weight?: ArrayLike<number>): CalibrationBin[] => {
  const order = ascending(predicted);
  let total = 0;
  for (let i = 0; i < order.length; i++) total += weight === undefined ? 1 : weight[i];
  const result: CalibrationBin[] = [];
  let size = 0, sumPredicted = 0, sumObserved = 0, before = 0;
  for (let k = 0; k < order.length; k++) {
    const i = order[k];
    const w = weight === undefined ? 1 : weight[i];
    size += w;
    sumPredicted += w * predicted[i];
    sumObserved += w * response[i];
    const isLast = k + 1 === order.length;
    if (size > 0 && (isLast || (before + size >= ((result.length + 1) * total) / bins && predicted[order[k + 1]] !== predicted[i]))) {
      result.push({ predicted: sumPredicted / size, observed: sumObserved / size, share: size / total });
      before += size;
      size = sumPredicted = sumObserved = 0;
    }
  }
  return result;
};

/** Area under the ROC curve: probability that a response outranks a non-response, ties counting half. NaN with one class only. */
export const areaUnderCurve = (score: ArrayLike<number>, response: ArrayLike<number>, weight?: ArrayLike<number>): number => {
  const order = ascending(score);
  let negatives = 0, positives = 0, pairs = 0;
  for (let k = 0; k < order.length; ) {
    let tiedPositive = 0, tiedNegative = 0;
    const value = score[order[k]];
    for (; k < order.length && score[order[k]] === value; k++) {
      const w = weight === undefined ? 1 : weight[order[k]];
      if (response[order[k]] !== 0) tiedPositive += w;
      else tiedNegative += w;
    }
    pairs += tiedPositive * (negatives + tiedNegative / 2);
    positives += tiedPositive;
    negatives += tiedNegative;
  }
  return pairs / (positives * negatives);
};

/** Root of the mean squared difference. */
export const rootMeanSquaredError = (predicted: ArrayLike<number>, truth: ArrayLike<number>, weight?: ArrayLike<number>): number =>
  Math.sqrt(weightedMean(predicted.length, weight, (i) => (predicted[i] - truth[i]) ** 2));

export interface UniformityTest {
  readonly counts: readonly number[];
  readonly chiSquare: number;
  /** Small when the values are not uniform. */
  readonly pValue: number;
}

/** Chi-square test that values in [0, 1] (PIT values) are uniform. */
export const uniformity = (values: ArrayLike<number>, bins = 10): UniformityTest => {
  const counts = new Array<number>(bins).fill(0);
  for (let i = 0; i < values.length; i++) counts[Math.min(Math.floor(values[i] * bins), bins - 1)]++;
  return chiSquareOf(counts, counts.map(() => values.length / bins));
};

/**
 * Simulation-based calibration (Talts et al. 2018): ranks 0..draws of the truth among `draws` posterior draws, tested for
 * uniformity in `bins` bins; draws + 1 is best a multiple of bins.
 */
export const rankUniformity = (ranks: ArrayLike<number>, draws: number, bins = 10): UniformityTest => {
  const counts = new Array<number>(bins).fill(0);
  const expected = new Array<number>(bins).fill(0);
  const binOf = (rank: number): number => Math.floor((rank * bins) / (draws + 1));
  for (let rank = 0; rank <= draws; rank++) expected[binOf(rank)] += ranks.length / (draws + 1);
  for (let i = 0; i < ranks.length; i++) counts[binOf(ranks[i])]++;
  return chiSquareOf(counts, expected);
};

/** Rank of `truth` among draws, ties broken by `u`, uniform in (0, 1). */
export const rankOf = (truth: number, draws: ArrayLike<number>, u: number): number => {
  let below = 0, ties = 0;
  for (let i = 0; i < draws.length; i++) {
    if (draws[i] < truth) below++;
    else if (draws[i] === truth) ties++;
  }
  return below + Math.floor(u * (ties + 1));
};

const chiSquareOf = (counts: readonly number[], expected: readonly number[]): UniformityTest => {
  const chiSquare = counts.reduce((sum, n, i) => sum + (n - expected[i]) ** 2 / expected[i], 0);
  return { counts, chiSquare, pValue: chiSquareTail(chiSquare, counts.length - 1) };
};

export interface QiniResult {
  /** Area between the curve and chance, divided by that of the perfect order (scikit-uplift's normalization, negative effects allowed). */
  readonly coefficient: number;
  /** Recipients taken, by falling uplift, and extra responses they brought over the untreated rate. */
  readonly curve: readonly { readonly count: number; readonly gain: number }[];
}

/**
 * Qini curve of predicted uplift on randomized data; `treatment` is 0 or 1. Ties take one step together. The coefficient, which
 * equals scikit-uplift's `qini_auc_score` (Radcliffe 2007), is NaN where nothing can be ranked: an arm is empty or nobody responded.
 */
export const qini = (response: ArrayLike<number>, uplift: ArrayLike<number>, treatment: ArrayLike<number>): QiniResult => {
  const curve = qiniCurve(response, uplift, treatment);
  const ideal = Float64Array.from({ length: response.length }, (_, i) => response[i] * (treatment[i] === 1 ? 1 : -1));
  const perfect = qiniCurve(response, ideal, treatment);
  const end = perfect[perfect.length - 1];
  const chance = (end.count * end.gain) / 2;
  let treated = 0;
  for (let i = 0; i < treatment.length; i++) treated += treatment[i];
  return { coefficient: treated === 0 || treated === response.length ? NaN : (areaUnder(curve) - chance) / (areaUnder(perfect) - chance), curve };
};

const qiniCurve = (response: ArrayLike<number>, uplift: ArrayLike<number>, treatment: ArrayLike<number>): { count: number; gain: number }[] => {
  const order = ascending(uplift).reverse();
  const curve = [{ count: 0, gain: 0 }];
  let treated = 0, treatedResponses = 0, control = 0, controlResponses = 0;
  order.forEach((i, k) => {
    if (treatment[i] === 1) {
      treated++;
      treatedResponses += response[i];
    } else {
      control++;
      controlResponses += response[i];
    }
    if (k + 1 === order.length || uplift[order[k + 1]] !== uplift[i]) {
      curve.push({ count: k + 1, gain: treatedResponses - (control === 0 ? 0 : (controlResponses * treated) / control) });
    }
  });
  return curve;
};

const areaUnder = (curve: readonly { count: number; gain: number }[]): number => {
  let area = 0;
  for (let i = 1; i < curve.length; i++) area += ((curve[i].count - curve[i - 1].count) * (curve[i].gain + curve[i - 1].gain)) / 2;
  return area;
};

/** Indices that sort the values ascending, equal values in their order of appearance. */
const ascending = (values: ArrayLike<number>): Int32Array =>
  Int32Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[a] - values[b] || a - b);

const weightedMean = (count: number, weight: ArrayLike<number> | undefined, of: (i: number) => number): number => {
  let sum = 0, total = 0;
  for (let i = 0; i < count; i++) {
    const w = weight === undefined ? 1 : weight[i];
    sum += w * of(i);
    total += w;
  }
  return sum / total;
};
