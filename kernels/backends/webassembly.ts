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

/** Makes sure that `bytes` from the instance's heap base are there; every view of the memory made before is dead when it had to grow. */
export function reserve(instance: WasmInstance<unknown>, bytes: number): void {
  const { memory, heapBase } = instance;
  const missing = heapBase + bytes - memory.buffer.byteLength;
  if (missing <= 0) return;
  try {
    memory.grow(Math.ceil(missing / 65_536));
  } catch (cause) {
    throw new PopulaceError("TOO_LARGE", `${bytes} bytes for a kernel; its memory ends at 4 GiB, and this machine may have less: hand over fewer rows at once`, { bytes }, cause);
  }
}
