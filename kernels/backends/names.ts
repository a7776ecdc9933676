/** Every backend there is. Integer kernels give the same bits on all that have them; gpu-js holds the float maps only. */
export const BACKEND_NAMES = ["reference", "wasm", "webgpu", "gpu-js"] as const;
/** Name of a backend, as in ExecutionPlan and on the command line. */
export type BackendName = (typeof BACKEND_NAMES)[number];
