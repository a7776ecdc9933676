import fc from "fast-check";
import { RandomStream } from "@populace/domain/random";
import { describe, expect, it } from "vitest";
import { floatBackends } from "../lib/float-backends.fixture.ts";
import { distancesReference } from "./reference.ts";

const candidates = await floatBackends();

const points = (seed: number, count: number, dimensions: number, offset: number): Float32Array => {
  const random = RandomStream.of(seed, "points");
  return Float32Array.from({ length: count * dimensions }, () => offset + random.normal());
};

/** Largest difference in units of what SPEC.md allows; 1 is the edge. */
function worst(found: Float32Array, expected: Float32Array, dimensions: number): number {
  expect(found.length).toBe(expected.length);
  return expected.reduce((most, value, at) => Math.max(most, Math.abs(found[at] - value) / ((dimensions + 4) * 2 ** -24 * value + 1e-37)), 0);
}

describe("distances", () => {
  it("the reference is Pythagoras", async () => {
    // (3, 4), (0, 0) to (0, 0), (3, 0): 25, 16, 0, 9.
    expect([...(await distancesReference.squared(Float32Array.of(3, 4, 0, 0), Float32Array.of(0, 0, 3, 0), 2))]).toEqual([25, 16, 0, 9]);
  });

  describe.each(candidates)("$name", ({ backend }) => {
    it.skipIf(backend === null)("is within its tolerance of the reference for any sizes, also far from the origin", async () => {
      const kernel = backend!.kernels.distances!;
      await fc.assert(fc.asyncProperty(
        fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 23 }), fc.integer({ min: 1, max: 19 }), fc.integer({ min: 1, max: 70 }), fc.constantFrom(0, 1000),
        async (seed, rowCount, centerCount, dimensions, offset) => {
          const rows = points(seed, rowCount, dimensions, offset), centers = points(seed + 1, centerCount, dimensions, offset);
          expect(worst(await kernel.squared(rows, centers, dimensions), await distancesReference.squared(rows, centers, dimensions), dimensions)).toBeLessThan(1);
        },
      ), { numRuns: 25 });
    });

    it.skipIf(backend === null)("gives a row on a center a distance of exactly 0, and no rows no distances", async () => {
      const kernel = backend!.kernels.distances!, centers = points(3, 5, 7, 1e6);
      const found = await kernel.squared(centers, centers, 7);
      for (let at = 0; at < 5; at++) expect(found[at * 5 + at]).toBe(0);
      expect((await kernel.squared(new Float32Array(0), centers, 7)).length).toBe(0);
    });
  });

  // 2^24 + 1 numbers: f32 cannot count them, so gpu.js would read its neighbor's.
  it("gpu.js answers for more centers than its indices can tell apart", async () => {
    const { backend } = candidates.find(({ name }) => name.startsWith("gpu.js webasm"))!;
    const dimensions = 63, centers = new Float32Array(270_000 * dimensions);
    centers.forEach((_, at) => { centers[at] = (at * 7) % 11; });
    const row = centers.slice(269_999 * dimensions);
    expect((await backend!.kernels.distances!.squared(row, centers, dimensions)).at(-1)).toBe(0);
  });
});
