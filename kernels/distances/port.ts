/** The kernel `distances` of one backend. */
export interface DistancesKernel {
  /**
   * Squared Euclidean distances of every row to every center: rows x centers, a new array. `rows` and `centers` hold
   * `dimensions` numbers a point, one point after the other, and are only read.
   */
  squared(rows: Float32Array, centers: Float32Array, dimensions: number): Promise<Float32Array>;
}
