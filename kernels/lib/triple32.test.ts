import fc from "fast-check";
import { expect, it } from "vitest";
import { traitWord } from "../expose/population.ts";

const word = fc.integer({ min: 0, max: 0xffffffff });

it("the trait word without a key is undone by the inverse that hash-prospector publishes", () => {
  fc.assert(fc.property(word, (value) => {
    expect(inverse(traitWord(value, [0, 0]))).toBe(value);
  }), { numRuns: 1000 });
});

it("the trait word agrees with a BigInt implementation for all keys", () => {
  fc.assert(fc.property(word, word, word, (value, key0, key1) => {
    expect(traitWord(value, [key0, key1])).toBe(slow(value, key0, key1));
  }), { numRuns: 1000 });
});

/** `triple32_r` of hash-prospector, copied as published. */
function inverse(hash: number): number {
  let x = hash;
  x = x ^ (x >>> 14) ^ (x >>> 28);
  x = Math.imul(x, 0x32b21703);
  x = x ^ (x >>> 15) ^ (x >>> 30);
  x = Math.imul(x, 0x469e0db1);
  x = x ^ (x >>> 11) ^ (x >>> 22);
  x = Math.imul(x, 0x79a85073);
  x ^= x >>> 17;
  return x >>> 0;
}

function slow(value: number, key0: number, key1: number): number {
  const mask = 0xffffffffn;
  let x = (BigInt(value) + BigInt(key0)) & mask;
  x ^= x >> 17n;
  x = ((x * 0xed5ad4bbn) & mask) ^ BigInt(key1);
  x ^= x >> 11n;
  x = (x * 0xac4c1b51n) & mask;
  x ^= x >> 15n;
  x = (x * 0x31848babn) & mask;
  x ^= x >> 14n;
  return Number(x);
}
