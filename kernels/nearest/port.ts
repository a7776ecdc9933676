/** What a row is held against: `count` points of the same width, each with a bias. */
export interface Centroids {
  readonly count: number;
  readonly dimensions: number;
  /** count x dimensions, row-major, -32767 .. 32767. */
  readonly values: Int16Array;
  /** One a centroid; the score of a row is bias - x.c, so half the squared norm makes the smallest score the nearest centroid. */
  readonly biases: Int32Array;
}

/** Where the answers go: one entry a row, all of one length or longer. */
export interface NearestOutput {
  /** Centroid of the smallest score, of equal ones the smallest index. */
  readonly index: Int32Array;
  readonly score: Int32Array;
  /** The smallest score of the other centroids; 2^31 - 1 where there is no other. Its distance to `score` is the margin. */
  readonly runnerUp: Int32Array;
}

/** The kernel `nearest` of one backend. */
export interface NearestKernel {
  /** Takes centroids once (a device uploads them). ARITHMETIC_RANGE, naming the centroid, when one breaks a bound of SPEC.md. */
  open(centroids: Centroids): NearestSession | Promise<NearestSession>;
}

/** One set of centroids on one backend in one thread. */
export interface NearestSession {
  /** Rows worth handing over at once: few where the cache decides, many where a device is to be filled. Any number is right. */
  readonly batchRows: number;
  /**
   * Answers rows (rows x dimensions, row-major, int16) into the first entries of `output`. ARITHMETIC_RANGE, naming the row, when
   * a row is so long that a score could leave 32 bits; BAD_REQUEST when the lengths do not fit.
   */
  assign(rows: Int16Array, output: NearestOutput): void | Promise<void>;
  /** Lets go of everything; the session is of no use afterwards. */
  close(): void;
}

/** The same on a backend that answers at once. */
export interface LocalNearestKernel extends NearestKernel {
  open(centroids: Centroids): LocalNearestSession;
}

/** A session that answers at once. */
export interface LocalNearestSession extends NearestSession {
  assign(rows: Int16Array, output: NearestOutput): void;
}

/** Room for the answers of so many rows. */
export const nearestOutput = (rows: number): NearestOutput => ({ index: new Int32Array(rows), score: new Int32Array(rows), runnerUp: new Int32Array(rows) });
