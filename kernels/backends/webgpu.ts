import { exposeWebgpu } from "../expose/webgpu.ts";
import { kMeansWebgpu } from "../k-means/webgpu.ts";
import { meanFieldWebgpu } from "../mean-field/webgpu.ts";
import { nearestWebgpu } from "../nearest/webgpu.ts";
import type { Backend } from "./backend.ts";
import { currentGpu } from "./gpu-adapter.ts";

/** The GPU of this machine, through Dawn, on the calling thread. Rejects with the reason where there is none. */
export async function openWebgpu(): Promise<Backend> {
  const gpu = await currentGpu();
  return { name: "webgpu", device: gpu.name, isFast: gpu.isHardware, kernels: { expose: exposeWebgpu, nearest: nearestWebgpu, kMeans: kMeansWebgpu, meanField: meanFieldWebgpu } };
}
