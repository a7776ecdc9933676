// Vulkan for the GPU tests: the machine's own GPU where there is one, else SwiftShader, which runs shaders on the processor.
//   node tools/run.mjs tools/vulkan.ts       says which, and fetches SwiftShader where it is missing
// SwiftShader comes out of Debian's package chromium-common (three files of 6 MB, 32 MB to fetch), which also carries a Vulkan
// loader. A machine with Debian's Chromium has them already; elsewhere they are unpacked into .tools/ of the checkout, without
// root and with lists and caches of apt's own there, so that nothing outside the checkout changes.
import { type SpawnOptions, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

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
/** Measured: 4 s for the lists, 1 s for the package, 1 s to unpack. A machine without the network gives up within these. */
const FETCH_MS_MAX = 60_000;
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
  const { folder, reason } = await swiftShader(root);
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

/** The folder that holds FILES, unpacked into the checkout where the machine has none, or why there is none. */
async function swiftShader(root: string): Promise<{ folder: string | null; reason: string }> {
  const own = join(root, ".tools", "swiftshader");
  const found = [`/${PACKAGE_FOLDER}`, own].find((folder) => FILES.every((file) => existsSync(join(folder, file))));
  if (found !== undefined) return { folder: found, reason: "" };
  const tools = dirname(own);
  let scratch = "";
  try {
    mkdirSync(tools, { recursive: true });
    // What a killed run left behind.
    for (const name of readdirSync(tools)) {
      if (name.startsWith("swiftshader-") && Date.now() - statSync(join(tools, name)).mtimeMs > 10 * FETCH_MS_MAX) rmSync(join(tools, name), { recursive: true, force: true });
    }
    scratch = mkdtempSync(`${own}-`);
    const reason = await fetchInto(scratch);
    if (reason !== "") return { folder: null, reason };
    // Complete or absent, without a lock: of two test runs that fetch at once, the one that ends second takes what the first put there.
    try {
      renameSync(join(scratch, "files"), own);
    } catch (error) {
      if (!FILES.every((file) => existsSync(join(own, file)))) throw error;
    }
    return { folder: own, reason: "" };
  } catch (error) {
    return { folder: null, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
  }
}

/** Fetches PACKAGE by apt and unpacks FILES into `scratch`/files; answers why not, or "". */
async function fetchInto(scratch: string): Promise<string> {
  const until = performance.now() + FETCH_MS_MAX;
  const left = (): number => Math.max(1, Math.ceil(until - performance.now()));
  const folder = (name: string): string => {
    mkdirSync(join(scratch, name), { recursive: true });
    return join(scratch, name);
  };
  const settings = join(scratch, "apt.conf");
  // Hooks of the machine's settings would clean up outside the checkout; its other lists (languages, icons) are not needed.
  writeFileSync(settings, [
    ...["APT::Update", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "Acquire::IndexTargets::deb::DEP-11", "Acquire::Languages"].map((name) => `#clear ${name};`),
    `Dir::State::Lists "${folder("lists")}";`,
    `Dir::Cache "${folder("cache")}";`,
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::Retries "0";',
    'Acquire::http::Timeout "10";',
    'Acquire::https::Timeout "10";',
  ].join("\n"));
  mkdirSync(join(scratch, "lists", "partial"), { recursive: true });
  mkdirSync(join(scratch, "cache", "archives", "partial"), { recursive: true });
  // Sources of others may be unreachable without harm: what counts is whether the package comes.
  const updated = await run("apt-get", ["-c", settings, "-qq", "update"], {}, left());
  if (updated.code === null) return `apt-get ${updated.text}`;
  const fetched = await run("apt-get", ["-c", settings, "-qq", "download", PACKAGE], { cwd: folder("package") }, left());
  const archive = readdirSync(folder("package")).find((name) => name.endsWith(".deb"));
  if (fetched.code !== 0 || archive === undefined) return `apt-get cannot download ${PACKAGE} (${lastLine(fetched.text)})`;
  // The whole of the package is 66 MB, hence only the members that are needed.
  const tar = join(scratch, "package.tar");
  const members = FILES.map((file) => `./${PACKAGE_FOLDER}/${file}`);
  const unpacked = await run("sh", ["-c", 'dpkg-deb --fsys-tarfile "$1" > "$2" && shift && tar -x -f "$1" -C "$2" --strip-components=4 "$3" "$4" "$5"', "sh", join(scratch, "package", archive), tar, folder("files"), ...members], {}, left());
  return unpacked.code === 0 ? "" : `${archive} cannot be unpacked (${lastLine(unpacked.text)})`;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

/** Runs a command to its end, or kills it at the bound; a code of null says that it could not be run or was killed. */
function run(command: string, args: readonly string[], options: SpawnOptions, timeoutMs: number): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    // Not spawn's own timeout: where the command does not exist, that one keeps the process alive to its end.
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    let text = "";
    const end = (code: number | null, said: string): void => {
      clearTimeout(timer);
      resolve({ code, text: said });
    };
    child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.on("error", (error) => end(null, `cannot be run: ${error.message}`));
    child.on("close", (code) => end(code, code === null ? `did not end within ${(timeoutMs / 1000).toFixed(0)} s` : text));
  });
}

if (import.meta.main) {
  const started = performance.now();
  const { env, note } = await vulkan(dirname(dirname(fileURLToPath(import.meta.url))));
  console.log([`vulkan: ${note} (${((performance.now() - started) / 1000).toFixed(1)} s)`, ...Object.entries(env).map(([name, value]) => `  ${name}=${value}`)].join("\n"));
}
