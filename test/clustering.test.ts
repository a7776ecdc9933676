import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { kmeans } from "ml-kmeans";
import { describe, expect, it } from "vitest";
import { ITERATIONS_MAX, PLAIN_ENGINE, RandomStream, clusterKMeans, pointsFrom } from "@populace/domain";
import type { Points } from "@populace/domain";
import { kMeansEngine } from "@populace/kernels";
import { NEEDS_DATA, dataFile } from "./helpers/data.ts";

interface Reference {
  readonly clusters: number;
  readonly kmeans_true_k: { readonly sse: number };
}

const results = dataFile("clustering", "reference_results.json");
const references = results === null ? {} : (JSON.parse(readFileSync(results, "utf8")) as Record<string, Reference>);
const sets = Object.keys(references).filter((name) => !name.startsWith("_"));

const read = (name: string): Points => {
  const text = gunzipSync(readFileSync(dataFile("clustering", `${name}.data.gz`)!)).toString("utf8");
  return pointsFrom(text.trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number)));
};

describe("Lloyd's iterations as domain defines them", () => {
  it("are ml-kmeans' to the bit, ties and clusters without members included", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 9 }), fc.boolean(), fc.integer(), (rows, dimensions, most, isLattice, seed) => {
        const random = RandomStream.of(seed, "lloyd");
        const data = Array.from({ length: rows }, () => Array.from({ length: dimensions }, () => (isLattice ? random.integer(4) : random.normal())));
        const start = Array.from({ length: Math.min(most, rows) }, () => [...data[random.integer(rows)]!]);
        const { labels, centroids } = PLAIN_ENGINE.open(pointsFrom(data)).lloyd(start);
        const peer = kmeans(data, start.length, { initialization: start, maxIterations: ITERATIONS_MAX, tolerance: 0 });
        expect([...labels]).toEqual(peer.clusters);
        expect(centroids).toEqual(peer.centroids);
      }),
      { numRuns: 200 },
    );
  });
});

describe.skipIf(results === null)(`k-means on the kernel, labeled sets, beside scikit-learn 1.2.1 (${NEEDS_DATA})`, () => {
  it.each(sets)("%s: reaches the reference's sum of squares within 0.1 %, in an optimum that plain iterations do not leave", (name) => {
    const points = read(name);
    const result = clusterKMeans(points, { k: references[name]!.clusters, random: RandomStream.of(20_260_301, name), engine: kMeansEngine });
    expect(result.sse).toBeLessThanOrEqual(1.001 * references[name]!.kmeans_true_k.sse);
    const again = PLAIN_ENGINE.open(points).lloyd(result.centroids);
    expect([...again.labels]).toEqual([...result.labels]);
    expect(again.centroids).toEqual(result.centroids);
  });
});
