import { expect, it, vi } from "vitest";
import { currentGpu } from "../backends/gpu-adapter.ts";
import { describeOnGpu } from "../backends/gpu.fixture.ts";
import { GpuLost } from "../backends/gpu.ts";
import { type Centroids, type NearestKernel, type NearestOutput, nearestOutput } from "./port.ts";
import { nearestReference } from "./reference.ts";
import { nearestOnGpu, nearestWebgpu } from "./webgpu.ts";

describeOnGpu("nearest in tiles", () => {
  // A tile is 64 rows, 64 centroids and 32 dimensions; few different values, so that equal scores meet across tiles.
  it.each([[1, 65, 33], [63, 64, 32], [64, 130, 1], [65, 1, 65], [129, 63, 31], [130, 200, 66], [250, 120, 3]])("gives the reference's answers for %i rows, %i centroids, %i dimensions", async (rows, count, dimensions) => {
    const { centroids, points } = sample(rows, count, dimensions, 3);
    expect(await answer(nearestWebgpu, centroids, points)).toEqual(await answer(nearestReference, centroids, points));
  });

  it("gives index 0 where every score is the largest there is", async () => {
    const centroids = { count: 70, dimensions: 1, values: new Int16Array(70), biases: new Int32Array(70).fill(2 ** 31 - 1) };
    const found = await answer(nearestWebgpu, centroids, Int16Array.of(5));
    expect(found).toEqual(await answer(nearestReference, centroids, Int16Array.of(5)));
    expect(found.index[0]).toBe(0);
  });

  it("gives the same in many batches, and names a row that is too long by its number in the whole call", async () => {
    const { centroids, points } = sample(300, 10, 6, 1000);
    const inBatches = nearestOnGpu(1);
    expect((await inBatches.open(centroids)).batchRows).toBe(64);
    expect(await answer(inBatches, centroids, points)).toEqual(await answer(nearestReference, centroids, points));
    const strict = { ...centroids, values: new Int16Array(60).fill(20_000), biases: new Int32Array(10) };
    points.fill(32_767, 199 * 6, 200 * 6);
    points.fill(32_767, 280 * 6, 281 * 6);
    await expect(answer(inBatches, strict, points)).rejects.toMatchObject({ code: "ARITHMETIC_RANGE", details: { row: 199 } });
  });

  it("refuses a row that is a step too long, and none that is not, in one word and in two", async () => {
    // With c = (1, 0, ..) and a bias of 2^31 - 1 - k, the longest row allowed has the norm k.
    const limited = (k: number, dimensions: number): Centroids => ({ count: 1, dimensions, values: Int16Array.from({ length: dimensions }, (_, d) => (d === 0 ? 1 : 0)), biases: Int32Array.of(2 ** 31 - 1 - k) });
    await answer(nearestWebgpu, limited(30_000, 1), Int16Array.of(30_000, -30_000));
    await expect(answer(nearestWebgpu, limited(30_000, 1), Int16Array.of(30_000, -30_001))).rejects.toMatchObject({ details: { row: 1 } });
    // 4 x 32,767^2 + 24,602^2 = 4,899,963,560 and 4 x 32,767^2 + 24,603^2 = 4,900,012,765, around 70,000^2.
    const wide = (last: number): Int16Array => Int16Array.of(32_767, -32_767, 32_767, 32_767, last);
    await answer(nearestWebgpu, limited(70_000, 5), wide(24_602));
    await expect(answer(nearestWebgpu, limited(70_000, 5), wide(-24_603))).rejects.toMatchObject({ code: "ARITHMETIC_RANGE", details: { row: 0, squaredNorm: 4_900_012_765 } });
  });

  it("survives the loss of the device, between calls and within one, with the same answers", async () => {
    const { centroids, points } = sample(200, 70, 5, 50);
    const expected = await answer(nearestReference, centroids, points);
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const session = await nearestOnGpu(1).open(centroids), output = nearestOutput(200);
    (await currentGpu()).destroy();
    await session.assign(points, output);
    expect(output).toEqual(expected);
    const again = nearestOutput(200), running = session.assign(points, again);
    const device = await currentGpu();
    device.destroy();
    await running;
    expect(device.loss).toBeInstanceOf(GpuLost);
    expect(again).toEqual(expected);
    session.close();
    expect(warned).toHaveBeenCalledTimes(2);
    expect(warned).toHaveBeenCalledWith(expect.stringContaining("was lost"), "GpuLost");
    warned.mockRestore();
  });
});

/** Every other row is a centroid itself, so that each of them is the nearest of some row. */
function sample(rows: number, count: number, dimensions: number, most: number): { readonly centroids: Centroids; readonly points: Int16Array } {
  const values = Int16Array.from({ length: count * dimensions }, (_, i) => ((Math.imul(i + 1, 0x9e3779b1) >>> 9) % (2 * most + 1)) - most);
  const points = Int16Array.from({ length: rows * dimensions }, (_, i) => ((Math.imul(i + 1, 0x85ebca6b) >>> 9) % (4 * most + 1)) - 2 * most);
  for (let row = 0; row < rows; row += 2) points.set(values.subarray(((row >> 1) % count) * dimensions, ((row >> 1) % count + 1) * dimensions), row * dimensions);
  const biases = Int32Array.from({ length: count }, (_, k) => values.subarray(k * dimensions, (k + 1) * dimensions).reduce((sum, value) => sum + value ** 2, 0) >> 1);
  return { centroids: { count, dimensions, values, biases }, points };
}

async function answer(kernel: NearestKernel, centroids: Centroids, points: Int16Array): Promise<NearestOutput> {
  const session = await kernel.open(centroids), output = nearestOutput(points.length / centroids.dimensions);
  await session.assign(points, output);
  session.close();
  return output;
}
