import { betaFromDraws } from "@populace/domain";
import { modelRates } from "./cell-rates.ts";
import { keyOf, placeOf } from "./exchange.ts";
import type { LandedCell, Model } from "./model.ts";

/**
 * The model's landed cells after randomized outcomes: `exposures` by persona x stimulus and `responses` by persona x stimulus x
 * step, both as the outcomes add them (`sign` 1) or as they are taken out again (-1). Steps are judged given the step before, so
 * that the nested steps of one cell are no repeated evidence. More outcomes of a cell that the same response model has foretold join it.
 */
export function landedCells(model: Model, exposures: Float64Array, responses: Float64Array, sign: 1 | -1 = 1): readonly LandedCell[] {
  const { stimuli, steps } = model.response;
  const landed = new Map(model.landed.map((cell) => [keyOf(cell), cell]));
  let rates: readonly Float64Array[] | null = null;
  model.mixture.personas.forEach((persona, p) => stimuli.forEach((stimulus, s) => steps.forEach((step, k) => {
    const cell = p * stimuli.length + s, at = cell * steps.length + k;
    const reached = k === 0 ? exposures[cell] : responses[at - 1];
    if (reached === 0) return;
    const place = { persona: persona.id as string, stimulus: stimulus.id as string, step: step.name, responseVersion: model.responseVersion };
    const known = landed.get(keyOf(place));
    if (known === undefined && sign < 0) return;
    rates ??= modelRates(model);
    const given = (world: number): number => (k === 0 ? 1 : rates![at - 1][world]);
    const simulated = known?.simulated ?? betaFromDraws(rates[at].map((rate, world) => rate / Math.max(given(world), Number.MIN_VALUE)));
    const next = { ...place, ...placeOf(persona.id, stimulus), simulated, exposures: (known?.exposures ?? 0) + sign * reached, responses: (known?.responses ?? 0) + sign * responses[at] };
    if (next.exposures === 0) landed.delete(keyOf(place));
    else landed.set(keyOf(place), next);
  })));
  // In an order that does not depend on which outcomes came first.
  return [...landed].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, cell]) => cell);
}
