import { PopulaceError } from "@populace/domain/error";

/** Rarest and commonest class a draw is thinned at: below 1 in 16 candidates cost more than dense draws. */
export const THIN_BITS = { min: 4, max: 16 } as const;

/**
 * The tables of the arithmetic profiles "nest8-2" and "nest16-2". They are built from +, -, * and / alone, which IEEE 754 rounds the same way
 * everywhere (Math.exp and Math.log may differ in the last bit between engines), and each is checked against its committed
 * FNV-1a hash before first use, so that a platform that computes otherwise stops instead of simulating other bits.
 */

/** FNV-1a (32 bits) over the little-endian bytes of each table; "binomial" over the tables of 4 to 16 bits, one after another. */
export const TABLE_HASHES = { sigmoid: 0x376d8db8, normalQuantile: 0x797c0644, normalCdf: 0x4e46bab9, binomial: 0xa06210d5 } as const;

/** sigmoid[k] = round(2^32 * sigmoid((k * 256 - 2^18) / 2^14)), k = 0 .. 2048, at most 2^32 - 1. Shared, read-only. */
export const SIGMOID_TABLE: Uint32Array = checked("sigmoid", sigmoidTable());

let normalQuantiles: Int16Array | null = null;
let normalCdf: Int32Array | null = null;
let binomials: readonly Uint32Array[] | null = null;

/** 65,536 standard normal quantiles of (u + 0.5) / 65536 in Q11. Built on first use (a few milliseconds), shared, read-only. */
export function normalQuantileTable(): Int16Array {
  return (normalQuantiles ??= checked("normalQuantile", buildNormalQuantiles()));
}

/** floor(65536 * Phi(z)), at most 65535, at z = -8 + k / 1024 for k = 0 .. 16384. Built on first use, shared, read-only. */
export function normalCdfTable(): Int32Array {
  return (normalCdf ??= checked("normalCdf", buildNormalCdf()));
}

/**
 * floor(2^32 P(X <= k)) for X ~ Binomial(256, 2^-bits), k = 0, 1, ... while 2^32 P(X > k) >= 1; `bits` from 4 to 16. Built on first use, shared,
 * read-only.
 */
export function binomialTable(bits: number): Uint32Array {
  binomials ??= buildBinomials();
  return binomials[bits - THIN_BITS.min];
}

/** Probability (u32 Q0.32) of a logit x (int32 Q14): the table with linear interpolation; monotone over all x. */
export function sigmoidQ32(x: number): number {
  const y = x < -0x40000 ? 0 : x > 0x3ffff ? 0x7ffff : x + 0x40000;
  const k = y >> 8;
  const low = SIGMOID_TABLE[k];
  return (low + (Math.imul(SIGMOID_TABLE[k + 1] - low, y & 255) >>> 8)) >>> 0;
}

/** FNV-1a (32 bits) of bytes. */
export function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash >>> 0;
}

function checked<T extends Uint32Array | Int32Array | Int16Array>(name: keyof typeof TABLE_HASHES, table: T): T {
  if (new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1) {
    throw new PopulaceError("INTERNAL", "kernel expose: this machine is big-endian; its arithmetic needs a little-endian one");
  }
  const hash = fnv1a(new Uint8Array(table.buffer, table.byteOffset, table.byteLength));
  if (hash !== TABLE_HASHES[name]) {
    const hex = (value: number) => value.toString(16).padStart(8, "0");
    throw new PopulaceError("INTERNAL", `kernel expose: table ${name} hashes to ${hex(hash)} on this machine, expected ${hex(TABLE_HASHES[name])}; its floating point is not IEEE 754`, { name, hash });
  }
  return table;
}

function sigmoidTable(): Uint32Array {
  return Uint32Array.from({ length: 2049 }, (_, k) => {
    const z = (k * 256 - 0x40000) / 0x4000;
    const small = exponential(z < 0 ? z : -z);
    return Math.min(0xffffffff, Math.floor(0x1_0000_0000 * ((z < 0 ? small : 1) / (1 + small)) + 0.5));
  });
}

/** The quantile's Q11 rounding is r exactly while Phi((r - 1/2) / 2048) <= (u + 1/2) / 65536 < Phi((r + 1/2) / 2048): one sweep, no inversion. */
function buildNormalQuantiles(): Int16Array {
  const table = new Int16Array(65_536);
  let r = 0, upper = phi((r + 0.5) / 2048);
  for (let u = 32_768; u < 65_536; u++) {
    while ((u + 0.5) / 65_536 >= upper) upper = phi((++r + 0.5) / 2048);
    table[u] = r;
    table[65_535 - u] = -r;
  }
  return table;
}

/** At z < -7 the cancellation in 1/2 - half leaves +-1e-15, which must not floor to -1. */
function buildNormalCdf(): Int32Array {
  return Int32Array.from({ length: 16_385 }, (_, k) => Math.max(0, Math.min(65_535, Math.floor(65_536 * phi((k - 8192) / 1024)))));
}

/** P(X = 0) = (1 - p)^256 by eight squarings, P(X = k + 1) = P(X = k) (256 - k) / (k + 1) p / (1 - p). */
function buildBinomials(): readonly Uint32Array[] {
  const tables: Uint32Array[] = [];
  for (let bits = THIN_BITS.min; bits <= THIN_BITS.max; bits++) {
    const p = 1 / 2 ** bits;
    let mass = 1 - p;
    for (let i = 0; i < 8; i++) mass *= mass;
    const entries: number[] = [];
    for (let k = 0, sum = mass; (1 - sum) * 0x1_0000_0000 >= 1; k++) {
      entries.push(Math.floor(sum * 0x1_0000_0000));
      mass *= ((256 - k) / (k + 1)) * (p / (1 - p));
      sum += mass;
    }
    tables.push(Uint32Array.from(entries));
  }
  checked("binomial", Uint32Array.from(tables.flatMap((table) => [...table])));
  return tables;
}

/** Standard normal distribution function by its all-positive series z + z^3/3 + z^5/15 + ... (Abramowitz and Stegun 26.2.11). */
function phi(z: number): number {
  const x = z < 0 ? -z : z;
  let term = x, sum = x;
  for (let n = 3; term > sum * 1e-18; n += 2) sum += term *= (x * x) / n;
  // 1 / sqrt(2 pi) to the last bit.
  const half = sum * exponential((-x * x) / 2) * 0.3989422804014327;
  return z < 0 ? 0.5 - half : 0.5 + half;
}

/** exp(x) for -64 <= x <= 0: Taylor at x / 64, then six squarings; relative error below 1e-14. */
function exponential(x: number): number {
  const y = x / 64;
  let term = 1, sum = 1;
  for (let n = 1; n < 24; n++) sum += term *= y / n;
  for (let i = 0; i < 6; i++) sum *= sum;
  return sum;
}
