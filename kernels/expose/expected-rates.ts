import { mulHigh } from "@populace/domain/random";
import { type ExposePlan, LEVEL_SLOT } from "./plan.ts";
import { codeColumns, coder, codesArray, codesOf, drawUniforms } from "./population.ts";
import { traitLogit } from "./reference.ts";
import { sigmoidQ32 } from "./tables.ts";

/**
 * The expected response rates of every world: worlds x cells x personas x steps, each the mean over the persona's first
 * `panelAgents` agents (drawn with that world's trait parameters from the same uniforms in each world) of the nested chance
 * q_k to reach step k at tick 0, by an agent without history. No sampling of responses, so the spread over worlds is that
 * of the parameters. Personas without agents are evaluated as well. About 0.2 us per world, stimulus, persona and agent.
 */
export function expectedRates(plan: ExposePlan, options: { readonly panelAgents: number }): Float64Array {
  const { worlds, stimuli, personas, cells } = plan;
  const panel = options.panelAgents, stepCount = plan.steps.length, columns = codeColumns(plan);
  const rates = new Float64Array(worlds * cells.length * personas.length * stepCount);
  const shown = [...new Set(cells.map((cell) => cell.stimulus))];
  const levelSlots = Int32Array.from({ length: plan.slots }, (_, slot) => slot).filter((slot) => plan.slotKind[slot] === LEVEL_SLOT);
  const sums = new Float64Array(stepCount), codes = codesArray(plan, panel * columns);

  personas.forEach((persona, personaIndex) => {
    const uniforms = new Uint16Array(persona.traits.length * panel);
    if (plan.factors > 0) codesOf(plan, { persona: personaIndex, firstAgent: 0, agents: panel }, codes);
    else drawUniforms(persona, 0, panel, uniforms);
    const coders = persona.traits.map((trait) => coder(plan, trait));
    if (plan.factors === 0) codes.fill(0);
    for (let world = 0; world < worlds; world++) {
      persona.traits.forEach((trait, j) => {
        for (let i = 0; i < panel; i++) codes[i * columns + trait.slot] = coders[j](world, uniforms[j * panel + i]);
      });
      for (const stimulus of shown) {
        const cell = ((world * personas.length + personaIndex) * stimuli.length + stimulus) * stepCount;
        const row = plan.factors > 0 ? cell : (world * stimuli.length + stimulus) * stepCount;
        sums.fill(0);
        for (let i = 0; i < panel; i++) {
          let q = 0xffffffff;
          for (let k = 0; k < stepCount; k++) {
            const x = traitLogit(plan, codes, i, row + k, levelSlots) + plan.bias[cell + k] + plan.offset[(personaIndex * stimuli.length + stimulus) * stepCount + k];
            const p = sigmoidQ32(x | 0);
            q = k === 0 ? p : mulHigh(q, p);
            sums[k] += q;
          }
        }
        cells.forEach(({ stimulus: of }, cellIndex) => {
          if (of !== stimulus) return;
          const at = ((world * cells.length + cellIndex) * personas.length + personaIndex) * stepCount;
          for (let k = 0; k < stepCount; k++) rates[at + k] = sums[k] / (panel * 0x1_0000_0000);
        });
      }
    }
  });
  return rates;
}
