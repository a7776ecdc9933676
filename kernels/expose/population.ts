import { philox4x32Into } from "@populace/domain/random";
import type { ExposeBlock, ExposePersona, ExposePlan, ExposeTrait } from "./plan.ts";
import { PURPOSE } from "./purpose.ts";
import { normalCdfTable, normalQuantileTable } from "./tables.ts";

/** Agents whose uniforms are held at once: small enough for the first-level cache at 64 traits. */
const CHUNK_AGENTS = 128;

/**
 * The codes of a block's agents: agents x slots, int8, row by row, slots without a trait 0. Drawn from (persona key, agent,
 * trait) and the parameters of the agent's world alone, so drawing them again gives the same bytes. Fills and returns `out`
 * when given (at least agents x slots long). About 0.1 us an agent with 16 independent traits, 0.3 us with a copula.
 */
export function codesOf(plan: ExposePlan, block: ExposeBlock, out?: Int8Array): Int8Array {
  const { slots, worlds } = plan;
  const persona = plan.personas[block.persona];
  const codes = out ?? new Int8Array(block.agents * slots);
  if (out !== undefined) out.fill(0, 0, block.agents * slots);
  const uniforms = new Uint16Array(persona.traits.length * CHUNK_AGENTS);
  for (let start = 0; start < block.agents; start += CHUNK_AGENTS) {
    const count = Math.min(CHUNK_AGENTS, block.agents - start);
    const first = block.firstAgent + start;
    drawUniforms(persona, first, count, uniforms);
    for (let j = 0; j < persona.traits.length; j++) {
      const trait = persona.traits[j];
      for (let i = 0, at = start * slots + trait.slot; i < count; i++, at += slots) {
        codes[at] = codeOf(trait, ((first + i) >>> persona.worldShift) % worlds, uniforms[j * count + i]);
      }
    }
  }
  return codes;
}

/**
 * Fills `out` (traits x count) with the 16-bit uniforms of agents first .. first + count - 1: independent, or with the
 * correlation of the persona's Gaussian copula.
 */
export function drawUniforms(persona: ExposePersona, first: number, count: number, out: Uint16Array): void {
  const traitCount = persona.traits.length;
  const words = new Uint32Array(4);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < traitCount; j++) {
      if ((j & 3) === 0) philox4x32Into(words, first + i, j >> 2, 0, PURPOSE.trait, persona.key[0], persona.key[1]);
      out[j * count + i] = words[j & 3] >>> 16;
    }
  }
  if (persona.copula.length > 0) correlate(persona, count, out);
}

/** The code of a trait at the 16-bit uniform u in a world. */
export function codeOf(trait: ExposeTrait, world: number, u: number): number {
  if (trait.kind === "level") {
    const levels = trait.codes.length, row = world * levels;
    let level = 0;
    while (level < levels - 1 && u >= trait.cumulative[row + level]) level++;
    return trait.codes[level];
  }
  const k = u >> 8, low = trait.quantiles[k];
  const q = low + (Math.imul(trait.quantiles[k + 1] - low, u & 255) >> 8);
  const code = (trait.offset[world] + ((Math.imul(trait.scale[world], q) + 0x8000) >> 16) + 128) >> 8;
  return code < -128 ? -128 : code > 127 ? 127 : code;
}

function correlate(persona: ExposePersona, count: number, uniforms: Uint16Array): void {
  const traitCount = persona.traits.length;
  const quantile = normalQuantileTable(), cdf = normalCdfTable();
  // f64 holds the sums exactly (below 2^35), which 32-bit integers would not.
  const factor = Float64Array.from(persona.copula);
  const normals = new Float64Array(traitCount);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < traitCount; j++) normals[j] = quantile[uniforms[j * count + i]];
    for (let j = 0, row = 0; j < traitCount; row += ++j) {
      let sum = 0x2000;
      for (let k = 0; k <= j; k++) sum += factor[row + k] * normals[k];
      const z = Math.floor(sum / 0x4000);
      const y = z < -32768 ? 0 : z > 32767 ? 65535 : z + 32768;
      const low = cdf[y >> 2];
      uniforms[j * count + i] = low + (((cdf[(y >> 2) + 1] - low) * (y & 3)) >> 2);
    }
  }
}
