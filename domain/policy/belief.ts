import { choleskyInPlace, invertLower, solveLowerInPlace, solveUpperInPlace } from "../inference/linear-algebra.ts";
import type { RandomStream } from "../random/random-stream.ts";

/** What a bandit chooses from: the arms (stimuli) that each persona can be shown. Values and costs in one unit, any. */
export interface BanditProblem {
  /** Economic value of a response by [persona][arm]. */
  readonly value: readonly (readonly number[])[];
  /** Cost of one exposure by arm. */
  readonly cost: readonly number[];
  /** Features of each arm; empty lists where nothing is known but the arm's number. */
  readonly features: readonly (readonly number[])[];
}

/** Posterior over the value per exposure of every arm for every persona. What is learned of one may teach about another. */
export interface Belief {
  /** Adds the counts of one arm shown to one persona. */
  update(persona: number, arm: number, exposures: number, responses: number): void;
  /** Posterior mean of each arm's value per exposure. */
  mean(persona: number): Float64Array;
  /** Posterior standard deviation of each arm's value per exposure. */
  deviation(persona: number): Float64Array;
  /** One joint draw of the arms' values per exposure. */
  draw(persona: number, random: RandomStream): Float64Array;
}

/** Counts by [persona][arm]: all that any of these beliefs needs of the past. */
interface Counts {
  readonly exposures: readonly Float64Array[];
  readonly responses: readonly Float64Array[];
}

const countsOf = ({ value, cost }: BanditProblem): Counts => ({ exposures: value.map(() => new Float64Array(cost.length)), responses: value.map(() => new Float64Array(cost.length)) });

/** How Beta beliefs of personas hang together: not at all, or through a prior of each arm that all personas share. */
export type Pooling = "none" | "personas";

/**
 * Independent Beta posteriors of the response rates. "none": from Beta(1, 1). "personas": arm by arm from a Beta prior with the mean and
 * the spread that the arm's rates have over personas (empirical Bayes, by moments: the variance between personas less what sampling explains;
 * Gelman et al., Bayesian Data Analysis, 5.1), so that a persona hardly met answers like the others.
 */
export function betaBelief(problem: BanditProblem, pooling: Pooling): Belief {
  const { value, cost } = problem, { exposures, responses } = countsOf(problem);
  let priors: readonly (readonly [number, number])[] | null = null;
  const prior = (arm: number): readonly [number, number] => {
    if (pooling === "none") return FLAT;
    priors ??= cost.map((_, each) => sharedPrior(exposures.map((row) => row[each]), responses.map((row) => row[each])));
    return priors[arm];
  };
  const posterior = (persona: number, arm: number): readonly [number, number] => {
    const [alpha, beta] = prior(arm), hits = responses[persona][arm];
    return [alpha + hits, beta + exposures[persona][arm] - hits];
  };
  const each = (persona: number, of: (alpha: number, beta: number, value: number, cost: number) => number): Float64Array =>
    Float64Array.from(cost, (spent, arm) => of(...posterior(persona, arm), value[persona][arm], spent));
  return {
    update(persona, arm, shown, hits) {
      exposures[persona][arm] += shown;
      responses[persona][arm] += hits;
      priors = null;
    },
    mean: (persona) => each(persona, (alpha, beta, worth, spent) => (alpha / (alpha + beta)) * worth - spent),
    deviation: (persona) => each(persona, (alpha, beta, worth) => (Math.sqrt((alpha * beta) / (alpha + beta + 1)) / (alpha + beta)) * Math.abs(worth)),
    draw: (persona, random) => each(persona, (alpha, beta, worth, spent) => random.beta(alpha, beta) * worth - spent),
  };
}

const FLAT = [1, 1] as const;
/** Effective observations of a shared prior: one when personas differ as much as rates can, and never so many that none can differ. */
const STRENGTH = { least: 2, most: 1_000 } as const;

function sharedPrior(exposures: readonly number[], responses: readonly number[]): readonly [number, number] {
  const total = exposures.reduce((sum, n) => sum + n, 0);
  if (total === 0 || exposures.length < 2) return FLAT;
  const mean = (responses.reduce((sum, k) => sum + k, 0) + 1) / (total + 2);
  // E[sum n (p - mean)^2] = (K - 1) mean (1 - mean) + between-variance x (n - sum n^2 / n), for K personas with n exposures.
  let spread = 0, squares = 0, met = 0;
  exposures.forEach((n, persona) => {
    if (n === 0) return;
    met += 1;
    squares += n * n;
    spread += n * (responses[persona] / n - mean) ** 2;
  });
  const room = total - squares / total;
  if (met < 2 || room <= 0) return [STRENGTH.least * mean, STRENGTH.least * (1 - mean)];
  const between = (spread - (met - 1) * mean * (1 - mean)) / room;
  const strength = Math.min(STRENGTH.most, Math.max(STRENGTH.least, between > 0 ? (mean * (1 - mean)) / between - 1 : STRENGTH.most));
  return [strength * mean, strength * (1 - mean)];
}

/**
 * Prior standard deviations of a regression's coefficients on the logit scale: main effects of one unit, interactions of half. An arm's and a
 * cell's own effect, what features do not explain, has the one of three scales under which the counts are likeliest: too wide a one
 * explores every arm for itself, too narrow a one trusts the features where they do not hold.
 */
const LOGIT_PRIOR = { intercept: 3, persona: 1, feature: 1, personaFeature: 0.5, own: [0.05, 0.15, 0.4] } as const;

interface Column {
  readonly at: number;
  readonly by: number;
}

interface Design {
  /** Prior standard deviation of each column; NaN = an own effect. */
  readonly deviations: Float64Array;
  /** The columns of each (persona, arm): intercept, persona, features, persona x features, arm, cell. */
  readonly rows: readonly (readonly (readonly Column[])[])[];
}

function designOf({ value, cost, features }: BanditProblem): Design {
  const prior = LOGIT_PRIOR, deviations: number[] = [], index = new Map<string, number>();
  const column = (name: string, deviation: number): number => {
    let at = index.get(name);
    if (at === undefined) {
      index.set(name, (at = deviations.length));
      deviations.push(deviation);
    }
    return at;
  };
  const rows = value.map((_, persona) => cost.map((_cost, arm): Column[] => [
    { at: column("intercept", prior.intercept), by: 1 },
    { at: column(`persona ${persona}`, prior.persona), by: 1 },
    ...features[arm].flatMap((by, feature) => (by === 0 ? [] : [
      { at: column(`feature ${feature}`, prior.feature), by }, { at: column(`persona ${persona} feature ${feature}`, prior.personaFeature), by },
    ])),
    { at: column(`arm ${arm}`, Number.NaN), by: 1 }, { at: column(`cell ${persona} ${arm}`, Number.NaN), by: 1 },
  ]));
  return { deviations: Float64Array.from(deviations), rows };
}

/** Posterior of one persona's linear predictors: their means and a factor F with F F' = covariance (row-major, arms x arms, lower). */
interface Predictors {
  readonly mean: Float64Array;
  readonly factor: Float64Array;
}

/** Gaussian posterior of coefficients by precision and mean, projected onto each persona's arms. */
function predictorsOf(rows: readonly (readonly (readonly Column[])[])[], factor: Float64Array, mean: Float64Array): readonly Predictors[] {
  const d = mean.length, inverse = invertLower(factor, d);
  return rows.map((arms) => {
    // L^-1 phi of each arm; inner products of these are the covariance.
    const half = arms.map((columns) => {
      const out = new Float64Array(d);
      for (const { at, by } of columns) for (let i = at; i < d; i++) out[i] += inverse[i * d + at] * by;
      return out;
    });
    const size = arms.length, covariance = new Float64Array(size * size);
    for (let a = 0; a < size; a++) for (let b = 0; b <= a; b++) {
      let sum = 0;
      for (let i = 0; i < d; i++) sum += half[a][i] * half[b][i];
      covariance[a * size + b] = sum;
    }
    // More arms than columns make it singular: a ridge far below any prior variance.
    for (let a = 0; a < size; a++) covariance[a * size + a] *= 1 + 1e-9;
    choleskyInPlace(covariance, size);
    return { mean: Float64Array.from(arms, (columns) => columns.reduce((sum, { at, by }) => sum + by * mean[at], 0)), factor: covariance };
  });
}

const deviationOf = ({ factor, mean }: Predictors, arm: number): number => {
  let square = 0;
  for (let k = 0; k <= arm; k++) square += factor[arm * mean.length + k] ** 2;
  return Math.sqrt(square);
};

function drawPredictors({ mean, factor }: Predictors, random: RandomStream): Float64Array {
  const size = mean.length, normals = Float64Array.from({ length: size }, () => random.normal());
  return mean.map((center, a) => {
    let sum = center;
    for (let k = 0; k <= a; k++) sum += factor[a * size + k] * normals[k];
    return sum;
  });
}

/** Adds weight x (phi - shift) terms of every met cell to a precision (lower triangle) and a right-hand side. */
function addCells(rows: readonly (readonly (readonly Column[])[])[], { exposures }: Counts, d: number, precision: Float64Array, right: Float64Array, of: (persona: number, arm: number) => { readonly weight: number; readonly pull: number }): void {
  rows.forEach((arms, persona) => arms.forEach((columns, arm) => {
    if (exposures[persona][arm] === 0) return;
    const { weight, pull } = of(persona, arm);
    for (const a of columns) {
      right[a.at] += pull * a.by;
      for (const b of columns) if (b.at <= a.at) precision[a.at * d + b.at] += weight * a.by * b.by;
    }
  }));
}

/**
 * A Gaussian linear regression of the response on persona, features, their products and the arm (Agrawal and Goyal 2013, "Thompson sampling for
 * contextual bandits with linear payoffs"): conjugate, exact given the noise, whose variance is that of a response at the pooled rate. Prior
 * scales are those of the logistic belief times the slope of the logistic curve at that rate. O(cells x columns^2) after an update.
 */
export function linearBelief(problem: BanditProblem): Belief {
  return regressionBelief(problem, (design, counts, own) => {
    const rate = pooledRate(counts), noise = rate * (1 - rate), d = design.deviations.length;
    const prior = design.deviations.map((deviation) => (Number.isNaN(deviation) ? own : deviation) * noise);
    const precision = new Float64Array(d * d), mean = new Float64Array(d);
    for (let j = 0; j < d; j++) precision[j * d + j] = prior[j] ** -2;
    addCells(design.rows, counts, d, precision, mean, (persona, arm) => {
      const n = counts.exposures[persona][arm];
      return { weight: n / noise, pull: (counts.responses[persona][arm] - n * rate) / noise };
    });
    const halfLogDeterminant = choleskyInPlace(precision, d);
    solveLowerInPlace(precision, d, mean);
    const logEvidence = squaresOf(mean) / 2 - halfLogDeterminant - logsOf(prior);
    solveUpperInPlace(precision, d, mean);
    return { logEvidence, factor: precision, mean, rate: (predictor) => Math.min(1, Math.max(0, rate + predictor)), slope: () => 1 };
  });
}

/**
 * A Bayesian logistic regression on the same columns, refitted to all counts after an update: Newton's method to the posterior mode and the
 * Gaussian there (Laplace; Chapelle and Li 2011, "An empirical evaluation of Thompson sampling"). The mode always exists: the prior is proper, so
 * arms with no or only responses are no harm. Its means are plug-in ones.
 */
export function logisticBelief(problem: BanditProblem): Belief {
  const modes = LOGIT_PRIOR.own.map((): Float64Array | null => null);
  return regressionBelief(problem, (design, counts, own, at) => {
    const base = logit(pooledRate(counts)), { rows, deviations } = design, d = deviations.length;
    const prior = deviations.map((deviation) => (Number.isNaN(deviation) ? own : deviation));
    const mean = (modes[at] ??= new Float64Array(d)), precision = new Float64Array(d * d);
    const eta = (persona: number, arm: number): number => rows[persona][arm].reduce((sum, { at: column, by }) => sum + by * mean[column], base);
    let halfLogDeterminant = 0;
    for (let round = 0; round < NEWTON_MOST; round++) {
      precision.fill(0);
      const step = mean.map((each, j) => -each / prior[j] ** 2);
      for (let j = 0; j < d; j++) precision[j * d + j] = prior[j] ** -2;
      addCells(rows, counts, d, precision, step, (persona, arm) => {
        const n = counts.exposures[persona][arm], p = logistic(eta(persona, arm));
        return { weight: n * p * (1 - p), pull: counts.responses[persona][arm] - n * p };
      });
      halfLogDeterminant = choleskyInPlace(precision, d);
      solveLowerInPlace(precision, d, step);
      solveUpperInPlace(precision, d, step);
      const longest = step.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
      // A step of more than two logits has left the quadratic's ground.
      const by = Math.min(1, 2 / Math.max(longest, 1e-300));
      for (let j = 0; j < d; j++) mean[j] += by * step[j];
      if (longest < 1e-6) break;
    }
    let logLikelihood = 0;
    rows.forEach((arms, persona) => arms.forEach((_, arm) => {
      const x = eta(persona, arm), n = counts.exposures[persona][arm];
      if (n > 0) logLikelihood += counts.responses[persona][arm] * x - n * (Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x))));
    }));
    const logEvidence = logLikelihood - squaresOf(mean.map((each, j) => each / prior[j])) / 2 - halfLogDeterminant - logsOf(prior);
    return { logEvidence, factor: precision, mean, rate: (predictor) => logistic(base + predictor), slope: (predictor) => logistic(base + predictor) * (1 - logistic(base + predictor)) };
  });
}

const NEWTON_MOST = 50;
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const logit = (p: number): number => Math.log(p / (1 - p));
const squaresOf = (values: Float64Array): number => values.reduce((sum, each) => sum + each * each, 0);
const logsOf = (values: Float64Array): number => values.reduce((sum, each) => sum + Math.log(each), 0);

/** Share of responses among all exposures, off 0 and 1. */
function pooledRate({ exposures, responses }: Counts): number {
  const sum = (rows: readonly Float64Array[]): number => rows.reduce((all, row) => all + row.reduce((part, each) => part + each, 0), 0);
  return (sum(responses) + 1) / (sum(exposures) + 2);
}

/** A Gaussian posterior of the coefficients under one scale of the own effects. */
interface Fitted {
  /** Up to a constant that all scales share. */
  readonly logEvidence: number;
  /** Cholesky factor of the precision. */
  readonly factor: Float64Array;
  readonly mean: Float64Array;
  /** Response rate of a linear predictor, and its derivative. */
  readonly rate: (predictor: number) => number;
  readonly slope: (predictor: number) => number;
}

function regressionBelief(problem: BanditProblem, fit: (design: Design, counts: Counts, own: number, at: number) => Fitted): Belief {
  const { value, cost } = problem, counts = countsOf(problem), design = designOf(problem);
  let known: (Fitted & { readonly predictors: readonly Predictors[] }) | null = null;
  const fitted = (): NonNullable<typeof known> => {
    if (known !== null) return known;
    const best = LOGIT_PRIOR.own.map((own, at) => fit(design, counts, own, at)).reduce((so, each) => (each.logEvidence > so.logEvidence ? each : so));
    return (known = { ...best, predictors: predictorsOf(design.rows, best.factor, best.mean) });
  };
  const values = (persona: number, predictors: Float64Array): Float64Array => Float64Array.from(cost, (spent, arm) => fitted().rate(predictors[arm]) * value[persona][arm] - spent);
  return {
    update(persona, arm, exposures, responses) {
      counts.exposures[persona][arm] += exposures;
      counts.responses[persona][arm] += responses;
      known = null;
    },
    mean: (persona) => values(persona, fitted().predictors[persona].mean),
    deviation: (persona) => {
      const { predictors, slope } = fitted(), own = predictors[persona];
      return Float64Array.from(cost, (_, arm) => slope(own.mean[arm]) * deviationOf(own, arm) * Math.abs(value[persona][arm]));
    },
    draw: (persona, random) => values(persona, drawPredictors(fitted().predictors[persona], random)),
  };
}
