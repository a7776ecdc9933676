/** The reference of the kernel `mean-field` (SPEC.md): plain TypeScript, the numbers every other backend must give. */
import { mulHigh } from "@populace/domain/random";
import { checkPlan } from "../expose/check-plan.ts";
import { type ExposePlan, LEVEL_SLOT } from "../expose/plan.ts";
import { codeColumns, type Codes, coder, codesArray, codesOf, drawUniforms } from "../expose/population.ts";
import { traitLogit } from "../expose/reference.ts";
import { sigmoidQ32 } from "../expose/tables.ts";
import { checkHistogram, checkPanel } from "./check.ts";
import { HISTOGRAM_BINS, type HistogramOf, type MeanFieldKernel } from "./port.ts";

/** Expected rates: see `MeanFieldSession.rates`. */
export function referenceRates(plan: ExposePlan, panelAgents: number): Float64Array {
  checkPlan(plan);
  checkPanel(panelAgents);
  const { worlds, personas, cells } = plan;
  const stepCount = plan.steps.length;
  const rates = new Float64Array(worlds * cells.length * personas.length * stepCount);
  const shown = [...new Set(cells.map((cell) => cell.stimulus))];
  const sums = new Float64Array(stepCount), levelSlots = levelSlotsOf(plan);
  personas.forEach((_, persona) => {
    const codesIn = codesByWorld(plan, persona, 0, panelAgents);
    for (let world = 0; world < worlds; world++) {
      const codes = codesIn(world);
      for (const stimulus of shown) {
        sums.fill(0);
        for (let i = 0; i < panelAgents; i++) {
          let q = 0xffffffff;
          for (let k = 0; k < stepCount; k++) {
            const p = sigmoidQ32(logitOf(plan, codes, i, world, persona, stimulus, k, levelSlots));
            q = k === 0 ? p : mulHigh(q, p);
            sums[k] += q;
          }
        }
        cells.forEach(({ stimulus: of }, cellIndex) => {
          if (of !== stimulus) return;
          const at = ((world * cells.length + cellIndex) * personas.length + persona) * stepCount;
          for (let k = 0; k < stepCount; k++) rates[at + k] = sums[k] / (panelAgents * 0x1_0000_0000);
        });
      }
    }
  });
  return rates;
}

/** A logit histogram: see `MeanFieldSession.histogram`. */
export function referenceHistogram(plan: ExposePlan, of: HistogramOf): Uint32Array {
  checkPlan(plan);
  checkHistogram(plan, of);
  const { persona, world, stimulus, step, firstAgent, agents } = of;
  const histogram = new Uint32Array(HISTOGRAM_BINS), levelSlots = levelSlotsOf(plan);
  const codes = codesByWorld(plan, persona, firstAgent, agents)(world);
  for (let i = 0; i < agents; i++) {
    let q = 0xffffffff;
    for (let k = 0; k < step; k++) {
      const p = sigmoidQ32(logitOf(plan, codes, i, world, persona, stimulus, k, levelSlots));
      q = k === 0 ? p : mulHigh(q, p);
    }
    const bin = (logitOf(plan, codes, i, world, persona, stimulus, step, levelSlots) >> 6) + HISTOGRAM_BINS / 2;
    histogram[bin < 0 ? 0 : bin >= HISTOGRAM_BINS ? HISTOGRAM_BINS - 1 : bin] += step === 0 ? 1 : q >>> 16;
  }
  return histogram;
}

/** The reference as a kernel. */
export const meanFieldReference: MeanFieldKernel = {
  async open(plan) {
    checkPlan(plan);
    return { rates: async (panelAgents) => referenceRates(plan, panelAgents), histogram: async (of) => referenceHistogram(plan, of), close() {} };
  },
};

function logitOf(plan: ExposePlan, codes: Codes, i: number, world: number, persona: number, stimulus: number, k: number, levelSlots: Int32Array): number {
  const { stimuli, steps, personas } = plan;
  const cell = ((world * personas.length + persona) * stimuli.length + stimulus) * steps.length + k;
  const row = plan.factors > 0 ? cell : (world * stimuli.length + stimulus) * steps.length + k;
  return (traitLogit(plan, codes, i, row, levelSlots) + plan.bias[cell] + plan.offset[(persona * stimuli.length + stimulus) * steps.length + k]) | 0;
}

/** The agents' codes in any world, from uniforms drawn once. The array is reused from world to world. */
function codesByWorld(plan: ExposePlan, persona: number, firstAgent: number, agents: number): (world: number) => Codes {
  const columns = codeColumns(plan), { traits } = plan.personas[persona];
  const codes = codesArray(plan, agents * columns);
  if (plan.factors > 0) {
    codesOf(plan, { persona, firstAgent, agents }, codes);
    return () => codes;
  }
  const uniforms = new Uint16Array(traits.length * agents);
  drawUniforms(plan.personas[persona], firstAgent, agents, uniforms);
  const coders = traits.map((trait) => coder(plan, trait));
  return (world) => {
    traits.forEach((trait, j) => {
      for (let i = 0; i < agents; i++) codes[i * columns + trait.slot] = coders[j](world, uniforms[j * agents + i]);
    });
    return codes;
  };
}

const levelSlotsOf = (plan: ExposePlan): Int32Array => Int32Array.from({ length: plan.slots }, (_, slot) => slot).filter((slot) => plan.slotKind[slot] === LEVEL_SLOT);
