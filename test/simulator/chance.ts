import type { Chance } from "@populace/io/simulated";

/** A uniform source for a seed and a purpose (mulberry32): drawing more for one purpose shifts no other. */
export function chanceOf(seed: number, purpose: string): Chance {
  let state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b);
  for (let index = 0; index < purpose.length; index += 1) state = Math.imul(state ^ purpose.charCodeAt(index), 0x0100_0193);
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer from `least` to `most`. */
export const between = (chance: Chance, least: number, most: number): number => least + Math.floor(chance() * (most - least + 1));
export const oneOf = <T>(chance: Chance, values: readonly T[]): T => values[Math.floor(chance() * values.length)];
