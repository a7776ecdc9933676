import { PopulaceError } from "@populace/domain/error";
import type { WgslSource } from "../lib/wgsl.ts";
import { GpuBatch } from "./gpu-batch.ts";
import { type GpuDevice, type GpuLimits, type GpuLost, gpuFailure } from "./gpu-device.ts";
import { type GpuPipeline, compile } from "./gpu-pipeline.ts";
import { type GpuBuffer, type GpuMemory, USAGE } from "./gpu-pool.ts";

export { GpuLost, type GpuLimits } from "./gpu-device.ts";
export type { GpuBatch } from "./gpu-batch.ts";
export type { GpuPipeline } from "./gpu-pipeline.ts";
export type { GpuBuffer } from "./gpu-pool.ts";

/**
 * One device of one thread: programs compiled once, buffers reused, work submitted in batches. From the moment the device is
 * lost everything here throws or rejects with GpuLost.
 */
export class Gpu {
  /** False where shaders are emulated on the processor. */
  readonly isHardware: boolean;
  readonly #device: GpuDevice;
  readonly #pipelines = new WeakMap<WgslSource, Map<string, Promise<GpuPipeline>>>();

  constructor(device: GpuDevice, isHardware: boolean) {
    this.#device = device;
    this.isHardware = isHardware;
  }

  /** What it is, for people: "NVIDIA H100 80GB HBM3 (Vulkan)". */
  get name(): string {
    return this.#device.name;
  }

  get limits(): GpuLimits {
    return this.#device.limits;
  }

  /** How the device was lost, or null while it lives. */
  get loss(): GpuLost | null {
    return this.#device.loss;
  }

  /** Bytes that buffers of this device hold, those kept for reuse included. */
  get heldBytes(): number {
    return this.#device.pool.heldBytes;
  }

  /** The compiled program of a source, with values for its `override`s; compiled once a device. INTERNAL, with file and line, when it does not compile. */
  pipeline(source: WgslSource, overrides: Readonly<Record<string, number>> = {}): Promise<GpuPipeline> {
    let variants = this.#pipelines.get(source);
    if (variants === undefined) this.#pipelines.set(source, (variants = new Map()));
    const key = JSON.stringify(Object.entries(overrides).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    let compiled = variants.get(key);
    if (compiled === undefined) variants.set(key, (compiled = this.#device.guarded(compile(this.#device, source, overrides))));
    return compiled;
  }

  /**
   * A storage buffer of so many bytes, rounded up to whole words. TOO_LARGE, with the numbers, when no buffer of this device can
   * be that large or its memory is exhausted.
   */
  async buffer(label: string, bytes: number): Promise<GpuBuffer> {
    this.#device.throwIfLost();
    const { pool, limits, name } = this.#device;
    if (bytes > limits.storageBytesMax) {
      throw new PopulaceError("TOO_LARGE", `GPU ${name}: ${label} needs ${bytes} bytes, a buffer holds at most ${limits.storageBytesMax}; use smaller pieces or another backend`, { label, bytes, bytesMax: limits.storageBytesMax });
    }
    for (const isLast of [false, true]) {
      const memory = pool.take(label, bytes, USAGE.storage | USAGE.copySource | USAGE.copyTarget);
      const failure = await this.#device.guarded(memory.failure);
      if (failure === null) return memory;
      pool.destroy(memory);
      if (isLast) throw gpuFailure(failure, name, `${label} needs ${bytes} bytes beside ${pool.heldBytes} in use`);
      // What is kept for reuse may be what is lacking.
      pool.trim(0);
    }
    throw new PopulaceError("INTERNAL", `GPU ${name}: no memory was tried for ${label}`);
  }

  /** Gives a buffer back for reuse; the handle is dead afterwards. Does nothing on a lost device. */
  release(buffer: GpuBuffer): void {
    if (this.#device.loss === null) this.#device.pool.give(buffer as GpuMemory);
  }

  /** Writes bytes from `offsetBytes` (a multiple of 4) on, before anything submitted later. The data are copied during the call. */
  upload(buffer: GpuBuffer, data: ArrayBufferView, offsetBytes = 0): void {
    this.#device.throwIfLost();
    if (offsetBytes < 0 || offsetBytes % 4 !== 0 || offsetBytes + data.byteLength > buffer.bytes) {
      throw new PopulaceError("INTERNAL", `GPU upload: ${data.byteLength} bytes at ${offsetBytes} do not fit ${buffer.label} of ${buffer.bytes} bytes, or not at a whole word`);
    }
    const { queue } = this.#device.raw;
    const { raw } = buffer as GpuMemory;
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const whole = bytes.length & ~3;
    if (whole > 0) queue.writeBuffer(raw, offsetBytes, bytes, 0, whole);
    if (whole < bytes.length) {
      const tail = new Uint8Array(4);
      tail.set(bytes.subarray(whole));
      queue.writeBuffer(raw, offsetBytes + whole, tail);
    }
  }

  /** An empty batch: its steps are recorded, its `run` submits them at once. */
  batch(label: string): GpuBatch {
    return new GpuBatch(this.#device, label);
  }

  /** Loses the device on purpose, for tests and at a session's end: waits for what runs; what is pending rejects with GpuLost. */
  destroy(): void {
    this.#device.destroy();
  }
}
