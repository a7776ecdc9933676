import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";
import type { BackendStatus } from "./backend.ts";
import { adapterName } from "./gpu-adapter.ts";
import { missingGraphicsDevice } from "./graphics-device.ts";

const BACKEND = new URL("./backend.ts", import.meta.url).href;

describe("the name of an adapter", () => {
  it("is written as its vendor writes it", () => {
    const named = (device: string, description = "", vendor = "", architecture = "") => adapterName({ device, description, vendor, architecture });
    expect(named("nvidia-h100-80gb-hbm3", "NVIDIA: 570.1", "nvidia", "hopper")).toBe("NVIDIA H100 80GB HBM3");
    expect(named("nvidia-geforce-rtx-4090")).toBe("NVIDIA GeForce RTX 4090");
    expect(named("", "Intel(R) Iris(R) Xe Graphics", "intel", "gen-12lp")).toBe("Intel(R) Iris(R) Xe Graphics");
    expect(named("", "", "apple", "metal-3")).toBe("apple metal-3");
    expect(named("swiftshader-device-subzero-", "SwiftShader driver 5.0.0", "google", "swiftshader")).toBe("SwiftShader");
    expect(named("0x2330", "")).toBe("unnamed adapter");
  });
});

describe("the backend webgpu", () => {
  it("without the optional package says which one to install", async () => {
    const status = await statusIn({ hook: 'throw Object.assign(new Error("not found"), { code: "ERR_MODULE_NOT_FOUND" })' });
    expect(status).toMatchObject({ name: "webgpu", backend: null, reason: expect.stringContaining("npm install webgpu") });
  });

  it("whose binary does not load says so in one line", async () => {
    const status = await statusIn({ hook: 'throw new Error("libfoo.so: cannot open\\nRequire stack")' });
    expect(status).toMatchObject({ backend: null, reason: "cannot load Dawn: libfoo.so: cannot open" });
  });

  it.skipIf(process.platform !== "linux")("without a driver says what is missing (skipped where Vulkan is not the way)", async () => {
    const status = await statusIn({ env: { VK_ICD_FILENAMES: "/nonexistent.json", VK_DRIVER_FILES: "/nonexistent.json" } });
    expect(status).toMatchObject({ backend: null, reason: expect.stringMatching(/finds no (adapter|Vulkan loader)/) });
  });

  it.skipIf(missingGraphicsDevice() === "")("is not even loaded by a choice left to us where there is no graphics device (skipped where there is one)", async () => {
    const chosen = await said({ hook: 'throw new Error("was loaded")' }, '(await chooseBackend("auto", "expose"))');
    expect(chosen).toMatchObject({ reason: expect.stringContaining("webgpu sees no graphics device") });
    expect(await said({ hook: 'throw new Error("was loaded")' }, '(await backendsWith("expose"))')).not.toContain("webgpu");
  });
});

interface Circumstances {
  /** What happens when `webgpu` is imported. */
  readonly hook?: string;
  readonly env?: Readonly<Record<string, string>>;
}

function statusIn(circumstances: Circumstances): Promise<BackendStatus> {
  return said(circumstances, '(await backendStatus("webgpu"))') as Promise<BackendStatus>;
}

/** What an expression over backend.ts gives in a process of its own, where Dawn is loaded for the first time. */
function said({ hook, env }: Circumstances, expression: string): Promise<unknown> {
  const hooks = hook === undefined ? "" : `(await import("node:module")).registerHooks({ resolve(name, context, next) { if (name === "webgpu") { ${hook} } return next(name, context); } });`;
  const script = `${hooks} const { backendStatus, backendsWith, chooseBackend } = await import(${JSON.stringify(BACKEND)}); console.log(JSON.stringify(${expression}));`;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { env: { ...process.env, NODE_OPTIONS: "", ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "", stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(JSON.parse(stdout)) : reject(new Error(`ended with ${code}: ${stderr}`))));
  });
}
