import type { RandomStream } from "../random/random-stream.ts";
import { sharesOf } from "./bandit.ts";
import type { Bandit } from "./bandit.ts";
import type { BanditProblem } from "./belief.ts";
import { largestRemainder } from "./largest-remainder.ts";

/** How long and how coarsely a bandit is played. */
interface PlayLength {
  readonly rounds: number;
  /** Exposures of one round for each persona. */
  readonly batch: number;
  /** Choices behind one round's division of a batch over the arms. */
  readonly choices: number;
}

/** What one play of a bandit came to. */
export interface Play {
  /** Expected regret against each persona's best arm, summed up to the end of each round. */
  readonly regret: Float64Array;
  /** Expected value per exposure of the arms its belief holds best at the end, mean over personas. */
  readonly recommended: number;
}

/**
 * Plays a bandit against known response rates ([persona][arm]): every round it divides each persona's batch over the arms, the responses are
 * binomial, and it learns from all of them at once. Who learns divides the first round evenly. Regret is taken at the rates, not at what was drawn.
 * Deterministic in the stream.
 */
export function playBandit(policy: Bandit, problem: BanditProblem, rates: readonly (readonly number[])[], length: PlayLength, random: RandomStream): Play {
  const arms = problem.cost.length, worth = rates.map((row, persona) => row.map((rate, arm) => rate * problem.value[persona][arm] - problem.cost[arm]));
  const regret = new Float64Array(length.rounds);
  let lost = 0;
  for (let round = 0; round < length.rounds; round++) {
    const stream = random.child(`round ${round}`);
    const shown = rates.map((_, persona) => largestRemainder(
      round === 0 && policy.learns ? new Float64Array(arms).fill(1) : sharesOf(policy, persona, length.choices, stream.child(`choose ${persona}`), arms), length.batch));
    shown.forEach((counts, persona) => {
      const best = Math.max(...worth[persona]), responses = stream.child(`respond ${persona}`);
      counts.forEach((count, arm) => {
        lost += count * (best - worth[persona][arm]);
        if (count > 0) policy.belief.update(persona, arm, count, responses.binomial(count, rates[persona][arm]));
      });
    });
    regret[round] = lost;
  }
  const recommended = worth.reduce((sum, row, persona) => sum + row[policy.recommend(persona)], 0) / worth.length;
  return { regret, recommended };
}
