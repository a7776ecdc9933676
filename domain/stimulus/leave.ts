import type { PersonaMixture } from "../persona/persona.ts";
import { MISSING } from "../persona/trait.ts";
import type { RandomStream } from "../random/random-stream.ts";
import type { LogisticDesign } from "../inference/logistic.ts";
import type { LeaveModel, ResponseModel, Term } from "./response-model.ts";
import { designRows, foldStep, foldUnseen, missingFill } from "./response-terms.ts";
import type { FoldedStep, MissingFill, ResponseLayout, TermPriors } from "./response-terms.ts";
import type { Stimulus } from "./stimulus.ts";

/**
 * Terms of leaving out of those of a layout: intercept, personas, stimuli, features and matches, a match by its persona's mean. What tells
 * contacts from no contact is left out, since only contacts make anyone leave; traits are, because the kernel knows leaving by persona and stimulus.
 */
export const leaveTerms = (layout: Pick<ResponseModel, "terms" | "featureNames">): readonly Term[] =>
  layout.terms.filter((term) => term.kind === "intercept" || term.kind === "persona" || term.kind === "stimulus" || term.kind === "match" || (term.kind === "feature" && layout.featureNames[term.feature] !== "contact"));

/** Contacts that a persona had of a stimulus and that could have made it leave, and those that did; weighted counts, personas x stimuli. */
export interface LeaveCounts {
  readonly contacts: Float64Array;
  readonly left: Float64Array;
}

/** The regression of leaving: two rows a cell, those who left and those who stayed, each with its weight. */
export function leaveDesign(layout: ResponseLayout, terms: readonly Term[], mixture: PersonaMixture, counts: LeaveCounts, priors: TermPriors): LogisticDesign {
  const writer = designRows({ ...layout, terms }, mixture.codings, missingFill(mixture)), unknown = new Int16Array(mixture.codings.length).fill(MISSING);
  const starts = [0], response: number[] = [], weight: number[] = [], stimuli = layout.stimuli.length;
  counts.contacts.forEach((contacts, cell) => {
    for (const [left, times] of [[1, counts.left[cell]], [0, contacts - counts.left[cell]]] as const) {
      if (!(times > 0)) continue;
      writer.designRow(unknown, 0, Math.floor(cell / stimuli), cell % stimuli);
      starts.push(writer.column.length);
      response.push(left);
      weight.push(times);
    }
  });
  return {
    rows: response.length, columns: terms.length, rowStart: Int32Array.from(starts), column: Int32Array.from(writer.column), value: Float64Array.from(writer.value),
    response: Uint8Array.from(response), weight: Float64Array.from(weight), ...priors,
  };
}

/**
 * Logit of leaving by persona at a contact with the stimulus, in world `world` (null: at the posterior mean). A stimulus outside the model has its own
 * effect from `random`, as in `foldUnseen`.
 */
export function leaveLogits(response: ResponseModel, mixture: PersonaMixture, stimulus: Stimulus, world: number | null, random: Pick<RandomStream, "normal"> | null): Float64Array {
  const { logitMean, draws, effects }: LeaveModel = response.leave;
  if (effects === undefined) return new Float64Array(mixture.personas.length).fill(world === null || draws.length === 0 ? logitMean : draws[world]);
  const { terms, model } = effects, p = terms.length, as = { ...response, terms, stepModels: [model] };
  const coefficients = world === null ? model.mean : model.draws.subarray(world * p, (world + 1) * p);
  const known = response.stimuli.findIndex((other) => other.id === stimulus.id);
  const fold = known >= 0 ? foldStep(as, mixture.codings, 0, known, coefficients) : foldUnseen(as, mixture.codings, 0, stimulus, coefficients, world, random);
  const fill = missingFill(mixture);
  return Float64Array.from(mixture.personas, (_, persona) => (fold.personaBias[fold.personaBias.length === 1 ? 0 : persona]) + ofMatches(fold, fill, persona));
}

function ofMatches(fold: FoldedStep, fill: MissingFill, persona: number): number {
  let sum = 0;
  fold.slotWeight.forEach((weight, trait) => {
    if (weight !== 0) sum += weight * (fill(persona, trait) as number);
  });
  return sum;
}
