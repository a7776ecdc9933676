import type { RandomStream } from "../random/random-stream.ts";

/** What is known of one arm: responses are Bernoulli with a Beta(1, 1) prior, a response is worth `value`, an exposure costs `cost`. */
export interface Arm {
  readonly exposures: number;
  readonly responses: number;
  /** Economic value of one response, any unit. */
  readonly value: number;
  /** Cost of one exposure, same unit. */
  readonly cost: number;
}

/** One draw of each arm's expected value per exposure from its posterior. */
export function drawValues(arms: readonly Arm[], random: RandomStream): Float64Array {
  return Float64Array.from(arms, (arm) => random.beta(1 + arm.responses, 1 + arm.exposures - arm.responses) * arm.value - arm.cost);
}

/**
 * How often each arm would be shown in `draws` steps of top-two Thompson sampling (Russo 2020, "Simple Bayesian algorithms for
 * best-arm identification"): the best arm of a draw with chance `leader`, else the best of a draw whose best is another one.
 * Returns shares that add to 1. A challenger is sought for 50 draws; when none comes, the leader is all but certain and the
 * second best of the draw stands in, so that evidence against it keeps coming in.
 */
export function topTwoShares(arms: readonly Arm[], draws: number, random: RandomStream, leader = 0.5): Float64Array {
  const shares = new Float64Array(arms.length);
  for (let draw = 0; draw < draws; draw += 1) {
    const values = drawValues(arms, random);
    const first = indexOfLargest(values);
    let chosen = first;
    if (arms.length > 1 && random.uniform() >= leader) {
      chosen = indexOfLargest(values.map((value, arm) => (arm === first ? -Infinity : value)));
      for (let attempt = 0; attempt < 50; attempt += 1) {
        const rival = indexOfLargest(drawValues(arms, random));
        if (rival !== first) {
          chosen = rival;
          break;
        }
      }
    }
    shares[chosen] += 1 / draws;
  }
  return shares;
}

/** Where the posteriors stand: the arm with the largest mean, its chance of being best, and what choosing it is expected to lose. */
export interface Verdict {
  readonly best: number;
  readonly probabilityBest: number;
  /** E[max over arms - chosen arm] per exposure: the stopping rule's quantity. */
  readonly expectedLoss: number;
}

/** Monte Carlo over `draws` joint draws of the posteriors. Ties go to the earlier arm. */
export function verdictOf(arms: readonly Arm[], draws: number, random: RandomStream): Verdict {
  const best = indexOfLargest(arms.map((arm) => ((1 + arm.responses) / (2 + arm.exposures)) * arm.value - arm.cost));
  let wins = 0;
  let loss = 0;
  for (let draw = 0; draw < draws; draw += 1) {
    const values = drawValues(arms, random);
    const top = indexOfLargest(values);
    if (top === best) wins += 1;
    loss += values[top] - values[best];
  }
  return { best, probabilityBest: wins / draws, expectedLoss: loss / draws };
}

/** Splits `total` into whole numbers as close to the shares as possible; ties go to the earlier share. */
export function largestRemainder(shares: ArrayLike<number>, total: number): number[] {
  const list = Array.from(shares);
  const sum = list.reduce((all, share) => all + share, 0);
  const quotas = list.map((share) => (sum > 0 ? (share / sum) * total : total / list.length));
  const counts = quotas.map(Math.floor);
  const left = total - counts.reduce((all, count) => all + count, 0);
  const order = quotas.map((_, index) => index).toSorted((a, b) => quotas[b] - counts[b] - (quotas[a] - counts[a]) || a - b);
  for (const index of order.slice(0, left)) counts[index] += 1;
  return counts;
}

/** Index of the largest value; the first of equals. */
export function indexOfLargest(values: ArrayLike<number>): number {
  let best = 0;
  for (let index = 1; index < values.length; index += 1) if (values[index] > values[best]) best = index;
  return best;
}
