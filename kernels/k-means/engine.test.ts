import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { PLAIN_ENGINE, RandomStream, clusterKMeans, pointsFrom, seedIndices } from "@populace/domain";
import type { KMeansEngine, Points } from "@populace/domain";
import { engineOn } from "./engine.ts";
import { kMeansReference } from "./reference.ts";
import { kMeansWasm } from "./wasm.ts";

/** Lloyd's iterations of an engine from a start; `PLAIN_ENGINE` is the definition, which all must give to the bit. */
function lloyd(engine: KMeansEngine, points: Points, start: readonly (readonly number[])[]): unknown {
  const run = engine.open(points);
  const { labels, centroids } = run.lloyd(start);
  run.close();
  return { labels: [...labels], centroids };
}

/** Kinds of data that break rounding in one way each. */
const SHAPES: Readonly<Record<string, (random: RandomStream, column: number) => number>> = {
  blobs: (random) => 10 * random.integer(4) + random.normal(),
  "a lattice full of ties": (random) => random.integer(5),
  "far from the origin": (random) => 1e9 + random.normal(),
  "a tiny scale": (random) => 1e-150 * random.normal(),
  "one wide column": (random, column) => (column === 0 ? 1e6 * random.normal() : random.normal()),
  "two far outliers": (random) => (random.uniform() < 0.02 ? 1e12 : random.normal()),
  "all equal": () => 7,
  "beyond the squares of numbers": (random) => 1e200 * random.normal(),
};

describe.each([["reference", kMeansReference], ["wasm", kMeansWasm]] as const)("k-means engine on %s", (_name, kernel) => {
  const engine = engineOn(kernel);

  it.each(Object.keys(SHAPES).filter((shape) => shape !== "beyond the squares of numbers"))("gives the definition's labels and centers to the bit: %s", (shape) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 12 }), fc.integer(), (rows, dimensions, most, seed) => {
        const k = Math.min(most, rows);
        const random = RandomStream.of(seed, "engine");
        const points = pointsFrom(Array.from({ length: rows }, () => Array.from({ length: dimensions }, (_unused, column) => SHAPES[shape]!(random, column))));
        // Rows as they come, repeated ones too: clusters without members are then the rule.
        const start = Array.from({ length: k }, () => Array.from(points.values.subarray(0, dimensions), (_unused, column) => points.values[random.integer(rows) * dimensions + column]!));
        expect(lloyd(engine, points, start)).toEqual(lloyd(PLAIN_ENGINE, points, start));
      }),
      { numRuns: 60 },
    );
  });

  it("gives the definition's answer from centers far outside the points", () => {
    const random = RandomStream.of(3, "outside");
    const points = pointsFrom(Array.from({ length: 200 }, () => [random.normal(), random.normal()]));
    const start = [[1e6, 0], [0, 0], [-1e9, 1e9], [0.5, 0.5]];
    expect(lloyd(engine, points, start)).toEqual(lloyd(PLAIN_ENGINE, points, start));
  });

  it("ends in finite centers or none where squares leave the numbers", () => {
    const random = RandomStream.of(4, "huge");
    const points = pointsFrom(Array.from({ length: 20 }, (_unused, column) => [SHAPES["beyond the squares of numbers"]!(random, column)]));
    const { labels } = lloyd(engine, points, [[0], [1e200]]) as { labels: number[] };
    expect(labels).toHaveLength(20);
  });

  it("draws the seeds that f64 distances draw where rounding is far below the distances", () => {
    const random = RandomStream.of(5, "seeds");
    const points = pointsFrom(Array.from({ length: 300 }, (_unused, row) => [(row % 7) * 9 + random.normal(), (row % 5) * 8 + random.normal(), random.normal()]));
    const run = engine.open(points);
    for (const k of [1, 2, 7, 30]) expect(run.seed(k, RandomStream.of(k, "draw"))).toEqual(seedIndices(points, k, RandomStream.of(k, "draw")));
    run.close();
  });

  it("tells points apart that the integers do not, and says how few differ", () => {
    const near = pointsFrom([[0], [1e-9], [2e-9], [1e6], [1e6]]);
    expect(new Set(engine.open(near).seed(4, RandomStream.of(1, "near"))).size).toBe(4);
    expect(() => clusterKMeans(near, { k: 5, random: RandomStream.of(1, "near"), engine })).toThrow("only 4 of the 5 points differ; 5 clusters were asked for");
    expect(clusterKMeans(near, { k: 4, random: RandomStream.of(1, "near"), engine }).sse).toBe(0);
  });
});

it("engines on both kernels agree on everything, the draws included", () => {
  const random = RandomStream.of(6, "both");
  const points = pointsFrom(Array.from({ length: 2000 }, () => Array.from({ length: 5 }, () => 3 * random.integer(5) + random.normal())));
  const on = (kernel: typeof kMeansWasm): unknown => clusterKMeans(points, { k: 9, random: RandomStream.of(7, "fit"), starts: 5, engine: engineOn(kernel) });
  expect(on(kMeansWasm)).toEqual(on(kMeansReference));
});

it("points that are no numbers are refused by row and column before any kernel sees them", () => {
  const points = { rows: 2, dimensions: 2, values: Float64Array.of(1, 2, 3, Number.NaN) };
  expect(() => clusterKMeans(points, { k: 1, random: RandomStream.of(1, "nan"), engine: engineOn(kMeansWasm) })).toThrow("point 2, column 2 is NaN; expected a finite number");
  expect(() => clusterKMeans({ ...points, rows: 3 }, { k: 1, random: RandomStream.of(1, "nan") })).toThrow("4 values for 3 points of 2 columns");
  const fine = { rows: 2, dimensions: 1, values: Float64Array.of(1, 2) };
  expect(() => clusterKMeans(fine, { k: 2, random: RandomStream.of(1, "nan"), initial: [[1], [Infinity]] })).toThrow("center 2, column 1 is Infinity");
  expect(() => clusterKMeans(fine, { k: 2, random: RandomStream.of(1, "nan"), initial: [[1], [1, 2]] })).toThrow("center 2 has 2 numbers; expected 1");
});
