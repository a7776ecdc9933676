import { betaFromDraws, betaInterval, betaMean, mixtureMean, mixtureQuantile, powerPrior, robustPrior, updateMixture } from "@populace/domain";
import type { Beta, EvidenceLabel, RateEstimate } from "@populace/domain";
import { sigmoidQ32 } from "@populace/kernels";
import type { Plan } from "@populace/protocol";
import { affordableCrowds, crowdRates } from "./crowd.ts";
import { exchangeRateAt } from "./exchange.ts";
import { weighedOutcomes } from "./forgetting.ts";
import { leavingEvidence } from "./leave-fit.ts";
import type { Model } from "./model.ts";
import { compilePlan } from "./plan.ts";
import { readStudy } from "./study.ts";

/** From this share of the effective sample size on, evidence of one kind is called by its own name alone. */
const PURE = 0.9;

/**
 * The response rate of every cell, personas x stimuli x steps, per exposure: the one place where model, belief and real outcomes
 * are joined, and what the gateway's score table is made of.
 *
 * The model's part is the Beta matched to the cell's rate over the worlds (mean and variance), shocks alive now included. A
 * posterior fitted to data is real evidence up to its version and counts in full. A belief (`prior only`, or a foreign
 * model's, distilled) stands alone and as stated until the cell's first outcome, and from then on is simulated evidence: a power prior with the exchange rate of its class,
 * at most max(50, real / 5) effective exposures, beside a vague Beta(1, 1) that takes over as the outcomes contradict it (robust
 * mixture). Real outcomes later than the version are added as they are; with a half-life, all real evidence fades by its age, the
 * model's not below one observation.
 */
export function cellRates(model: Model): readonly RateEstimate[] {
  const worldRates = modelRates(model);
  const { stimuli, steps } = model.response;
  const cells = stimuli.length * steps.length;
  const { outcomes, kept } = weighedOutcomes(model);
  return outcomes.map(({ exposures, responses }, at) => {
    const persona = model.mixture.personas[Math.floor(at / cells)];
    const matched = betaFromDraws(worldRates[at]);
    // A persona promoted from a cluster was in no fit: its rates are its traits' and the prior of its own effects.
    // What a foreign model was fitted on is hearsay here, however much it was.
    const isStated = model.evidence === "prior only" || persona.lineage.event === "emerge", isBelief = isStated || model.imported !== undefined;
    if (isBelief && exposures > 0) {
      const prior = powerPrior(matched, exchangeRateAt(model, persona.id, stimuli[Math.floor(at / steps.length) % stimuli.length]), exposures);
      const joined = updateMixture(robustPrior(prior), responses, exposures);
      const essSimulated = joined.weights[0] * (prior.alpha + prior.beta);
      return {
        mean: mixtureMean(joined), low: mixtureQuantile(joined, 0.05), high: mixtureQuantile(joined, 0.95),
        ess: exposures + essSimulated, essSimulated, essReal: exposures, label: labelOf(isStated, exposures, essSimulated),
      };
    }
    // However much is forgotten, one observation at the old rate is left: nothing at all would have no rate.
    const part = isBelief ? 1 : Math.max(kept, Math.min(1, 1 / (matched.alpha + matched.beta)));
    const joined: Beta = { alpha: part * matched.alpha + responses, beta: part * matched.beta + exposures - responses };
    const ess = joined.alpha + joined.beta;
    const [essSimulated, essReal] = isBelief ? [ess, 0] : [0, ess];
    return { mean: betaMean(joined), ...betaInterval(joined), ess, essSimulated, essReal, label: labelOf(isStated, essReal, essSimulated) };
  });
}

/**
 * The rate of leaving per contact of every persona and stimulus, null at those that are no contact; undefined where nobody said how many leave. As the
 * model has it: outcomes that were only counted say nothing of who left.
 */
export function leavingRates(model: Model): readonly (RateEstimate | null)[] | undefined {
  const known = leavingEvidence(model);
  if (known === null) return undefined;
  const { plan, rates } = cellsByWorld(model), { worlds, cells, personas, steps, stimuli } = plan, isReal = known === "learned" && model.evidence !== "prior only" && model.imported === undefined;
  return personas.flatMap((_, persona) => stimuli.map(({ contact }, stimulus): RateEstimate | null => {
    if (!contact) return null;
    const cell = cells.findIndex((other) => other.stimulus === stimulus);
    const matched = betaFromDraws(Float64Array.from({ length: worlds }, (_world, world) =>
      (1 - rates[((world * cells.length + cell) * personas.length + persona + 1) * steps.length - 1]) * (sigmoidQ32(plan.leaveBias[(world * personas.length + persona) * stimuli.length + stimulus]) / 2 ** 32)));
    const ess = matched.alpha + matched.beta, [essSimulated, essReal] = isReal ? [0, ess] : [ess, 0];
    return { mean: betaMean(matched), ...betaInterval(matched), ess, essSimulated, essReal, label: labelOf(known === "stated", essReal, essSimulated) };
  }));
}

/** A plan that shows every stimulus once to people without history, and its expected rates. */
function cellsByWorld(model: Model): { readonly plan: Plan; readonly rates: Float64Array } {
  const plan = compilePlan(model, readStudy({ ticks: 1, agents: model.mixture.personas.length }, model));
  return { plan, rates: crowdRates(plan, affordableCrowds(plan)) };
}

/** Rates per exposure by cell (personas x stimuli x steps) and world, as the model alone states them. */
export function modelRates(model: Model): readonly Float64Array[] {
  const { plan, rates } = cellsByWorld(model);
  const { worlds, cells, personas, steps, stimuli } = plan;
  return personas.flatMap((_, persona) =>
    stimuli.flatMap((_stimulus, stimulus) => {
      const cell = cells.findIndex((other) => other.stimulus === stimulus);
      return steps.map((_step, step) => Float64Array.from({ length: worlds }, (_world, world) => rates[((world * cells.length + cell) * personas.length + persona) * steps.length + step]));
    }),
  );
}

function labelOf(isStated: boolean, essReal: number, essSimulated: number): EvidenceLabel {
  if (essReal === 0) return isStated ? "prior only" : "simulated only";
  return essReal >= PURE * (essReal + essSimulated) ? "real" : "simulated and real";
}
