import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { BINARY_CODE, MISSING, PLAIN_MIXTURE, RandomStream, SPAN, fitMixture } from "@populace/domain";
import type { AssignmentColumns, MixtureData, MixtureEngine, PersonaMixture, TraitCoding, TraitKind } from "@populace/domain";
import { backendStatus } from "../backends/backend.ts";
import { BACKEND_NAMES } from "../backends/names.ts";
import { mixtureWasm } from "./wasm.ts";

const engines: { readonly name: string; readonly engine: MixtureEngine }[] = [];
for (const name of BACKEND_NAMES) {
  const { backend } = await backendStatus(name);
  if (backend?.kernels.mixture !== undefined) engines.push({ name, engine: backend.kernels.mixture });
}

const KINDS: readonly TraitKind[] = ["continuous", "binary", "categorical", "count"];

function codingsOf(traits: number): TraitCoding[] {
  return Array.from({ length: traits }, (_, t): TraitCoding => {
    const kind = KINDS[t % 4]!;
    const levels = kind === "binary" ? ["no", "yes"] : kind === "categorical" ? ["a", "b", "c", "other"] : [];
    return { name: `t${t}`, kind, unit: "", transform: kind === "count" ? "log1p" : "identity", levels, center: 0, scale: 1, slot: t };
  });
}

/** Codes of any value a trait may have, its ends and missing ones among them. */
function codesOf(codings: readonly TraitCoding[], rows: number, random: RandomStream): Int16Array {
  return Int16Array.from({ length: rows * codings.length }, (_, at) => {
    if (random.uniform() < 0.1) return MISSING;
    const { kind } = codings[at % codings.length];
    if (kind === "binary") return random.integer(2) * BINARY_CODE;
    if (kind === "categorical") return random.integer(4);
    return random.uniform() < 0.1 ? (random.integer(2) === 0 ? -128 : 127) : random.integer(80) - 40;
  });
}

const columns = (rows: number): AssignmentColumns => ({ persona: new Int32Array(rows), probability: new Float64Array(rows), fitsNone: new Uint8Array(rows) });

it("is there in TypeScript and in WebAssembly", () => {
  expect(engines.map(({ name }) => name)).toEqual(expect.arrayContaining(["reference", "wasm"]));
});

describe.each(engines)("mixture on $name", ({ engine }) => {
  it("passes over rows as the definition does, to the bit, for any traits, personas and weights", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 13 }), fc.integer({ min: 0, max: 60 }), fc.constantFrom(1, 30, 2000), fc.boolean(), fc.integer(), (traits, personas, rows, spread, isWeighted, seed) => {
        const random = RandomStream.of(seed, "expectation");
        const codings = codingsOf(traits);
        const data: MixtureData = { codings, codes: codesOf(codings, rows, random), weight: isWeighted ? Float64Array.from({ length: rows }, () => 2 * random.uniform()) : null };
        const ours = engine.expecting(data), plain = PLAIN_MIXTURE.expecting(data);
        // Passes of one run with tables that differ in size, some of whose scores lie beyond all exponents.
        for (const k of [personas, 1, personas]) {
          const parameters = { logShare: Float64Array.from({ length: k }, () => Math.log(random.uniform())), table: Float64Array.from({ length: k * traits * SPAN }, () => -spread * random.uniform()) };
          expect(ours.expect(parameters)).toEqual(plain.expect(parameters));
        }
        ours.close();
      }),
      { numRuns: 60 },
    );
  });

  it("assigns rows as the definition does, to the bit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 6 }), fc.integer(), (traits, personas, seed) => {
        const random = RandomStream.of(seed, "assignment");
        const codings = codingsOf(traits), codes = codesOf(codings, 200, random);
        const { mixture } = fitMixture({ codings, codes, weight: null }, { personas, random: random.child("fit") });
        const rows = codesOf(codings, 300, random);
        // The same personas twice over: equal scores go to the first.
        const doubled: PersonaMixture = { codings, personas: [...mixture.personas, ...mixture.personas] };
        for (const each of [mixture, doubled]) {
          const ours = engine.assigning(each), found = columns(300), expected = columns(300);
          ours.assign(rows, found);
          PLAIN_MIXTURE.assigning(each).assign(rows, expected);
          ours.close();
          expect(found).toEqual(expected);
        }
      }),
      { numRuns: 25 },
    );
  });

  it("fits the same mixture", () => {
    const random = RandomStream.of(8, "whole fit");
    const codings = codingsOf(5), codes = codesOf(codings, 9000, random);
    const fit = (one: MixtureEngine): unknown => fitMixture({ codings, codes, weight: null }, { personas: "auto", personasMax: 3, random: RandomStream.of(9, "fit"), engine: one });
    expect(fit(engine)).toEqual(fit(PLAIN_MIXTURE));
  });

  it("has more personas than a vector and more rows than a call", () => {
    const random = RandomStream.of(10, "many");
    const codings = codingsOf(3), codes = codesOf(codings, 9001, random);
    const personas = Array.from({ length: 5 }, (_, seed) => fitMixture({ codings, codes: codes.subarray(0, 600), weight: null }, { personas: 4, random: RandomStream.of(seed, "some") }).mixture.personas).flat();
    const mixture: PersonaMixture = { codings, personas };
    const run = engine.assigning(mixture), found = columns(9001), expected = columns(9001);
    run.assign(codes, found);
    PLAIN_MIXTURE.assigning(mixture).assign(codes, expected);
    expect(found).toEqual(expected);
    run.close();
  });
});

it("a code that its trait does not have is refused by row and name", () => {
  const codings = codingsOf(4), codes = codesOf(codings, 30, RandomStream.of(1, "codes"));
  const { mixture } = fitMixture({ codings, codes, weight: null }, { personas: 1, random: RandomStream.of(2, "fit") });
  const run = mixtureWasm.assigning(mixture);
  const wrong = Int16Array.from(codes);
  wrong[7 * 4 + 2] = 4;
  expect(() => run.assign(wrong, columns(30))).toThrow('row 7, trait "t2": 4 is no code of it');
  wrong[7 * 4 + 2] = -1;
  expect(() => run.assign(wrong, columns(30))).toThrow('row 7, trait "t2": -1');
  expect(() => run.assign(codes, columns(29))).toThrow("room for 29 rows");
  expect(() => run.assign(codes.subarray(1), columns(30))).toThrow("119 codes of 4 traits");
  const expecting = mixtureWasm.expecting({ codings, codes: wrong, weight: null });
  expect(() => expecting.expect({ logShare: Float64Array.of(0), table: new Float64Array(4 * SPAN) })).toThrow('row 7, trait "t2"');
  run.close();
  expecting.close();
});
