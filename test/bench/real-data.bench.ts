import type { Bench, BenchRow } from "./bench.ts";
import { absent, bankRolling, halfBacktest, hashOf, readRealData } from "./real-data.ts";

/** The bank calls through the downturn, and a backtest of each remaining example schema on held-out rows. */
export const bench: Bench = {
  name: "real data",
  async run({ tiny }) {
    const rows: BenchRow[] = [];
    const worlds = tiny ? 20 : 200;
    const bank = await readRealData("bank");
    if (bank === null) rows.push(...absent("bank"));
    else {
      const result = bankRolling(bank, worlds), rolling = result.rolling!;
      rows.push({
        what: `bank: log loss of the last 30 %, updated every ${rolling.every} calls (difference ${rolling.difference.toFixed(5)}, se ${rolling.se.toFixed(5)})`, ours: rolling.logLoss, peer: rolling.logLossSingle, peerName: "fitted once",
        ratio: rolling.logLossSingle / rolling.logLoss, unit: "nats", floor: "below the single fit", target: null, hash: hashOf(rolling),
      });
    }
    for (const name of tiny ? (["kdd98"] as const) : (["open-bandit", "customer-personality", "kdd98"] as const)) {
      const data = await readRealData(name);
      if (data === null) { rows.push(...absent(name)); continue; }
      const result = halfBacktest(data, worlds);
      rows.push({ what: `${name}: area under the curve on the held-out half (log loss ${result.logLoss.toFixed(4)}, calibration error ${result.ece.toFixed(4)})`, ours: result.auc, peer: 0.5, peerName: "chance", ratio: result.auc / 0.5, unit: "AUC", floor: null, target: null, hash: hashOf(result.steps) });
    }
    return rows;
  },
};
