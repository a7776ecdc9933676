import { BINARY_CODE, CODES_PER_UNIT, normalQuantile } from "@populace/domain";
import type { Persona, RandomStream, Trait, TraitCoding } from "@populace/domain";
import type { PlanTrait } from "@populace/protocol";

/** Intervals of the kernel's quantile table; 257 knots. */
const KNOTS = 256;
const Q16 = 65_536;

/** Parameters of one persona's trait in one world. */
type WorldParameters =
  | { readonly kind: "shares"; readonly shares: ArrayLike<number> }
  | { readonly kind: "normal"; readonly mean: number; readonly sd: number }
  | { readonly kind: "poisson"; readonly rate: number };

/**
 * How the agents of a persona draw one trait, world by world: each world draws the persona-level parameters once from their
 * posterior, by the stream given, or takes their means when `random` is null. `binaryCodes` are the codes of no and yes.
 */
export function planTrait(trait: Trait, coding: TraitCoding, slot: number, worlds: number, random: RandomStream | null, binaryCodes: readonly [number, number]): PlanTrait {
  if (random === null && worlds > 1) return repeated(planTrait(trait, coding, slot, 1, null, binaryCodes), worlds);
  const parameters = Array.from({ length: worlds }, () => worldParameters(trait, random));
  if (trait.kind === "binary" || trait.kind === "categorical") {
    const levels = trait.kind === "binary" ? 2 : coding.levels.length;
    const cumulative = new Uint32Array(worlds * levels);
    parameters.forEach((parameter, world) => {
      if (parameter.kind === "shares") cumulativeShares(parameter.shares, cumulative.subarray(world * levels, (world + 1) * levels));
    });
    const codes = trait.kind === "binary" ? Int8Array.from(binaryCodes) : Int8Array.from({ length: levels }, (_, level) => level);
    return { slot, kind: "level", cumulative, codes };
  }
  if (trait.kind === "count" && trait.shape.length === 0) return poissonTrait(coding, slot, parameters.map((parameter) => (parameter.kind === "poisson" ? parameter.rate : 0)));
  return gridTrait(trait, coding, slot, parameters);
}

/** The trait of one world in all of them. */
function repeated(trait: PlanTrait, worlds: number): PlanTrait {
  if (trait.kind === "grid") return { ...trait, offset: new Int32Array(worlds).fill(trait.offset[0]), scale: new Int32Array(worlds).fill(trait.scale[0]) };
  const cumulative = new Uint32Array(worlds * trait.cumulative.length);
  for (let at = 0; at < cumulative.length; at += trait.cumulative.length) cumulative.set(trait.cumulative, at);
  return { ...trait, cumulative };
}

function worldParameters(trait: Trait, random: RandomStream | null): WorldParameters {
  const posterior = trait.distribution;
  switch (posterior.kind) {
    case "binary": {
      const share = random === null ? posterior.alpha / (posterior.alpha + posterior.beta) : random.beta(posterior.alpha, posterior.beta);
      return { kind: "shares", shares: [1 - share, share] };
    }
    case "categorical": {
      const total = posterior.alphas.reduce((sum, alpha) => sum + alpha, 0);
      // A level nobody has may carry alpha 0, which the Dirichlet cannot draw.
      return { kind: "shares", shares: random === null ? posterior.alphas.map((alpha) => alpha / total) : random.dirichlet(posterior.alphas.map((alpha) => Math.max(alpha, 1e-6))) };
    }
    case "continuous": {
      const expected = posterior.rate / (posterior.shape > 1 ? posterior.shape - 1 : posterior.shape);
      const variance = random === null ? expected : posterior.rate / random.gamma(posterior.shape);
      const mean = random === null ? posterior.mean : posterior.mean + Math.sqrt(variance / posterior.kappa) * random.normal();
      return { kind: "normal", mean, sd: Math.sqrt(variance) };
    }
    case "count":
      return { kind: "poisson", rate: random === null ? posterior.shape / posterior.rate : random.gamma(posterior.shape) / posterior.rate };
  }
}

/** Writes ascending cumulative shares in Q16; the last level always closes at 65,536. */
function cumulativeShares(shares: ArrayLike<number>, into: Uint32Array): void {
  let sum = 0;
  for (let level = 0; level < into.length; level += 1) {
    sum += shares[level];
    into[level] = Math.min(Q16, Math.round(sum * Q16));
  }
  into[into.length - 1] = Q16;
}

/** Code on the int8 grid of a value in transformed units. */
const codeOf = (coding: TraitCoding, transformed: number): number => ((transformed - coding.center) / coding.scale) * CODES_PER_UNIT;
const clampCode = (code: number): number => Math.max(-128, Math.min(127, Math.round(code)));

/** A Poisson count, exactly: one level for each code it can take, with its probability in each world. */
function poissonTrait(coding: TraitCoding, slot: number, rates: readonly number[]): PlanTrait {
  const largest = Math.max(...rates);
  const countMax = Math.ceil(largest + 10 * Math.sqrt(largest) + 12);
  const codes: number[] = [];
  const codeIndex = Array.from({ length: countMax + 1 }, (_, count) => {
    const code = clampCode(codeOf(coding, Math.log1p(count)));
    if (codes.at(-1) !== code) codes.push(code);
    return codes.length - 1;
  });
  const cumulative = new Uint32Array(rates.length * codes.length);
  rates.forEach((rate, world) => {
    const shares = new Float64Array(codes.length);
    let logProbability = -rate;
    for (let count = 0; count <= countMax; count += 1) {
      if (count > 0) logProbability += Math.log(rate / count);
      shares[codeIndex[count]] += Math.exp(logProbability);
    }
    cumulativeShares(shares, cumulative.subarray(world * codes.length, (world + 1) * codes.length));
  });
  return { slot, kind: "level", cumulative, codes: Int8Array.from(codes) };
}

/** A continuous trait (or a count with an empirical shape): one standardized shape, moved and stretched world by world. */
function gridTrait(trait: Trait, coding: TraitCoding, slot: number, parameters: readonly WorldParameters[]): PlanTrait {
  const shape = trait.shape.length === 0 ? normalShape() : standardized(interpolatedKnots(trait.shape));
  const perUnit = CODES_PER_UNIT / coding.scale;
  const posterior = trait.distribution;
  // A count's shape is that of its codes; a world's Poisson rate only moves it.
  const rateMean = posterior.kind === "count" ? posterior.shape / posterior.rate : 0;
  const means = parameters.map((parameter) =>
    parameter.kind === "normal" ? codeOf(coding, parameter.mean) : shape.mean + (Math.log1p(parameter.kind === "poisson" ? parameter.rate : 0) - Math.log1p(rateMean)) * perUnit,
  );
  const sds = parameters.map((parameter) => (parameter.kind === "normal" ? parameter.sd * perUnit : shape.sd));
  const reference = Math.max(sds.reduce((sum, sd) => sum + sd, 0) / sds.length, 1e-9);
  const scale = Int32Array.from(sds, (sd) => Math.round((sd / reference) * Q16));
  const offset = Int32Array.from(means, (mean) => Math.round(Math.max(-1e6, Math.min(1e6, mean)) * 256));
  // scale * quantile must stay below 2^31: that is a deviation of 127 codes, beyond which the grid ends anyway.
  const bound = Math.floor((2 ** 31 - 2 ** 17) / Math.max(1, ...scale));
  const quantiles = Int32Array.from(shape.knots, (knot) => Math.max(-bound, Math.min(bound, Math.round(knot * reference * 256))));
  return { slot, kind: "grid", quantiles, offset, scale };
}

let normal: ReturnType<typeof standardized> | null = null;

/** The shape of a trait without one of its own. Built on first use. */
const normalShape = (): ReturnType<typeof standardized> => (normal ??= standardized(normalKnots()));

/** Standard normal quantiles at k / 256; the ends are set so that the outer intervals keep the mean of their tails. */
function normalKnots(): Float64Array {
  const knots = new Float64Array(KNOTS + 1);
  for (let k = 1; k < KNOTS; k += 1) knots[k] = normalQuantile(k / KNOTS);
  const tailMean = -(Math.exp(-0.5 * knots[1] ** 2) / Math.sqrt(2 * Math.PI)) * KNOTS;
  knots[0] = 2 * tailMean - knots[1];
  knots[KNOTS] = -knots[0];
  return knots;
}

/** Knots at k / 256 from quantiles at (i + 0.5) / n: linear between them, and on with the outer slope beyond them. */
function interpolatedKnots(shape: readonly number[]): Float64Array {
  const last = shape.length - 1;
  return Float64Array.from({ length: KNOTS + 1 }, (_, k) => {
    const position = (k / KNOTS) * shape.length - 0.5;
    const below = Math.max(0, Math.min(last - 1, Math.floor(position)));
    return last === 0 ? shape[0] : shape[below] + (shape[below + 1] - shape[below]) * (position - below);
  });
}

/** The knots with mean 0 and sd 1 under linear interpolation of a uniform position, and what was taken out. */
function standardized(knots: Float64Array): { readonly knots: Float64Array; readonly mean: number; readonly sd: number } {
  let mean = 0;
  let square = 0;
  for (let k = 0; k < KNOTS; k += 1) {
    const [a, b] = [knots[k], knots[k + 1]];
    mean += (a + b) / 2 / KNOTS;
    square += (a * a + a * b + b * b) / 3 / KNOTS;
  }
  const sd = Math.sqrt(Math.max(0, square - mean * mean));
  return { knots: knots.map((knot) => (sd > 1e-9 ? (knot - mean) / sd : 0)), mean, sd };
}

/**
 * The copula factor of a persona over the kept traits, packed by rows in Q14. Dropping traits changes the factor: it is the
 * factor of the kept part of the correlation.
 */
export function planCopula(persona: Persona, kept: readonly number[]): Int16Array {
  const n = persona.traits.length;
  if (persona.correlation.length === 0) return new Int16Array(0);
  const at = (row: number, column: number): number => (column > row ? 0 : persona.correlation[(row * (row + 1)) / 2 + column]);
  const correlation = kept.map((i) => kept.map((j) => Array.from({ length: n }, (_, k) => at(i, k) * at(j, k)).reduce((sum, product) => sum + product, 0)));
  const factor: number[][] = [];
  for (let i = 0; i < kept.length; i += 1) {
    factor.push([]);
    for (let j = 0; j <= i; j += 1) {
      let sum = correlation[i][j];
      for (let k = 0; k < j; k += 1) sum -= factor[i][k] * factor[j][k];
      factor[i].push(i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / factor[j][j]);
    }
  }
  return Int16Array.from(factor.flat(), (value) => Math.max(-16_384, Math.min(16_384, Math.round(value * 16_384))));
}

/** Code of a binary trait in the model, no and yes. */
export const BINARY_CODES = [0, BINARY_CODE] as const;
