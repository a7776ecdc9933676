import { PopulaceError } from "@populace/domain/error";
import type { ExposeBlock, ExposePlan } from "../expose/plan.ts";
import type { BlockOutput, BlockState, Climate, PopulationForm } from "../expose/reference.ts";
import { referenceBackend } from "./reference.ts";

/** Where a kernel runs. Every backend gives the same bits; it is chosen by name and never replaced in silence. */
export interface Backend {
  readonly name: BackendName;
  /** Takes the plan once (a device backend uploads it) and returns what steps its blocks. */
  open(plan: ExposePlan): ExposeSession;
}

/** One plan on one backend in one thread. */
export interface ExposeSession {
  /** A block before tick 0, or as the bytes of a checkpoint left it (CORRUPT when their length is wrong). */
  createBlock(block: ExposeBlock, form: PopulationForm, state?: Uint8Array): BlockState;
  /** Advances the block by a tick, adding to `output`. */
  stepBlock(target: BlockState, tick: number, climate: Climate, output: BlockOutput): void;
}

/** Every backend there will be; `backendOf` says which exist here. */
export const BACKEND_NAMES = ["reference", "wasm", "webgpu", "gpu-js"] as const;
/** Name of a backend, as in ExecutionPlan and on the command line. */
export type BackendName = (typeof BACKEND_NAMES)[number];

const BUILT: { readonly [name in BackendName]?: Backend } = { reference: referenceBackend };

/** The backend of that name; BACKEND_MISSING when this build or this machine has none, with those that exist. */
export function backendOf(name: string): Backend {
  const backend = (BUILT as { readonly [name: string]: Backend | undefined })[name];
  if (backend !== undefined && Object.hasOwn(BUILT, name)) return backend;
  const known = (BACKEND_NAMES as readonly string[]).includes(name);
  throw new PopulaceError(
    "BACKEND_MISSING",
    `kernel backend "${name}" ${known ? "is not part of this build" : "is not known"}; available: ${Object.keys(BUILT).join(", ")}`,
    { backend: name, available: Object.keys(BUILT) },
  );
}
