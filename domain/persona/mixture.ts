import type { RandomStream } from "../random/random-stream.ts";
import { MISSING, BINARY_CODE } from "./trait.ts";
import type { TraitCoding } from "./trait.ts";
import type { PersonaMixture } from "./persona.ts";
import { codeRange, isGrid } from "./coding.ts";
import { SD_CODES_MIN, assign, assignRows, fillNormal } from "./density.ts";
import { personasOf } from "./pooling.ts";

export interface MixtureData {
  readonly codings: readonly TraitCoding[];
  /** rows x traits, row-major, MISSING where nothing is known. */
  readonly codes: Int16Array;
  /** Weights of the rows, mean 1, or null. */
  readonly weight: Float64Array | null;
}

export interface MixtureOptions {
  /** Number of personas, or "auto" by BIC among the stable ones. */
  readonly personas: number | "auto";
  readonly random: RandomStream;
  /** Who runs through the rows; default `PLAIN_MIXTURE`. The result does not depend on it. */
  readonly engine?: MixtureEngine;
  readonly personasMax?: number;
  readonly onProgress?: (share: number) => void;
}

export interface MixtureCandidate { readonly personas: number; readonly bic: number; readonly stability: number; readonly smallestShare: number }

export interface FittedMixture {
  readonly mixture: PersonaMixture;
  /** Closest persona of each row. */
  readonly assignment: Int32Array;
  readonly candidates: readonly MixtureCandidate[];
}

/**
 * Parameters of EM: per persona the log share and, per trait, log densities by code, in one flat array of `SPAN` cells for each (persona, trait): two
 * lookups fewer a value than an array of arrays.
 */
export interface MixtureParameters { readonly logShare: Float64Array; readonly table: Float64Array }

/** What one pass over the rows finds under given parameters. */
export interface Expectation {
  readonly logLikelihood: number;
  /** Expected members of each persona. */
  readonly members: Float64Array;
  /** Expected members by persona, trait and code, laid out as the parameters' table. */
  readonly histograms: Float64Array;
}

/**
 * The passes over many rows. Rooms that have fast kernels hand in an engine made of them (`mixtureEngine` of room kernels); every engine gives the bits
 * of `PLAIN_MIXTURE`.
 */
export interface MixtureEngine {
  /** Takes rows for any number of passes. */
  expecting(data: MixtureData): ExpectationRun;
  /** Takes a mixture for assigning any number of rows. */
  assigning(mixture: PersonaMixture): AssignmentRun;
}

/** The rows of one fit in the hands of an engine. */
export interface ExpectationRun {
  /** The result is valid until the next call. */
  expect(parameters: MixtureParameters): Expectation;
  close(): void;
}

/** A mixture in the hands of an engine. */
export interface AssignmentRun {
  /** What `assign` says of each row (rows x traits codes) into the first places of the columns. */
  assign(codes: Int16Array, columns: AssignmentColumns): void;
  close(): void;
}

/** Assignments of many rows, column by column. */
export interface AssignmentColumns {
  readonly persona: Int32Array;
  readonly probability: Float64Array;
  /** 1 where none fits. */
  readonly fitsNone: Uint8Array;
}

/** Cells of a trait in the parameters' table: a code lies at `code + codeRange(coding).offset`. */
export const SPAN = 256;

/** Rows on which the restarts compete; the winner is then fitted on all. */
export const CHOICE_ROWS_MAX = 10_000;
/** A number of personas is admissible when two fits on disjoint halves agree at least so far (adjusted Rand index). */
export const STABILITY_MIN = 0.6;
export const SHARE_MIN = 0.02;
const RESTARTS = 2;
/** Rows for the many small fits that choose the number of personas. */
const TRIAL_ROWS_MAX = 5_000;

/**
 * Fits a mixture over mixed attributes: k-means++ start, EM with missing values marginalized, the number of personas by BIC
 * among those that two disjoint halves of the rows agree on (adjusted Rand index >= 0.6); what is then smaller than 2 % is
 * a handful of odd rows and goes to the personas next to it.
 * The last passes assign each row to its closest persona and take the traits from those members, so that a persona's traits
 * describe exactly the recipients whom `assign` sends there. Deterministic given the stream.
 */
export function fitMixture(whole: MixtureData, options: MixtureOptions): FittedMixture {
  const { random, engine = PLAIN_MIXTURE } = options;
  const data = describing(whole);
  const traits = data.codings.length;
  const rows = whole.codings.length === 0 ? 0 : whole.codes.length / whole.codings.length;
  const report = (share: number): void => options.onProgress?.(share);
  const candidates: MixtureCandidate[] = [];
  let personas: number;
  if (traits === 0 || options.personas === 1) personas = 1;
  else if (options.personas === "auto") {
    personas = chooseCount(subsample(data, TRIAL_ROWS_MAX, random.child("choice")), options.personasMax ?? 12, random, engine, candidates, (share) => report(share * 0.6));
  } else personas = Math.min(options.personas, rows);
  const sample = subsample(data, CHOICE_ROWS_MAX, random.child("sample"));
  let parameters = fitBest(engine, sample, personas, RESTARTS, random.child("final"), 40);
  report(0.75);
  if (rows > sampleRows(sample)) parameters = withRows(engine, data, (run) => maximizeExpectation(data, run, parameters, 15).parameters);
  report(0.9);
  let assignment = traits === 0 ? new Int32Array(rows) : hardAssign(data, parameters);
  // Classification passes: personas from their members, members from the personas, until nearly nobody moves.
  let mixture = personasOf(whole, compact(assignment, options.personas === "auto"));
  for (let pass = 0; pass < 12; pass++) {
    const next = traits === 0 ? assignment : assignRows(mixture, whole.codes);
    let moved = 0;
    for (let row = 0; row < rows; row++) if (next[row] !== assignment[row]) moved++;
    assignment = compact(next, options.personas === "auto");
    mixture = personasOf(whole, assignment);
    if (pass > 0 && moved <= rows * 5e-4) break;
  }
  assignment = traits === 0 ? assignment : assignRows(mixture, whole.codes);
  report(1);
  return { mixture, assignment, candidates };
}

/** The data without the traits that tell no persona from another. */
function describing(data: MixtureData): MixtureData {
  const kept = data.codings.flatMap((coding, t) => (coding.inPersonas === false ? [] : [t]));
  if (kept.length === data.codings.length) return data;
  const traits = data.codings.length, rows = data.codes.length / traits;
  const codes = new Int16Array(rows * kept.length);
  for (let row = 0; row < rows; row++) kept.forEach((t, i) => { codes[row * kept.length + i] = data.codes[row * traits + t]; });
  return { codings: kept.map((t) => data.codings[t]), codes, weight: data.weight };
}

const sampleRows = (data: MixtureData): number => data.codes.length / Math.max(1, data.codings.length);

/** Renumbers personas by size, largest first; with `drop` those below the smallest share are given to nobody and vanish. */
function compact(assignment: Int32Array, drop: boolean): Int32Array {
  const sizes = new Map<number, number>();
  for (const persona of assignment) sizes.set(persona, (sizes.get(persona) ?? 0) + 1);
  const kept = [...sizes].filter(([, size]) => !drop || size >= SHARE_MIN * assignment.length || sizes.size === 1).toSorted((a, b) => b[1] - a[1] || a[0] - b[0]);
  const place = new Map(kept.map(([persona], index) => [persona, index]));
  // Members of a vanished persona go to the largest for this pass; the next pass sends each to the closest.
  return assignment.map((persona) => place.get(persona) ?? 0);
}

function chooseCount(data: MixtureData, most: number, random: RandomStream, engine: MixtureEngine, candidates: MixtureCandidate[], report: (share: number) => void): number {
  const rows = sampleRows(data);
  const order = Int32Array.from({ length: rows }, (_, i) => i);
  random.child("halves").shuffle(order);
  const halves = [take(data, order.subarray(0, rows >> 1)), take(data, order.subarray(rows >> 1))];
  const limit = Math.max(1, Math.min(most, Math.floor(rows / 50)));
  let withoutGain = 0, bestBic = Infinity;
  for (let k = 1; k <= limit; k++) {
    const full = fitRestarts(engine, data, k, 2, random.child(`k${k}`), 40);
    const bic = -2 * full.logLikelihood + parameterCount(data.codings, k) * Math.log(rows);
    const [a, b] = k === 1 ? [null, null] : halves.map((half, h) => fitBest(engine, half, k, 2, random.child(`k${k} half${h}`), 30));
    const stability = a === null || b === null ? 1 : adjustedRand(hardAssign(data, a), hardAssign(data, b));
    const sizes = new Float64Array(k);
    for (const persona of hardAssign(data, full.parameters)) sizes[persona]++;
    candidates.push({ personas: k, bic, stability, smallestShare: Math.min(...sizes) / rows });
    report(k / limit);
    withoutGain = bic < bestBic ? 0 : withoutGain + 1;
    bestBic = Math.min(bestBic, bic);
    if (withoutGain >= 3) break;
  }
  const admissible = candidates.filter((candidate) => candidate.stability >= STABILITY_MIN);
  return admissible.reduce((best, candidate) => (candidate.bic < best.bic ? candidate : best), candidates[0]).personas;
}

const parameterCount = (codings: readonly TraitCoding[], k: number): number =>
  k - 1 + k * codings.reduce((sum, coding) => sum + (isGrid(coding) ? 2 : coding.kind === "binary" ? 1 : coding.levels.length - 1), 0);

function take(data: MixtureData, rows: ArrayLike<number>): MixtureData {
  const traits = data.codings.length;
  const codes = new Int16Array(rows.length * traits);
  for (let i = 0; i < rows.length; i++) for (let t = 0; t < traits; t++) codes[i * traits + t] = data.codes[rows[i] * traits + t];
  return { codings: data.codings, codes, weight: data.weight && Float64Array.from({ length: rows.length }, (_, i) => data.weight![rows[i]]) };
}

function subsample(data: MixtureData, most: number, random: RandomStream): MixtureData {
  const rows = sampleRows(data);
  if (rows <= most) return data;
  const order = Int32Array.from({ length: rows }, (_, i) => i);
  for (let i = 0; i < most; i++) {
    const other = i + random.integer(rows - i);
    [order[i], order[other]] = [order[other], order[i]];
  }
  return take(data, order.subarray(0, most).toSorted());
}

interface EmResult { readonly parameters: MixtureParameters; readonly logLikelihood: number }

const fitBest = (engine: MixtureEngine, data: MixtureData, k: number, restarts: number, random: RandomStream, iterations: number): MixtureParameters => fitRestarts(engine, data, k, restarts, random, iterations).parameters;

function fitRestarts(engine: MixtureEngine, data: MixtureData, k: number, restarts: number, random: RandomStream, iterations: number): EmResult {
  return withRows(engine, data, (run) => {
    let best: EmResult | null = null;
    for (let restart = 0; restart < (k === 1 ? 1 : restarts); restart++) {
      const start = startParameters(data, k, random.child(`restart${restart}`));
      const result = maximizeExpectation(data, run, start, iterations);
      if (best === null || result.logLikelihood > best.logLikelihood) best = result;
    }
    return best as EmResult;
  });
}

function withRows<T>(engine: MixtureEngine, data: MixtureData, work: (run: ExpectationRun) => T): T {
  const run = engine.expecting(data);
  try {
    return work(run);
  } finally {
    run.close();
  }
}

function hardAssign(data: MixtureData, { logShare, table }: MixtureParameters): Int32Array {
  const traits = data.codings.length, rows = sampleRows(data), k = logShare.length;
  const offsets = data.codings.map((coding) => codeRange(coding).offset);
  const result = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    let best = -Infinity;
    for (let p = 0; p < k; p++) {
      let score = logShare[p];
      for (let t = 0; t < traits; t++) {
        const code = data.codes[row * traits + t];
        if (code !== MISSING) score += table[(p * traits + t) * SPAN + code + offsets[t]];
      }
      if (score > best) { best = score; result[row] = p; }
    }
  }
  return result;
}

/** Pseudo-members with the whole population's traits that every persona is given, so that a small one borrows strength. */
const EM_PRIOR = 5;

/** k-means++: centers are rows, each drawn with probability proportional to the squared distance to the nearest so far. */
function startParameters(data: MixtureData, k: number, random: RandomStream): MixtureParameters {
  const traits = data.codings.length, rows = sampleRows(data);
  const assignment = new Int32Array(rows);
  if (k > 1) {
    const mismatch = mismatchCosts(data);
    const nearest = new Float64Array(rows).fill(Infinity);
    let center = random.integer(rows);
    for (let c = 0; c < k; c++) {
      let total = 0;
      for (let row = 0; row < rows; row++) {
        let distance = 0;
        for (let t = 0; t < traits; t++) {
          const a = data.codes[row * traits + t], b = data.codes[center * traits + t];
          if (a === MISSING || b === MISSING) distance += 2;
          else if (mismatch[t] > 0) distance += a === b ? 0 : mismatch[t];
          else distance += ((a - b) / 32) ** 2;
        }
        if (distance < nearest[row]) { nearest[row] = distance; assignment[row] = c; }
        total += nearest[row];
      }
      let target = random.uniform() * total;
      for (let row = 0; row < rows; row++) {
        target -= nearest[row];
        if (target <= 0) { center = row; break; }
      }
    }
  }
  const offsets = data.codings.map((coding) => codeRange(coding).offset);
  const histograms = new Float64Array(k * traits * SPAN), members = new Float64Array(k);
  for (let row = 0; row < rows; row++) {
    const own = assignment[row], w = data.weight === null ? 1 : data.weight[row];
    if (w < SHARE_IGNORED) continue;
    members[own] += w;
    for (let t = 0; t < traits; t++) {
      const code = data.codes[row * traits + t];
      if (code !== MISSING) histograms[(own * traits + t) * SPAN + code + offsets[t]] += w;
    }
  }
  return maximize(data.codings, members, histograms);
}

/** Cost of differing in a level such that every trait has a mean squared distance of 2, as a standardized number has; 0 = grid. */
function mismatchCosts(data: MixtureData): Float64Array {
  const traits = data.codings.length, rows = sampleRows(data);
  return Float64Array.from(data.codings, (coding, t) => {
    if (isGrid(coding)) return 0;
    const counts = new Float64Array(BINARY_CODE + 1 + coding.levels.length);
    let known = 0;
    for (let row = 0; row < rows; row++) {
      const code = data.codes[row * traits + t];
      if (code !== MISSING) { counts[code]++; known++; }
    }
    const same = counts.reduce((sum, count) => sum + (count / Math.max(1, known)) ** 2, 0);
    return 2 / Math.max(0.1, 1 - same);
  });
}

function maximizeExpectation(data: MixtureData, run: ExpectationRun, start: MixtureParameters, iterations: number): EmResult {
  const rows = sampleRows(data), k = start.logShare.length;
  let parameters = start, logLikelihood = -Infinity;
  for (let iteration = 0; ; iteration++) {
    const found = run.expect(parameters);
    const gain = found.logLikelihood - logLikelihood;
    logLikelihood = found.logLikelihood;
    if (iteration >= iterations || k === 1 || (iteration > 0 && gain < 1e-4 * rows)) return { parameters, logLikelihood };
    parameters = maximize(data.codings, found.members, found.histograms);
  }
}

/** Shares of a row this small cannot move a mean and are left out. */
export const SHARE_IGNORED = 1e-5;

/** Plain and slow: what engines are held against. */
export const PLAIN_MIXTURE: MixtureEngine = {
  expecting: (data) => ({ expect: (parameters) => expectPlainly(data, parameters), close() {} }),
  assigning: (mixture) => ({
    assign(codes, columns) {
      const traits = mixture.codings.length, rows = traits === 0 ? 0 : codes.length / traits;
      for (let row = 0; row < rows; row++) {
        const { persona, probability, fitsNone } = assign(mixture, codes, row * traits);
        columns.persona[row] = persona;
        columns.probability[row] = probability;
        columns.fitsNone[row] = fitsNone ? 1 : 0;
      }
    },
    close() {},
  }),
};

function expectPlainly(data: MixtureData, { logShare, table }: MixtureParameters): Expectation {
  const { codes, weight } = data;
  const traits = data.codings.length, rows = sampleRows(data), k = logShare.length;
  const offsets = Int32Array.from(data.codings, (coding) => codeRange(coding).offset);
  const histograms = new Float64Array(k * traits * SPAN), members = new Float64Array(k), shares = new Float64Array(k);
  let total = 0;
  for (let row = 0; row < rows; row++) {
    let largest = -Infinity;
    for (let p = 0; p < k; p++) {
      let score = logShare[p];
      for (let t = 0; t < traits; t++) {
        const code = codes[row * traits + t];
        if (code !== MISSING) score += table[(p * traits + t) * SPAN + code + offsets[t]];
      }
      shares[p] = score;
      if (score > largest) largest = score;
    }
    let sum = 0;
    for (let p = 0; p < k; p++) sum += shares[p] = Math.exp(shares[p] - largest);
    const w = weight === null ? 1 : weight[row];
    total += w * (largest + Math.log(sum));
    for (let p = 0; p < k; p++) {
      const share = (shares[p] / sum) * w;
      if (share < SHARE_IGNORED) continue;
      members[p] += share;
      for (let t = 0; t < traits; t++) {
        const code = codes[row * traits + t];
        if (code !== MISSING) histograms[(p * traits + t) * SPAN + code + offsets[t]] += share;
      }
    }
  }
  return { logLikelihood: total, members, histograms };
}

/** The parameters of which these would be the members, each persona with `EM_PRIOR` members of the whole. */
function maximize(codings: readonly TraitCoding[], members: Float64Array, histograms: Float64Array): MixtureParameters {
  const traits = codings.length, k = members.length;
  const all = members.reduce((sum, m) => sum + m, 0);
  const table = new Float64Array(k * traits * SPAN);
  const cell = (source: Float64Array, p: number, t: number): Float64Array => source.subarray((p * traits + t) * SPAN, (p * traits + t + 1) * SPAN);
  codings.forEach((coding, t) => {
    const whole = new Float64Array(SPAN);
    for (let p = 0; p < k; p++) { const own = cell(histograms, p, t); for (let i = 0; i < SPAN; i++) whole[i] += own[i]; }
    for (let p = 0; p < k; p++) fillLogTable(coding, cell(histograms, p, t), whole, cell(table, p, t));
  });
  return { logShare: members.map((m) => Math.log((m + 1) / (all + k))), table };
}

function fillLogTable(coding: TraitCoding, histogram: Float64Array, whole: Float64Array, table: Float64Array): void {
  const wholeTotal = Math.max(1e-9, whole.reduce((sum, count) => sum + count, 0));
  if (isGrid(coding)) {
    // EM_PRIOR pseudo-members carry the population's mean and variance.
    let total = EM_PRIOR, sum = 0, squares = 0;
    for (let i = 0; i < SPAN; i++) {
      const count = histogram[i] + (EM_PRIOR * whole[i]) / wholeTotal;
      sum += count * (i - 128);
      squares += count * (i - 128) ** 2;
      total += histogram[i];
    }
    const mean = sum / total;
    fillNormal(table, mean, Math.max(SD_CODES_MIN, Math.sqrt(Math.max(0, squares / total - mean * mean))));
    return;
  }
  const cells = coding.kind === "binary" ? [0, BINARY_CODE] : coding.levels.map((_, level) => level);
  const total = cells.reduce((sum, cell) => sum + histogram[cell], 0) + EM_PRIOR;
  // A level nobody has still gets a whisker: it may turn up later.
  const floor = 0.5 / (wholeTotal + cells.length);
  for (const cell of cells) table[cell] = Math.log((histogram[cell] + EM_PRIOR * (whole[cell] / wholeTotal + floor)) / (total + EM_PRIOR * floor * cells.length));
}

/** Adjusted Rand index of two labelings (Hubert and Arabie 1985): 1 = the same partition, about 0 = chance. */
export function adjustedRand(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const pairs = (n: number): number => (n * (n - 1)) / 2;
  const cells = new Map<number, number>(), left = new Map<number, number>(), right = new Map<number, number>();
  for (let i = 0; i < a.length; i++) {
    const key = a[i] * 65_536 + b[i];
    cells.set(key, (cells.get(key) ?? 0) + 1);
    left.set(a[i], (left.get(a[i]) ?? 0) + 1);
    right.set(b[i], (right.get(b[i]) ?? 0) + 1);
  }
  const sum = (counts: Map<number, number>): number => [...counts.values()].reduce((total, n) => total + pairs(n), 0);
  const together = sum(cells), sumLeft = sum(left), sumRight = sum(right);
  const expected = (sumLeft * sumRight) / Math.max(1, pairs(a.length));
  const most = (sumLeft + sumRight) / 2;
  return most === expected ? 1 : (together - expected) / (most - expected);
}
