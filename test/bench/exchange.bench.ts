import { RandomStream, betaMean, learnExchangeRates, mixtureMean, powerPrior, robustPrior, updateMixture } from "@populace/domain";
import type { Beta, PastCell } from "@populace/domain";
import { hashOf } from "./real-data.ts";
import type { Bench, BenchRow } from "./bench.ts";

/** The exchange rate: what it learns of honest and biased simulators, and what simulated evidence at that rate is worth. */
export const bench: Bench = {
  name: "exchange",
  run: ({ tiny }) => Promise.resolve([...courses(tiny ? 2 : 40), ...risk(tiny ? 2 : 400)]),
};

/** A simulation of 1,000 effective observations beside the rate of a cell. */
const simulationOf = (mean: number, ess = 1_000): Beta => ({ alpha: ess * mean, beta: ess * (1 - mean) });

/** A campaign of four cells, one a persona; the truth is the simulation's own uncertainty away from its mean, times `factor`. */
function campaign(factor: number, random: RandomStream): PastCell[] {
  return Array.from({ length: 4 }, (_, persona) => {
    const simulated = simulationOf(0.02 + 0.06 * random.uniform());
    const truth = Math.min(random.beta(simulated.alpha, simulated.beta) * factor, 0.95);
    return { simulated, responses: random.binomial(2_000, truth), exposures: 2_000, channel: "email", class: `p${persona}, email, plain` };
  });
}

interface ExchangeCourse { readonly simulator: string; readonly campaign: number; readonly a0: number; readonly low: number; readonly high: number }

/** Means over `repeats` audiences of the channel's a0 and its 90 % limits after each of 20 campaigns, for an honest simulator and one that foretells twice the truth. */
export function exchangeCourses(repeats: number): readonly ExchangeCourse[] {
  return ([["honest", 1], ["foretells twice the truth", 0.5]] as const).flatMap(([simulator, factor]) => {
    const sums = Array.from({ length: 21 }, () => ({ a0: 0, low: 0, high: 0 }));
    for (let repeat = 0; repeat < repeats; repeat++) {
      const random = RandomStream.of(repeat, `exchange ${simulator}`);
      const past: PastCell[] = [];
      sums.forEach((sum, at) => {
        if (at > 0) past.push(...campaign(factor, random));
        const { global, channels } = learnExchangeRates(past);
        const { mean, low, high } = channels.get("email") ?? global;
        sum.a0 += mean / repeats;
        sum.low += low / repeats;
        sum.high += high / repeats;
      });
    }
    return sums.map((sum, at) => ({ simulator, campaign: at, ...sum }));
  });
}

function courses(repeats: number): BenchRow[] {
  const points = exchangeCourses(repeats);
  const hash = hashOf(points);
  const [honest, biased] = [points[20]!, points[41]!];
  return [
    { what: `exchange rate a0 an honest simulator has learned after 20 campaigns (90 % limits ${honest.low.toFixed(2)} to ${honest.high.toFixed(2)}, means of ${repeats})`, ours: honest.a0, peer: 0.5, peerName: "the prior", ratio: honest.a0 / 0.5, unit: "a0", floor: "above .5", target: null, hash },
    { what: `exchange rate a0 of a simulator that foretells twice the truth (90 % limits ${biased.low.toFixed(3)} to ${biased.high.toFixed(3)})`, ours: biased.a0, peer: 0.1, peerName: "the bound", ratio: 0.1 / biased.a0, unit: "a0", floor: "below .1", target: null, hash },
  ];
}

/**
 * Squared error of simulated and real evidence together beside the real share alone, a0 learned from 12 past cells of the same conflict.
 * The truth is `conflict` times what the simulation says, exactly; the simulation believes itself to be worth 20,000 observations, so that
 * only a0 and the cap hold it back.
 */
function risk(repeats: number): BenchRow[] {
  return [100, 1_000, 10_000].flatMap((n) => [0.25, 0.5, 0.8, 0.9, 1, 1.1, 1.25, 2, 4].map((conflict) => {
    const ratios: number[] = [];
    let ours = 0, peer = 0;
    for (let repeat = 0; repeat < repeats; repeat++) {
      const random = RandomStream.of(repeat, `risk ${n} ${conflict}`);
      const cell = (mean: number) => {
        const simulated = simulationOf(mean, 20_000), truth = conflict * betaMean(simulated);
        return { simulated, truth, responses: random.binomial(n, truth), exposures: n, channel: "email", class: "one" };
      };
      const past = Array.from({ length: 12 }, () => cell(0.01 + 0.04 * random.uniform()));
      const rate = learnExchangeRates(past).classes.get("one")!.mean;
      const { simulated, truth, responses } = cell(0.03);
      const [a, b] = [(mixtureMean(updateMixture(robustPrior(powerPrior(simulated, rate, n)), responses, n)) - truth) ** 2, (responses / n - truth) ** 2];
      ours += a;
      peer += b;
      ratios.push(a - b);
    }
    const gap = (ours - peer) / repeats;
    const se = Math.sqrt(ratios.reduce((sum, each) => sum + (each - gap) ** 2, 0) / Math.max(1, repeats - 1) / repeats);
    return {
      what: `squared error of simulated + ${n} real exposures, truth / simulation = ${conflict} (${(ours / peer).toFixed(2)} of the real share's, se ${(se / (peer / repeats)).toFixed(2)})`, ours: ours / repeats, peer: peer / repeats, peerName: "the real share alone",
      ratio: peer / ours, unit: "rate squared", floor: conflict === 1 ? "1.43x" : "0.87x", target: null, hash: hashOf([ours, peer]),
    };
  }));
}
