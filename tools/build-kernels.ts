// Compiles every `kernels/<kernel>/<kernel>.as.ts` (AssemblyScript) into the `<kernel>.wasm` beside it.
//   node tools/run.mjs tools/build-kernels.ts              all
//   node tools/run.mjs tools/build-kernels.ts expose       those whose name holds the word
// The modules are committed, so nobody needs the compiler to run Populace; a test rebuilds them and compares byte by byte.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

/** Memory is imported, so that its owner sizes it; nothing is allocated inside, so there is no runtime to speak of. */
const OPTIONS = ["-O3", "--noAssert", "--enable", "simd", "--importMemory", "--runtime", "stub", "--uncheckedBehavior", "always"] as const;

/** Sources to compile, as paths from the root; the shared parts in `kernels/lib` are only imported. */
export function kernelSources(root: string): readonly string[] {
  return readdirSync(join(root, "kernels"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join("kernels", entry.name, `${entry.name}.as.ts`))
    .filter((path) => existsSync(join(root, path)))
    .toSorted();
}

/** The WebAssembly module of one source. Throws with the compiler's own words when it does not compile. */
export async function compileKernel(root: string, source: string): Promise<Uint8Array> {
  let binary: Uint8Array | null = null;
  const { error, stderr } = await asc.main([source, "--baseDir", root, "--outFile", "module.wasm", ...OPTIONS], {
    readFile: (name, base) => {
      const path = join(base, name);
      return existsSync(path) ? readFileSync(path, "utf8") : null;
    },
    writeFile: (name, contents) => {
      if (name === "module.wasm") binary = contents as Uint8Array;
    },
    listFiles: () => [],
  });
  if (error !== null || binary === null) throw new Error(`${source} does not compile: ${error?.message ?? "no output"}\n${String((stderr as { toString(): string }).toString())}`);
  return binary;
}

if (import.meta.main) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const words = process.argv.slice(2);
  for (const source of kernelSources(root).filter((path) => words.length === 0 || words.some((word) => path.includes(word)))) {
    const started = performance.now();
    const binary = await compileKernel(root, source);
    writeFileSync(join(root, source.replace(/\.as\.ts$/, ".wasm")), binary);
    console.log(`${source}: ${binary.length} bytes (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  }
}
