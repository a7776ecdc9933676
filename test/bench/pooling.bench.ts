import { readFileSync } from "node:fs";
import { RandomStream, fitHierarchicalLogistic, jamesStein, logistic } from "@populace/domain";
import { dataFile } from "../helpers/data.ts";
import type { Bench, BenchRow } from "./bench.ts";
import { absent, hashOf } from "./real-data.ts";

interface Players { readonly atBats: readonly number[]; readonly hits: readonly number[]; readonly season: readonly number[] }

/** The first 45 at bats of the 18 players of 1970 and their rates over the rest of the season (Efron and Morris 1975, table 1); null where the data are absent. */
function readPlayers(): Players | null {
  const path = dataFile("pooling", "efron_morris_1975.csv");
  if (path === null) return null;
  const rows = readFileSync(path, "utf8").trim().split("\n").slice(1).map((line) => line.split(",").slice(-3).map(Number));
  return { atBats: rows.map((row) => row[0]!), hits: rows.map((row) => row[1]!), season: rows.map((row) => row[2]!) };
}

/** Rates of the hierarchical logistic regression of the response model: one effect a player, their scale integrated over. */
function hierarchical({ hits, atBats }: Players, worlds: number): Float64Array {
  const players = hits.length, columns = players + 1, rows = 2 * players;
  const { draws } = fitHierarchicalLogistic({
    rows, columns, rowStart: Int32Array.from({ length: rows + 1 }, (_, i) => 2 * i), column: Int32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? 0 : 1 + (i >> 2))),
    value: new Float64Array(2 * rows).fill(1), response: Uint8Array.from({ length: rows }, (_, i) => 1 - (i % 2)),
    weight: Float64Array.from({ length: rows }, (_, i) => (i % 2 === 0 ? hits[i >> 1]! : atBats[i >> 1]! - hits[i >> 1]!)),
    scaleGroup: Int32Array.from({ length: columns }, (_, j) => (j === 0 ? -1 : 0)), groups: [{ name: "player", priorMedian: 0.3 }],
    priorMean: new Float64Array(columns), priorSd: new Float64Array(columns).fill(2),
  }, { worlds, random: RandomStream.of(1, "pooling") });
  return Float64Array.from({ length: players }, (_, p) => {
    let sum = 0;
    for (let w = 0; w < worlds; w++) sum += logistic(draws[w * columns]! + draws[w * columns + 1 + p]!);
    return sum / worlds;
  });
}

/** Efron and Morris's baseball players: squared errors over the rest of the season, of raw rates, one rate for all, James-Stein and ours. */
export const bench: Bench = {
  name: "pooling",
  run: ({ tiny }) => {
    const players = readPlayers();
    if (players === null) return Promise.resolve(absent("Efron and Morris"));
    const { hits, atBats, season } = players;
    const error = (rates: ArrayLike<number>): number => season.reduce((sum, truth, i) => sum + (rates[i]! - truth) ** 2, 0);
    const raw = hits.map((count, i) => count / atBats[i]!), pooled = raw.map(() => raw.reduce((sum, rate) => sum + rate, 0) / raw.length);
    const stein = jamesStein(hits, atBats), full = hierarchical(players, tiny ? 200 : 4000);
    const hash = hashOf([raw, [...stein], [...full]]);
    const row = (what: string, ours: number, peer: number, peerName: string, floor: string | null): BenchRow => ({ what: `Efron and Morris, 18 players: squared error of ${what}`, ours, peer, peerName, ratio: peer / ours, unit: "sum of squares", floor, target: null, hash });
    return Promise.resolve([
      row("James-Stein rates", error(stein), error(raw), "raw rates; published .0754", "published .0213"),
      row("the hierarchical logistic's rates, scale integrated over", error(full), error(raw), "raw rates; published .0754", "below raw"),
      row("the hierarchical logistic's rates, scale integrated over", error(full), error(pooled), "one rate for all; published .0243", null),
      row("the hierarchical logistic's rates, scale integrated over", error(full), error(stein), "James-Stein; published .0213", null),
    ]);
  },
};
