import { expect, it, vi } from "vitest";
import { currentGpu } from "../backends/gpu-adapter.ts";
import { describeOnGpu } from "../backends/gpu.fixture.ts";
import { NORM_MAX } from "../nearest/limits.ts";
import type { KMeansSession, LocalKMeansSession } from "./port.ts";
import { kMeansReference } from "./reference.ts";
import { kMeansWebgpu } from "./webgpu.ts";

describeOnGpu("k-means on the GPU", () => {
  it.each([[1, 1, 1], [257, 7, 5], [700, 33, 70], [5000, 2, 3]])("assigns %i rows of %i dimensions to %i centers as the reference does, step by step, whatever the slack", async (rows, dimensions, count) => {
    const points = scattered(rows * dimensions, 900, 1);
    const reference = kMeansReference.open(points, dimensions), session = await kMeansWebgpu.open(points, dimensions);
    for (const [round, slack] of [0, 0.5, 300, 1e300, 0, 1].entries()) {
      if (round === 4) for (const each of [reference, session]) each.forget();
      // Few move: the same centers, a little aside; two of them equal, so that ties are everywhere.
      const centers = scattered(count * dimensions, 900, 2).map((value, i) => (i < dimensions ? value + round * 40 : value));
      centers.copyWithin(dimensions * (count - 1), 0, dimensions);
      await expectSame(reference, session, centers, slack);
      for (const row of [0, rows >> 1, rows - 1]) expect(await session.rivals(row)).toEqual(reference.rivals(row));
    }
    await expectSame(reference, session, scattered((count + 1) * dimensions, 900, 3), 2);
    reference.close();
    session.close();
  });

  it("decides to the bit at the edge of its range, where a squared distance exceeds 32 bits", async () => {
    const side = Math.floor(NORM_MAX / Math.sqrt(2));
    const points = Int16Array.of(side, side, -side, -side, side, -side, 0, 0, 1, 0);
    const reference = kMeansReference.open(points, 2), session = await kMeansWebgpu.open(points, 2);
    const centers = Int16Array.of(side, side, -side, -side, side - 1, side, 0, 1);
    for (const slack of [0, 1, Math.SQRT2 * side, Math.SQRT2 * side - 1e-7, 2 * NORM_MAX, 4 * NORM_MAX]) await expectSame(reference, session, centers, slack);
    // A single center has no other: 2^31 - 1 is its runner-up.
    await expectSame(reference, session, Int16Array.of(side, side), 1);
    session.close();
  });

  it("draws as the reference does: potentials, choices, and the row of every target", async () => {
    // As wide as norms allow, and half of the rows opposite the other half: two weights of a thread already exceed 32 bits.
    const rows = 600, points = scattered(rows * 3, 900, 4).map((value, i) => value + (i < rows / 2 * 3 ? 20_900 : -20_900));
    points.copyWithin(0, 300, 600);
    const reference = kMeansReference.open(points, 3), session = await kMeansWebgpu.open(points, 3);
    const draws = async (targets: readonly number[]): Promise<void> => {
      for (const target of targets) expect(await session.draw(target), `target ${target}`).toBe(reference.draw(target));
    };
    for (let round = 0; round < 2; round++) {
      for (const each of [reference, session]) each.spread();
      await draws([0, 2 ** 32 - 2, 2 ** 32 - 1, 300 * (2 ** 32 - 1), 1e300]);
      for (const [place, row] of [5, 599, 256, 105].entries()) {
        const candidates = [row, 0, 255, 599, 17, 300, 301, 302].slice(0, 8 - 2 * place);
        expect(await session.potentials(candidates)).toEqual(reference.potentials(candidates));
        const sum = await session.choose(row);
        expect(sum).toBe(reference.choose(row));
        await draws([0, 1, sum / 3, sum / 2, sum - 1, sum, sum + 1]);
      }
    }
    // Every row chosen: nothing weighs anything.
    const few = Int16Array.of(1, 1, 2, 2), all = await kMeansWebgpu.open(few, 2);
    all.spread();
    await all.choose(0);
    expect(await all.choose(1)).toBe(0);
    expect(await all.draw(0)).toBe(0);
    session.close();
    all.close();
  });

  it("survives the loss of the device, between calls and within one, with the labels and weights it had", async () => {
    const points = scattered(500 * 4, 900, 5), centers = scattered(9 * 4, 900, 6);
    const reference = kMeansReference.open(points, 4), session = await kMeansWebgpu.open(points, 4);
    await expectSame(reference, session, centers, 3);
    for (const each of [reference, session]) each.spread();
    expect(await session.choose(3)).toBe(reference.choose(3));
    expect(await session.choose(77)).toBe(reference.choose(77));
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    (await currentGpu()).destroy();
    expect(await session.potentials([1, 2])).toEqual(reference.potentials([1, 2]));
    expect(await session.draw(1e9)).toBe(reference.draw(1e9));
    expect(warned).toHaveBeenCalledExactlyOnceWith(expect.stringContaining("was lost"), "GpuLost");
    centers[0] += 100;
    await expectSame(reference, session, centers, 3);
    centers[1] += 300;
    const same = expectSame(reference, session, centers, 3);
    (await currentGpu()).destroy();
    await same;
    expect(warned).toHaveBeenCalledTimes(2);
    warned.mockRestore();
    session.close();
  });

  it("refuses rows and centers beyond its range by name", async () => {
    await expect(open(Int16Array.of(0, 0, 32_000, 32_000), 2)).rejects.toMatchObject({ code: "ARITHMETIC_RANGE", details: { row: 1 } });
    const session = await open(Int16Array.of(1, 2, 3, 4), 2);
    const assign = async (centers: Int16Array, slack: number): Promise<void> => { await session.assign(centers, slack); };
    await expect(assign(Int16Array.of(32_000, 32_000), 0)).rejects.toMatchObject({ code: "ARITHMETIC_RANGE" });
    await expect(assign(Int16Array.of(1, 1), Number.NaN)).rejects.toMatchObject({ code: "BAD_REQUEST" });
    await expect((async () => { await session.choose(2); })()).rejects.toMatchObject({ code: "BAD_REQUEST" });
    expect(() => session.rivals(0)).toThrow("call assign first");
    session.close();
  });
});

async function open(points: Int16Array, dimensions: number): Promise<KMeansSession> {
  return await kMeansWebgpu.open(points, dimensions);
}

async function expectSame(reference: LocalKMeansSession, session: KMeansSession, centers: Int16Array, slack: number): Promise<void> {
  const expected = reference.assign(centers, slack), found = await session.assign(centers, slack);
  expect(found.labels).toEqual(expected.labels);
  expect(found.moved.toSorted()).toEqual(expected.moved);
  expect(found.doubtful.toSorted()).toEqual(expected.doubtful);
}

/** Repeatable values within +-most. */
function scattered(length: number, most: number, seed: number): Int16Array {
  return Int16Array.from({ length }, (_, i) => ((Math.imul(i + 1, 0x9e3779b1 + 2 * seed) >>> 8) % (2 * most + 1)) - most);
}
