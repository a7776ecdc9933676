import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import type * as Webgpu from "webgpu";
import { GpuDevice, GpuLost } from "./gpu-device.ts";
import { Gpu } from "./gpu.ts";

/** What is asked of the device beyond WebGPU's defaults, which are those of a phone: as much as the adapter has. */
const LIMITS = [
  "maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage", "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX", "maxComputeWorkgroupsPerDimension",
] as const;

/** New devices that `withRecovery` tries after losses before it gives up: a card that fails thrice is not busy but broken. */
const RECOVERIES_MAX = 2;

/**
 * Workgroup memory does not start as zeros: every kernel writes what it reads. Zeroing is unrolled by SwiftShader; for the 12 KB of
 * nearest.wgsl it took 1.3 s to compile instead of 0.06, and 2 ms a workgroup.
 */
const DAWN_FLAGS = ["enable-dawn-features=disable_workgroup_init"];

let current: Promise<Gpu> | null = null;

/**
 * The device of this thread: opened at first, and anew after a loss, with a warning of the process. Rejects with an Error whose message is the reason, to be
 * read after "backend webgpu": the package is missing, there is no Vulkan loader, no adapter, or no device.
 */
export async function currentGpu(): Promise<Gpu> {
  const known = current;
  if (known !== null) {
    const gpu = await known.catch(() => null);
    if (gpu !== null && gpu.loss === null) return gpu;
    // Somebody else noticed first and is opening the next.
    if (current !== known) return currentGpu();
    if (gpu !== null && gpu.loss !== null) process.emitWarning(gpu.loss.message, "GpuLost");
  }
  current = openGpu();
  return current;
}

/**
 * Runs `work` on the device of this thread and, when that is lost under it, from its beginning on a new one, at most twice;
 * `onLoss` hears of each loss before. So `work` must leave nothing behind on the host that its repetition would count twice.
 * Rejects with GpuLost when the device was lost too often or there is none any more, else with what `work` rejects with.
 */
export async function withRecovery<T>(work: (gpu: Gpu) => Promise<T>, onLoss: (loss: GpuLost) => void = () => {}): Promise<T> {
  let gpu = await currentGpu();
  for (let recoveries = 0; ; recoveries++) {
    try {
      return await work(gpu);
    } catch (error) {
      if (!(error instanceof GpuLost)) throw error;
      onLoss(error);
      if (recoveries === RECOVERIES_MAX) throw error;
      try {
        gpu = await currentGpu();
      } catch (none) {
        throw new GpuLost(gpu.name, `and no other can be had: ${none instanceof Error ? none.message : String(none)}`);
      }
    }
  }
}

/** Opens an adapter and a device of its own. */
export async function openGpu(): Promise<Gpu> {
  const { instance, adapter, name, isHardware } = await findAdapter(DAWN_FLAGS);
  const requiredLimits = Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]]));
  const device = await adapter.requestDevice({ requiredLimits }).catch((error: unknown) => {
    throw new Error(`finds ${name}, which gives no device: ${error instanceof Error ? error.message.trim() : String(error)}`, { cause: error });
  });
  const { limits } = device;
  return new Gpu(new GpuDevice({ instance, adapter, device }, name, {
    storageBytesMax: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
    groupsPerDimensionMax: limits.maxComputeWorkgroupsPerDimension,
    threadsPerGroupMax: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
    groupBytesMax: limits.maxComputeWorkgroupStorageSize,
    storageBuffersMax: limits.maxStorageBuffersPerShaderStage,
    paramsAlignment: limits.minUniformBufferOffsetAlignment,
  }), isHardware);
}

/** An adapter of this machine. Both objects must stay referenced as long as they are used: once they are collected, Dawn aborts or hangs. */
export interface FoundAdapter {
  readonly instance: GPU;
  readonly adapter: GPUAdapter;
  /** What a browser has on its global object. */
  readonly globals: object;
  /** What it is, for people: "NVIDIA H100 80GB HBM3 (Vulkan)". */
  readonly name: string;
  /** False where shaders are emulated on the processor. */
  readonly isHardware: boolean;
}

/** The fastest adapter that Dawn finds with these flags. Rejects with the reason, to be read after a backend's name, where there is none. */
export async function findAdapter(flags: readonly string[]): Promise<FoundAdapter> {
  const { create, globals } = await dawn();
  const instance = create([...flags]);
  const adapter = await instance.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) throw new Error(whyNoAdapter());
  const isHardware = !isEmulation(adapter.info);
  const through = isHardware ? (({ darwin: "Metal", win32: "Direct3D" } as Readonly<Record<string, string>>)[process.platform] ?? "Vulkan") : "software";
  return { instance, adapter, globals, name: `${adapterName(adapter.info)} (${through})`, isHardware };
}

/** A name for people out of what Dawn tells: "nvidia-h100-80gb-hbm3" is NVIDIA H100 80GB HBM3. */
export function adapterName(info: Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description">): string {
  if (info.architecture === "swiftshader") return "SwiftShader";
  const told = [info.device, info.description, `${info.vendor} ${info.architecture}`].find((each) => /[a-z]/i.test(each) && !each.startsWith("0x")) ?? "unnamed adapter";
  // Dawn writes names in lower case with hyphens; a description is already written for people.
  if (told !== info.device) return told.trim();
  const vendors: Readonly<Record<string, string>> = { nvidia: "NVIDIA", amd: "AMD", intel: "Intel", geforce: "GeForce" };
  const words = told.split(/[-\s]+/).filter((word) => word !== "");
  return words.map((word) => vendors[word] ?? (/\d/.test(word) || word.length <= 3 ? word.toUpperCase() : word[0]!.toUpperCase() + word.slice(1))).join(" ");
}

function isEmulation(info: GPUAdapterInfo): boolean {
  return info.isFallbackAdapter || info.architecture === "swiftshader" || /llvmpipe|lavapipe/i.test(`${info.device} ${info.description}`);
}

async function dawn(): Promise<typeof Webgpu> {
  try {
    return await import("webgpu");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_MODULE_NOT_FOUND") throw new Error("needs the optional package webgpu, which is not installed (npm install webgpu)", { cause: error });
    throw new Error(`cannot load Dawn: ${message.split("\n")[0]}`, { cause: error });
  }
}

function whyNoAdapter(): string {
  if (process.platform !== "linux") return "finds no adapter";
  if (!hasVulkanLoader()) return "finds no Vulkan loader (libvulkan.so.1; Debian's package libvulkan1)";
  return "finds no adapter: Vulkan's loader is there, but no driver that Dawn accepts (VK_DRIVER_FILES names one, `vulkaninfo` lists them)";
}

/** Whether libvulkan.so.1 can be found, as far as files tell: the linker's cache names every library that is installed as usual. */
function hasVulkanLoader(): boolean {
  const named = (process.env["LD_LIBRARY_PATH"] ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, "libvulkan.so.1")));
  return named || (existsSync("/etc/ld.so.cache") && readFileSync("/etc/ld.so.cache").includes("libvulkan.so.1"));
}
