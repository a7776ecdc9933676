import { philox4x32Into } from "@populace/domain/random";
import { type ExposeBlock, type ExposePersona, type ExposePlan, type ExposeTrait, LEVEL_SLOT } from "./plan.ts";
import { PURPOSE } from "./purpose.ts";
import { normalCdfTable, normalQuantileTable } from "./tables.ts";

/** Agents whose uniforms are held at once: small enough for the first-level cache at 64 traits. */
const CHUNK_AGENTS = 128;

/** Codes of agents, int8 or int16 as the arithmetic profile says. */
export type Codes = Int8Array | Int16Array;

/** An array of codes in the width of the plan's arithmetic profile. */
export const codesArray = (plan: Pick<ExposePlan, "arithmeticProfile">, length: number): Codes => (plan.arithmeticProfile === "nest16-2" ? new Int16Array(length) : new Int8Array(length));

/** Columns of an agent's row of codes: the slots of the coded form, the factors of the factor form. */
export const codeColumns = (plan: Pick<ExposePlan, "slots" | "factors">): number => (plan.factors > 0 ? plan.factors : plan.slots);

/**
 * The codes of a block's agents: agents x columns, row by row, slots without a trait 0; in the factor form the factors. Drawn from
 * (persona key, agent, trait) and the parameters of the agent's world alone, so drawing them again gives the same values. Fills and
 * returns `out` when given (at least agents x columns long).
 */
export function codesOf(plan: ExposePlan, block: ExposeBlock, out?: Codes): Codes {
  const columns = codeColumns(plan), { worlds } = plan;
  const persona = plan.personas[block.persona];
  const codes = out ?? codesArray(plan, block.agents * columns);
  if (plan.factors > 0) {
    factorsOf(persona, block, columns, codes);
    return codes;
  }
  if (out !== undefined) out.fill(0, 0, block.agents * columns);
  const uniforms = new Uint16Array(persona.traits.length * CHUNK_AGENTS);
  for (let start = 0; start < block.agents; start += CHUNK_AGENTS) {
    const count = Math.min(CHUNK_AGENTS, block.agents - start);
    const first = block.firstAgent + start;
    drawUniforms(persona, first, count, uniforms);
    for (let j = 0; j < persona.traits.length; j++) {
      const trait = persona.traits[j], code = coder(plan, trait);
      for (let i = 0, at = start * columns + trait.slot; i < count; i++, at += columns) {
        codes[at] = code(((first + i) >>> persona.worldShift) % worlds, uniforms[j * count + i]);
      }
    }
  }
  return codes;
}

/** The two words that key trait word m of a persona's agents. */
export function traitKey(persona: Pick<ExposePersona, "key">, m: number): readonly [number, number] {
  const words = new Uint32Array(4);
  philox4x32Into(words, m, 0, 0, PURPOSE.trait, persona.key[0], persona.key[1]);
  return [words[0], words[1]];
}

/** A trait word of an agent (u32): triple32 of Wellons' hash prospector, keyed by two words. */
export function traitWord(agent: number, [key0, key1]: readonly [number, number]): number {
  let x = (agent + key0) | 0;
  x = Math.imul(x ^ (x >>> 17), 0xed5ad4bb) ^ key1;
  x = Math.imul(x ^ (x >>> 11), 0xac4c1b51);
  x = Math.imul(x ^ (x >>> 15), 0x31848bab);
  return (x ^ (x >>> 14)) >>> 0;
}

/**
 * Fills `out` (traits x count) with the 16-bit uniforms of agents first .. first + count - 1: independent, or with the
 * correlation of the persona's Gaussian copula.
 */
export function drawUniforms(persona: ExposePersona, first: number, count: number, out: Uint16Array): void {
  const traitCount = persona.traits.length;
  for (let j = 0; j < traitCount; j += 2) {
    const key = traitKey(persona, j >> 1);
    for (let i = 0; i < count; i++) {
      const word = traitWord(first + i, key);
      out[j * count + i] = word & 0xffff;
      if (j + 1 < traitCount) out[(j + 1) * count + i] = word >>> 16;
    }
  }
  if (persona.copula.length > 0) correlateUniforms(persona, count, out);
}

/** The code of a trait as a function of a world and a 16-bit uniform, in the plan's profile. */
export function coder(plan: Pick<ExposePlan, "arithmeticProfile" | "slotKind">, trait: ExposeTrait): (world: number, u: number) => number {
  const isWide = plan.arithmeticProfile === "nest16-2";
  if (trait.kind === "level") {
    const { cumulative, codes } = trait, levels = codes.length;
    const shift = isWide && plan.slotKind[trait.slot] !== LEVEL_SLOT ? 8 : 0;
    return (world, u) => {
      let level = 0;
      while (level < levels - 1 && u >= cumulative[world * levels + level]) level++;
      return codes[level] << shift;
    };
  }
  const { quantiles, offset, scale } = trait;
  return (world, u) => {
    const k = u >> 8, low = quantiles[k];
    const q = low + (Math.imul(quantiles[k + 1] - low, u & 255) >> 8);
    const g = (offset[world] + ((Math.imul(scale[world], q) + 0x8000) >> 16)) | 0;
    return isWide ? clamp(g, -32_768, 32_767) : clamp((g + 128) >> 8, -128, 127);
  };
}

const clamp = (value: number, low: number, high: number): number => (value < low ? low : value > high ? high : value);

function factorsOf(persona: ExposePersona, block: ExposeBlock, factors: number, out: Codes): void {
  for (let m = 0; m < factors / 4; m++) {
    const key = traitKey(persona, m);
    for (let i = 0, at = 4 * m; i < block.agents; i++, at += factors) {
      const word = traitWord(block.firstAgent + i, key);
      out[at] = (word << 24) >> 24;
      out[at + 1] = (word << 16) >> 24;
      out[at + 2] = (word << 8) >> 24;
      out[at + 3] = word >> 24;
    }
  }
}

/** Gives independent uniforms (traits x count) the correlation of the persona's Gaussian copula, in place. */
export function correlateUniforms(persona: Pick<ExposePersona, "traits" | "copula">, count: number, uniforms: Uint16Array): void {
  const traitCount = persona.traits.length;
  const quantile = normalQuantileTable(), cdf = normalCdfTable();
  const factor = persona.copula;
  const normals = new Int32Array(traitCount);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < traitCount; j++) normals[j] = quantile[uniforms[j * count + i]];
    for (let j = 0, row = 0; j < traitCount; row += ++j) {
      let sum = 0x1000;
      for (let k = 0; k <= j; k++) sum += factor[row + k] * normals[k];
      const z = sum >> 13;
      const y = z < -32768 ? 0 : z > 32767 ? 65535 : z + 32768;
      const low = cdf[y >> 2];
      uniforms[j * count + i] = low + (((cdf[(y >> 2) + 1] - low) * (y & 3)) >> 2);
    }
  }
}
