import { CODES_PER_UNIT, foldStep, gridMoments } from "@populace/domain";
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
  const fold = foldStep(response, mixture.codings, 0, stimulus, response.stepModels[0].mean);
  /** Contribution of a trait's mean to the logit inside a persona. */
  const contribution = (persona: number, trait: number): number => {
    const coding = mixture.codings[trait];
    const { distribution } = mixture.personas[persona].traits[trait];
    if (distribution.kind === "binary") return (fold.slotWeight[trait] * distribution.alpha) / (distribution.alpha + distribution.beta);
    if (distribution.kind === "categorical") {
      const total = distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
      return distribution.alphas.reduce((sum, alpha, level) => sum + (alpha / total) * (fold.levelTable[trait][level] ?? 0), 0);
    }
    return (fold.slotWeight[trait] * gridMoments(coding, mixture.personas[persona].traits[trait]).mean) / CODES_PER_UNIT;
  };
  const logits = mixture.personas.map((_, persona) => fold.personaBias[persona] + mixture.codings.reduce((sum, __, trait) => sum + contribution(persona, trait), 0));
  /** Rate over the personas after a change of each one's logit. */
  const rate = (change: (persona: number) => number): number => mixture.personas.reduce((sum, persona, index) => sum + persona.share * sigmoid(logits[index] + change(index)), 0);
  const bars = mixture.codings.map((coding, trait): ReportTornadoBar => {
    if (coding.kind === "continuous" || coding.kind === "count") {
      return { trait: coding.name, low: rate(() => -fold.slotWeight[trait]), high: rate(() => fold.slotWeight[trait]) };
    }
    const values = coding.kind === "binary" ? [0, fold.slotWeight[trait]] : [...fold.levelTable[trait]];
    const at = (value: number): number => rate((persona) => value - contribution(persona, trait));
    const [least, most] = coding.kind === "binary" ? [values[0], values[1]] : [Math.min(...values), Math.max(...values)];
    const level = (value: number): string => coding.levels[values.indexOf(value)] ?? "other";
    return { trait: coding.kind === "binary" ? coding.name : `${coding.name} (${level(least)} to ${level(most)})`, low: at(least), high: at(most) };
  }).filter((bar) => bar.low !== bar.high);
  return { step: response.steps[0].name, stimulus: response.stimuli[stimulus].name, base: rate(() => 0), bars };
}

