import { RandomStream, indexOfLargest, largestRemainder, topTwoShares, verdictOf } from "@populace/domain";
import type { Arm } from "@populace/domain";
import { columnCount } from "@populace/protocol";
import type { ExecutionPlan, Plan, PlanPersona } from "@populace/protocol";
import { economicValue } from "./economic-value.ts";
import { affordableCrowds, crowdRates } from "./crowd.ts";
import type { Model } from "./model.ts";
import { cellsOf, compilePlan, keyOfPersona } from "./plan.ts";
import { momentsOf } from "./rates.ts";
import type { RunPlan } from "./run.ts";
import { personasOf, stimuliOf } from "./study.ts";
import type { Study } from "./study.ts";

export interface OptimizeOptions {
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

export interface OptimizeResult {
  readonly step: string;
  readonly best: readonly BestStimulus[];
  /** Cumulative regret (minor units) against the oracle after each round, at the same exposures. */
  readonly regret: readonly { readonly exposures: number; readonly topTwo: number; readonly random: number; readonly bestFixed: number }[];
  /** "recommended" gives everyone the stimulus found at the end; "top-two" paid for finding it. All at the same exposures. */
  readonly baselines: readonly { readonly name: "oracle" | "recommended" | "top-two" | "best-fixed" | "random"; readonly valuePerExposure: number; readonly regret: number }[];
  /** Root hashes of the rounds' runs, in order. */
  readonly runs: readonly { readonly runId: string; readonly rootHash: string }[];
}

/** Exposures of a round and persona, and the responses an arm is to meet in them. */
const BATCH = { least: 2_000, most: 100_000, responses: 50 } as const;
/** Joint draws behind one round's allocation and its verdict. */
const DRAWS = 400;

/**
 * Finds the best stimulus of each persona by top-two Thompson sampling inside the simulation. Each round is a run of its own:
 * every persona's batch of new agents is divided over the arms, shown its stimulus once, and the arms' Beta posteriors take the
 * counts. A persona stops when its expected loss is small. It chooses on every second world; probability, loss and value are
 * reported on the other worlds, because a winner's own draws flatter it. Deterministic in (model, study, options).
 */
export async function optimize(model: Model, study: Study, runPlan: RunPlan, options: OptimizeOptions = {}): Promise<OptimizeResult> {
  const { roundsMax = 30, lossShare = 0.01 } = options;
  const steps = model.response.steps.map((step) => step.name);
  const step = options.step === undefined ? steps.length - 1 : steps.indexOf(options.step);
  const stimuli = stimuliOf(model, study);
  const personas = personasOf(model, study);
  const single: Study = { ...study, ticks: 1, scenarios: [], influence: null, agents: Math.max(study.agents, personas.length), population: { ...study.population, form: study.population.form === "factor" ? "factor" : "coded" } };
  const basis = compilePlan(model, single, { half: 0 });
  const worth = personas.map((persona) => stimuli.map((stimulus) => economicValue(model, persona, stimulus, study.economicValueMinor) - (stimulus.offer.costMinor ?? 0)));
  const basisRates = crowdRates(basis, affordableCrowds(basis));
  const choosing = valuesOf(basis, basisRates, worth, stimuli.map((stimulus) => stimulus.contactCostMinor), step);
  const batch = options.batch ?? usualBatch(basis, basisRates, step);
  const oracle = choosing.map((arms) => arms.map((values) => momentsOf(values).mean));

  let arms: Arm[][] = personas.map((_, p) => stimuli.map((stimulus, s) => ({ exposures: 0, responses: 0, value: worth[p][s], cost: stimulus.contactCostMinor })));
  const settled = personas.map(() => false), wasCalm = personas.map(() => false);
  const random = RandomStream.of(study.seed, "optimize");
  const regret: { exposures: number; topTwo: number; random: number; bestFixed: number }[] = [];
  const runs: { runId: string; rootHash: string }[] = [];
  const fixed = indexOfLargest(stimuli.map((_, s) => personas.reduce((sum, persona, p) => sum + model.mixture.personas[persona].share * oracle[p][s], 0)));
  const total = { exposures: 0, topTwo: 0, random: 0, bestFixed: 0, oracle: 0 };

  for (let round = 0; round < roundsMax && settled.includes(false); round += 1) {
    const stream = random.child(`round ${round}`);
    const allocation = arms.map((list, p) => (settled[p] ? list.map(() => 0) : largestRemainder(round === 0 ? list.map(() => 1) : topTwoShares(list, DRAWS, stream.child(`allocate ${p}`)), batch)));
    const plan = allocatedPlan(basis, allocation, study.seed, round);
    const outcome = await runPlan(plan.plan, options.execution ?? {}, options.signal === undefined ? {} : { signal: options.signal });
    runs.push({ runId: outcome.runId, rootHash: outcome.rootHash });
    arms = arms.map((list, p) => list.map((arm, s) => add(arm, countsOf(plan.plan, outcome.counts, plan.entries.indexOf(`${p} ${s}`), s, step))));
    allocation.forEach((counts, p) => {
      const best = Math.max(...oracle[p]);
      const mean = momentsOf(oracle[p]).mean;
      counts.forEach((count, s) => {
        total.exposures += count;
        total.oracle += count * best;
        total.topTwo += count * (best - oracle[p][s]);
        total.random += count * (best - mean);
        total.bestFixed += count * (best - oracle[p][fixed]);
      });
      if (settled[p]) return;
      const verdict = verdictOf(arms[p], DRAWS * 5, stream.child(`verdict ${p}`));
      const arm = arms[p][verdict.best];
      const isCalm = verdict.expectedLoss <= lossShare * Math.abs(((1 + arm.responses) / (2 + arm.exposures)) * arm.value - arm.cost);
      // One round's luck, looked at again and again, would settle too much.
      settled[p] = stimuli.length === 1 || (isCalm && wasCalm[p]);
      wasCalm[p] = isCalm;
    });
    regret.push({ exposures: total.exposures, topTwo: total.topTwo, random: total.random, bestFixed: total.bestFixed });
    options.onProgress?.({ round: round + 1, rounds: roundsMax, settled: settled.filter(Boolean).length, personas: personas.length });
  }

  const other = compilePlan(model, single, { half: 1 });
  const reporting = valuesOf(other, crowdRates(other, affordableCrowds(other)), worth, stimuli.map((stimulus) => stimulus.contactCostMinor), step);
  const best = personas.map((persona, p): BestStimulus => {
    const chosen = verdictOf(arms[p], 1, random.child("final")).best;
    const values = reporting[p];
    const worlds = values[0].length;
    let wins = 0;
    let loss = 0;
    for (let world = 0; world < worlds; world += 1) {
      const top = indexOfLargest(values.map((arm) => arm[world]));
      if (top === chosen) wins += 1;
      loss += values[top][world] - values[chosen][world];
    }
    return {
      persona: model.mixture.personas[persona].id, stimulus: stimuli[chosen].id, probabilityBest: wins / worlds, expectedLoss: loss / worlds,
      valueMinor: momentsOf(values[chosen]).mean, exposures: arms[p].reduce((sum, arm) => sum + arm.exposures, 0), settled: settled[p],
    };
  });
  const recommended = personas.reduce((sum, _, p) => {
    const chosen = stimuli.findIndex((stimulus) => stimulus.id === best[p].stimulus);
    return sum + best[p].exposures * (Math.max(...oracle[p]) - oracle[p][chosen]);
  }, 0);
  const perExposure = (lost: number): number => (total.exposures === 0 ? 0 : (total.oracle - lost) / total.exposures);
  return {
    step: steps[step], best, regret, runs,
    baselines: [
      { name: "oracle", valuePerExposure: perExposure(0), regret: 0 },
      { name: "recommended", valuePerExposure: perExposure(recommended), regret: recommended },
      { name: "top-two", valuePerExposure: perExposure(total.topTwo), regret: total.topTwo },
      { name: "best-fixed", valuePerExposure: perExposure(total.bestFixed), regret: total.bestFixed },
      { name: "random", valuePerExposure: perExposure(total.random), regret: total.random },
    ],
  };
}

/** Exposures after which every arm of a persona has met some responses: fewer, and luck settles what is rare. */
function usualBatch({ stimuli, steps }: Plan, rates: Float64Array, step: number): number {
  let sum = 0;
  for (let at = step; at < rates.length; at += steps.length) sum += rates[at];
  return Math.round(Math.max(BATCH.least, Math.min(BATCH.most, (BATCH.responses * stimuli.length * rates.length) / (steps.length * sum))));
}

/** Expected value per exposure by [persona][stimulus][world]: what the simulator knows exactly. */
function valuesOf(plan: Plan, rates: Float64Array, worth: readonly (readonly number[])[], cost: readonly number[], step: number): readonly (readonly Float64Array[])[] {
  const { worlds, cells, personas, steps } = plan;
  return personas.map((_, p) =>
    plan.stimuli.map((_stimulus, s) => {
      const cell = cells.findIndex((other) => other.stimulus === s);
      return Float64Array.from({ length: worlds }, (_world, world) => rates[((world * cells.length + cell) * personas.length + p) * steps.length + step] * worth[p][s] - cost[s]);
    }),
  );
}

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

const add = (arm: Arm, more: { readonly exposures: number; readonly responses: number }): Arm => ({ ...arm, exposures: arm.exposures + more.exposures, responses: arm.responses + more.responses });
