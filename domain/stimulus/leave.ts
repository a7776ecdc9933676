import type { PersonaMixture } from "../persona/persona.ts";
import type { TraitCoding } from "../persona/trait.ts";
import { numericValue } from "../persona/coding.ts";
import { gridMoments } from "../persona/density.ts";
import { logistic, logit } from "../inference/special-functions.ts";
import type { RandomStream } from "../random/random-stream.ts";
import type { ResponseModel, Term } from "./response-model.ts";
import { foldStep, foldUnseen } from "./response-terms.ts";
import type { FoldedStep } from "./response-terms.ts";
import type { Stimulus } from "./stimulus.ts";

/** Name of leaving where steps are named. */
export const LEAVE = "leave";

/**
 * Terms of leaving out of those of a layout: personas, stimuli, traits, features and matches. Interactions are left out, since few leave, and
 * what tells contacts from no contact, since only contacts make anyone leave.
 */
export const leaveTerms = (layout: Pick<ResponseModel, "terms" | "featureNames">): readonly Term[] =>
  layout.terms.filter((term) => term.kind !== "persona-stimulus" && term.kind !== "trait-feature" && (term.kind !== "feature" || layout.featureNames[term.feature] !== "contact"));

/**
 * The regression of leaving as the response model of a single step: the chance to leave at a contact, given that the last step of the funnel is not
 * reached. Where nothing is known of its effects, one rate for all.
 */
export function leaveResponse(response: ResponseModel): ResponseModel {
  const { logitMean, logitSd, draws, effects } = response.leave, steps = [{ name: LEAVE }];
  if (effects !== undefined) return { ...response, steps, terms: effects.terms, stepModels: [effects.model] };
  return {
    ...response, steps, terms: [{ kind: "intercept" }],
    stepModels: [{
      step: LEAVE, rows: 0, events: 0, mean: Float64Array.of(logitMean), covarianceCholesky: Float64Array.of(logitSd),
      draws: draws.length > 0 ? draws : new Float64Array(response.worlds).fill(logitMean), scaleGroup: Int32Array.of(-1),
      // A stimulus that is new makes as many leave as any other.
      scaleGroups: [{ name: "stimulus", median: 0, low: 0, high: 0 }], scaleDraws: new Float64Array(response.worlds), method: "prior-only",
    }],
  };
}

/** Logits of leaving by persona at a contact with a stimulus, in a world (null: at the posterior mean). */
export type LeaveLogits = (stimulus: Stimulus, world: number | null, random: Pick<RandomStream, "normal"> | null) => Float64Array;

/**
 * Leaving by persona, as plans carry it: the logit of the mean chance over the persona's members, whose own logits are taken as normal, each trait adding
 * to mean and variance by itself (correlations inside a persona are left out). A stimulus outside the model has its
 * own effect from `random`, as in `foldUnseen`.
 */
export function leaveLogits(response: ResponseModel, mixture: PersonaMixture): LeaveLogits {
  const own = leaveResponse(response), [model] = own.stepModels, p = own.terms.length, moments = mixture.personas.map((_, persona) => traitMoments(mixture, persona));
  return (stimulus, world, random) => {
    const coefficients = world === null ? model.mean : model.draws.subarray(world * p, (world + 1) * p);
    const known = own.stimuli.findIndex((other) => other.id === stimulus.id);
    const fold = known >= 0 ? foldStep(own, mixture.codings, 0, known, coefficients) : foldUnseen(own, mixture.codings, 0, stimulus, coefficients, world, random);
    return Float64Array.from(moments, (traits, persona) => meanLogit(fold, persona, traits));
  };
}

/** Mean and variance of a trait's value on a grid, or the shares of its levels. */
type TraitMoments = { readonly mean: number; readonly variance: number } | readonly number[];

function traitMoments({ codings, personas }: PersonaMixture, persona: number): readonly TraitMoments[] {
  return codings.map((coding: TraitCoding, t): TraitMoments => {
    const trait = personas[persona].traits[t], { distribution } = trait;
    if (distribution.kind === "categorical") {
      const total = distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
      return distribution.alphas.map((alpha) => alpha / total);
    }
    if (distribution.kind === "binary") {
      const share = distribution.alpha / (distribution.alpha + distribution.beta);
      return [1 - share, share];
    }
    const { mean, sd } = gridMoments(coding, trait);
    return { mean: numericValue(coding, mean), variance: numericValue(coding, sd) ** 2 };
  });
}

function meanLogit({ personaBias, slotWeight, levelTable }: FoldedStep, persona: number, traits: readonly TraitMoments[]): number {
  let mean = personaBias[personaBias.length === 1 ? 0 : persona];
  let variance = 0;
  traits.forEach((moments, t) => {
    if ("variance" in moments) {
      mean += slotWeight[t] * moments.mean;
      variance += slotWeight[t] ** 2 * moments.variance;
      return;
    }
    let first = 0, second = 0, factor = 0;
    moments.forEach((share, level) => {
      const effect = levelTable[t].length === 0 ? level * slotWeight[t] : levelTable[t][level];
      first += share * effect;
      second += share * effect * effect;
      factor += share * Math.exp(effect);
    });
    // The normal that multiplies small chances by as much as the levels do.
    mean += Math.log(factor) - (second - first * first) / 2;
    variance += second - first * first;
  });
  // Beyond 30 a chance is 0 or 1 to the last bit, and has no logit.
  if (!(variance > 1e-12) || Math.abs(mean) > 30) return mean;
  const sd = Math.sqrt(variance);
  let chance = 0;
  for (const [at, weight] of NORMAL_NODES) chance += weight * (logistic(mean + at * sd) + logistic(mean - at * sd));
  return logit(chance);
}

/** Gauss-Hermite quadrature of ten nodes for the standard normal (Abramowitz and Stegun, table 25.10): positive nodes and their weights. */
const NORMAL_NODES: readonly (readonly [number, number])[] = [
  [0.484935707515498, 0.344642334932019],
  [1.46598909439116, 0.135483702980268],
  [2.48432584163895, 0.0191115805007703],
  [3.58182348355193, 0.000758070934312218],
  [4.85946282833231, 0.00000431065263071829],
];
