// Tests that need a GPU, real or emulated: `npm test` leads Dawn to one (tools/vulkan.ts), else they skip and say why.
import { describe } from "vitest";
import { backendStatus } from "./backend.ts";
import { currentGpu } from "./gpu-adapter.ts";
import type { Gpu } from "./gpu.ts";

const { backend, reason } = await backendStatus("webgpu");
const why = process.env["POPULACE_NO_GPU"] ?? `webgpu ${reason}`;

/** A group of tests on this thread's device, whose name it carries; skipped, with the reason in the name, where there is none. */
export function describeOnGpu(name: string, tests: (gpu: () => Promise<Gpu>) => void): void {
  describe.skipIf(backend === null)(`${name} (${backend === null ? `skipped: ${why}` : backend.device})`, () => tests(currentGpu));
}
