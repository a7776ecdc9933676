import { PopulaceError } from "@populace/domain";
import type { CellCounts } from "@populace/domain";
import { sha256Hex } from "@populace/io";
import type { LedgerPlan } from "@populace/protocol";
import { markedMixture } from "./exchange.ts";
import { mergePeriods } from "./forgetting.ts";
import type { Model, PeriodCounts } from "./model.ts";

/**
 * The plan of a model's ledger: its cells, and a hash of what decides whose an outcome is. What outcomes add to a model leaves that as it is, so a model and
 * what it learns share one ledger; other personas or stimuli have another.
 */
export function ledgerPlanOf(model: Model): LedgerPlan {
  return {
    model: model.name, fit: sha256Hex(new TextEncoder().encode(JSON.stringify(markedMixture(model.mixture, [])))),
    personas: model.mixture.personas.map((persona) => persona.id), stimuli: model.response.stimuli.map((stimulus) => stimulus.id), steps: model.response.steps.map((step) => step.name),
  };
}

/** Counts of a ledger's ticks from one on. */
export interface LedgerDelta {
  /** Run id of the ledger, and its last tick that is in the counts; -1 = it has none. */
  readonly run: string;
  readonly tick: number;
  readonly plan: LedgerPlan;
  /** By day and cell (personas x stimuli). */
  readonly counts: readonly { readonly day: number; readonly cell: number; readonly exposures: number; readonly responses: readonly number[] }[];
}

/** First tick of the ledger that this model has not taken. */
export const ledgerFrom = (model: Model, run: string): number => (model.ledger?.run === run ? model.ledger.tick + 1 : 0);

/**
 * The model after the outcomes of a ledger, whose ticks begin at `ledgerFrom`: integers added to the counts of its cells, each tick once; by day where
 * the schema has a calendar. They teach no exchange rate, for a gateway's contacts are chosen and not drawn. The same model when there are none. BAD_DATA for the
 * ledger of another model, and where the model forgets by another time than days.
 */
export function learnLedger(model: Model, { run, tick, plan, counts }: LedgerDelta): Model {
  const own = ledgerPlanOf(model), steps = own.steps.length, hasDays = (model.schema.time?.format ?? "index") !== "index";
  if (JSON.stringify(own) !== JSON.stringify(plan) || counts.some(({ cell, responses }) => cell >= own.personas.length * own.stimuli.length || responses.length !== steps)) {
    throw new PopulaceError("BAD_DATA", `ledger ${run.slice(0, 12)} counts the outcomes of another model (${plan.model}); learn with the one whose release took them`, { run });
  }
  if (model.halfLife !== null && !hasDays) throw new PopulaceError("BAD_DATA", `this model forgets outcomes by the number of rows, and a ledger knows days; learn with --half-life none first`, { run });
  if (counts.length === 0) return model;
  const cells = model.outcomes.map(({ exposures, responses }) => ({ exposures, responses }));
  for (const { cell, exposures, responses } of counts) {
    responses.forEach((count, step) => {
      cells[cell * steps + step].exposures += exposures;
      cells[cell * steps + step].responses += count;
    });
  }
  const periods = !hasDays ? model.periods : mergePeriods(model.periods, counts.map(({ day, ...rest }): PeriodCounts => ({ period: day, ...rest })));
  return { ...model, version: model.version + 1, outcomes: cells satisfies readonly CellCounts[], periods, ledger: { run, tick } };
}
