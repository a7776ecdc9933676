import { describe, expect, it } from "vitest";
import { fnv1a, normalCdfTable, normalQuantileTable, SIGMOID_TABLE, sigmoidQ32, TABLE_HASHES } from "./tables.ts";

const bytesOf = (table: Uint32Array | Int32Array | Int16Array) => new Uint8Array(table.buffer, table.byteOffset, table.byteLength);

describe("tables of nest8-2", () => {
  it("hash to the committed values, and FNV-1a gives its published answers", () => {
    // Fowler, Noll, Vo: fnv1a_32("") = 811c9dc5, ("a") = e40c292c, ("foobar") = bf9cf968.
    for (const [text, hash] of [["", 0x811c9dc5], ["a", 0xe40c292c], ["foobar", 0xbf9cf968]] as const) expect(fnv1a(new TextEncoder().encode(text))).toBe(hash);
    expect(TABLE_HASHES.sigmoid).toBe(0x376d8db8);
    expect(fnv1a(bytesOf(SIGMOID_TABLE))).toBe(TABLE_HASHES.sigmoid);
    expect(fnv1a(bytesOf(normalQuantileTable()))).toBe(TABLE_HASHES.normalQuantile);
    expect(fnv1a(bytesOf(normalCdfTable()))).toBe(TABLE_HASHES.normalCdf);
  });

  it("the sigmoid is monotone over all 2^19 inputs, within 3e-6 of f64, and saturates outside", () => {
    let last = -1, worst = 0;
    for (let x = -0x40000; x < 0x40000; x++) {
      const p = sigmoidQ32(x);
      if (p < last) throw new Error(`not monotone at ${x}`);
      last = p;
      worst = Math.max(worst, Math.abs(p / 2 ** 32 - 1 / (1 + Math.exp(-x / 16384))));
    }
    expect(worst).toBeLessThan(3e-6);
    expect(sigmoidQ32(-0x80000000)).toBe(sigmoidQ32(-0x40000));
    expect(sigmoidQ32(0x7fffffff)).toBe(sigmoidQ32(0x3ffff));
    expect(sigmoidQ32(0)).toBe(0x80000000);
  });

  it("the normal tables agree with scipy", () => {
    const quantile = normalQuantileTable(), cdf = normalCdfTable();
    // scipy.stats.norm.ppf((u + 0.5) / 65536) * 2048; all entries of both tables equaled scipy's when the hashes were taken.
    for (const [u, z] of [[0, -8857.434], [1, -8348.071], [40_000, 573.963], [50_000, 1465.989], [60_000, 2817.331]]) expect(quantile[u]).toBe(Math.round(z));
    for (let u = 0; u < 65_536; u++) if (quantile[65_535 - u] + quantile[u] !== 0) throw new Error(`quantile ${u} is not antisymmetric`);
    // scipy.stats.norm.cdf(z) * 65536.
    for (const [z, p] of [[-3, 88.467], [-1.5, 4378.277], [-0.25, 26299.182], [2, 64045.096]]) expect(cdf[z * 1024 + 8192]).toBe(Math.floor(p));
    expect([cdf[0], cdf[8192], cdf[16_384]]).toEqual([0, 32_768, 65_535]);
  });
});
