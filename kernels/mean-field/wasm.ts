/** The kernel `mean-field` in SIMD WebAssembly. */
import type { WasmSource } from "../backends/webassembly.ts";
import { checkPlan } from "../expose/check-plan.ts";
import type { ExposePlan } from "../expose/plan.ts";
import * as layout from "../expose/wasm-layout.ts";
import { type AgentExports, Arena, hasSameAgents, slotPlaces } from "../expose/wasm-plan.ts";
import { checkHistogram, checkPanel } from "./check.ts";
import { HISTOGRAM_BINS, type HistogramOf, type MeanFieldKernel, type People, peopleDimensions } from "./port.ts";

interface Exports extends AgentExports {
  takeGiven(count: number): void;
  giveLogits(world: number, out: number): void;
  take(first: number, count: number): void;
  enter(world: number): void;
  addRates(world: number, stimulus: number, sums: number): void;
  addHistogram(world: number, stimulus: number, step: number, histogram: number): void;
}

const CHUNK_AGENTS = 256;
const MODULE = new URL("./mean-field.wasm", import.meta.url);

/** Expected rates: see `MeanFieldSession.rates`. About 3 ns per world, stimulus, step, persona and agent. */
export function wasmRates(plan: ExposePlan, panelAgents: number): Float64Array {
  checkPlan(plan);
  checkPanel(panelAgents);
  return ratesIn(new Arena<Exports>(MODULE, plan, slotPlaces(plan)), plan, panelAgents);
}

/** The kernel on the calling thread. */
export const meanFieldWasm: MeanFieldKernel = meanFieldWasmFrom(MODULE);

/** The kernel of any module with its interface: of the committed one, or of one that a test has changed. */
export function meanFieldWasmFrom(source: WasmSource): MeanFieldKernel {
  return {
    async open(plan) {
      checkPlan(plan);
      const arena = new Arena<Exports>(source, plan, slotPlaces(plan));
      return {
        async rates(panelAgents) {
          checkPanel(panelAgents);
          return ratesIn(arena, plan, panelAgents);
        },
        async histogram(of) {
          checkHistogram(plan, of);
          return histogramIn(arena, of);
        },
        close() {},
      };
    },
  };
}

/** The people of a persona who were taken last, and where their codes lie, world by world; 0 = not made yet. */
interface KeptPeople {
  readonly uniforms: Uint16Array;
  readonly codes: Int32Array;
}

/** People in WebAssembly: see `openPeople`. */
export function wasmPeople(opened: ExposePlan): People {
  const places = slotPlaces(opened), arena = new Arena<Exports>(MODULE, opened, places);
  const steps = opened.steps.length, length = opened.stimuli.length * steps * CHUNK_AGENTS, out = arena.must(length * 4), sums = arena.must(steps * 8);
  const kept = new Map<number, KeptPeople>(), codesAt = arena.scratch + layout.S_CODES, codesBytes = (CHUNK_AGENTS / 16) * places.groupBytes;
  let plan = opened, isKeeping = false, taken = 0, people: KeptPeople | null = null;

  /** Gives the people taken the codes of a world: those that are kept, or new ones. */
  function enter(world: number): void {
    const at = people?.codes[world] ?? 0;
    if (at !== 0) return void arena.bytes(0, at + codesBytes).copyWithin(codesAt, at, at + codesBytes);
    arena.exports.enter(world);
    if (people === null) return;
    const fresh = arena.allocate(codesBytes);
    people.codes[world] = fresh ?? 0;
    if (fresh !== null) arena.bytes(0, fresh + codesBytes).copyWithin(fresh, codesAt, codesAt + codesBytes);
  }

  function keep(persona: number, uniforms: Uint16Array): KeptPeople {
    const known = kept.get(persona);
    if (known !== undefined && known.uniforms.length === uniforms.length && known.uniforms.every((uniform, at) => uniform === uniforms[at])) return known;
    for (const at of known?.codes ?? []) if (at !== 0) arena.free(at, codesBytes);
    const fresh = { uniforms: uniforms.slice(), codes: new Int32Array(plan.worlds) };
    kept.set(persona, fresh);
    return fresh;
  }

  return {
    replan(next) {
      checkPlan(next);
      if (!hasSameAgents(plan, next)) return false;
      plan = next;
      isKeeping = plan.factors === 0;
      arena.replan(plan);
      return true;
    },
    take(persona, uniforms, count) {
      taken = count;
      arena.set(layout.F_PERSONA, persona);
      const dimensions = peopleDimensions(plan, persona), scratch = arena.scratch;
      people = isKeeping ? keep(persona, uniforms.subarray(0, dimensions * count)) : null;
      if (plan.factors > 0) {
        const words = arena.words(scratch + layout.S_CODES, CHUNK_AGENTS * (dimensions / 4));
        for (let k = 0; k < dimensions; k += 4) {
          const a = k * count, b = a + count, c = b + count, d = c + count, to = (k / 4) * CHUNK_AGENTS;
          // The high bytes of four factors; 128 less than a byte is the byte with its top bit flipped.
          for (let i = 0; i < count; i++) words[to + i] = ((uniforms[a + i] >> 8) | (uniforms[b + i] & 0xff00) | ((uniforms[c + i] & 0xff00) << 8) | ((uniforms[d + i] & 0xff00) << 16)) ^ 0x80808080;
        }
      } else {
        const rows = new Uint16Array(arena.bytes(scratch, 0).buffer, scratch + layout.S_UNIFORMS, dimensions * CHUNK_AGENTS);
        for (let j = 0; j < dimensions; j++) rows.set(uniforms.subarray(j * count, (j + 1) * count), j * CHUNK_AGENTS);
      }
      arena.exports.takeGiven(count);
    },
    logits(world) {
      enter(world);
      arena.exports.giveLogits(world, out);
      return new Int32Array(arena.bytes(out, 0).buffer, out, length);
    },
    rates(world, stimuli) {
      const rates = new Float64Array(stimuli.length * steps);
      enter(world);
      stimuli.forEach((stimulus, s) => {
        const words = arena.words(sums, 2 * steps).fill(0);
        arena.exports.addRates(world, stimulus, sums);
        for (let k = 0; k < steps; k++) rates[s * steps + k] = rateOf(words, k, taken);
      });
      return rates;
    },
  };
}

function ratesIn(arena: Arena<Exports>, plan: ExposePlan, panelAgents: number): Float64Array {
  const { worlds, personas, cells } = plan;
  const stepCount = plan.steps.length;
  const shown = [...new Set(cells.map((cell) => cell.stimulus))];
  const length = worlds * shown.length * stepCount, sums = arena.must(length * 8);
  const rates = new Float64Array(worlds * cells.length * personas.length * stepCount);
  personas.forEach((_, persona) => {
    arena.bytes(sums, length * 8).fill(0);
    arena.set(layout.F_PERSONA, persona);
    for (let first = 0; first < panelAgents; first += CHUNK_AGENTS) {
      arena.exports.take(first, Math.min(CHUNK_AGENTS, panelAgents - first));
      for (let world = 0; world < worlds; world++) {
        arena.exports.enter(world);
        shown.forEach((stimulus, s) => arena.exports.addRates(world, stimulus, sums + (world * shown.length + s) * stepCount * 8));
      }
    }
    const words = arena.words(sums, length * 2);
    cells.forEach(({ stimulus }, cell) => {
      for (let world = 0; world < worlds; world++) {
        for (let k = 0; k < stepCount; k++) {
          rates[((world * cells.length + cell) * personas.length + persona) * stepCount + k] = rateOf(words, (world * shown.length + shown.indexOf(stimulus)) * stepCount + k, panelAgents);
        }
      }
    });
  });
  arena.free(sums, length * 8);
  return rates;
}

/** The mean of so many Q0.32 whose sum is entry `at` of u64: at most 2^52, exact in two halves. */
const rateOf = (words: Uint32Array, at: number, count: number): number => (words[2 * at] + words[2 * at + 1] * 0x1_0000_0000) / (count * 0x1_0000_0000);

function histogramIn(arena: Arena<Exports>, { persona, world, stimulus, step, firstAgent, agents }: HistogramOf): Uint32Array {
  const histogram = arena.must(HISTOGRAM_BINS * 4);
  arena.words(histogram, HISTOGRAM_BINS).fill(0);
  arena.set(layout.F_PERSONA, persona);
  for (let from = 0; from < agents; from += CHUNK_AGENTS) {
    arena.exports.take(firstAgent + from, Math.min(CHUNK_AGENTS, agents - from));
    arena.exports.enter(world);
    arena.exports.addHistogram(world, stimulus, step, histogram);
  }
  const out = arena.words(histogram, HISTOGRAM_BINS).slice();
  arena.free(histogram, HISTOGRAM_BINS * 4);
  return out;
}
