// Installs the pinned package manager and the workspace where needed, then runs a file of the checkout under the pinned Node.
// Plain JavaScript for Node >= 18 and npm: it is what runs before anything is installed.
//   node tools/run.mjs                       set-up only (what a habitual `npm install` or `npm ci` ends in)
//   node tools/run.mjs cli/main.ts demo ...  set-up, then that file with its arguments
// Nothing of ours goes to stdout, so `npm run -s populace -- ... --json` prints one JSON document.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const [file, ...args] = process.argv.slice(2);

// npm leaks its own configuration into scripts; pnpm would read it as its own.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([key]) => !/^npm_(config|package|lifecycle)_/i.test(key)),
);

// `pnpm install` runs the root's postinstall as well: then it is itself the set-up, and this would be a second one inside it.
if (!file && /^pnpm\//.test(process.env.npm_config_user_agent ?? "")) process.exit(0);

// tools/pack.ts replaces the manifest while npm packs; this is where it comes back.
const keptManifest = join(root, ".tools", "package.json");
if (existsSync(keptManifest)) renameSync(keptManifest, join(root, "package.json"));

await install(await packageManager());
if (file) {
  env.PATH = `${join(modules, ".bin")}${delimiter}${env.PATH ?? ""}`;
  // Node keeps what it made of each file, the entry too: stripping its types alone would load a compiler on every start.
  env.NODE_COMPILE_CACHE ??= join(tmpdir(), "node-compile-cache");
  process.exitCode = (await run(pinnedNode(), [join(root, file), ...args], process.cwd(), "inherit")).code;
}

/** Runs a command to its end, however often it is interrupted: the child hears the signal and decides how to finish. */
function run(command, commandArgs, cwd, output) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, commandArgs, { cwd, env, stdio: ["inherit", output, output] });
    let text = "";
    child.stdout?.on("data", (chunk) => (text += chunk));
    child.stderr?.on("data", (chunk) => (text += chunk));
    // Ctrl-C reaches every process of the terminal's foreground group by itself; only a signal sent to this process alone is passed on.
    const forward = (signal) => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, forward);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.off(name, forward);
      resolve({ code: code ?? 128 + (constants.signals[signal] ?? 1), text });
    });
  });
}

async function setUp(command, commandArgs, cwd) {
  const ended = await run(command, commandArgs, cwd, "pipe").catch((error) => ({ code: 1, text: `${error.message}\n` }));
  if (ended.code === 0) return;
  process.stderr.write(`${ended.text}populace: set-up failed at \`${command} ${commandArgs.join(" ")}\`; the first time it needs the package registry\n`);
  process.exit(1);
}

/** The pinned pnpm: on Linux its native binary, which needs no Node and comes by `npm ci` in tools/pnpm; elsewhere through npx. */
async function packageManager() {
  const pin = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).packageManager.split("@")[1];
  const home = join(root, "tools", "pnpm");
  const folder = join(home, "node_modules", "@pnpm", `exe.${process.platform}-${process.arch}`);
  const manifest = join(folder, "package.json");
  const isAtPin = () => existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).version === pin;
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) return ["npx", "--yes", `pnpm@${pin}`];
  if (!isAtPin()) {
    process.stderr.write("populace: setting up (the first time; about 20 s)\n");
    const ci = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    const npm = process.env.npm_execpath ?? "";
    if (/npm-cli\.js$/.test(npm)) await setUp(process.execPath, [npm, ...ci], home);
    else await setUp("npm", ci, home);
    if (!isAtPin()) return ["npx", "--yes", `pnpm@${pin}`];
  }
  env.PATH = `${folder}${delimiter}${env.PATH ?? ""}`;
  return [join(folder, "pnpm")];
}

/** Always run: when everything is in place it costs 50 ms. */
async function install([pnpm, ...prefix]) {
  // npm's mark: it has unlinked what pnpm had linked, and pnpm would not notice.
  if (existsSync(join(modules, ".package-lock.json"))) rmSync(modules, { recursive: true, force: true });
  await setUp(pnpm, [...prefix, "install", "--frozen-lockfile", "--prefer-offline", "--config.confirm-modules-purge=false"], root);
}

/** The Node of the lockfile, else (no binary for this platform) the system's, if it runs TypeScript as it stands. */
function pinnedNode() {
  const pinned = join(modules, ".bin", "node");
  if (existsSync(pinned)) return pinned;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 24 || (major === 24 && minor >= 12)) return process.execPath;
  process.stderr.write(`populace: no Node binary comes with the packages on ${process.platform}-${process.arch} and this is Node ${process.versions.node}; install Node 24.12 or newer\n`);
  process.exit(1);
}
