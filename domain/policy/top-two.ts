import type { RandomStream } from "../random/random-stream.ts";
import type { Belief } from "./belief.ts";
import { indexOfLargest } from "./index-of-largest.ts";

/** Draws in which a challenger is sought. */
const CHALLENGES = 50;

/**
 * Top-two Thompson sampling (Russo 2020, "Simple Bayesian algorithms for best-arm identification"): the best arm of a draw with chance
 * `leader`, else the best of a draw whose best is another one. A challenger is sought for 50 draws; when none comes, the leader is all but
 * certain and the second best of the draw stands in, so that evidence against it keeps coming in.
 */
export const topTwo = (belief: Belief, leader = 0.5) => (persona: number, random: RandomStream): number => {
  const values = belief.draw(persona, random), first = indexOfLargest(values);
  if (values.length < 2 || random.uniform() < leader) return first;
  for (let attempt = 0; attempt < CHALLENGES; attempt += 1) {
    const rival = indexOfLargest(belief.draw(persona, random));
    if (rival !== first) return rival;
  }
  return indexOfLargest(values.map((value, arm) => (arm === first ? -Infinity : value)));
};
