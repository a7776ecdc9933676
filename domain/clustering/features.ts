import type { Points } from "./points.ts";

export interface Standardized {
  readonly points: Points;
  readonly means: Float64Array;
  /** Population standard deviations (divided by n); a constant column has 0 and all its scores are 0. */
  readonly deviations: Float64Array;
}

/** Returns each column as (value - mean) / population standard deviation. Two passes, so that large offsets lose no digits. */
export function zScores(points: Points): Standardized {
  const { rows, dimensions, values } = points;
  const means = new Float64Array(dimensions);
  const deviations = new Float64Array(dimensions);
  for (let i = 0; i < values.length; i++) means[i % dimensions] += values[i] / rows;
  for (let i = 0; i < values.length; i++) deviations[i % dimensions] += (values[i] - means[i % dimensions]) ** 2 / rows;
  for (let column = 0; column < dimensions; column++) deviations[column] = Math.sqrt(deviations[column]);
  const scores = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const deviation = deviations[i % dimensions];
    scores[i] = deviation > 0 ? (values[i] - means[i % dimensions]) / deviation : 0;
  }
  return { points: { rows, dimensions, values: scores }, means, deviations };
}
