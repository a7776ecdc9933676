// The packed form is what people install: `npm pack` in a clean copy, `npm install` of the tarball into an empty folder,
// `npx populace demo`. All of it with the Node and npm of the machine, whatever their age, not with the pinned one.
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./helpers/data.ts";
import { copyOfCheckout, run, temporaryFolder } from "./helpers/process.ts";

/** The environment of a shell outside the checkout: npm of this run and the pinned Node are gone from it. */
function outsideEnv(): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = { npm_config_loglevel: "error", npm_config_audit: "false", npm_config_fund: "false", npm_config_update_notifier: "false" };
  for (const key of Object.keys(process.env)) if (/^npm_/i.test(key) && !(key in env)) env[key] = undefined;
  env.PATH = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.startsWith(ROOT)).join(delimiter);
  env.NODE_OPTIONS = undefined;
  env.VITEST = undefined;
  return env;
}

test("npm pack, npm install of the tarball into an empty folder, npx populace demo", { timeout: 300_000 }, async (context) => {
  const env = outsideEnv();
  const npm = (args: readonly string[], cwd: string, timeoutMs: number): ReturnType<typeof run> => run("npm", args, { cwd, env, timeoutMs });

  const reached = await npm(["view", "commander", "version", "--fetch-retries=0", "--fetch-timeout=10000"], temporaryFolder(), 30_000).catch(() => null);
  if (reached?.code !== 0) return context.skip("npm cannot reach its package registry");

  const copy = copyOfCheckout(false);
  const manifest = readFileSync(join(copy, "package.json"), "utf8");
  const packed = await npm(["pack"], copy, 180_000);
  expect(packed.code, packed.stderr).toBe(0);
  expect(readFileSync(join(copy, "package.json"), "utf8")).toBe(manifest);
  const tarball = readdirSync(copy).find((file) => file.endsWith(".tgz"));
  expect(tarball).toBeDefined();

  const empty = join(temporaryFolder(), "empty");
  mkdirSync(empty);
  const installed = await npm(["install", "--prefer-offline", join(copy, tarball!)], empty, 180_000);
  expect(installed.code, installed.stderr).toBe(0);

  const home = join(empty, "node_modules", "populace");
  expect(readdirSync(join(home, "dist"))).toEqual(expect.arrayContaining(["cli", "domain", "populace.cjs"]));
  const left = readdirSync(join(home, "dist"), { recursive: true, encoding: "utf8" });
  expect(left.filter((file) => /(?<!\.d)\.ts$|\.test\.js$/.test(file))).toEqual([]);

  const help = await run("npx", ["--no-install", "populace", "--help"], { cwd: empty, env });
  expect(help.code, help.stderr).toBe(0);
  expect(help.stdout).toContain("demo");

  const demo = await run("npx", ["--no-install", "populace", "demo", "--json"], { cwd: empty, env, timeoutMs: 180_000 });
  expect(demo.code, demo.stderr).toBe(0);
  const result = JSON.parse(demo.stdout) as { runId: string; rootHash: string; report: string };
  expect(result.rootHash).toMatch(/^[0-9a-f]{16,}$/);
  expect(existsSync(join(empty, result.report)) || existsSync(result.report)).toBe(true);
});
