// The packed form is what people install: `npm pack` in a clean copy, `npm install` of the tarball into an empty folder,
// `npx populace demo`. All of it with the Node and npm of the machine, whatever their age, not with the pinned one.
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { npm, npmRefusal, outsideEnv } from "./helpers/npm.ts";
import { copyOfCheckout, run, temporaryFolder } from "./helpers/process.ts";

test("npm pack, npm install of the tarball into an empty folder, npx populace demo", { timeout: 300_000 }, async (context) => {
  const refusal = await npmRefusal();
  if (refusal !== null) return context.skip(refusal);
  const env = outsideEnv();

  const copy = copyOfCheckout(false);
  const manifest = readFileSync(join(copy, "package.json"), "utf8");
  const packed = await npm(["pack"], copy);
  expect(packed.code, packed.stderr).toBe(0);
  expect(readFileSync(join(copy, "package.json"), "utf8")).toBe(manifest);
  const tarball = readdirSync(copy).find((file) => file.endsWith(".tgz"));
  expect(tarball).toBeDefined();

  const empty = join(temporaryFolder(), "empty");
  mkdirSync(empty);
  const installed = await npm(["install", "--prefer-offline", join(copy, tarball!)], empty);
  expect(installed.code, installed.stderr).toBe(0);

  const home = join(empty, "node_modules", "populace");
  expect(readdirSync(join(home, "dist"))).toEqual(expect.arrayContaining(["cli", "domain", "populace.cjs"]));
  const left = readdirSync(join(home, "dist"), { recursive: true, encoding: "utf8" });
  expect(left).toEqual(expect.arrayContaining(["kernels/lib/philox.wgsl", "kernels/nearest/nearest.wgsl", "kernels/nearest/nearest.wasm"]));
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
