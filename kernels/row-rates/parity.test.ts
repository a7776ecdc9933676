import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { RandomStream } from "@populace/domain";
import { backendStatus } from "../backends/backend.ts";
import { BACKEND_NAMES } from "../backends/names.ts";
import type { RowRatesKernel, RowRatesShape } from "./port.ts";
import { rowRatesReference } from "./reference.ts";

const kernels: { readonly name: string; readonly kernel: RowRatesKernel }[] = [];
for (const name of BACKEND_NAMES) {
  const { backend } = await backendStatus(name);
  if (backend?.kernels.rowRates !== undefined) kernels.push({ name, kernel: backend.kernels.rowRates });
}

function sums(kernel: RowRatesKernel, shape: RowRatesShape, rows: number, spread: number, isWeighted: boolean, seed: number): readonly Float64Array[] {
  const random = RandomStream.of(seed, "row rates");
  const session = kernel.open(shape);
  const answers = [0, 1].map(() => {
    for (let step = 0; step < shape.steps; step++) {
      for (const value of [session.bias(step), ...shape.places.flatMap((count, t) => Array.from({ length: count }, (_, place) => session.line(step, t, place)))]) value.forEach((_, world) => (value[world] = spread * random.normal()));
    }
    const places = Int32Array.from({ length: rows * shape.places.length }, (_, at) => random.integer(shape.places[at % shape.places.length]));
    return session.sum(places, isWeighted ? Float64Array.from({ length: rows }, () => 3 * random.uniform()) : null);
  });
  session.close();
  return answers;
}

it("is there in TypeScript and in WebAssembly", () => {
  expect(kernels.map(({ name }) => name)).toEqual(expect.arrayContaining(["reference", "wasm"]));
});

describe.each(kernels)("row rates on $name", ({ kernel }) => {
  it("gives the reference's sums to the bit, beyond all exponents too", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 3 }), fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }), fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 1e-9, 1, 300), fc.boolean(), fc.integer(), (worlds, steps, places, rows, spread, isWeighted, seed) => {
        const shape = { worlds, steps, places };
        expect(sums(kernel, shape, rows, spread, isWeighted, seed)).toEqual(sums(rowRatesReference, shape, rows, spread, isWeighted, seed));
      }),
      { numRuns: 80 },
    );
  });

  it("is the closed form where nothing varies", () => {
    const session = kernel.open({ worlds: 3, steps: 2, places: [1] });
    for (const step of [0, 1]) session.bias(step).fill(Math.log(1 / 3));
    // A quarter reach the first step, a quarter of these the second.
    session.sum(new Int32Array(8), null).forEach((sum, at) => expect(sum).toBeCloseTo(at < 3 ? 2 : 0.5, 12));
    session.close();
  });

  it("refuses places that are none, by row and trait", () => {
    const session = kernel.open({ worlds: 2, steps: 1, places: [3, 2] });
    expect(() => session.sum(Int32Array.of(0, 0, 2, 2), null)).toThrow("row 1, trait 1: place 2; expected 0 to 1");
    expect(() => session.sum(Int32Array.of(-1, 0), null)).toThrow("row 0, trait 0: place -1");
    expect(() => session.sum(Int32Array.of(1, 0, 1), null)).toThrow("3 places are no whole rows of 2 traits");
    session.close();
  });
});
