// Every posterior of the product against known truth: ranks of the truth among posterior draws where the family is exact (simulation-based
// calibration, Talts et al. 2018), limits against quadrature where it is approximate, coverage where it is capped or discounted on purpose.
// Parameters, the scales among them, are drawn from their prior.
import {
  RandomStream, betaInterval, drawParameters, fitHierarchicalLogistic, fitLogNormalValue, learnExchangeRates, logistic, mergeStatistics, mixtureQuantile, posterior, powerPrior, rankOf, rankUniformity,
  retention, robustPrior, softplus, statisticsOf, updateLogistic, updateMixture, emptyStatistics,
} from "@populace/domain";
import type { LogisticDesign, TraitDistribution } from "@populace/domain";
import type { CalibrationFamily, CalibrationRanks } from "@populace/studies";

/** Draws to rank a truth among. */
const DRAWS = 99;
/** Level of the uniformity tests, shared among the parameters of a family. */
const LEVEL = 0.01;
/** Points that a limit may lie from the exact posterior's. */
const POINTS_MAX = 2;
const HALF_NORMAL_MEDIAN = 0.6744897501960817;

/** All families; `simulations` truths each (500 for a record). */
export const families = (simulations: number): readonly CalibrationFamily[] => [
  binary(simulations), categorical(simulations), count(simulations), continuous(simulations), robust(simulations), exchange(simulations),
  hierarchy(simulations), amounts(simulations), limits(simulations < 100 ? 300 : 4_000), updates(simulations < 100 ? 300 : 4_000), capped(simulations), discounted(simulations),
];

/** Ranks of each named parameter over many truths, tested for uniformity in ten bins, ties broken at random. */
function ranked(name: string, simulations: number, names: readonly string[], simulate: (random: RandomStream) => { readonly truth: readonly number[]; readonly draw: (index: number) => readonly number[] }): CalibrationFamily {
  const ranks = names.map(() => [] as number[]);
  for (let simulation = 0; simulation < simulations; simulation++) {
    const random = RandomStream.of(simulation, `calibration ${name}`);
    const { truth, draw } = simulate(random);
    const draws = Array.from({ length: DRAWS }, (_, index) => draw(index));
    const ties = random.child("ties");
    names.forEach((_, p) => ranks[p]!.push(rankOf(truth[p]!, draws.map((each) => each[p]!), ties.uniform())));
  }
  const parameters = names.map((parameter, p): CalibrationRanks => {
    const { counts, pValue } = rankUniformity(ranks[p]!, DRAWS);
    return { parameter, counts, pValue: rounded(pValue) };
  });
  const worst = Math.min(...parameters.map((each) => each.pValue));
  return { name, method: "ranks", what: `${simulations} truths among ${DRAWS} draws; smallest p of ${names.length}`, figure: worst, bound: rounded(LEVEL / names.length), passed: worst > LEVEL / names.length, ranks: parameters };
}

/** Share of truths inside 90 % intervals; `low` and `high` are what it may be. */
function covered(name: string, what: string, hits: number, total: number, low: number, high: number): CalibrationFamily {
  const figure = rounded(hits / total);
  return { name, method: "coverage", what: `${what}; ${total} truths inside 90 % intervals, ${low} to ${high}`, figure, bound: low, passed: figure >= low && figure <= high, ranks: [] };
}

const rounded = (value: number): number => Number(value.toPrecision(6));

const CODING = { center: 3, scale: 2 };

function conjugate(name: string, simulations: number, names: readonly string[], prior: TraitDistribution, observe: (truth: readonly number[], random: RandomStream) => number): CalibrationFamily {
  const levels = prior.kind === "categorical" ? prior.alphas.length : 0;
  return ranked(name, simulations, names, (random) => {
    const truth = drawParameters(prior, random.child("truth"));
    const data = random.child("data");
    let statistics = emptyStatistics(prior.kind, levels);
    for (let row = data.integer(40); row >= 0; row--) statistics = mergeStatistics(statistics, statisticsOf(prior.kind, observe(truth, data), levels));
    const after = posterior(prior, statistics, CODING);
    const draws = random.child("draws");
    return { truth, draw: () => drawParameters(after, draws) };
  });
}

const binary = (simulations: number): CalibrationFamily => conjugate("binary trait (Beta)", simulations, ["share"], { kind: "binary", alpha: 1.5, beta: 4 }, ([share], random) => (random.uniform() < share! ? 1 : 0));

const categorical = (simulations: number): CalibrationFamily => conjugate("categorical trait (Dirichlet)", simulations, ["level 1", "level 2", "level 3"], { kind: "categorical", alphas: [0.7, 2, 4] }, (shares, random) => {
  let at = random.uniform();
  return Math.max(0, shares.findIndex((share) => (at -= share) < 0));
});

const count = (simulations: number): CalibrationFamily => conjugate("count trait (Gamma)", simulations, ["rate"], { kind: "count", shape: 2.5, rate: 1.2 }, ([rate], random) => {
  // Knuth's product of uniforms.
  let events = -1;
  for (let product = 1; product > Math.exp(-rate!); product *= random.uniform()) events++;
  return events;
});

const continuous = (simulations: number): CalibrationFamily => conjugate("continuous trait (Normal-Inverse-Gamma)", simulations, ["mean", "variance"], { kind: "continuous", mean: 3, kappa: 0.8, shape: 4, rate: 9 },
  ([mean, variance], random) => (mean! + Math.sqrt(variance!) * random.normal() - CODING.center) / CODING.scale);

/** The robust mixture, its truth from either part. */
const robust = (simulations: number): CalibrationFamily => ranked("simulated and real (robust mixture)", simulations, ["rate"], (random) => {
  const prior = robustPrior({ alpha: 30, beta: 970 });
  const part = random.uniform() < prior.weights[0]! ? prior.components[0]! : prior.components[1]!;
  const truth = random.beta(part.alpha, part.beta);
  const after = updateMixture(prior, binomial(truth, 200, random), 200);
  const draws = random.child("draws");
  return { truth: [truth], draw: () => [mixtureDraw(after, draws)] };
});

const mixtureDraw = ({ weights, components }: ReturnType<typeof updateMixture>, random: RandomStream): number => {
  const { alpha, beta } = random.uniform() < weights[0]! ? components[0]! : components[1]!;
  return random.beta(alpha, beta);
};

function binomial(rate: number, n: number, random: RandomStream): number {
  let yes = 0;
  for (let i = 0; i < n; i++) if (random.uniform() < rate) yes++;
  return yes;
}

/** a0 on three levels, drawn from its prior; cells' rates from the simulation discounted by it. */
function exchange(simulations: number): CalibrationFamily {
  let hits = 0, total = 0;
  for (let simulation = 0; simulation < simulations; simulation++) {
    const random = RandomStream.of(simulation, "calibration exchange");
    // Student's t with 2 degrees of freedom around the parent, as the prior states.
    const child = (parent: number): number => parent + (0.5 * random.normal()) / Math.sqrt(random.gamma(1));
    const global = 1.7 * random.normal();
    const cells = ["email", "sms"].flatMap((channel) => {
      const level = child(global);
      return [0, 1].map((index) => ({ channel, name: `${channel} ${index}`, a0: logistic(child(level)), level: logistic(level) }));
    });
    const past = cells.flatMap(({ channel, name, a0 }) => Array.from({ length: 10 }, () => {
      const mean = 0.03 + 0.2 * random.uniform(), ess = 500;
      const simulated = { alpha: mean * ess, beta: (1 - mean) * ess };
      const scale = Math.max(a0 * ess, 1) / ess;
      const truth = random.beta(scale * simulated.alpha, scale * simulated.beta);
      return { simulated, responses: binomial(truth, 300, random), exposures: 300, channel, class: name };
    }));
    const learned = learnExchangeRates(past);
    const judge = (rate: { readonly low: number; readonly high: number }, truth: number): void => {
      total++;
      if (truth >= rate.low && truth <= rate.high) hits++;
    };
    judge(learned.global, logistic(global));
    for (const { channel, name, a0, level } of cells) {
      if (name.endsWith("0")) judge(learned.channels.get(channel)!, level);
      judge(learned.classes.get(name)!, a0);
    }
  }
  return covered("exchange rate (grid)", "a0 overall, of 2 channels and 4 classes of 10 cells", hits, total, 0.87, 0.94);
}

/** The response model's own posterior: intercept, effects of personas, and the scale of those. */
const hierarchy = (simulations: number): CalibrationFamily => ranked("response model (hierarchical logistic)", simulations, ["intercept", "persona", "interaction", "scale"], (random) => {
  const [personas, stimuli, exposures, base] = [4, 2, 120, -2.5];
  const medians = [0.5, 0.5, 0.3];
  const scales = medians.map((median) => (Math.abs(random.normal()) * median) / HALF_NORMAL_MEDIAN);
  const u = Array.from({ length: personas }, () => scales[0]! * random.normal());
  const v = Array.from({ length: stimuli }, () => scales[1]! * random.normal());
  const g = Array.from({ length: personas * stimuli }, () => scales[2]! * random.normal());
  const intercept = base + random.normal();
  const columns = 1 + personas + stimuli + personas * stimuli;
  const column: number[] = [], weight: number[] = [];
  for (let p = 0; p < personas; p++) {
    for (let s = 0; s < stimuli; s++) {
      const yes = binomial(logistic(intercept + u[p]! + v[s]! + g[p * stimuli + s]!), exposures, random);
      for (let i = 0; i < 2; i++) column.push(0, 1 + p, 1 + personas + s, 1 + personas + stimuli + p * stimuli + s);
      weight.push(yes, exposures - yes);
    }
  }
  const { draws, scaleDraws } = fitHierarchicalLogistic({
    rows: weight.length, columns, rowStart: Int32Array.from({ length: weight.length + 1 }, (_, i) => 4 * i), column: Int32Array.from(column), value: new Float64Array(weight.length * 4).fill(1),
    response: Uint8Array.from(weight, (_, i) => 1 - (i % 2)), weight: Float64Array.from(weight),
    scaleGroup: Int32Array.from({ length: columns }, (_, j) => (j === 0 ? -1 : j <= personas ? 0 : j <= personas + stimuli ? 1 : 2)), groups: medians.map((priorMedian, group) => ({ name: `${group}`, priorMedian })),
    priorMean: Float64Array.from({ length: columns }, (_, j) => (j === 0 ? base : 0)), priorSd: new Float64Array(columns).fill(1),
  }, { worlds: DRAWS, random: random.child("fit") });
  return { truth: [intercept, u[0]!, g[0]!, scales[0]!], draw: (w) => [draws[w * columns]!, draws[w * columns + 1]!, draws[w * columns + 1 + personas + stimuli]!, scaleDraws[w * 3]!] };
});

/** A world of amounts drawn from the prior: the expected amount of each cell (persona x stimulus), and the fit's draws of it (worlds x cells). */
export function drawnAmounts(random: RandomStream, worlds: number, rowsOf: (persona: number) => number): { readonly truth: readonly number[]; readonly draws: Float64Array } {
  const [personas, stimuli] = [6, 3];
  const [a, b, c, sigma] = [0.3, 0.3, 0.3, 1].map((median) => (Math.abs(random.normal()) * median) / HALF_NORMAL_MEDIAN);
  const u = Array.from({ length: personas }, () => a! * random.normal());
  const v = Array.from({ length: stimuli }, () => b! * random.normal());
  const truth: number[] = [], amount: number[] = [], persona: number[] = [], stimulus: number[] = [];
  for (let p = 0; p < personas; p++) {
    for (let s = 0; s < stimuli; s++) {
      const mu = 7 + u[p]! + v[s]! + c! * random.normal();
      truth.push(Math.exp(mu + (sigma! * sigma!) / 2));
      for (let i = rowsOf(p); i > 0; i--) {
        amount.push(Math.exp(mu + sigma! * random.normal()));
        persona.push(p);
        stimulus.push(s);
      }
    }
  }
  const { draws } = fitLogNormalValue({ amount: Float64Array.from(amount), persona: Int32Array.from(persona), stimulus: Int32Array.from(stimulus), personaCount: personas, stimulusCount: stimuli }, { worlds, random: random.child("fit") });
  return { truth, draws };
}

/** Amounts given a response: the expected amount of two cells, one of them rarely seen. */
const amounts = (simulations: number): CalibrationFamily => ranked("economic value (hierarchical log-normal)", simulations, ["often seen", "rarely seen"], (random) => {
  const { truth, draws } = drawnAmounts(random, DRAWS, (persona) => (persona === 0 ? 30 : random.integer(4)));
  return { truth: [truth[0]!, truth[truth.length - 1]!], draw: (w) => [draws[w * truth.length]!, draws[w * truth.length + truth.length - 1]!] };
});

const interceptOnly = (yes: number, no: number): LogisticDesign => ({
  rows: 2, columns: 1, rowStart: Int32Array.of(0, 1, 2), column: Int32Array.of(0, 0), value: Float64Array.of(1, 1), response: Uint8Array.of(1, 0), weight: Float64Array.of(yes, no),
  scaleGroup: Int32Array.of(-1), groups: [], priorMean: Float64Array.of(-3), priorSd: Float64Array.of(2),
});

/** Points between the 5 % and 95 % limits of draws of an intercept and those of the exact posterior after `yes` of n, by quadrature. */
function pointsOff(draws: Float64Array, yes: number, n: number): number {
  const sorted = Float64Array.from(draws).sort();
  const density = (b: number): number => yes * b - n * softplus(b) - 0.5 * ((b + 3) / 2) ** 2;
  let top = -Infinity, total = 0, low = 0, high = 0;
  for (let b = -15; b < 12; b += 0.002) top = Math.max(top, density(b));
  for (let b = -15; b < 12; b += 0.002) {
    const p = Math.exp(density(b) - top);
    total += p;
    if (b < sorted[Math.floor(draws.length * 0.05)]!) low += p;
    if (b < sorted[Math.floor(draws.length * 0.95)]!) high += p;
  }
  return 100 * Math.max(Math.abs(low / total - 0.05), Math.abs(high / total - 0.95));
}

const withinPoints = (name: string, what: string, points: readonly number[]): CalibrationFamily => {
  const figure = rounded(Math.max(...points));
  return { name, method: "limits", what: `${what}; largest distance of a 5 % or 95 % limit from the exact posterior's, points`, figure, bound: POINTS_MAX, passed: figure <= POINTS_MAX, ranks: [] };
};

const SIZES = [100, 1_000, 10_000], RATES = [0.01, 0.1, 0.5], FACTORS = [0.5, 1, 1.5];

function limits(worlds: number): CalibrationFamily {
  const points = SIZES.flatMap((n) => RATES.flatMap((rate) => FACTORS.map((factor) => {
    const yes = Math.min(Math.round(n * rate * factor), n);
    return pointsOff(fitHierarchicalLogistic(interceptOnly(yes, n - yes), { worlds, random: RandomStream.of(n, `limits ${rate} ${factor}`) }).draws, yes, n);
  })));
  return withinPoints("logistic fit (corrected Laplace)", "n 100, 1,000, 10,000, rates 1, 10, 50 %, and half and one and a half times as many responses", points);
}

/** A fit of half of the rows, updated with the other half. */
function updates(worlds: number): CalibrationFamily {
  const points = SIZES.flatMap((n) => RATES.flatMap((rate) => FACTORS.map((factor) => {
    const yes = Math.min(Math.round(n * rate * factor), n), first = Math.floor(yes / 2), random = RandomStream.of(n, `updates ${rate} ${factor}`);
    const before = fitHierarchicalLogistic(interceptOnly(first, n / 2 - first), { worlds, random: random.child("fit") });
    return pointsOff(updateLogistic(before, interceptOnly(yes - first, n / 2 - yes + first), { worlds, random: random.child("update") }).draws, yes, n);
  })));
  return withinPoints("sequential update (assumed density)", "half of the rows after the other half, n and rates as above", points);
}

/** A right simulation held back by its cap: its intervals may only be too wide. */
function capped(simulations: number): CalibrationFamily {
  let hits = 0;
  for (let simulation = 0; simulation < simulations; simulation++) {
    const random = RandomStream.of(simulation, "calibration capped");
    const mean = 0.02 + 0.1 * random.uniform();
    const simulated = { alpha: 1_000 * mean, beta: 1_000 * (1 - mean) };
    const truth = random.beta(simulated.alpha, simulated.beta);
    const after = updateMixture(robustPrior(powerPrior(simulated, 1, 300)), binomial(truth, 300, random), 300);
    if (truth >= mixtureQuantile(after, 0.05) && truth <= mixtureQuantile(after, 0.95)) hits++;
  }
  return covered("simulated and real, capped", "power prior at max(50, real / 5) beside a vague part", hits, simulations, 0.87, 1);
}

/** Counts that fade, of a rate that wanders as fast as they do. */
function discounted(simulations: number): CalibrationFamily {
  let hits = 0;
  for (let simulation = 0; simulation < simulations; simulation++) {
    const random = RandomStream.of(simulation, "calibration discounted");
    let logit = -2 + random.normal(), alpha = 1, beta = 1;
    for (let period = 0; period < 30; period++) {
      logit += 0.1 * random.normal();
      const yes = binomial(logistic(logit), 50, random), kept = retention(1, 3);
      // The prior does not fade.
      [alpha, beta] = [1 + kept * (alpha - 1) + yes, 1 + kept * (beta - 1) + 50 - yes];
    }
    const { low, high } = betaInterval({ alpha, beta });
    if (logistic(logit) >= low && logistic(logit) <= high) hits++;
  }
  return covered("real outcomes with a half-life", "half-life of 3 periods of 50 outcomes, a rate that wanders by 0.1 logit a period", hits, simulations, 0.85, 1);
}
