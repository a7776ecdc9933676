import type { MixtureEngine } from "@populace/domain";
import { PopulaceError } from "@populace/domain/error";
import type { ExposeKernel } from "../expose/port.ts";
import type { KMeansKernel } from "../k-means/port.ts";
import type { RowRatesKernel } from "../row-rates/port.ts";
import type { NearestKernel } from "../nearest/port.ts";
import { openReference } from "./reference.ts";
import { openWasm } from "./wasm.ts";

/** Every backend there is. Integer kernels give the same bits on all that have them; gpu-js holds the float maps only. */
export const BACKEND_NAMES = ["reference", "wasm", "webgpu", "gpu-js"] as const;
/** Name of a backend, as in ExecutionPlan and on the command line. */
export type BackendName = (typeof BACKEND_NAMES)[number];

/** The kernels of a backend by name; a backend has those it can do exactly (integers) or within a stated tolerance (floats). */
export interface Kernels {
  readonly expose?: ExposeKernel;
  readonly nearest?: NearestKernel;
  readonly kMeans?: KMeansKernel;
  readonly mixture?: MixtureEngine;
  readonly rowRates?: RowRatesKernel;
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

/** How each backend is opened; rejects with the reason when this machine has none. */
const OPENERS: { readonly [name in BackendName]: () => Promise<Backend> } = {
  reference: openReference,
  wasm: openWasm,
  webgpu: () => Promise.reject(new Error("is not part of this build")),
  "gpu-js": () => Promise.reject(new Error("is not part of this build")),
};

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
  const status = known === undefined ? null : await backendStatus(known);
  const backend = status?.backend ?? null;
  if (backend !== null && backend.kernels[kernel] !== undefined) return backend as never;
  const available = await backendsWith(kernel);
  const why = known === undefined ? "is not known" : backend === null ? `cannot be used here: ${status!.reason}` : `has no kernel ${kernel}`;
  throw new PopulaceError("BACKEND_MISSING", `kernel backend "${name}" ${why}; available for ${kernel}: ${available.join(", ")}`, { backend: name, kernel, available });
}

/** Names of the backends of this machine that have the kernel, the preferred one first. */
export async function backendsWith(kernel: KernelName): Promise<readonly BackendName[]> {
  const found: BackendName[] = [];
  for (const name of PREFERENCE) {
    const { backend } = await backendStatus(name);
    if (backend?.kernels[kernel] !== undefined) found.push(name);
  }
  return found;
}

/** Fast hardware first; the reference is always there. */
const PREFERENCE: readonly BackendName[] = ["webgpu", "wasm", "gpu-js", "reference"];

/**
 * The backend that was asked for, or with "auto" the first of a real GPU, SIMD WebAssembly and the reference that has the kernel
 * here, with the reason. BACKEND_MISSING when one is asked for by name that this machine has not.
 */
export async function chooseBackend<K extends KernelName>(wanted: string, kernel: K): Promise<ChosenBackend & { readonly backend: Awaited<ReturnType<typeof openBackend<K>>> }> {
  if (wanted !== "auto") return { backend: await openBackend(wanted, kernel), reason: "asked for" };
  const passed: string[] = [];
  for (const name of PREFERENCE) {
    const { backend, reason } = await backendStatus(name);
    if (backend?.kernels[kernel] !== undefined && backend.isFast) return { backend: backend as never, reason: passed.length === 0 ? `the fastest there is for ${kernel}` : passed.join("; ") };
    if (backend === null) passed.push(`${name} ${reason}`);
    else if (!backend.isFast) passed.push(`${name} only emulates its device here (${backend.device})`);
  }
  return { backend: await openBackend("reference", kernel), reason: passed.join("; ") };
}
