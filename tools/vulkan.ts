// Vulkan for the GPU tests: the machine's own GPU where there is one, else SwiftShader, which runs shaders on the processor.
//   node tools/run.mjs tools/vulkan.ts       says which, and fetches SwiftShader where it is missing
// SwiftShader comes out of Debian's package chromium-common (three files of 6 MB, 32 MB to fetch), which also carries a Vulkan
// loader. A machine with Debian's Chromium has them already; elsewhere they are unpacked into .tools/ of the checkout, without
// root and with lists and caches of apt's own there, so that nothing outside the checkout changes.
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { debianFiles, run } from "./packages.ts";

/** What a process that loads Dawn must have in its environment, and what it will find, for people. */
export interface Vulkan {
  readonly env: Readonly<Record<string, string>>;
  readonly note: string;
}

const PACKAGE = "chromium-common";
const PACKAGE_FOLDER = "usr/lib/chromium";
const LOADER = "libvulkan.so.1";
const DRIVER = "vk_swiftshader_icd.json";
const FILES = ["libvk_swiftshader.so", DRIVER, LOADER] as const;
const PROBE_MS_MAX = 20_000;
/** Where containers mount NVIDIA's driver without telling the loader. */
const MOUNTED_DRIVERS = ["/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json"];

/**
 * The environment in which Dawn finds an adapter here: nothing added where it finds a real GPU by itself, else what leads it to
 * SwiftShader. Never rejects: where there is neither, `note` says why and POPULACE_NO_GPU hands the reason to the tests.
 * POPULACE_SOFTWARE_GPU=1 takes SwiftShader without looking for a GPU.
 */
export async function vulkan(root: string, said: Readonly<NodeJS.ProcessEnv> = process.env): Promise<Vulkan> {
  if (process.platform !== "linux") return { env: {}, note: "the GPU of this machine, if any" };
  const mayHaveGpu = said["POPULACE_SOFTWARE_GPU"] !== "1" && hasGraphicsDevice();
  if (mayHaveGpu && (await isHardware(root, {}))) return { env: {}, note: "the GPU of this machine" };
  const { folder, reason } = await debianFiles(root, "swiftshader", { name: PACKAGE, folder: PACKAGE_FOLDER, files: FILES });
  if (folder === null) return { env: { POPULACE_NO_GPU: `no SwiftShader: ${reason}` }, note: `no GPU, and no SwiftShader: ${reason}` };
  const loader = { LD_LIBRARY_PATH: [folder, said["LD_LIBRARY_PATH"] ?? ""].filter((path) => path !== "").join(delimiter) };
  if (mayHaveGpu) {
    for (const drivers of [{}, ...MOUNTED_DRIVERS.filter((path) => existsSync(path)).map(drivenBy)]) {
      if (await isHardware(root, { ...loader, ...drivers })) return { env: { ...loader, ...drivers }, note: "the GPU of this machine, by another loader" };
    }
  }
  return { env: { ...loader, ...drivenBy(join(folder, DRIVER)) }, note: `SwiftShader of ${folder.startsWith(root) ? "this checkout" : "this machine"}` };
}

/** Both names, the older and the newer: a loader that does not know the one it is given picks a driver of its own. */
function drivenBy(path: string): Record<string, string> {
  return { VK_ICD_FILENAMES: path, VK_DRIVER_FILES: path };
}

function hasGraphicsDevice(): boolean {
  const listed = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);
  return listed("/dev/dri").some((name) => name.startsWith("renderD")) || listed("/dev").some((name) => /^(nvidia\d+|dxg)$/.test(name));
}

/** Whether Dawn finds an adapter that is no emulation; asked of a process of its own, since a loader is chosen at its start. */
async function isHardware(root: string, env: Readonly<Record<string, string>>): Promise<boolean> {
  let dawn: string;
  try {
    dawn = pathToFileURL(createRequire(join(root, "kernels", "package.json")).resolve("webgpu")).href;
  } catch {
    return false;
  }
  const script = `const { create } = await import(${JSON.stringify(dawn)}); const gpu = create([]); console.log((await gpu.requestAdapter())?.info.isFallbackAdapter === false ? "hardware" : "none");`;
  const { text } = await run(process.execPath, ["--input-type=module", "-e", script], { env: { ...process.env, ...env } }, PROBE_MS_MAX);
  return text.includes("hardware");
}

if (import.meta.main) {
  const started = performance.now();
  const { env, note } = await vulkan(dirname(dirname(fileURLToPath(import.meta.url))));
  console.log([`vulkan: ${note} (${((performance.now() - started) / 1000).toFixed(1)} s)`, ...Object.entries(env).map(([name, value]) => `  ${name}=${value}`)].join("\n"));
}
