import { betaFromDraws, betaInterval, betaMean, powerPrior } from "@populace/domain";
import type { Beta, EvidenceLabel, RateEstimate } from "@populace/domain";
import { affordableCrowds, crowdRates } from "./crowd.ts";
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
 * posterior fitted to data is real evidence up to its version and counts in full. A belief (`prior only`) stands alone and as
 * stated until the cell's first outcome, and from then on is a power prior: exchange rate a0, at most max(50, real / 5)
 * effective exposures. Real outcomes later than the version are added as they are.
 */
export function cellRates(model: Model): readonly RateEstimate[] {
  const worldRates = modelRates(model);
  const cells = model.response.stimuli.length * model.response.steps.length;
  // A persona promoted from a cluster was in no fit: its rates are its traits' and the prior of its own effects.
  const emerged = model.mixture.personas.map((persona) => persona.lineage.event === "emerge");
  return model.outcomes.map((cell, at) => {
    const matched = betaFromDraws(worldRates[at]);
    const isBelief = model.evidence === "prior only" || emerged[Math.floor(at / cells)];
    const base: Beta = isBelief && cell.exposures > 0 ? powerPrior(matched, model.exchangeRate.a0, cell.exposures) : matched;
    const joined: Beta = { alpha: base.alpha + cell.responses, beta: base.beta + cell.exposures - cell.responses };
    const essBase = base.alpha + base.beta;
    const essReal = cell.exposures + (isBelief ? 0 : essBase);
    const essSimulated = isBelief ? essBase : 0;
    return { mean: betaMean(joined), ...betaInterval(joined), ess: essReal + essSimulated, essSimulated, essReal, label: labelOf(isBelief, essReal, essSimulated) };
  });
}

/** Rates per exposure by cell (personas x stimuli x steps) and world, as the model alone states them. */
export function modelRates(model: Model): readonly Float64Array[] {
  const study = readStudy({ ticks: 1, agents: model.mixture.personas.length }, model);
  const plan = compilePlan(model, study);
  const rates = crowdRates(plan, affordableCrowds(plan));
  const { worlds, cells, personas, steps, stimuli } = plan;
  return personas.flatMap((_, persona) =>
    stimuli.flatMap((_stimulus, stimulus) => {
      const cell = cells.findIndex((other) => other.stimulus === stimulus);
      return steps.map((_step, step) => Float64Array.from({ length: worlds }, (_world, world) => rates[((world * cells.length + cell) * personas.length + persona) * steps.length + step]));
    }),
  );
}

function labelOf(isBelief: boolean, essReal: number, essSimulated: number): EvidenceLabel {
  if (essReal === 0) return isBelief ? "prior only" : "simulated only";
  return essReal >= PURE * (essReal + essSimulated) ? "real" : "simulated and real";
}
