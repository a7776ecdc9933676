import { selectRows } from "@populace/studies";
import type { Dataset } from "@populace/studies";
import { dataFile } from "../helpers/data.ts";
import { bankProtocol, macroGain, withoutMacro } from "./bank-protocol.ts";
import type { PairedDifference } from "./bank-protocol.ts";
import type { Bench } from "./bench.ts";
import { REAL_DATA, absent, hashOf, readRealData } from "./real-data.ts";

const text = ({ difference, se }: PairedDifference): string => `difference ${difference.toFixed(5)}, se ${se.toFixed(5)} over stretches of a thousand calls`;

/** The bank's calls through the downturn: updated posteriors beside fits anew, with and without forgetting, and what the economy's indices are worth. */
export const bench: Bench = {
  name: "bank",
  async run({ tiny }) {
    const all = await readRealData("bank");
    if (all === null) return absent("bank");
    const few = (dataset: Dataset): Dataset => (tiny ? selectRows(dataset, Int32Array.from({ length: 3_000 }, (_, row) => row)) : dataset);
    const data = few(all);
    const options = tiny ? { worlds: 16, stretches: 2, personas: 1 } : { worlds: 200 };
    const result = bankProtocol(data, options);
    const { updateSeconds, refitSeconds, ...losses } = result;
    const hash = hashOf(losses);
    const gain = macroGain(data, few(await withoutMacro(dataFile(...REAL_DATA.bank)!)), options);
    const common = { unit: "nats", target: null, hash } as const;
    return [
      { ...common, what: `bank: log loss of ${result.calls} calls, updated every thousand, each predicted before it was seen (${text(result.updatedLessRefitted)})`, ours: result.updated, peer: result.refitted, peerName: "fitted anew on the same rows and prior", ratio: result.refitted / result.updated, floor: "within 1 %" },
      { ...common, what: `bank: processor time of those updates (${(100 * updateSeconds / refitSeconds).toFixed(1)} % of the fits')`, ours: updateSeconds, peer: refitSeconds, peerName: "fits anew", ratio: refitSeconds / updateSeconds, unit: "s", floor: "20x: at most 5 %" },
      { ...common, what: `bank: the same with forgetting, four memories side by side (${text(result.forgettingLessUpdated)})`, ours: result.forgetting, peer: result.updated, peerName: "without forgetting", ratio: result.updated / result.forgetting, floor: "lower" },
      { ...common, what: `bank: fitted once (${text(result.updatedLessOnce)} of updated less once)`, ours: result.updated, peer: result.once, peerName: "fitted once", ratio: result.once / result.updated, floor: null },
      { ...common, what: `bank: with the economy's indices (${text(gain)})`, ours: gain.with, peer: gain.without, peerName: "without them", ratio: gain.without / gain.with, floor: "a gain, or none", hash: hashOf(gain) },
    ];
  },
};
