import { chiSquareTail, logGamma } from "./special-functions.ts";

/** Whether arms hold the shares of recipients that were meant for them. */
export interface SampleRatio {
  readonly counts: readonly number[];
  readonly expected: readonly number[];
  readonly chiSquare: number;
  readonly pValue: number;
  /** Largest evidence at any look that the shares are others: how many times as well they explain the counts. */
  readonly evidence: number;
  /** The verdict must not be believed: p < 0.001 at the last look, or evidence of 1,000 at any (chance at most 1 in 1,000 each). */
  readonly isMismatch: boolean;
}

const P_VALUE_MIN = 0.001;
/** How close to the planned shares the alternative looks, in recipients: the setting of its authors. */
const CONCENTRATION = 10_000;

/**
 * Sample-ratio check: Pearson's chi-square at the last look, and at every look the Bayes factor of a Dirichlet-multinomial around the planned
 * shares against those shares, which may be watched for ever (Lindon and Malek 2022). `looks` are cumulative counts of each arm.
 */
export function sampleRatio(looks: readonly (readonly number[])[], shares: readonly number[]): SampleRatio {
  const counts = looks[looks.length - 1];
  const total = counts.reduce((sum, count) => sum + count, 0), whole = shares.reduce((sum, share) => sum + share, 0);
  const expected = shares.map((share) => (total * share) / whole);
  const chiSquare = total === 0 ? 0 : counts.reduce((sum, count, arm) => sum + (count - expected[arm]) ** 2 / expected[arm], 0);
  const pValue = counts.length < 2 ? 1 : chiSquareTail(chiSquare, counts.length - 1);
  const evidence = Math.max(...looks.map((look) => {
    const recipients = look.reduce((sum, count) => sum + count, 0);
    let log = logGamma(CONCENTRATION) - logGamma(CONCENTRATION + recipients);
    look.forEach((count, arm) => {
      const share = shares[arm] / whole, prior = CONCENTRATION * share;
      log += logGamma(prior + count) - logGamma(prior) - count * Math.log(share);
    });
    // A million recipients in one arm overflow the factor, not its meaning.
    return Math.min(Math.exp(log), Number.MAX_VALUE);
  }));
  return { counts, expected, chiSquare, pValue, evidence, isMismatch: pValue < P_VALUE_MIN || evidence >= 1 / P_VALUE_MIN };
}
