import type { Bench, BenchRow } from "./bench.ts";
import { splitMean } from "./hillstrom-protocol.ts";
import { absent, hashOf } from "./real-data.ts";
import { campaignSets, leaveCampaignsOut, othersOf } from "./unseen-protocol.ts";
import type { Unseen } from "./unseen-protocol.ts";

const isInside = (pit: number): number => (pit >= 0.05 && pit <= 0.95 ? 1 : 0);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
/** Log odds, a share of 0 or 1 taken as half of a response off it. */
const logOdds = (share: number, exposures: number): number => Math.log((share * exposures + 0.5) / ((1 - share) * exposures + 0.5));

/** What 90 % intervals of a campaign never seen cover, over many campaigns: after one other, two others, all others. */
export const bench: Bench = {
  name: "unseen",
  async run({ tiny }) {
    const sets = await campaignSets();
    if (sets.length === 0) return absent("campaigns of several kinds");
    return sets.flatMap((set) => set.after.map((others): BenchRow => {
      const found = leaveCampaignsOut(set, { personas: 1, worlds: tiny ? 40 : 200, ...othersOf(set, others), most: tiny ? 1 : Infinity });
      const campaigns = [...new Set(found.map(({ campaign }) => campaign))];
      const shareOf = (pits: (each: Unseen) => readonly number[]) => splitMean(campaigns.map((campaign) => mean(found.filter((each) => each.campaign === campaign).flatMap((each) => pits(each).map(isInside)))));
      const whole = shareOf(({ pit }) => [pit]), cells = shareOf(({ cellPits }) => cellPits);
      const width = mean(found.map(({ low, high, exposures }) => logOdds(high, exposures) - logOdds(low, exposures)));
      return {
        what: `${set.name}: coverage of 90 % intervals of a campaign never seen, after ${others} (se ${campaigns.length === 1 ? "unknown" : whole.se.toPrecision(2)}; ${campaigns.length} campaigns, ${found.length} fits; intervals ${width.toFixed(1)} wide in log odds; their cells ${cells.mean.toFixed(2)}; mean log score ${mean(found.map(({ logScore }) => logScore)).toFixed(2)})`,
        ours: whole.mean, peer: null, peerName: "none", ratio: null, unit: "share of campaigns", floor: ".87 to .93", target: null, hash: hashOf([found]),
      };
    }));
  },
};
