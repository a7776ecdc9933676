import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mulHigh, philox4x32 } from "./philox.ts";

type Words = [number, number, number, number];

// Random123's kat_vectors file: gen(0, 0), gen(ones, ones) and gen(digits of pi, more digits of pi).
const PUBLISHED: readonly [Words, [number, number], Words][] = [
  [[0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
  [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
  [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]],
];

const root = process.env["POPULACE_DATA"] ?? join(import.meta.dirname, "../../../shared/data");
const knownAnswers = join(root, "random123/kat_vectors_philox_threefry.txt");

describe("philox4x32", () => {
  it("gives the three published known answers", () => {
    for (const [counter, key, expected] of PUBLISHED) expect(philox4x32(counter, key)).toEqual(expected);
  });

  it.skipIf(!existsSync(knownAnswers))("gives every 10-round answer of the Random123 file (skipped without the data folder)", () => {
    const rows = readFileSync(knownAnswers, "utf8").split("\n").filter((line) => /^philox4x32 10 /.test(line));
    expect(rows.length).toBeGreaterThanOrEqual(3);
    for (const row of rows) {
      const words = row.trim().split(/\s+/).slice(2).map((word) => Number.parseInt(word, 16));
      expect(philox4x32(words.slice(0, 4) as Words, words.slice(4, 6) as [number, number])).toEqual(words.slice(6, 10));
    }
  });

  it("agrees with a BigInt implementation on random counters and keys", () => {
    const word = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
      expect(philox4x32(counter, key)).toEqual(slowPhilox(counter, key));
    }));
  });
});

describe("mulHigh", () => {
  it("is floor(a * b / 2^32) for all u32, edges included", () => {
    const word = fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.constantFrom(0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff));
    fc.assert(fc.property(word, word, (a, b) => {
      expect(mulHigh(a, b)).toBe(Number((BigInt(a) * BigInt(b)) >> 32n));
    }), { numRuns: 1000 });
  });
});

function slowPhilox(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  const mask = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0, p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [c0, c1, c2, c3].map(Number);
}
