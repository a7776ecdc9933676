import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openBackend } from "../backends/backend.ts";
import { floatBackends } from "../lib/float-backends.fixture.ts";
import type { SurfaceInput } from "./port.ts";
import { responseSurfaceReference } from "./reference.ts";
import { type SampleSurfaceOptions, sampleSurface } from "./sample-surface.ts";

const candidates = await floatBackends();

const sizes = fc.record({
  worlds: fc.integer({ min: 1, max: 6 }), steps: fc.integer({ min: 1, max: 4 }), columns: fc.integer({ min: 1, max: 11 }), rows: fc.integer({ min: 1, max: 7 }), members: fc.integer({ min: 1, max: 19 }),
  // 100: logits of a hundred and more, where exponentials leave f32 and rates are 0 or 1.
  spread: fc.constantFrom(0, 1, 8, 100),
});

/** SPEC.md word for word: one logistic function a world, cell, member and step. */
function naive(input: SurfaceInput): Float64Array {
  const { worlds, steps, columns, rows, members } = input;
  const clamp = (part: number): number => Math.max(-40, Math.min(40, part));
  const out: number[] = [];
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) for (let w = 0; w < worlds; w++) {
    let rate = 0;
    for (let m = 0; m < members; m++) {
      let reached = input.weight[m];
      for (let k = 0; k < steps; k++) {
        const line = w * steps + k, z = input.rowValue[r];
        const a = input.column[line * columns + c] + input.row[line * rows + r] + input.cross[line * columns + c] * z;
        const b = input.member[line * members + m] + input.memberCross[line * members + m] * z;
        reached /= 1 + Math.exp(-(clamp(a) + clamp(b)));
      }
      rate += reached;
    }
    out.push(rate);
  }
  return Float64Array.from(out);
}

/** Largest |found - expected| / allowed; 1 is the edge of what is allowed. */
function worst(found: Float64Array, expected: Float64Array, allowed: (value: number) => number): number {
  expect(found.length).toBe(expected.length);
  return expected.reduce((most, value, at) => Math.max(most, Number.isFinite(found[at]) ? Math.abs(found[at] - value) / allowed(value) : Infinity), 0);
}

/** SPEC.md, "Tolerance". */
const within = ({ steps, members }: SurfaceInput) => (rate: number): number => (5 * steps + members + 8) * 2 ** -24 * rate + 1e-37;

describe("response-surface", () => {
  it("the reference is the specification's formula, for any sizes and for logits beyond every rate", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), sizes, async (seed, options) => {
      const input = sampleSurface(seed, options);
      // f64: a part of 1,000 is rounded to 1e-13, and so is its exponential's exponent.
      expect(worst(await responseSurfaceReference.rates(input), naive(input), (rate) => 2e-12 * rate + 1e-300)).toBeLessThan(1);
    }), { numRuns: 120 });
  });

  it("rows need not lie at even distances", async () => {
    const input = sampleSurface(5, { worlds: 3, steps: 2, columns: 4, rows: 6, members: 7, spread: 3 });
    const uneven = { ...input, rowValue: Float64Array.of(0, 0.3, 0.31, -0.2, 7, 0.1) };
    expect(worst(await responseSurfaceReference.rates(uneven), naive(uneven), (rate) => 2e-12 * rate)).toBeLessThan(1);
  });

  it("certain logits give rates of 0 and 1, and no member's part is lost where it counts", async () => {
    const one = Float64Array.of(1), none = Float64Array.of(0);
    const at = (column: number, member: number): SurfaceInput =>
      ({ worlds: 1, steps: 1, columns: 1, rows: 1, members: 1, rowValue: none, column: Float64Array.of(column), cross: none, row: none, member: Float64Array.of(member), memberCross: none, weight: one });
    for (const { backend } of [{ backend: await openBackend("reference", "responseSurface") }, ...candidates]) {
      if (backend === null) continue;
      const rate = async (column: number, member: number): Promise<number> => (await backend.kernels.responseSurface!.rates(at(column, member)))[0];
      expect(await rate(1e4, 0)).toBe(1);
      expect(await rate(-1e4, 1)).toBeLessThan(1e-16);
      // 20 - 22 = -2: logistic(-2) = 0.11920292202211755 (closed form).
      expect(Math.abs((await rate(20, -22)) - 0.11920292202211755)).toBeLessThan(1e-7);
    }
  });

  describe.each(candidates)("$name", ({ backend }) => {
    it.skipIf(backend === null)("is within its tolerance of the reference on odd sizes, one world, and extreme logits", async () => {
      const kernel = backend!.kernels.responseSurface!;
      await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), sizes, async (seed, options) => {
        const input = sampleSurface(seed, options);
        expect(worst(await kernel.rates(input), await responseSurfaceReference.rates(input), within(input))).toBeLessThan(1);
      }), { numRuns: 25 });
    });

    it.skipIf(backend === null)("gives the same rates twice, and those of a larger grid after those of a smaller one", async () => {
      const kernel = backend!.kernels.responseSurface!;
      const options: SampleSurfaceOptions = { worlds: 3, steps: 3, columns: 5, rows: 3, members: 8 };
      const [small, large] = [sampleSurface(1, options), sampleSurface(2, { ...options, worlds: 5, rows: 9, columns: 13 })];
      const first = await kernel.rates(small);
      expect(worst(await kernel.rates(large), await responseSurfaceReference.rates(large), within(large))).toBeLessThan(1);
      expect([...(await kernel.rates(small))]).toEqual([...first]);
    });
  });
});
