import { PopulaceError, RandomStream, evolve, indexOfLargest, paretoFront } from "@populace/domain";
import type { Fitness } from "@populace/domain";
import { CrowdLife } from "./crowd-life.ts";
import { designAt, isForbidden } from "./design-space.ts";
import type { Design } from "./design-space.ts";
import { economicValue } from "./economic-value.ts";
import type { Model } from "./model.ts";
import { stepOf } from "./optimize.ts";
import { compilePlan } from "./plan.ts";
import { momentsOf, quantileOfSorted } from "./rates.ts";
import { personasOf, refuseHistories, stimuliOf } from "./study.ts";
import type { Study } from "./study.ts";

export interface StimulusDesignOptions {
  /** Step whose responses are worth the economic value; default the last one. */
  readonly step?: string;
  readonly onProgress?: (evaluated: number) => void;
}

interface Estimate {
  readonly mean: number;
  /** 90 % of the reporting worlds. */
  readonly low: number;
  readonly high: number;
}

/** A stimulus at a cadence, judged on the worlds it was not chosen on. */
export interface DesignRow {
  /** "front": on the Pareto front of the choosing half; "persona": the best for somebody; "known": a stimulus of the model or the study. */
  readonly kind: "front" | "persona" | "known";
  readonly id: string;
  readonly everyTicks: number;
  /** Expected value per agent over the study beyond never contacting anybody, minor units, and leavings per agent. */
  readonly value: Estimate;
  readonly leaving: Estimate;
  /** Expected cost per agent, contacts and offers taken, minor units. */
  readonly costMinor: number;
  /** Share of the reporting worlds in which no other row is worth more. */
  readonly probabilityBest: number;
  /** E[best row - this one] per agent, minor units. */
  readonly expectedLoss: number;
  /** Whether it is on the front of the reporting half, too. */
  readonly holds: boolean;
  readonly design: Design;
}

export interface StimulusDesignResult {
  readonly step: string;
  /** Front by falling value, then the best of personas, then what is known. */
  readonly rows: readonly DesignRow[];
  /** The best design for each persona on the choosing half, judged on the other. */
  readonly personas: readonly { readonly persona: string; readonly id: string; readonly everyTicks: number; readonly value: Estimate; readonly probabilityBest: number }[];
  /** Value per agent on the reporting half: the design of highest value, the best known stimulus at its best cadence within the limits (absent where none keeps them), designs at random, and each world's best row. */
  readonly baselines: readonly { readonly name: "designed" | "best-fixed" | "random" | "oracle"; readonly value: number; readonly se: number }[];
  /** Every design looked at, on the choosing half. */
  readonly looked: readonly { readonly id: string; readonly everyTicks: number; readonly value: number; readonly leaving: number; readonly violation: number }[];
  /** Designs in the space, and whether all were looked at. */
  readonly designs: number;
  readonly isWhole: boolean;
}

/** Worlds of each half, at most. */
const WORLDS_MOST = 32;
/** Designs compiled into one plan. */
const CHUNK = 32;
/** Points of the front that are judged, at most: the least crowded by value. */
const FRONT_MOST = 12;
/** Designs at random behind the baseline. */
const RANDOM = 20;

/**
 * Searches a study's design space for the Pareto front of value against leaving (domain/policy/evolution.ts), each design shown at its cadence
 * over the whole study under contact pressure, on the mean field (crowd-life.ts); in the ticks between stands the study's stimulus that is no contact, where it has one. A design is an unseen stimulus: its features speak, and what
 * they do not explain is drawn from its prior: alike for all designs while choosing on one half of the worlds, each for itself
 * while reporting on the other. Leaving is a goal and takes nothing off the value. Without influence and agents; deterministic in (model, study).
 * BAD_STUDY without a design, or where no design keeps the limits.
 */
export function stimulusDesign(model: Model, study: Study, options: StimulusDesignOptions = {}): StimulusDesignResult {
  const space = study.design;
  if (space === null) throw new PopulaceError("BAD_STUDY", `study ${study.name}: it has no \`design\`; name what may vary there`, {});
  refuseHistories(study, "a design");
  const step = stepOf(model, options.step), { limits } = space;
  let evaluated = 0;
  const evaluate = (points: readonly (readonly number[])[]): readonly Judged[] => {
    const designs = points.map((point) => designAt(space, point, study.everyTicks));
    const judged = judge(model, study, step, designs, 0);
    options.onProgress?.((evaluated += points.length));
    return judged;
  };
  const fitnessOf = ({ values, leavings, costMinor, marginMinor }: Judged): Fitness => {
    const leaving = momentsOf(leavings).mean;
    const over = (value: number, most: number | null): number => (most === null ? 0 : Math.max(0, value - most) / Math.max(1e-12, Math.abs(most)));
    return {
      goals: [momentsOf(values).mean, -leaving],
      violation: over(costMinor, limits.costMinor) + over(leaving, limits.leaveRate) + (limits.marginMinor === null ? 0 : Math.max(0, limits.marginMinor - marginMinor) / Math.max(1, Math.abs(limits.marginMinor))),
    };
  };
  const known = new Map<Fitness, Judged>();
  const random = RandomStream.of(study.seed, "stimulus design");
  const found = evolve({
    sizes: space.dimensions.map(({ choices }) => choices.length), evaluations: space.evaluations, isForbidden: (point) => isForbidden(space, point),
    evaluate: (points) => evaluate(points).map((judged) => {
      const fitness = fitnessOf(judged);
      known.set(fitness, judged);
      return fitness;
    }),
  }, random);
  if (found.points.length === 0) throw new PopulaceError("BAD_STUDY", `study ${study.name}: \`design.forbidden\` leaves no design; forbid less`, {});
  const judgedAt = (index: number): Judged => known.get(found.fitness[index])!;
  const feasible = found.fitness.flatMap((fitness, index) => (fitness.violation === 0 ? [index] : []));
  if (feasible.length === 0) {
    const nearest = found.fitness.reduce((best, fitness, index) => (fitness.violation < found.fitness[best].violation ? index : best), 0), { design, costMinor, leavings, marginMinor } = judgedAt(nearest);
    throw new PopulaceError("BAD_STUDY", `study ${study.name}: none of ${found.points.length} designs keeps \`design.limits\`; the nearest, "${design.stimulus.id}", has cost ${costMinor.toFixed(2)}, leaving ${momentsOf(leavings).mean.toFixed(4)}, margin ${marginMinor.toFixed(2)}: loosen a limit or widen a range`, {});
  }

  const front = thinned(paretoFront(found.fitness).toSorted((a, b) => found.fitness[b].goals[0] - found.fitness[a].goals[0]));
  const personas = personasOf(model, study);
  const forPersona = personas.map((_, p) => feasible[indexOfLargest(feasible.map((index) => momentsOf(judgedAt(index).byPersona[p]).mean))]);
  const cadences = space.dimensions.find(({ name }) => name === "everyTicks")?.choices.map(({ part }) => part.everyTicks!) ?? [study.everyTicks];
  const contacts = stimuliOf(model, study).filter((stimulus) => stimulus.contact).flatMap((stimulus) => cadences.map((everyTicks): Design => ({ stimulus, everyTicks })));
  const knownChoosing = contacts.length === 0 ? [] : judge(model, study, step, contacts, 0);
  // A known stimulus at the cadence at which it is worth most within the limits.
  const knownBest = [...Map.groupBy(knownChoosing.flatMap((judged, at) => (fitnessOf(judged).violation === 0 ? [at] : [])), (at) => contacts[at].stimulus.id).values()].map((list) => list[indexOfLargest(list.map((at) => momentsOf(knownChoosing[at].values).mean))]);

  const chosen = [...new Set([...front, ...forPersona])], randomly = Array.from({ length: RANDOM }, () => feasible[random.integer(feasible.length)]);
  const reported = judge(model, study, step, [...chosen.map((index) => judgedAt(index).design), ...knownBest.map((at) => contacts[at])], 1);
  const rival = (world: number): number => Math.max(...reported.map(({ values }) => values[world]));
  const worlds = reported[0].values.length, bests = Float64Array.from({ length: worlds }, (_, world) => rival(world));
  const reportedFront = new Set(paretoFront(reported.map(({ values, leavings }): Fitness => ({ goals: [momentsOf(values).mean, -momentsOf(leavings).mean], violation: 0 }))));
  const rows = reported.map((judged, at): DesignRow => ({
    kind: at >= chosen.length ? "known" : at < front.length ? "front" : "persona",
    id: judged.design.stimulus.id, everyTicks: judged.design.everyTicks, value: estimateOf(judged.values), leaving: estimateOf(judged.leavings), costMinor: judged.costMinor,
    probabilityBest: judged.values.filter((value, world) => value >= bests[world]).length / worlds, expectedLoss: momentsOf(judged.values.map((value, world) => bests[world] - value)).mean,
    holds: reportedFront.has(at), design: judged.design,
  }));
  const fixed = knownBest.length === 0 ? null : chosen.length + indexOfLargest(knownBest.map((at) => momentsOf(knownChoosing[at].values).mean));
  const randomReported = judge(model, study, step, randomly.map((index) => judgedAt(index).design), 1);
  const baseline = (name: StimulusDesignResult["baselines"][number]["name"], values: ArrayLike<number>): StimulusDesignResult["baselines"][number] => {
    const { mean, variance } = momentsOf(values);
    return { name, value: mean, se: Math.sqrt(variance / values.length) };
  };
  return {
    step: model.response.steps[step].name, rows,
    personas: personas.map((persona, p) => {
      const at = chosen.indexOf(forPersona[p]), values = reported[at].byPersona[p];
      const wins = values.filter((value, world) => reported.every(({ byPersona }) => value >= byPersona[p][world])).length;
      return { persona: model.mixture.personas[persona].id, id: reported[at].design.stimulus.id, everyTicks: reported[at].design.everyTicks, value: estimateOf(values), probabilityBest: wins / worlds };
    }),
    baselines: [
      baseline("designed", reported[0].values), ...(fixed === null ? [] : [baseline("best-fixed", reported[fixed].values)]),
      baseline("random", randomReported.map(({ values }) => momentsOf(values).mean)), baseline("oracle", bests),
    ],
    looked: found.points.map((_, index) => ({ id: judgedAt(index).design.stimulus.id, everyTicks: judgedAt(index).design.everyTicks, value: found.fitness[index].goals[0], leaving: -found.fitness[index].goals[1], violation: found.fitness[index].violation })),
    designs: space.dimensions.reduce((all, { choices }) => all * choices.length, 1), isWhole: found.isWhole,
  };
}

/** At most FRONT_MOST of a list at even distances, ends included. */
const thinned = (list: readonly number[]): readonly number[] =>
  list.length <= FRONT_MOST ? list : Array.from({ length: FRONT_MOST }, (_, at) => list[Math.round((at * (list.length - 1)) / (FRONT_MOST - 1))]);

function estimateOf(values: Float64Array): Estimate {
  const sorted = values.toSorted();
  return { mean: momentsOf(values).mean, low: quantileOfSorted(sorted, 0.05), high: quantileOfSorted(sorted, 0.95) };
}

/** What a design came to on some worlds, per agent over the study. */
interface Judged {
  readonly design: Design;
  readonly values: Float64Array;
  readonly leavings: Float64Array;
  /** By [persona][world], per agent of the persona. */
  readonly byPersona: readonly Float64Array[];
  readonly costMinor: number;
  /** Economic value of a response less what the offer costs, mean over personas. */
  readonly marginMinor: number;
}

function judge(model: Model, study: Study, step: number, designs: readonly Design[], half: 0 | 1): readonly Judged[] {
  if (designs.length > CHUNK) return Array.from({ length: Math.ceil(designs.length / CHUNK) }, (_, at) => designs.slice(at * CHUNK, (at + 1) * CHUNK)).flatMap((chunk) => judge(model, study, step, chunk, half));
  // What happens in the ticks between contacts: responses that nobody caused are part of every cadence.
  const idle = stimuliOf(model, study).find((stimulus) => !stimulus.contact);
  const shown = new Map([...designs.map(({ stimulus }) => stimulus), ...(idle === undefined ? [] : [idle])].map((stimulus) => [stimulus.id as string, stimulus]));
  const plan = compilePlan(model, {
    ...study, worlds: Math.min(study.worlds, 2 * WORLDS_MOST), newStimuli: [...shown.values()].filter(({ id }) => !model.response.stimuli.some((other) => other.id === id)), stimuli: [...shown.keys()], scenarios: [], influence: null,
    population: { ...study.population, form: study.population.form === "factor" ? "factor" : "coded" },
  }, { half, unseenAlike: half === 0 });
  const personas = personasOf(model, study), life = new CrowdLife(plan, step), everybody = plan.personas.reduce((sum, persona) => sum + persona.agents, 0);
  const idleAt = idle === undefined ? -1 : plan.stimuli.findIndex((stimulus) => stimulus.id === idle.id);
  const drafts = designs.map((design) => ({
    design, values: new Float64Array(plan.worlds), leavings: new Float64Array(plan.worlds), byPersona: personas.map(() => new Float64Array(plan.worlds)), costMinor: 0, marginMinor: 0,
    at: plan.stimuli.findIndex((stimulus) => stimulus.id === design.stimulus.id),
    shown: (index: number) => Array.from({ length: study.ticks }, (_, tick) => (tick % design.everyTicks === 0 ? index : idleAt)),
  }));
  personas.forEach((persona, p) => {
    const weight = plan.personas[p].agents / everybody;
    for (const draft of drafts) draft.marginMinor += weight * (economicValue(model, persona, draft.design.stimulus, study.economicValueMinor) - (draft.design.stimulus.offer.costMinor ?? 0));
    for (let world = 0; world < plan.worlds; world += 1) {
      life.take(p, world);
      const silence = idle === undefined ? 0 : economicValue(model, persona, idle, study.economicValueMinor);
      const never = idle === undefined ? 0 : silence * life.live(Array.from({ length: study.ticks }, () => idleAt)).byStimulus[idleAt].responses;
      for (const draft of drafts) {
        const { stimulus } = draft.design, { byStimulus, leavings } = life.live(draft.shown(draft.at)), { exposures, responses } = byStimulus[draft.at];
        const cost = exposures * stimulus.contactCostMinor + responses * (stimulus.offer.costMinor ?? 0);
        const value = responses * economicValue(model, persona, stimulus, study.economicValueMinor) - cost + (idle === undefined ? 0 : silence * byStimulus[idleAt].responses) - never;
        draft.byPersona[p][world] = value;
        draft.values[world] += weight * value;
        draft.leavings[world] += weight * leavings;
        draft.costMinor += (weight * cost) / plan.worlds;
      }
    }
  });
  return drafts;
}
