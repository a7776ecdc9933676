/**
 * Logits of a funnel over a grid, as plain numbers (SPEC.md): columns are values of a trait, rows those of a number of the
 * stimulus or of a second trait, members stand for the people of a persona with all their other traits. Read, never changed.
 */
export interface SurfaceInput {
  readonly worlds: number;
  /** Nested steps, the first to the one whose rate is wanted. */
  readonly steps: number;
  readonly columns: number;
  readonly rows: number;
  readonly members: number;
  /** z of each row; 0 where rows are no number of the stimulus. */
  readonly rowValue: Float64Array;
  /** worlds x steps x columns: intercept and the trait's effect at z = 0. */
  readonly column: Float64Array;
  /** worlds x steps x columns: what one unit of z adds, for everybody and because of the trait. */
  readonly cross: Float64Array;
  /** worlds x steps x rows: what a row adds for everybody. */
  readonly row: Float64Array;
  /** worlds x steps x members: the member's other traits at z = 0. */
  readonly member: Float64Array;
  /** worlds x steps x members: what one unit of z adds because of those traits. */
  readonly memberCross: Float64Array;
  /** Share each member stands for; the shares add to 1. */
  readonly weight: Float64Array;
}

/** The kernel `response-surface` of one backend. */
export interface ResponseSurfaceKernel {
  /** Rate of the last step per exposure, 0 to 1: rows x columns x worlds, a new array. */
  rates(input: SurfaceInput): Promise<Float64Array>;
}
