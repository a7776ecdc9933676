import { expect, it } from "vitest";
import { currentGpu } from "../backends/gpu-adapter.ts";
import { describeOnGpu } from "../backends/gpu.fixture.ts";
import { GpuLost } from "../backends/gpu.ts";
import { type Centroids, type NearestKernel, type NearestOutput, nearestOutput } from "./port.ts";
import { nearestReference } from "./reference.ts";
import { nearestOnGpu, nearestWebgpu } from "./webgpu.ts";

describeOnGpu("nearest in tiles", () => {
  // A tile is 64 rows, 64 centroids and 32 dimensions; few different values, so that equal scores meet across tiles.
  it.each([[1, 65, 33], [63, 64, 32], [64, 130, 1], [65, 1, 65], [129, 63, 31], [130, 200, 66]])("gives the reference's answers for %i rows, %i centroids, %i dimensions", async (rows, count, dimensions) => {
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

  it("survives the loss of the device, between calls and within one, with the same answers", async () => {
    const { centroids, points } = sample(200, 70, 5, 50);
    const expected = await answer(nearestReference, centroids, points);
    const warned: string[] = [];
    const listen = (warning: Error): void => void warned.push(warning.name);
    process.on("warning", listen);
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
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(warned).toContain("GpuLost");
  });
});

function sample(rows: number, count: number, dimensions: number, most: number): { readonly centroids: Centroids; readonly points: Int16Array } {
  const values = Int16Array.from({ length: count * dimensions }, (_, i) => ((i * 7919 + (i >> 3)) % (2 * most + 1)) - most);
  const points = Int16Array.from({ length: rows * dimensions }, (_, i) => ((i * 104_729 + (i >> 2)) % (4 * most + 1)) - 2 * most);
  const biases = Int32Array.from({ length: count }, (_, k) => values.subarray(k * dimensions, (k + 1) * dimensions).reduce((sum, value) => sum + value ** 2, 0) >> 1);
  return { centroids: { count, dimensions, values, biases }, points };
}

async function answer(kernel: NearestKernel, centroids: Centroids, points: Int16Array): Promise<NearestOutput> {
  const session = await kernel.open(centroids), output = nearestOutput(points.length / centroids.dimensions);
  await session.assign(points, output);
  session.close();
  return output;
}
