import { type ExposePersona, type ExposePlan, LEVEL_SLOT } from "./plan.ts";
import { sigmoidQ32 } from "./tables.ts";
import { thinBits } from "./thinning.ts";

/** Suprema over everything a run can meet, worlds x personas, as thresholds in 0 .. 2^32: no q_0 of DRAW, no threshold of LEAVE lies above. */
export interface DrawBounds {
  readonly draw: Float64Array;
  readonly leave: Float64Array;
}

/**
 * The exact bounds of a plan's draws: the largest logit over all ticks, scheduled stimuli, codes and states, through the monotone sigmoid
 * table. In the factor form the bound is tight; in the coded form every trait is taken at its worst.
 */
export function drawBounds(plan: ExposePlan): DrawBounds {
  const { worlds, personas, stimuli, steps, influence } = plan;
  const personaCount = personas.length, stepCount = steps.length;
  const pressure = Math.max(0, -255 * plan.pressureWeight[0]);
  const climate = influence === null ? 0 : influence.warmthMax;
  const aware = influence === null ? 0 : Math.max(0, influence.awareWeight[0]);
  const draw = new Float64Array(worlds * personaCount), leave = new Float64Array(worlds * personaCount);
  personas.forEach((persona, p) => {
    const ranges = codeRanges(plan, persona);
    for (const s of shownTo(plan, p)) {
      const { contact } = stimuli[s];
      let offset = -Infinity;
      for (let tick = 0; tick < plan.ticks; tick++) offset = Math.max(offset, plan.offset[((tick * personaCount + p) * stimuli.length + s) * stepCount]);
      const state = aware + (contact ? climate + pressure : 0);
      for (let w = 0; w < worlds; w++) {
        const at = w * personaCount + p, cell = at * stimuli.length + s;
        draw[at] = Math.max(draw[at], threshold(plan.bias[cell * stepCount] + offset + state + traitLogitMax(plan, ranges, w, p, s)));
        if (contact) leave[at] = Math.max(leave[at], threshold(plan.leaveBias[cell] + Math.max(0, 255 * plan.pressureLeaveWeight)));
      }
    }
  });
  return { draw, leave };
}

/** The classes at which a plan's draws can be thinned: those of its bounds where a group lives in one world, else dense. */
export function thinningOf(plan: ExposePlan): { readonly drawBits: Uint8Array; readonly leaveBits: Uint8Array } {
  const bounds = drawBounds(plan);
  const bits = (bound: Float64Array): Uint8Array => Uint8Array.from(bound, (value, at) => (plan.personas[at % plan.personas.length].worldShift < 8 ? 0 : thinBits(value)));
  return { drawBits: bits(bounds.draw), leaveBits: bits(bounds.leave) };
}

/** A logit that leaves 32 bits wraps around in the kernel and could be anything. */
const threshold = (logit: number): number => (logit > 0x7fffffff ? 2 ** 32 : sigmoidQ32(Math.max(logit, -0x80000000)));

/** Stimuli that any scenario ever shows to the persona. */
function shownTo(plan: ExposePlan, persona: number): readonly number[] {
  const shown = new Set<number>();
  for (const { schedule } of plan.scenarios) for (let at = persona; at < schedule.length; at += plan.personas.length) if (schedule[at] >= 0) shown.add(schedule[at]);
  return [...shown];
}

/** Least and largest code of each slot of the persona's agents; slots without a trait hold 0. */
function codeRanges(plan: ExposePlan, persona: ExposePersona): readonly (readonly [number, number])[] {
  const isWide = plan.arithmeticProfile === "nest16-2";
  const ranges: (readonly [number, number])[] = new Array(plan.slots).fill([0, 0]);
  for (const trait of persona.traits) {
    const scale = isWide && plan.slotKind[trait.slot] !== LEVEL_SLOT ? 256 : 1;
    ranges[trait.slot] = trait.kind === "level" ? [Math.min(...trait.codes) * scale, Math.max(...trait.codes) * scale] : isWide ? [-32_768, 32_767] : [-128, 127];
  }
  return ranges;
}

function traitLogitMax(plan: ExposePlan, ranges: readonly (readonly [number, number])[], world: number, persona: number, stimulus: number): number {
  const { factors, slots, stimuli, steps, personas } = plan;
  let acc = 0;
  if (factors > 0) {
    const row = (((world * personas.length + persona) * stimuli.length + stimulus) * steps.length) * factors;
    for (let k = 0; k < factors; k++) acc += Math.max(-128 * plan.factorWeights[row + k], 127 * plan.factorWeights[row + k]);
    return Math.floor((acc + 16) / 32);
  }
  const row = (world * stimuli.length + stimulus) * steps.length;
  let table = 0;
  for (let slot = 0; slot < slots; slot++) {
    const [low, high] = ranges[slot];
    if (plan.slotKind[slot] === LEVEL_SLOT) {
      let most = -Infinity;
      for (let code = low; code <= high; code++) most = Math.max(most, plan.tables[row * plan.tableLength + plan.tableOffset[slot] + code]);
      table += most;
    } else {
      const weight = plan.weights[row * slots + slot];
      acc += Math.max(low * weight, high * weight);
    }
  }
  return (plan.arithmeticProfile === "nest16-2" ? Math.floor((acc + 4096) / 8192) : Math.floor((acc + 16) / 32)) + table;
}
