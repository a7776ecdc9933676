import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { RandomStream } from "../random/random-stream.ts";
import { optimalAssignment } from "./assignment.ts";
import { clusterDbscan } from "./dbscan.ts";
import { clusterStability, EMERGENCE_LIMITS, nextStage } from "./emergence.ts";
import { zScores } from "./features.ts";
import { clusterKMeans } from "./k-means.ts";
import { KdTree } from "./kd-tree.ts";
import { lineageOf } from "./lineage.ts";
import { NOISE, pointsFrom, squaredDistance } from "./points.ts";
import type { Points } from "./points.ts";
import { chooseClusterCount, chooseEps, meanSilhouette } from "./selection.ts";

const stream = (name: string): RandomStream => RandomStream.of(20_260_301, name);

describe("dbscan", () => {
  /** The definition, word by word: quadratic and without an index. */
  function byDefinition(points: Points, eps: number, minPoints: number): number[] {
    const rows = Array.from({ length: points.rows }, (_, row) => row);
    const near = rows.map((row) => rows.filter((other) => squaredDistance(points, row, points, other) <= eps * eps));
    const labels = rows.map(() => NOISE);
    let k = 0;
    for (const row of rows) {
      if (labels[row] !== NOISE || near[row]!.length < minPoints) continue;
      const queue = [row];
      labels[row] = k;
      for (const reached of queue) {
        if (near[reached]!.length < minPoints) continue;
        for (const other of near[reached]!) {
          if (labels[other] !== NOISE) continue;
          labels[other] = k;
          queue.push(other);
        }
      }
      k++;
    }
    return labels;
  }

  it("agrees with its definition in one to six dimensions, on lattices full of ties too", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 160 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 4 }), fc.integer(), (dimensions, rows, minPoints, eps, seed) => {
        const random = RandomStream.of(seed, "lattice");
        const points = pointsFrom(Array.from({ length: rows }, () => Array.from({ length: dimensions }, () => random.integer(9))));
        expect([...clusterDbscan(points, { eps, minPoints }).labels]).toEqual(byDefinition(points, eps, minPoints));
      }),
      { numRuns: 300 },
    );
  });

  it("counts the point itself and a distance equal to eps, and gives a border point to the first cluster", () => {
    // Two dense ends, a border point in the middle at distance exactly 1 from both, one far away.
    const points = pointsFrom([[3], [3.2], [3.4], [2], [0.6], [0.8], [1], [40]]);
    const result = clusterDbscan(points, { eps: 1, minPoints: 4 });
    expect([...result.labels]).toEqual([0, 0, 0, 0, 1, 1, 1, NOISE]);
    expect([...result.core]).toEqual([1, 0, 0, 0, 0, 0, 1, 0]);
    expect(result).toMatchObject({ k: 2, noise: 1 });
    expect(clusterDbscan(points, { eps: 1, minPoints: 1 })).toMatchObject({ k: 2, noise: 0 });
  });

  it("takes spans that no grid of cells can number", () => {
    const points = pointsFrom([[0, 0, 0], [1e-9, 0, 0], [1e12, 1e12, 1e12], [1e12, 1e12, 1e12]]);
    expect([...clusterDbscan(points, { eps: 1e-8, minPoints: 2 }).labels]).toEqual([0, 0, 1, 1]);
  });

  it("refuses options without sense", () => {
    const points = pointsFrom([[1], [2]]);
    for (const eps of [0, -1, Number.NaN, Infinity]) expect(() => clusterDbscan(points, { eps, minPoints: 2 })).toThrow(/eps/);
    for (const minPoints of [0, 1.5, Number.NaN]) expect(() => clusterDbscan(points, { eps: 1, minPoints })).toThrow(/minPoints/);
    expect(() => pointsFrom([[1, 2], [1]])).toThrow(/point 2 has 1 numbers/);
    expect(() => pointsFrom([[1, Number.NaN]])).toThrow(/column 2/);
    expect(clusterDbscan(pointsFrom([]), { eps: 1, minPoints: 1 })).toMatchObject({ k: 0, noise: 0 });
  });
});

describe("kd-tree", () => {
  it("finds the same ranks as a scan, and no near leaf is missed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 200 }), fc.integer(), (dimensions, rows, seed) => {
        const random = RandomStream.of(seed, "kd");
        const points = pointsFrom(Array.from({ length: rows }, () => Array.from({ length: dimensions }, () => random.integer(50))));
        const tree = new KdTree(points);
        const row = random.integer(rows), radius = random.integer(40);
        const squared = Array.from({ length: rows }, (_, other) => squaredDistance(points, row, points, other));
        const rank = 1 + random.integer(Math.min(rows, 9));
        expect(tree.squaredDistanceToRank(row, rank)).toBe(squared.toSorted((a, b) => a - b)[rank - 1]);

        const leaves = tree.leafStart.length - 1, near = new Int32Array(leaves);
        const leafOf = (one: number): number => tree.leafStart.findLastIndex((start) => start <= tree.order.indexOf(one));
        expect([...tree.order].toSorted((a, b) => a - b)).toEqual(Array.from({ length: rows }, (_, index) => index));
        const found = [...near.subarray(0, tree.leavesNear(leafOf(row), radius * radius, near))];
        expect(found[0]).toBe(leafOf(row));
        expect(new Set(found).size).toBe(found.length);
        squared.forEach((value, other) => value <= radius * radius && expect(found).toContain(leafOf(other)));
      }),
      { numRuns: 200 },
    );
  });
});

describe("k-means", () => {
  it("recovers blobs far apart and depends on the stream alone", () => {
    const random = stream("blobs");
    const truth = Array.from({ length: 300 }, (_, row) => row % 3);
    const points = pointsFrom(truth.map((blob) => [blob * 20 + random.normal(), -blob * 15 + random.normal()]));
    const result = clusterKMeans(points, { k: 3, random: stream("fit") });
    expect([...result.labels]).toEqual(truth);
    expect(clusterKMeans(points, { k: 3, random: stream("fit") })).toEqual(result);
    // Closed form: the SSE of the true means.
    let sse = 0;
    for (let blob = 0; blob < 3; blob++) {
      for (let column = 0; column < 2; column++) {
        const values = truth.flatMap((own, row) => (own === blob ? [points.values[2 * row + column]!] : []));
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        sse += values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      }
    }
    expect(result.sse).toBeCloseTo(sse, 8);
    expect(chooseClusterCount(points, stream("choose")).k).toBe(3);
  });

  it("refuses more clusters than points or than distinct points", () => {
    expect(() => clusterKMeans(pointsFrom([[1], [2]]), { k: 3, random: stream("few") })).toThrow(/3 clusters of 2 points/);
    expect(() => clusterKMeans(pointsFrom([[1], [1], [1]]), { k: 2, random: stream("few") })).toThrow(/only 1 of the 3 points differ/);
    expect(() => clusterKMeans(pointsFrom([[1], [2]]), { k: 0, random: stream("few") })).toThrow(/k is 0/);
  });
});

describe("optimal assignment", () => {
  it("finds the largest total, checked against all permutations", () => {
    const permutations = (items: number[]): number[][] => (items.length === 0 ? [[]] : items.flatMap((item) => permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest])));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), fc.integer(), (rows, columns, seed) => {
        const random = RandomStream.of(seed, "assignment");
        const profit = Array.from({ length: rows * columns }, () => random.integer(20) - 5);
        const pairs = optimalAssignment(profit, rows, columns);
        const used = [...pairs].filter((column) => column >= 0);
        expect(new Set(used).size).toBe(used.length);
        expect(used.length).toBe(Math.min(rows, columns));
        const total = [...pairs].reduce((sum, column, row) => sum + (column < 0 ? 0 : profit[row * columns + column]!), 0);
        const wide = Math.max(rows, columns);
        // Square with zeros: the padding pairs are free, as rows or columns left over are.
        const best = Math.max(...permutations(Array.from({ length: wide }, (_, index) => index)).map((order) => order.reduce((sum, column, row) => sum + (row < rows && column < columns ? profit[row * columns + column]! : 0), 0)));
        expect(total).toBe(best);
      }),
      { numRuns: 150 },
    );
  });
});

describe("lineage", () => {
  const spans = (...runs: (readonly [label: number, count: number])[]): number[] => runs.flatMap(([label, count]) => Array.from({ length: count }, () => label));

  it("names survival, split, absorption, emergence and retirement of a script", () => {
    // Old: 0 lives on (renumbered to 2), 1 splits into 0 and 1, 2 and 3 merge into 3, 4 dissolves; new 4 grew from noise.
    const before = spans([0, 100], [1, 60], [1, 40], [2, 50], [3, 30], [4, 40], [NOISE, 70]);
    const after = spans([2, 100], [0, 60], [1, 40], [3, 50], [3, 30], [NOISE, 40], [4, 70]);
    const lineage = lineageOf(before, 5, after, 5);
    expect(lineage.map(({ event, parents, cluster, keeps }) => ({ event, parents, cluster, keeps }))).toEqual([
      { event: "split", parents: [1], cluster: 0, keeps: 1 },
      { event: "split", parents: [1], cluster: 1, keeps: -1 },
      { event: "survive", parents: [0], cluster: 2, keeps: 0 },
      { event: "absorb", parents: [2, 3], cluster: 3, keeps: 2 },
      { event: "emerge", parents: [], cluster: 4, keeps: -1 },
      { event: "retire", parents: [4], cluster: -1, keeps: -1 },
    ]);
    expect(lineage[2]!.jaccard).toBe(1);
    expect(lineage[3]!.jaccard).toBeCloseTo(50 / 80, 12);
  });

  it("keeps every identity when clusters are only renumbered", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer(), (k, seed) => {
        const random = RandomStream.of(seed, "renumbered");
        const order = Array.from({ length: k }, (_, index) => index);
        random.shuffle(order);
        const before = Array.from({ length: k * 20 }, (_, row) => row % k);
        const lineage = lineageOf(before, k, before.map((label) => order[label]!), k);
        expect(lineage.every((transition) => transition.event === "survive" && order[transition.keeps] === transition.cluster && transition.jaccard === 1)).toBe(true);
      }),
    );
  });

  it("keeps at least 95 % of the points under their identity when the data are resampled", () => {
    const random = stream("identity");
    const centers = [[0, 0], [9, 0], [0, 9], [9, 9], [4, 20]];
    let kept = 0, total = 0;
    for (let trial = 0; trial < 10; trial++) {
      const points = pointsFrom(Array.from({ length: 400 }, () => centers[random.integer(5)]!.map((value) => value + random.normal())));
      const before = clusterKMeans(points, { k: 5, random: random.child(`before ${trial}`) }).labels;
      // A second look at the same people with new noise in every feature.
      const again = pointsFrom(Array.from({ length: 400 }, (_, row) => [0, 1].map((column) => points.values[2 * row + column]! + 0.5 * random.normal())));
      const after = clusterKMeans(again, { k: 5, random: random.child(`after ${trial}`) }).labels;
      const keeps = new Map(lineageOf(before, 5, after, 5).map((transition) => [transition.cluster, transition.keeps]));
      before.forEach((label, row) => (kept += keeps.get(after[row]!) === label ? 1 : 0));
      total += before.length;
    }
    expect(kept / total).toBeGreaterThanOrEqual(0.95);
  });
});

describe("emergence", () => {
  it("calls blobs stable and a cut through one blob unstable", () => {
    const random = stream("stability");
    const points = pointsFrom(Array.from({ length: 240 }, (_, row) => [(row % 2) * 12 + random.normal(), random.normal()]));
    const cluster = (k: number) => (sample: Points, seeds: RandomStream) => clusterKMeans(sample, { k, random: seeds, starts: 2 }).labels;
    const two = clusterStability(points, cluster(2)(points, stream("two")), 2, cluster(2), stream("two again"), 10);
    expect(Math.min(...two)).toBeGreaterThan(0.98);
    const five = clusterStability(points, cluster(5)(points, stream("five")), 5, cluster(5), stream("five again"), 10);
    expect(Math.min(...five)).toBeLessThan(EMERGENCE_LIMITS.stabilityMin);
  });

  it("goes from candidate to shadow to promoted, and only so", () => {
    const good = { size: 100, fitsNoneShare: 0.9, stability: 0.9 }, shaky = { ...good, stability: 0.5 };
    expect(nextStage(null, shaky, false)).toBe("candidate");
    expect(nextStage("candidate", good, false)).toBe("shadow");
    expect(nextStage("shadow", good, true)).toBe("promoted");
    expect(nextStage("shadow", { ...good, size: 3 }, false)).toBe("retired");
    expect(() => nextStage("candidate", good, true)).toThrow(/cannot be promoted/);
    expect(() => nextStage("shadow", shaky, true)).toThrow(/cannot be promoted/);
  });
});

describe("choosing without labels", () => {
  it("scores a silhouette by its definition", () => {
    // By hand: points 0, 1 | 10, 12: s = 1 - 1/11, 1 - 1/10, 1 - 2/9.5, 1 - 2/11.5.
    const expected = (10 / 11 + 9 / 10 + 7.5 / 9.5 + 9.5 / 11.5) / 4;
    expect(meanSilhouette(pointsFrom([[0], [1], [10], [12]]), [0, 0, 1, 1])).toBeCloseTo(expected, 12);
    expect(meanSilhouette(pointsFrom([[0], [1]]), [0, 0])).toBe(0);
  });

  it("puts eps between the distances inside blobs and the gap between them", () => {
    const random = stream("knee");
    const points = pointsFrom(Array.from({ length: 300 }, (_, row) => [(row % 3) * 30 + random.normal(), random.normal()]));
    const eps = chooseEps(points, 5);
    expect(clusterDbscan(points, { eps, minPoints: 5 }).k).toBe(3);
    expect(() => chooseEps(pointsFrom([[1], [1], [1], [1]]), 2)).toThrow(/all 0/);
  });
});

// ---- real data, kept outside the repository ----

const dataFolder = process.env["POPULACE_DATA"] ?? new URL("../../../shared/data", import.meta.url).pathname;
const folder = `${dataFolder}/clustering`;
const present = existsSync(`${folder}/reference_results.json`);

describe.skipIf(!present)("reference results of scikit-learn 1.2.1 (skipped without the shared data)", () => {
  interface Reference {
    readonly clusters: number;
    readonly kmeans_true_k: { readonly sse: number };
    readonly dbscan_best_of_grid: { readonly eps_on_zscores: number; readonly min_samples: number; readonly clusters_found: number; readonly noise_found: number; readonly core_points: number };
  }
  const references = present ? (JSON.parse(readFileSync(`${folder}/reference_results.json`, "utf8")) as Record<string, Reference>) : {};
  const sets = Object.keys(references).filter((name) => !name.startsWith("_"));
  const read = (name: string): Points => {
    const text = gunzipSync(readFileSync(`${folder}/${name}.data.gz`)).toString("utf8");
    return pointsFrom(text.trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number)));
  };

  it.each(sets)("%s: k-means at the true k reaches the reference's SSE within 0.1 %", (name) => {
    const result = clusterKMeans(read(name), { k: references[name]!.clusters, random: stream(name) });
    expect(result.sse).toBeLessThanOrEqual(1.001 * references[name]!.kmeans_true_k.sse);
  });

  it.each(sets)("%s: DBSCAN finds the reference's core points, clusters and noise", (name) => {
    const reference = references[name]!.dbscan_best_of_grid;
    const result = clusterDbscan(zScores(read(name)).points, { eps: reference.eps_on_zscores, minPoints: reference.min_samples });
    const core = result.core.reduce((sum, value) => sum + value, 0);
    expect({ core, clusters: result.k, noise: result.noise }).toEqual({ core: reference.core_points, clusters: reference.clusters_found, noise: reference.noise_found });
  });
});
