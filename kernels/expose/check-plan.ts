import { PopulaceError } from "@populace/domain/error";
import { drawBounds } from "./bounds.ts";
import { type ExposeBlock, type ExposePersona, type ExposePlan, LEVEL_SLOT } from "./plan.ts";
import { THIN_BITS } from "./tables.ts";
import { GROUP_AGENTS } from "./thinning.ts";

/** Largest sum of squares of a copula row: a unit vector in Q14, and the rounding of its 64 entries. */
const COPULA_ROW_MAX = 2 ** 28 + 2 ** 23;
/** Plans are immutable, so one look is enough. */
const checked = new WeakSet<ExposePlan>();

/**
 * Throws BAD_STUDY, naming the place, unless the plan keeps every bound that the kernels rely on (SPEC.md): shapes, ranges of codes and
 * offsets, sums that stay in 32 bits, thinned draws whose bound is true. Plans come over the network, and a backend reads memory by them.
 */
export function checkPlan(plan: ExposePlan): void {
  if (checked.has(plan)) return;
  const { worlds, ticks, personas, stimuli, scenarios, steps, slots, factors, ordinalsMax, tableLength } = plan;
  const stepCount = steps.length, cells = worlds * personas.length * stimuli.length;
  const isWide = plan.arithmeticProfile === "nest16-2";
  within("worlds", worlds, 1, 16_384);
  within("ticks", ticks, 1, 100_000);
  within("ordinalsMax", ordinalsMax, 1, 65_535);
  within("steps", stepCount, 1, 4);
  within("pressureGain", plan.pressureGain, 0, 255);
  within("pressureGainResponse", plan.pressureGainResponse, 0, 255);
  within("gapTicks", plan.gapTicks, 0, 7);
  if (factors > 0) {
    if (factors % 4 !== 0 || factors > 16 || isWide) refuse(`${factors} factors in profile ${plan.arithmeticProfile}; expected 4, 8, 12 or 16 in nest8-2`);
  } else if (slots % 16 !== 0 || slots < 16 || slots > 64) refuse(`${slots} slots; expected 16, 32, 48 or 64`);
  long("slotKind", plan.slotKind, slots);
  long("tableOffset", plan.tableOffset, slots);
  const rows = factors > 0 ? 0 : worlds * stimuli.length * stepCount;
  long("weights", plan.weights, rows * slots);
  long("tables", plan.tables, rows * tableLength);
  long("factorWeights", plan.factorWeights, cells * stepCount * factors);
  long("bias", plan.bias, cells * stepCount);
  long("leaveBias", plan.leaveBias, cells);
  long("offset", plan.offset, ticks * personas.length * stimuli.length * stepCount);
  long("pressureWeight", plan.pressureWeight, stepCount);
  long("drawBits", plan.drawBits, worlds * personas.length);
  long("leaveBits", plan.leaveBits, worlds * personas.length);
  if (isWide) for (let row = 0; row < rows; row++) checkWideRow(plan, row);
  personas.forEach((persona, p) => checkPersona(plan, persona, p));
  scenarios.forEach(({ schedule }, c) => checkSchedule(plan, schedule, c));
  checkThinning(plan);
  const { influence } = plan;
  if (influence !== null) {
    long("influence.rowStart", influence.rowStart, personas.length + 1);
    long("influence.shareThreshold", influence.shareThreshold, stepCount);
    long("influence.awareWeight", influence.awareWeight, stepCount);
    const entries = influence.rowStart[personas.length];
    long("influence.source", influence.source, entries);
    long("influence.weight", influence.weight, entries);
    if (influence.rowStart.some((start, q) => start < (q === 0 ? 0 : influence.rowStart[q - 1])) || influence.source.some((source) => source < 0 || source >= personas.length)) {
      refuse("influence.rowStart or influence.source points outside the personas");
    }
  }
  checked.add(plan);
}

/** Throws INTERNAL unless the block lies within its persona and starts at a multiple of 256. */
export function checkBlock(plan: ExposePlan, block: ExposeBlock): void {
  const agents = plan.personas[block.persona]?.agents ?? 0;
  if (block.firstAgent % GROUP_AGENTS !== 0 || block.agents < 1 || block.firstAgent + block.agents > agents) {
    throw new PopulaceError("INTERNAL", `kernel expose: a block of agents ${block.firstAgent} to ${block.firstAgent + block.agents - 1} of persona ${block.persona} with ${agents} agents; expected a start at a multiple of ${GROUP_AGENTS} and an end within`, { block });
  }
}

function checkPersona(plan: ExposePlan, persona: ExposePersona, index: number): void {
  const at = `persona ${index}`;
  const isWide = plan.arithmeticProfile === "nest16-2";
  within(`${at}: agents`, persona.agents, 0, 2 ** 32 - 65_536);
  within(`${at}: worldShift`, persona.worldShift, 0, 31);
  if (plan.factors > 0 && persona.traits.length > 0) refuse(`${at} has traits in the factor form; expected none`);
  const seen = new Set<number>();
  persona.traits.forEach((trait, j) => {
    const where = `${at}, trait ${j}`;
    within(`${where}: slot`, trait.slot, 0, plan.slots - 1);
    if (seen.has(trait.slot)) refuse(`${where}: slot ${trait.slot} has a trait already`);
    seen.add(trait.slot);
    const isTable = plan.slotKind[trait.slot] === LEVEL_SLOT;
    let codes: readonly [number, number] = [-128, 127];
    if (trait.kind === "level") {
      const levels = trait.codes.length;
      within(`${where}: levels`, levels, 1, 256);
      long(`${where}: cumulative`, trait.cumulative, plan.worlds * levels);
      for (let world = 0; world < plan.worlds; world++) {
        for (let level = 0; level < levels; level++) {
          const share = trait.cumulative[world * levels + level];
          if (share > 65_536 || (level > 0 && share < trait.cumulative[world * levels + level - 1]) || (level === levels - 1 && share !== 65_536)) {
            refuse(`${where}: cumulative shares of world ${world} do not ascend to 65,536`);
          }
        }
      }
      codes = [Math.min(...trait.codes), Math.max(...trait.codes)];
    } else {
      long(`${where}: quantiles`, trait.quantiles, 257);
      long(`${where}: offset`, trait.offset, plan.worlds);
      long(`${where}: scale`, trait.scale, plan.worlds);
      if (isTable && isWide) refuse(`${where}: a number's table by code needs profile nest8-2`);
      for (let k = 0; k < 256; k++) if (Math.abs(trait.quantiles[k + 1] - trait.quantiles[k]) * 255 >= 2 ** 31) refuse(`${where}: quantiles ${k} and ${k + 1} lie too far apart for 32 bits`);
    }
    if (isTable) {
      const offset = plan.tableOffset[trait.slot];
      if (offset + codes[0] < 0 || offset + codes[1] >= plan.tableLength) refuse(`${where}: codes ${codes[0]} to ${codes[1]} at table offset ${offset} leave a table of ${plan.tableLength}`);
    }
  });
  // A slot without a trait is read at code 0.
  for (let slot = 0; slot < plan.slots; slot++) {
    if (plan.slotKind[slot] === LEVEL_SLOT && !seen.has(slot) && (plan.tableOffset[slot] < 0 || plan.tableOffset[slot] >= plan.tableLength)) refuse(`${at}: slot ${slot} has no trait and its table no code 0`);
  }
  const n = persona.traits.length;
  if (persona.copula.length > 0) long(`${at}: copula`, persona.copula, (n * (n + 1)) / 2);
  for (let j = 0, row = 0; row < persona.copula.length; row += ++j) {
    let squares = 0;
    for (let k = 0; k <= j; k++) squares += persona.copula[row + k] ** 2;
    if (squares > COPULA_ROW_MAX) refuse(`${at}: row ${j} of the copula is longer than a unit vector`);
  }
}

function checkSchedule(plan: ExposePlan, schedule: Int16Array, scenario: number): void {
  long(`scenario ${scenario}: schedule`, schedule, plan.ticks * plan.ordinalsMax * plan.personas.length);
  const cells = new Set(plan.cells.filter((cell) => cell.scenario === scenario).map((cell) => cell.stimulus));
  for (let at = 0; at < schedule.length; at++) {
    const stimulus = schedule[at];
    if (stimulus >= 0 && !cells.has(stimulus)) {
      const tick = Math.floor(at / (plan.ordinalsMax * plan.personas.length));
      refuse(`scenario ${scenario} shows stimulus ${stimulus} at tick ${tick}, but the plan has no such cell`);
    }
  }
}

function checkThinning(plan: ExposePlan): void {
  const thinned = (bits: Uint8Array): boolean => bits.some((value) => value !== 0);
  if (!thinned(plan.drawBits) && !thinned(plan.leaveBits)) return;
  const bounds = drawBounds(plan);
  for (const [name, bits, bound] of [["DRAW", plan.drawBits, bounds.draw], ["LEAVE", plan.leaveBits, bounds.leave]] as const) {
    bits.forEach((value, at) => {
      if (value === 0) return;
      const world = Math.floor(at / plan.personas.length), persona = at % plan.personas.length;
      if (value < THIN_BITS.min || value > THIN_BITS.max || plan.personas[persona].worldShift < 8) refuse(`persona ${persona}, world ${world}: ${name} is thinned at ${value} bits; expected ${THIN_BITS.min} to ${THIN_BITS.max} and a worldShift of 8 or more`);
      if (bound[at] > 2 ** (32 - value)) refuse(`persona ${persona}, world ${world}: ${name} is thinned at ${value} bits, but a threshold can reach ${bound[at]} of 2^32: responses would be lost`);
    });
  }
}

/** |sum code * weight| stays below 2^31 for any int16 codes. */
function checkWideRow(plan: ExposePlan, row: number): void {
  let sum = 0;
  for (let slot = 0; slot < plan.slots; slot++) sum += Math.abs(plan.weights[row * plan.slots + slot]);
  if (sum > 65_535) refuse(`weights of row ${row} add up to ${sum} in profile nest16-2, where at most 65,535 (16 logits at the ends of all scales) fit 32 bits; use nest8-2`);
}

function within(what: string, value: number, low: number, high: number): void {
  if (!(Number.isInteger(value) && value >= low && value <= high)) refuse(`${what} is ${value}; expected an integer from ${low} to ${high}`);
}

function long(what: string, array: { readonly length: number }, length: number): void {
  if (array.length !== length) refuse(`${what} has ${array.length} entries; expected ${length}`);
}

function refuse(what: string): never {
  throw new PopulaceError("BAD_STUDY", `kernel expose: the plan breaks its specification: ${what}`, {});
}
