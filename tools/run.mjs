// Installs the pinned package manager and the workspace where needed, then runs a script of the root under the pinned Node.
// Plain JavaScript for Node >= 18 and npm: it is what runs before anything is installed.
//   node tools/run.mjs                      set-up only (also what a habitual `npm install` or `npm ci` ends in)
//   node tools/run.mjs dev:test -t "name"   set-up, then that script with its arguments
// Nothing of ours goes to stdout, so `npm run -s populace -- ... --json` prints one JSON document.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [script, ...args] = process.argv.slice(2);

// npm leaks its own configuration into scripts; pnpm would read it as its own.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([key]) => !/^npm_(config|package|lifecycle)_/i.test(key)),
);

// `pnpm install` runs the root's postinstall as well: then it is itself the set-up, and this would be a second one inside it.
if (!script && /^pnpm\//.test(process.env.npm_config_user_agent ?? "")) process.exit(0);

const [pnpm, prefix] = await packageManager();
await install();
if (script) {
  const ended = await run(pnpm, [...prefix, "--silent", "run", script, ...args], root, "inherit");
  process.exitCode = ended.code;
}

/** Runs a command to its end, however often the terminal interrupts: the child hears the signal and decides how to finish. */
function run(command, commandArgs, cwd, output) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, commandArgs, { cwd, env, stdio: ["inherit", output, output] });
    let text = "";
    child.stdout?.on("data", (chunk) => (text += chunk));
    child.stderr?.on("data", (chunk) => (text += chunk));
    // Ctrl-C reaches the whole foreground group by itself; a signal sent to this process alone is passed on.
    const hold = () => {};
    const forward = (signal) => child.kill(signal);
    process.on("SIGINT", process.stdin.isTTY ? hold : forward).on("SIGTERM", forward).on("SIGHUP", forward);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      process.off("SIGINT", hold).off("SIGINT", forward).off("SIGTERM", forward).off("SIGHUP", forward);
      resolve({ code: code ?? 128 + (constants.signals[signal] ?? 1), text });
    });
  });
}

async function setUp(command, commandArgs, cwd) {
  const ended = await run(command, commandArgs, cwd, "pipe").catch((error) => ({ code: 1, text: `${error.message}\n` }));
  if (ended.code === 0) return;
  process.stderr.write(`${ended.text}populace: set-up failed at \`${command} ${commandArgs.join(" ")}\`; the registry must be reachable the first time\n`);
  process.exit(1);
}

/** The pinned pnpm: on Linux its native binary, which needs no Node and comes by `npm ci` in tools/pnpm; elsewhere through npx. */
async function packageManager() {
  const pin = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).packageManager.split("@")[1];
  const home = join(root, "tools", "pnpm");
  const folder = join(home, "node_modules", "@pnpm", `exe.${process.platform}-${process.arch}`);
  const manifest = join(folder, "package.json");
  const isAtPin = () => existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).version === pin;
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) return ["npx", ["--yes", `pnpm@${pin}`]];
  if (!isAtPin()) {
    process.stderr.write("populace: setting up (the first time; about 20 s)\n");
    const ci = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    const npm = process.env.npm_execpath ?? "";
    if (/npm-cli\.js$/.test(npm)) await setUp(process.execPath, [npm, ...ci], home);
    else await setUp("npm", ci, home);
    if (!isAtPin()) return ["npx", ["--yes", `pnpm@${pin}`]];
  }
  env.PATH = `${folder}${delimiter}${env.PATH ?? ""}`;
  return [join(folder, "pnpm"), []];
}

/** Always run: when everything is in place it costs 50 ms. */
async function install() {
  const modules = join(root, "node_modules");
  // npm's mark: it has unlinked what pnpm had linked, and pnpm would not notice.
  if (existsSync(join(modules, ".package-lock.json"))) rmSync(modules, { recursive: true, force: true });
  await setUp(pnpm, [...prefix, "install", "--frozen-lockfile", "--prefer-offline", "--config.confirm-modules-purge=false"], root);
}
