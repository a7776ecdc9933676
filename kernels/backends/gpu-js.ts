import { distancesGpuJs } from "../distances/gpu-js.ts";
import { responseSurfaceGpuJs } from "../response-surface/gpu-js.ts";
import type { Backend } from "./backend.ts";
import { type FoundAdapter, findAdapter } from "./gpu-adapter.ts";
import { missingGraphicsDevice } from "./graphics-device.ts";

/** How gpu.js runs a map: on a WebGPU adapter, as the WebAssembly it generates, or as the JavaScript it generates. */
export type GpuJsMode = "webgpu" | "webasm" | "cpu";

/** What the kernels use of gpu.js: its own types want a browser's. */
export interface GpuJs {
  createKernel(cell: CellFunction, settings: { readonly output: readonly number[]; readonly constants: Readonly<Record<string, number>>; readonly precision: "single" }): GpuJsKernel;
}
/** A function of one cell; gpu.js reads its source, so it may use numbers, its arguments and `this`, and nothing else. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- arguments as each cell function has them
export type CellFunction = (this: any, ...args: any[]) => number;
type GpuJsKernel = { destroy(): void } & ((...args: readonly Float32Array[]) => Cells | Promise<Cells>);
/** As many levels of lists as the output has dimensions, the last dimension outermost; floats at the bottom. */
export type Cells = Float32Array | readonly Cells[];

/**
 * gpu.js on the best that is here: a hardware GPU through WebGPU, else the WebAssembly it generates, else its JavaScript; only
 * the first is called fast. Rejects with the reason when the optional package is missing.
 */
export async function openGpuJs(): Promise<Backend> {
  const dawn = missingGraphicsDevice() === "" ? await openDawn() : null;
  if (dawn !== null && typeof dawn !== "string" && dawn.isHardware) return gpuJsBackend("webgpu");
  const { GPU } = await gpuJs();
  return gpuJsBackend(GPU.isWebAssemblySupported ? "webasm" : "cpu");
}

/** gpu.js in one mode, also on a GPU that is only emulated (for tests). Rejects with the reason when the mode does not exist here. */
export async function gpuJsBackend(mode: GpuJsMode): Promise<Backend> {
  const { GPU } = await gpuJs();
  let device = mode === "cpu" ? "JavaScript" : "WebAssembly", isFast = false;
  if (mode === "webgpu") {
    const dawn = await openDawn();
    if (typeof dawn === "string") throw new Error(dawn);
    offerToGpuJs(dawn);
    [device, isFast] = [dawn.name, dawn.isHardware];
  }
  const gpu = new GPU({ mode });
  return { name: "gpu-js", device: `gpu.js, ${mode}: ${device}`, isFast, kernels: { responseSurface: responseSurfaceGpuJs(gpu), distances: distancesGpuJs(gpu) } };
}

interface GpuJsModule {
  readonly GPU: { new (settings: { readonly mode: GpuJsMode }): GpuJs; readonly isWebAssemblySupported: boolean };
}

async function gpuJs(): Promise<GpuJsModule> {
  try {
    return (await import("gpu.js")) as unknown as GpuJsModule;
  } catch (cause) {
    throw new Error("needs the optional package gpu.js, which is not installed", { cause });
  }
}

let opened: Promise<FoundAdapter | string> | null = null;

/** WebGPU for Node, or why there is none; asked once a thread, and kept. */
function openDawn(): Promise<FoundAdapter | string> {
  return (opened ??= findAdapter([]).catch((error: unknown) => (error instanceof Error ? error.message : String(error))));
}

/** gpu.js looks for WebGPU where a browser has it, and nowhere else. */
function offerToGpuJs({ instance, globals }: FoundAdapter): void {
  for (const [name, value] of Object.entries(globals)) if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  if (!("gpu" in globalThis.navigator)) Object.defineProperty(globalThis.navigator, "gpu", { value: instance, configurable: true });
}
