import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { mulHigh, philox4x32 } from "@populace/domain/random";
import { describe, expect, it } from "vitest";
import { describeOnGpu } from "../backends/gpu.fixture.ts";
import type { Gpu } from "../backends/gpu.ts";
import { traitWord } from "../expose/population.ts";
import { SIGMOID_TABLE, sigmoidQ32 } from "../expose/tables.ts";
import { assembleWgsl, readWgsl } from "./wgsl.ts";

const HERE = new URL("./in-test.wgsl", import.meta.url);
const MAIN = "@compute @workgroup_size(64) fn main() {}";

describe("a WGSL program", () => {
  it("takes every included file once, at its first mention, and knows where each line came from", () => {
    const folder = mkdtempSync(join(tmpdir(), "populace-"));
    try {
      writeFileSync(join(folder, "a.wgsl"), '#include "b.wgsl"\nconst A = B;\n');
      writeFileSync(join(folder, "b.wgsl"), '#include "a.wgsl"\nconst B = 1;');
      writeFileSync(join(folder, "main.wgsl"), `// main\n  #include "a.wgsl"\n#include "b.wgsl"\n${MAIN}`);
      const source = readWgsl(pathToFileURL(join(folder, "main.wgsl")));
      expect(source.code).toBe(`// main\nconst B = 1;\nconst A = B;\n\n${MAIN}`);
      expect([1, 2, 3, 5].map((line) => source.origin(line))).toEqual(["main.wgsl:1", "b.wgsl:2", "a.wgsl:2", "main.wgsl:4"]);
      expect(readWgsl(pathToFileURL(join(folder, "main.wgsl")))).toBe(source);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("tells its buffers in the order of their bindings, its parameters and the size of its workgroups", () => {
    const source = assembleWgsl(`
      struct Params { count: u32, shift: i32, } // @group(0) @binding(7) var<storage> not_this: u32;
      @group(0) @binding(1) var<storage, read_write> out: array<u32>;
      @group(0) @binding(0) var<storage, read> rows: array<u32>;
      @group(1) @binding(0) var<uniform> params: Params;
      override threads: u32 = 32u;
      @compute @workgroup_size(threads) fn main() {}`, HERE);
    expect(source.buffers).toEqual([{ name: "rows", isWritten: false }, { name: "out", isWritten: true }]);
    expect(source.params).toEqual([{ name: "count", isSigned: false }, { name: "shift", isSigned: true }]);
    expect(source.groupSize).toEqual({ override: "threads", threads: 32 });
    expect(assembleWgsl(`const SIZE = 128u; @compute @workgroup_size(SIZE) fn main() {}`, HERE).groupSize).toEqual({ override: null, threads: 128 });
  });

  it("is refused when a file is missing, a binding is skipped, a parameter is no word, or its workgroups have no size", () => {
    const wrong: readonly [string, RegExp][] = [
      ['#include "nowhere.wgsl"', /nowhere\.wgsl cannot be read/],
      [`@group(0) @binding(1) var<storage, read> rows: array<u32>; ${MAIN}`, /rows has binding 1 of group 0, expected 0/],
      [`struct P { at: vec4u } @group(1) @binding(0) var<uniform> params: P; ${MAIN}`, /`at: vec4u` of P is neither u32 nor i32/],
      ["@compute @workgroup_size(8, 8) fn main() {}", /@workgroup_size/],
    ];
    for (const [text, message] of wrong) expect(() => assembleWgsl(text, HERE)).toThrow(message);
  });
});

describeOnGpu("the WGSL library gives the bits of TypeScript", (gpu) => {
  const words = Uint32Array.from([0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, ...Array.from({ length: 2000 }, (_, i) => philox4x32([i, 0, 0, 0], [2026, 11])[0])]);
  const pairs = Uint32Array.from({ length: 81 + words.length }, (_, i) => (i < 81 ? words[i % 9]! : words[(i * 7) % words.length]!));
  const others = Uint32Array.from({ length: 81 + words.length }, (_, i) => (i < 81 ? words[Math.floor(i / 9)]! : words[(i * 13 + 5) % words.length]!));

  it("mulHigh, edges included", async () => {
    const out = await mapped(await gpu(), "integers.wgsl", "vec4u(mulHigh(a.x, a.y))", interleaved(pairs, others));
    for (let i = 0; i < pairs.length; i++) expect(out[4 * i]).toBe(mulHigh(pairs[i]!, others[i]!));
  });

  it("philox4x32, and with it the published known answers", async () => {
    // Random123's kat_vectors: gen(0, 0), gen(ones, ones), gen(digits of pi, more digits of pi).
    const known = [
      [0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ];
    const drawn = Array.from({ length: 500 }, (_, i) => Array.from({ length: 6 }, (__, j) => words[(i * 6 + j) % words.length]!));
    const input = [...known, ...drawn].flatMap((row) => [...row.slice(0, 6), 0, 0]);
    const out = await mapped(await gpu(), "philox.wgsl", "philox4x32(a, b.xy)", Uint32Array.from(input));
    known.forEach((row, i) => expect([...out.subarray(4 * i, 4 * i + 4)]).toEqual(row.slice(6)));
    drawn.forEach(([c0, c1, c2, c3, k0, k1], i) => {
      const at = 4 * (i + known.length);
      expect([...out.subarray(at, at + 4)]).toEqual(philox4x32([c0!, c1!, c2!, c3!], [k0!, k1!]));
    });
  });

  const data = process.env["POPULACE_DATA"] ?? join(import.meta.dirname, "../../../shared/data");
  const answers = join(data, "random123/kat_vectors_philox_threefry.txt");
  it.skipIf(!existsSync(answers))("philox4x32: every 10-round answer of the Random123 file (skipped without the data folder)", async () => {
    const rows = readFileSync(answers, "utf8").split("\n").filter((line) => /^philox4x32 10 /.test(line)).map((line) => line.trim().split(/\s+/).slice(2).map((hex) => Number.parseInt(hex, 16)));
    expect(rows.length).toBeGreaterThanOrEqual(3);
    const out = await mapped(await gpu(), "philox.wgsl", "philox4x32(a, b.xy)", Uint32Array.from(rows.flatMap((row) => [...row.slice(0, 6), 0, 0])));
    rows.forEach((row, i) => expect([...out.subarray(4 * i, 4 * i + 4)]).toEqual(row.slice(6)));
  });

  it("triple32", async () => {
    const out = await mapped(await gpu(), "triple32.wgsl", "vec4u(triple32(a.x, a.yz))", interleaved(pairs, others, words));
    for (let i = 0; i < pairs.length; i++) expect(out[4 * i]).toBe(traitWord(pairs[i]!, [others[i]!, words[i % words.length]!]));
  });

  it("sigmoidQ32 at every 31st logit of its range and beyond both ends", async () => {
    const logits = Int32Array.from([-0x80000000, -0x40001, -0x40000, 0x3ffff, 0x40000, 0x7fffffff, ...Array.from({ length: 17_000 }, (_, i) => i * 31 - 0x40400)]);
    const out = await mapped(await gpu(), "sigmoid.wgsl", "vec4u(sigmoidQ32(bitcast<i32>(a.x)))", interleaved(new Uint32Array(logits.buffer)), "@group(0) @binding(2) var<storage, read> sigmoidTable: array<u32>;");
    for (let i = 0; i < logits.length; i++) expect(out[4 * i]).toBe(sigmoidQ32(logits[i]!));
  });
});

/** Eight words for each value: one of each array, then zeros. */
function interleaved(...arrays: readonly Uint32Array[]): Uint32Array {
  const out = new Uint32Array(arrays[0]!.length * 8);
  for (let i = 0; i < arrays[0]!.length; i++) arrays.forEach((array, j) => (out[8 * i + j] = array[i % array.length]!));
  return out;
}

/** The expression's four words for each eight words of input, of which `a` are the first four and `b` the others. */
async function mapped(gpu: Gpu, library: string, expression: string, input: Uint32Array, declared = ""): Promise<Uint32Array> {
  const source = assembleWgsl(`
    #include "${library}"
    ${declared}
    struct Params { count: u32 }
    @group(0) @binding(0) var<storage, read> rows: array<vec4u>;
    @group(0) @binding(1) var<storage, read_write> out: array<vec4u>;
    @group(1) @binding(0) var<uniform> params: Params;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x >= params.count) { return; }
      let a = rows[2u * id.x];
      let b = rows[2u * id.x + 1u];
      out[id.x] = ${expression};
    }`, HERE);
  const count = input.length / 8;
  const [pipeline, rows, out] = await Promise.all([gpu.pipeline(source), gpu.buffer("rows", input.byteLength), gpu.buffer("out", count * 16)]);
  const table = declared === "" ? {} : { sigmoidTable: await gpu.buffer("sigmoid", SIGMOID_TABLE.byteLength) };
  gpu.upload(rows, input);
  if (table.sigmoidTable !== undefined) gpu.upload(table.sigmoidTable, SIGMOID_TABLE);
  const result = new Uint32Array(count * 4);
  await gpu.batch(library).dispatch(pipeline, { rows, out, ...table }, Math.ceil(count / pipeline.threadsPerGroup), { count }).read(out, result).run();
  for (const buffer of [rows, out, ...Object.values(table)]) gpu.release(buffer);
  return result;
}
