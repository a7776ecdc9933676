import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Bench, BenchRow } from "./bench.ts";
import { hillstromHalves } from "./hillstrom-protocol.ts";
import type { LeaveOutResult, ProtocolOptions, SplitMean } from "./hillstrom-protocol.ts";
import { upliftPeers } from "./hillstrom-uplift.ts";
import { absent, hashOf, readRealData } from "./real-data.ts";

const se = (value: SplitMean): string => value.se.toPrecision(2);

/** Hillstrom's e-mails: the other half predicted on fixed cells, and a campaign predicted that the model has never seen. */
export const bench: Bench = {
  name: "hillstrom",
  async run({ tiny }) {
    const data = await readRealData("hillstrom");
    if (data === null) return absent("Hillstrom");
    const options: ProtocolOptions = tiny ? { splits: 1, personas: 3, worlds: 40 } : { splits: 20, personas: "auto", worlds: 200 };
    const thread = once(new Worker(new URL("./hillstrom-thread.ts", import.meta.url), { workerData: options, execArgv: [] }), "message") as Promise<[LeaveOutResult]>;
    const { uplifts, ...halves } = hillstromHalves(data, options), [leaveOut] = await thread;
    const hash = hashOf([halves, leaveOut]);
    const row = (what: string, ours: SplitMean, peer: number | SplitMean | null, peerName: string, unit: string, floor: string | null, lowerIsBetter = false): BenchRow => {
      const theirs = typeof peer === "object" ? peer?.mean ?? null : peer;
      return {
        what: `Hillstrom: ${what} (se ${se(ours)})`, ours: ours.mean, peer: theirs, peerName: typeof peer === "number" || peer === null ? peerName : `${peerName} (se ${se(peer)})`,
        ratio: theirs === null ? null : lowerIsBetter ? theirs / ours.mean : ours.mean / theirs, unit, floor, target: null, hash,
      };
    };
    const { policyGain, policyGainSe, policyValue, policyValueSd } = halves;
    return [
      row("fixed cells, correlation", halves.r, halves.rRaw, "raw cell rates of the other half", "r", null),
      row("fixed cells, correlation", halves.r, halves.rAdditive, "cell plus arm", "r", null),
      row(`fixed cells, squared error; less raw ${halves.lessRaw.mean.toExponential(2)} (se ${se(halves.lessRaw)})`, halves.squaredError, halves.squaredErrorRaw, "raw cell rates", "sum of squares", "below raw", true),
      row(`fixed cells, squared error; less cell plus arm ${halves.lessAdditive.mean.toExponential(2)} (se ${se(halves.lessAdditive)})`, halves.squaredError, halves.squaredErrorAdditive, "cell plus arm", "sum of squares", "below cell plus arm", true),
      row(`coverage of 90 % predictive intervals, ${halves.cellSplits} cell-splits`, halves.coverage, null, "none", "share", ".87 to .93"),
      row(`coverage of 90 % predictive intervals of the mean amount of responders, ${halves.armSplits} arm-splits`, halves.valueCoverage, null, "none", "share", ".87 to .93"),
      row("value of the best-predicted arm less the men's e-mail to all", { mean: policyGain, se: policyGainSe }, null, "none", "visits a recipient", "not below -1 se"),
      row(`value of the best-predicted arm, inverse propensities, ${options.splits} splits (sd ${policyValueSd.toFixed(4)}; always the men's e-mail ${(policyValue - policyGain).toFixed(4)}; published: always men's .1832, T-learner .1833)`, { mean: policyValue, se: policyValueSd / Math.sqrt(options.splits) }, 0.1848, "published, 16-cell personas (sd .002)", "visits a recipient", null),
      row("Qini of the women's e-mail", halves.qiniWomens, 0.067, "published", "Qini", null),
      row("Qini of the men's e-mail", halves.qiniMens, null, "published: about 0", "Qini", null),
      ...(await upliftPeers(data, uplifts, tiny)).map(({ what, ours, theirs, peerName }) => row(what, ours, theirs, peerName, "Qini", null)),
      row("women's e-mail never seen: correlation of effects", leaveOut.r, leaveOut.rSame, "as the men's e-mail; published .13", "r", null),
      row("women's e-mail never seen: correlation of effects", leaveOut.r, 0.27, "published: match swapped", "r", "above .27"),
      row("women's e-mail never seen: correlation of effects", leaveOut.r, leaveOut.rSplitHalf, "ceiling: the other half, which saw it; published .55", "r", null),
      row("women's e-mail never seen: better e-mail named right", leaveOut.direction, leaveOut.directionConstant, "always the men's; published .69", "share of cells", "above .69"),
      row("women's e-mail never seen: better e-mail named right", leaveOut.direction, leaveOut.directionSplitHalf, "ceiling: the other half, which saw it; published .80", "share of cells", null),
      row(`women's e-mail never seen: coverage of 90 % intervals, ${leaveOut.cellSplits} cell-splits`, leaveOut.coverage, null, "none", "share", ">= .85"),
    ];
  },
};
