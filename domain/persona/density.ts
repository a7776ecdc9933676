import { BINARY_CODE, CODES_PER_UNIT, MISSING } from "./trait.ts";
import type { Trait, TraitCoding } from "./trait.ts";
import type { Assignment, Persona, PersonaMixture } from "./persona.ts";
import { codeRange } from "./coding.ts";

/** Smallest spread of a grid trait inside a persona, codes: a tenth of a standard deviation, so that no spike owns a persona. */
export const SD_CODES_MIN = CODES_PER_UNIT / 10;

/** Mean and standard deviation, in codes, of a grid trait inside a persona. */
export function gridMoments(coding: TraitCoding, trait: Trait): { readonly mean: number; readonly sd: number } {
  const toCode = (value: number): number => ((value - coding.center) / coding.scale) * CODES_PER_UNIT;
  const distribution = trait.distribution;
  if (distribution.kind === "continuous") {
    const variance = distribution.rate / Math.max(distribution.shape - 1, 0.5);
    return { mean: toCode(distribution.mean), sd: Math.max(SD_CODES_MIN, (Math.sqrt(variance) / coding.scale) * CODES_PER_UNIT) };
  }
  if (distribution.kind !== "count") throw new RangeError(`trait ${trait.name} is ${distribution.kind}, not on a grid`);
  if (trait.shape.length > 0) {
    const n = trait.shape.length;
    const mean = trait.shape.reduce((sum, code) => sum + code, 0) / n;
    const variance = trait.shape.reduce((sum, code) => sum + (code - mean) ** 2, 0) / n;
    return { mean, sd: Math.max(SD_CODES_MIN, Math.sqrt(variance)) };
  }
  // Poisson seen through log1p, by the delta method.
  const rate = distribution.shape / distribution.rate;
  return { mean: toCode(Math.log1p(rate)), sd: Math.max(SD_CODES_MIN, (Math.sqrt(rate) / (1 + rate) / coding.scale) * CODES_PER_UNIT) };
}

/**
 * log density of every code of one trait inside one persona: shares of levels, or the normal density over codes. Written into
 * `table` at `codeRange(coding).offset`; the mean of the log density over the trait's own distribution is returned.
 */
export function fillLogDensity(coding: TraitCoding, trait: Trait, table: Float64Array): number {
  const distribution = trait.distribution;
  if (distribution.kind === "binary") {
    const share = distribution.alpha / (distribution.alpha + distribution.beta);
    table[0] = Math.log(1 - share);
    table[BINARY_CODE] = Math.log(share);
    return share * table[BINARY_CODE] + (1 - share) * table[0];
  }
  if (distribution.kind === "categorical") {
    const total = distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
    let mean = 0;
    distribution.alphas.forEach((alpha, level) => {
      table[level] = Math.log(alpha / total);
      mean += (alpha / total) * table[level];
    });
    return mean;
  }
  const { mean, sd } = gridMoments(coding, trait);
  fillNormal(table, mean, sd);
  return -0.5 * Math.log(2 * Math.PI * Math.E * sd * sd);
}

/** Writes the log normal density of the codes -128 .. 127 into a table of 256. */
export function fillNormal(table: Float64Array, mean: number, sd: number): void {
  const constant = -0.5 * Math.log(2 * Math.PI) - Math.log(sd), factor = -0.5 / (sd * sd);
  for (let i = 0; i < 256; i++) table[i] = constant + factor * (i - 128 - mean) ** 2;
}

/** A mixture made ready for assigning many rows: per persona and trait a table of log densities by code. */
export interface DensityTables {
  readonly offsets: Int32Array;
  readonly logShare: Float64Array;
  /** persona-major, personas x traits. */
  readonly tables: readonly Float64Array[];
  readonly expected: Float64Array;
}

const cache = new WeakMap<PersonaMixture, DensityTables>();

/** The tables of a mixture, built once for each mixture object. */
export function densityTables(mixture: PersonaMixture): DensityTables {
  let tables = cache.get(mixture);
  if (tables === undefined) {
    tables = buildTables(mixture.codings, mixture.personas);
    cache.set(mixture, tables);
  }
  return tables;
}

function buildTables(codings: readonly TraitCoding[], personas: readonly Persona[]): DensityTables {
  const expected = new Float64Array(personas.length * codings.length);
  const tables = personas.flatMap((persona, k) =>
    codings.map((coding, t) => {
      const table = new Float64Array(codeRange(coding).count);
      if (coding.inPersonas !== false) expected[k * codings.length + t] = fillLogDensity(coding, persona.traits[t], table);
      return table;
    }),
  );
  return {
    offsets: Int32Array.from(codings, (coding) => codeRange(coding).offset),
    logShare: Float64Array.from(personas, (persona) => Math.log(Math.max(persona.share, 1e-300))),
    tables,
    expected,
  };
}

/**
 * log p(x | persona) of a row of codes, missing attributes left out. With `fillMissing` each missing attribute adds the
 * persona's own mean log density instead, so that rows with and without gaps are on one scale (used against the floor).
 */
export function logDensity(mixture: PersonaMixture, persona: number, codes: ArrayLike<number>, fillMissing = false, start = 0): number {
  const { tables, offsets, expected } = densityTables(mixture);
  const traits = offsets.length;
  let sum = 0;
  for (let t = 0; t < traits; t++) {
    const code = codes[start + t];
    if (code === MISSING) { if (fillMissing) sum += expected[persona * traits + t]; continue; }
    sum += tables[persona * traits + t][code + offsets[t]];
  }
  return sum;
}

/**
 * The closest persona of a row of codes: the largest log share + log p(x | persona), missing attributes left out, the first of
 * equals. `fitsNone` when the row lies below that persona's own floor. A row without any known attribute gets the largest persona.
 */
export function assign(mixture: PersonaMixture, codes: ArrayLike<number>, start = 0): Assignment {
  const { logShare } = densityTables(mixture);
  const count = mixture.personas.length;
  let best = 0, bestScore = -Infinity, total = 0;
  for (let k = 0; k < count; k++) {
    const score = logShare[k] + logDensity(mixture, k, codes, false, start);
    if (score > bestScore) {
      total = total * Math.exp(bestScore - score) + 1;
      [best, bestScore] = [k, score];
    } else total += Math.exp(score - bestScore);
  }
  const density = logDensity(mixture, best, codes, true, start);
  return { persona: best, probability: 1 / total, logDensity: density, fitsNone: density < mixture.personas[best].logDensityFloor };
}

/** Index of the closest persona of every row (rows x traits codes, row-major). */
export function assignRows(mixture: PersonaMixture, codes: Int16Array): Int32Array {
  const { logShare, tables, offsets } = densityTables(mixture);
  const traits = offsets.length, rows = traits === 0 ? 0 : codes.length / traits, count = mixture.personas.length;
  const result = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    let best = 0, bestScore = -Infinity;
    for (let k = 0; k < count; k++) {
      let score = logShare[k];
      for (let t = 0; t < traits; t++) {
        const code = codes[row * traits + t];
        if (code !== MISSING) score += tables[k * traits + t][code + offsets[t]];
      }
      if (score > bestScore) [best, bestScore] = [k, score];
    }
    result[row] = best;
  }
  return result;
}
