import { PopulaceError } from "@populace/domain/error";
import { GpuPool } from "./gpu-pool.ts";

/**
 * The device was lost under running work: a driver was reset, a card fell off its bus, or a test destroyed it. Its buffers and
 * programs are gone, whatever was pending has rejected with this; what was read back before stays. `withRecovery` begins anew.
 */
export class GpuLost extends PopulaceError {
  constructor(device: string, reason: string) {
    super("UNAVAILABLE", `GPU ${device} was lost (${reason}); everything on it is gone, start again on a new device or another backend`, { device, reason });
    this.name = "GpuLost";
  }
}

/** What one device can hold and do. */
export interface GpuLimits {
  /** Bytes of one storage buffer. */
  readonly storageBytesMax: number;
  /** Workgroups in one dimension of a dispatch; more are laid out in two. */
  readonly groupsPerDimensionMax: number;
  readonly threadsPerGroupMax: number;
  /** Bytes of `var<workgroup>` memory. */
  readonly groupBytesMax: number;
  /** Storage buffers that one program may use. */
  readonly storageBuffersMax: number;
  /** Distance of one dispatch's parameters from the next one's, in bytes. */
  readonly paramsAlignment: number;
}

/** Dawn's own objects. They must stay referenced together: once the instance or the adapter is collected, Dawn aborts or hangs. */
export interface Dawn {
  readonly instance: GPU;
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
}

/** A device with its memory, whose loss reaches everything that waits for it. */
export class GpuDevice {
  readonly name: string;
  readonly limits: GpuLimits;
  readonly pool: GpuPool;
  readonly #dawn: Dawn;
  readonly #pending = new Set<(loss: GpuLost) => void>();
  #loss: GpuLost | null = null;
  #stray: GPUError | null = null;

  constructor(dawn: Dawn, name: string, limits: GpuLimits) {
    this.#dawn = dawn;
    this.name = name;
    this.limits = limits;
    this.pool = new GpuPool(dawn.device);
    void dawn.device.lost.then(({ reason, message }) => this.#lose(`${reason}: ${message}`));
    // What no scope of ours caught is our mistake; it surfaces at the end of the batch in which it is noticed.
    dawn.device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#stray ??= event.error;
    });
  }

  get raw(): GPUDevice {
    return this.#dawn.device;
  }

  /** How the device was lost, or null while it lives. */
  get loss(): GpuLost | null {
    return this.#loss;
  }

  throwIfLost(): void {
    if (this.#loss !== null) throw this.#loss;
  }

  /** The first failure that belongs to no call, once. */
  takeStray(): GPUError | null {
    const stray = this.#stray;
    this.#stray = null;
    return stray;
  }

  /** The same promise, but rejecting with GpuLost as soon as the device is lost, whatever becomes of the work. */
  guarded<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#loss !== null) reject(this.#loss);
      this.#pending.add(reject);
      const settled = (): boolean => this.#pending.delete(reject);
      work.then(
        (value) => {
          settled();
          resolve(value);
        },
        (error: unknown) => {
          settled();
          // Dawn aborts what is pending on a lost device, and may say so before it says that the device is lost.
          if (error instanceof DOMException && error.name === "AbortError") this.#lose(`aborted: ${error.message}`);
          reject(this.#loss ?? error);
        },
      );
    });
  }

  destroy(): void {
    this.#dawn.device.destroy();
    this.#lose("destroyed on request");
  }

  #lose(reason: string): void {
    if (this.#loss !== null) return;
    this.#loss = new GpuLost(this.name, reason);
    for (const reject of this.#pending) reject(this.#loss);
    this.#pending.clear();
  }
}

/** What WebGPU reported, in our words: TOO_LARGE when memory ran out, else INTERNAL. */
export function gpuFailure(error: GPUError, device: string, what: string): PopulaceError {
  if (error.constructor.name === "GPUOutOfMemoryError") return new PopulaceError("TOO_LARGE", `GPU ${device} is out of memory: ${what}; use smaller pieces or another backend`, { device, what }, error);
  return new PopulaceError("INTERNAL", `GPU ${device}: ${what}: ${error.message.trim()}`, { device, what }, error);
}
