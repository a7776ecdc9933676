import { LEAVE, gammaQuantile } from "@populace/domain";
import type { EvidenceLabel } from "@populace/domain";
import { sigmoidQ32 } from "@populace/kernels";
import type { People } from "@populace/kernels";
import { columnCount } from "@populace/protocol";
import type { Plan } from "@populace/protocol";
import { crowdRates } from "./crowd.ts";
import { leavingEvidence } from "./leave-fit.ts";
import type { Model } from "./model.ts";
import { effectiveSampleSize, momentsOf, quantileOfSorted, shiftedRates } from "./rates.ts";
import type { RunOutcome } from "./run.ts";
import { OUTSIDE } from "./study.ts";
import type { Study } from "./study.ts";

/** One response rate of a run. `persona` is an id, or "*" for all personas weighted by their exposures. */
export interface RateRow {
  readonly scenario: string;
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  /** Responses per exposure over the whole run, 0 to 1. */
  readonly mean: number;
  /** 90 % credible interval of the rate: the spread over worlds, without the agents' sampling noise. */
  readonly low: number;
  readonly high: number;
  /** Effective sample size over worlds; null = no uncertainty at all. */
  readonly ess: number | null;
  readonly label: EvidenceLabel;
  readonly exposures: number;
  readonly responses: number;
  /** Share of those who reached the step before (of leaving: who did not reach the last one); null when nobody did. */
  readonly conditional: number | null;
}

/** One rate of one tick. */
export interface TickRow {
  readonly tick: number;
  readonly scenario: string;
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  readonly exposures: number;
  readonly responses: number;
  readonly left: number;
  readonly shared: number;
}

/**
 * Repeated exposures of one agent share its traits, so they carry less information than as many agents: the variance of a
 * world's share is at most 1 + (exposures per agent - 1) * this times the binomial one. A quarter is a spread of agents' rates
 * beyond any model fitted so far (logit sd 2 at a rate of one half).
 */
const AGENT_CORRELATION_MAX = 0.25;

/**
 * The rates of a run with their intervals: scenario by scenario, stimulus, persona ("*" last), step; after the steps, under the name "leave", leaving per
 * contact, where data or the author say how many leave.
 *
 * The mean is simulated responses / exposures. The interval is the spread over worlds of the expected rate of a crowd of
 * people, the same in every world, moved on the logit scale so that its mean is the simulated one: the agents' sampling noise is
 * not in it, so more agents never narrow it, and identical worlds give width 0. Where the simulated worlds differ significantly
 * more than the panel's (influence amplifies differences), it is widened by that ratio. `people` are of this plan, where some are at hand.
 */
export function summarizeRun(model: Model, study: Study, plan: Plan, outcome: Pick<RunOutcome, "counts">, people?: People): readonly RateRow[] {
  const { worlds, cells, personas, steps } = plan;
  const columns = columnCount(steps.length);
  const panel = crowdRates(plan, 1, people);
  const label: EvidenceLabel = model.evidence === "prior only" ? "prior only" : "simulated only";
  const known = leavingEvidence(model), leaving = known === null ? [] : [{ step: LEAVE, label: known === "stated" ? ("prior only" as const) : label }];
  const last = steps.length - 1, rated = [...steps.map((step) => ({ step, label })), ...leaving];
  /** Expected rates by world of a rated step. */
  const panelRatesOf = (cell: number, stimulus: number, persona: number, k: number): Float64Array => Float64Array.from({ length: worlds }, (_, world) => {
    const at = ((world * cells.length + cell) * personas.length + persona) * steps.length;
    return k <= last ? panel[at + k] : ((1 - panel[at + last]) * sigmoidQ32(plan.leaveBias[(world * personas.length + persona) * plan.stimuli.length + stimulus])) / 2 ** 32;
  });
  const rows: RateRow[] = [];
  cells.forEach((cell, cellIndex) => {
    if (plan.stimuli[cell.stimulus].id === OUTSIDE.id && study.histories.length > 0) return;
    const { id: stimulus, contact } = plan.stimuli[cell.stimulus], place = { scenario: plan.scenarios[cell.scenario].name, stimulus };
    const countAt = (persona: number, world: number, column: number): number => outcome.counts[((cellIndex * personas.length + persona) * worlds + world) * columns + column];
    const total = (persona: number, column: number): number => sumOver(worlds, (world) => countAt(persona, world, column));
    const shown = personas.map((_, persona) => persona).filter((persona) => total(persona, 0) > 0);
    const everybody = (column: number): number => shown.reduce((all, persona) => all + total(persona, column), 0);
    // Those who came to the last step cannot leave.
    const before = (of: (column: number) => number, k: number): number => (k <= last ? of(k) : of(0) - of(steps.length));
    const conditional = (of: (column: number) => number, k: number): number | null => (before(of, k) > 0 ? of(1 + k) / before(of, k) : null);
    const exposuresAll = everybody(0), kinds = contact ? rated : rated.slice(0, steps.length);
    const together = kinds.map(() => new Float64Array(worlds));
    for (const persona of shown) {
      const of = (column: number): number => total(persona, column), exposures = of(0), perAgent = exposures / personas[persona].agents;
      kinds.forEach((kind, k) => {
        const panelRates = panelRatesOf(cellIndex, cell.stimulus, persona, k), responses = of(1 + k);
        const rates = worldRates(panelRates, responses, exposures, amplification(panelRates, (world) => [countAt(persona, world, 0), countAt(persona, world, 1 + k)], perAgent));
        for (let world = 0; world < worlds; world += 1) together[k][world] += (rates[world] * exposures) / exposuresAll;
        rows.push({ ...place, ...kind, persona: personas[persona].id, ...interval(responses / exposures, rates), exposures, responses, conditional: conditional(of, k) });
      });
    }
    if (exposuresAll === 0) return;
    kinds.forEach((kind, k) => {
      const responses = everybody(1 + k);
      rows.push({ ...place, ...kind, persona: "*", ...interval(responses / exposuresAll, together[k]), exposures: exposuresAll, responses, conditional: conditional(everybody, k) });
    });
  });
  return rows;
}

/** The counts of every tick, without the rows nobody was exposed in. */
export function tickRows(plan: Plan, outcome: RunOutcome): readonly TickRow[] {
  const columns = columnCount(plan.steps.length);
  const rows: TickRow[] = [];
  for (let tick = 0; tick < plan.ticks; tick += 1) {
    plan.cells.forEach((cell, cellIndex) => {
      plan.personas.forEach((persona, personaIndex) => {
        const at = ((tick * plan.cells.length + cellIndex) * plan.personas.length + personaIndex) * columns;
        const exposures = outcome.tickCounts[at];
        if (exposures === 0) return;
        plan.steps.forEach((step, k) => {
          rows.push({
            tick, scenario: plan.scenarios[cell.scenario].name, persona: persona.id, stimulus: plan.stimuli[cell.stimulus].id, step, exposures,
            responses: outcome.tickCounts[at + 1 + k], left: outcome.tickCounts[at + columns - 2], shared: outcome.tickCounts[at + columns - 1],
          });
        });
      });
    });
  }
  return rows;
}

/** The panel's rates moved to the simulated mean. One pseudo-exposure at the panel's rate keeps a cell without responses finite. */
function worldRates(panelRates: Float64Array, responses: number, exposures: number, stretch: number): Float64Array {
  if (allEqual(panelRates)) return panelRates.map(() => responses / exposures);
  return shiftedRates(panelRates, (responses + momentsOf(panelRates).mean) / (exposures + 1), stretch);
}

/**
 * How much more the simulated worlds differ than the panel's, as a ratio of standard deviations, at least 1: the lower 99 %
 * limit of the observed variance between worlds (chi-square), less the sampling variance at its most correlated.
 */
function amplification(panelRates: Float64Array, counts: (world: number) => readonly [number, number], exposuresPerAgent: number): number {
  const seen = Array.from(panelRates, (_, world) => counts(world)).filter(([exposures]) => exposures > 0);
  if (allEqual(panelRates) || seen.length < 10) return 1;
  const panel = momentsOf(panelRates);
  const shares = seen.map(([exposures, responses]) => responses / exposures);
  const { mean, variance } = momentsOf(shares);
  const sampling = seen.reduce((sum, [exposures]) => sum + (mean * (1 - mean)) / exposures, 0) / seen.length;
  const correlated = sampling * (1 + Math.max(0, exposuresPerAgent - 1) * AGENT_CORRELATION_MAX);
  const lower = ((seen.length - 1) * variance) / (2 * gammaQuantile(0.99, (seen.length - 1) / 2));
  // Compared on the logit scale (delta method), because the run may have moved the rate far from the panel's.
  const slope = (rate: number): number => rate * (1 - rate);
  return mean <= 0 || mean >= 1 ? 1 : Math.sqrt(Math.max(1, (lower - correlated) / slope(mean) ** 2 / (panel.variance / slope(panel.mean) ** 2)));
}

function interval(mean: number, rates: Float64Array): Pick<RateRow, "mean" | "low" | "high" | "ess"> {
  if (allEqual(rates)) return { mean, low: mean, high: mean, ess: null };
  const { variance } = momentsOf(rates);
  const sorted = rates.toSorted();
  return { mean, low: Math.min(mean, quantileOfSorted(sorted, 0.05)), high: Math.max(mean, quantileOfSorted(sorted, 0.95)), ess: effectiveSampleSize(mean, variance) };
}

/** Identical worlds, tested on the values: a computed variance would be a last bit above 0. */
const allEqual = (rates: Float64Array): boolean => rates.every((rate) => rate === rates[0]);

function sumOver(count: number, of: (index: number) => number): number {
  let sum = 0;
  for (let index = 0; index < count; index += 1) sum += of(index);
  return sum;
}
