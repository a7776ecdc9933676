import { PRESSURES } from "@populace/domain";
import { openPeople, sigmoidQ32 } from "@populace/kernels";
import type { People } from "@populace/kernels";
import type { Plan } from "@populace/protocol";
import { CROWD, takeCrowd } from "./crowd.ts";

/** Ticks since the last contact, saturating; so many = long ago or never. */
const SINCE_MOST = 7;

/**
 * A crowd of one persona in one world: its rates at any pressure, and its life under a schedule, as one tick of an agent says (kernels/expose/SPEC.md) with
 * expectations in the place of draws. Every member leaves for itself; pressure is the mean of those still there, which is everybody's where
 * responses add none. Without influence between personas.
 */
export class CrowdLife {
  readonly #plan: Plan;
  readonly #people: People;
  readonly #step: number;
  #persona = -1;
  #world = 0;
  #logits: Int32Array = new Int32Array(0);
  readonly #silence = new Map<number, Float64Array>();
  readonly #isStill: boolean;

  /** `step`: index of the step whose responses count. */
  constructor(plan: Plan, step: number) {
    this.#plan = plan;
    this.#people = openPeople(plan);
    this.#step = step;
    this.#isStill = plan.offset.every((offset) => offset === 0);
  }

  /** Each member's chances of the step that counts under a stimulus that is no contact: without shocks they are the same at every tick. */
  #chancesInSilence(stimulus: number): Float64Array {
    let chances = this.#silence.get(stimulus);
    if (chances === undefined) {
      const { steps } = this.#bias(stimulus, 0, 0), logits = this.#logits;
      chances = new Float64Array(CROWD).fill(1);
      for (let k = 0; k <= this.#step; k += 1) for (let i = 0; i < CROWD; i += 1) chances[i] *= chanceAt(logits[(stimulus * steps.length + k) * CROWD + i] + steps[k]);
      this.#silence.set(stimulus, chances);
    }
    return chances;
  }

  /** Goes to a persona and world of the plan. */
  take(persona: number, world: number): void {
    if (this.#persona !== persona) takeCrowd(this.#people, this.#plan, persona, 0);
    this.#persona = persona;
    this.#world = world;
    this.#logits = this.#people.logits(world);
    this.#silence.clear();
  }

  /** Biases of a stimulus' steps at a tick and pressure (Q14), and that of leaving. */
  #bias(stimulus: number, tick: number, pressure: number): { readonly steps: number[]; readonly leave: number } {
    const plan = this.#plan, stepCount = plan.steps.length, cells = plan.stimuli.length, row = (this.#world * plan.personas.length + this.#persona) * cells + stimulus;
    const isContact = plan.stimuli[stimulus].contact, offset = ((tick * plan.personas.length + this.#persona) * cells + stimulus) * stepCount;
    return {
      steps: plan.steps.map((_, k) => plan.bias[row * stepCount + k] + plan.offset[offset + k] - (isContact ? pressure * plan.pressureWeight[k] : 0)),
      leave: isContact ? chanceAt(plan.leaveBias[row] + pressure * plan.pressureLeaveWeight) : 0,
    };
  }

  /** Mean chances over the crowd: to reach the first step, the step that counts, and to leave. */
  rates(stimulus: number, tick: number, pressure: number): { readonly first: number; readonly last: number; readonly leave: number } {
    const { steps, leave } = this.#bias(stimulus, tick, pressure);
    const logits = this.#logits, count = steps.length, own = this.#step;
    let first = 0, last = 0, leaving = 0;
    for (let i = 0; i < CROWD; i += 1) {
      let q = 1;
      for (let k = 0; k < count; k += 1) {
        q *= chanceAt(logits[(stimulus * count + k) * CROWD + i] + steps[k]);
        if (k === 0) first += q;
        if (k === own) last += q;
      }
      leaving += (1 - q) * leave;
    }
    return { first: first / CROWD, last: last / CROWD, leave: leaving / CROWD };
  }

  /** Expected exposures and responses per member by stimulus, and leavings. `stimuli`: one a tick, -1 = none; `outside`: contacts by others, which come first. */
  live(stimuli: readonly number[], outside: readonly number[] = []): { readonly byStimulus: readonly { readonly exposures: number; readonly responses: number }[]; readonly leavings: number } {
    const plan = this.#plan, returning = plan.personas[this.#persona].returnThreshold / 2 ** 32, there = new Float64Array(CROWD).fill(1);
    const byStimulus = plan.stimuli.map(() => ({ exposures: 0, responses: 0 }));
    const logits = this.#logits, count = plan.steps.length, counted = this.#step;
    let pressure = 0, since = SINCE_MOST, leavings = 0;
    stimuli.forEach((stimulus, tick) => {
      pressure -= (pressure + 15) >>> 4;
      if (returning > 0) for (let i = 0; i < CROWD; i += 1) there[i] += (1 - there[i]) * returning;
      since = Math.min(SINCE_MOST, since + 1);
      if ((outside[tick] ?? 0) > 0) {
        since = 0;
        pressure = Math.min(PRESSURES - 1, pressure + outside[tick] * plan.pressureGain);
      }
      if (stimulus < 0 || (plan.stimuli[stimulus].contact && plan.gapTicks > 0 && since < plan.gapTicks)) return;
      const cell = byStimulus[stimulus];
      if (this.#isStill && !plan.stimuli[stimulus].contact) {
        const chances = this.#chancesInSilence(stimulus);
        for (let i = 0; i < CROWD; i += 1) {
          cell.exposures += there[i] / CROWD;
          cell.responses += (there[i] * chances[i]) / CROWD;
        }
        return;
      }
      const { steps, leave } = this.#bias(stimulus, tick, pressure);
      let present = 0, opened = 0, responses = 0, leaving = 0;
      for (let i = 0; i < CROWD; i += 1) {
        const own = there[i];
        let q = 1;
        for (let k = 0; k < count; k += 1) {
          q *= chanceAt(logits[(stimulus * count + k) * CROWD + i] + steps[k]);
          if (k === 0) opened += own * q;
          if (k === counted) responses += own * q;
        }
        present += own;
        const leaves = own * (1 - q) * leave;
        leaving += leaves;
        there[i] = own - leaves;
      }
      cell.exposures += present / CROWD;
      cell.responses += responses / CROWD;
      leavings += leaving / CROWD;
      if (!plan.stimuli[stimulus].contact) return;
      since = 0;
      pressure = Math.min(PRESSURES - 1, Math.round(pressure + plan.pressureGain + (present > 0 ? (opened / present) * plan.pressureGainResponse : 0)));
    });
    return { byStimulus, leavings };
  }
}

/** Probability of a logit (Q14), by the kernel's own table. */
const chanceAt = (logit: number): number => sigmoidQ32(logit) / 2 ** 32;
