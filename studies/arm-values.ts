import type { Stimulus } from "@populace/domain";
import type { Plan } from "@populace/protocol";
import { affordableCrowds, crowdRates } from "./crowd.ts";
import { economicValue } from "./economic-value.ts";
import type { Model } from "./model.ts";
import { compilePlan } from "./plan.ts";
import type { CompileOptions } from "./plan.ts";
import { momentsOf } from "./rates.ts";
import { personasOf, refuseHistories, stimuliOf } from "./study.ts";
import type { Study } from "./study.ts";

/** What one contact of each stimulus is worth to each persona, as far as one half of the worlds knows: the simulator's own expectation, without agents. */
export interface ArmValues {
  /** The plan of one tick that the rates are of. */
  readonly plan: Plan;
  readonly stimuli: readonly Stimulus[];
  /** Indexes in the model. */
  readonly personas: readonly number[];
  /** Worth of a response less what the offer costs, minor units, by [persona][stimulus]. */
  readonly worth: readonly (readonly number[])[];
  /** Expected responses per exposure by [persona][stimulus], mean over the worlds. */
  readonly rate: readonly (readonly number[])[];
  /** Expected value per exposure, minor units, by [persona][stimulus][world]. */
  readonly values: readonly (readonly Float64Array[])[];
  /** Mean of `values` over the worlds. */
  readonly mean: readonly (readonly number[])[];
}

/** Values of the study's stimuli on every second world: 0 to choose on, 1 to report on. `step`: whose responses have the value. */
export function armValues(model: Model, study: Study, step: number, options: CompileOptions & { readonly half: 0 | 1 }): ArmValues {
  refuseHistories(study, "the best stimulus");
  const stimuli = stimuliOf(model, study), personas = personasOf(model, study);
  const plan = compilePlan(model, onceStudy(study, personas.length), options);
  const { worlds, cells } = plan, steps = plan.steps.length, rates = crowdRates(plan, affordableCrowds(plan));
  const worth = personas.map((persona) => stimuli.map((stimulus) => economicValue(model, persona, stimulus, study.economicValueMinor) - (stimulus.offer.costMinor ?? 0)));
  const rateOf = personas.map((_, p) => stimuli.map((_stimulus, s) => {
    const cell = cells.findIndex((other) => other.stimulus === s);
    return Float64Array.from({ length: worlds }, (_world, world) => rates[((world * cells.length + cell) * personas.length + p) * steps + step]);
  }));
  const values = rateOf.map((row, p) => row.map((each, s) => each.map((rate) => rate * worth[p][s] - stimuli[s].contactCostMinor)));
  const means = (rows: readonly (readonly Float64Array[])[]): readonly (readonly number[])[] => rows.map((row) => row.map((each) => momentsOf(each).mean));
  return { plan, stimuli, personas, worth, rate: means(rateOf), values, mean: means(values) };
}

/** The study with every stimulus shown once, at tick 0. */
const onceStudy = (study: Study, personas: number): Study => ({
  ...study, ticks: 1, scenarios: [], influence: null, agents: Math.max(study.agents, personas), population: { ...study.population, form: study.population.form === "factor" ? "factor" : "coded" },
});
