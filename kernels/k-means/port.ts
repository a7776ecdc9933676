/** What one assignment of all points found. The arrays are valid until the next call of the session. */
export interface Assigned {
  /** Center of each row: the smallest score of kernel `nearest` with half squared norms as biases, of equal ones the smallest index. */
  readonly labels: Int32Array;
  /** Rows whose center is another one than after the last step, in any order; at the first step all. */
  readonly moved: Int32Array;
  /** Rows of which no other center is farther than their own by more than the slack (SPEC.md says to the bit which), in any order. */
  readonly doubtful: Int32Array;
}

/** The kernel `k-means` of one backend: one half of Lloyd's iteration, and the draws of greedy k-means++. */
export interface KMeansKernel {
  /**
   * Takes the points once (a device uploads them): int16, rows x dimensions, no norm above NORM_MAX (ARITHMETIC_RANGE naming the row).
   * TOO_LARGE when they do not fit the backend's memory.
   */
  open(points: Int16Array, dimensions: number): KMeansSession | Promise<KMeansSession>;
}

/** One set of points on one backend in one thread. */
export interface KMeansSession {
  readonly rows: number;
  readonly dimensions: number;
  /**
   * Assigns every row to the nearest of the centers (count x dimensions, norms at most NORM_MAX, else ARITHMETIC_RANGE). The same number of
   * centers as at the step before counts as the same centers, moved: only what may have changed is looked at. Slack: 0 or more.
   */
  assign(centers: Int16Array, slack: number): Assigned | Promise<Assigned>;
  /**
   * The centers of the last step that are not farther from a row than its own by more than that step's slack, its own among them, ascending;
   * BAD_REQUEST before the first step. Valid until the next call of the session.
   */
  rivals(row: number): Int32Array | Promise<Int32Array>;
  /** Forgets the centers of the step before. Starting draws forgets them too. */
  forget(): void;
  /** Starts the weights of the draws anew, at 2^32 - 1 each. */
  spread(): void;
  /** Lowers each row's weight to floor(squared distance to the chosen row / 2); returns the weights' sum. */
  choose(row: number): number | Promise<number>;
  /** What that sum would be after choosing each of at most eight rows instead. */
  potentials(candidates: readonly number[]): readonly number[] | Promise<readonly number[]>;
  /** The first row at which the running sum of the weights passes the target; never one of weight 0, unless all are. */
  draw(target: number): number | Promise<number>;
  /** Lets go of everything; the session is of no use afterwards. */
  close(): void;
}

/** The same on a backend that answers at once. */
export interface LocalKMeansKernel extends KMeansKernel {
  open(points: Int16Array, dimensions: number): LocalKMeansSession;
}

/** A session that answers at once. */
export interface LocalKMeansSession extends KMeansSession {
  assign(centers: Int16Array, slack: number): Assigned;
  rivals(row: number): Int32Array;
  choose(row: number): number;
  potentials(candidates: readonly number[]): readonly number[];
  draw(target: number): number;
}

/** Most candidates of one call of `potentials`. */
export const CANDIDATES_MAX = 8;
