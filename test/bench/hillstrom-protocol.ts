// Hillstrom's e-mail campaign: fit on one half, predict the other, on cells fixed beforehand. The comparisons and the fixed
// cells are those of the project's table of numbers to beat; the data stay outside the repository.
import { RandomStream, assignRows, betaBinomialPit } from "@populace/domain";
import { RatePredictor, backtest, encodeDataset, fitModel, selectRows, splitDataset } from "@populace/studies";
import type { BacktestCell, Dataset, Model } from "@populace/studies";

/** Judged on these cells x arms, predictions averaged over each cell's recipients: nothing the model itself chose. */
const CELLS_BY = ["mens", "womens", "newbie", "recency<=6"] as const;

export interface ProtocolOptions {
  readonly splits: number;
  readonly personas: number | "auto";
  readonly worlds: number;
}

/** A mean over the splits with its standard error, which ignores that the splits share their rows. */
export interface SplitMean { readonly mean: number; readonly se: number }

export interface HalvesResult {
  /** Means over the splits: correlation and squared error over the cells, for the model, raw cell rates, cell plus arm. */
  readonly r: SplitMean;
  readonly rRaw: SplitMean;
  readonly rAdditive: SplitMean;
  readonly squaredError: SplitMean;
  readonly squaredErrorRaw: SplitMean;
  readonly squaredErrorAdditive: SplitMean;
  /** Squared error less that of the raw rates and of cell plus arm, split by split. */
  readonly lessRaw: SplitMean;
  readonly lessAdditive: SplitMean;
  /** Share of randomized probability integral transforms within .05 and .95, pooled over cells and splits; standard error over the splits' own shares. */
  readonly coverage: SplitMean;
  readonly cellSplits: number;
  /** Share of the arms' mean amounts of responders inside their 90 % predictive intervals, and how many there were. */
  readonly valueCoverage: SplitMean;
  readonly armSplits: number;
  /** Value of the best-predicted arm less that of the men's e-mail to all: mean over the splits, and its standard error. */
  readonly policyGain: number;
  readonly policyGainSe: number;
  readonly policyValue: number;
  /** Over the splits. */
  readonly policyValueSd: number;
  readonly qiniWomens: SplitMean;
  readonly qiniMens: SplitMean;
  readonly personas: readonly number[];
  readonly uplifts: readonly SplitUplift[];
}

/** One split as a peer needs it to be judged on the same recipients. */
export interface SplitUplift {
  readonly fit: Dataset;
  readonly held: Dataset;
  /** E-mail -> predicted P(visit | e-mail) - P(visit | none) of each held recipient, and the Qini that the backtest gives it. */
  readonly uplift: Readonly<Record<Email, Float64Array>>;
  readonly qini: Readonly<Record<Email, number>>;
}

/** In the order of the arms that peers are given; 0 is none. */
export const EMAILS = ["mens-email", "womens-email"] as const;
export type Email = (typeof EMAILS)[number];

interface CountedCell { readonly group: string; readonly stimulus: string; readonly exposures: number; readonly responses: number; readonly observed: number }

/** Visits observed by cell and arm, with the names that a backtest by the same columns gives them. */
function countedVisits(data: Dataset): readonly CountedCell[] {
  const parts = CELLS_BY.map((by) => {
    const [name, limit] = by.split("<="), column = data.columns[data.schema.attributes.findIndex((attribute) => attribute.name === name)]!;
    const text = (row: number): string => (column.kind === "number" ? String(limit === undefined ? column.values[row]! : column.values[row]! <= Number(limit)) : column.dictionary[column.codes[row]!]!);
    return (row: number): string => `${by}=${text(row)}`;
  });
  const counts = new Map<string, { group: string; stimulus: string; exposures: number; responses: number }>();
  for (let row = 0; row < data.rows; row++) {
    const group = parts.map((part) => part(row)).join(", "), stimulus: string = data.schema.stimulus.stimuli[data.stimulus[row]!]!.id;
    let cell = counts.get(`${group}|${stimulus}`);
    if (cell === undefined) counts.set(`${group}|${stimulus}`, cell = { group, stimulus, exposures: 0, responses: 0 });
    cell.exposures++;
    cell.responses += data.outcomes[row * data.schema.funnel.length]!;
  }
  return [...counts.values()].map((cell) => ({ ...cell, observed: cell.responses / cell.exposures }));
}

const visits = (cells: readonly BacktestCell[]): readonly BacktestCell[] => cells.filter((cell) => cell.step === "visit");
const keyOf = (cell: Pick<BacktestCell, "group" | "stimulus">): string => `${cell.group}|${cell.stimulus}`;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Mean with its standard error over the splits. */
export const splitMean = (values: readonly number[]): SplitMean => ({ mean: mean(values), se: deviation(values) / Math.sqrt(values.length) });
const deviation = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / Math.max(1, values.length - 1));

/** Pearson's correlation. */
function correlation(x: readonly number[], y: readonly number[]): number {
  const mx = mean(x), my = mean(y);
  let xy = 0, xx = 0, yy = 0;
  x.forEach((value, i) => {
    xy += (value - mx) * (y[i] - my);
    xx += (value - mx) ** 2;
    yy += (y[i] - my) ** 2;
  });
  return xy / Math.sqrt(xx * yy);
}

const squared = (x: readonly number[], y: readonly number[]): number => x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0);

/** Fits on one seeded half and predicts the other, `splits` times. */
export function hillstromHalves(data: Dataset, options: ProtocolOptions): HalvesResult {
  const pits: number[][] = [], gains: { difference: number; value: number }[] = [], uplifts: SplitUplift[] = [];
  const rows = Array.from({ length: options.splits }, (_, index) => {
    const seed = index + 1;
    const [fit, held] = splitDataset(data, 0.5, seed);
    const model = fitModel(fit.schema, fit, { seed, personas: options.personas, worlds: options.worlds });
    const result = backtest(model, held, { by: CELLS_BY, seed });
    const cells = visits(result.cells);
    const train = countedVisits(fit);
    const rateWhere = (keep: (cell: CountedCell) => boolean): number => {
      const kept = train.filter(keep);
      return kept.reduce((sum, cell) => sum + cell.responses, 0) / Math.max(1, kept.reduce((sum, cell) => sum + cell.exposures, 0));
    };
    const grand = rateWhere(() => true);
    const observed = cells.map((cell) => cell.observed), predicted = cells.map((cell) => cell.predicted);
    const raw = cells.map((cell) => train.find((other) => keyOf(other) === keyOf(cell))?.observed ?? grand);
    const additive = cells.map((cell) => rateWhere((other) => other.group === cell.group) + rateWhere((other) => other.stimulus === cell.stimulus) - grand);
    const random = RandomStream.of(seed, "pit");
    pits.push(cells.map((cell) => betaBinomialPit(cell.responses, cell.exposures, cell.alpha, cell.beta, random.uniform())));
    const qiniOf = (email: Email): number => result.qini.find((each) => each.stimulus === email)?.value ?? NaN;
    const qini = { "mens-email": qiniOf("mens-email"), "womens-email": qiniOf("womens-email") };
    uplifts.push({ fit, held, uplift: upliftOf(model, held, seed), qini });
    const value = (name: string): number => result.policies.find((policy) => policy.name === name)?.value ?? NaN;
    gains.push({ difference: value("best predicted") - value("always mens-email"), value: value("best predicted") });
    return {
      r: correlation(predicted, observed), rRaw: correlation(raw, observed), rAdditive: correlation(additive, observed),
      squaredError: squared(predicted, observed), squaredErrorRaw: squared(raw, observed), squaredErrorAdditive: squared(additive, observed),
      qiniWomens: qini["womens-email"], qiniMens: qini["mens-email"],
      personas: model.mixture.personas.length,
      valueCoverage: mean(result.value.map(({ observed: amount, low, high }) => (low <= amount && amount <= high ? 1 : 0))), arms: result.value.length,
    };
  });
  const over = (key: Exclude<keyof (typeof rows)[number], "personas" | "arms">): SplitMean => splitMean(rows.map((row) => row[key]));
  const policyGain = mean(gains.map((gain) => gain.difference));
  return {
    r: over("r"), rRaw: over("rRaw"), rAdditive: over("rAdditive"),
    squaredError: over("squaredError"), squaredErrorRaw: over("squaredErrorRaw"), squaredErrorAdditive: over("squaredErrorAdditive"),
    lessRaw: splitMean(rows.map((row) => row.squaredError - row.squaredErrorRaw)), lessAdditive: splitMean(rows.map((row) => row.squaredError - row.squaredErrorAdditive)),
    coverage: coverageOf(pits), cellSplits: pits.flat().length, valueCoverage: over("valueCoverage"), armSplits: rows.reduce((sum, row) => sum + row.arms, 0),
    policyGain, policyGainSe: Math.sqrt(gains.reduce((sum, gain) => sum + (gain.difference - policyGain) ** 2, 0) / Math.max(1, gains.length - 1) / gains.length), policyValue: mean(gains.map((gain) => gain.value)), policyValueSd: deviation(gains.map((gain) => gain.value)),
    qiniWomens: over("qiniWomens"), qiniMens: over("qiniMens"), personas: rows.map((row) => row.personas), uplifts,
  };
}

/** The visits that each e-mail is predicted to add, mean over the worlds. */
function upliftOf(model: Model, held: Dataset, seed: number): SplitUplift["uplift"] {
  const { codes } = encodeDataset(held, model.mixture.codings), persona = assignRows(model.mixture, codes), traits = model.mixture.codings.length;
  const rateOf = (id: string): Float64Array => {
    const predictor = new RatePredictor(model, held.schema.stimulus.stimuli.find((stimulus) => stimulus.id === id)!, seed), { worlds } = predictor;
    const rates = new Float64Array(worlds * held.schema.funnel.length);
    return Float64Array.from({ length: held.rows }, (_, row) => {
      predictor.rates(codes, row * traits, persona[row]!, rates);
      let sum = 0;
      for (let w = 0; w < worlds; w++) sum += rates[w]!;
      return sum / worlds;
    });
  };
  const none = rateOf("none");
  const lessNone = (email: Email): Float64Array => rateOf(email).map((rate, row) => rate - none[row]!);
  return { "mens-email": lessNone("mens-email"), "womens-email": lessNone("womens-email") };
}

function coverageOf(pits: readonly (readonly number[])[]): SplitMean {
  const share = (some: readonly number[]): number => some.filter((pit) => pit >= 0.05 && pit <= 0.95).length / some.length;
  return { mean: share(pits.flat()), se: splitMean(pits.map(share)).se };
}

export interface LeaveOutResult {
  /** Correlation over the cells of predicted and observed effect (women's e-mail less none), mean over the splits. */
  readonly r: SplitMean;
  /** The same for "as the men's e-mail" predicted by the model. */
  readonly rSame: SplitMean;
  /** The ceiling: effects of the fit's half, which did see the women's e-mail. */
  readonly rSplitHalf: SplitMean;
  /** Share of cells whose better e-mail is named right; the constant answer; the other half's answer. */
  readonly direction: SplitMean;
  readonly directionConstant: SplitMean;
  readonly directionSplitHalf: SplitMean;
  readonly coverage: SplitMean;
  readonly cellSplits: number;
}

/** Fits on {none, men's e-mail} of one half and predicts the women's e-mail, which the model has never seen, on the other. */
export function hillstromLeaveOut(data: Dataset, options: ProtocolOptions): LeaveOutResult {
  const pits: number[][] = [];
  const rows = Array.from({ length: options.splits }, (_, index) => {
    const seed = index + 1;
    const [half, held] = splitDataset(data, 0.5, seed);
    const womens = data.schema.stimulus.stimuli.findIndex((stimulus) => stimulus.id === "womens-email");
    const kept = Array.from({ length: half.rows }, (_unused, row) => row).filter((row) => half.stimulus[row] !== womens);
    const fewer = { ...data.schema, stimulus: { ...data.schema.stimulus, stimuli: data.schema.stimulus.stimuli.filter((_unused, i) => i !== womens) } };
    const fit = { ...selectRows(half, kept), schema: fewer };
    const model = fitModel(fewer, fit, { seed, personas: options.personas, worlds: options.worlds });
    const test = new Map(visits(backtest(model, held, { by: CELLS_BY, seed }).cells).map((cell) => [keyOf(cell), cell]));
    const other = new Map(countedVisits(half).map((cell) => [keyOf(cell), cell]));
    const groups = [...new Set([...test.values()].map((cell) => cell.group))].filter((group) => ["none", "mens-email", "womens-email"].every((arm) => test.has(`${group}|${arm}`) && other.has(`${group}|${arm}`)));
    const observed = (cells: ReadonlyMap<string, Pick<BacktestCell, "observed">>) => (key: string): number => cells.get(key)!.observed;
    const predicted = (key: string): number => test.get(key)!.predicted;
    const effect = (rate: (key: string) => number, arm: string): number[] => groups.map((group) => rate(`${group}|${arm}`) - rate(`${group}|none`));
    const random = RandomStream.of(seed, "pit");
    pits.push(groups.map((group) => {
      const cell = test.get(`${group}|womens-email`)!;
      return betaBinomialPit(cell.responses, cell.exposures, cell.alpha, cell.beta, random.uniform());
    }));
    const truth = effect(observed(test), "womens-email");
    const better = (rate: (key: string) => number): boolean[] => groups.map((group) => rate(`${group}|mens-email`) > rate(`${group}|womens-email`));
    const agree = (a: readonly boolean[], b: readonly boolean[]): number => a.filter((value, i) => value === b[i]).length / a.length;
    const actual = better(observed(test));
    return {
      r: correlation(effect(predicted, "womens-email"), truth), rSame: correlation(effect(predicted, "mens-email"), truth), rSplitHalf: correlation(effect(observed(other), "womens-email"), truth),
      direction: agree(better(predicted), actual), directionConstant: agree(actual.map(() => true), actual), directionSplitHalf: agree(better(observed(other)), actual),
    };
  });
  const over = (key: keyof (typeof rows)[number]): SplitMean => splitMean(rows.map((row) => row[key]));
  return { r: over("r"), rSame: over("rSame"), rSplitHalf: over("rSplitHalf"), direction: over("direction"), directionConstant: over("directionConstant"), directionSplitHalf: over("directionSplitHalf"), coverage: coverageOf(pits), cellSplits: pits.flat().length };
}
