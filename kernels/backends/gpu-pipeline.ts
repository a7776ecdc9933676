import { PopulaceError } from "@populace/domain/error";
import type { WgslSource } from "../lib/wgsl.ts";
import type { GpuDevice } from "./gpu-device.ts";

/** A compiled program. It lives as long as its device. */
export interface GpuPipeline {
  readonly name: string;
  readonly threadsPerGroup: number;
}

/** A compiled program with what its dispatches need. */
export interface CompiledPipeline extends GpuPipeline {
  readonly source: WgslSource;
  readonly raw: GPUComputePipeline;
  readonly buffersLayout: GPUBindGroupLayout;
  /** Null for a program without parameters. */
  readonly paramsLayout: GPUBindGroupLayout | null;
  /** Bind groups by the buffers in them; making one costs more than a dispatch. */
  readonly bindings: Map<string, GPUBindGroup>;
}

/** GPUShaderStage.COMPUTE. */
const COMPUTE_STAGE = 4;

/** Compiles a program with values for its `override`s. INTERNAL, with file and line, when it does not compile or does not fit the device. */
export async function compile(device: GpuDevice, source: WgslSource, overrides: Readonly<Record<string, number>>): Promise<CompiledPipeline> {
  const { raw: dawn, name } = device;
  dawn.pushErrorScope("validation");
  const module = dawn.createShaderModule({ label: source.name, code: source.code });
  const [invalid, { messages }] = await Promise.all([dawn.popErrorScope(), module.getCompilationInfo()]);
  const errors = messages.filter((message) => message.type === "error").map((message) => `${source.origin(message.lineNum)}:${message.linePos}: ${message.message}`);
  if (invalid !== null && errors.length === 0) errors.push(invalid.message);
  if (errors.length > 0) throw new PopulaceError("INTERNAL", `WGSL ${source.name} does not compile: ${errors.join("; ")}`, { file: source.name });

  const buffersLayout = dawn.createBindGroupLayout({
    label: source.name,
    entries: source.buffers.map(({ isWritten }, binding) => ({ binding, visibility: COMPUTE_STAGE, buffer: { type: isWritten ? "storage" : "read-only-storage" } })),
  });
  const paramsLayout = source.params.length === 0 ? null : dawn.createBindGroupLayout({
    label: `${source.name} params`,
    entries: [{ binding: 0, visibility: COMPUTE_STAGE, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: source.params.length * 4 } }],
  });
  try {
    const raw = await dawn.createComputePipelineAsync({
      label: source.name,
      layout: dawn.createPipelineLayout({ bindGroupLayouts: paramsLayout === null ? [buffersLayout] : [buffersLayout, paramsLayout] }),
      compute: { module, constants: { ...overrides } },
    });
    const { override, threads } = source.groupSize;
    return { name: source.name, source, threadsPerGroup: override === null ? threads : (overrides[override] ?? threads), raw, buffersLayout, paramsLayout, bindings: new Map() };
  } catch (error) {
    throw new PopulaceError("INTERNAL", `WGSL ${source.name} does not fit GPU ${name}: ${error instanceof Error ? error.message.trim() : String(error)}`, { file: source.name, overrides }, error);
  }
}
