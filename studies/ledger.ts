import { PopulaceError } from "@populace/domain";
import type { CellCounts } from "@populace/domain";
import { sha256Hex } from "@populace/io";
import { ledgerColumns, type LedgerPlan } from "@populace/protocol";
import { modelText } from "./model-file.ts";
import type { Model } from "./model.ts";

/**
 * The plan of a model's ledger. What outcomes add to a model leaves it as it is, so a model and what it learns share one ledger; another fit, or another
 * set of personas or stimuli, has another.
 */
export function ledgerPlanOf(model: Model): LedgerPlan {
  const { ledger: _taken, ...rest } = model;
  const fit: Model = { ...rest, version: 0, outcomes: [], shocks: [], exchangeRate: { a0: 0, low: 0, high: 0, learned: false }, fit: { ...model.fit, seen: new Uint8Array(0) } };
  return {
    model: model.name, fit: sha256Hex(new TextEncoder().encode(modelText(fit))),
    personas: model.mixture.personas.map((persona) => persona.id), stimuli: model.response.stimuli.map((stimulus) => stimulus.id), steps: model.response.steps.map((step) => step.name),
  };
}

/** Counts of a ledger's ticks from one on. */
export interface LedgerDelta {
  /** Run id of the ledger, and its last tick that is in the counts; -1 = it has none. */
  readonly run: string;
  readonly tick: number;
  readonly plan: LedgerPlan;
  /** personas x stimuli x (exposures, responses of each step). */
  readonly counts: Float64Array;
}

/** First tick of the ledger that this model has not taken. */
export const ledgerFrom = (model: Model, run: string): number => (model.ledger?.run === run ? model.ledger.tick + 1 : 0);

/**
 * The model after the outcomes of a ledger, whose ticks begin at `ledgerFrom`: integers added to the counts of its cells, each tick once. The same model
 * when there are none. BAD_DATA for the ledger of another model.
 */
export function learnLedger(model: Model, { run, tick, plan, counts }: LedgerDelta): Model {
  const own = ledgerPlanOf(model), columns = ledgerColumns(own), steps = columns - 1;
  if (JSON.stringify(own) !== JSON.stringify(plan) || counts.length !== own.personas.length * own.stimuli.length * columns) {
    throw new PopulaceError("BAD_DATA", `ledger ${run.slice(0, 12)} counts the outcomes of another fit (${plan.model}); learn with the model whose release took them`, { run });
  }
  if (!counts.some((count) => count > 0)) return model;
  const outcomes = model.outcomes.map((cell, at): CellCounts => {
    const row = Math.floor(at / steps) * columns;
    return { exposures: cell.exposures + counts[row], responses: cell.responses + counts[row + 1 + (at % steps)] };
  });
  return { ...model, version: model.version + 1, outcomes, ledger: { run, tick } };
}
