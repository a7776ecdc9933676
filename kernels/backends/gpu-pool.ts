import { PopulaceError } from "@populace/domain/error";

/** Bits of WebGPU's GPUBufferUsage. */
export const USAGE = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, uniform: 0x40, storage: 0x80 } as const;

/** Memory of a device, until it is released. What it holds is undefined until it is written. */
export interface GpuBuffer {
  readonly label: string;
  /** What was asked for, in whole words. */
  readonly bytes: number;
}

/** A buffer as its device knows it. */
export interface GpuMemory extends GpuBuffer {
  /** Distinguishes the memories of one device. */
  readonly id: number;
  readonly raw: GPUBuffer;
  readonly capacity: number;
  readonly usage: number;
  /** What went wrong when it was made, or null. */
  readonly failure: Promise<GPUError | null>;
}

/** Memory that a device keeps for reuse; beyond, what was given back longest ago is destroyed. Small beside any card that is worth using. */
const KEPT_BYTES_MAX = 512 * 1024 * 1024;
const KEPT_MAX = 256;
const NO_FAILURE = Promise.resolve(null);

/** The buffers of one device. Making one costs tens of microseconds and clears it; reusing one costs nothing and clears nothing. */
export class GpuPool {
  readonly #device: GPUDevice;
  /** Longest given back first. */
  readonly #kept: GpuMemory[] = [];
  #keptBytes = 0;
  #heldBytes = 0;
  #made = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Bytes of all buffers there are, kept ones included. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  take(label: string, bytes: number, usage: number): GpuMemory {
    const capacity = capacityFor(bytes);
    const words = Math.max(4, (bytes + 3) & ~3);
    const at = this.#kept.findLastIndex((memory) => memory.capacity === capacity && memory.usage === usage);
    if (at >= 0) {
      const memory = this.#kept.splice(at, 1)[0]!;
      this.#keptBytes -= capacity;
      return { ...memory, label, bytes: words, failure: NO_FAILURE };
    }
    this.#device.pushErrorScope("out-of-memory");
    const raw = this.#device.createBuffer({ label, size: capacity, usage });
    const failure = this.#device.popErrorScope();
    this.#heldBytes += capacity;
    return { label, bytes: words, id: ++this.#made, raw, capacity, usage, failure };
  }

  give(memory: GpuMemory): void {
    if (this.#kept.some(({ id }) => id === memory.id)) throw new PopulaceError("INTERNAL", `GPU buffer ${memory.label} was released twice`);
    this.#kept.push(memory);
    this.#keptBytes += memory.capacity;
    this.trim(KEPT_BYTES_MAX);
  }

  /** Destroys what was given back longest ago until at most so many bytes are kept. */
  trim(bytesMax: number): void {
    while (this.#keptBytes > bytesMax || this.#kept.length > KEPT_MAX) {
      const oldest = this.#kept.shift()!;
      this.#keptBytes -= oldest.capacity;
      this.destroy(oldest);
    }
  }

  /** Destroys memory that is not kept. */
  destroy(memory: GpuMemory): void {
    this.#heldBytes -= memory.capacity;
    memory.raw.destroy();
  }
}

/** Rounded up to an eighth of its power of two, so that like sizes share memory and at most 12.5 % is lost. */
export function capacityFor(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(bytes)) - 3));
  return Math.ceil(bytes / step) * step;
}
