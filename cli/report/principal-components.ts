/**
 * Coordinates of weighted points on their first two principal components, with the share of the weighted variance each
 * explains. Jacobi rotations on the covariance (Golub and Van Loan, Matrix Computations, section 8.5): exact enough for the
 * few dozen columns of a persona map. The sign is fixed so that the largest loading is positive; fewer than two columns or
 * points give zeros.
 */
export function principalComponents(points: readonly (readonly number[])[], weights: readonly number[]): {
  readonly coordinates: readonly (readonly [number, number])[];
  readonly explained: readonly [number, number];
  readonly loadings: readonly (readonly number[])[];
} {
  const columns = points[0]?.length ?? 0;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (columns === 0 || total <= 0) return { coordinates: points.map(() => [0, 0]), explained: [0, 0], loadings: [[], []] };
  const mean = Array.from({ length: columns }, (_, column) => points.reduce((sum, point, row) => sum + weights[row] * point[column], 0) / total);
  const covariance = Array.from({ length: columns }, (_, a) => Array.from({ length: columns }, (__, b) =>
    points.reduce((sum, point, row) => sum + weights[row] * (point[a] - mean[a]) * (point[b] - mean[b]), 0) / total));
  const vectors: number[][] = Array.from({ length: columns }, (_, a) => Array.from({ length: columns }, (__, b) => (a === b ? 1 : 0)));
  for (let sweep = 0; sweep < 50; sweep += 1) {
    let off = 0;
    for (let a = 0; a < columns; a += 1) for (let b = a + 1; b < columns; b += 1) off += covariance[a][b] ** 2;
    if (off < 1e-22) break;
    for (let a = 0; a < columns; a += 1) {
      for (let b = a + 1; b < columns; b += 1) {
        if (Math.abs(covariance[a][b]) < 1e-300) continue;
        const theta = (covariance[b][b] - covariance[a][a]) / (2 * covariance[a][b]);
        const tangent = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const cosine = 1 / Math.sqrt(tangent * tangent + 1);
        const sine = tangent * cosine;
        for (let k = 0; k < columns; k += 1) {
          const [left, right] = [covariance[k][a], covariance[k][b]];
          covariance[k][a] = cosine * left - sine * right;
          covariance[k][b] = sine * left + cosine * right;
        }
        for (let k = 0; k < columns; k += 1) {
          const [left, right] = [covariance[a][k], covariance[b][k]];
          covariance[a][k] = cosine * left - sine * right;
          covariance[b][k] = sine * left + cosine * right;
          const [vectorLeft, vectorRight] = [vectors[k][a], vectors[k][b]];
          vectors[k][a] = cosine * vectorLeft - sine * vectorRight;
          vectors[k][b] = sine * vectorLeft + cosine * vectorRight;
        }
      }
    }
  }
  const order = Array.from({ length: columns }, (_, column) => column).sort((a, b) => covariance[b][b] - covariance[a][a]);
  const variance = order.reduce((sum, column) => sum + Math.max(0, covariance[column][column]), 0);
  const axes = [0, 1].map((rank) => {
    const column = order[rank];
    if (column === undefined) return Array.from({ length: columns }, () => 0);
    const loading = vectors.map((row) => row[column]);
    const largest = loading.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
    return largest < 0 ? loading.map((value) => -value) : loading;
  });
  const along = (point: readonly number[], axis: readonly number[]): number => axis.reduce((sum, loading, column) => sum + loading * (point[column] - mean[column]), 0);
  const share = (rank: number): number => (variance > 0 && order[rank] !== undefined ? Math.max(0, covariance[order[rank]][order[rank]]) / variance : 0);
  return { coordinates: points.map((point) => [along(point, axes[0]), along(point, axes[1])]), explained: [share(0), share(1)], loadings: axes };
}
