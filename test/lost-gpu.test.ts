// A GPU that fails under a run, end to end: the node goes on with the next best backend and says so.
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { backendStatus } from "@populace/kernels/backends";
import { expect, test } from "vitest";
import { embeddedRunner } from "../cli/embedded.ts";
import { LOST_RUNS } from "./helpers/lost-runs.ts";
import { run, temporaryFolder } from "./helpers/process.ts";

const { backend, reason } = await backendStatus("webgpu");

test.skipIf(backend === null)(`a run on a GPU that is lost, or has no room and was not asked for, ends on wasm with the same roots, loudly${backend === null ? ` (skipped: webgpu ${reason})` : ""}`, async () => {
  const folder = temporaryFolder();
  const { stdout, stderr, code } = await run(process.execPath, [fileURLToPath(new URL("./helpers/run-on-losing-gpu.ts", import.meta.url)), folder]);
  expect(code, stderr).toBe(0);
  const found = stdout.trim().split("\n").map((line) => JSON.parse(line) as { readonly roots?: readonly string[]; readonly backend?: string; readonly error?: string; readonly reasons: readonly string[] });
  const runner = embeddedRunner({ storeDir: join(folder, "undisturbed"), backend: "wasm" });
  for (const [index, { name, plan, execution, wanted, backend: expected }] of LOST_RUNS.entries()) {
    const { roots, runId } = await runner(plan, execution);
    if (expected === null) {
      expect(found[index].error, name).toMatch(/the plan needs \d+ bytes, a buffer holds at most/);
      expect(stderr, name).not.toContain(`run ${runId.slice(0, 12)}`);
      continue;
    }
    expect(found[index].roots, name).toEqual(roots);
    expect(found[index].backend, name).toBe(expected);
    expect(stderr, name).toMatch(new RegExp(`run ${runId.slice(0, 12)}: webgpu failed \\(GPU .*\\); the run goes on with wasm`));
    // What is lost, is lost for the node; what does not fit is another plan's hope.
    if (wanted === "webgpu") expect(found[index].reasons.join("\n"), name).toMatch(/asked for[^]*WebAssembly.*webgpu failed: GPU .* was lost/);
    else expect(found[index].reasons.join("\n"), name).not.toContain("failed");
  }
  await runner.close();
}, 120_000);
