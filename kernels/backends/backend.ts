import type { MixtureEngine } from "@populace/domain";
import { PopulaceError } from "@populace/domain/error";
import type { DistancesKernel } from "../distances/port.ts";
import type { ExposeKernel } from "../expose/port.ts";
import type { KMeansKernel } from "../k-means/port.ts";
import type { RowRatesKernel } from "../row-rates/port.ts";
import type { NearestKernel } from "../nearest/port.ts";
import type { MeanFieldKernel } from "../mean-field/port.ts";
import type { ResponseSurfaceKernel } from "../response-surface/port.ts";
import { missingGraphicsDevice } from "./graphics-device.ts";
import { BACKEND_NAMES, type BackendName } from "./names.ts";

/** The kernels of a backend by name; a backend has those it can do exactly (integers) or within a stated tolerance (floats). */
export interface Kernels {
  readonly expose?: ExposeKernel;
  readonly nearest?: NearestKernel;
  readonly kMeans?: KMeansKernel;
  readonly mixture?: MixtureEngine;
  readonly rowRates?: RowRatesKernel;
  readonly meanField?: MeanFieldKernel;
  readonly responseSurface?: ResponseSurfaceKernel;
  readonly distances?: DistancesKernel;
}
export type KernelName = keyof Kernels;

/** Where kernels run, in this thread. It is chosen by name or by `chooseBackend` and never replaced in silence. */
export interface Backend {
  readonly name: BackendName;
  /** What it runs on, for people: "TypeScript", "SIMD WebAssembly, V8 13.6", the adapter of a GPU. */
  readonly device: string;
  /** Whether the device is real hardware for it: a GPU emulated on the processor is exact and slow, and never chosen unasked. */
  readonly isFast: boolean;
  readonly kernels: Kernels;
}

/** A backend and why it was taken, for people and for the record. */
export interface ChosenBackend {
  readonly backend: Backend;
  readonly reason: string;
}

/** What `openBackend` found of one backend on this machine. */
export interface BackendStatus {
  readonly name: BackendName;
  readonly backend: Backend | null;
  /** Why it cannot be used here; "" when it can. */
  readonly reason: string;
}

/** How each backend is loaded and opened; rejects with the reason when this machine has none. */
const OPENERS: { readonly [name in BackendName]: () => Promise<Backend> } = {
  reference: async () => (await import("./reference.ts")).openReference(),
  wasm: async () => (await import("./wasm.ts")).openWasm(),
  webgpu: async () => (await import("./webgpu.ts")).openWebgpu(),
  "gpu-js": async () => (await import("./gpu-js.ts")).openGpuJs(),
};

/** What tells at little cost, without opening it, that a backend is not to be had here; "" where only opening it tells. */
const FORESEEN: { readonly [name in BackendName]?: () => string } = { webgpu: missingGraphicsDevice };

const opened = new Map<BackendName, Promise<BackendStatus>>();

/** Opens a backend once a thread; never rejects: what is missing says why. */
export function backendStatus(name: BackendName): Promise<BackendStatus> {
  let status = opened.get(name);
  if (status === undefined) {
    status = OPENERS[name]().then(
      (backend) => ({ name, backend, reason: "" }),
      (error: unknown) => ({ name, backend: null, reason: error instanceof Error ? error.message : String(error) }),
    );
    opened.set(name, status);
  }
  return status;
}

/** The backend of that name with that kernel. BACKEND_MISSING, with the reason and what there is, when this machine or the backend has none. */
export async function openBackend<K extends KernelName>(name: string, kernel: K): Promise<Backend & { readonly kernels: { readonly [key in K]-?: NonNullable<Kernels[K]> } }> {
  const known = BACKEND_NAMES.find((each) => each === name);
  let why = "is not known";
  if (known !== undefined && PREFERENCE[kernel].includes(known)) {
    const { backend, reason } = await backendStatus(known);
    if (backend?.kernels[kernel] !== undefined) return backend as never;
    why = backend === null ? `cannot be used here: ${reason}` : `has no kernel ${kernel}`;
  } else if (known !== undefined) why = `has no kernel ${kernel}${LACKS[known] ?? ""}`;
  const available = await backendsWith(kernel);
  throw new PopulaceError("BACKEND_MISSING", `kernel backend "${name}" ${why}; available for ${kernel}: ${available.join(", ")}`, { backend: name, kernel, available });
}

/** The status of a backend that nobody asked for by name: it is not even opened where that cannot help. */
function statusUnasked(name: BackendName): Promise<BackendStatus> {
  const reason = opened.has(name) ? "" : (FORESEEN[name]?.() ?? "");
  return reason === "" ? backendStatus(name) : Promise.resolve({ name, backend: null, reason });
}

/** Names of the backends of this machine that have the kernel, the preferred one first. */
export async function backendsWith(kernel: KernelName): Promise<readonly BackendName[]> {
  const found: BackendName[] = [];
  for (const name of PREFERENCE[kernel]) {
    const { backend } = await statusUnasked(name);
    if (backend?.kernels[kernel] !== undefined) found.push(name);
  }
  return found;
}

/**
 * The backends that have or may have a kernel, the fastest first; the reference is always there. "auto" opens them in this order
 * until one is fast, so what is slow to open stands behind what is nearly as good.
 *
 * Float maps, one core, ratios of one run (test/bench/maps.bench.ts): of the f64 reference's speed, response surfaces run at 7 in
 * wasm, 1.5 in gpu.js' webasm and 1 in its cpu mode; distances at 9 in wasm, 0.7 and 0.9. Loading gpu.js and asking for an adapter
 * take 0.2 s, a whole default surface in wasm 0.07 s: so gpu.js is chosen by itself only where there is no wasm and a real GPU.
 * nearest and kMeans have not been measured on a real GPU, and those who call them want wasm's answer at once.
 */
const PREFERENCE: { readonly [kernel in KernelName]: readonly BackendName[] } = {
  expose: ["webgpu", "wasm", "reference"],
  nearest: ["wasm", "webgpu", "reference"],
  kMeans: ["wasm", "webgpu", "reference"],
  mixture: ["wasm", "reference"],
  rowRates: ["wasm", "reference"],
  meanField: ["wasm", "webgpu", "reference"],
  responseSurface: ["wasm", "gpu-js", "reference"],
  distances: ["wasm", "gpu-js", "reference"],
};

/** Why a backend has none of the kernels that are not named with it above. */
const LACKS: { readonly [name in BackendName]?: string } = {
  "gpu-js": ": its integers are f32 and round beyond 2^24, where all others agree to the bit; it holds the float maps only",
};

/**
 * The backend that was asked for, or with "auto" the fastest that has the kernel here, with the reason. BACKEND_MISSING when one is
 * asked for by name that this machine has not. `unusable` names backends that failed, with the reason: they are passed over, and for one
 * of them that was asked for stands the fastest of the others.
 */
export async function chooseBackend<K extends KernelName>(wanted: string, kernel: K, unusable: ReadonlyMap<string, string> = new Map()): Promise<ChosenBackend & { readonly backend: Awaited<ReturnType<typeof openBackend<K>>> }> {
  if (wanted !== "auto" && !unusable.has(wanted)) return { backend: await openBackend(wanted, kernel), reason: "asked for" };
  const passed: string[] = [];
  for (const name of PREFERENCE[kernel]) {
    const failure = unusable.get(name);
    if (failure !== undefined) {
      passed.push(`${name} failed: ${failure}`);
      continue;
    }
    const { backend, reason } = await statusUnasked(name);
    if (backend?.kernels[kernel] !== undefined && backend.isFast) return { backend: backend as never, reason: passed.length === 0 ? `the fastest there is for ${kernel}` : passed.join("; ") };
    if (backend === null) passed.push(`${name} ${reason}`);
    else if (!backend.isFast) passed.push(`${name} only emulates its device here (${backend.device})`);
  }
  return { backend: await openBackend("reference", kernel), reason: passed.join("; ") };
}
