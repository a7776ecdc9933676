import { type Backend, openBackend } from "../backends/backend.ts";
import { type GpuJsMode, gpuJsBackend } from "../backends/gpu-js.ts";

/** A backend of the float maps, or why this machine has none: a parity test skips it by that name. */
export interface Candidate {
  readonly name: string;
  readonly backend: Backend | null;
}

/** Everything but the reference: wasm, and gpu.js in each of its modes. */
export async function floatBackends(): Promise<readonly Candidate[]> {
  const found = [candidate("wasm", openBackend("wasm", "distances"))];
  for (const mode of ["cpu", "webasm", "webgpu"] as const satisfies readonly GpuJsMode[]) found.push(candidate(`gpu.js ${mode}`, gpuJsBackend(mode)));
  return Promise.all(found);
}

const candidate = (name: string, opening: Promise<Backend>): Promise<Candidate> =>
  opening.then((backend) => ({ name, backend }), (error: unknown) => ({ name: `${name} (skipped: it ${error instanceof Error ? error.message : String(error)})`, backend: null }));
