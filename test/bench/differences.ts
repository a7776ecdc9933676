// Whether two samples of one model agree: a fast peer that simulates something else would prove nothing.

/** Beyond this many standard errors chance is no explanation; a bench makes some dozens of comparisons. */
const Z_MAX = 5;

/**
 * Compares event counts of two runs, worlds x columns of which column 0 holds the trials: each of `events` over all worlds, and the first world by
 * world. Returns words for a row; throws where they differ by more than sampling explains. Agents are no identical coins, so the binomial variance
 * is an upper bound and the test is on the safe side.
 */
export function differences(a: ArrayLike<number>, aColumns: number, b: ArrayLike<number>, bColumns: number, events: readonly number[]): string {
  const worlds = a.length / aColumns;
  const sum = (counts: ArrayLike<number>, columns: number, column: number): number => Array.from({ length: worlds }, (_, world) => counts[world * columns + column]!).reduce((total, each) => total + each, 0);
  const trials = [sum(a, aColumns, 0), sum(b, bColumns, 0)] as const;
  const all = events.map((event) => standardErrors(sum(a, aColumns, event), trials[0], sum(b, bColumns, event), trials[1]));
  const byWorld = Array.from({ length: worlds }, (_, w) => standardErrors(a[w * aColumns + events[0]!]!, a[w * aColumns]!, b[w * bColumns + events[0]!]!, b[w * bColumns]!));
  const used = byWorld.filter((z) => !Number.isNaN(z)), square = used.reduce((total, z) => total + z * z, 0) / Math.max(1, used.length);
  const largest = all.filter((z) => !Number.isNaN(z)).reduce((most, z) => Math.max(most, Math.abs(z)), 0);
  const words = `rates differ by ${largest.toFixed(1)} standard errors at most`;
  if (largest > Z_MAX || square > 1 + Z_MAX * Math.sqrt(2 / Math.max(1, used.length))) throw new Error(`not the same model: ${words}, world by world ${square.toFixed(2)} on average of the squares; z ${all.map((z) => z.toFixed(1)).join(", ")}`);
  return words;
}

/** Difference of two rates in its own standard errors; NaN where neither saw an event. */
function standardErrors(x: number, n: number, y: number, m: number): number {
  const p = (x + y) / (n + m);
  return (x / n - y / m) / Math.sqrt(p * (1 - p) * (1 / n + 1 / m));
}
