import { distancesWasm } from "../distances/wasm.ts";
import { exposeWasm } from "../expose/wasm.ts";
import { meanFieldWasm } from "../mean-field/wasm.ts";
import { responseSurfaceWasm } from "../response-surface/wasm.ts";
import type { Backend } from "./backend.ts";
import { kMeansWasm } from "../k-means/wasm.ts";
import { mixtureWasm } from "../mixture/wasm.ts";
import { rowRatesWasm } from "../row-rates/wasm.ts";
import { nearestWasm } from "../nearest/wasm.ts";
import { isSimdHere } from "./webassembly.ts";

/** SIMD WebAssembly on the calling thread. Rejects where the engine lacks SIMD. */
export function openWasm(): Promise<Backend> {
  if (!isSimdHere()) return Promise.reject(new Error(`needs SIMD WebAssembly, which V8 ${process.versions.v8} lacks`));
  return Promise.resolve({ name: "wasm", device: `SIMD WebAssembly, V8 ${process.versions.v8.split(".").slice(0, 2).join(".")}`, isFast: true, kernels: { expose: exposeWasm, nearest: nearestWasm, kMeans: kMeansWasm, mixture: mixtureWasm, rowRates: rowRatesWasm, meanField: meanFieldWasm, responseSurface: responseSurfaceWasm, distances: distancesWasm } });
}
