/** A plan in WebAssembly memory, as the kernels over agents find it (wasm-layout.ts), and an allocator for what comes and goes. */
import { PopulaceError } from "@populace/domain/error";
import { instantiate, type WasmInstance, type WasmSource } from "../backends/webassembly.ts";
import { type ExposePersona, type ExposePlan, type ExposeTrait, LEVEL_SLOT } from "./plan.ts";
import { traitKey } from "./population.ts";
import { countsLength } from "./reference.ts";
import { binomialTable, normalCdfTable, normalQuantileTable, SIGMOID_TABLE, sigmoidQ32, THIN_BITS } from "./tables.ts";
import * as layout from "./wasm-layout.ts";

/** Bytes one memory may grow to; a session opens another beyond. */
const MEMORY_BYTES_MAX = 65_535 * 65_536;
const CHUNK_AGENTS = 256;

/** What every kernel over agents exports. */
export interface AgentExports {
  init(context: number): void;
}

/** For each window of 32 bins of a quarter logit, first bin 0 (-8 logits) to 32 (0): the top byte no threshold of the bin exceeds; the last bin is open. */
const COARSE_TABLE = Uint8Array.from({ length: 33 * 32 }, (_, at) => ((at & 31) === 31 ? 255 : sigmoidQ32((((at >> 5) + (at & 31) - 31) << 12) - 1) >>> 24));
/** For each byte the places of its set bits, eight bytes an entry. */
const COMPRESS_TABLE = Uint8Array.from({ length: 256 * 8 }, (_, at) => [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => ((at >> 3) >> bit) & 1)[at & 7] ?? 0);

/** For each mask of four words a swizzle that moves the set ones to the front. */
const COMPRESS_WORDS_TABLE = Uint8Array.from({ length: 16 * 16 }, (_, at) => {
  const word = [0, 1, 2, 3].filter((bit) => ((at >> 4) >> bit) & 1)[(at & 15) >> 2];
  return word === undefined ? 255 : 4 * word + (at & 3);
});

/** Level slots that share one table: the code of the table is the sum of the slots' codes, each times its stride. */
interface MergedTable {
  readonly slots: readonly { readonly slot: number; readonly stride: number; readonly levels: number }[];
  /** Entries from code 0 on; 257 for a slot whose codes can be negative (it has 128 before and 128 after). */
  readonly length: number;
  readonly offset: number;
}

/** Where the numeric and the level slots of a plan lie in a group of 16 agents' codes. */
export interface SlotPlaces {
  readonly numeric: readonly number[];
  readonly tables: readonly MergedTable[];
  /** Entries of one row of merged tables. */
  readonly tableLength: number;
  readonly pairs: number;
  readonly groupBytes: number;
}

/** Codes that one byte swizzle looks up. */
const SWIZZLE_CODES = 16;

export function slotPlaces(plan: ExposePlan): SlotPlaces {
  const slots = Array.from({ length: plan.slots }, (_, slot) => slot);
  const used = new Set(plan.personas.flatMap((persona) => persona.traits.map((trait) => trait.slot)));
  // A numeric slot without a trait holds 0 and adds nothing; a level slot without one adds its table's entry 0.
  const numeric = slots.filter((slot) => plan.slotKind[slot] !== LEVEL_SLOT && used.has(slot));
  const tables = mergedTables(plan, slots.filter((slot) => plan.slotKind[slot] === LEVEL_SLOT));
  const pairs = Math.ceil(numeric.length / 2);
  return {
    numeric, tables, pairs, tableLength: tables.reduce((sum, table) => sum + table.length, 0),
    groupBytes: pairs * (plan.arithmeticProfile === "nest16-2" ? 64 : 32) + tables.length * 16,
  };
}

/** Level slots put together, largest first, wherever all their combinations stay within one swizzle: a table costs as much for two slots as for one. */
function mergedTables(plan: ExposePlan, levelSlots: readonly number[]): readonly MergedTable[] {
  const groups: { slots: { slot: number; stride: number; levels: number }[]; length: number }[] = [];
  const sized = levelSlots.map((slot) => ({ slot, levels: levelsOf(plan, slot) })).toSorted((a, b) => b.levels - a.levels || a.slot - b.slot);
  for (const { slot, levels } of sized) {
    const room = groups.find((group) => group.length * levels <= SWIZZLE_CODES);
    if (room === undefined) groups.push({ slots: [{ slot, stride: 1, levels }], length: levels });
    else {
      room.slots.push({ slot, stride: room.length, levels });
      room.length *= levels;
    }
  }
  let at = 0;
  return groups.map((group) => {
    const offset = group.length === NEGATIVE_CODES ? at + 128 : at;
    at += group.length;
    return { ...group, offset };
  });
}

/** One memory with the plan in it, and an allocator for what comes and goes. */
export class Arena<Exports extends AgentExports> {
  readonly #wasm: WasmInstance<Exports>;
  readonly context: number;
  #top: number;
  #free = new Map<number, number[]>();
  readonly #places: SlotPlaces;
  readonly #heap: number;

  constructor(source: WasmSource, plan: ExposePlan, places: SlotPlaces) {
    this.#wasm = instantiate<Exports>(source, 1 << 20);
    this.#places = places;
    this.#top = this.#wasm.heapBase;
    this.context = this.must(layout.CONTEXT_WORDS * 4);
    this.#heap = this.#top;
    writePlan(this, plan, places);
    this.#wasm.exports.init(this.context);
  }

  /** Writes a plan with arrays of the same lengths (`hasSameAgents`) over the one that is there; all that was allocated since stays. */
  replan(plan: ExposePlan): void {
    const top = this.#top, free = this.#free;
    this.#top = this.#heap;
    this.#free = new Map();
    writePlan(this, plan, this.#places);
    this.#top = top;
    this.#free = free;
    this.#wasm.exports.init(this.context);
  }

  get scratch(): number {
    return this.words(this.context + layout.F_SCRATCH * 4, 1)[0];
  }

  get exports(): Exports {
    return this.#wasm.exports;
  }

  /** An address of so many zeroed or reused bytes, a multiple of 64; null when the memory is full. */
  allocate(bytes: number): number | null {
    const size = (bytes + 63) & ~63;
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) return reused;
    const end = this.#top + size;
    if (end > MEMORY_BYTES_MAX) return null;
    const { memory } = this.#wasm;
    if (end > memory.buffer.byteLength) {
      // By a sixteenth at least, so that many small blocks grow the memory a few times.
      const pages = Math.ceil(Math.max(end - memory.buffer.byteLength, memory.buffer.byteLength / 16) / 65_536);
      try {
        memory.grow(Math.min(pages, Math.floor((MEMORY_BYTES_MAX - memory.buffer.byteLength) / 65_536)));
      } catch {
        return null;
      }
    }
    this.#top = end;
    return end - size;
  }

  must(bytes: number): number {
    const at = this.allocate(bytes);
    if (at === null) throw new PopulaceError("TOO_LARGE", `kernel expose: the plan and the output of one span do not fit a WebAssembly memory of 4 GiB (${bytes} bytes more were asked for): use fewer worlds, stimuli or personas, or shorter spans`, { bytes });
    return at;
  }

  free(at: number, bytes: number): void {
    const size = (bytes + 63) & ~63, list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [at]);
    else list.push(at);
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#wasm.memory.buffer, at, length);
  }

  words(at: number, length: number): Uint32Array {
    return new Uint32Array(this.#wasm.memory.buffer, at, length);
  }

  set(field: number, value: number): void {
    this.words(this.context + field * 4, 1)[0] = value;
  }

  /** Copies an array into fresh memory and returns its address; 0 stays a valid address of an empty one. */
  put(array: ArrayBufferView & { readonly byteLength: number }): number {
    // 16 bytes more: vectors may be read across the end.
    const at = this.must(array.byteLength + 16);
    this.bytes(at, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return at;
  }
}

/** Whether two plans are about the same agents, shown something at the same times, so that one can take the other's place in an `Arena`. */
export function hasSameAgents(a: ExposePlan, b: ExposePlan): boolean {
  const isShaped = (["arithmeticProfile", "worlds", "ticks", "ordinalsMax", "slots", "tableLength", "factors"] as const).every((key) => a[key] === b[key])
    && (["steps", "stimuli", "personas", "scenarios", "cells"] as const).every((key) => a[key].length === b[key].length) && (a.influence === null) && b.influence === null;
  return isShaped && isSame(a.slotKind, b.slotKind) && isSame(a.tableOffset, b.tableOffset)
    && a.scenarios.every(({ schedule }, at) => isSame(schedule, b.scenarios[at].schedule))
    && a.personas.every((persona, at) => hasSameMembers(persona, b.personas[at]));
}

function hasSameMembers(a: ExposePersona, b: ExposePersona): boolean {
  return a.agents === b.agents && a.worldShift === b.worldShift && a.returnThreshold === b.returnThreshold && isSame(a.key, b.key) && isSame(a.copula, b.copula)
    && (a.traits === b.traits || (a.traits.length === b.traits.length && a.traits.every((trait, at) => isSameTrait(trait, b.traits[at]))));
}

function isSameTrait(a: ExposeTrait, b: ExposeTrait): boolean {
  if (a.slot !== b.slot) return false;
  if (a.kind === "level") return b.kind === "level" && isSame(a.cumulative, b.cumulative) && isSame(a.codes, b.codes);
  return b.kind === "grid" && isSame(a.quantiles, b.quantiles) && isSame(a.offset, b.offset) && isSame(a.scale, b.scale);
}

const isSame = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => a === b || (a.length === b.length && Array.prototype.every.call(a, (value, at) => value === b[at]));

function writePlan(arena: Arena<AgentExports>, plan: ExposePlan, places: SlotPlaces): void {
  const { worlds, personas, stimuli, steps, scenarios } = plan;
  const isWide = plan.arithmeticProfile === "nest16-2";
  const set = (field: number, value: number): void => arena.set(field, value);
  set(layout.F_WORLDS, worlds);
  set(layout.F_PERSONAS, personas.length);
  set(layout.F_STIMULI, stimuli.length);
  set(layout.F_STEPS, steps.length);
  set(layout.F_SCENARIOS, scenarios.length);
  set(layout.F_ORDINALS, plan.ordinalsMax);
  set(layout.F_TICKS, plan.ticks);
  set(layout.F_FACTORS, plan.factors);
  set(layout.F_WIDE, isWide ? 1 : 0);
  set(layout.F_GAP, plan.gapTicks);
  set(layout.F_GAIN, plan.pressureGain);
  set(layout.F_GAIN_RESPONSE, plan.pressureGainResponse);
  set(layout.F_PRESSURE_LEAVE_WEIGHT, plan.pressureLeaveWeight);
  set(layout.F_HAS_PRESSURE, plan.pressureWeight.some((weight) => weight !== 0) ? 1 : 0);
  set(layout.F_HAS_INFLUENCE, plan.influence === null ? 0 : 1);
  set(layout.F_PAIRS, places.pairs);
  set(layout.F_TABLE_COUNT, places.tables.length);
  set(layout.F_GROUP_BYTES, places.groupBytes);
  set(layout.F_COUNTS_LENGTH, countsLength(plan));
  set(layout.F_TICK_WORDS, countsLength(plan) + 2 * scenarios.length);

  set(layout.F_SIGMOID, arena.put(SIGMOID_TABLE));
  set(layout.F_COARSE, arena.put(COARSE_TABLE));
  set(layout.F_COMPRESS, arena.put(COMPRESS_TABLE));
  set(layout.F_COMPRESS_WORDS, arena.put(COMPRESS_WORDS_TABLE));
  const binomials: number[] = [];
  for (let bits = THIN_BITS.min; bits <= THIN_BITS.max; bits++) binomials.push(arena.put(binomialTable(bits)), binomialTable(bits).length);
  set(layout.F_BINOMIAL, arena.put(Uint32Array.from(binomials)));
  const correlated = personas.some((persona) => persona.copula.length > 0);
  set(layout.F_NORMAL, correlated ? arena.put(normalQuantileTable()) : 0);
  set(layout.F_CDF, correlated ? arena.put(normalCdfTable()) : 0);

  writeWeights(arena, plan, places);
  set(layout.F_FACTOR_WEIGHTS, arena.put(plan.factorWeights));
  set(layout.F_BIAS, arena.put(plan.bias));
  set(layout.F_LEAVE_BIAS, arena.put(plan.leaveBias));
  set(layout.F_OFFSET, arena.put(plan.offset));
  set(layout.F_PRESSURE_WEIGHT, arena.put(plan.pressureWeight));
  set(layout.F_AWARE_WEIGHT, plan.influence === null ? 0 : arena.put(plan.influence.awareWeight));
  set(layout.F_SHARE_THRESHOLD, plan.influence === null ? 0 : arena.put(plan.influence.shareThreshold));
  set(layout.F_DRAW_BITS, arena.put(plan.drawBits));
  set(layout.F_LEAVE_BITS, arena.put(plan.leaveBits));
  const schedule = new Int16Array(scenarios.length * plan.ticks * plan.ordinalsMax * personas.length);
  scenarios.forEach((scenario, c) => schedule.set(scenario.schedule, c * plan.ticks * plan.ordinalsMax * personas.length));
  set(layout.F_SCHEDULE, arena.put(schedule));
  const cellOf = new Int32Array(scenarios.length * stimuli.length).fill(-1);
  plan.cells.forEach((cell, index) => { cellOf[cell.scenario * stimuli.length + cell.stimulus] = index; });
  set(layout.F_CELL_OF, arena.put(cellOf));
  set(layout.F_CONTACT, arena.put(Uint8Array.from(stimuli, (stimulus) => (stimulus.contact ? 1 : 0))));
  set(layout.F_PERSONA_TABLE, arena.put(Uint32Array.from(personas.flatMap((persona) => personaWords(arena, plan, places, persona)))));
  set(layout.F_SCRATCH, arena.must(layout.S_STATE + 2 * CHUNK_AGENTS * scenarios.length));
}

/** Weights as pairs of neighboring numeric slots, a row 16 bytes aligned; level slots as merged tables, the small ones as byte planes too. */
function writeWeights(arena: Arena<AgentExports>, plan: ExposePlan, places: SlotPlaces): void {
  const rows = plan.factors > 0 ? 0 : plan.worlds * plan.stimuli.length * plan.steps.length;
  const rowBytes = Math.ceil((places.pairs * 4) / 16) * 16;
  const weights = new Int16Array((rows * rowBytes) / 2);
  for (let row = 0; row < rows; row++) places.numeric.forEach((slot, n) => { weights[(row * rowBytes) / 2 + n] = plan.weights[row * plan.slots + slot]; });
  arena.set(layout.F_WEIGHTS, arena.put(weights));
  arena.set(layout.F_ROW_BYTES, rowBytes);

  const tables = new Int32Array(rows * places.tableLength);
  const planes = new Uint8Array(rows * places.tables.length * 64), narrow = new Uint8Array(rows);
  for (let row = 0; row < rows; row++) {
    places.tables.forEach((table) => {
      for (let code = 0; code < table.length; code++) {
        let effect = 0;
        for (const { slot, stride, levels } of table.slots) {
          const own = table.length === NEGATIVE_CODES ? code - 128 : Math.floor(code / stride) % levels;
          const at = plan.tableOffset[slot] + own;
          if (at >= 0 && at < plan.tableLength) effect = (effect + plan.tables[row * plan.tableLength + at]) | 0;
        }
        tables[row * places.tableLength + (table.length === NEGATIVE_CODES ? table.offset - 128 : table.offset) + code] = effect;
      }
    });
  }
  for (let row = 0; row < rows; row++) {
    let most = 0;
    places.tables.forEach((table, t) => {
      const effects = tables.subarray(row * places.tableLength + table.offset).subarray(0, table.length);
      most += table.length > SWIZZLE_CODES ? Infinity : effects.reduce((largest, effect) => Math.max(largest, Math.abs(effect)), 0);
      if (table.length > SWIZZLE_CODES) return;
      effects.forEach((effect, code) => { for (let byte = 0; byte < 2; byte++) planes[(row * places.tables.length + t) * 64 + byte * 16 + code] = effect >>> (8 * byte); });
    });
    narrow[row] = most <= 0x7fff ? 1 : 0;
  }
  arena.set(layout.F_TABLES, arena.put(tables));
  arena.set(layout.F_TABLE_LENGTH, places.tableLength);
  arena.set(layout.F_PLANES, arena.put(planes));
  arena.set(layout.F_NARROW, arena.put(narrow));
  arena.set(layout.F_TABLE_OFFSET, arena.put(Int32Array.from(places.tables, (table) => table.offset)));
}

/** Entries of the table of a slot whose codes can be negative. */
const NEGATIVE_CODES = 257;

/** One more than the largest code any persona has in a level slot; `NEGATIVE_CODES` when codes can be negative. */
function levelsOf(plan: ExposePlan, slot: number): number {
  let most = 1;
  for (const persona of plan.personas) {
    for (const trait of persona.traits) {
      if (trait.slot !== slot) continue;
      if (trait.kind === "grid" || trait.codes.some((code) => code < 0)) return NEGATIVE_CODES;
      most = Math.max(most, 1 + Math.max(...trait.codes));
    }
  }
  return most;
}

function personaWords(arena: Arena<AgentExports>, plan: ExposePlan, places: SlotPlaces, persona: ExposePersona): number[] {
  const isWide = plan.arithmeticProfile === "nest16-2";
  const traits = persona.traits.flatMap((trait) => {
    const isLevelSlot = plan.slotKind[trait.slot] === LEVEL_SLOT;
    const table = places.tables.findIndex(({ slots }) => slots.some(({ slot }) => slot === trait.slot));
    const place = isLevelSlot ? 2 * places.pairs + table : places.numeric.indexOf(trait.slot);
    const shared = isLevelSlot ? places.tables[table].slots : [];
    const stride = shared.find(({ slot }) => slot === trait.slot)?.stride ?? 1;
    return trait.kind === "level"
      ? [layout.TRAIT_LEVEL, trait.codes.length, arena.put(trait.cumulative), arena.put(trait.codes.map((code) => code * stride)), 0, place, isWide && !isLevelSlot ? 8 : 0, shared.length > 1 ? 1 : 0]
      : [layout.TRAIT_GRID, 0, arena.put(trait.quantiles), arena.put(trait.offset), arena.put(trait.scale), place, 0, 0];
  });
  const keyCount = plan.factors > 0 ? plan.factors / 4 : Math.ceil(persona.traits.length / 2);
  const keys = Uint32Array.from({ length: keyCount * 2 }, (_, at) => traitKey(persona, at >> 1)[at & 1]);
  return [
    persona.key[0], persona.key[1], persona.worldShift, persona.returnThreshold, persona.traits.length,
    arena.put(Uint32Array.from(traits)), arena.put(keys), persona.copula.length > 0 ? arena.put(persona.copula) : 0,
  ];
}
