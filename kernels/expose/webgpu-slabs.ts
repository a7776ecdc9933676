import type { Gpu, GpuBuffer } from "../backends/gpu.ts";

/** Bytes of one slab's buffer: large enough that a batch seldom meets the border of two, small beside any card worth using. */
const SLAB_BYTES_MAX = 2 ** 28;

/** Room for many groups of agents in one buffer, so that one dispatch reaches the blocks of many; another for their codes where these are kept. */
export interface Slab {
  readonly state: GpuBuffer;
  readonly codes: GpuBuffer | null;
}

/** Where the groups of one block are: consecutive ones of a slab. */
export interface Place {
  readonly slab: Slab;
  readonly first: number;
}

interface Used {
  readonly slab: Slab;
  readonly groups: number;
  /** Groups from here on were never given away. */
  top: number;
}

/** The memory of held blocks on one device. What a place holds is undefined until it is written. */
export class Slabs {
  readonly #gpu: Gpu;
  readonly #stateBytes: number;
  readonly #codeBytes: number;
  readonly #slabs: Used[] = [];
  /** Places given back, by their number of groups: the blocks of a run have few sizes. */
  readonly #free = new Map<number, Place[]>();

  /** Bytes are those of one group; 0 of codes where none are kept. */
  constructor(gpu: Gpu, stateBytes: number, codeBytes: number) {
    this.#gpu = gpu;
    this.#stateBytes = stateBytes;
    this.#codeBytes = codeBytes;
  }

  /** A place for so many groups. TOO_LARGE, with the numbers, when the device has no memory for it. */
  async take(groups: number): Promise<Place> {
    const reused = this.#free.get(groups)?.pop();
    if (reused !== undefined) return reused;
    let last = this.#slabs.at(-1);
    if (last === undefined || last.top + groups > last.groups) {
      last = await this.#made(groups, last === undefined ? 0 : 2 * last.groups);
      this.#slabs.push(last);
    }
    const first = last.top;
    last.top += groups;
    return { slab: last.slab, first };
  }

  give(place: Place, groups: number): void {
    const list = this.#free.get(groups);
    if (list === undefined) this.#free.set(groups, [place]);
    else list.push(place);
  }

  close(): void {
    for (const { slab } of this.#slabs.splice(0)) {
      this.#gpu.release(slab.state);
      if (slab.codes !== null) this.#gpu.release(slab.codes);
    }
    this.#free.clear();
  }

  /** Twice as large as the one before, within the bound, but no smaller than what is asked for. */
  async #made(least: number, wanted: number): Promise<Used> {
    const groupsMax = Math.floor(Math.min(SLAB_BYTES_MAX, this.#gpu.limits.storageBytesMax) / Math.max(this.#stateBytes, this.#codeBytes));
    const groups = Math.max(least, Math.min(wanted, groupsMax));
    const state = await this.#gpu.buffer(`state of ${groups} groups of agents`, groups * this.#stateBytes);
    const codes = this.#codeBytes === 0 ? null : await this.#gpu.buffer(`codes of ${groups} groups of agents`, groups * this.#codeBytes);
    return { slab: { state, codes }, groups, top: 0 };
  }
}
