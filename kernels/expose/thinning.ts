import { philox4x32Into } from "@populace/domain/random";
import { binomialTable, THIN_BITS } from "./tables.ts";

/** Agents that share thinned draws. */
export const GROUP_AGENTS = 256;
/** The draw of an agent that is no candidate: below no threshold. */
const NO_DRAW = 0xffffffff;

/**
 * Fills out[0 .. 255] with the thinned draws of a group of 256 agents (SPEC.md, "Thinned draws"): the candidates' draws, below
 * 2^(32 - bits), and `NO_DRAW` for everyone else. `words` is scratch of four.
 */
export function thinnedDraws(
  out: Uint32Array, bits: number, group: number, tick: number, ordinal: number, countPurpose: number, spotPurpose: number,
  key0: number, key1: number, words: Uint32Array,
): void {
  out.fill(NO_DRAW, 0, GROUP_AGENTS);
  philox4x32Into(words, group >>> 2, tick, ordinal, countPurpose, key0, key1);
  const count = candidateCount(bits, words[group & 3]);
  for (let j = 0; j < count; j++) {
    philox4x32Into(words, group, tick, ordinal + (j << 16), spotPurpose, key0, key1);
    let place = 0, tries = 0;
    do place = (words[1 + (tries >> 2)] >>> (8 * (tries & 3))) & 255;
    while (out[place] !== NO_DRAW && ++tries < 12);
    while (out[place] !== NO_DRAW) place = (place + 1) & 255;
    out[place] = words[0] >>> bits;
  }
}

/** How many of 256 agents are candidates when the group's word is w: the binomial inverse distribution function. */
function candidateCount(bits: number, w: number): number {
  const table = binomialTable(bits);
  let count = 0;
  while (count < table.length && w >= table[count]) count++;
  return count;
}

/** The class of a draw whose thresholds all stay below `bound` (1 .. 2^32): the largest b with bound <= 2^(32 - b), 0 when that is dense. */
export function thinBits(bound: number): number {
  let bits = 0;
  while (bits < THIN_BITS.max && bound <= 2 ** (31 - bits)) bits++;
  return bits < THIN_BITS.min ? 0 : bits;
}
