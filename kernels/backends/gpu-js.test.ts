import { describe, expect, it } from "vitest";
import { backendsWith, chooseBackend, openBackend } from "./backend.ts";

describe("backends of float maps", () => {
  it("are chosen by what is fast here, and say so", async () => {
    for (const kernel of ["responseSurface", "distances"] as const) {
      expect(await chooseBackend("auto", kernel)).toMatchObject({ backend: { name: "wasm" }, reason: expect.stringContaining("fastest") });
      expect(await backendsWith(kernel)).toEqual(["wasm", "gpu-js", "reference"]);
      const { backend, reason } = await chooseBackend("gpu-js", kernel);
      expect(backend.device).toMatch(/^gpu\.js, (webgpu|webasm|cpu): /);
      expect(reason).toBe("asked for");
    }
  });

  it("refuse an integer kernel of gpu.js with the true reason", async () => {
    await expect(openBackend("gpu-js", "expose")).rejects.toMatchObject({ code: "BACKEND_MISSING", message: expect.stringContaining("its integers are f32 and round beyond 2^24") });
  });
});
