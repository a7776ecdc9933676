import type { RandomStream } from "../random/random-stream.ts";
import { betaBelief, linearBelief, logisticBelief } from "./belief.ts";
import type { BanditProblem, Belief } from "./belief.ts";
import { indexOfLargest } from "./index-of-largest.ts";
import { topTwo } from "./top-two.ts";

/** The bandits that can be asked for by name. "best-fixed" is told what the simulator knows; all others learn from counts alone. */
export const BANDIT_NAMES = ["top-two", "thompson", "linear-thompson", "logistic-thompson", "lin-ucb", "epsilon-greedy", "random", "best-fixed"] as const;
export type BanditName = (typeof BANDIT_NAMES)[number];

/** A policy that learns: it chooses an arm for the next one of a persona, and what came of it goes into its belief. */
export interface Bandit {
  readonly name: BanditName;
  readonly belief: Belief;
  /** Index of the arm to show to someone of that persona. The same for the same belief and state of the stream. */
  choose(persona: number, random: RandomStream): number;
  /** The arm it would show from now on: the largest mean of its belief. */
  recommend(persona: number): number;
  /** Whether what it has seen changes what it chooses. */
  readonly learns: boolean;
}

/** Share of exposures that epsilon-greedy spends on arms drawn at random. */
const EPSILON = 0.1;
/** Standard deviations that LinUCB adds to an arm's mean: alpha = 1 + sqrt(ln(2 / delta) / 2) at delta = 0.2 (Li et al. 2010, section 3.1). */
const UPPER_WIDTH = 1 + Math.sqrt(Math.log(2 / 0.2) / 2);

/**
 * The named bandit before it has seen anything. top-two: Russo 2020, over independent Beta posteriors; thompson: the same posteriors from priors that
 * personas share; linear-thompson and logistic-thompson: regressions over persona and features, so that an arm nobody has been shown is judged by its
 * features; lin-ucb: the linear regression's upper bound (Li et al. 2010); epsilon-greedy: the best mean, one time in ten any arm; random: any arm;
 * best-fixed: `fixed` for everyone.
 */
export function bandit(name: BanditName, problem: BanditProblem, fixed = 0): Bandit {
  const arms = problem.cost.length;
  const of = (belief: Belief, choose: (belief: Belief) => Bandit["choose"]): Bandit => ({ name, belief, choose: choose(belief), recommend: (persona) => indexOfLargest(belief.mean(persona)), learns: true });
  switch (name) {
    case "top-two": return of(betaBelief(problem, "none"), topTwo);
    case "thompson": return of(betaBelief(problem, "personas"), thompson);
    case "linear-thompson": return of(linearBelief(problem), thompson);
    case "logistic-thompson": return of(logisticBelief(problem), thompson);
    case "lin-ucb": return of(linearBelief(problem), upperBound);
    case "epsilon-greedy": return of(betaBelief(problem, "none"), (belief) => (persona, random) => (random.uniform() < EPSILON ? random.integer(arms) : indexOfLargest(belief.mean(persona))));
    case "random": return { ...of(betaBelief(problem, "none"), () => (_persona, random) => random.integer(arms)), learns: false };
    case "best-fixed": return { ...of(betaBelief(problem, "none"), () => () => fixed), recommend: () => fixed, learns: false };
  }
}

/** Thompson sampling: the best arm of one draw from the posterior (Thompson 1933; Russo et al. 2018). */
const thompson = (belief: Belief): Bandit["choose"] => (persona, random) => indexOfLargest(belief.draw(persona, random));

const upperBound = (belief: Belief): Bandit["choose"] => (persona) => {
  const deviation = belief.deviation(persona);
  return indexOfLargest(belief.mean(persona).map((mean, arm) => mean + UPPER_WIDTH * deviation[arm]));
};

/** How often each arm would be chosen in `draws` choices without learning in between; shares that add to 1. */
export function sharesOf(policy: Bandit, persona: number, draws: number, random: RandomStream, arms: number): Float64Array {
  const shares = new Float64Array(arms);
  for (let draw = 0; draw < draws; draw++) shares[policy.choose(persona, random)] += 1 / draws;
  return shares;
}

/** Where a belief stands for a persona: the arm with the largest mean, its chance of being best, and what choosing it is expected to lose. */
export interface Verdict {
  readonly best: number;
  readonly probabilityBest: number;
  /** E[max over arms - chosen arm] per exposure: the stopping rule's quantity. */
  readonly expectedLoss: number;
}

/** Monte Carlo over `draws` joint draws of the belief. Ties go to the earlier arm. */
export function verdictOf(belief: Belief, persona: number, draws: number, random: RandomStream): Verdict {
  const best = indexOfLargest(belief.mean(persona));
  let wins = 0, loss = 0;
  for (let draw = 0; draw < draws; draw++) {
    const values = belief.draw(persona, random), top = indexOfLargest(values);
    if (top === best) wins += 1;
    loss += values[top] - values[best];
  }
  return { best, probabilityBest: wins / draws, expectedLoss: loss / draws };
}
