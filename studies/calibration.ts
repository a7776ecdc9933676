import { RandomStream, betaFromDraws, binomialTail, leaveResponse, logistic, pastCellPit, pitSummary } from "@populace/domain";
import type { PersonaMixture, PitSummary, ResponseModel } from "@populace/domain";
import { pitOf } from "./exchange.ts";
import type { Model } from "./model.ts";
import { RatePredictor } from "./predict.ts";
import { couldLeave } from "./response-fit.ts";
import type { ResponseRows } from "./response-fit.ts";
import { calibrationError, logLossOf } from "./scores.ts";

/** Ranks of a parameter's truths among posterior draws, in ten bins. */
export interface CalibrationRanks { readonly parameter: string; readonly counts: readonly number[]; readonly pValue: number }

/** One family of posteriors held against known truth. */
export interface CalibrationFamily {
  readonly name: string;
  readonly method: "ranks" | "limits" | "coverage";
  readonly what: string;
  readonly figure: number;
  /** What the figure must reach (p-values, coverage) or stay below (limits). */
  readonly bound: number;
  readonly passed: boolean;
  readonly ranks: readonly CalibrationRanks[];
}

/** Predictions of a model beside what happened, and whether it may be released. */
export interface ModelCalibration {
  /** What the predictions were held against; a stated model has nothing to be held against. */
  readonly against: "rows of the fit" | "held-out rows" | "landed outcomes" | "nothing";
  readonly pit: PitSummary;
  /** Of the first step; null against landed outcomes, which are counts. */
  readonly ece: number | null;
  readonly logLoss: number | null;
  readonly verdict: "passed" | "failed" | "untested";
  /** Why it failed or could not be tested; empty when passed. */
  readonly reason: string;
}

/** Chance that a right model fails. */
const FAILURE_LEVEL = 0.001;
/** Landed cells from which they say more than the fit's own rows. */
const LANDED_MIN = 20;
/** Rows of a fit that are looked at again. */
const CHECK_ROWS_MAX = 4_000;
/** Exposures from which a cell is judged. */
const CELL_MIN = 20;

/** A verdict on predictions by where outcomes fell in them: failed when so many 90 % intervals missed that a right model would miss as many once in a thousand times. */
export function calibrationOf(against: ModelCalibration["against"], pits: readonly number[], scores: { readonly ece: number; readonly logLoss: number } | null): ModelCalibration {
  const pit = pitSummary(pits);
  const common = { against, pit, ece: scores?.ece ?? null, logLoss: scores?.logLoss ?? null };
  if (pits.length === 0) return { ...common, pit: { ...pit, coverage90: 0 }, verdict: "untested", reason: "no prediction has met an outcome" };
  const misses = Math.round((1 - pit.coverage90) * pits.length);
  const failed = binomialTail(misses, pits.length, 0.1) < FAILURE_LEVEL;
  return { ...common, verdict: failed ? "failed" : "passed", reason: failed ? `${misses} of ${pits.length} outcomes (${against}) lie outside their 90 % intervals; a right model misses one in ten` : "" };
}

/** A stated model's record: there is nothing to hold it against yet. */
export const UNTESTED: ModelCalibration = calibrationOf("nothing", [], null);

/**
 * Posterior predictive check of a fit on (at most 4,000 of) its own rows: each cell's responses (persona x stimulus x step, given the
 * step before, and leaving) in their beta-binomial prediction. Own rows flatter, so what fails here is a gross misfit. Rows drawn by their outcome or
 * weighted are not checked.
 */
export function fitCheck(model: { readonly mixture: PersonaMixture; readonly response: ResponseModel } & Pick<Model, "fit">, rows: ResponseRows, isWeighted: boolean): ModelCalibration {
  if (isWeighted) return { ...UNTESTED, against: "rows of the fit", reason: "rows drawn by weight or outcome are not checked against themselves" };
  const { stimuli, steps, worlds } = model.response;
  const width = model.mixture.codings.length, total = rows.persona.length;
  const step = Math.max(1, Math.ceil(total / CHECK_ROWS_MAX));
  const predictors = stimuli.map((stimulus) => new RatePredictor(model as Model, stimulus));
  const cells = new Map<number, { n: number; yes: number; sums: Float64Array }>();
  const leaving = rows.left === undefined ? [] : stimuli.map((stimulus) => new RatePredictor({ ...model, response: leaveResponse(model.response) } as Model, stimulus));
  const rates = new Float64Array(steps.length * worlds);
  const count = (row: number, k: number, response: number, rateOf: (world: number) => number): void => {
    const key = (rows.persona[row] * stimuli.length + rows.stimulus[row]) * (steps.length + 1) + k;
    let cell = cells.get(key);
    if (cell === undefined) cells.set(key, (cell = { n: 0, yes: 0, sums: new Float64Array(worlds) }));
    cell.n += 1;
    cell.yes += response;
    for (let w = 0; w < worlds; w += 1) cell.sums[w] += rateOf(w);
  };
  const predicted: number[] = [], observed: number[] = [];
  let loss = 0;
  for (let row = 0; row < total; row += step) {
    predictors[rows.stimulus[row]].rates(rows.codes, row * width, rows.persona[row], rates);
    for (let k = 0; k < steps.length; k += 1) {
      const reached = k === 0 || rows.outcomes[row * rows.steps + k - 1] === 1;
      if (k === 0) {
        let sum = 0;
        for (let w = 0; w < worlds; w += 1) sum += rates[w];
        predicted.push(sum / worlds);
        observed.push(rows.outcomes[row * rows.steps]);
        loss += logLossOf(sum / worlds, rows.outcomes[row * rows.steps]);
      }
      if (!reached) break;
      count(row, k, rows.outcomes[row * rows.steps + k], (w) => (k === 0 ? rates[w] : rates[k * worlds + w] / Math.max(rates[(k - 1) * worlds + w], Number.MIN_VALUE)));
    }
    if (rows.left === undefined || !couldLeave(model.response, rows, row)) continue;
    const logits = leaving[rows.stimulus[row]].logits(rows.codes, row * width, rows.persona[row], 0);
    count(row, steps.length, rows.left[row], (w) => logistic(logits[w]));
  }
  const random = RandomStream.of(model.fit.seed, "fit check");
  const pits = [...cells].toSorted(([a], [b]) => a - b).filter(([, cell]) => cell.n >= CELL_MIN).map(([, cell]) =>
    pastCellPit({ simulated: betaFromDraws(cell.sums.map((sum) => sum / cell.n)), exposures: cell.n, responses: cell.yes }, random.uniform()));
  return calibrationOf("rows of the fit", pits, { ece: calibrationError(predicted, observed), logLoss: loss / predicted.length });
}

/** The record after outcomes have landed: theirs from twenty cells on, else what it was. */
export const afterLanding = (model: Pick<Model, "calibration">, landed: Model["landed"]): ModelCalibration | null =>
  (landed.length < LANDED_MIN ? model.calibration : calibrationOf("landed outcomes", landed.map(pitOf), null));
