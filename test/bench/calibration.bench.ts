import { createHash } from "node:crypto";
import {
  RandomStream, type LogisticDesign, fitHierarchicalLogistic, logistic, softplus, updateLogistic,
} from "@populace/domain";
import { drawnAmounts } from "../calibration/families.ts";
import { type Bench, type BenchRow, seconds } from "./bench.ts";

/** Calibration of the posteriors against known truth, and what a fit costs. The exact families' SBC runs in the tests. */
export const bench: Bench = {
  name: "calibration",
  async run({ tiny }) {
    return [
      ...hierarchy(tiny ? 3 : 500),
      ...limits(tiny ? 400 : 20_000),
      ...amounts(tiny ? 3 : 500),
      ...(await cost(tiny)),
    ];
  },
};

/** Scales drawn from their prior, effects from the scales, outcomes from the effects: what do 90 % intervals cover? */
function hierarchy(simulations: number): BenchRow[] {
  const worlds = 200;
  return ([[3, 1, 150, -2], [12, 1, 150, -2], [3, 2, 50, -4], [12, 3, 100, -4]] as const).map(([personas, stimuli, exposures, base]) => {
    let hits = 0, count = 0;
    for (let simulation = 0; simulation < simulations; simulation++) {
      const random = RandomStream.of(simulation, `hierarchy ${personas} ${stimuli}`);
      const medians = [0.5, 0.5, 0.3];
      const [a, b, c] = medians.map((median) => (Math.abs(random.normal()) * median) / 0.6744897501960817);
      const u = Array.from({ length: personas }, () => a! * random.normal());
      const v = Array.from({ length: stimuli }, () => b! * random.normal());
      const intercept = base + random.normal();
      const columns = 1 + personas + stimuli + personas * stimuli;
      const column: number[] = [], weight: number[] = [];
      for (let p = 0; p < personas; p++) {
        for (let s = 0; s < stimuli; s++) {
          const rate = logistic(intercept + u[p]! + v[s]! + c! * random.normal());
          let responses = 0;
          for (let i = 0; i < exposures; i++) if (random.uniform() < rate) responses++;
          for (let i = 0; i < 2; i++) column.push(0, 1 + p, 1 + personas + s, 1 + personas + stimuli + p * stimuli + s);
          weight.push(responses, exposures - responses);
        }
      }
      const rows = weight.length;
      const { draws } = fitHierarchicalLogistic({
        rows, columns, rowStart: Int32Array.from({ length: rows + 1 }, (_, i) => 4 * i), column: Int32Array.from(column),
        value: new Float64Array(rows * 4).fill(1), response: Uint8Array.from(weight, (_, i) => 1 - (i % 2)), weight: Float64Array.from(weight),
        scaleGroup: Int32Array.from({ length: columns }, (_, j) => (j === 0 ? -1 : j <= personas ? 0 : j <= personas + stimuli ? 1 : 2)),
        groups: medians.map((priorMedian, g) => ({ name: `${g}`, priorMedian })),
        priorMean: Float64Array.from({ length: columns }, (_, j) => (j === 0 ? base : 0)), priorSd: new Float64Array(columns).fill(1),
      }, { worlds, random: random.child("fit") });
      u.forEach((truth, p) => {
        let below = 0;
        for (let w = 0; w < worlds; w++) if (draws[w * columns + 1 + p]! < truth) below++;
        if (below >= 10 && below <= 190) hits++;
        count++;
      });
    }
    return {
      what: `90 % intervals of the effects of ${personas} personas, ${stimuli} stimuli, ${exposures} exposures a cell at ${(logistic(base) * 100).toFixed(0)} %, scales from their prior`,
      ours: (100 * hits) / count, peer: personas === 3 ? 72 : 80, peerName: "scales plugged in (DESIGN)", ratio: null, unit: "% covered",
      floor: "87 to 93", target: "90", hash: digest([hits, count]),
    };
  }).map((row) => ({ ...row, ratio: Math.abs(row.peer - 90) / Math.max(Math.abs(row.ours - 90), 0.1) }));
}

/** Largest distance, in points, of the 5 % and 95 % limits of an intercept from those of the exact posterior. */
function limits(worlds: number): BenchRow[] {
  const distances = [100, 1_000, 10_000].flatMap((n) => [0.01, 0.1, 0.5].flatMap((rate) => [0.5, 1, 1.5].map((factor) => {
    const responses = Math.min(Math.round(n * rate * factor), n);
    const sorted = Float64Array.from(fitHierarchicalLogistic({
      rows: 2, columns: 1, rowStart: Int32Array.of(0, 1, 2), column: Int32Array.of(0, 0), value: Float64Array.of(1, 1), response: Uint8Array.of(1, 0),
      weight: Float64Array.of(responses, n - responses), scaleGroup: Int32Array.of(-1), groups: [], priorMean: Float64Array.of(-3), priorSd: Float64Array.of(2),
    }, { worlds, random: RandomStream.of(n, `limits ${rate} ${factor}`) }).draws).sort();
    const density = (b: number): number => responses * b - n * softplus(b) - 0.5 * ((b + 3) / 2) ** 2;
    let top = -Infinity, total = 0, low = 0, high = 0;
    for (let b = -15; b < 12; b += 0.002) top = Math.max(top, density(b));
    for (let b = -15; b < 12; b += 0.002) {
      const p = Math.exp(density(b) - top);
      total += p;
      if (b < sorted[Math.floor(worlds * 0.05)]!) low += p;
      if (b < sorted[Math.floor(worlds * 0.95)]!) high += p;
    }
    return Math.max(Math.abs(low / total - 0.05), Math.abs(high / total - 0.95)) * 100;
  })));
  const worst = Math.max(...distances);
  return [{
    what: "limits of an intercept against quadrature: n 100, 1,000, 10,000, rates 1, 10, 50 %, largest distance", ours: worst, peer: 2, peerName: "the bound", ratio: 2 / worst,
    unit: "points", floor: "2", target: "1", hash: digest(distances),
  }];
}

function amounts(simulations: number): BenchRow[] {
  const worlds = 200;
  let hits = 0, count = 0;
  for (let simulation = 0; simulation < simulations; simulation++) {
    const random = RandomStream.of(simulation, "value");
    const { truth, draws } = drawnAmounts(random, worlds, () => random.integer(12));
    truth.forEach((t, cell) => {
      let below = 0;
      for (let w = 0; w < worlds; w++) if (draws[w * truth.length + cell]! < t) below++;
      if (below >= 10 && below <= 190) hits++;
      count++;
    });
  }
  return [{
    what: "90 % intervals of the expected amount given a response, 6 personas, 3 stimuli, 0 to 11 rows a cell", ours: (100 * hits) / count, peer: null, peerName: "truth drawn from the prior",
    ratio: null, unit: "% covered", floor: "87 to 93", target: "90", hash: digest([hits, count]),
  }];
}

async function cost(tiny: boolean): Promise<BenchRow[]> {
  const [rows, columns] = tiny ? [600, 20] : [32_000, 80];
  const { design, part } = table(rows, columns, 20);
  const options = { worlds: tiny ? 20 : 200, random: RandomStream.of(1, "cost") };
  const fitted = fitHierarchicalLogistic(design, options);
  const full = await seconds(tiny ? 1 : 3, () => fitHierarchicalLogistic(design, options));
  const update = await seconds(tiny ? 1 : 3, () => updateLogistic(fitted, part, options));
  return [
    { what: `hierarchical logistic fit, ${rows} rows x ${columns} columns x 20, 6 scales, 200 worlds`, ours: full, peer: 6, peerName: "the limit", ratio: 6 / full, unit: "s", floor: "6 s", target: "2 s", hash: digest(fitted.draws) },
    { what: "sequential update with 1,000 rows beside a refit", ours: update, peer: full, peerName: "refit of all rows", ratio: full / update, unit: "s", floor: "20x", target: "100x", hash: digest(updateLogistic(fitted, part, options).mean) },
  ];
}

function table(rows: number, columns: number, nonzeros: number): { design: LogisticDesign; part: LogisticDesign } {
  const random = RandomStream.of(3, "table");
  const truth = Float64Array.from({ length: columns }, (_, j) => (j === 0 ? -2 : 0.3 * random.normal()));
  const column = new Int32Array(rows * nonzeros);
  const values = new Float64Array(rows * nonzeros);
  const response = new Uint8Array(rows);
  for (let i = 0, k = 0; i < rows; i++) {
    let eta = 0;
    for (let q = 0; q < nonzeros; q++, k++) {
      const from = Math.floor((q * columns) / nonzeros);
      column[k] = q === 0 ? 0 : from + random.integer(Math.floor(((q + 1) * columns) / nonzeros) - from);
      values[k] = q === 0 ? 1 : Math.round(32 * random.normal()) / 32;
      eta += values[k]! * truth[column[k]!]!;
    }
    response[i] = random.uniform() < logistic(eta) ? 1 : 0;
  }
  const of = (count: number): LogisticDesign => ({
    rows: count, columns, rowStart: Int32Array.from({ length: count + 1 }, (_, i) => i * nonzeros), column, value: values, response, weight: null,
    scaleGroup: Int32Array.from({ length: columns }, (_, j) => (j === 0 ? -1 : j % 6)),
    groups: Array.from({ length: 6 }, (_, g) => ({ name: `${g}`, priorMedian: 0.3 })), priorMean: new Float64Array(columns), priorSd: new Float64Array(columns).fill(5),
  });
  return { design: of(rows), part: of(Math.min(1_000, rows)) };
}

function digest(numbers: ArrayLike<number>): string {
  return createHash("sha256").update(new Uint8Array(Float64Array.from(numbers).buffer)).digest("hex");
}
