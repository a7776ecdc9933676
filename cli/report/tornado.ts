import { CODES_PER_UNIT, foldStep, gridMoments, isGrid } from "@populace/domain";
import type { Model } from "@populace/studies";
import type { ReportTornado, ReportTornadoBar } from "./report.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * What one trait does to the rate of the first step with the first contacting stimulus: at the posterior mean of the
 * coefficients and the personas' mean traits, weighted by share. Null without personas.
 */
export function tornadoOf(model: Model, stimulusId?: string): ReportTornado | null {
  const { response, mixture } = model;
  const stimulus = Math.max(0, response.stimuli.findIndex((each) => (stimulusId === undefined ? each.contact : each.id === stimulusId)));
  if (mixture.personas.length === 0 || response.stepModels.length === 0) return null;
  const { base, bars } = typicalRates(model, stimulus, 0);
  return { step: response.steps[0].name, stimulus: response.stimuli[stimulus].name, base, bars: bars.map(({ bar }) => bar) };
}

/** Names of the traits that move the rate of a step with a stimulus: numbers first, then levels, of each kind the one that moves it most. */
export function strongestTraits(model: Model, stimulus: number, step: number): readonly string[] {
  const { codings } = model.mixture, { bars } = typicalRates(model, stimulus, step);
  return bars.toSorted((a, b) => Number(isGrid(codings[b.trait])) - Number(isGrid(codings[a.trait])) || Math.abs(b.bar.high - b.bar.low) - Math.abs(a.bar.high - a.bar.low)).map(({ trait }) => codings[trait].name);
}

/** Index of the contacting stimulus with the highest rate of a step, at mean traits; 0 where none makes contact. */
export function bestStimulus(model: Model, step: number): number {
  const rates = model.response.stimuli.map((stimulus, index) => (stimulus.contact ? typicalRates(model, index, step).base : -1));
  return rates.indexOf(Math.max(...rates));
}

/** How far the price cuts that the stimuli have move the rate of a step with one of them, as a share of that rate; 0 without a price. */
export function priceSpread(model: Model, stimulus: number, step: number): number {
  const { response } = model, feature = response.featureNames.indexOf("priceCut");
  if (feature < 0 || !response.stimuli[stimulus].contact) return 0;
  const met = response.features.filter((_, index) => response.stimuli[index].contact).map((values) => values[feature]);
  const rateAt = (cut: number): number =>
    typicalRates({ ...model, response: { ...response, features: response.features.map((values, index) => (index === stimulus ? values.with(feature, cut) : values)) } }, stimulus, step).base;
  const [least, most] = [rateAt(Math.min(...met)), rateAt(Math.max(...met))];
  return Math.abs(most - least) / Math.max(most, least);
}

interface TypicalRates {
  readonly base: number;
  readonly bars: readonly { readonly trait: number; readonly bar: ReportTornadoBar }[];
}

/** Rates of people with their persona's mean traits, and with one trait moved; the funnel is chained up to `step`. */
function typicalRates(model: Model, stimulus: number, step: number): TypicalRates {
  const { response, mixture } = model;
  const folds = response.stepModels.slice(0, step + 1).map(({ mean }, k) => foldStep(response, mixture.codings, k, stimulus, mean));
  /** Contribution of a trait's mean to the logit of a step inside a persona. */
  const contribution = (k: number, persona: number, trait: number): number => {
    const coding = mixture.codings[trait], { slotWeight, levelTable } = folds[k];
    const { distribution } = mixture.personas[persona].traits[trait];
    if (distribution.kind === "binary") return (slotWeight[trait] * distribution.alpha) / (distribution.alpha + distribution.beta);
    if (distribution.kind === "categorical") {
      const total = distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
      return distribution.alphas.reduce((sum, alpha, level) => sum + (alpha / total) * (levelTable[trait][level] ?? 0), 0);
    }
    return (slotWeight[trait] * gridMoments(coding, mixture.personas[persona].traits[trait]).mean) / CODES_PER_UNIT;
  };
  const logits = folds.map(({ personaBias }, k) =>
    mixture.personas.map((_, persona) => personaBias[personaBias.length === 1 ? 0 : persona] + mixture.codings.reduce((sum, __, trait) => sum + contribution(k, persona, trait), 0)));
  /** Rate over the personas after a change of each one's logits. */
  const rate = (change: (k: number, persona: number) => number): number =>
    mixture.personas.reduce((sum, persona, index) => sum + persona.share * logits.reduce((reached, logit, k) => reached * sigmoid(logit[index] + change(k, index)), 1), 0);
  const bars = mixture.codings.map((coding, trait): TypicalRates["bars"][number] => {
    if (isGrid(coding)) {
      return { trait, bar: { trait: coding.name, low: rate((k) => -folds[k].slotWeight[trait]), high: rate((k) => folds[k].slotWeight[trait]) } };
    }
    const values = folds.map((fold) => (coding.kind === "binary" ? [0, fold.slotWeight[trait]] : [...fold.levelTable[trait]]));
    const rates = values[0].map((_, level) => rate((k, persona) => values[k][level] - contribution(k, persona, trait)));
    if (coding.kind === "binary") return { trait, bar: { trait: coding.name, low: rates[0], high: rates[1] } };
    const [low, high] = [Math.min(...rates), Math.max(...rates)];
    const level = (value: number): string => coding.levels[rates.indexOf(value)] ?? "other";
    return { trait, bar: { trait: `${coding.name} (${level(low)} to ${level(high)})`, low, high } };
  }).filter(({ bar }) => bar.low !== bar.high);
  return { base: rate(() => 0), bars };
}
