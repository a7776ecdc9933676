/** Rows of codes against many worlds: the shapes that stay while tables and rows change. */
export interface RowRatesShape {
  readonly worlds: number;
  readonly steps: number;
  /** Places of each trait: what a value may be. A place that stands for "missing" is one like any other. */
  readonly places: readonly number[];
}

/** The kernel `row-rates` of one backend. */
export interface RowRatesKernel {
  open(shape: RowRatesShape): RowRatesSession;
}

/** Tables and biases of one persona and stimulus after another. */
export interface RowRatesSession {
  /** What each world adds to a step's logit for a trait's value at a place: `worlds` numbers to be written, kept until they are written again. */
  line(step: number, trait: number, place: number): Float64Array;
  /** What each world's logit of a step starts from: `worlds` numbers to be written. */
  bias(step: number): Float64Array;
  /**
   * Sums over the rows (places, rows x traits) of weight x the probability of reaching each step and those before it, steps x worlds; weights null = 1
   * each. BAD_REQUEST, naming row and trait, for a place that is none. Cost: rows x worlds x steps x traits.
   */
  sum(places: Int32Array, weights: Float64Array | null): Float64Array;
  close(): void;
}
