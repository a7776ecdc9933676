import { PopulaceError, RandomStream, bandit, featureValues, indexOfLargest, largestRemainder, playBandit, sharesOf, verdictOf } from "@populace/domain";
import type { BanditName, BanditProblem } from "@populace/domain";
import { columnCount } from "@populace/protocol";
import type { ExecutionPlan, Plan, PlanPersona } from "@populace/protocol";
import { armValues } from "./arm-values.ts";
import type { ArmValues } from "./arm-values.ts";
import { didYouMean } from "./document.ts";
import type { Model } from "./model.ts";
import { cellsOf, keyOfPersona } from "./plan.ts";
import { momentsOf, quantileOfSorted } from "./rates.ts";
import type { RunPlan } from "./run.ts";
import type { Study } from "./study.ts";

export interface OptimizeOptions {
  /** Which bandit searches; default "top-two". */
  readonly method?: BanditName;
  /** Plays of the method, of random and of the best fixed stimulus behind the regret curves' intervals; default 0: no such curves. */
  readonly replicates?: number;
  /** Step whose responses are worth the economic value; default the last one. */
  readonly step?: string;
  /** Simulated exposures one round shows to each persona; default: 50 responses an arm at the mean rate of the step, 2,000 to 100,000. */
  readonly batch?: number;
  /** Rounds at most; default 30. */
  readonly roundsMax?: number;
  /** A persona is settled when the expected loss is below this share of its best arm's value per exposure in two rounds running; default 0.01. */
  readonly lossShare?: number;
  readonly execution?: Partial<ExecutionPlan>;
  readonly onProgress?: (progress: { readonly round: number; readonly rounds: number; readonly settled: number; readonly personas: number }) => void;
  readonly signal?: AbortSignal;
}

export interface BestStimulus {
  readonly persona: string;
  readonly stimulus: string;
  /** Share of the reporting half of the worlds in which this stimulus is the best one: what the model does not know. */
  readonly probabilityBest: number;
  /** Expected loss per exposure against knowing the world, minor units, on the reporting half of the worlds. */
  readonly expectedLoss: number;
  /** Expected value per exposure, minor units, mean over the reporting half: not inflated by having been chosen. */
  readonly valueMinor: number;
  /** Simulated exposures spent, and whether the loss fell below the threshold before the budget ended. */
  readonly exposures: number;
  readonly settled: boolean;
}

/** Cumulative regret (minor units) of one policy over its replicates, at the end of each round. */
export interface RegretCurve {
  readonly policy: BanditName;
  /** low and high: 5 % and 95 % quantiles over the replicates. */
  readonly points: readonly { readonly exposures: number; readonly mean: number; readonly low: number; readonly high: number }[];
  /** At the end: mean and its standard error. */
  readonly regret: number;
  readonly regretSe: number;
  /** Expected value per exposure of what it recommends at the end, minor units; oracle: with each persona's best. */
  readonly recommended: number;
  readonly recommendedSe: number;
  readonly oracle: number;
}

export interface OptimizeResult {
  readonly method: BanditName;
  readonly step: string;
  readonly best: readonly BestStimulus[];
  /** Cumulative regret (minor units) against the oracle after each round of the search, at the same exposures. */
  readonly regret: readonly { readonly exposures: number; readonly policy: number; readonly random: number; readonly bestFixed: number }[];
  /** "recommended" gives everyone the stimulus found at the end; the method itself paid for finding it. All at the same exposures. */
  readonly baselines: readonly { readonly name: "oracle" | "recommended" | BanditName; readonly valuePerExposure: number; readonly regret: number }[];
  /** The method, random and best-fixed, played again and again without agents; empty without replicates. */
  readonly curves: readonly RegretCurve[];
  /** Root hashes of the rounds' runs, in order. */
  readonly runs: readonly { readonly runId: string; readonly rootHash: string }[];
}

/** Exposures of a round and persona, and the responses an arm is to meet in them. */
const BATCH = { least: 2_000, most: 100_000, responses: 50 } as const;
/** Choices behind one round's allocation, and joint draws behind a fifth of its verdict. */
const DRAWS = 400;
/** The same in a replicate, of which there are many. */
const REPLICATE_DRAWS = 20;

/**
 * Finds the best stimulus of each persona by a bandit inside the simulation. Each round is a run of its own: every persona's batch of
 * new agents is divided over the arms, shown its stimulus once, and the bandit's belief takes the counts. A persona stops when its
 * expected loss is small. It chooses on every second world; probability, loss and value are reported on the other worlds, because a
 * winner's own draws flatter it. Deterministic in (model, study, options).
 */
export async function optimize(model: Model, study: Study, runPlan: RunPlan, options: OptimizeOptions = {}): Promise<OptimizeResult> {
  const { method = "top-two", roundsMax = 30, lossShare = 0.01 } = options;
  const step = stepOf(model, options.step);
  const choosing = armValues(model, study, step, { half: 0 });
  const { personas, stimuli, plan: basis, mean: oracle } = choosing;
  const problem = problemOf(model, choosing), fixed = bestFixed(model, choosing);
  const batch = options.batch ?? usualBatch(choosing);
  const policy = bandit(method, problem, fixed), { belief } = policy;

  const shown = personas.map(() => 0);
  const settled = personas.map(() => false), wasCalm = personas.map(() => false);
  const random = RandomStream.of(study.seed, "optimize");
  const regret: { exposures: number; policy: number; random: number; bestFixed: number }[] = [];
  const runs: { runId: string; rootHash: string }[] = [];
  const total = { exposures: 0, policy: 0, random: 0, bestFixed: 0, oracle: 0 };

  for (let round = 0; round < roundsMax && settled.includes(false); round += 1) {
    const stream = random.child(`round ${round}`);
    const allocation = personas.map((_, p) => (settled[p] ? stimuli.map(() => 0) : largestRemainder(round === 0 && policy.learns ? stimuli.map(() => 1) : sharesOf(policy, p, DRAWS, stream.child(`allocate ${p}`), stimuli.length), batch)));
    const plan = allocatedPlan(basis, allocation, study.seed, round);
    const outcome = await runPlan(plan.plan, options.execution ?? {}, options.signal === undefined ? {} : { signal: options.signal });
    runs.push({ runId: outcome.runId, rootHash: outcome.rootHash });
    allocation.forEach((counts, p) => {
      const best = Math.max(...oracle[p]);
      const mean = momentsOf(oracle[p]).mean;
      counts.forEach((count, s) => {
        const { exposures, responses } = countsOf(plan.plan, outcome.counts, plan.entries.indexOf(`${p} ${s}`), s, step);
        if (exposures > 0) belief.update(p, s, exposures, responses);
        shown[p] += exposures;
        total.exposures += count;
        total.oracle += count * best;
        total.policy += count * (best - oracle[p][s]);
        total.random += count * (best - mean);
        total.bestFixed += count * (best - oracle[p][fixed]);
      });
    });
    personas.forEach((_, p) => {
      if (settled[p]) return;
      const verdict = verdictOf(belief, p, DRAWS * 5, stream.child(`verdict ${p}`));
      const isCalm = verdict.expectedLoss <= lossShare * Math.abs(belief.mean(p)[verdict.best]);
      // One round's luck, looked at again and again, would settle too much.
      settled[p] = stimuli.length === 1 || (isCalm && wasCalm[p]);
      wasCalm[p] = isCalm;
    });
    regret.push({ exposures: total.exposures, policy: total.policy, random: total.random, bestFixed: total.bestFixed });
    options.onProgress?.({ round: round + 1, rounds: roundsMax, settled: settled.filter(Boolean).length, personas: personas.length });
  }

  const reporting = armValues(model, study, step, { half: 1 }).values;
  const chosen = personas.map((_, p) => policy.recommend(p));
  const best = personas.map((persona, p): BestStimulus => {
    const values = reporting[p], worlds = values[0].length;
    let wins = 0;
    let loss = 0;
    for (let world = 0; world < worlds; world += 1) {
      const top = indexOfLargest(values.map((arm) => arm[world]));
      if (top === chosen[p]) wins += 1;
      loss += values[top][world] - values[chosen[p]][world];
    }
    return {
      persona: model.mixture.personas[persona].id, stimulus: stimuli[chosen[p]].id, probabilityBest: wins / worlds, expectedLoss: loss / worlds,
      valueMinor: momentsOf(values[chosen[p]]).mean, exposures: shown[p], settled: settled[p],
    };
  });
  const recommended = personas.reduce((sum, _, p) => sum + shown[p] * (Math.max(...oracle[p]) - oracle[p][chosen[p]]), 0);
  const row = (name: OptimizeResult["baselines"][number]["name"], lost: number): OptimizeResult["baselines"][number] =>
    ({ name, valuePerExposure: total.exposures === 0 ? 0 : (total.oracle - lost) / total.exposures, regret: lost });
  return {
    method, step: basis.steps[step], best, regret, runs,
    baselines: [
      row("oracle", 0), row("recommended", recommended), ...(policy.learns ? [row(method, total.policy)] : []), row("best-fixed", total.bestFixed), row("random", total.random),
    ],
    curves: options.replicates === undefined || options.replicates === 0 ? [] : [...new Set<BanditName>([method, "best-fixed", "random"])].map((name) => curveOf(name, problem, choosing.rate, oracle, fixed, { rounds: roundsMax, batch, replicates: options.replicates! }, study.seed)),
  };
}

/** Index of the named step; the last without a name. BAD_STUDY for a step that the model does not have. */
export function stepOf(model: Model, name: string | undefined): number {
  const steps = model.response.steps.map((step) => step.name);
  const step = name === undefined ? steps.length - 1 : steps.indexOf(name);
  if (step < 0) throw new PopulaceError("BAD_STUDY", `unknown step "${name}"${didYouMean(name!, steps)}`, { step: name! });
  return step;
}

const problemOf = (model: Model, { worth, stimuli }: ArmValues): BanditProblem =>
  ({ value: worth, cost: stimuli.map((stimulus) => stimulus.contactCostMinor), features: stimuli.map((stimulus) => featureValues(model.response.featureNames, stimulus)) });

/** The stimulus that is worth most when everybody gets the same. */
const bestFixed = (model: Model, { personas, stimuli, mean }: ArmValues): number =>
  indexOfLargest(stimuli.map((_, s) => personas.reduce((sum, persona, p) => sum + model.mixture.personas[persona].share * mean[p][s], 0)));

/** Plays a policy at the simulator's expected rates, `replicates` times: what the search would have lost with other luck. */
function curveOf(
  policy: BanditName, problem: BanditProblem, rates: ArmValues["rate"], oracle: ArmValues["mean"], fixed: number,
  { rounds, batch, replicates }: { readonly rounds: number; readonly batch: number; readonly replicates: number }, seed: number,
): RegretCurve {
  const random = RandomStream.of(seed, "replicates").child(policy);
  const plays = Array.from({ length: replicates }, (_, replicate) => playBandit(bandit(policy, problem, fixed), problem, rates, { rounds, batch, choices: REPLICATE_DRAWS }, random.child(String(replicate))));
  const meanAndError = (values: readonly number[]): readonly [number, number] => {
    const { mean, variance } = momentsOf(values);
    return [mean, Math.sqrt(variance / values.length)];
  };
  const [regret, regretSe] = meanAndError(plays.map((play) => play.regret[rounds - 1])), [recommended, recommendedSe] = meanAndError(plays.map((play) => play.recommended));
  return {
    policy, regret, regretSe, recommended, recommendedSe, oracle: momentsOf(oracle.map((row) => Math.max(...row))).mean,
    points: Array.from({ length: rounds }, (_, round) => {
      const sorted = plays.map((play) => play.regret[round]).toSorted((a, b) => a - b);
      return { exposures: (round + 1) * batch * rates.length, mean: momentsOf(sorted).mean, low: quantileOfSorted(sorted, 0.05), high: quantileOfSorted(sorted, 0.95) };
    }),
  };
}

/** Exposures after which every arm of a persona has met some responses: fewer, and luck settles what is rare. */
const usualBatch = ({ rate, stimuli }: ArmValues): number => Math.round(Math.max(BATCH.least, Math.min(BATCH.most, (BATCH.responses * stimuli.length) / momentsOf(rate.flat()).mean)));

/**
 * The plan of one round: one scenario, one tick; each (persona, arm) with agents becomes a population of its own, whose key is
 * named by persona, arm and round, so that no agent is met twice.
 */
function allocatedPlan(basis: Plan, allocation: readonly (readonly number[])[], seed: number, round: number): { readonly plan: Plan; readonly entries: readonly string[] } {
  const entries = allocation.flatMap((counts, p) => counts.flatMap((count, s) => (count > 0 ? [{ p, s, count }] : [])));
  const [stimuli, steps, personas] = [basis.stimuli.length, basis.steps.length, basis.personas.length];
  const gather = <T extends Int32Array | Int16Array | Uint8Array>(source: T, size: number, rows: number): T => {
    const out = new (source.constructor as new (length: number) => T)(rows * entries.length * size);
    for (let row = 0; row < rows; row += 1) entries.forEach(({ p }, at) => out.set(source.subarray((row * personas + p) * size, (row * personas + p + 1) * size), (row * entries.length + at) * size));
    return out;
  };
  const scenarios = [{ name: `round ${round}`, schedule: Int16Array.from(entries, ({ s }) => s) }];
  return {
    entries: entries.map(({ p, s }) => `${p} ${s}`),
    plan: {
      ...basis,
      ordinalsMax: 1,
      personas: entries.map(({ p, s, count }): PlanPersona => {
        const id = `${basis.personas[p].id}/${basis.stimuli[s].id}/${round}`;
        return { ...basis.personas[p], id, key: keyOfPersona(seed, id), agents: count, worldShift: 0 };
      }),
      scenarios,
      cells: cellsOf(scenarios),
      bias: gather(basis.bias, stimuli * steps, basis.worlds),
      leaveBias: gather(basis.leaveBias, stimuli, basis.worlds),
      // Populations this small deal their agents to worlds one by one, so no draw of theirs can be thinned.
      drawBits: new Uint8Array(basis.worlds * entries.length),
      leaveBits: new Uint8Array(basis.worlds * entries.length),
      factorWeights: gather(basis.factorWeights, stimuli * steps * basis.factors, basis.worlds),
      offset: gather(basis.offset, stimuli * steps, 1),
    },
  };
}

function countsOf(plan: Plan, counts: Float64Array, entry: number, stimulus: number, step: number): { readonly exposures: number; readonly responses: number } {
  const cell = plan.cells.findIndex((other) => other.stimulus === stimulus);
  if (entry < 0 || cell < 0) return { exposures: 0, responses: 0 };
  const columns = columnCount(plan.steps.length);
  let exposures = 0;
  let responses = 0;
  for (let world = 0; world < plan.worlds; world += 1) {
    const at = ((cell * plan.personas.length + entry) * plan.worlds + world) * columns;
    exposures += counts[at];
    responses += counts[at + 1 + step];
  }
  return { exposures, responses };
}
