// What the kernels over simulated agents share in WebAssembly: the context, the codes of a chunk of 256 agents, their trait logits, the sigmoid.
// SPEC.md says what is computed, population.ts and reference.ts say it in plain TypeScript, wasm-layout.ts where things lie.
import { highHalves } from "../lib/philox.as";
import {
  F_AGENTS, F_CDF, F_FACTORS, F_FACTOR_WEIGHTS, F_FIRST, F_GROUP_BYTES, F_NARROW, F_NORMAL, F_PAIRS, F_PERSONA, F_PERSONAS, F_PERSONA_TABLE,
  F_PLANES, F_ROW_BYTES, F_SCRATCH, F_SIGMOID, F_STEPS, F_STIMULI, F_TABLES, F_TABLE_COUNT, F_TABLE_LENGTH, F_TABLE_OFFSET, F_WEIGHTS, F_WIDE,
  F_WORLDS, PERSONA_WORDS, S_CODES, S_COLUMNS, S_UNIFORMS, TRAIT_LEVEL, TRAIT_WORDS,
} from "./wasm-layout";

/** Agents that are worked on together. */
export const CHUNK: u32 = 256;

/** Address of the context. */
let context: usize = 0;
/** Address of the scratch. */
export let scratch: usize = 0;

// @ts-ignore: decorator
@inline export function field(index: i32): u32 {
  return load<u32>(context + (<usize>index << 2));
}

/** First address that the module leaves to its caller. */
export function heapBase(): usize {
  return __heap_base;
}

export function init(at: usize): void {
  context = at;
  scratch = field(F_SCRATCH);
}


/** The words of a persona. */
// @ts-ignore: decorator
@inline export function personaAt(index: u32): usize {
  return field(F_PERSONA_TABLE) + index * (PERSONA_WORDS * 4);
}

// ------------------------------------------------------------------------------------------------------------ population

/** A keyed triple32 of four agents. */
// @ts-ignore: decorator
@inline function traitWords(agents: v128, k0: v128, k1: v128): v128 {
  let x = i32x4.add(agents, k0);
  x = v128.xor(i32x4.mul(v128.xor(x, i32x4.shr_u(x, 17)), i32x4.splat(0xed5ad4bb)), k1);
  x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 11)), i32x4.splat(0xac4c1b51));
  x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 15)), i32x4.splat(0x31848bab));
  return v128.xor(x, i32x4.shr_u(x, 14));
}

/** The factors of one agent, where `drawCodes` would put them: for the few candidates of a thinned group. */
export function drawFactors(codes: usize, first: u32, place: u32, persona: usize): void {
  const keys: usize = load<u32>(persona, 24);
  for (let m: u32 = 0; m < field(F_FACTORS) >> 2; m++) {
    let x = first + place + load<u32>(keys + (m << 3));
    x = ((x ^ (x >> 17)) * 0xed5ad4bb) ^ load<u32>(keys + (m << 3), 4);
    x = (x ^ (x >> 11)) * 0xac4c1b51;
    x = (x ^ (x >> 15)) * 0x31848bab;
    store<u32>(codes + (m << 10) + (place << 2), x ^ (x >> 14));
  }
}

/** Where procedural codes of the chunk lie. */
// @ts-ignore: decorator
@inline export function proceduralCodes(): usize {
  return scratch + S_CODES;
}

/** Draws the codes of up to 256 agents: factors word by word (256 words each), or coded groups as a stored block holds them. Returns their address. */
export function drawCodes(first: u32, count: u32, persona: usize): usize {
  const codes = scratch + S_CODES;
  if (field(F_FACTORS) > 0) {
    const keys: usize = load<u32>(persona, 24);
    for (let m: u32 = 0; m < field(F_FACTORS) >> 2; m++) {
      const k0 = v128.load32_splat(keys + (m << 3)), k1 = v128.load32_splat(keys + (m << 3), 4);
      const out = codes + (m << 10);
      let agents = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
      for (let i: u32 = 0; i < count; i += 8) {
        v128.store(out + (i << 2), traitWords(agents, k0, k1));
        agents = i32x4.add(agents, i32x4.splat(4));
        v128.store(out + (i << 2), traitWords(agents, k0, k1), 16);
        agents = i32x4.add(agents, i32x4.splat(4));
      }
    }
    return codes;
  }
  codeChunk(codes, first, count, persona);
  return codes;
}

/** Draws the codes of a whole block into memory: a stored population. */
export function drawBlock(out: usize): void {
  const agents = field(F_AGENTS), persona = personaAt(field(F_PERSONA));
  for (let at: u32 = 0; at < agents; at += CHUNK) codeChunk(out + (at >> 4) * field(F_GROUP_BYTES), field(F_FIRST) + at, min<u32>(CHUNK, agents - at), persona);
}

/** The coded groups of up to 256 agents, each in its own world. */
function codeChunk(out: usize, first: u32, count: u32, persona: usize): void {
  drawUniforms(first, count, persona);
  const worldShift = load<u32>(persona, 8), runAgents: u32 = 1 << worldShift, worlds = field(F_WORLDS);
  clearColumns();
  for (let from: u32 = 0, end: u32 = 0; from < count; from = end) {
    const inRun = (first + from) & (runAgents - 1);
    end = min(count, from + runAgents - inRun);
    codeColumns(from, end, persona, ((first + from) >> worldShift) % worlds);
  }
  weave(out, count);
}

/** The coded groups of agents whose uniforms were drawn last, all in one world. */
export function codesInWorld(out: usize, count: u32, persona: usize, world: u32): void {
  clearColumns();
  codeColumns(0, count, persona, world);
  weave(out, count);
}

/** The uniforms of up to 256 agents, correlated as their persona says, into the scratch. */
export function drawUniforms(first: u32, count: u32, persona: usize): void {
  const traits = load<u32>(persona, 16), keys: usize = load<u32>(persona, 24);
  for (let j: u32 = 0; j < traits; j += 2) uniformPair(scratch + S_UNIFORMS + (j << 9), first, count, keys + (j << 2), j + 1 < traits);
  correlateUniforms(count, persona);
}

/** Gives the uniforms in the scratch the correlation of their persona. */
export function correlateUniforms(count: u32, persona: usize): void {
  const copula: usize = load<u32>(persona, 28);
  if (copula !== 0) correlate(scratch + S_UNIFORMS, count, load<u32>(persona, 16), copula);
}

/** Slots without a trait hold 0; several traits may add up in the column of one table. */
function clearColumns(): void {
  memory.fill(scratch + S_COLUMNS, 0, (2 * field(F_PAIRS) + field(F_TABLE_COUNT)) << (field(F_WIDE) !== 0 ? 9 : 8));
}

/** A column of codes a trait, for the agents from .. end - 1, all of one world. */
function codeColumns(from: u32, end: u32, persona: usize, world: u32): void {
  const isWide = field(F_WIDE) !== 0, width: u32 = isWide ? 9 : 8;
  const traits = load<u32>(persona, 16), trait: usize = load<u32>(persona, 20), uniforms = scratch + S_UNIFORMS, columns = scratch + S_COLUMNS;
  for (let j: u32 = 0; j < traits; j++) {
    const entry = trait + j * (TRAIT_WORDS * 4), to = columns + (load<u32>(entry, 20) << width);
    if (load<u32>(entry) === TRAIT_LEVEL) levelCodes(to, uniforms + (j << 9), from, end, entry, world, isWide);
    else gridCodes(to, uniforms + (j << 9), from, end, entry, world, isWide);
  }
}

/** Columns woven into groups of 16 agents: pairs of numeric slots, then tables. */
function weave(out: usize, count: u32): void {
  const isWide = field(F_WIDE) !== 0, width: u32 = isWide ? 9 : 8, pairs = field(F_PAIRS), tableCount = field(F_TABLE_COUNT), columns = scratch + S_COLUMNS;
  const groupBytes = field(F_GROUP_BYTES);
  for (let i: u32 = 0; i < count; i += 16) {
    const group = out + (i >> 4) * groupBytes;
    for (let pair: u32 = 0; pair < pairs; pair++) {
      const left = columns + (2 * pair << width), right = left + (1 << width);
      if (isWide) {
        for (let half: u32 = 0; half < 2; half++) {
          const a = v128.load(left + (i << 1) + (half << 4)), b = v128.load(right + (i << 1) + (half << 4));
          v128.store(group + (pair << 6) + (half << 5), i8x16.shuffle(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23));
          v128.store(group + (pair << 6) + (half << 5), i8x16.shuffle(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31), 16);
        }
      } else {
        const a = v128.load(left + i), b = v128.load(right + i);
        v128.store(group + (pair << 5), i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
        v128.store(group + (pair << 5), i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16);
      }
    }
    for (let table: u32 = 0; table < tableCount; table++) {
      const column = columns + ((2 * pairs + table) << width), to = group + (pairs << (isWide ? 6 : 5)) + (table << 4);
      if (isWide) v128.store(to, i8x16.narrow_i16x8_s(v128.load(column + (i << 1)), v128.load(column + (i << 1), 16)));
      else v128.store(to, v128.load(column + i));
    }
  }
}

/** The uniforms of two traits from one trait word an agent: low halves, then high halves 512 bytes on. */
function uniformPair(out: usize, first: u32, count: u32, key: usize, both: bool): void {
  const k0 = v128.load32_splat(key), k1 = v128.load32_splat(key, 4), low = i32x4.splat(0xffff);
  let agents = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  for (let i: u32 = 0; i < count; i += 8) {
    const a = traitWords(agents, k0, k1);
    agents = i32x4.add(agents, i32x4.splat(4));
    const b = traitWords(agents, k0, k1);
    agents = i32x4.add(agents, i32x4.splat(4));
    v128.store(out + (i << 1), i16x8.narrow_i32x4_u(v128.and(a, low), v128.and(b, low)));
    if (both) v128.store(out + (i << 1), i16x8.narrow_i32x4_u(i32x4.shr_u(a, 16), i32x4.shr_u(b, 16)), 512);
  }
}

/** Gaussian copula in place: normals by table, the triangular factor four agents at a time, back through the distribution function. */
function correlate(uniforms: usize, count: u32, traits: u32, copula: usize): void {
  const normal: usize = field(F_NORMAL), cdf: usize = field(F_CDF);
  for (let j: u32 = 0; j < traits; j++) {
    const row = uniforms + (j << 9);
    for (let i: u32 = 0; i < count; i++) store<i16>(row + (i << 1), load<i16>(normal + (<usize>load<u16>(row + (i << 1)) << 1)));
  }
  // Rows from the last: each replaces its own normals, which no earlier row needs.
  for (let j: i32 = traits - 1; j >= 0; j--) {
    const factor = copula + ((<usize>j * (j + 1)) >> 1 << 1), row = uniforms + (<usize>j << 9);
    for (let i: u32 = 0; i < count; i += 8) {
      let low = i32x4.splat(0x1000), high = low;
      for (let k: i32 = 0; k <= j; k++) {
        const weight = i16x8.splat(load<i16>(factor + (<usize>k << 1))), e = v128.load(uniforms + (<usize>k << 9) + (i << 1));
        low = i32x4.add(low, i32x4.extmul_low_i16x8_s(e, weight));
        high = i32x4.add(high, i32x4.extmul_high_i16x8_s(e, weight));
      }
      // The narrowing saturates to -32768 .. 32767 as the clamp asks; flipping the sign bit adds 32768.
      v128.store(row + (i << 1), v128.xor(i16x8.narrow_i32x4_s(i32x4.shr_s(low, 13), i32x4.shr_s(high, 13)), i16x8.splat(-32768)));
    }
    for (let i: u32 = 0; i < count; i++) {
      const y = <u32>load<u16>(row + (i << 1)), at = cdf + ((y >> 2) << 2);
      const from = load<i32>(at);
      store<u16>(row + (i << 1), <u16>(from + (((load<i32>(at, 4) - from) * <i32>(y & 3)) >> 2)));
    }
  }
}

/**
 * Codes of a trait with levels: the number of cumulative shares at or below the uniform, through the codes of the levels. The last share is
 * 65,536 and above every uniform; one of 65,536 before it is too, and no u16 can say so: those are left out. Added to the column when the
 * trait shares a table with others (its codes are then multiples of the room they need).
 */
function levelCodes(out: usize, uniforms: usize, from: u32, end: u32, entry: usize, world: u32, isWide: bool): void {
  const levels = load<u32>(entry, 4), cumulative: usize = load<u32>(entry, 8) + ((world * levels) << 2), codes: usize = load<u32>(entry, 12);
  const shift: i32 = load<u32>(entry, 24), isShared = load<u32>(entry, 28) !== 0;
  let compared: u32 = 0;
  while (compared + 1 < levels && load<u32>(cumulative + (compared << 2)) < 65536) compared++;
  if (levels > 16) {
    for (let i = from; i < end; i++) {
      const u = <u32>load<u16>(uniforms + (i << 1));
      let level: u32 = 0;
      while (level < compared && u >= load<u32>(cumulative + (level << 2))) level++;
      const code = <i32>load<i8>(codes + level) << shift;
      if (isWide) store<i16>(out + (i << 1), <i16>code);
      else store<i8>(out + i, <i8>code);
    }
    return;
  }
  const map = v128.load(codes);
  for (let i = from & ~7; i < end; i += 8) {
    const u = v128.load(uniforms + (i << 1));
    let level = i16x8.splat(0);
    for (let l: u32 = 0; l < compared; l++) level = i16x8.sub(level, i16x8.ge_u(u, i16x8.splat(<i16>load<u32>(cumulative + (l << 2)))));
    const code = i8x16.swizzle(map, i8x16.narrow_i16x8_u(level, level));
    put8(out, i, from, end, i16x8.shl(i16x8.extend_low_i8x16_s(code), shift), isWide, isShared);
  }
}

/** Codes of a trait on a grid: the quantile between its knots, moved and stretched for the world. */
function gridCodes(out: usize, uniforms: usize, from: u32, end: u32, entry: usize, world: u32, isWide: bool): void {
  const quantiles: usize = load<u32>(entry, 8);
  const offset = v128.load32_splat(load<u32>(entry, 12) + (world << 2)), scale = v128.load32_splat(load<u32>(entry, 16) + (world << 2));
  for (let i = from & ~7; i < end; i += 8) {
    const u = v128.load(uniforms + (i << 1));
    const low = gridValues(i32x4.extend_low_i16x8_u(u), quantiles, offset, scale), high = gridValues(i32x4.extend_high_i16x8_u(u), quantiles, offset, scale);
    // Narrowing saturates as the clamp asks; the sum before it may wrap and does in the reference.
    const code = isWide
      ? i16x8.narrow_i32x4_s(low, high)
      : i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(low, i32x4.splat(128)), 8), i32x4.shr_s(i32x4.add(high, i32x4.splat(128)), 8));
    put8(out, i, from, end, code, isWide, false);
  }
}

// @ts-ignore: decorator
@inline function gridValues(u: v128, quantiles: usize, offset: v128, scale: v128): v128 {
  const k = i32x4.shl(i32x4.shr_u(u, 8), 2);
  const left = v128.load64_lane(quantiles + i32x4.extract_lane(k, 1), v128.load64_zero(quantiles + i32x4.extract_lane(k, 0)), 1);
  const right = v128.load64_lane(quantiles + i32x4.extract_lane(k, 3), v128.load64_zero(quantiles + i32x4.extract_lane(k, 2)), 1);
  const low = i8x16.shuffle(left, right, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
  const q = i32x4.add(low, i32x4.shr_s(i32x4.mul(i32x4.sub(highHalves(left, right), low), v128.and(u, i32x4.splat(255))), 8));
  return i32x4.add(offset, i32x4.shr_s(i32x4.add(i32x4.mul(scale, q), i32x4.splat(0x8000)), 16));
}

/** Eight codes into a column, sparing the agents outside from .. end - 1: they belong to another world, or to nobody. */
// @ts-ignore: decorator
@inline function put8(out: usize, i: u32, from: u32, end: u32, code: v128, isWide: bool, isShared: bool): void {
  const at = isWide ? out + (i << 1) : out + i;
  let value = code;
  if (isShared || i < from || i + 8 > end) {
    const before = isWide ? v128.load(at) : v128.load8x8_s(at), place = i16x8.add(i16x8.splat(<i16>i), i16x8(0, 1, 2, 3, 4, 5, 6, 7));
    if (isShared) value = i16x8.add(value, before);
    value = v128.bitselect(value, before, v128.and(i16x8.ge_s(place, i16x8.splat(<i16>from)), i16x8.lt_s(place, i16x8.splat(<i16>end))));
  }
  if (isWide) v128.store(at, value);
  else v128.store64_lane(at, i8x16.narrow_i16x8_s(value, value), 0);
}

// ---------------------------------------------------------------------------------------------------------------- logits

/** Four words of an array as lanes. */
// @ts-ignore: decorator
@inline export function words4(array: usize, p0: u32, p1: u32, p2: u32, p3: u32): v128 {
  return v128.load32_lane(array + (p3 << 2), v128.load32_lane(array + (p2 << 2), v128.load32_lane(array + (p1 << 2), v128.load32_zero(array + (p0 << 2)), 1), 2), 3);
}

/** Probability (Q0.32) of four logits: SPEC.md "Sigmoid". */
// @ts-ignore: decorator
@inline export function sigmoid4(x: v128, table: usize): v128 {
  const y = i32x4.min_s(i32x4.max_s(i32x4.add(x, i32x4.splat(0x40000)), i32x4.splat(0)), i32x4.splat(0x7ffff));
  const k = i32x4.shl(i32x4.shr_u(y, 8), 2);
  const left = v128.load64_lane(table + i32x4.extract_lane(k, 1), v128.load64_zero(table + i32x4.extract_lane(k, 0)), 1);
  const right = v128.load64_lane(table + i32x4.extract_lane(k, 3), v128.load64_zero(table + i32x4.extract_lane(k, 2)), 1);
  const low = i8x16.shuffle(left, right, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
  const rise = i32x4.sub(highHalves(left, right), low);
  return i32x4.add(low, i32x4.shr_u(i32x4.mul(rise, v128.and(y, i32x4.splat(255))), 8));
}

/** Probability (Q0.32) of a logit: SPEC.md "Sigmoid". */
// @ts-ignore: decorator
@inline export function sigmoid1(x: i32): u32 {
  const y: u32 = x < -0x40000 ? 0 : x > 0x3ffff ? 0x7ffff : <u32>(x + 0x40000);
  const at = field(F_SIGMOID) + ((y >> 8) << 2), low = load<u32>(at);
  return low + (((load<u32>(at, 4) - low) * (y & 255)) >> 8);
}

/** Sums of neighboring lanes: (a0 + a1, a2 + a3, b0 + b1, b2 + b3). */
// @ts-ignore: decorator
@inline function pairSums(a: v128, b: v128): v128 {
  return i32x4.add(i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27), highHalves(a, b));
}

/** Trait logits of four places of the chunk for one row of weights. */
export function placeLogits(codes: usize, p0: u32, p1: u32, p2: u32, p3: u32, weights: usize, tables: usize): v128 {
  const factors = field(F_FACTORS);
  let acc = i32x4.splat(16);
  if (factors > 0) {
    for (let m: u32 = 0; m < factors >> 2; m++) {
      const at = codes + (m << 10);
      const z = v128.load32_lane(at + (p3 << 2), v128.load32_lane(at + (p2 << 2), v128.load32_lane(at + (p1 << 2), v128.load32_zero(at + (p0 << 2)), 1), 2), 3);
      const w = v128.load64_splat(weights + (m << 3));
      acc = i32x4.add(acc, pairSums(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(z), w), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(z), w)));
    }
    return i32x4.shr_s(acc, 5);
  }
  const pairs = field(F_PAIRS), groupBytes = field(F_GROUP_BYTES), isWide = field(F_WIDE) !== 0;
  const g0 = codes + (p0 >> 4) * groupBytes, g1 = codes + (p1 >> 4) * groupBytes, g2 = codes + (p2 >> 4) * groupBytes, g3 = codes + (p3 >> 4) * groupBytes;
  let x: v128;
  if (isWide) {
    acc = i32x4.splat(4096);
    let a0 = g0 + ((p0 & 15) << 2), a1 = g1 + ((p1 & 15) << 2), a2 = g2 + ((p2 & 15) << 2), a3 = g3 + ((p3 & 15) << 2);
    for (let pair: u32 = 0; pair < pairs; pair++) {
      const own = v128.load32_lane(a3, v128.load32_lane(a2, v128.load32_lane(a1, v128.load32_zero(a0), 1), 2), 3);
      acc = i32x4.add(acc, i32x4.dot_i16x8_s(own, v128.load32_splat(weights + (pair << 2))));
      a0 += 64; a1 += 64; a2 += 64; a3 += 64;
    }
    x = i32x4.shr_s(acc, 13);
  } else {
    let a0 = g0 + ((p0 & 15) << 1), a1 = g1 + ((p1 & 15) << 1), a2 = g2 + ((p2 & 15) << 1), a3 = g3 + ((p3 & 15) << 1);
    for (let pair: u32 = 0; pair < pairs; pair++) {
      const zero = i16x8.splat(0);
      const own = v128.load16_lane(a3, v128.load16_lane(a2, v128.load16_lane(a1, v128.load16_lane(a0, zero, 0), 1), 2), 3);
      acc = i32x4.add(acc, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(own), v128.load32_splat(weights + (pair << 2))));
      a0 += 32; a1 += 32; a2 += 32; a3 += 32;
    }
    x = i32x4.shr_s(acc, 5);
  }
  const tableCount = field(F_TABLE_COUNT), levelAt = pairs << (isWide ? 6 : 5), offsets: usize = field(F_TABLE_OFFSET);
  for (let level: u32 = 0; level < tableCount; level++) {
    const at = levelAt + (level << 4), table = tables + (load<i32>(offsets + (level << 2)) << 2);
    let effect = v128.load32_zero(table + (<i32>load<i8>(g0 + at + (p0 & 15)) << 2));
    effect = v128.load32_lane(table + (<i32>load<i8>(g1 + at + (p1 & 15)) << 2), effect, 1);
    effect = v128.load32_lane(table + (<i32>load<i8>(g2 + at + (p2 & 15)) << 2), effect, 2);
    effect = v128.load32_lane(table + (<i32>load<i8>(g3 + at + (p3 & 15)) << 2), effect, 3);
    x = i32x4.add(x, effect);
  }
  return x;
}


/** Trait logits of one row (world, stimulus, step) for the chunk's agents from .. to - 1, `from` a multiple of 16. */
export function rowLogits(codes: usize, out: usize, from: u32, to: u32, persona: u32, world: u32, stimulus: u32, step: u32): void {
  const stimuli = field(F_STIMULI), steps = field(F_STEPS), factors = field(F_FACTORS);
  if (factors > 0) {
    const cell = ((world * field(F_PERSONAS) + persona) * stimuli + stimulus) * steps + step;
    factorLogits(codes, out, from, to, field(F_FACTOR_WEIGHTS) + ((cell * factors) << 1), factors);
    return;
  }
  const row = (world * stimuli + stimulus) * steps + step;
  codedLogits(
    codes, out, from, to, field(F_WEIGHTS) + row * field(F_ROW_BYTES), field(F_TABLES) + ((row * field(F_TABLE_LENGTH)) << 2),
    field(F_PLANES) + ((row * field(F_TABLE_COUNT)) << 6), load<u8>(field(F_NARROW) + row) !== 0,
  );
}

function factorLogits(codes: usize, out: usize, from: u32, to: u32, weights: usize, factors: u32): void {
  if (factors === 4) {
    const w = v128.load64_splat(weights), half = i32x4.splat(16);
    for (let i = from; i < to; i += 8) {
      const a = v128.load(codes + (i << 2)), b = v128.load(codes + (i << 2), 16);
      const s = pairSums(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(a), w), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(a), w));
      const t = pairSums(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(b), w), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(b), w));
      v128.store(out + (i << 2), i32x4.shr_s(i32x4.add(s, half), 5));
      v128.store(out + (i << 2), i32x4.shr_s(i32x4.add(t, half), 5), 16);
    }
    return;
  }
  for (let i = from; i < to; i += 4) {
    let acc = i32x4.splat(16);
    for (let m: u32 = 0; m < factors >> 2; m++) {
      const z = v128.load(codes + (m << 10) + (i << 2)), w = v128.load64_splat(weights + (m << 3));
      acc = i32x4.add(acc, pairSums(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(z), w), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(z), w)));
    }
    v128.store(out + (i << 2), i32x4.shr_s(acc, 5));
  }
}

function codedLogits(codes: usize, out: usize, from: u32, to: u32, weights: usize, tables: usize, planes: usize, isNarrow: bool): void {
  const pairs = field(F_PAIRS), tableCount = field(F_TABLE_COUNT), groupBytes = field(F_GROUP_BYTES), isWide = field(F_WIDE) !== 0;
  const offsets: usize = field(F_TABLE_OFFSET);
  for (let i = from; i < to; i += 16) {
    const group = codes + (i >> 4) * groupBytes;
    let x0: v128, x1: v128, x2: v128, x3: v128, levelAt: usize;
    if (isWide) {
      x0 = i32x4.splat(4096); x1 = x0; x2 = x0; x3 = x0;
      for (let pair: u32 = 0; pair < pairs; pair++) {
        const w = v128.load32_splat(weights + (pair << 2)), at = group + (pair << 6);
        x0 = i32x4.add(x0, i32x4.dot_i16x8_s(v128.load(at), w));
        x1 = i32x4.add(x1, i32x4.dot_i16x8_s(v128.load(at, 16), w));
        x2 = i32x4.add(x2, i32x4.dot_i16x8_s(v128.load(at, 32), w));
        x3 = i32x4.add(x3, i32x4.dot_i16x8_s(v128.load(at, 48), w));
      }
      x0 = i32x4.shr_s(x0, 13); x1 = i32x4.shr_s(x1, 13); x2 = i32x4.shr_s(x2, 13); x3 = i32x4.shr_s(x3, 13);
      levelAt = group + (pairs << 6);
    } else {
      x0 = i32x4.splat(16); x1 = x0; x2 = x0; x3 = x0;
      for (let pair: u32 = 0; pair < pairs; pair++) {
        const w = v128.load32_splat(weights + (pair << 2)), at = group + (pair << 5);
        x0 = i32x4.add(x0, i32x4.dot_i16x8_s(v128.load8x8_s(at), w));
        x1 = i32x4.add(x1, i32x4.dot_i16x8_s(v128.load8x8_s(at, 8), w));
        x2 = i32x4.add(x2, i32x4.dot_i16x8_s(v128.load8x8_s(at, 16), w));
        x3 = i32x4.add(x3, i32x4.dot_i16x8_s(v128.load8x8_s(at, 24), w));
      }
      x0 = i32x4.shr_s(x0, 5); x1 = i32x4.shr_s(x1, 5); x2 = i32x4.shr_s(x2, 5); x3 = i32x4.shr_s(x3, 5);
      levelAt = group + (pairs << 5);
    }
    if (isNarrow) {
      // The effects of all tables together fit 16 bits: two byte planes each, summed before they are widened.
      let low = i16x8.splat(0), high = low;
      for (let table: u32 = 0; table < tableCount; table++) {
        const code = v128.load(levelAt + (table << 4)), plane = planes + (table << 6);
        const b0 = i8x16.swizzle(v128.load(plane), code), b1 = i8x16.swizzle(v128.load(plane, 16), code);
        low = i16x8.add(low, i8x16.shuffle(b0, b1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
        high = i16x8.add(high, i8x16.shuffle(b0, b1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
      }
      x0 = i32x4.add(x0, i32x4.extend_low_i16x8_s(low));
      x1 = i32x4.add(x1, i32x4.extend_high_i16x8_s(low));
      x2 = i32x4.add(x2, i32x4.extend_low_i16x8_s(high));
      x3 = i32x4.add(x3, i32x4.extend_high_i16x8_s(high));
    } else for (let table: u32 = 0; table < tableCount; table++) {
      const own = levelAt + (table << 4), entries = tables + (load<i32>(offsets + (table << 2)) << 2);
      x0 = i32x4.add(x0, lookUp(entries, own));
      x1 = i32x4.add(x1, lookUp(entries, own + 4));
      x2 = i32x4.add(x2, lookUp(entries, own + 8));
      x3 = i32x4.add(x3, lookUp(entries, own + 12));
    }
    v128.store(out + (i << 2), x0);
    v128.store(out + (i << 2), x1, 16);
    v128.store(out + (i << 2), x2, 32);
    v128.store(out + (i << 2), x3, 48);
  }
}

// @ts-ignore: decorator
@inline function lookUp(table: usize, codes: usize): v128 {
  let effect = v128.load32_zero(table + (<i32>load<i8>(codes) << 2));
  effect = v128.load32_lane(table + (<i32>load<i8>(codes, 1) << 2), effect, 1);
  effect = v128.load32_lane(table + (<i32>load<i8>(codes, 2) << 2), effect, 2);
  return v128.load32_lane(table + (<i32>load<i8>(codes, 3) << 2), effect, 3);
}
