import { foldStep, largestRemainder } from "@populace/domain";
import type { FoldedStep, Stimulus } from "@populace/domain";
import type { SurfaceInput } from "@populace/kernels";
import type { Model } from "./model.ts";
import { shockOffset } from "./plan-shocks.ts";
import { finiteLogit } from "./rates.ts";
import { featureAxis, traitAxis } from "./surface-axis.ts";
import type { SurfaceAxis, SurfaceQuantity } from "./surface-axis.ts";
import { surfaceMembers } from "./surface-members.ts";

/** Which surface, by indices of the model. */
export interface SurfaceRequest {
  /** null = the whole population, personas by their shares. */
  readonly persona: number | null;
  readonly stimulus: number;
  /** The funnel's steps up to this one are chained. */
  readonly step: number;
  readonly trait: number;
  readonly rows: SurfaceQuantity;
}

export interface SurfaceSizes {
  /** Values of a numeric axis; levels are all shown. */
  readonly columns: number;
  readonly rows: number;
  /** People whose other traits are averaged over. */
  readonly members?: number;
  /** Names the people. */
  readonly seed?: number;
}

/** Ranked and evenly taken from 1,024, so many people give their rates to 2 %, those of a population to half a per cent (measured on the demo's retailer). */
const MEMBERS = 128;
/** Fewest members that stand for a persona of a population. */
const MEMBERS_MIN = 8;
/** Looks at a mean rate until a logit is moved onto it: each leaves less than a third of the distance. */
const MOVES_MAX = 16;

/** What one unit, or one level, of each trait adds to a logit, and what everybody gets: the part of a fold that moves. */
interface Effects extends Pick<FoldedStep, "slotWeight" | "levelTable"> {
  readonly everybody: number;
}

/** The kernel's numbers for a request, and the axes. Cost: worlds x steps folds, and a walk over worlds x steps x members x traits. */
export function surfaceInput(model: Model, request: SurfaceRequest, sizes: SurfaceSizes): { readonly input: SurfaceInput; readonly columns: SurfaceAxis; readonly rows: SurfaceAxis } {
  const { response, mixture } = model;
  const steps = request.step + 1, lines = response.worlds * steps, stimulus = response.stimuli[request.stimulus];
  const personas = request.persona === null ? mixture.personas.map((_, index) => index) : [request.persona];
  const columns = traitAxis(model, request.trait, personas, sizes.columns);
  const rows = request.rows.kind === "trait" ? traitAxis(model, request.rows.trait, personas, sizes.rows) : featureAxis(model, request.rows.feature, stimulus, sizes.rows);
  const coefficients = (line: number): Float64Array => response.stepModels[line % steps].draws.subarray(Math.floor(line / steps) * response.terms.length, (Math.floor(line / steps) + 1) * response.terms.length);
  const folds = Array.from({ length: lines }, (_, line) => foldStep(response, mixture.codings, line % steps, request.stimulus, coefficients(line)));
  const feature = request.rows.kind === "feature" ? request.rows.feature : null;
  const slopes = feature === null ? null : Array.from({ length: lines }, (_, line) => slopeOf(model, feature, coefficients(line)));
  const people = peopleOf(model, request, personas, folds, slopes, sizes);

  const widths = { columns: columns.seen.length, rows: rows.seen.length, members: people.weight.length };
  const input: SurfaceInput = {
    worlds: response.worlds, steps, ...widths, weight: people.weight, member: people.logit, memberCross: people.slope,
    // Counted from the stimulus as it is, so that nothing else depends on what moves.
    rowValue: Float64Array.from(rows.seen, (z) => (feature === null ? 0 : z - response.features[request.stimulus][feature])),
    column: new Float64Array(lines * widths.columns), cross: new Float64Array(lines * widths.columns), row: new Float64Array(lines * widths.rows),
  };
  const shocks = Array.from({ length: steps }, (_, k) => rows.stimuli.map((changed) => shockOf(model, personas, changed, k) - shockOf(model, personas, stimulus, k)));
  for (let line = 0; line < lines; line += 1) {
    // The level belongs to the columns: parts of members stay near 0 (kernels/response-surface/SPEC.md).
    const parts = input.member.subarray(line * widths.members, (line + 1) * widths.members);
    const level = parts.reduce((sum, part, member) => sum + part * people.weight[member], 0);
    parts.forEach((part, member) => { parts[member] = part - level; });
    const slope = slopes?.[line];
    columns.seen.forEach((value, column) => {
      const at = line * widths.columns + column;
      input.column[at] = level + effectOf(folds[line], request.trait, value);
      if (slope !== undefined) input.cross[at] = slope.everybody + effectOf(slope, request.trait, value);
    });
    rows.seen.forEach((value, row) => {
      input.row[line * widths.rows + row] = request.rows.kind === "trait" ? effectOf(folds[line], request.rows.trait, value) : shocks[line % steps][row];
    });
  }
  return { input, columns: columns.axis, rows: rows.axis };
}

/** What a trait with this value (a number, or the index of a level) adds. */
function effectOf({ slotWeight, levelTable }: Pick<FoldedStep, "slotWeight" | "levelTable">, trait: number, value: number): number {
  return levelTable[trait].length > 0 ? levelTable[trait][value] : slotWeight[trait] * value;
}

/** What one unit of a stimulus feature adds: for everybody, and trait by trait. */
function slopeOf({ response, mixture }: Model, feature: number, coefficients: Float64Array): Effects {
  const slotWeight = new Float64Array(mixture.codings.length);
  const levelTable = mixture.codings.map((coding) => new Float64Array(coding.kind === "categorical" ? coding.levels.length : 0));
  let everybody = 0;
  response.terms.forEach((term, at) => {
    if (term.kind === "feature" && term.feature === feature) everybody += coefficients[at];
    if (term.kind !== "trait-feature" || term.feature !== feature) return;
    if (term.level < 0) slotWeight[term.trait] += coefficients[at];
    else levelTable[term.trait][term.level] += coefficients[at];
  });
  return { slotWeight, levelTable, everybody };
}

interface People {
  readonly weight: Float64Array;
  /** lines x members: all of the logit that neither axis moves. */
  readonly logit: Float64Array;
  /** lines x members: what one unit of the feature adds by the traits that do not move. */
  readonly slope: Float64Array;
}

/** Members of each persona by its share, with their logits moved onto the rates of the persona's real rows. */
function peopleOf(model: Model, request: SurfaceRequest, personas: readonly number[], folds: readonly FoldedStep[], slopes: readonly Effects[] | null, sizes: SurfaceSizes): People {
  const { response, mixture } = model;
  const steps = request.step + 1, lines = folds.length, traits = mixture.codings.length, stimulus = response.stimuli[request.stimulus];
  const moves = (trait: number): boolean => trait === request.trait || (request.rows.kind === "trait" && trait === request.rows.trait);
  const still = mixture.codings.map((_, trait) => trait).filter((trait) => !moves(trait));
  const all = mixture.codings.map((_, trait) => trait);
  const means = response.stepModels.slice(0, steps).map((step, k) => foldStep(response, mixture.codings, k, request.stimulus, step.mean));
  const shares = personas.map((index) => mixture.personas[index].share), total = shares.reduce((sum, share) => sum + share, 0);
  const least = Math.min(MEMBERS_MIN, sizes.members ?? MEMBERS);
  const counts = largestRemainder(shares, Math.max(0, (sizes.members ?? MEMBERS) - least * personas.length)).map((count) => count + least);
  const members = counts.reduce((sum, count) => sum + count, 0);
  const people: People = { weight: new Float64Array(members), logit: new Float64Array(lines * members), slope: new Float64Array(lines * members) };
  let first = 0;
  personas.forEach((index, position) => {
    const count = counts[position], { id } = mixture.personas[index];
    const biasOf = (fold: FoldedStep): number => fold.personaBias[fold.personaBias.length === 1 ? 0 : index];
    const sumOf = (effects: Pick<FoldedStep, "slotWeight" | "levelTable">, values: Float64Array, from: number, over: readonly number[]): number => {
      let sum = 0;
      for (const trait of over) sum += effectOf(effects, trait, values[from + trait]);
      return sum;
    };
    const drawn = surfaceMembers(model, index, response.worlds, count, sizes.seed ?? 1, (values) => means.reduce((rate, fold) => rate * logistic(biasOf(fold) + sumOf(fold, values, 0, still)), 1));
    people.weight.fill(shares[position] / total / count, first, first + count);
    const known = model.rowRates?.[id];
    const typical = new Float64Array(count), reached = new Float64Array(count);
    for (let line = 0; line < lines; line += 1) {
      const k = line % steps, world = (line - k) / steps, fold = folds[line];
      let move = shockOffset(model.shocks, 0, id, stimulus, k, response.steps.length);
      if (known !== undefined) {
        for (let member = 0; member < count; member += 1) typical[member] = biasOf(fold) + sumOf(fold, drawn.typical, member * traits, all);
        if (k === 0) reached.fill(1);
        move += moveOnto(known[(world * response.stimuli.length + request.stimulus) * response.steps.length + k], typical, reached);
      }
      for (let member = 0; member < count; member += 1) {
        const at = line * members + first + member, from = (world * count + member) * traits;
        people.logit[at] = biasOf(fold) + move + sumOf(fold, drawn.drawn, from, still);
        if (slopes !== null) people.slope[at] = sumOf(slopes[line], drawn.drawn, from, still);
      }
    }
    first += count;
  });
  return people;
}

/** How far logits must move for the mean of reached x logistic(logit) to be `target`; `reached` becomes that product. */
function moveOnto(target: number, logits: Float64Array, reached: Float64Array): number {
  const before = mean(reached), wanted = finiteLogit(target / before);
  const rates = new Float64Array(logits.length);
  let move = 0;
  for (let round = 0; ; round += 1) {
    logits.forEach((logit, member) => { rates[member] = reached[member] * logistic(logit + move); });
    const distance = wanted - finiteLogit(mean(rates) / before);
    if (Math.abs(distance) < 1e-6 || round === MOVES_MAX) break;
    move += distance;
  }
  reached.set(rates);
  return move;
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const logistic = (logit: number): number => 1 / (1 + Math.exp(-logit));

/** Shocks alive now, weighted by the personas' shares. */
function shockOf(model: Model, personas: readonly number[], stimulus: Stimulus, step: number): number {
  let [sum, total] = [0, 0];
  for (const index of personas) {
    const { id, share } = model.mixture.personas[index];
    sum += share * shockOffset(model.shocks, 0, id, stimulus, step, model.response.steps.length);
    total += share;
  }
  return sum / total;
}
