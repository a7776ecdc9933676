import { LEAVE, PopulaceError, fitHierarchicalLogistic, leaveTerms, termPriors, updateLogistic } from "@populace/domain";
import type { LeaveModel, LogisticDesign, PersonaMixture, RandomStream, ResponseLayout, ResponseModel, StepModel, Term, TermPriors } from "@populace/domain";
import { couldLeave, designOf, posteriorOf, stepModelOf } from "./response-fit.ts";
import type { ResponseRows } from "./response-fit.ts";
import type { Schema } from "./schema.ts";
import { logitOf, normalOf } from "./stated-interval.ts";

/** Leaving per contact when nobody states it: 90 % between about 1 in 2,000 and 1 in 120. */
const LEAVE_PRIOR = { logitMean: Math.log(0.002 / 0.998), logitSd: 0.85 } as const;
/** Where data say it, from 1 in 14,000 to 1 in 20: some lists are left far faster. */
const LEAVE_SD_WITH_DATA = 2;

/** Where what is known of leaving comes from; null where nobody said how many leave. */
export function leavingEvidence({ response, schema }: { readonly response: ResponseModel; readonly schema: Schema }): "learned" | "stated" | null {
  if (response.steps.some(({ name }) => name === LEAVE)) return null;
  if (isLearned(response.leave)) return "learned";
  return response.leave.effects !== undefined || (schema.prior?.leaveRate ?? null) !== null ? "stated" : null;
}

type Layout = ResponseLayout & Pick<ResponseModel, "featureNames">;

/** Leaving before any data: the stated rate or LEAVE_PRIOR, and what the author stated about stimuli and their features. */
export function statedLeave(schema: Schema, layout: Layout, worlds: number, random: RandomStream): LeaveModel {
  const stated = schema.prior?.leaveRate ?? null, rate = stated === null ? { mean: LEAVE_PRIOR.logitMean, sd: LEAVE_PRIOR.logitSd } : normalOf(stated, logitOf);
  const draws = Float64Array.from({ length: worlds }, () => rate.mean + rate.sd * random.normal());
  const base = { logitMean: rate.mean, logitSd: rate.sd, draws };
  const effects = statedEffects(schema, layout, leaveTerms(layout));
  if (effects.length === 0) return base;
  const terms: readonly Term[] = [{ kind: "intercept" }, ...effects.map(({ term }) => term)], p = terms.length;
  const [mean, sd] = [[rate.mean, ...effects.map((effect) => effect.mean)], [rate.sd, ...effects.map((effect) => effect.sd)]];
  const own = random.child("effects"), covarianceCholesky = new Float64Array((p * (p + 1)) / 2);
  sd.forEach((each, at) => { covarianceCholesky[(at * (at + 1)) / 2 + at] = each; });
  const model: StepModel = {
    step: LEAVE, rows: 0, events: 0, mean: Float64Array.from(mean), covarianceCholesky,
    draws: Float64Array.from({ length: worlds * p }, (_, at) => (at % p === 0 ? draws[at / p] : mean[at % p] + sd[at % p] * own.normal())),
    scaleGroup: new Int32Array(p).fill(-1), scaleDraws: new Float64Array(worlds), scaleGroups: [{ name: "stimulus", median: 0, low: 0, high: 0 }], method: "prior-only",
  };
  return { ...base, effects: { terms, model } };
}

/** Normals of the log odds ratios at step "leave". BAD_SCHEMA for one that no term of the layout has. */
function statedEffects(schema: Schema, layout: Layout, terms: readonly Term[]): readonly { readonly term: Term; readonly mean: number; readonly sd: number }[] {
  if (schema.funnel.some(({ name }) => name === LEAVE)) return [];
  return (schema.prior?.effects ?? []).filter((effect) => effect.step === LEAVE).map((effect) => {
    const term = terms.find((each) => (each.kind === "stimulus" && layout.stimuli[each.stimulus].id === effect.on) || (each.kind === "feature" && layout.featureNames[each.feature] === effect.on));
    if (term === undefined) throw new PopulaceError("BAD_SCHEMA", `prior.effects: the effect on "${effect.on}" at step ${LEAVE} has nothing to act on: no stimulus or feature of stimuli has this name`, { step: LEAVE, on: effect.on });
    return { term, ...normalOf(effect.oddsRatio, Math.log) };
  });
}

/** Whether the layout's own terms say how leaving depends on stimuli, not only those that an author stated. */
const isLearned = ({ effects }: LeaveModel): boolean => effects !== undefined && effects.model.method !== "prior-only";

function leavePriors(schema: Schema, layout: Layout, terms: readonly Term[], mixture: PersonaMixture): TermPriors {
  const priors = termPriors(terms, mixture.codings), stated = schema.prior?.leaveRate ?? null;
  const rate = stated === null ? { mean: LEAVE_PRIOR.logitMean, sd: LEAVE_SD_WITH_DATA } : normalOf(stated, logitOf);
  const [scaleGroup, priorMean, priorSd] = [Int32Array.from(priors.scaleGroup), Float64Array.from(priors.priorMean), Float64Array.from(priors.priorSd)];
  const place = (at: number, { mean, sd }: { readonly mean: number; readonly sd: number }): void => {
    scaleGroup[at] = -1;
    priorMean[at] = mean;
    priorSd[at] = sd;
  };
  place(terms.findIndex((term) => term.kind === "intercept"), rate);
  for (const { term, mean, sd } of statedEffects(schema, layout, terms)) place(terms.indexOf(term), { mean, sd });
  return { ...priors, scaleGroup, priorMean, priorSd };
}

/** The regression of leaving over the contacts of rows from..to that could have made somebody leave: those after which the last step was not reached. */
function leaveDesign(layout: Layout, terms: readonly Term[], mixture: PersonaMixture, rows: ResponseRows, left: Uint8Array, priors: TermPriors, from: number, to: number): LogisticDesign {
  return designOf({ ...layout, terms }, mixture, rows, priors, from, to, (row) => (couldLeave(layout, rows, row) ? left[row] : null));
}

const eventsOf = ({ response }: LogisticDesign): number => response.reduce((all, each) => all + each, 0);

function leaveModelOf(terms: readonly Term[], model: StepModel): LeaveModel {
  const at = terms.findIndex((term) => term.kind === "intercept"), worlds = model.draws.length / terms.length;
  const draws = Float64Array.from({ length: worlds }, (_, world) => model.draws[world * terms.length + at]), mean = model.mean[at];
  return { logitMean: mean, logitSd: Math.sqrt(draws.reduce((all, each) => all + (each - mean) ** 2, 0) / worlds), draws, effects: { terms, model } };
}

/**
 * Leaving from data: a hierarchical regression over personas, stimuli, traits, features and matches, of the contacts after which the last step was not
 * reached. Null where nobody in the data was contacted. Nobody left, or everybody: the priors keep it finite.
 */
export function fitLeave(schema: Schema, layout: Layout, mixture: PersonaMixture, rows: ResponseRows, left: Uint8Array, options: { readonly worlds: number; readonly random: RandomStream }): LeaveModel | null {
  const terms = leaveTerms(layout), priors = leavePriors(schema, layout, terms, mixture), design = leaveDesign(layout, terms, mixture, rows, left, priors, 0, rows.persona.length);
  if (design.rows === 0) return null;
  const posterior = fitHierarchicalLogistic(design, options);
  return leaveModelOf(terms, stepModelOf(LEAVE, { ...layout, terms }, posterior, priors, { rows: design.rows, events: eventsOf(design) }, 0));
}

/** Leaving after rows from..to, where it was learned before: its last posterior is the next prior. Else as it was. */
export function updateLeave(leave: LeaveModel, schema: Schema, layout: Layout, mixture: PersonaMixture, rows: ResponseRows, from: number, to: number, options: { readonly worlds: number; readonly random: RandomStream; readonly forgetting: number }): LeaveModel {
  if (rows.left === undefined || leave.effects === undefined || !isLearned(leave)) return leave;
  const { terms, model } = leave.effects, priors = leavePriors(schema, layout, terms, mixture), design = leaveDesign(layout, terms, mixture, rows, rows.left, priors, from, to);
  if (design.rows === 0) return leave;
  const posterior = updateLogistic(posteriorOf(model, 0, 0), design, options);
  return leaveModelOf(terms, stepModelOf(LEAVE, { ...layout, terms }, posterior, priors, { rows: model.rows + design.rows, events: model.events + eventsOf(design) }, 0));
}
