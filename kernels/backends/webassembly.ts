// The part of the WebAssembly interface that the kernels use: Node has it, its type packages do not (they are a browser's).
declare global {
  namespace WebAssembly {
    class Memory {
      constructor(descriptor: { readonly initial: number; readonly maximum?: number; readonly shared?: boolean });
      readonly buffer: ArrayBuffer;
      /** Adds pages of 64 KiB and returns the number there was; every view of the old buffer is dead afterwards. */
      grow(pages: number): number;
    }
    class Module {
      constructor(bytes: Uint8Array);
    }
    class Instance {
      constructor(module: Module, imports: { readonly env: { readonly memory: Memory; readonly abort: () => void } });
      readonly exports: unknown;
    }
    function validate(bytes: Uint8Array): boolean;
  }
}

import { readFileSync } from "node:fs";
import { PopulaceError } from "@populace/domain/error";

/** One i8x16.popcnt: a module that validates only where there is SIMD. */
const PROBE = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00, 0x0a, 0x0a, 0x01,
  0x08, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x62, 0x0b,
);

/** Whether this engine has SIMD. */
export const isSimdHere = (): boolean => WebAssembly.validate(PROBE);

/** A module: a committed file (`kernels/<kernel>/<kernel>.wasm`), or bytes of one that a test has changed. */
export type WasmSource = URL | Uint8Array;

const modules = new Map<string | Uint8Array, WebAssembly.Module>();

/** One kernel's functions over one memory of its own. */
export interface WasmInstance<Exports> {
  readonly memory: WebAssembly.Memory;
  readonly exports: Exports;
  /** First address, a multiple of 64, that belongs to the caller: the module's tables lie below. */
  readonly heapBase: number;
}

/** Instantiates a module over `bytes` of fresh memory or more. Compiled once a thread; V8 shares the code between threads. */
export function instantiate<Exports>(source: WasmSource, bytes: number): WasmInstance<Exports> {
  const key = source instanceof URL ? source.href : source;
  let module = modules.get(key);
  if (module === undefined) {
    module = new WebAssembly.Module(source instanceof URL ? readFileSync(source) : source);
    modules.set(key, module);
  }
  const memory = new WebAssembly.Memory({ initial: 1 + Math.ceil((bytes + 65_536) / 65_536), maximum: 65_536 });
  const abort = (): never => { throw new Error("a WebAssembly kernel aborted"); };
  const exports = new WebAssembly.Instance(module, { env: { memory, abort } }).exports as Exports & { heapBase(): number };
  return { memory, exports, heapBase: (exports.heapBase() + 63) & ~63 };
}

/** Makes sure that `bytes` from the instance's heap base are there. */
function reserve(instance: WasmInstance<unknown>, bytes: number): void {
  const { memory, heapBase } = instance;
  const missing = heapBase + bytes - memory.buffer.byteLength;
  if (missing <= 0) return;
  try {
    memory.grow(Math.ceil(missing / 65_536));
  } catch (cause) {
    throw new PopulaceError("TOO_LARGE", `${bytes} bytes for a kernel; its memory ends at 4 GiB, and this machine may have less: hand over fewer rows at once`, { bytes }, cause);
  }
}

/** Addresses are rounded up to this, so that vectors do not straddle cache lines. */
const ALIGNMENT = 16;

/** Memory above this is given back to the system rather than kept for the next session. */
const KEPT_BYTES_MAX = 64 << 20;
const KEPT_INSTANCES_MAX = 4;

/**
 * Instances of one module for sessions that come and go. A memory reserves gigabytes of addresses, so a small one is used again rather than left to the
 * collector.
 */
export class InstancePool<Exports> {
  readonly #url: URL;
  readonly #idle: WasmInstance<Exports>[] = [];

  constructor(url: URL) {
    this.#url = url;
  }

  take(): WasmArena<Exports> {
    return new WasmArena(this.#idle.pop() ?? instantiate<Exports>(this.#url, 0), (instance) => {
      if (instance.memory.buffer.byteLength <= KEPT_BYTES_MAX && this.#idle.length < KEPT_INSTANCES_MAX) this.#idle.push(instance);
    });
  }
}

/** The memory of one session, handed out from its start. Views are made when they are needed: `reserve` kills those made before. */
export class WasmArena<Exports> {
  /** Where the next piece begins; setting it back gives up what was taken since. */
  end: number;
  readonly exports: Exports;
  readonly #instance: WasmInstance<Exports>;
  readonly #giveBack: (instance: WasmInstance<Exports>) => void;

  constructor(instance: WasmInstance<Exports>, giveBack: (instance: WasmInstance<Exports>) => void) {
    this.#instance = instance;
    this.#giveBack = giveBack;
    this.exports = instance.exports;
    this.end = instance.heapBase;
  }

  /** The address of the next so many bytes. They are there after `reserve`. */
  take(bytes: number): number {
    const at = this.end;
    // No bit operations: addresses go beyond 2^31.
    this.end = ALIGNMENT * Math.ceil((this.end + bytes) / ALIGNMENT);
    return at;
  }

  reserve(): void {
    reserve(this.#instance, this.end - this.#instance.heapBase);
  }

  int16 = (at: number, length: number): Int16Array => new Int16Array(this.#instance.memory.buffer, at, length);
  uint32 = (at: number, length: number): Uint32Array => new Uint32Array(this.#instance.memory.buffer, at, length);
  int32 = (at: number, length: number): Int32Array => new Int32Array(this.#instance.memory.buffer, at, length);
  float32 = (at: number, length: number): Float32Array => new Float32Array(this.#instance.memory.buffer, at, length);
  float64 = (at: number, length: number): Float64Array => new Float64Array(this.#instance.memory.buffer, at, length);
  bytes = (at: number, length: number): Uint8Array => new Uint8Array(this.#instance.memory.buffer, at, length);

  /** The session is over; its memory goes to another. */
  close(): void {
    this.#giveBack(this.#instance);
  }
}
