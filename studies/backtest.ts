import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { LEAVE, PopulaceError, RandomStream, assignRows, betaBinomialInterval, betaBinomialPit, amountMeanInterval, leaveResponse, qini } from "@populace/domain";
import type { PitSummary, Stimulus, StepModel } from "@populace/domain";
import { calibrationOf } from "./calibration.ts";
import type { ModelCalibration } from "./calibration.ts";
import type { Dataset } from "./dataset.ts";
import { selectRows } from "./dataset.ts";
import type { Model } from "./model.ts";
import { encodeDataset } from "./codings.ts";
import { likelihoodWeights, populationWeights, samplingShift } from "./response-fit.ts";
import { RatePredictor } from "./predict.ts";
import { auc, calibrationError, logLossOf } from "./scores.ts";
import { updatedModel } from "./update-response.ts";

export interface BacktestOptions {
  /** Group by these instead of personas: a column, or a comparison such as `recency<=6`. */
  readonly by?: readonly string[];
  /** Predict this many rows (in time order), then learn from them, and so on. */
  readonly rolling?: number;
  /**
   * Share of the past that each rolling update keeps, 0 to 1 (1 forgets nothing). Default: several memories side by side, each
   * world following one of them, in proportion to how well it has predicted so far.
   */
  readonly forgetting?: number;
  readonly allowSeen?: boolean;
  /** CSV file of every row's prediction for every stimulus and step. */
  readonly predictions?: string;
  readonly seed?: number;
  readonly onProgress?: (share: number) => void;
}

export interface BacktestCell {
  readonly group: string;
  /** Persona id; "*" when grouped by columns. */
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  /** Recipients; with sampling weights the effective number. */
  readonly exposures: number;
  readonly responses: number;
  readonly observed: number;
  readonly predicted: number;
  /** 90 % credible interval of the rate. */
  readonly rateLow: number;
  readonly rateHigh: number;
  /** 90 % predictive interval of the observed share. */
  readonly low: number;
  readonly high: number;
  /** Beta that the worlds' rates of this cell were matched to. */
  readonly alpha: number;
  readonly beta: number;
}

export interface StepScore { readonly step: string; readonly logLoss: number; readonly auc: number; readonly ece: number; readonly coverage90: number; readonly observed: number; readonly predicted: number }
export interface PolicyValue { readonly name: string; readonly step: string; readonly value: number; readonly se: number }

export interface ValueScore {
  readonly stimulus: string;
  readonly responders: number;
  /** Mean amount of responders, minor units: observed with its standard error, predicted with a 90 % predictive interval of the observed mean (of a model without `sigma`: a credible one). */
  readonly observed: number;
  readonly se: number;
  readonly predicted: number;
  readonly low: number;
  readonly high: number;
  /** The same per recipient: last step's rate x amount. */
  readonly perRecipient: { readonly recipients: number; readonly observed: number; readonly se: number; readonly predicted: number; readonly low: number; readonly high: number };
}

export interface BacktestResult {
  readonly rows: number;
  /** Rows left out because the fit had seen them. */
  readonly seen: number;
  readonly evidence: Model["evidence"];
  readonly cells: readonly BacktestCell[];
  readonly coverage90: number;
  /** Where the cells' outcomes fell in their predictions. */
  readonly pit: PitSummary;
  /** The verdict a release asks for. */
  readonly calibration: ModelCalibration;
  /** Scores of the first step; `steps` has them all. */
  readonly ece: number;
  readonly logLoss: number;
  readonly auc: number;
  readonly steps: readonly StepScore[];
  /** Estimates by inverse propensity weighting, first step first; empty with one stimulus. */
  readonly policies: readonly PolicyValue[];
  /** Contacted stimuli against no contact, first step, where both have recipients and somebody responded; empty without a no-contact stimulus. */
  readonly qini: readonly { readonly stimulus: string; readonly step: string; readonly value: number }[];
  readonly value: readonly ValueScore[];
  /** With `rolling`: log loss of the first step beside that of the model never updated, and the paired difference. */
  readonly rolling: { readonly every: number; readonly updates: number; readonly logLoss: number; readonly logLossSingle: number; readonly difference: number; readonly se: number; readonly auc: number; readonly aucSingle: number } | null;
}

/** Share of a file's rows that may have been in the fit by chance (equal rows) before the whole file is refused. */
const SEEN_SHARE_MAX = 0.01;

/**
 * Sets predictions beside what happened. Rows whose text was in the fit are left out; a file with more than 1 % of them is
 * refused (SEEN_ROWS) unless `allowSeen`. A response of a later step is counted per exposure, and so is leaving, which is judged as a step where the
 * data say who left: per contact, and nobody who came to the last step. Predictions of a cell are
 * averaged over its own recipients in every world; the predictive interval is beta-binomial at the cell's exposures.
 * Cost: rows x traits x worlds, times the stimuli when several exist.
 */
export function backtest(model: Model, dataset: Dataset, options: BacktestOptions = {}): BacktestResult {
  const { dataset: held, seen } = withoutSeen(model, dataset, options.allowSeen === true);
  return new Backtest(model, inOrder(held), options).run(seen);
}

/** The rows that the model was not fitted on, and how many it was; SEEN_ROWS as in `backtest`. */
export function withoutSeen(model: Model, dataset: Dataset, allowSeen: boolean): { readonly dataset: Dataset; readonly seen: number } {
  if (allowSeen) return { dataset, seen: 0 };
  const known = new Set(hashNumbers(model.fit.seen));
  const hashes = hashNumbers(dataset.hashes);
  const fresh: number[] = [];
  hashes.forEach((hash, row) => { if (!known.has(hash)) fresh.push(row); });
  const seen = dataset.rows - fresh.length;
  if (seen > SEEN_SHARE_MAX * dataset.rows || fresh.length === 0) {
    throw new PopulaceError("SEEN_ROWS", `${dataset.path}: ${seen} of ${dataset.rows} rows were in the fit of ${model.name}; a model is judged on rows it has not seen. Give held-out rows, or --allow-seen to look at the fit itself`, { seen, rows: dataset.rows });
  }
  return { dataset: seen === 0 ? dataset : selectRows(dataset, fresh), seen };
}

function hashNumbers(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 8 }, (_, i) => view.getBigUint64(i * 8));
}

/** Rows in time order where the schema has a time (rows without one last); else as they came. */
function inOrder(dataset: Dataset): Dataset {
  const { time } = dataset;
  if (time === null) return dataset;
  const order = Array.from({ length: dataset.rows }, (_, i) => i).toSorted((a, b) => (Number.isNaN(time[a]) ? Infinity : time[a]) - (Number.isNaN(time[b]) ? Infinity : time[b]) || a - b);
  return selectRows(dataset, order);
}

/** Two seeded parts of a dataset: about `fraction` of the rows, and the rest, each in file order. */
export function splitDataset(dataset: Dataset, fraction: number, seed: number): readonly [Dataset, Dataset] {
  const random = RandomStream.of(seed, "split");
  const order = Int32Array.from({ length: dataset.rows }, (_, i) => i);
  random.shuffle(order);
  const cut = Math.round(fraction * dataset.rows);
  return [selectRows(dataset, order.slice(0, cut).sort()), selectRows(dataset, order.slice(cut).sort())];
}

interface Grouping { readonly labels: readonly string[]; readonly persona: (group: number) => string; readonly of: Int32Array }

class Backtest {
  readonly #model: Model;
  readonly #data: Dataset;
  readonly #options: BacktestOptions;
  readonly #stimuli: readonly Stimulus[];
  readonly #codes: Int16Array;
  readonly #persona: Int32Array;
  readonly #weight: Float64Array | null;
  readonly #steps: number;
  /** The funnel's steps and, where the data say who left, leaving. */
  readonly #judged: readonly string[];
  readonly #traits: number;

  constructor(model: Model, data: Dataset, options: BacktestOptions) {
    this.#model = model;
    this.#data = data;
    this.#options = options;
    this.#stimuli = data.schema.stimulus.stimuli.length > 0 ? data.schema.stimulus.stimuli : model.response.stimuli;
    this.#codes = encodeDataset(data, model.mixture.codings).codes;
    this.#traits = model.mixture.codings.length;
    this.#persona = this.#traits === 0 ? new Int32Array(data.rows) : assignRows(model.mixture, this.#codes);
    this.#weight = populationWeights(data);
    this.#steps = data.schema.funnel.length;
    this.#judged = [...data.schema.funnel.map(({ name }) => name), ...(data.left === null ? [] : [LEAVE])];
    if (this.#steps !== model.response.stepModels.length) throw new PopulaceError("BAD_DATA", `${data.path}: read with ${this.#steps} funnel steps, the model has ${model.response.stepModels.length}; read it with the model's schema`);
  }

  run(seen: number): BacktestResult {
    const { rows, stimulus } = this.#data;
    const { seed = 1, rolling } = this.#options;
    const worlds = this.#model.response.worlds, steps = this.#judged.length;
    const grouping = this.#grouping();
    const cells = new Map<number, CellSum>();
    // Mean prediction of every row for its own stimulus, and for every stimulus (policies, files): rows x stimuli x steps.
    const arms = this.#stimuli.length;
    const predicted = new Float64Array(rows * arms * steps);
    const single = rolling === undefined ? null : new Float64Array(rows);
    const amounts = new AmountSums(this.#model, this.#stimuli);
    const file = this.#options.predictions === undefined ? null : new PredictionFile(this.#options.predictions);
    const rates = new Float64Array(steps * worlds);
    let updates = 0;
    let memories: readonly Memory[] = (this.#options.forgetting === undefined ? MEMORIES : [this.#options.forgetting]).map((keeps) => ({ keeps, model: this.#model, score: 0 }));
    let predictors = this.#predictors(this.#model, seed);
    const first = predictors;
    try {
      for (let row = 0; row < rows; row++) {
        if (rolling !== undefined && row > 0 && row % rolling === 0) {
          memories = this.#remember(memories, row - rolling, row, seed + updates);
          predictors = this.#predictors(mixed(this.#model, memories, seed + updates), seed);
          updates++;
        }
        for (let arm = 0; arm < arms; arm++) {
          this.#rates(predictors[arm], row, rates);
          for (let step = 0; step < steps; step++) {
            let sum = 0;
            for (let w = step * worlds; w < (step + 1) * worlds; w++) sum += rates[w];
            predicted[(row * arms + arm) * steps + step] = sum / worlds;
          }
          file?.add(this.#data.rowNumber[row], this.#stimuli[arm].id, this.#judged.filter((_, step) => this.#concerns(arm, step)), rates, worlds);
          if (arm !== stimulus[row]) continue;
          this.#addToCells(cells, grouping.of[row], row, arm, rates);
          amounts.add(this.#data, row, this.#persona[row], rates, this.#weight);
        }
        if (single !== null) {
          this.#rates(first[stimulus[row]], row, rates);
          for (let w = 0; w < worlds; w++) single[row] += rates[w] / worlds;
        }
        if (row % 2048 === 0) this.#options.onProgress?.(row / rows);
      }
      file?.finish();
    } catch (cause) {
      file?.abandon();
      throw cause;
    }
    this.#options.onProgress?.(1);
    const finished = [...cells.values()].map((cell) => finishCell(cell, grouping, this.#stimuli, this.#judged)).toSorted((a, b) => a.order - b.order).map(({ cell }) => cell);
    const covered = (part: readonly BacktestCell[]): number => part.filter((cell) => cell.observed >= cell.low - 1e-12 && cell.observed <= cell.high + 1e-12).length / part.length;
    const scores = this.#judged.map((name, step): StepScore => {
      const judged = Array.from({ length: rows }, (_, row) => row).filter((row) => this.#concerns(stimulus[row], step));
      const p = Float64Array.from(judged, (row) => predicted[(row * arms + stimulus[row]) * steps + step]), y = Uint8Array.from(judged, (row) => this.#outcome(row, step)), w = this.#weight === null ? null : Float64Array.from(judged, (row) => this.#weight![row]);
      const mean = (value: (at: number) => number): number => {
        let sum = 0, total = 0;
        for (let at = 0; at < p.length; at++) { sum += (w === null ? 1 : w[at]) * value(at); total += w === null ? 1 : w[at]; }
        return sum / total;
      };
      return { step: name, logLoss: mean((at) => logLossOf(p[at], y[at])), auc: auc(p, y, w), ece: calibrationError(p, y, w), coverage90: covered(finished.filter((cell) => cell.step === name)), observed: mean((at) => y[at]), predicted: mean((at) => p[at]) };
    });
    const ofFirst = (): { readonly predicted: Float64Array; readonly outcome: Uint8Array } => ({
      predicted: Float64Array.from({ length: rows }, (_, row) => predicted[(row * arms + stimulus[row]) * steps]), outcome: Uint8Array.from({ length: rows }, (_, row) => this.#outcome(row, 0)),
    });
    const ties = RandomStream.of(seed, "backtest pit");
    const pits = finished.map(({ alpha, beta, exposures, observed }) => betaBinomialPit(Math.round(observed * exposures), exposures, alpha, beta, ties.uniform()));
    const calibration = calibrationOf(this.#options.allowSeen === true ? "rows of the fit" : "held-out rows", pits, scores[0]);
    return {
      rows,
      seen,
      evidence: this.#model.evidence,
      pit: calibration.pit,
      calibration,
      cells: finished,
      coverage90: covered(finished),
      ece: scores[0].ece,
      logLoss: scores[0].logLoss,
      auc: scores[0].auc,
      steps: scores,
      policies: this.#policies(predicted),
      qini: this.#qini(predicted, ofFirst().outcome),
      value: amounts.finish(this.#stimuli),
      rolling: single === null ? null : rollingScore(rolling as number, updates, ofFirst().predicted, single, ofFirst().outcome),
    };
  }

  #predictors(model: Model, seed: number): readonly ArmPredictor[] {
    const leaving: Model = { ...model, response: leaveResponse(model.response) };
    return this.#stimuli.map((stimulus, arm): ArmPredictor => ({ steps: new RatePredictor(model, stimulus, seed), leaving: this.#concerns(arm, this.#steps) && this.#judged.length > this.#steps ? new RatePredictor(leaving, stimulus, seed) : null }));
  }

  /** Only contacts make anyone leave. */
  #concerns(arm: number, step: number): boolean {
    return step < this.#steps || this.#stimuli[arm].contact;
  }

  /** Whether a row came to a step; who came to the last one did not leave. */
  #outcome(row: number, step: number): number {
    const { outcomes, left } = this.#data, steps = this.#steps;
    return step < steps ? outcomes[row * steps + step] : left![row] * (1 - outcomes[(row + 1) * steps - 1]);
  }

  /** Writes the chance per exposure of every judged step and world into `into`. */
  #rates({ steps, leaving }: ArmPredictor, row: number, into: Float64Array): void {
    steps.rates(this.#codes, row * this.#traits, this.#persona[row], into);
    if (leaving === null) return;
    const logit = leaving.logits(this.#codes, row * this.#traits, this.#persona[row], 0), worlds = logit.length, last = (this.#steps - 1) * worlds;
    for (let w = 0; w < worlds; w++) into[last + worlds + w] = (1 - into[last + w]) / (1 + Math.exp(-logit[w]));
  }

  #grouping(): Grouping {
    const by = this.#options.by ?? [];
    if (by.length === 0) return { labels: this.#model.mixture.personas.map((persona) => persona.name), persona: (group) => this.#model.mixture.personas[group].id, of: this.#persona };
    const parts = by.map((each) => labelsOf(this.#data, each));
    const labels: string[] = [], indexOf = new Map<string, number>();
    const of = Int32Array.from({ length: this.#data.rows }, (_, row) => {
      const label = parts.map((part, i) => `${by[i]}=${part(row)}`).join(", ");
      let index = indexOf.get(label);
      if (index === undefined) { index = labels.push(label) - 1; indexOf.set(label, index); }
      return index;
    });
    return { labels, persona: () => "*", of };
  }

  #addToCells(cells: Map<number, CellSum>, group: number, row: number, arm: number, rates: Float64Array): void {
    const worlds = this.#model.response.worlds, steps = this.#judged.length, w = this.#weight === null ? 1 : this.#weight[row];
    for (let step = 0; step < steps; step++) {
      if (!this.#concerns(arm, step)) continue;
      const key = (group * this.#stimuli.length + arm) * steps + step;
      let cell = cells.get(key);
      if (cell === undefined) { cell = { key, group, arm, step, n: 0, weight: 0, squares: 0, responses: 0, yes: 0, rates: new Float64Array(worlds) }; cells.set(key, cell); }
      cell.n++;
      cell.weight += w;
      cell.squares += w * w;
      cell.responses += this.#outcome(row, step);
      cell.yes += w * this.#outcome(row, step);
      for (let i = 0; i < worlds; i++) cell.rates[i] += w * rates[step * worlds + i];
    }
  }

  /** Scores each memory on rows from..to, which it had not seen, and lets it learn them. */
  #remember(memories: readonly Memory[], from: number, to: number, seed: number): readonly Memory[] {
    const { outcomes, stimulus } = this.#data, steps = this.#steps, worlds = this.#model.response.worlds;
    const rates = new Float64Array(this.#judged.length * worlds);
    return memories.map((memory) => {
      let logLikelihood = 0;
      if (memories.length > 1) {
        const predictors = this.#predictors(memory.model, seed);
        for (let row = from; row < to; row++) {
          this.#rates(predictors[stimulus[row]], row, rates);
          let sum = 0;
          for (let w = 0; w < worlds; w++) sum += rates[w];
          logLikelihood -= logLossOf(sum / worlds, outcomes[row * steps]);
        }
      }
      return { keeps: memory.keeps, score: MEMORY_DECAY * memory.score + logLikelihood, model: memory.keeps === null ? memory.model : this.#updated(memory.model, from, to, seed, memory.keeps) };
    });
  }

  /** The model after rows from..to. */
  #updated(model: Model, from: number, to: number, seed: number, forgetting: number): Model {
    const rows = { codes: this.#codes, persona: this.#persona, stimulus: this.#data.stimulus, outcomes: this.#data.outcomes, steps: this.#steps, weight: likelihoodWeights(this.#data), ...(this.#data.left === null ? {} : { left: this.#data.left }) };
    return updatedModel(model, rows, from, to, { seed, forgetting, shift: samplingShift(this.#data.schema, this.#data) });
  }

  #policies(predicted: Float64Array): readonly PolicyValue[] {
    const arms = this.#stimuli.length, steps = this.#judged.length, { rows, stimulus } = this.#data;
    if (arms < 2) return [];
    const shares = new Float64Array(arms);
    for (let row = 0; row < rows; row++) shares[stimulus[row]] += (this.#weight?.[row] ?? 1);
    const total = shares.reduce((sum, share) => sum + share, 0);
    const propensity = (row: number): number => this.#data.propensity?.[row] ?? shares[stimulus[row]] / total;
    const valueOf = (step: number, share: (row: number) => number): { value: number; se: number } => {
      let sum = 0, squares = 0, weights = 0;
      const terms = new Float64Array(rows);
      for (let row = 0; row < rows; row++) {
        const w = this.#weight?.[row] ?? 1;
        terms[row] = (share(row) * this.#outcome(row, step)) / propensity(row);
        sum += w * terms[row];
        weights += w;
      }
      const mean = sum / weights;
      for (let row = 0; row < rows; row++) squares += ((this.#weight?.[row] ?? 1) * (terms[row] - mean)) ** 2;
      return { value: mean, se: Math.sqrt(squares) / weights };
    };
    return this.#data.schema.funnel.flatMap(({ name }, step) => {
      const best = Int32Array.from({ length: rows }, (_, row) => {
        let top = 0;
        for (let arm = 1; arm < arms; arm++) if (predicted[(row * arms + arm) * steps + step] > predicted[(row * arms + top) * steps + step]) top = arm;
        return top;
      });
      const label = (text: string): string => (step === 0 ? text : `${text} (${name})`);
      return [
        { name: label("best predicted"), step: name, ...valueOf(step, (row) => (best[row] === stimulus[row] ? 1 : 0)) },
        ...this.#stimuli.map((each, arm) => ({ name: label(`always ${each.id}`), step: name, ...valueOf(step, (row) => (stimulus[row] === arm ? 1 : 0)) })),
        { name: label("random"), step: name, ...valueOf(step, () => 1 / arms) },
      ];
    });
  }

  #qini(predicted: Float64Array, outcome: Uint8Array): BacktestResult["qini"] {
    const arms = this.#stimuli.length, steps = this.#judged.length;
    const control = this.#stimuli.findIndex((stimulus) => !stimulus.contact);
    if (control < 0) return [];
    return this.#stimuli.flatMap((stimulus, arm) => {
      if (arm === control) return [];
      const rows: number[] = [];
      for (let row = 0; row < this.#data.rows; row++) if (this.#data.stimulus[row] === arm || this.#data.stimulus[row] === control) rows.push(row);
      const uplift = Float64Array.from(rows, (row) => predicted[(row * arms + arm) * steps] - predicted[(row * arms + control) * steps]);
      const { coefficient } = qini(Uint8Array.from(rows, (row) => outcome[row]), uplift, Uint8Array.from(rows, (row) => (this.#data.stimulus[row] === arm ? 1 : 0)));
      return Number.isNaN(coefficient) ? [] : [{ stimulus: stimulus.id as string, step: this.#data.schema.funnel[0].name, value: coefficient }];
    });
  }
}

/** Predictors of one stimulus: of the funnel's steps, and of leaving where it is judged. */
interface ArmPredictor { readonly steps: RatePredictor; readonly leaving: RatePredictor | null }

/** One way of remembering: the share of the past that each update keeps, null = never updated. */
interface Memory { readonly keeps: number | null; readonly model: Model; readonly score: number }

const MEMORIES: readonly (number | null)[] = [null, 1, 0.5, 0.2];
/** Older predictions count less in a memory's score, so that the mixture can turn when the world does. */
const MEMORY_DECAY = 0.5;
/** Rows of one stretch share their moment, so a thousand of them are no thousand independent votes: scores are tempered. */
const MEMORY_TEMPER = 0.1;

/** The model whose world w follows one memory, memories having worlds in proportion to exp(MEMORY_TEMPER * score). */
function mixed(model: Model, memories: readonly Memory[], seed: number): Model {
  const best = Math.max(...memories.map((memory) => memory.score));
  const weights = memories.map((memory) => Math.exp(MEMORY_TEMPER * (memory.score - best)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const { worlds, terms } = model.response, columns = terms.length;
  const random = RandomStream.of(seed, "memories");
  const order = Int32Array.from({ length: worlds }, (_, w) => w);
  random.shuffle(order);
  const memoryOf = new Int32Array(worlds);
  order.forEach((w, i) => {
    let rest = ((i + 0.5) / worlds) * total, at = 0;
    while (at < memories.length - 1 && rest > weights[at]) rest -= weights[at++];
    memoryOf[w] = at;
  });
  const drawsOf = (width: number, of: (memory: Memory) => Float64Array): Float64Array => {
    const draws = new Float64Array(worlds * width);
    for (let w = 0; w < worlds; w++) draws.set(of(memories[memoryOf[w]]).subarray(w * width, (w + 1) * width), w * width);
    return draws;
  };
  const stepModels = model.response.stepModels.map((step, index): StepModel => ({ ...step, draws: drawsOf(columns, (memory) => memory.model.response.stepModels[index].draws) }));
  const { leave } = model.response, { effects } = leave;
  return { ...model, response: { ...model.response, stepModels, leave: effects === undefined ? leave : { ...leave, effects: { ...effects, model: { ...effects.model, draws: drawsOf(effects.terms.length, (memory) => memory.model.response.leave.effects!.model.draws) } } } } };
}

interface CellSum { readonly key: number; readonly group: number; readonly arm: number; readonly step: number; n: number; weight: number; squares: number; responses: number; yes: number; readonly rates: Float64Array }

function finishCell(cell: CellSum, grouping: Grouping, stimuli: readonly Stimulus[], steps: readonly string[]): { readonly order: number; readonly cell: BacktestCell } {
  const rates = cell.rates.map((sum) => sum / cell.weight);
  const exposures = Math.max(1, Math.round((cell.weight * cell.weight) / cell.squares));
  const { mean, alpha, beta } = matchedBeta(rates);
  const sorted = rates.toSorted();
  const predictive = betaBinomialInterval(exposures, alpha, beta);
  return {
    order: cell.key,
    cell: {
      group: grouping.labels[cell.group],
      persona: grouping.persona(cell.group),
      stimulus: stimuli[cell.arm].id,
      step: steps[cell.step],
      exposures,
      responses: cell.responses,
      observed: cell.yes / cell.weight,
      predicted: mean,
      rateLow: quantile(sorted, 0.05),
      rateHigh: quantile(sorted, 0.95),
      low: predictive.low / exposures,
      high: predictive.high / exposures,
      alpha,
      beta,
    },
  };
}

/** The Beta with the mean and variance of the given rates. */
export function matchedBeta(rates: ArrayLike<number>): { readonly mean: number; readonly alpha: number; readonly beta: number } {
  let sum = 0, squares = 0;
  for (let i = 0; i < rates.length; i++) sum += rates[i];
  const mean = Math.min(1 - 1e-9, Math.max(1e-9, sum / rates.length));
  for (let i = 0; i < rates.length; i++) squares += (rates[i] - mean) ** 2;
  const variance = squares / Math.max(1, rates.length - 1);
  // Between "everything is possible" and a rate known to four digits.
  const size = Math.min(1e8, Math.max(0.01, (mean * (1 - mean)) / Math.max(variance, 1e-18) - 1));
  return { mean, alpha: mean * size, beta: (1 - mean) * size };
}

const quantile = (sorted: ArrayLike<number>, p: number): number => {
  const at = p * (sorted.length - 1), below = Math.floor(at), above = Math.min(sorted.length - 1, below + 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
};

function rollingScore(every: number, updates: number, rolled: Float64Array, single: Float64Array, outcome: Uint8Array): NonNullable<BacktestResult["rolling"]> {
  const rows = rolled.length;
  let sum = 0, sumSingle = 0, squares = 0;
  for (let row = 0; row < rows; row++) {
    const a = logLossOf(rolled[row], outcome[row]), b = logLossOf(single[row], outcome[row]);
    sum += a;
    sumSingle += b;
    squares += (a - b) ** 2;
  }
  const difference = (sum - sumSingle) / rows;
  return { every, updates, logLoss: sum / rows, logLossSingle: sumSingle / rows, difference, se: Math.sqrt(Math.max(0, squares / rows - difference ** 2) / rows), auc: auc(rolled, outcome), aucSingle: auc(single, outcome) };
}

const COMPARISON = /^(.+?)(<=|>=|<|>)(-?[\d.]+)$/;

/** The label of each row for one `--by`: an attribute, a kept column, or a comparison of an attribute with a number. */
function labelsOf(data: Dataset, by: string): (row: number) => string {
  const comparison = COMPARISON.exec(by);
  const name = comparison === null ? by : comparison[1];
  const index = data.schema.attributes.findIndex((attribute) => attribute.name === name || attribute.column === name);
  const column = index >= 0 ? data.columns[index] : undefined;
  const kept = Object.hasOwn(data.kept, name) ? data.kept[name] : undefined;
  if (column === undefined && kept === undefined) {
    throw new PopulaceError("BAD_USAGE", `--by ${by}: no attribute "${name}" in the schema; it knows ${data.schema.attributes.map((attribute) => attribute.name).join(", ")}`, { by });
  }
  const text = (row: number): string => {
    if (column?.kind === "number") return Number.isNaN(column.values[row]) ? "missing" : String(column.values[row]);
    const source = column?.kind === "text" ? column : kept!;
    return source.codes[row] < 0 ? "missing" : source.dictionary[source.codes[row]];
  };
  if (comparison === null) return text;
  const limit = Number(comparison[3]), operator = comparison[2];
  return (row) => {
    const value = Number(text(row));
    if (Number.isNaN(value)) return "missing";
    return String(operator === "<=" ? value <= limit : operator === ">=" ? value >= limit : operator === "<" ? value < limit : value > limit);
  };
}

/** Columns a `--by` names that are no attributes of the schema: to be kept when the file is read. */
export function columnsToKeep(schema: { readonly attributes: readonly { readonly name: string; readonly column: string }[] }, by: readonly string[]): readonly string[] {
  return by.map((each) => COMPARISON.exec(each)?.[1] ?? each).filter((name) => !schema.attributes.some((attribute) => attribute.name === name || attribute.column === name));
}

/** Sums over rows of the amounts' expectations and variances, one a world. */
interface AmountMoments { readonly mean: Float64Array; readonly variance: Float64Array }

/** Sums of amounts by stimulus: of responders, and per recipient. */
class AmountSums {
  readonly #model: Model;
  /** Index in the model of each of the data's stimuli, -1 = never seen. */
  readonly #known: readonly number[];
  /** Variance of an amount over its squared expectation, one a world. */
  readonly #inflation: Float64Array;
  readonly #arms: { n: number; weight: number; sum: number; squares: number; responders: number; amount: number; amountSquares: number; predicted: AmountMoments; expected: AmountMoments }[];

  constructor(model: Model, stimuli: readonly Stimulus[]) {
    this.#model = model;
    this.#known = stimuli.map((stimulus) => model.response.stimuli.findIndex((other) => other.id === stimulus.id));
    const moments = (): AmountMoments => ({ mean: new Float64Array(model.response.worlds), variance: new Float64Array(model.response.worlds) });
    this.#inflation = Float64Array.from({ length: model.response.worlds }, (_, world) => Math.expm1((model.value?.sigma?.[world] ?? 0) ** 2));
    this.#arms = stimuli.map(() => ({ n: 0, weight: 0, sum: 0, squares: 0, responders: 0, amount: 0, amountSquares: 0, predicted: moments(), expected: moments() }));
  }

  add(data: Dataset, row: number, persona: number, rates: Float64Array, weights: Float64Array | null): void {
    const { value } = this.#model;
    const stimuli = this.#model.response.stimuli.length, worlds = this.#model.response.worlds;
    const stimulus = this.#known[data.stimulus[row]];
    if (value === null || data.value === null || stimulus < 0) return;
    const arm = this.#arms[data.stimulus[row]], steps = data.schema.funnel.length, w = weights === null ? 1 : weights[row];
    const responded = data.outcomes[row * steps + steps - 1] === 1 && data.value[row] > 0;
    const amount = responded ? data.value[row] : 0;
    const cells = this.#model.mixture.personas.length * stimuli, cell = persona * stimuli + stimulus;
    arm.n++;
    arm.weight += w;
    arm.sum += w * amount;
    arm.squares += w * amount * amount;
    if (responded) { arm.responders++; arm.amount += amount; arm.amountSquares += amount * amount; }
    for (let i = 0; i < worlds; i++) {
      const expected = value.draws[i * cells + cell], rate = rates[(steps - 1) * worlds + i], square = expected * expected, inflation = this.#inflation[i];
      arm.predicted.mean[i] += w * rate * expected;
      // Whether somebody responds is as uncertain as how much.
      if (value.sigma !== undefined) arm.predicted.variance[i] += w * w * rate * square * (1 + inflation - rate);
      if (!responded) continue;
      arm.expected.mean[i] += expected;
      arm.expected.variance[i] += square * inflation;
    }
  }

  finish(stimuli: readonly Stimulus[]): readonly ValueScore[] {
    return this.#arms.flatMap((arm, index): ValueScore[] => {
      if (arm.n === 0 || arm.responders === 0) return [];
      const sd = (sum: number, squares: number, n: number): number => Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2) / n);
      const summary = ({ mean, variance }: AmountMoments, n: number): { predicted: number; low: number; high: number } => {
        const { mean: predicted, low, high } = amountMeanInterval(mean.map((sum) => sum / n), variance.map((sum) => sum / (n * n)));
        return { predicted, low, high };
      };
      return [{
        stimulus: stimuli[index].id,
        responders: arm.responders,
        observed: arm.amount / arm.responders,
        se: sd(arm.amount, arm.amountSquares, arm.responders),
        ...summary(arm.expected, arm.responders),
        perRecipient: { recipients: arm.n, observed: arm.sum / arm.weight, se: sd(arm.sum, arm.squares, arm.weight), ...summary(arm.predicted, arm.weight) },
      }];
    });
  }
}

/** `row,stimulus,step,predicted,low,high`: row is the 1-based number of the data row; low and high hold the rate with 90 %. */
class PredictionFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: number;
  #lines: string[] = ["row,stimulus,step,predicted,low,high\n"];

  constructor(path: string) {
    this.#path = path;
    this.#temporary = `${path}.${process.pid}.tmp`;
    try {
      this.#file = openSync(this.#temporary, "w");
    } catch (cause) {
      throw new PopulaceError("STORE_FAILED", `${path}: cannot be written (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name a file in a writable folder`, { file: path }, cause);
    }
  }

  add(row: number, stimulus: string, steps: readonly string[], rates: Float64Array, worlds: number): void {
    steps.forEach((name, step) => {
      const sorted = rates.slice(step * worlds, (step + 1) * worlds).sort();
      const mean = sorted.reduce((sum, rate) => sum + rate, 0) / worlds;
      this.#lines.push(`${row},${csvText(stimulus)},${csvText(name)},${mean.toPrecision(7)},${quantile(sorted, 0.05).toPrecision(7)},${quantile(sorted, 0.95).toPrecision(7)}\n`);
    });
    if (this.#lines.length > 10_000) this.#flush();
  }

  #flush(): void {
    writeSync(this.#file, this.#lines.join(""));
    this.#lines = [];
  }

  finish(): void {
    this.#flush();
    closeSync(this.#file);
    renameSync(this.#temporary, this.#path);
  }

  abandon(): void {
    closeSync(this.#file);
    rmSync(this.#temporary, { force: true });
  }
}

const csvText = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
