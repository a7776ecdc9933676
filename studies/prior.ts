import { BINARY_CODE, CODES_PER_UNIT, PopulaceError, RandomStream, id, indexOfLargest, logDensity } from "@populace/domain";
import type { Persona, PersonaMixture, ResponseModel, StepModel, Term, Trait, TraitCoding, TraitDistribution } from "@populace/domain";
import { UNTESTED } from "./calibration.ts";
import { UNLEARNED_EXCHANGE_RATE } from "./exchange.ts";
import { responseLayout } from "./fit.ts";
import { statedLeave } from "./leave-fit.ts";
import type { Model } from "./model.ts";
import type { AttributeColumn, AuthoredPersona, Interval90, Schema, SchemaPrior } from "./schema.ts";
import { logitOf, normalOf } from "./stated-interval.ts";

/** Members a stated trait is worth: an author's 30 % is believed like 50 people asked. */
const AUTHOR_MEMBERS = 50;
/** What nobody stated may still differ between personas and between stimuli: odds up or down by a quarter in nine cases of ten. */
const UNSTATED_SD = 0.15;
/** Base rate of a step nobody stated: anything from 1 in 200 to one half. */
const RATE_UNSTATED: Interval90 = { low: 0.005, high: 0.5 };
const RAKING_ROUNDS = 200;
const FLOOR_DRAWS = 2_000;

/**
 * The model before any data: personas by hand, from marginals, or both (raked); base rates as logit-normal draws from their 90 %
 * intervals; effects as normal draws of log odds ratios. Every rate of it is `prior only`, and real outcomes take over through
 * `learn`. Attributes nobody says anything about are left out. Deterministic in (schema, options). Throws BAD_SCHEMA when the
 * schema has no `prior`, or names no stimulus.
 */
export function authoredModel(schema: Schema, options: { readonly worlds?: number; readonly seed?: number } = {}): Model {
  const { worlds = 200, seed = 1 } = options;
  const prior = schema.prior;
  if (prior === null) throw new PopulaceError("BAD_SCHEMA", `schema ${schema.name}: without data a \`prior\` is needed: baseRates (an interval for each step), effects, personas or marginals`, { schema: schema.name });
  if (schema.stimulus.stimuli.length === 0) throw new PopulaceError("BAD_SCHEMA", `schema ${schema.name}: without data the stimuli must be named under \`stimulus.stimuli\``, { schema: schema.name });
  const random = RandomStream.of(seed, "authored");
  const mixture = authoredMixture(schema.attributes, prior, random.child("floors"));
  const layout = responseLayout(schema, mixture.codings, mixture);
  const stepModels = schema.funnel.map(({ name }) => authoredStep(name, prior, layout, mixture, worlds, random.child(`step ${name}`)));
  const response: ResponseModel = {
    steps: schema.funnel.map(({ name }) => ({ name })), ...layout, stepModels,
    leave: statedLeave(schema, layout, worlds, random.child("leave")), worlds,
  };
  return {
    formatVersion: 1, name: schema.name, version: 1, schema, mixture, response, responseVersion: 1, value: null, evidence: "prior only",
    fit: { rows: 0, rejected: 0, missing: {}, otherLevels: {}, noConsent: 0, seen: new Uint8Array(0), absorbed: 0, latest: null, candidates: [], seed },
    outcomes: Array.from({ length: mixture.personas.length * layout.stimuli.length * schema.funnel.length }, () => ({ exposures: 0, responses: 0 })),
    periods: [], halfLife: null, landed: [], exchangeRate: UNLEARNED_EXCHANGE_RATE, calibration: UNTESTED,
    shocks: [],
  };
}

/** Coefficients of one step: what the author stated, in the place of each term, as independent normals. */
function authoredStep(step: string, prior: SchemaPrior, layout: Pick<ResponseModel, "terms" | "stimuli" | "featureNames">, mixture: PersonaMixture, worlds: number, random: RandomStream): StepModel {
  const effects = prior.effects.filter((effect) => effect.step === step).map((effect) => ({ on: effect.on, ...normalOf(effect.oddsRatio, Math.log) }));
  const stated = layout.terms.map((term) => statedEffect(term, effects, mixture.codings, layout));
  for (const effect of effects) if (!layout.terms.some((term) => targetOf(term, mixture.codings, layout) === effect.on)) refuseEffect(step, effect.on, layout);
  const base = normalOf(prior.baseRates[step] ?? RATE_UNSTATED, logitOf);
  // The base rate is that of the population as it is, so what the average person's traits add is taken off the intercept.
  const ofTraits = layout.terms.reduce((sum, term, at) => sum + (term.kind === "trait" ? stated[at].mean * averageValue(mixture, term.trait, term.level) : 0), 0);
  const coefficients = layout.terms.map((term, at) => (term.kind === "intercept" ? { mean: base.mean - ofTraits, sd: base.sd } : stated[at]));
  const p = coefficients.length;
  const covarianceCholesky = new Float64Array((p * (p + 1)) / 2);
  coefficients.forEach(({ sd }, at) => { covarianceCholesky[(at * (at + 1)) / 2 + at] = sd; });
  const groups = ["persona", "stimulus"];
  return {
    step, rows: 0, events: 0,
    mean: Float64Array.from(coefficients, ({ mean }) => mean),
    covarianceCholesky,
    draws: Float64Array.from({ length: worlds * p }, (_, at) => coefficients[at % p].mean + coefficients[at % p].sd * random.normal()),
    scaleGroup: Int32Array.from(layout.terms, (term) => groups.indexOf(term.kind)),
    scaleDraws: new Float64Array(worlds * groups.length).fill(UNSTATED_SD),
    scaleGroups: groups.map((name) => ({ name, median: UNSTATED_SD, low: UNSTATED_SD, high: UNSTATED_SD })),
    method: "prior-only",
  };
}

/** What the author stated for a term; what nobody stated about a persona or a stimulus may still differ a little. */
function statedEffect(
  term: Term, effects: readonly { readonly on: string; readonly mean: number; readonly sd: number }[], codings: readonly TraitCoding[], layout: Pick<ResponseModel, "stimuli">,
): { readonly mean: number; readonly sd: number } {
  const target = targetOf(term, codings, layout);
  const stated = target === null ? undefined : effects.find((effect) => effect.on === target);
  return stated ?? { mean: 0, sd: term.kind === "stimulus" || term.kind === "persona" ? UNSTATED_SD : 0 };
}

/** How an author names the effect of a term: the stimulus' id, the attribute, or attribute=level; null where there is no name. */
function targetOf(term: Term, codings: readonly TraitCoding[], layout: Pick<ResponseModel, "stimuli">): string | null {
  if (term.kind === "stimulus") return layout.stimuli[term.stimulus].id;
  if (term.kind !== "trait") return null;
  const coding = codings[term.trait];
  return term.level < 0 ? coding.name : `${coding.name}=${coding.levels[term.level]}`;
}

function refuseEffect(step: string, on: string, layout: Pick<ResponseModel, "stimuli">): never {
  const why =
    layout.stimuli.some((stimulus) => stimulus.id === on)
      ? "with a single stimulus its effect is part of the base rate; state it there"
      : "expected a stimulus, a numeric or binary attribute, or attribute=level, that some persona or marginal describes";
  throw new PopulaceError("BAD_SCHEMA", `prior.effects: the effect on "${on}" at step ${step} has nothing to act on: ${why}`, { step, on });
}

/** The population's mean of a numeric trait in the regression's unit, or its share of a level. */
function averageValue(mixture: PersonaMixture, trait: number, level: number): number {
  const coding = mixture.codings[trait];
  return mixture.personas.reduce((sum, persona) => sum + persona.share * meanOf(coding, persona.traits[trait].distribution, level), 0);
}

function meanOf(coding: TraitCoding, distribution: TraitDistribution, level: number): number {
  switch (distribution.kind) {
    case "binary":
      return distribution.alpha / (distribution.alpha + distribution.beta);
    case "categorical":
      return distribution.alphas[level] / distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
    case "continuous":
      return (distribution.mean - coding.center) / coding.scale;
    case "count":
      return (Math.log1p(distribution.shape / distribution.rate) - coding.center) / coding.scale;
  }
}

/** Personas by hand with their stated traits; without any, everyone is one persona that has the marginals. */
function authoredMixture(attributes: readonly AttributeColumn[], prior: SchemaPrior, random: RandomStream): PersonaMixture {
  const authored: readonly AuthoredPersona[] = prior.personas.length > 0 ? prior.personas : [{ name: "everyone", share: 1, traits: {} }];
  const total = authored.reduce((sum, persona) => sum + persona.share, 0);
  const shares = authored.map((persona) => persona.share / total);
  const described = attributes.flatMap((attribute) => {
    const traits = describe(attribute, authored, shares, prior.marginals[attribute.name]);
    return traits === null ? [] : [traits];
  });
  const codings = described.map(({ coding }, slot) => ({ ...coding, slot }));
  const drafts = authored.map((persona, index): Persona => ({
    id: id(`p${index + 1}`), name: persona.name, share: shares[index], shareAlpha: AUTHOR_MEMBERS * shares[index],
    traits: described.map(({ coding, distributions }): Trait => ({
      name: coding.name, kind: coding.kind, unit: coding.unit, distribution: distributions[index], shape: [],
      evidence: { prior: AUTHOR_MEMBERS, simulated: 0, real: 0, external: 0 },
    })),
    logDensityFloor: -Infinity, correlation: [], lineage: { event: "authored", parents: [], atVersion: 1 },
  }));
  const mixture: PersonaMixture = { codings, personas: drafts };
  return { codings, personas: drafts.map((persona, index) => ({ ...persona, logDensityFloor: densityFloor(mixture, index, random.child(persona.id)) })) };
}

interface DescribedAttribute {
  readonly coding: TraitCoding;
  readonly distributions: readonly TraitDistribution[];
}

/** Coding and one distribution a persona, or null when nobody says anything about the attribute. */
function describe(attribute: AttributeColumn, authored: readonly AuthoredPersona[], shares: readonly number[], marginal: Readonly<Record<string, number>> | undefined): DescribedAttribute | null {
  const { name, kind, unit } = attribute;
  const stated = authored.map((persona) => persona.traits[name]);
  if (marginal === undefined && stated.every((trait) => trait === undefined)) return null;
  const base = { name, kind, unit, transform: attribute.transform, levels: [] as readonly string[], center: 0, scale: 1, slot: 0 };
  if (kind === "binary" || kind === "categorical") {
    const levels = levelsOf(attribute, stated, marginal);
    const target = marginal === undefined ? null : normalized(levels.map((level) => marginal[level] ?? 0));
    // A persona that says nothing has the marginal, or the average of those who speak.
    const spoken = stated.map((trait) => (trait === undefined ? null : normalized(kind === "binary" ? [1 - Number(trait), Number(trait)] : levels.map((level) => (trait as Readonly<Record<string, number>>)[level] ?? 0))));
    const fallback = target ?? average(spoken, shares);
    const seeds = spoken.map((row) => row ?? fallback);
    const rows = target === null ? seeds : raked(seeds, shares, target);
    return {
      coding: { ...base, levels: kind === "categorical" && !levels.includes("other") ? [...levels, "other"] : levels },
      distributions: rows.map((row): TraitDistribution =>
        kind === "binary"
          ? { kind: "binary", alpha: AUTHOR_MEMBERS * row[1] + 0.5, beta: AUTHOR_MEMBERS * row[0] + 0.5 }
          : { kind: "categorical", alphas: [...row.map((share) => AUTHOR_MEMBERS * share + 0.5 / levels.length), ...(levels.includes("other") ? [] : [0.5 / levels.length])] },
      ),
    };
  }
  if (marginal !== undefined) {
    throw new PopulaceError("BAD_SCHEMA", `prior.marginals.${name}: marginals are shares of levels, but ${name} is ${kind}; state {mean, sd} in a persona instead`, { attribute: name });
  }
  const fallback = stated.find((trait) => trait !== undefined);
  const moments = stated.map((trait) => momentsOfStated(attribute, trait ?? fallback));
  const center = moments.reduce((sum, moment, index) => sum + shares[index] * moment.mean, 0);
  const variance = moments.reduce((sum, moment, index) => sum + shares[index] * (moment.sd ** 2 + (moment.mean - center) ** 2), 0);
  return {
    coding: { ...base, transform: kind === "count" ? "log1p" : attribute.transform, center, scale: Math.max(Math.sqrt(variance), 1e-9) },
    distributions: moments.map((moment): TraitDistribution =>
      kind === "count"
        ? { kind: "count", shape: AUTHOR_MEMBERS * moment.rate, rate: AUTHOR_MEMBERS }
        : { kind: "continuous", mean: moment.mean, kappa: AUTHOR_MEMBERS, shape: AUTHOR_MEMBERS / 2, rate: moment.sd ** 2 * (AUTHOR_MEMBERS / 2 - 1) },
    ),
  };
}

function levelsOf(attribute: AttributeColumn, stated: readonly AuthoredPersona["traits"][string][] | readonly unknown[], marginal: Readonly<Record<string, number>> | undefined): readonly string[] {
  if (attribute.levels.length > 0) return attribute.levels;
  if (attribute.kind === "binary") {
    const named = Object.keys(marginal ?? {});
    return named.length === 2 ? named : ["no", "yes"];
  }
  const levels = new Set<string>(Object.keys(marginal ?? {}));
  for (const trait of stated) if (typeof trait === "object" && trait !== null) for (const level of Object.keys(trait)) levels.add(level);
  return [...levels];
}

/** Mean and sd on the transformed scale of what was stated on the raw one. */
function momentsOfStated(attribute: AttributeColumn, stated: AuthoredPersona["traits"][string] | undefined): { readonly mean: number; readonly sd: number; readonly rate: number } {
  const keys: Readonly<Record<string, number | undefined>> = typeof stated === "object" ? stated : { mean: stated };
  const refuse = (what: string): never => {
    throw new PopulaceError("BAD_SCHEMA", `prior.personas: ${attribute.name}: ${what}`, { attribute: attribute.name });
  };
  const raw = keys["mean"];
  if (raw === undefined) return refuse("expected a mean");
  if (attribute.kind === "count") {
    if (!(raw > 0)) refuse(`a count needs a mean above 0, found ${raw}`);
    // Of log1p of a Poisson count, by the delta method; the grid's scale only needs the right size.
    return { mean: Math.log1p(raw), sd: Math.sqrt(raw) / (1 + raw), rate: raw };
  }
  const sd = keys["sd"];
  if (sd === undefined || !(sd > 0)) return refuse("a continuous attribute needs {mean, sd} with sd above 0");
  if (attribute.transform === "log1p") {
    if (raw < 0) refuse(`log1p needs a mean of at least 0, found ${raw}`);
    // 1 + x log-normal with the stated mean and sd.
    const variance = Math.log1p((sd / (1 + raw)) ** 2);
    return { mean: Math.log1p(raw) - variance / 2, sd: Math.sqrt(variance), rate: 0 };
  }
  if (attribute.transform === "logit") {
    if (!(raw > 0 && raw < 1)) refuse(`logit needs a mean between 0 and 1, found ${raw}`);
    return { mean: logitOf(raw), sd: sd / (raw * (1 - raw)), rate: 0 };
  }
  return { mean: raw, sd, rate: 0 };
}

/**
 * Raking (iterative proportional fitting, Deming and Stephan 1940) of the persona x level table: personas keep their shares, the
 * levels get their marginals, and the odds ratios the author implied are kept. A small floor keeps a level nobody was given
 * reachable. Returns each persona's level shares.
 */
export function raked(seeds: readonly (readonly number[])[], shares: readonly number[], marginal: readonly number[]): readonly (readonly number[])[] {
  const table = seeds.map((row, persona) => row.map((share) => shares[persona] * Math.max(share, 1e-4)));
  for (let round = 0; round < RAKING_ROUNDS; round += 1) {
    marginal.forEach((wanted, level) => {
      const sum = table.reduce((all, row) => all + row[level], 0);
      for (const row of table) row[level] *= sum > 0 ? wanted / sum : 0;
    });
    let worst = 0;
    table.forEach((row, persona) => {
      const sum = row.reduce((all, value) => all + value, 0);
      worst = Math.max(worst, Math.abs(sum - shares[persona]));
      for (let level = 0; level < row.length; level += 1) row[level] *= sum > 0 ? shares[persona] / sum : 0;
    });
    if (worst < 1e-12) break;
  }
  return table.map(normalized);
}

function normalized(shares: readonly number[]): number[] {
  const sum = shares.reduce((all, share) => all + share, 0);
  return shares.map((share) => (sum > 0 ? share / sum : 1 / shares.length));
}

function average(rows: readonly (readonly number[] | null)[], shares: readonly number[]): number[] {
  const spoken = rows.flatMap((row, index) => (row === null ? [] : [{ row, share: shares[index] }]));
  return normalized(spoken[0].row.map((_, level) => spoken.reduce((sum, { row, share }) => sum + share * row[level], 0)));
}

/** The 1 % quantile of log p(x | persona) over people drawn from the persona itself. */
function densityFloor(mixture: PersonaMixture, persona: number, random: RandomStream): number {
  if (mixture.codings.length === 0) return -Infinity;
  const densities = Float64Array.from({ length: FLOOR_DRAWS }, () => {
    const codes = Int16Array.from(mixture.codings, (coding, t) => drawCode(coding, mixture.personas[persona].traits[t].distribution, random));
    return logDensity(mixture, persona, codes, true);
  });
  return densities.toSorted()[Math.floor(0.01 * FLOOR_DRAWS)];
}

function drawCode(coding: TraitCoding, distribution: TraitDistribution, random: RandomStream): number {
  switch (distribution.kind) {
    case "binary":
      return random.uniform() < distribution.alpha / (distribution.alpha + distribution.beta) ? BINARY_CODE : 0;
    case "categorical": {
      let at = random.uniform() * distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
      const level = distribution.alphas.findIndex((alpha) => (at -= alpha) < 0);
      return level < 0 ? indexOfLargest(distribution.alphas) : level;
    }
    case "continuous":
    case "count": {
      const [mean, sd] = distribution.kind === "continuous"
        ? [distribution.mean, Math.sqrt(distribution.rate / (distribution.shape - 1))]
        : [Math.log1p(distribution.shape / distribution.rate), Math.sqrt(distribution.shape / distribution.rate) / (1 + distribution.shape / distribution.rate)];
      const code = Math.round(((mean + sd * random.normal() - coding.center) / coding.scale) * CODES_PER_UNIT);
      return Math.max(-128, Math.min(127, code));
    }
  }
}
