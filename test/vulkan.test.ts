import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { vulkan } from "../tools/vulkan.ts";
import { ROOT } from "./helpers/data.ts";
import { run, temporaryFolder } from "./helpers/process.ts";

const hasOwn = existsSync("/usr/lib/chromium/libvk_swiftshader.so");

describe("tools/vulkan.ts", () => {
  test("leads Dawn to SwiftShader when told to, whatever GPU there is", async (context) => {
    const { env, note } = await vulkan(ROOT, { ...process.env, POPULACE_SOFTWARE_GPU: "1" });
    if (process.platform !== "linux" || "POPULACE_NO_GPU" in env) return context.skip(note);
    const script = `const { backendStatus } = await import(${JSON.stringify(join(ROOT, "kernels", "backends", "backend.ts"))}); console.log((await backendStatus("webgpu")).backend?.device);`;
    const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", script], { env });
    expect(stdout, stderr).toBe("SwiftShader (software)\n");
  });

  test.skipIf(process.platform !== "linux" || hasOwn)("says why there is none and leaves nothing behind where packages cannot be had (skipped where Chromium is installed)", async () => {
    const root = temporaryFolder();
    const script = `const { vulkan } = await import(${JSON.stringify(join(ROOT, "tools", "vulkan.ts"))}); console.log(JSON.stringify(await vulkan(${JSON.stringify(root)})));`;
    const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", script], { env: { PATH: root, POPULACE_SOFTWARE_GPU: "1" } });
    expect(JSON.parse(stdout), stderr).toMatchObject({ env: { POPULACE_NO_GPU: expect.stringMatching(/^no SwiftShader: apt-get cannot be run/) } });
    expect(existsSync(join(root, ".tools", "swiftshader"))).toBe(false);
  });
});
