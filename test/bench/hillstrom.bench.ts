import type { Bench, BenchRow } from "./bench.ts";
import { hillstromHalves, hillstromLeaveOut } from "./hillstrom-protocol.ts";
import { absent, hashOf, readRealData } from "./real-data.ts";

/** Hillstrom's e-mails: the other half predicted on fixed cells, and a campaign predicted that the model has never seen. */
export const bench: Bench = {
  name: "hillstrom",
  async run({ tiny }) {
    const data = await readRealData("hillstrom");
    if (data === null) return absent("Hillstrom");
    const options = tiny ? { splits: 1, personas: 3, worlds: 40 } : { splits: 20, personas: "auto" as const, worlds: 200 };
    const halves = hillstromHalves(data, options), leaveOut = hillstromLeaveOut(data, tiny ? options : { ...options, splits: 10 });
    const hash = hashOf([halves, leaveOut]);
    const row = (what: string, ours: number, peer: number | null, peerName: string, unit: string, floor: string | null, lowerIsBetter = false): BenchRow => ({
      what: `Hillstrom: ${what}`, ours, peer, peerName, ratio: peer === null ? null : lowerIsBetter ? peer / ours : ours / peer, unit, floor, target: null, hash,
    });
    return [
      row("fixed cells, correlation", halves.r, halves.rRaw, "raw cell rates of the other half", "r", "r >= .90"),
      row("fixed cells, squared error beside raw rates", halves.squaredError, halves.squaredErrorRaw, "raw cell rates", "sum of squares", "below raw", true),
      row("fixed cells, squared error beside cell plus arm", halves.squaredError, halves.squaredErrorAdditive, "cell plus arm", "sum of squares", "below cell plus arm", true),
      row(`coverage of 90 % predictive intervals, ${halves.cellSplits} cell-splits`, halves.coverage, null, "none", "share", ".87 to .93"),
      row(`value of the best-predicted arm less the men's e-mail to all (se ${halves.policyGainSe.toFixed(5)})`, halves.policyGain, null, "none", "visits a recipient", "not below -1 se"),
      row(`value of the best-predicted arm, inverse propensities, ${options.splits} splits (sd ${halves.policyValueSd.toFixed(4)}; always the men's e-mail ${(halves.policyValue - halves.policyGain).toFixed(4)}; published: always men's .1832, T-learner .1833)`, halves.policyValue, 0.1848, "published, 16-cell personas (sd .002)", "visits a recipient", null),
      row("Qini of the women's e-mail", halves.qiniWomens, 0.067, "published", "Qini", null),
      row("women's e-mail never seen: correlation of effects", leaveOut.r, leaveOut.rSame, "as the men's e-mail", "r", "above .27"),
      row("women's e-mail never seen: better e-mail named right", leaveOut.direction, leaveOut.directionConstant, "always the men's", "share of cells", "above .69"),
      row("women's e-mail never seen: coverage of 90 % intervals", leaveOut.coverage, null, "none", "share", ">= .85"),
    ];
  },
};
