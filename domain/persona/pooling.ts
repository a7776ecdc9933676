import { id } from "../ids.ts";
import type { PersonaId } from "../ids.ts";
import { BINARY_CODE, CODES_PER_UNIT, MISSING } from "./trait.ts";
import type { Trait, TraitCoding, TraitDistribution } from "./trait.ts";
import type { Persona, PersonaMixture } from "./persona.ts";
import { codeRange, decode } from "./coding.ts";
import { logDensity } from "./density.ts";
import { residualCorrelation } from "./copula.ts";
import { namePersonas } from "./naming.ts";
import type { MixtureData } from "./mixture.ts";

/** Pseudo-members with the population's traits that pull every persona toward the whole. */
export const POOLING_STRENGTH = 5;
const SHAPE_POINTS = 33;
/** Members from which a persona's own correlations can be read. */
const CORRELATION_MEMBERS_MIN = 100;

/**
 * The personas whose members are given by `assignment` (0 .. k - 1): conjugate posteriors of the traits, pulled toward the
 * whole population by POOLING_STRENGTH pseudo-members, shapes, correlations, floors and names.
 */
export function personasOf(data: MixtureData, assignment: Int32Array): PersonaMixture {
  const { codings, codes, weight } = data;
  const traits = codings.length, rows = assignment.length;
  let count = 1;
  for (const persona of assignment) count = Math.max(count, persona + 1);
  const offsets = codings.map((coding) => codeRange(coding).offset);
  const histograms = Array.from({ length: count * traits }, (_, i) => new Float64Array(codeRange(codings[i % traits]).count));
  const wholes = codings.map((coding) => new Float64Array(codeRange(coding).count));
  const members = new Float64Array(count);
  for (let row = 0; row < rows; row++) {
    const w = weight === null ? 1 : weight[row];
    members[assignment[row]] += w;
    for (let t = 0; t < traits; t++) {
      const code = codes[row * traits + t];
      if (code === MISSING) continue;
      histograms[assignment[row] * traits + t][code + offsets[t]] += w;
      wholes[t][code + offsets[t]] += w;
    }
  }
  const total = members.reduce((sum, m) => sum + m, 0);
  const drafts = Array.from({ length: count }, (_, k): Persona => ({
    id: id<PersonaId>(`p${k + 1}`),
    name: `p${k + 1}`,
    share: (members[k] + 1) / (total + count),
    shareAlpha: members[k] + 1,
    traits: codings.map((coding, t) => traitOf(coding, histograms[k * traits + t], wholes[t])),
    logDensityFloor: -Infinity,
    correlation: [],
    lineage: { event: "fitted", parents: [], atVersion: 1 },
  }));
  const rowsOf: number[][] = drafts.map(() => []);
  for (let row = 0; row < rows; row++) rowsOf[assignment[row]].push(row);
  const names = namePersonas(codings, drafts);
  const unfloored: PersonaMixture = { codings, personas: drafts };
  const personas = drafts.map((persona, k): Persona => {
    const sample = thin(rowsOf[k], 5_000);
    const densities = Float64Array.from(sample, (row) => logDensity(unfloored, k, codes, true, row * traits)).toSorted();
    return {
      ...persona,
      name: names[k],
      logDensityFloor: densities.length === 0 ? -Infinity : densities[Math.floor(0.01 * densities.length)],
      correlation: sample.length < CORRELATION_MEMBERS_MIN ? [] : residualCorrelation(codings, codes, sample),
    };
  });
  return { codings, personas };
}

function thin(rows: readonly number[], most: number): readonly number[] {
  if (rows.length <= most) return rows;
  return Array.from({ length: most }, (_, i) => rows[Math.floor((i * rows.length) / most)]);
}

/** Posterior of one trait from a histogram of codes, the population's histogram as its prior. */
function traitOf(coding: TraitCoding, histogram: Float64Array, whole: Float64Array): Trait {
  const n = histogram.reduce((sum, count) => sum + count, 0);
  const wholeTotal = Math.max(1e-9, whole.reduce((sum, count) => sum + count, 0));
  const share = (i: number): number => whole[i] / wholeTotal;
  let distribution: TraitDistribution;
  let shape: readonly number[] = [];
  if (coding.kind === "binary") {
    // Laplace's half keeps a share that was never or always seen off 0 and 1.
    distribution = { kind: "binary", alpha: POOLING_STRENGTH * share(BINARY_CODE) + 0.5 + histogram[BINARY_CODE], beta: POOLING_STRENGTH * share(0) + 0.5 + histogram[0] };
  } else if (coding.kind === "categorical") {
    distribution = { kind: "categorical", alphas: coding.levels.map((_, level) => POOLING_STRENGTH * share(level) + 0.5 / coding.levels.length + histogram[level]) };
  } else {
    if (coding.kind === "continuous") distribution = normalPosterior(coding, histogram, n, moments(whole));
    else {
      const raw = Array.from({ length: 256 }, (_, i) => Math.max(0, decode(coding, i - 128) as number));
      const sum = raw.reduce((total, value, i) => total + value * histogram[i], 0);
      const populationMean = raw.reduce((total, value, i) => total + value * share(i), 0);
      distribution = { kind: "count", shape: POOLING_STRENGTH * Math.max(populationMean, 1e-3) + sum, rate: POOLING_STRENGTH + n };
    }
    shape = quantiles(histogram.map((count, i) => count + POOLING_STRENGTH * share(i)), n + POOLING_STRENGTH);
  }
  return { name: coding.name, kind: coding.kind, unit: coding.unit, distribution, shape, evidence: { prior: POOLING_STRENGTH, simulated: 0, real: n, external: 0 } };
}

function moments(histogram: Float64Array): { readonly mean: number; readonly variance: number } {
  let n = 0, sum = 0, squares = 0;
  for (let i = 0; i < 256; i++) {
    n += histogram[i];
    sum += histogram[i] * (i - 128);
    squares += histogram[i] * (i - 128) ** 2;
  }
  const mean = sum / Math.max(n, 1e-9);
  return { mean, variance: Math.max(squares / Math.max(n, 1e-9) - mean * mean, 1) };
}

function normalPosterior(coding: TraitCoding, histogram: Float64Array, n: number, whole: { readonly mean: number; readonly variance: number }): TraitDistribution {
  const unit = coding.scale / CODES_PER_UNIT;
  const own = moments(histogram);
  const kappa = POOLING_STRENGTH + n;
  const mean = (POOLING_STRENGTH * whole.mean + n * own.mean) / kappa;
  const shape = POOLING_STRENGTH / 2 + 1 + n / 2;
  const rate = ((POOLING_STRENGTH / 2) * whole.variance + (n * own.variance) / 2 + ((POOLING_STRENGTH * n) / kappa) * ((own.mean - whole.mean) ** 2 / 2)) * unit * unit;
  return { kind: "continuous", mean: coding.center + mean * unit, kappa, shape, rate };
}

/** Quantiles of the code at (i + 0.5) / 33; a code stands for the unit interval around it. */
function quantiles(histogram: Float64Array, n: number): readonly number[] {
  const result: number[] = [];
  let code = 0, below = 0;
  for (let i = 0; i < SHAPE_POINTS; i++) {
    const target = ((i + 0.5) / SHAPE_POINTS) * n;
    while (code < 255 && below + histogram[code] < target) below += histogram[code++];
    result.push(code - 128);
  }
  return result;
}

