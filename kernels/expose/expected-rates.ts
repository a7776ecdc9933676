import { mulHigh } from "@populace/domain/random";
import type { ExposePlan } from "./plan.ts";
import { codeOf, drawUniforms } from "./population.ts";
import { sigmoidQ32 } from "./tables.ts";

/**
 * The expected response rates of every world: worlds x cells x personas x steps, each the mean over the persona's first
 * `panelAgents` agents (drawn with that world's trait parameters from the same uniforms in each world) of the nested chance
 * q_k to reach step k at tick 0, by an agent without history. No sampling of responses, so the spread over worlds is that
 * of the parameters. Personas without agents are evaluated as well. About 0.2 us per world, stimulus, persona and agent.
 */
export function expectedRates(plan: ExposePlan, options: { readonly panelAgents: number }): Float64Array {
  const { worlds, slots, stimuli, personas, cells } = plan;
  const panel = options.panelAgents, stepCount = plan.steps.length;
  const rates = new Float64Array(worlds * cells.length * personas.length * stepCount);
  const shown = [...new Set(cells.map((cell) => cell.stimulus))];
  const sums = new Float64Array(stepCount), codes = new Int8Array(panel * slots);

  personas.forEach((persona, personaIndex) => {
    const uniforms = new Uint16Array(persona.traits.length * panel);
    drawUniforms(persona, 0, panel, uniforms);
    const isLevel = (slot: number): boolean => plan.tableOffset[slot] >= 0;
    const slotsOf = (level: boolean): Int32Array => Int32Array.from(persona.traits.map((trait) => trait.slot).filter((slot) => isLevel(slot) === level));
    const numericSlots = slotsOf(false), levelSlots = Int32Array.from({ length: slots }, (_, slot) => slot).filter(isLevel);
    codes.fill(0);
    for (let world = 0; world < worlds; world++) {
      persona.traits.forEach((trait, j) => {
        for (let i = 0; i < panel; i++) codes[i * slots + trait.slot] = codeOf(trait, world, uniforms[j * panel + i]);
      });
      for (const stimulus of shown) {
        const base = new Int32Array(stepCount);
        for (let k = 0; k < stepCount; k++) {
          base[k] = plan.bias[((world * personas.length + personaIndex) * stimuli.length + stimulus) * stepCount + k]
            + plan.offset[(personaIndex * stimuli.length + stimulus) * stepCount + k];
        }
        sumReached(plan, codes, panel, (world * stimuli.length + stimulus) * stepCount, base, numericSlots, levelSlots, sums);
        cells.forEach((cell, cellIndex) => {
          if (cell.stimulus !== stimulus) return;
          const at = ((world * cells.length + cellIndex) * personas.length + personaIndex) * stepCount;
          for (let k = 0; k < stepCount; k++) rates[at + k] = sums[k] / (panel * 0x1_0000_0000);
        });
      }
    }
  });
  return rates;
}

/** Overwrites `sums` with the sum over the panel of q_k, one a step; `row` = (world, stimulus, step 0), `base` = bias and offset. */
function sumReached(
  plan: ExposePlan, codes: Int8Array, panel: number, row: number, base: Int32Array, numericSlots: Int32Array, levelSlots: Int32Array, sums: Float64Array,
): void {
  const { slots, weights, tables, tableLength, tableOffset } = plan;
  const stepCount = base.length, numericCount = numericSlots.length, levelCount = levelSlots.length;
  sums.fill(0);
  for (let i = 0; i < panel; i++) {
    const at = i * slots;
    let q = 0xffffffff;
    for (let k = 0; k < stepCount; k++) {
      const weightsAt = (row + k) * slots, tableAt = (row + k) * tableLength;
      let acc = 16;
      for (let n = 0; n < numericCount; n++) acc = (acc + Math.imul(codes[at + numericSlots[n]], weights[weightsAt + numericSlots[n]])) | 0;
      let x = ((acc >> 5) + base[k]) | 0;
      for (let l = 0; l < levelCount; l++) x = (x + tables[tableAt + tableOffset[levelSlots[l]] + codes[at + levelSlots[l]]]) | 0;
      const p = sigmoidQ32(x);
      q = k === 0 ? p : mulHigh(q, p);
      sums[k] += q;
    }
  }
}
