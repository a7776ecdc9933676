/**
 * For whom a backend is out of use after a kernel failed on it with this code. For all runs of the node when its device was lost; so it is when a
 * worker cannot open what the node could, but a backend that was asked for by name and cannot be had is refused. For this run when it does not
 * fit a GPU's memory and nobody asked for the GPU; where the memory is the machine's, no other backend has more of it. For nobody otherwise: the
 * run fails.
 */
export function outOfUse(backend: string, code: string, isAskedFor: boolean): "node" | "run" | "nobody" {
  if (code === "UNAVAILABLE" || (code === "BACKEND_MISSING" && !isAskedFor)) return "node";
  return code === "TOO_LARGE" && backend === "webgpu" && !isAskedFor ? "run" : "nobody";
}
