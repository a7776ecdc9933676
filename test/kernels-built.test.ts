import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { compileKernel, kernelSources } from "../tools/build-kernels.ts";

const root = dirname(import.meta.dirname);
const sources = kernelSources(root);

it("there are kernels to compare", () => {
  expect(sources).toContain("kernels/expose/expose.as.ts");
});

it.each(sources)("the committed module of %s is what its source compiles to (else: node tools/run.mjs tools/build-kernels.ts)", async (source) => {
  const built = await compileKernel(root, source);
  const committed = readFileSync(join(root, source.replace(/\.as\.ts$/, ".wasm")));
  expect(Buffer.compare(committed, built)).toBe(0);
}, 120_000);
