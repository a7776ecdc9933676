import { readFileSync } from "node:fs";
import { RandomStream, fitHierarchicalLogistic, jamesStein, logistic } from "@populace/domain";
import { dataFile } from "../helpers/data.ts";
import type { Bench, BenchRow } from "./bench.ts";
import { pythonPeer, type PythonPeer } from "./peers/python.ts";
import { absent, hashOf } from "./real-data.ts";

interface Players { readonly atBats: readonly number[]; readonly hits: readonly number[]; readonly season: readonly number[] }

/** The first 45 at bats of the 18 players of 1970 and their rates over the rest of the season (Efron and Morris 1975, table 1); null where the data are absent. */
function readPlayers(): Players | null {
  const path = dataFile("pooling", "efron_morris_1975.csv");
  if (path === null) return null;
  const rows = readFileSync(path, "utf8").trim().split("\n").slice(1).map((line) => line.split(",").slice(-3).map(Number));
  return { atBats: rows.map((row) => row[0]!), hits: rows.map((row) => row[1]!), season: rows.map((row) => row[2]!) };
}

/** A hierarchical logistic regression over cells: a base rate and, where there are several cells, one effect each, their scale integrated over. */
interface Cells { readonly name: string; readonly responses: readonly number[]; readonly exposures: readonly number[] }

const BASE_SD = 2, SCALE_MEDIAN = 0.3;
const isGrouped = ({ exposures }: Cells): boolean => exposures.length > 1;

/** Draws of the posterior, worlds x (base rate, effects), by the regression of the response model. */
function drawsOf({ name, responses, exposures }: Cells, worlds: number): { readonly draws: Float64Array; readonly columns: number } {
  const cells = exposures.length, isOne = cells === 1, columns = isOne ? 1 : cells + 1, rows = 2 * cells, each = isOne ? 1 : 2;
  const { draws } = fitHierarchicalLogistic({
    rows, columns, rowStart: Int32Array.from({ length: rows + 1 }, (_, i) => each * i), column: Int32Array.from({ length: each * rows }, (_, i) => (i % each === 0 ? 0 : 1 + (i >> 2))),
    value: new Float64Array(each * rows).fill(1), response: Uint8Array.from({ length: rows }, (_, i) => 1 - (i % 2)),
    weight: Float64Array.from({ length: rows }, (_, i) => (i % 2 === 0 ? responses[i >> 1]! : exposures[i >> 1]! - responses[i >> 1]!)),
    scaleGroup: Int32Array.from({ length: columns }, (_, j) => (j === 0 ? -1 : 0)), groups: isOne ? [] : [{ name: "cell", priorMedian: SCALE_MEDIAN }],
    priorMean: new Float64Array(columns), priorSd: new Float64Array(columns).fill(BASE_SD),
  }, { worlds, random: RandomStream.of(1, name) });
  return { draws, columns };
}

/** Rates of the players: one effect each. */
function hierarchical({ hits, atBats }: Players, worlds: number): Float64Array {
  const { draws, columns } = drawsOf({ name: "pooling", responses: hits, exposures: atBats }, worlds);
  return Float64Array.from(hits, (_, p) => {
    let sum = 0;
    for (let w = 0; w < worlds; w++) sum += logistic(draws[w * columns]! + draws[w * columns + 1 + p]!);
    return sum / worlds;
  });
}

interface Reference { readonly mean: readonly number[]; readonly sd: readonly number[]; readonly low: readonly number[]; readonly high: readonly number[]; readonly effective: number }

/** Our posterior beside that of a sampler: where means and limits lie, in standard deviations of the sampler's. */
async function besideSampler(cells: Cells, tiny: boolean, python: PythonPeer): Promise<BenchRow> {
  const worlds = tiny ? 200 : 40_000, { draws, columns } = drawsOf(cells, worlds), n = cells.exposures.length;
  const design = isGrouped(cells) ? Float64Array.from({ length: n * columns }, (_, at) => (at % columns === 0 || at % columns === 1 + Math.floor(at / columns) ? 1 : 0)) : new Float64Array(1).fill(1);
  const peer = await python.start<Reference>({
    script: "posterior_numpyro.py", of: "numpyro",
    arrays: { design: { data: design, shape: [n, columns] }, group: Int32Array.from({ length: columns }, (_, j) => (j === 0 ? -1 : 0)), responses: Float64Array.from(cells.responses), exposures: Float64Array.from(cells.exposures) },
    // The median of a half-normal is 0.67449 of its scale.
    args: { groupSd: [SCALE_MEDIAN / 0.674_489_750_196_081_7], baseSd: BASE_SD, warmup: 2000, samples: 20_000, chains: 2, seed: 1 },
  });
  try {
    const theirs = peer.round === null ? null : (await peer.round()).result;
    const largest = (ours: (sorted: Float64Array) => number, reference: readonly number[]): number => Math.max(...reference.map((value, j) => Math.abs(ours(Float64Array.from({ length: worlds }, (_, w) => draws[w * columns + j]!).toSorted()) - value) / theirs!.sd[j]!));
    const mean = theirs === null ? 0 : largest((sorted) => sorted.reduce((sum, value) => sum + value, 0) / worlds, theirs.mean);
    const low = theirs === null ? 0 : largest((sorted) => sorted[Math.floor(0.05 * worlds)]!, theirs.low), high = theirs === null ? 0 : largest((sorted) => sorted[Math.floor(0.95 * worlds)]!, theirs.high);
    return {
      what: `posterior of ${cells.name}: largest difference of a mean from the sampler's${theirs === null ? "" : ` (5 % limits off by ${low.toFixed(3)}, 95 % by ${high.toFixed(3)}; sampling error of both ${Math.sqrt(1 / worlds + 1 / theirs.effective).toFixed(3)})`}`,
      ours: mean, peer: null, peerName: `${peer.name}, no-U-turn, 2 x 20,000 draws`, ratio: null, unit: "standard deviations", floor: null, target: null, hash: hashOf([[...draws.subarray(0, 100 * columns)]]),
    };
  } finally {
    peer.close();
  }
}

/** Efron and Morris's baseball players: squared errors over the rest of the season, of raw rates, one rate for all, James-Stein and ours; our posteriors beside a sampler's. */
export const bench: Bench = {
  name: "pooling",
  run: async ({ tiny }) => {
    const players = readPlayers();
    if (players === null) return absent("Efron and Morris");
    const { hits, atBats, season } = players;
    const error = (rates: ArrayLike<number>): number => season.reduce((sum, truth, i) => sum + (rates[i]! - truth) ** 2, 0);
    const raw = hits.map((count, i) => count / atBats[i]!), pooled = raw.map(() => raw.reduce((sum, rate) => sum + rate, 0) / raw.length);
    const stein = jamesStein(hits, atBats), full = hierarchical(players, tiny ? 200 : 4000);
    const hash = hashOf([raw, [...stein], [...full]]);
    const row = (what: string, ours: number, peer: number, peerName: string, floor: string | null): BenchRow => ({ what: `Efron and Morris, 18 players: squared error of ${what}`, ours, peer, peerName, ratio: peer / ours, unit: "sum of squares", floor, target: null, hash });
    const python = await pythonPeer({ tiny });
    const references: BenchRow[] = [];
    for (const cells of [
      { name: "18 players", responses: hits, exposures: atBats },
      ...[100, 1000].flatMap((n) => [0.01, 0.1, 0.5].map((rate) => ({ name: `a rate, ${n * rate} of ${n}`, responses: [n * rate], exposures: [n] }))),
    ]) references.push(await besideSampler(cells, tiny, python));
    return [
      row("James-Stein rates", error(stein), error(raw), "raw rates; published .0754", "published .0213"),
      row("the hierarchical logistic's rates, scale integrated over", error(full), error(raw), "raw rates; published .0754", "below raw"),
      row("the hierarchical logistic's rates, scale integrated over", error(full), error(pooled), "one rate for all; published .0243", null),
      row("the hierarchical logistic's rates, scale integrated over", error(full), error(stein), "James-Stein; published .0213", null),
      ...references,
    ];
  },
};
