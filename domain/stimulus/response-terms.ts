import type { RandomStream } from "../random/random-stream.ts";
import { MISSING } from "../persona/trait.ts";
import type { TraitCoding } from "../persona/trait.ts";
import { numericValue } from "../persona/coding.ts";
import type { PersonaMixture } from "../persona/persona.ts";
import { gridMoments } from "../persona/density.ts";
import type { Stimulus } from "./stimulus.ts";
import type { Match, ResponseModel, StepModel, Term } from "./response-model.ts";
import { featureValues } from "./features.ts";

/** Columns one step's regression may have; interactions are left out before main effects. */
export const COLUMNS_MAX = 300;
const INTERACTION_CELLS_MAX = 120;

/**
 * The layout of the coefficients: intercept, personas, stimuli, persona x stimulus, traits and levels, features,
 * trait x feature, matches. What cannot differ is left out (one persona, one stimulus), and interactions when they would
 * exceed COLUMNS_MAX. `leftOut` names traits that describe people but take no part in the response.
 */
export function termsOf(
  codings: readonly TraitCoding[],
  personaCount: number,
  stimuli: readonly Stimulus[],
  featureNames: readonly string[],
  matches: readonly Match[],
  leftOut: ReadonlySet<number> = new Set(),
): Term[] {
  const terms: Term[] = [{ kind: "intercept" }];
  const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  if (personaCount > 1) for (const persona of range(personaCount)) terms.push({ kind: "persona", persona });
  const levelTerms = codings.flatMap((coding, trait) =>
    leftOut.has(trait) ? [] : coding.kind === "categorical" ? coding.levels.map((_, level) => ({ trait, level })) : [{ trait, level: -1 }],
  );
  const traitTerms = levelTerms.map((each): Term => ({ kind: "trait", ...each }));
  if (stimuli.length < 2) return [...terms, ...traitTerms];
  for (const stimulus of range(stimuli.length)) terms.push({ kind: "stimulus", stimulus });
  const rest: Term[] = [...traitTerms, ...range(featureNames.length).map((feature): Term => ({ kind: "feature", feature })), ...range(matches.length).map((match): Term => ({ kind: "match", match }))];
  let room = COLUMNS_MAX - terms.length - rest.length;
  const cells: Term[] = [];
  if (personaCount > 1 && personaCount * stimuli.length <= Math.min(room, INTERACTION_CELLS_MAX)) {
    for (const persona of range(personaCount)) for (const stimulus of range(stimuli.length)) cells.push({ kind: "persona-stimulus", persona, stimulus });
    room -= cells.length;
  }
  const crossed: Term[] = [];
  // Texts differ in too many ways for each to meet each trait; what they are about is left to tags.
  const crossing = featureNames.flatMap((name, feature) => (name.startsWith("copy:") ? [] : [feature]));
  let crossRoom = Math.min(room, INTERACTION_CELLS_MAX);
  for (const isLevel of [false, true]) {
    const wanted = levelTerms.filter((each) => each.level >= 0 === isLevel);
    for (const feature of crossing) {
      if (wanted.length > crossRoom) break;
      for (const each of wanted) crossed.push({ kind: "trait-feature", ...each, feature });
      crossRoom -= wanted.length;
    }
  }
  const features = rest.filter((term) => term.kind === "feature"), matched = rest.filter((term) => term.kind === "match");
  return [...terms, ...cells, ...traitTerms, ...features, ...crossed, ...matched];
}

/** The matches of a schema's `matches` (tag -> value -> attribute name) in terms of trait indices; unknown attributes are left out. */
export function matchesOf(matches: Readonly<Record<string, Readonly<Record<string, string>>>>, codings: readonly TraitCoding[]): readonly Match[] {
  return Object.entries(matches).flatMap(([tag, byValue]) => {
    const pairs = Object.entries(byValue).map(([value, name]) => [value, codings.findIndex((coding) => coding.name === name)] as const).filter(([, trait]) => trait >= 0);
    return pairs.length === 0 ? [] : [{ tag, traitByValue: Object.fromEntries(pairs) }];
  });
}

/** Trait that a match looks at for this stimulus, or -1. */
export function matchedTrait(match: Match, stimulus: Stimulus): number {
  const value = stimulus.contact ? stimulus.tags[match.tag] : undefined;
  return value !== undefined && Object.hasOwn(match.traitByValue, value) ? match.traitByValue[value] : -1;
}

/** What stands in for a missing attribute of a persona's member: the mean value, or the shares of the levels. */
export type MissingFill = (persona: number, trait: number) => number | readonly number[];

/** The fill of a mixture: each persona's own mean value or level shares. */
export function missingFill(mixture: PersonaMixture): MissingFill {
  const filled = mixture.personas.map((persona) =>
    mixture.codings.map((coding, t): number | readonly number[] => {
      const { distribution } = persona.traits[t];
      if (distribution.kind === "binary") return distribution.alpha / (distribution.alpha + distribution.beta);
      if (distribution.kind === "categorical") {
        const total = distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
        return distribution.alphas.map((alpha) => alpha / total);
      }
      return numericValue(coding, gridMoments(coding, persona.traits[t]).mean);
    }),
  );
  return (persona, trait) => filled[persona][trait];
}

/** A response model's structure without its coefficients. */
export type ResponseLayout = Pick<ResponseModel, "stimuli" | "features" | "matches" | "terms">;

/** Columns of one recipient and stimulus, appended to growing lists by `designRow`. */
export interface DesignRowWriter {
  /** Appends the columns and values of one row; a column occurs once, zeros are left out. */
  designRow(codes: ArrayLike<number>, start: number, persona: number, stimulus: number): void;
  readonly column: number[];
  readonly value: number[];
}

/**
 * A writer of design rows for a layout. Missing attributes enter as the persona's expectation (marginalized to first order).
 * Cost a row: its nonzero columns.
 */
export function designRows(layout: ResponseLayout, codings: readonly TraitCoding[], fill: MissingFill): DesignRowWriter {
  const column: number[] = [], value: number[] = [];
  const stimuli = layout.stimuli.length;
  let intercept = -1;
  const personaAt: number[] = [], stimulusAt: number[] = [], cellAt: number[] = [], featureAt: number[] = [];
  /** Per stimulus: columns with fixed values. Per trait and stimulus: columns a value of the trait multiplies. */
  const traitAt: number[][] = codings.map((coding) => new Array<number>(Math.max(1, coding.levels.length)).fill(-1));
  const crossedAt: { trait: number; level: number; feature: number; at: number }[] = [];
  const matchAt: { match: number; at: number }[] = [];
  layout.terms.forEach((term, at) => {
    if (term.kind === "intercept") intercept = at;
    else if (term.kind === "persona") personaAt[term.persona] = at;
    else if (term.kind === "stimulus") stimulusAt[term.stimulus] = at;
    else if (term.kind === "persona-stimulus") cellAt[term.persona * stimuli + term.stimulus] = at;
    else if (term.kind === "trait") traitAt[term.trait][Math.max(0, term.level)] = at;
    else if (term.kind === "feature") featureAt[term.feature] = at;
    else if (term.kind === "trait-feature") crossedAt.push({ ...term, at });
    else matchAt.push({ match: term.match, at });
  });
  // For each stimulus and trait cell: the columns with their multipliers, so a row is a walk over its traits.
  const multiplied = layout.stimuli.map((stimulus, s) =>
    codings.map((coding, t) =>
      Array.from({ length: coding.kind === "categorical" ? coding.levels.length : 1 }, (_, level) => {
        const list: { at: number; by: number }[] = [];
        const own = traitAt[t][level];
        if (own >= 0) list.push({ at: own, by: 1 });
        const wanted = coding.kind === "categorical" ? level : -1;
        for (const crossed of crossedAt) {
          const z = layout.features[s][crossed.feature];
          if (crossed.trait === t && crossed.level === wanted && z !== 0) list.push({ at: crossed.at, by: z });
        }
        for (const { match, at } of matchAt) if (matchedTrait(layout.matches[match], stimulus) === t) list.push({ at, by: 1 });
        return list;
      }),
    ),
  );
  const push = (at: number | undefined, by: number): void => {
    if (at === undefined || at < 0 || by === 0) return;
    column.push(at);
    value.push(by);
  };
  return {
    column,
    value,
    designRow(codes, start, persona, stimulus) {
      push(intercept, 1);
      push(personaAt[persona], 1);
      push(stimulusAt[stimulus], 1);
      push(cellAt[persona * stimuli + stimulus], 1);
      const z = layout.features[stimulus];
      for (let f = 0; f < featureAt.length; f++) push(featureAt[f], z[f]);
      for (let t = 0; t < codings.length; t++) {
        const coding = codings[t], lists = multiplied[stimulus][t], code = codes[start + t];
        if (coding.kind !== "categorical") {
          const x = code === MISSING ? (fill(persona, t) as number) : numericValue(coding, code);
          for (const { at, by } of lists[0]) push(at, x * by);
        } else if (code !== MISSING) for (const { at, by } of lists[code]) push(at, by);
        else (fill(persona, t) as readonly number[]).forEach((share, level) => { for (const { at, by } of lists[level]) push(at, share * by); });
      }
    },
  };
}

/** One stimulus' coefficients gathered per persona and trait: logit = personaBias + slotWeights x values + levels. */
export interface FoldedStep {
  /** Per trait, logit per numeric unit (code / CODES_PER_UNIT, or code / BINARY_CODE); 0 for categorical traits. */
  readonly slotWeight: Float64Array;
  /** Per trait, logit of each level; empty for numeric traits. */
  readonly levelTable: readonly Float64Array[];
  /** Per persona: intercept, stimulus, features and the persona's own terms. */
  readonly personaBias: Float64Array;
}

/** One draw's coefficients folded for a stimulus of the model. */
export function foldStep(response: ResponseModel, codings: readonly TraitCoding[], step: number, stimulus: number, coefficients: Float64Array): FoldedStep {
  void step;
  return fold(response, codings, response.stimuli[stimulus], response.features[stimulus], stimulus, coefficients, 0, null);
}


/** Median of |Z|, Z standard normal. */
const HALF_NORMAL_MEDIAN = 0.674_489_750_196_081_7;
/**
 * Half-normal scale of a new stimulus' own effect after one other: that one's effect is in the intercept, so the two differ by two
 * effects, of a scale of which only the prior is known.
 */
const singleScale = (): number => (Math.SQRT2 * SCALE_MEDIAN.stimulus) / HALF_NORMAL_MEDIAN;

/** Median over the worlds of the scale from which a new stimulus' own effect is drawn, logit units. */
export function unseenScale({ scaleGroups }: Pick<StepModel, "scaleGroups">): number {
  return scaleGroups.find((group) => group.name === "stimulus")?.median ?? singleScale() * HALF_NORMAL_MEDIAN;
}

/**
 * The same for a stimulus outside the model: its features speak, and its own effect v and the effects g with each persona are
 * drawn from N(0, scale), scales of world `world`; the stream is read in a fixed order. Without a world (the posterior mean)
 * both are 0.
 */
export function foldUnseen(
  response: ResponseModel,
  codings: readonly TraitCoding[],
  step: number,
  stimulus: Stimulus,
  coefficients: Float64Array,
  world: number | null,
  random: Pick<RandomStream, "normal"> | null,
): FoldedStep {
  if (world === null || random === null) return fold(response, codings, stimulus, featureValues(response.featureNames, stimulus), -1, coefficients, 0, null);
  const { scaleGroups, scaleDraws } = response.stepModels[step];
  const scale = (name: string): number | null => {
    const group = scaleGroups.findIndex((each) => each.name === name);
    return group < 0 ? null : scaleDraws[world * scaleGroups.length + group];
  };
  const own = random.normal() * (scale("stimulus") ?? Math.abs(random.normal()) * singleScale());
  const cellSd = scale("persona-stimulus") ?? 0;
  return fold(response, codings, stimulus, featureValues(response.featureNames, stimulus), -1, coefficients, own, () => random.normal() * cellSd);
}

function fold(
  response: ResponseModel,
  codings: readonly TraitCoding[],
  stimulus: Stimulus,
  z: readonly number[],
  index: number,
  coefficients: Float64Array,
  own: number,
  cell: (() => number) | null,
): FoldedStep {
  let personas = 1;
  for (const term of response.terms) if (term.kind === "persona" || term.kind === "persona-stimulus") personas = Math.max(personas, term.persona + 1);
  const slotWeight = new Float64Array(codings.length);
  const levelTable = codings.map((coding) => new Float64Array(coding.kind === "categorical" ? coding.levels.length : 0));
  const personaBias = new Float64Array(personas);
  if (cell !== null) for (let p = 0; p < personas; p++) personaBias[p] = cell();
  let common = own;
  response.terms.forEach((term, at) => {
    const c = coefficients[at];
    if (term.kind === "intercept") common += c;
    else if (term.kind === "persona") personaBias[term.persona] += c;
    else if (term.kind === "stimulus") common += term.stimulus === index ? c : 0;
    else if (term.kind === "persona-stimulus") personaBias[term.persona] += term.stimulus === index ? c : 0;
    else if (term.kind === "feature") common += z[term.feature] * c;
    else if (term.kind === "match") {
      const trait = matchedTrait(response.matches[term.match], stimulus);
      if (trait >= 0) slotWeight[trait] += c;
    } else {
      const by = term.kind === "trait" ? 1 : z[term.feature];
      if (term.level < 0) slotWeight[term.trait] += by * c;
      else levelTable[term.trait][term.level] += by * c;
    }
  });
  for (let p = 0; p < personas; p++) personaBias[p] += common;
  return { slotWeight, levelTable, personaBias };
}

/** Prior of the coefficients: groups with a learned scale by kind of term, and fixed priors for the rest (group -1). */
export interface TermPriors {
  readonly scaleGroup: Int32Array;
  readonly groups: readonly { readonly name: string; readonly priorMedian: number }[];
  readonly priorMean: Float64Array;
  readonly priorSd: Float64Array;
}

/**
 * Prior medians of the scales, logit units: main effects of a few tenths, interactions of about half that. Stimuli differ more than
 * personas do: with .3, 90 % intervals of a campaign never seen held 40 to 81 % of campaigns after one or two others (bench `unseen`).
 */
const SCALE_MEDIAN = { persona: 0.3, stimulus: 0.5, "persona-stimulus": 0.1, trait: 0.2, level: 0.2, feature: 0.3, "trait-feature": 0.1, match: 0.4 } as const;
/** Wide enough for rates from 1 in 10,000 to nearly all. */
const INTERCEPT_PRIOR = { mean: -2, sd: 4 } as const;

/** The default priors of a layout; each categorical trait has a scale of its own. */
export function termPriors(terms: readonly Term[], codings: readonly TraitCoding[]): TermPriors {
  const groups: { name: string; priorMedian: number }[] = [];
  const indexOf = new Map<string, number>();
  const group = (name: string, priorMedian: number): number => {
    let index = indexOf.get(name);
    if (index === undefined) {
      index = groups.push({ name, priorMedian }) - 1;
      indexOf.set(name, index);
    }
    return index;
  };
  const scaleGroup = Int32Array.from(terms, (term) => {
    if (term.kind === "intercept") return -1;
    if (term.kind === "trait" && term.level >= 0) return group(`level:${codings[term.trait].name}`, SCALE_MEDIAN.level);
    return group(term.kind, SCALE_MEDIAN[term.kind]);
  });
  return { scaleGroup, groups, priorMean: Float64Array.from(terms, (term) => (term.kind === "intercept" ? INTERCEPT_PRIOR.mean : 0)), priorSd: new Float64Array(terms.length).fill(INTERCEPT_PRIOR.sd) };
}
