import { withRecovery } from "../backends/gpu-adapter.ts";
import type { Gpu, GpuBuffer, GpuPipeline } from "../backends/gpu.ts";
import { inFlight } from "../backends/in-flight.ts";
import { packRows } from "../lib/halves.ts";
import { type WgslSource, readWgsl } from "../lib/wgsl.ts";
import { rowCount, squaredNormMax, squaredNormOf, tooLong } from "./limits.ts";
import type { Centroids, NearestKernel, NearestOutput, NearestSession } from "./port.ts";

/** Bytes of rows in one batch: enough to fill any GPU, and two of them with their answers fit every one. */
const BATCH_BYTES = 1 << 24;
const BATCH_ROWS_MAX = 1 << 18;
/** Rows of a workgroup of nearest.wgsl. */
export const TILE = 64;
const NONE = 2 ** 32 - 1;

/** What a session has on one device. */
interface Held {
  readonly gpu: Gpu;
  readonly nearest: GpuPipeline;
  readonly beyond: GpuPipeline;
  readonly centroids: GpuBuffer;
  readonly biases: GpuBuffer;
}

/** The kernel `nearest` on the GPU. Rows travel to the device in batches, the next while one is computed; after a loss they do so again. */
export const nearestWebgpu: NearestKernel = nearestOnGpu(BATCH_BYTES);

/** The same with batches of so many bytes of rows, but at least a workgroup's. */
export function nearestOnGpu(batchBytes: number): NearestKernel {
  return { open: (centroids) => openSession(centroids, batchBytes) };
}

/** nearest.wgsl, for kernels that are made of it. */
export function nearestSource(): WgslSource {
  return readWgsl(new URL("./nearest.wgsl", import.meta.url));
}

async function openSession(centroids: Centroids, batchBytes: number): Promise<NearestSession> {
  const { count, dimensions } = centroids;
  const most = squaredNormMax(centroids);
  const words = (dimensions + 1) >> 1;
  const values = packRows(centroids.values, dimensions).slice(), biases = centroids.biases.slice();
  const batchRows = Math.max(TILE, Math.min(BATCH_ROWS_MAX, Math.floor(batchBytes / (4 * words))));
  // No value has a larger square than 2^30.
  const mayBeTooLong = most < dimensions * 2 ** 30;
  let held: Held | null = null;

  /** What the session has on this device, uploaded where it is a new one. */
  const heldOn = async (gpu: Gpu): Promise<Held> => {
    if (held !== null && held.gpu === gpu) return held;
    const [nearest, beyond, centroidBuffer, biasBuffer] = await Promise.all([
      gpu.pipeline(nearestSource()), gpu.pipeline(readWgsl(new URL("./beyond.wgsl", import.meta.url))),
      gpu.buffer("centroids", values.byteLength), gpu.buffer("biases", biases.byteLength),
    ]);
    gpu.upload(centroidBuffer, values);
    gpu.upload(biasBuffer, biases);
    held = { gpu, nearest, beyond, centroids: centroidBuffer, biases: biasBuffer };
    return held;
  };

  /** Submits rows first .. first + total - 1 of a call. */
  const submit = async (device: Held, rows: Int16Array, first: number, total: number, output: NearestOutput): Promise<{ readonly done: Promise<void> }> => {
    const { gpu } = device;
    const buffers = await Promise.all([gpu.buffer("rows", total * words * 4), gpu.buffer("answers", total * 12), gpu.buffer("first", 4)]);
    const [rowBuffer, answers, firstBeyond] = buffers;
    gpu.upload(rowBuffer, packRows(rows.subarray(first * dimensions, (first + total) * dimensions), dimensions));
    gpu.upload(firstBeyond, Uint32Array.of(NONE));
    const batch = gpu.batch("nearest");
    if (mayBeTooLong) batch.dispatch(device.beyond, { rows: rowBuffer, first: firstBeyond }, Math.ceil(total / device.beyond.threadsPerGroup), { rowCount: total, words, limitHigh: Math.floor(most / 2 ** 32), limitLow: most % 2 ** 32 });
    batch.dispatch(device.nearest, { rows: rowBuffer, centroids: device.centroids, biases: device.biases, answers }, Math.ceil(total / TILE), { rowCount: total, centroidCount: count, words });
    const long = new Uint32Array(1);
    [output.index, output.score, output.runnerUp].forEach((target, part) => batch.read(answers, target.subarray(first, first + total), part * total * 4));
    const run = batch.read(firstBeyond, long).run().finally(() => {
      for (const buffer of buffers) gpu.release(buffer);
    });
    const done = run.then(() => {
      const row = first + long[0];
      if (long[0] !== NONE) throw tooLong(row, squaredNormOf(rows, row, dimensions), most);
    });
    return { done };
  };

  await withRecovery(heldOn);
  return {
    batchRows,
    async assign(rows: Int16Array, output: NearestOutput): Promise<void> {
      const total = rowCount(rows, dimensions, output);
      await withRecovery(async (gpu) => {
        const device = await heldOn(gpu);
        await inFlight(Math.ceil(total / batchRows), (piece) => submit(device, rows, piece * batchRows, Math.min(batchRows, total - piece * batchRows), output));
      });
    },
    close() {
      if (held === null) return;
      held.gpu.release(held.centroids);
      held.gpu.release(held.biases);
      held = null;
    },
  };
}
