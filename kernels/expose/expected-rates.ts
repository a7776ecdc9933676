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
  const levelSlots = Array.from({ length: slots }, (_, slot) => slot).filter((slot) => plan.tableOffset[slot] >= 0);
  const sums = new Float64Array(stepCount);
  const usedSlots = new Int32Array(slots), codes = new Int8Array(panel * slots);

  personas.forEach((persona, personaIndex) => {
    const uniforms = new Uint16Array(persona.traits.length * panel);
    drawUniforms(persona, 0, panel, uniforms);
    const numeric = persona.traits.filter((trait) => !levelSlots.includes(trait.slot));
    numeric.forEach((trait, index) => { usedSlots[index] = trait.slot; });
    codes.fill(0);
    for (let world = 0; world < worlds; world++) {
      persona.traits.forEach((trait, j) => {
        for (let i = 0; i < panel; i++) codes[i * slots + trait.slot] = codeOf(trait, world, uniforms[j * panel + i]);
      });
      for (const stimulus of shown) {
        const row = (world * stimuli.length + stimulus) * stepCount;
        const biasAt = ((world * personas.length + personaIndex) * stimuli.length + stimulus) * stepCount;
        const offsetAt = (personaIndex * stimuli.length + stimulus) * stepCount;
        sums.fill(0);
        for (let i = 0; i < panel; i++) {
          let q = 0xffffffff;
          for (let k = 0; k < stepCount; k++) {
            let acc = 0;
            for (let n = 0; n < numeric.length; n++) acc += codes[i * slots + usedSlots[n]] * plan.weights[(row + k) * slots + usedSlots[n]];
            let x = ((acc + 16) >> 5) + plan.bias[biasAt + k] + plan.offset[offsetAt + k];
            for (const slot of levelSlots) x += plan.tables[(row + k) * plan.tableLength + plan.tableOffset[slot] + codes[i * slots + slot]];
            const p = sigmoidQ32(x | 0);
            q = k === 0 ? p : mulHigh(q, p);
            sums[k] += q;
          }
        }
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
