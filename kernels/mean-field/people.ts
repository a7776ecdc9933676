import { mulHigh } from "@populace/domain/random";
import { isSimdHere } from "../backends/webassembly.ts";
import { checkPlan } from "../expose/check-plan.ts";
import { type ExposePlan, LEVEL_SLOT } from "../expose/plan.ts";
import { codeColumns, coder, codesArray, correlateUniforms } from "../expose/population.ts";
import { traitLogit } from "../expose/reference.ts";
import { sigmoidQ32 } from "../expose/tables.ts";
import { type People, peopleDimensions } from "./port.ts";
import { wasmPeople } from "./wasm.ts";

/** Opens a plan for people. BAD_STUDY when the plan breaks a bound of its specification. */
export function openPeople(plan: ExposePlan): People {
  checkPlan(plan);
  return isSimdHere() ? wasmPeople(plan) : referencePeople(plan);
}

/** The reference. */
export function referencePeople(plan: ExposePlan): People {
  const columns = codeColumns(plan), rows = plan.stimuli.length * plan.steps.length;
  const levelSlots = Int32Array.from({ length: plan.slots }, (_, slot) => slot).filter((slot) => plan.slotKind[slot] === LEVEL_SLOT);
  const out = new Int32Array(rows * 256);
  const stepCount = plan.steps.length;
  let taken = { persona: 0, uniforms: new Uint16Array(0), count: 0 };
  const people: People = {
    take(persona, uniforms, count) {
      taken = { persona, uniforms: uniforms.slice(0, peopleDimensions(plan, persona) * count), count };
      if (plan.factors === 0 && plan.personas[persona].copula.length > 0) correlateUniforms(plan.personas[persona], count, taken.uniforms);
    },
    logits(world) {
      const { persona, uniforms, count } = taken;
      const codes = codesArray(plan, count * columns), { traits } = plan.personas[persona];
      for (let k = 0; k < plan.factors; k++) for (let i = 0; i < count; i++) codes[i * columns + k] = (uniforms[k * count + i] >> 8) - 128;
      traits.forEach((trait, j) => {
        const code = coder(plan, trait);
        for (let i = 0; i < count; i++) codes[i * columns + trait.slot] = code(world, uniforms[j * count + i]);
      });
      for (let row = 0; row < rows; row++) {
        const at = plan.factors > 0 ? (world * plan.personas.length + persona) * rows + row : world * rows + row;
        for (let i = 0; i < count; i++) out[row * 256 + i] = traitLogit(plan, codes, i, at, levelSlots);
      }
      return out;
    },
    replan: () => false,
    rates(world, stimuli) {
      const { persona, count } = taken, logits = people.logits(world), rates = new Float64Array(stimuli.length * stepCount);
      stimuli.forEach((stimulus, s) => {
        for (let i = 0; i < count; i++) {
          let q = 0xffffffff;
          for (let k = 0; k < stepCount; k++) {
            const row = stimulus * stepCount + k, of = persona * rows + row;
            const p = sigmoidQ32((logits[row * 256 + i] + plan.bias[world * plan.personas.length * rows + of] + plan.offset[of]) | 0);
            q = k === 0 ? p : mulHigh(q, p);
            rates[s * stepCount + k] += q;
          }
        }
      });
      return rates.map((sum) => sum / (count * 0x1_0000_0000));
    },
  };
  return people;
}
