/**
 * Dense symmetric linear algebra on row-major Float64Arrays of size n x n, as small as the posteriors need. The Cholesky
 * factor is formed row by row, so its inner loop is a dot product of two contiguous rows.
 */

/**
 * Overwrites the lower triangle of `matrix` with its Cholesky factor and returns half the log determinant, or NaN when
 * the matrix is not positive definite. The upper triangle is left as it was. Cost n^3 / 6 multiply-adds.
 */
export const choleskyInPlace = (matrix: Float64Array, n: number): number => {
  let halfLogDeterminant = 0;
  for (let i = 0; i < n; i++) {
    const rowI = i * n;
    for (let j = 0; j < i; j++) {
      const rowJ = j * n;
      let sum0 = matrix[rowI + j];
      let sum1 = 0;
      let k = 0;
      for (; k + 3 < j; k += 4) {
        sum0 -= matrix[rowI + k] * matrix[rowJ + k] + matrix[rowI + k + 1] * matrix[rowJ + k + 1];
        sum1 -= matrix[rowI + k + 2] * matrix[rowJ + k + 2] + matrix[rowI + k + 3] * matrix[rowJ + k + 3];
      }
      for (; k < j; k++) sum0 -= matrix[rowI + k] * matrix[rowJ + k];
      matrix[rowI + j] = (sum0 + sum1) / matrix[rowJ + j];
    }
    let diagonal = matrix[rowI + i];
    for (let k = 0; k < i; k++) diagonal -= matrix[rowI + k] * matrix[rowI + k];
    if (!(diagonal > 0)) return Number.NaN;
    const root = Math.sqrt(diagonal);
    matrix[rowI + i] = root;
    halfLogDeterminant += Math.log(root);
  }
  return halfLogDeterminant;
};

/** Overwrites `vector` with L^-1 vector. */
export const solveLowerInPlace = (factor: Float64Array, n: number, vector: Float64Array): void => {
  for (let i = 0; i < n; i++) {
    const row = i * n;
    let sum = vector[i];
    for (let k = 0; k < i; k++) sum -= factor[row + k] * vector[k];
    vector[i] = sum / factor[row + i];
  }
};

/** Overwrites `vector` with L^-T vector. */
export const solveUpperInPlace = (factor: Float64Array, n: number, vector: Float64Array): void => {
  for (let i = n - 1; i >= 0; i--) {
    const row = i * n;
    const value = vector[i] / factor[row + i];
    vector[i] = value;
    for (let k = 0; k < i; k++) vector[k] = vector[k] - factor[row + k] * value;
  }
};

/** Inverse of a lower-triangular factor, row-major lower triangle in a new n x n array (upper triangle 0). */
export const invertLower = (factor: Float64Array, n: number): Float64Array => {
  // Row i of the inverse is (e_i - sum_k<i L_ik row_k) / L_ii: contiguous updates.
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const row = i * n;
    for (let k = 0; k < i; k++) {
      const value = factor[row + k];
      if (value === 0) continue;
      const other = k * n;
      for (let j = 0; j <= k; j++) inverse[row + j] = inverse[row + j] - value * inverse[other + j];
    }
    const scale = 1 / factor[row + i];
    for (let j = 0; j < i; j++) inverse[row + j] = inverse[row + j] * scale;
    inverse[row + i] = scale;
  }
  return inverse;
};

/** Lower triangle (full storage) of K' K for a lower-triangular K: the inverse of L L' when K = L^-1. */
export const gramOfLower = (lower: Float64Array, n: number, into: Float64Array = new Float64Array(n * n), weight = 1): Float64Array => {
  for (let k = 0; k < n; k++) {
    const row = k * n;
    for (let i = 0; i <= k; i++) {
      const value = weight * lower[row + i];
      if (value === 0) continue;
      const target = i * n;
      for (let j = 0; j <= i; j++) into[target + j] = into[target + j] + value * lower[row + j];
    }
  }
  return into;
};

/** Packs the lower triangle of a row-major n x n matrix by rows. */
export const packLower = (matrix: Float64Array, n: number): Float64Array => {
  const packed = new Float64Array((n * (n + 1)) / 2);
  for (let i = 0, at = 0; i < n; i++) for (let j = 0; j <= i; j++) packed[at++] = matrix[i * n + j];
  return packed;
};

/** Row-major n x n lower triangle from its packed form. */
export const unpackLower = (packed: Float64Array, n: number): Float64Array => {
  const matrix = new Float64Array(n * n);
  for (let i = 0, at = 0; i < n; i++) for (let j = 0; j <= i; j++) matrix[i * n + j] = packed[at++];
  return matrix;
};

/**
 * Eigenvalues and orthonormal eigenvectors (columns) of a small symmetric matrix by cyclic Jacobi rotations; the argument
 * is not changed. For n up to a few dozen.
 */
export const symmetricEigen = (matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } => {
  const a = Float64Array.from(matrix);
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    let diagonal = 0;
    for (let i = 0; i < n; i++) {
      diagonal += a[i * n + i] ** 2;
      for (let j = 0; j < i; j++) off += a[i * n + j] ** 2;
    }
    if (off <= 1e-30 * diagonal) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const apq = a[p * n + q];
        if (apq === 0) continue;
        const theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        for (let k = 0; k < n; k++) {
          const akp = a[k * n + p];
          const akq = a[k * n + q];
          a[k * n + p] = c * akp - s * akq;
          a[k * n + q] = s * akp + c * akq;
        }
        for (let k = 0; k < n; k++) {
          const apk = a[p * n + k];
          const aqk = a[q * n + k];
          a[p * n + k] = c * apk - s * aqk;
          a[q * n + k] = s * apk + c * aqk;
          const vkp = vectors[k * n + p];
          const vkq = vectors[k * n + q];
          vectors[k * n + p] = c * vkp - s * vkq;
          vectors[k * n + q] = s * vkp + c * vkq;
        }
      }
    }
  }
  return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]), vectors };
};
