import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { backendStatus } from "../backends/backend.ts";
import { BACKEND_NAMES } from "../backends/names.ts";
import { NORM_MAX } from "../nearest/limits.ts";
import type { KMeansKernel, KMeansSession } from "./port.ts";
import { kMeansReference } from "./reference.ts";

const kernels: { readonly name: string; readonly kernel: KMeansKernel; readonly isFast: boolean }[] = [];
for (const name of BACKEND_NAMES) {
  const { backend } = await backendStatus(name);
  if (backend?.kernels.kMeans !== undefined) kernels.push({ name, kernel: backend.kernels.kMeans, isFast: backend.isFast });
}

const uniforms = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }));

/** One step as plain values, lists in order. */
async function step(session: KMeansSession, centers: Int16Array, slack: number): Promise<unknown> {
  const { labels, moved, doubtful } = await session.assign(centers, slack);
  const answer = { labels: [...labels], moved: [...moved].toSorted((a, b) => a - b), doubtful: [...doubtful].toSorted((a, b) => a - b) };
  const rivals: number[][] = [];
  for (const row of [0, ...answer.doubtful].slice(0, 6)) rivals.push([...(await session.rivals(row))]);
  return { ...answer, rivals };
}

/** Means of the labels, rounded: what Lloyd's iteration does next. Centers without rows stay. */
function nextCenters(points: Int16Array, dimensions: number, labels: readonly number[], centers: Int16Array): Int16Array {
  const sums = new Float64Array(centers.length), counts = new Float64Array(centers.length / dimensions);
  labels.forEach((label, row) => {
    counts[label]++;
    for (let d = 0; d < dimensions; d++) sums[label * dimensions + d] += points[row * dimensions + d];
  });
  return centers.map((value, at) => (counts[Math.floor(at / dimensions)] === 0 ? value : Math.round(sums[at] / counts[Math.floor(at / dimensions)])));
}

it("is there in TypeScript and in WebAssembly", () => {
  expect(kernels.map(({ name }) => name)).toEqual(expect.arrayContaining(["reference", "wasm"]));
});

// An emulated GPU takes a millisecond for 64 rows: fewer of everything there.
describe.each(kernels)("k-means on $name", ({ kernel, isFast }) => {
  it("assigns, moves and doubts as the reference, step after step, for any sizes and with ties", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 19 }), fc.integer({ min: 1, max: 40 }), fc.constantFrom(2, 50, 4000), fc.constantFrom(0, 0.5, 3, 40), uniforms, async (rows, dimensions, count, most, slack, stream) => {
        const draw = (): number => Math.floor(stream.next().value! * (2 * most + 1)) - most;
        const points = Int16Array.from({ length: rows * dimensions }, draw);
        const ours = await kernel.open(points, dimensions), reference = kMeansReference.open(points, dimensions);
        let centers: Int16Array = Int16Array.from({ length: count * dimensions }, draw);
        for (let iteration = 0; iteration < 6; iteration++) {
          const expected = await step(reference, centers, slack);
          expect(await step(ours, centers, slack)).toEqual(expected);
          centers = nextCenters(points, dimensions, (expected as { labels: number[] }).labels, centers);
          // A jump in between, as when somebody starts anew without saying so.
          if (iteration === 3) centers = centers.map(() => draw());
        }
        ours.close();
      }),
      { numRuns: isFast ? 120 : 40 },
    );
  });

  it("keeps its answers over many rows, many centers and long drifts", async () => {
    for (const [rows, dimensions, count] of [[5000, 5, 12], [1500, 3, 700]] as const) {
      const points = Int16Array.from({ length: rows * dimensions }, (_, i) => ((i * 7919) % 9001) - 4500 + 3000 * (Math.floor(i / dimensions) % 3));
      const ours = await kernel.open(points, dimensions), reference = kMeansReference.open(points, dimensions);
      let centers: Int16Array = points.slice(0, count * dimensions);
      for (let iteration = 0; iteration < (isFast ? 25 : 4); iteration++) {
        const expected = await step(reference, centers, 2);
        expect(await step(ours, centers, 2)).toEqual(expected);
        centers = nextCenters(points, dimensions, (expected as { labels: number[] }).labels, centers);
      }
      // The number changes, and the session is told to forget.
      for (const changed of [centers.slice(dimensions), centers.slice(dimensions)]) {
        expect(await step(ours, changed, 0)).toEqual(await step(reference, changed, 0));
        ours.forget();
        reference.forget();
      }
      ours.close();
    }
  });

  it("labels by the definition in integers of any size", async () => {
    const dimensions = 7, points = Int16Array.from({ length: 40 * dimensions }, (_, i) => ((i * 7919) % 41) - 20), centers = points.slice(0, 11 * dimensions);
    const session = await kernel.open(points, dimensions);
    const { labels } = await session.assign(centers, 0);
    const expected = Array.from({ length: 40 }, (_, row) => {
      const scores = Array.from({ length: 11 }, (_unused, k) => {
        let norm = 0n, dot = 0n;
        for (let d = 0; d < dimensions; d++) {
          norm += BigInt(centers[k * dimensions + d]) ** 2n;
          dot += BigInt(centers[k * dimensions + d]) * BigInt(points[row * dimensions + d]);
        }
        return { k, score: norm / 2n - dot };
      });
      return scores.reduce((best, one) => (one.score < best.score ? one : best)).k;
    });
    expect([...labels]).toEqual(expected);
    session.close();
  });

  it("weighs and draws as the reference", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 19 }), fc.constantFrom(1, 30, 7000), uniforms, async (rows, dimensions, most, stream) => {
        const draw = (below: number): number => Math.floor(stream.next().value! * below);
        const points = Int16Array.from({ length: rows * dimensions }, () => draw(2 * most + 1) - most);
        const ours = await kernel.open(points, dimensions), reference = kMeansReference.open(points, dimensions);
        for (const session of [ours, reference]) session.spread();
        for (let round = 0; round < 6; round++) {
          const row = draw(rows), candidates = Array.from({ length: 1 + draw(8) }, () => draw(rows));
          const sum = reference.choose(row);
          expect(await ours.choose(row)).toBe(sum);
          expect(await ours.potentials(candidates)).toEqual(reference.potentials(candidates));
          const target = stream.next().value! * sum;
          expect(await ours.draw(target)).toBe(reference.draw(target));
        }
        ours.close();
      }),
      { numRuns: isFast ? 80 : 30 },
    );
  });

  it("adds weights without losing a digit where a double would", async () => {
    // 4.2 million weights near 2^31: their sum passes 2^53, and rounding term by term would drift.
    const rows = 4_200_001, points = new Int16Array(rows).fill(32_767);
    points[0] = -32_767;
    const session = await kernel.open(points, 1);
    session.spread();
    // floor(65534^2 / 2) = 2147352578 for all rows but the first.
    expect(await session.choose(0)).toBe(Number(2_147_352_578n * BigInt(rows - 1)));
    if (isFast) expect(await session.potentials([0, 1])).toEqual([Number(2_147_352_578n * BigInt(rows - 1)), 0]);
    session.close();
  });

  it("reaches the edge of its range without wrapping", async () => {
    const side = Math.floor(NORM_MAX / Math.sqrt(3));
    const points = Int16Array.of(side, side, side, -side, -side, -side, 0, 0, 0, side, -side, side);
    const ours = await kernel.open(points, 3), reference = kMeansReference.open(points, 3);
    for (const centers of [points, points.toReversed(), Int16Array.of(side, side, side)]) expect(await step(ours, centers, 1e6)).toEqual(await step(reference, centers, 1e6));
    expect((await ours.assign(points, 0)).labels).toEqual(Int32Array.of(0, 1, 2, 3));
    ours.close();
  });

  it("refuses what could wrap or does not fit, naming it", async () => {
    const open = async (points: Int16Array, dimensions: number): Promise<void> => { (await kernel.open(points, dimensions)).close(); };
    await expect(open(Int16Array.of(1, 2, 3), 2)).rejects.toThrow("3 values are no rows of 2 dimensions");
    await expect(open(Int16Array.of(1, 2, -32_768, 0), 2)).rejects.toThrow("row 1: -32768");
    await expect(open(Int16Array.of(0, 0, 30_000, 30_000), 2)).rejects.toMatchObject({ code: "ARITHMETIC_RANGE", message: expect.stringContaining(`row 1: norm 42426.4; at most ${NORM_MAX}`) });
    const session = await kernel.open(Int16Array.of(1, 2, 3, 4), 2);
    const assign = async (centers: Int16Array, slack: number): Promise<void> => { await session.assign(centers, slack); };
    await expect((async () => { await session.rivals(0); })()).rejects.toThrow("call assign first");
    await expect(assign(Int16Array.of(30_000, 30_000), 0)).rejects.toThrow("center 0: norm 42426.4");
    await expect(assign(Int16Array.of(1), 0)).rejects.toThrow("1 values are no centers of 2 dimensions");
    for (const slack of [-1, Number.NaN, Infinity]) await expect(assign(Int16Array.of(1, 1), slack)).rejects.toThrow("slack");
    await expect((async () => { await session.choose(2); })()).rejects.toThrow("row 2; expected 0 to 1");
    await expect((async () => { await session.potentials([]); })()).rejects.toThrow("0 candidates");
    session.close();
  });
});
