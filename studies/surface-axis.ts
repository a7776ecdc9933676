import { CODES_PER_UNIT, PopulaceError, featureValues, gridMoments, isGrid, untransformed } from "@populace/domain";
import type { Stimulus } from "@populace/domain";
import { didYouMean } from "./document.ts";
import type { Model } from "./model.ts";

/** What a surface is drawn over: a trait of people, or a number of the stimulus. */
export type SurfaceQuantity = { readonly kind: "trait"; readonly trait: number } | { readonly kind: "feature"; readonly feature: number };

/** One axis of a surface, in the words and units of the data. */
export interface SurfaceAxis {
  readonly kind: "trait" | "feature";
  /** The attribute's name, or the feature's as the model calls it (priceCut, value, feature:NAME, copy:NAME). */
  readonly name: string;
  readonly unit: string;
  /** Ascending numbers as the data hold them (values of an offer in minor currency units); for levels 0, 1, ... */
  readonly values: readonly number[];
  /** The levels of a binary or categorical trait, one a value; empty for numbers. */
  readonly levels: readonly string[];
  /** The persona's mean, or what the stimulus has now; null for levels. */
  readonly now: number | null;
}

/** An axis with what the response model sees of each value: numbers, indices of levels, or the stimulus changed. */
export interface CompiledAxis {
  readonly axis: SurfaceAxis;
  readonly seen: readonly number[];
  /** The stimulus with each value; empty for traits. */
  readonly stimuli: readonly Stimulus[];
}

const UNITS_MAX = 127 / CODES_PER_UNIT;
const SD_SHOWN = 2;

/** The axis of a trait: its levels, or `count` even steps of its own scale over nearly all members of the personas named. */
export function traitAxis(model: Model, trait: number, personas: readonly number[], count: number): CompiledAxis {
  const coding = model.mixture.codings[trait];
  const { name, unit } = coding;
  if (!isGrid(coding)) {
    const levels = coding.levels.map((_, level) => level);
    return { axis: { kind: "trait", name, unit, values: levels, levels: coding.levels, now: null }, seen: levels, stimuli: [] };
  }
  const shown = personas.map((index) => {
    const persona = model.mixture.personas[index], { mean, sd } = gridMoments(coding, persona.traits[trait]), { shape } = persona.traits[trait];
    // The shape's outer quantiles are those of 1.5 % and 98.5 %.
    const [low, high] = shape.length > 1 ? [shape[0], shape[shape.length - 1]] : [mean - SD_SHOWN * sd, mean + SD_SHOWN * sd];
    return { share: persona.share, mean: mean / CODES_PER_UNIT, low: low / CODES_PER_UNIT, high: high / CODES_PER_UNIT };
  });
  const transform = coding.kind === "count" ? "log1p" : coding.transform;
  // log(1 + x) reaches below 0 where no value is.
  const least = transform === "log1p" ? -coding.center / coding.scale : -Infinity;
  const low = Math.max(least, -4, Math.min(...shown.map((each) => each.low)));
  const high = Math.max(low + 1 / CODES_PER_UNIT, Math.min(UNITS_MAX, Math.max(...shown.map((each) => each.high))));
  const raw = (units: number): number => untransformed(transform, coding.center + coding.scale * units);
  const share = shown.reduce((sum, each) => sum + each.share, 0);
  const seen = Array.from({ length: count }, (_, at) => (count === 1 ? (low + high) / 2 : low + ((high - low) * at) / (count - 1)));
  return { axis: { kind: "trait", name, unit, values: seen.map(raw), levels: [], now: raw(shown.reduce((sum, each) => sum + (each.share / share) * each.mean, 0)) }, seen, stimuli: [] };
}

/** The axis of a feature: `count` even steps over what the model's contacting stimuli have. BAD_USAGE for a stimulus without contact. */
export function featureAxis(model: Model, feature: number, stimulus: Stimulus, count: number): CompiledAxis {
  const name = model.response.featureNames[feature];
  const number = numberOf(name);
  if (!stimulus.contact) throw new PopulaceError("BAD_USAGE", `stimulus ${stimulus.id} is no contact, so it has no ${name} to vary; name another with --stimulus, or a second trait`, { stimulus: stimulus.id, feature: name });
  const met = model.response.stimuli.filter((each) => each.contact).map(number.of);
  const [low, high] = [Math.min(...met), Math.max(...met)];
  const values = Array.from({ length: count }, (_, at) => (count === 1 ? (low + high) / 2 : low + ((high - low) * at) / (count - 1)));
  const stimuli = values.map((value) => number.change(stimulus, value));
  const unit = name === "value" ? `minor units of ${model.schema.value?.currency ?? "the currency"}` : name === "priceCut" ? "share of the price" : "";
  return {
    axis: { kind: "feature", name, unit, values, levels: [], now: number.of(stimulus) },
    // A description of a text is a number of its own; nobody writes the text that has it.
    seen: name.startsWith("copy:") ? values : stimuli.map((each) => featureValues([name], each)[0]),
    stimuli,
  };
}

interface StimulusNumber {
  readonly of: (stimulus: Stimulus) => number;
  readonly change: (stimulus: Stimulus, value: number) => Stimulus;
}

/** Names of the features whose values are numbers, as the model has them. */
const numericFeatures = (model: Model): readonly string[] => model.response.featureNames.filter((name) => name === "priceCut" || name === "value" || /^(feature|copy):/.test(name));

function numberOf(name: string): StimulusNumber {
  if (name === "priceCut") return { of: ({ offer }) => offer.priceCut ?? 0, change: (stimulus, priceCut) => ({ ...stimulus, offer: { ...stimulus.offer, priceCut } }) };
  if (name === "value") return { of: ({ offer }) => offer.valueMinor ?? 0, change: (stimulus, valueMinor) => ({ ...stimulus, offer: { ...stimulus.offer, valueMinor } }) };
  if (name.startsWith("copy:")) return { of: (stimulus) => featureValues([name], stimulus)[0], change: (stimulus) => stimulus };
  const key = shortName(name);
  return { of: ({ features }) => features[key] ?? 0, change: (stimulus, value) => ({ ...stimulus, features: { ...stimulus.features, [key]: value } }) };
}

/** The author's own word for a feature: without its kind and scale. */
const shortName = (name: string): string => name.replace(/^(feature|copy):/, "").replace(/\/\d+$/, "");

/** Index of a numeric feature by its name, "price" for the price cut, or its author's name. NOT_FOUND, with what there is. */
export function featureNamed(model: Model, wanted: string): number {
  const names = numericFeatures(model);
  const found = names.find((name) => name === wanted || (wanted === "price" && name === "priceCut")) ?? names.find((name) => shortName(name) === wanted);
  if (found !== undefined) return model.response.featureNames.indexOf(found);
  if (model.response.featureNames.includes(wanted)) throw new PopulaceError("NOT_FOUND", `feature ${wanted} is yes or no and has no scale; known: ${names.join(", ") || "none"}`, { feature: wanted });
  const hint = names.length === 0 ? "; the stimuli of this model differ in no number, name a second trait with --trait2" : didYouMean(wanted, [...names, ...(names.includes("priceCut") ? ["price"] : [])]);
  throw new PopulaceError("NOT_FOUND", `the model knows no number "${wanted}" of its stimuli${hint}`, { feature: wanted, known: names });
}
