import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { backendStatus } from "../backends/backend.ts";
import { BACKEND_NAMES } from "../backends/names.ts";
import { NORM_MAX, squaredNormMax } from "./limits.ts";
import { nearestOutput } from "./port.ts";
import type { Centroids, NearestKernel, NearestOutput } from "./port.ts";
import { nearestReference } from "./reference.ts";

const kernels: { readonly name: string; readonly kernel: NearestKernel; readonly isFast: boolean }[] = [];
for (const name of BACKEND_NAMES) {
  const { backend } = await backendStatus(name);
  if (backend?.kernels.nearest !== undefined) kernels.push({ name, kernel: backend.kernels.nearest, isFast: backend.isFast });
}

const halfNorms = (values: Int16Array, dimensions: number): Int32Array =>
  Int32Array.from({ length: values.length / dimensions }, (_, k) => values.subarray(k * dimensions, (k + 1) * dimensions).reduce((sum, value) => sum + value ** 2, 0) >> 1);

async function answer(kernel: NearestKernel, centroids: Centroids, rows: Int16Array): Promise<NearestOutput> {
  const session = await kernel.open(centroids);
  const output = nearestOutput(rows.length / centroids.dimensions);
  await session.assign(rows, output);
  session.close();
  return output;
}

/** The definition in integers of any size, sharing no code with the kernels. */
function byDefinition({ count, dimensions, values, biases }: Centroids, rows: Int16Array): { index: number[]; score: number[]; runnerUp: number[] } {
  const result = { index: [] as number[], score: [] as number[], runnerUp: [] as number[] };
  for (let row = 0; row < rows.length / dimensions; row++) {
    const scores = Array.from({ length: count }, (_, k) => {
      let score = BigInt(biases[k]);
      for (let d = 0; d < dimensions; d++) score -= BigInt(rows[row * dimensions + d]) * BigInt(values[k * dimensions + d]);
      return { k, score: Number(score) };
    }).toSorted((a, b) => a.score - b.score || a.k - b.k);
    result.index.push(scores[0].k);
    result.score.push(scores[0].score);
    result.runnerUp.push(scores[1]?.score ?? 2 ** 31 - 1);
  }
  return result;
}

it("is there in TypeScript and in WebAssembly", () => {
  expect(kernels.map(({ name }) => name)).toEqual(expect.arrayContaining(["reference", "wasm"]));
});

describe.each(kernels)("nearest on $name", ({ kernel, isFast }) => {
  it("gives the definition's index, score and runner-up for any sizes, with ties", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 41 }), fc.integer({ min: 1, max: 19 }), fc.integer({ min: 0, max: 13 }), fc.integer({ min: 1, max: 400 }), fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), async (count, dimensions, rowTotal, most, stream) => {
        const draw = (): number => Math.floor(stream.next().value! * (2 * most + 1)) - most;
        const values = Int16Array.from({ length: count * dimensions }, draw);
        // Small values and repeated centroids: equal scores are the rule.
        if (count > 1) values.copyWithin(dimensions * (count - 1), 0, dimensions);
        const rows = Int16Array.from({ length: rowTotal * dimensions }, draw);
        const centroids = { count, dimensions, values, biases: halfNorms(values, dimensions) };
        const { index, score, runnerUp } = await answer(kernel, centroids, rows);
        expect({ index: [...index], score: [...score], runnerUp: [...runnerUp] }).toEqual(byDefinition(centroids, rows));
      }),
      { numRuns: 150 },
    );
  });

  it("does not care how the rows are cut", async () => {
    // An emulated GPU takes milliseconds for a call.
    const dimensions = 7, total = isFast ? 5000 : 300;
    const values = Int16Array.from({ length: 37 * dimensions }, (_, i) => ((i * 7919) % 2001) - 1000);
    const rows = Int16Array.from({ length: total * dimensions }, (_, i) => ((i * 104_729) % 4001) - 2000);
    const centroids = { count: 37, dimensions, values, biases: halfNorms(values, dimensions) };
    const whole = await answer(kernel, centroids, rows);
    expect(whole).toEqual(await answer(nearestReference, centroids, rows));
    for (const piece of [1, 3, 4, 1023, 4097]) {
      const session = await kernel.open(centroids);
      const cut = nearestOutput(total), part = nearestOutput(piece);
      for (let first = 0; first < total; first += piece) {
        const count = Math.min(piece, total - first);
        await session.assign(rows.subarray(first * dimensions, (first + count) * dimensions), part);
        for (const key of ["index", "score", "runnerUp"] as const) cut[key].set(part[key].subarray(0, count), first);
      }
      session.close();
      expect(cut, `pieces of ${piece}`).toEqual(whole);
    }
  });

  it("reaches the edge of its range without wrapping", async () => {
    // One dimension as long as the scale allows, and its opposite: scores of 1.5 and -0.5 norms.
    const values = Int16Array.of(32_767, -32_767);
    const centroids = { count: 2, dimensions: 1, values, biases: halfNorms(values, 1) };
    const rows = Int16Array.of(32_767, -32_767, 0, -32_768);
    const { index, score, runnerUp } = await answer(kernel, centroids, rows);
    expect({ index: [...index], score: [...score], runnerUp: [...runnerUp] }).toEqual(byDefinition(centroids, rows));
    expect(runnerUp[0]).toBeGreaterThan(1.6e9);
    // Many dimensions whose norm is as long as NORM_MAX allows: sums of the same sign, then of the other.
    const side = Math.floor(NORM_MAX / Math.sqrt(50));
    const wide = { count: 2, dimensions: 50, values: new Int16Array(100).fill(side), biases: halfNorms(new Int16Array(100).fill(side), 50) };
    wide.values.subarray(50).fill(-side);
    const ends = Int16Array.from(wide.values);
    expect([...(await answer(kernel, wide, ends)).runnerUp]).toEqual(byDefinition(wide, ends).runnerUp);
  });

  it("has a runner-up of 2^31 - 1 beside a single centroid", async () => {
    const { index, runnerUp } = await answer(kernel, { count: 1, dimensions: 2, values: Int16Array.of(1, 2), biases: Int32Array.of(2) }, Int16Array.of(5, 5));
    expect([index[0], runnerUp[0]]).toEqual([0, 2 ** 31 - 1]);
  });

  it("refuses what could wrap or does not fit, naming it", async () => {
    const centroids = { count: 2, dimensions: 2, values: Int16Array.of(1, 1, 30_000, 30_000), biases: Int32Array.of(1, 0) };
    const session = await kernel.open(centroids);
    const assign = async (rows: Int16Array, output: NearestOutput): Promise<void> => { await session.assign(rows, output); };
    // |x| |c| = 2^31 is reached at |x| = 50,617: (32,767, 32,767) stays below, and three dimensions would not.
    await assign(Int16Array.of(32_767, 32_767), nearestOutput(1));
    await expect(assign(Int16Array.of(1, 2, 3), nearestOutput(2))).rejects.toThrow("3 values are no whole number of rows of 2");
    await expect(assign(Int16Array.of(1, 2, 3, 4), nearestOutput(1))).rejects.toThrow("room for 1 answers, but 2 rows");
    session.close();
    const open = async (given: Centroids): Promise<void> => { (await kernel.open(given)).close(); };
    await expect(open({ ...centroids, values: Int16Array.of(1, 1, -32_768, 0) })).rejects.toThrow("centroid 1, dimension 0: -32768");
    await expect(open({ ...centroids, biases: Int32Array.of(0, -(2 ** 31)) })).rejects.toThrow("centroid 1: bias -2147483648");
    await expect(open({ ...centroids, biases: Int32Array.of(0) })).rejects.toThrow("4 values and 1 biases for 2 centroids of 2 dimensions");
    await expect(open({ ...centroids, count: 0 })).rejects.toThrow("0 centroids");
    const long = { count: 1, dimensions: 3, values: new Int16Array(3).fill(30_000), biases: Int32Array.of(0) };
    const strict = await kernel.open(long);
    const rows = new Int16Array(5 * 3).fill(100);
    rows.fill(32_767, 9, 12);
    await expect((async () => { await strict.assign(rows, nearestOutput(5)); })()).rejects.toMatchObject({ code: "ARITHMETIC_RANGE", message: expect.stringContaining(`row 3: squared norm ${3 * 32_767 ** 2}; at most ${squaredNormMax(long)}`) });
    strict.close();
  });
});
