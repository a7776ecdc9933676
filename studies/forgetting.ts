import { betaLogMarginal, retention } from "@populace/domain";
import type { CellCounts } from "@populace/domain";
import type { Dataset } from "./dataset.ts";
import type { Model, PeriodCounts } from "./model.ts";
import type { Schema } from "./schema.ts";

const DAY_MS = 86_400_000;
/** Rows of an index time that make a period. */
const INDEX_PERIOD = 100;

/** Length of a period in the schema's unit of time: a day, or 100 rows where time is an index. */
export const periodLength = (schema: Schema): number => (schema.time?.format === "index" ? INDEX_PERIOD : 1);

/** The period of each row; a row without a time counts as the latest of its file. Null where the schema has no time. */
export function periodsOf(dataset: Dataset): Int32Array | null {
  const { time, schema } = dataset;
  if (time === null || schema.time === null) return null;
  const latest = time.reduce((top, each) => (each > top ? each : top), -Infinity);
  if (latest === -Infinity) return null;
  const unit = schema.time.format === "index" ? INDEX_PERIOD : DAY_MS;
  return Int32Array.from(time, (each) => Math.floor((Number.isNaN(each) ? latest : each) / unit));
}

/** Period of the latest row; null without a time. */
export function latestPeriod(dataset: Dataset): number | null {
  const periods = periodsOf(dataset);
  return periods === null || periods.length === 0 ? null : periods.reduce((top, each) => Math.max(top, each), periods[0]);
}

/** The model's moment: the latest period of anything in it; null without a time. */
function nowOf(model: Model): number | null {
  const last = model.periods.at(-1)?.period ?? null;
  return last === null ? model.fit.latest : Math.max(last, model.fit.latest ?? last);
}

/**
 * Counts of every cell as they weigh now: raw without a half-life, else each period's by 2^(-age / half-life). What is left of the
 * response model's own evidence is `kept`, 0 to 1.
 */
export function weighedOutcomes(model: Model): { readonly outcomes: readonly CellCounts[]; readonly kept: number } {
  const now = nowOf(model);
  if (model.halfLife === null || now === null) return { outcomes: model.outcomes, kept: 1 };
  const steps = model.response.steps.length, length = periodLength(model.schema), { halfLife } = model;
  const weigh = (period: number): number => retention((now - period) * length, halfLife);
  const sums = model.outcomes.map(() => ({ exposures: 0, responses: 0 }));
  for (const { period, cell, exposures, responses } of model.periods) {
    const weight = weigh(period);
    responses.forEach((count, step) => {
      const sum = sums[cell * steps + step];
      sum.exposures += weight * exposures;
      sum.responses += weight * count;
    });
  }
  return { outcomes: sums, kept: model.fit.latest === null ? 1 : weigh(model.fit.latest) };
}

/** Half-lives that are tried, in days or thousands of rows; the last forgets nothing. */
const HALF_LIVES = [7, 14, 30, 60, 90, 180, 365, Infinity];
/** A shorter memory must foretell better by a factor of e^3 (Bayes factor 20), or nothing is forgotten. */
const GAIN_MIN = 3;

/**
 * The half-life under which each period's counts were foretold best by the periods before it (product of one-step beta-binomial
 * predictives, West and Harrison's power discount), in the schema's unit of time; null when no shorter memory is better by a Bayes
 * factor of 20. Cells without earlier periods start from Beta(1, 1). Cost: periods x cells x half-lives.
 */
export function chosenHalfLife(periods: readonly PeriodCounts[], schema: Schema): number | null {
  const length = periodLength(schema), unit = schema.time?.format === "index" ? 1000 : 1;
  const scores = HALF_LIVES.map((days) => logPredictive(periods, (days * unit) / length));
  const best = scores.reduce((top, score, at) => (score > scores[top] ? at : top), scores.length - 1);
  return scores[best] - scores[scores.length - 1] < GAIN_MIN ? null : HALF_LIVES[best] * unit;
}

/** log P of all periods, each given those before it; `halfLife` in periods. Steps are judged given the step before. */
function logPredictive(periods: readonly PeriodCounts[], halfLife: number): number {
  const memory = new Map<string, { at: number; yes: number; no: number }>();
  let sum = 0;
  for (const { period, cell, exposures, responses } of periods) {
    responses.forEach((count, step) => {
      const reached = step === 0 ? exposures : responses[step - 1];
      if (reached === 0) return;
      const key = `${cell} ${step}`;
      const known = memory.get(key) ?? { at: period, yes: 0, no: 0 };
      const kept = retention(period - known.at, halfLife);
      const [yes, no] = [known.yes * kept, known.no * kept];
      sum += betaLogMarginal({ alpha: 1 + yes, beta: 1 + no }, count, reached);
      memory.set(key, { at: period, yes: yes + count, no: no + reached - count });
    });
  }
  return sum;
}

/** Period counts with others added (`sign` 1) or taken out (-1), ordered by period and cell; entries left empty disappear. */
export function mergePeriods(a: readonly PeriodCounts[], b: readonly PeriodCounts[], sign: 1 | -1 = 1): readonly PeriodCounts[] {
  const merged = new Map(a.map((each) => [`${each.period} ${each.cell}`, each]));
  for (const each of b) {
    const key = `${each.period} ${each.cell}`, known = merged.get(key);
    const exposures = (known?.exposures ?? 0) + sign * each.exposures;
    if (exposures === 0) merged.delete(key);
    else merged.set(key, { period: each.period, cell: each.cell, exposures, responses: each.responses.map((count, step) => (known?.responses[step] ?? 0) + sign * count) });
  }
  return [...merged.values()].toSorted((x, y) => x.period - y.period || x.cell - y.cell);
}
