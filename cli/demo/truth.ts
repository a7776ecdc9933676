import { assign, encodeAttributes } from "@populace/domain";
import type { PersonaMixture } from "@populace/domain";
import type { RateRow } from "@populace/studies";
import { RETAILER_STEPS, RETAILER_STIMULI, retailerPeople, retailerTruth } from "../examples/retailer.ts";
import type { RetailerOptions, RetailerPerson } from "../examples/retailer.ts";

/** One cell of the comparison: what was predicted, and what is true. */
export interface TruthCell {
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  readonly predicted: number;
  readonly low: number;
  readonly high: number;
  readonly truth: number;
}

export interface TruthVerdict {
  readonly cells: readonly TruthCell[];
  /** Share of cells whose truth lies in its 90 % credible interval. */
  readonly coverage90: number;
  /** Mean absolute difference between predicted and true rate. */
  readonly rateMae: number;
}

/** What a recipient's row says, by attribute name; the hidden trait is not among it. */
export const attributesOf = (who: RetailerPerson): Readonly<Record<string, string | number>> => ({
  age: who.age, income: who.income, visits: who.visits, region: who.region, loyalty: who.loyalty === 1 ? "yes" : "no", recency: who.recencyDays,
});

/** Held-out people behind each true rate: the standard error of a persona's mean truth is then below a thousandth. */
const TRUTH_PEOPLE = 40_000;

/**
 * Holds predicted rates against the truth: the generator's own probabilities at that week, averaged over held-out recipients
 * whom the fitted mixture assigns to the persona. The people are others than those of the log.
 */
export function heldAgainstTruth(mixture: PersonaMixture, rows: readonly RateRow[], week: number, options: RetailerOptions): TruthVerdict {
  const members: RetailerPerson[][] = mixture.personas.map(() => []);
  for (const who of retailerPeople(options, "truth", TRUTH_PEOPLE)) members[assign(mixture, encodeAttributes(mixture, attributesOf(who))).persona].push(who);
  const truth = new Map<string, number>();
  members.forEach((people, persona) => {
    if (people.length === 0) return;
    for (const stimulus of RETAILER_STIMULI) {
      const sums = [0, 0, 0];
      for (const who of people) retailerTruth(who, stimulus, week, options).forEach((rate, step) => { sums[step] += rate; });
      RETAILER_STEPS.forEach((step, k) => truth.set(`${mixture.personas[persona].id}|${stimulus}|${step}`, sums[k] / people.length));
    }
  });
  const cells = rows.flatMap((row): TruthCell[] => {
    const known = truth.get(`${row.persona}|${row.stimulus}|${row.step}`);
    return known === undefined ? [] : [{ persona: row.persona, stimulus: row.stimulus, step: row.step, predicted: row.mean, low: row.low, high: row.high, truth: known }];
  });
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    cells,
    coverage90: mean(cells.map((cell) => (cell.truth >= cell.low && cell.truth <= cell.high ? 1 : 0))),
    rateMae: mean(cells.map((cell) => Math.abs(cell.predicted - cell.truth))),
  };
}
