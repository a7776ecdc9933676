// Installs the pinned package manager and the workspace, then runs a script of the root under the pinned Node.
// Plain JavaScript for Node >= 18: it is what runs before anything is installed.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pin = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).packageManager.split("@")[1];

// npm leaks its own configuration into scripts; pnpm would read it as its own.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([key]) => !/^npm_(config|package|lifecycle)_/i.test(key)),
);

function run(command, args, cwd, quiet) {
  const result = spawnSync(command, args, { cwd, env, stdio: ["inherit", quiet ? "pipe" : "inherit", quiet ? "pipe" : "inherit"], encoding: "utf8" });
  if (result.error) throw result.error;
  return result;
}

function runOrExit(command, args, cwd, quiet) {
  const result = run(command, args, cwd, quiet);
  if (result.status !== 0) {
    if (quiet) process.stderr.write(`${result.stdout ?? ""}${result.stderr ?? ""}`);
    process.stderr.write(`populace: set-up failed at: ${command} ${args.join(" ")}\n`);
    process.exit(result.status ?? 1);
  }
}

function pnpmCommand() {
  const home = join(root, "tools", "pnpm");
  const folder = join(home, "node_modules", "@pnpm", `exe.${process.platform}-${process.arch}`);
  const atPin = () => existsSync(join(folder, "package.json")) && JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version === pin;
  if (process.platform === "linux" && (process.arch === "x64" || process.arch === "arm64")) {
    if (!atPin()) {
      const npm = process.env.npm_execpath;
      const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
      if (npm && /npm-cli\.js$/.test(npm)) runOrExit(process.execPath, [npm, ...args], home, true);
      else runOrExit("npm", args, home, true);
    }
    if (atPin()) {
      env.PATH = `${folder}${delimiter}${env.PATH ?? ""}`;
      return [join(folder, "pnpm"), []];
    }
  }
  return ["npx", ["--yes", `pnpm@${pin}`]];
}

const [command, prefix] = pnpmCommand();
runOrExit(command, [...prefix, "install", "--frozen-lockfile", "--prefer-offline", "--config.confirm-modules-purge=false"], root, true);
const [script, ...args] = process.argv.slice(2);
if (script) {
  const result = run(command, [...prefix, "--silent", "run", script, ...args], root, false);
  process.exit(result.status ?? 1);
}
