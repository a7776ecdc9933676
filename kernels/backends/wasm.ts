import type { Backend } from "./backend.ts";
import { kMeansWasm } from "../k-means/wasm.ts";
import { mixtureWasm } from "../mixture/wasm.ts";
import { rowRatesWasm } from "../row-rates/wasm.ts";
import { nearestWasm } from "../nearest/wasm.ts";
import "./webassembly.ts";

/** One i8x16.relaxed_swizzle: a module that validates only where the SIMD instructions that the kernels use exist. */
const PROBE = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00, 0x0a, 0x0f, 0x01,
  0x0d, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x80, 0x02, 0x0b,
);

/** SIMD WebAssembly on the calling thread. Rejects where the engine lacks relaxed SIMD (Node before 21). */
export function openWasm(): Promise<Backend> {
  if (!WebAssembly.validate(PROBE)) return Promise.reject(new Error(`needs relaxed SIMD WebAssembly, which V8 ${process.versions.v8} lacks`));
  return Promise.resolve({ name: "wasm", device: `SIMD WebAssembly, V8 ${process.versions.v8.split(".").slice(0, 2).join(".")}`, isFast: true, kernels: { nearest: nearestWasm, kMeans: kMeansWasm, mixture: mixtureWasm, rowRates: rowRatesWasm } });
}
