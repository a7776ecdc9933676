/** The kernel `expose` in SIMD WebAssembly: lays out plan, tables and blocks in the module's memory and hands it block after block. */
import { PopulaceError } from "@populace/domain/error";
import type { WasmSource } from "../backends/webassembly.ts";
import { checkBlock, checkPlan } from "./check-plan.ts";
import { type ExposeBlock, type ExposePlan, isHashTick } from "./plan.ts";
import type { Climate, ExposeKernel, ExposeSession, HeldBlock, OnTick, TickOutput } from "./port.ts";
import { countsLength, initialClimate } from "./reference.ts";
import { NO_STATE_HASH, STAGE } from "./state.ts";
import * as layout from "./wasm-layout.ts";
import { type AgentExports, Arena, hasSameAgents, slotPlaces } from "./wasm-plan.ts";

interface Exports extends AgentExports {
  run(from: number, to: number): void;
  drawBlock(out: number): void;
}

/** Agents x ticks x scenarios between two calls of `pause`: 2 to 9 ms of a core by how often a plan contacts. Eight times as many took up to 75 ms, and cost no less. */
const PIECE_VISITS = 250_000;
const CHUNK_AGENTS = 256;
/** Kept trait logits of an agent and stimulus: those of steps 0 and 1, i32. */
const KEPT_BYTES = 8;

interface HeldPlanes extends HeldBlock {
  readonly arena: Arena<Exports>;
  /** Planes of `stride` bytes: scenario by scenario pressure, stage. */
  readonly state: number;
  readonly stride: number;
  /** Stored codes, or 0. */
  readonly codes: number;
  /** Trait logits that are kept, or 0. */
  readonly kept: number;
}

/** The kernel on the calling thread, with a memory of its own for each session. */
export const exposeWasm: ExposeKernel = exposeWasmFrom(new URL("./expose.wasm", import.meta.url));

/** The kernel of any module with its interface: of the committed one, or of one that a test has changed. */
export function exposeWasmFrom(source: WasmSource): ExposeKernel {
  return { open: (plan, form, pause) => open(source, plan, form, pause) };
}

async function open(source: WasmSource, ...[opened, form, pause = () => {}]: Parameters<ExposeKernel["open"]>): Promise<ExposeSession> {
  checkPlan(opened);
  let plan = opened;
  /** By persona and first agent. */
  const codesKept = new Map<string, number>(), nameOf = ({ persona, firstAgent, agents }: ExposeBlock): string => `${persona} ${firstAgent} ${agents}`;
  const places = slotPlaces(plan), still = initialClimate(plan);
  const arenas: Arena<Exports>[] = [new Arena<Exports>(source, plan, places)];
  const scenarioCount = plan.scenarios.length, isStored = form === "stored" && plan.factors === 0;
  const tickWords = countsLength(plan) + 2 * scenarioCount;
  const exposed = plan.personas.map((_, persona) => exposureSpans(plan, persona));
  const buffers = new Map<Arena<Exports>, { readonly span: number; readonly counts: number; readonly digest: number; readonly climate: number; readonly fresh: number; readonly last: number; readonly places: number }>();

  const keptPlaces = plan.personas.map((_, persona) => placesOf(plan, persona));
  const keptReadyBytes = (stride: number): number => (stride / CHUNK_AGENTS + 63) & ~63;
  const keptBytes = (persona: number, stride: number): number => (isStored ? keptReadyBytes(stride) + KEPT_BYTES * stride * keptPlaces[persona].count : 0);

  function placesIn(arena: Arena<Exports>): number {
    const at = arena.must(plan.personas.length * plan.stimuli.length);
    keptPlaces.forEach((kept, persona) => arena.bytes(at + persona * plan.stimuli.length, kept.places.length).set(kept.places));
    return at;
  }

  /** Output buffers for spans of so many ticks, kept until a longer one comes. */
  function outputOf(arena: Arena<Exports>, span: number) {
    const known = buffers.get(arena);
    if (known !== undefined && known.span >= span) return known;
    if (known !== undefined) {
      arena.free(known.counts, known.span * tickWords * 4);
      arena.free(known.digest, known.span * 32);
    }
    const fresh = {
      span, counts: arena.must(span * tickWords * 4), digest: arena.must(span * 32),
      climate: known?.climate ?? arena.must(8 * scenarioCount), fresh: known?.fresh ?? arena.must(scenarioCount), last: known?.last ?? arena.must(4 * scenarioCount), places: known?.places ?? placesIn(arena),
    };
    buffers.set(arena, fresh);
    return fresh;
  }

  function live(arena: Arena<Exports>, index: number, block: ExposeBlock, tick: number, span: number, climate: Climate, held: HeldPlanes | null, onTick: OnTick, codes = held?.codes ?? 0): void {
    const output = outputOf(arena, span), { persona } = block;
    arena.words(output.counts, span * tickWords).fill(0);
    arena.words(output.digest, span * 8).fill(0);
    arena.set(layout.F_PERSONA, persona);
    arena.set(layout.F_FIRST, block.firstAgent);
    arena.set(layout.F_AGENTS, block.agents);
    arena.set(layout.F_TICK, tick);
    arena.set(layout.F_SPAN, span);
    arena.set(layout.F_CODES, codes);
    arena.set(layout.F_STATE, held?.state ?? 0);
    arena.set(layout.F_STATE_STRIDE, held?.stride ?? 0);
    arena.set(layout.F_KEPT, held?.kept ?? 0);
    arena.set(layout.F_KEPT_PLACE, output.places + persona * plan.stimuli.length);
    arena.set(layout.F_COUNTS, output.counts);
    arena.set(layout.F_DIGEST, output.digest);
    arena.set(layout.F_WARMTH, output.climate);
    arena.set(layout.F_AWARE, output.climate + 4 * scenarioCount);
    arena.set(layout.F_FRESH, output.fresh);
    arena.set(layout.F_LAST_EXPOSURE, output.last);
    const { first, last } = exposed[persona], fresh = arena.bytes(output.fresh, scenarioCount);
    for (let scenario = 0; scenario < scenarioCount; scenario++) {
      const at = scenario * plan.personas.length + persona;
      arena.words(output.climate, 2 * scenarioCount)[scenario] = climate.warmth[at];
      arena.words(output.climate, 2 * scenarioCount)[scenarioCount + scenario] = climate.awareThreshold[at];
      fresh[scenario] = plan.influence === null && tick <= first[scenario] ? 1 : 0;
      arena.words(output.last, scenarioCount)[scenario] = last[scenario];
    }

    const piece = Math.max(CHUNK_AGENTS, Math.floor(PIECE_VISITS / (span * scenarioCount * CHUNK_AGENTS)) * CHUNK_AGENTS);
    for (let from = 0; from < block.agents; from += piece) {
      pause();
      arena.exports.run(from, Math.min(block.agents, from + piece));
    }
    for (let t = 0; t < span; t++) {
      const whole = arena.words(output.counts + t * tickWords * 4, tickWords);
      const stateHash = isHashTick(plan, tick + t) ? arena.bytes(output.digest + t * 32, 32) : NO_STATE_HASH;
      const ticked: TickOutput = { whole, counts: whole.subarray(0, tickWords - 2 * scenarioCount), sections: whole.subarray(tickWords - 2 * scenarioCount), stateHash };
      onTick(index, tick + t, ticked);
    }
  }

  function place(block: ExposeBlock): HeldPlanes {
    const stride = Math.ceil(block.agents / CHUNK_AGENTS) * CHUNK_AGENTS;
    const stateBytes = 2 * scenarioCount * stride, codeBytes = isStored ? (stride / 16) * places.groupBytes : 0, kept = keptBytes(block.persona, stride);
    for (let index = arenas.length - 1; ; index = arenas.length - 1) {
      const arena = arenas[index], state = arena.allocate(stateBytes);
      // Codes and the logits made of them lie side by side.
      const codes = state === null || codeBytes === 0 ? 0 : arena.allocate(codeBytes + kept);
      if (state !== null && codes !== null) return { block, arena, state, stride, codes, kept: kept === 0 ? 0 : codes + codeBytes };
      if (state !== null) arena.free(state, stateBytes);
      arenas.push(new Arena<Exports>(source, plan, places));
    }
  }

  return {
    batchBlocks: 1,
    async hold(block, state) {
      checkBlock(plan, block);
      const { agents } = block, bytes = 2 * agents * scenarioCount;
      if (state !== undefined && state.length !== bytes) {
        throw new PopulaceError("CORRUPT", `block state of ${state.length} bytes, expected ${bytes} (${agents} agents, ${scenarioCount} scenarios)`, { block });
      }
      const held = place(block), { arena, stride } = held;
      for (let plane = 0; plane < 2 * scenarioCount; plane++) {
        const target = arena.bytes(held.state + plane * stride, stride).fill(plane % 2 === 0 ? 0 : STAGE.initial);
        if (state !== undefined) target.set(state.subarray(plane * agents, (plane + 1) * agents));
      }
      if (held.kept !== 0) arena.bytes(held.kept, keptReadyBytes(stride)).fill(0);
      if (held.codes !== 0) drawBlock(arena, block, held.codes);
      return held;
    },
    async step(held, tick, span, climate, onTick) {
      held.forEach((each, index) => live((each as HeldPlanes).arena, index, each.block, tick, span, climate, each as HeldPlanes, onTick));
    },
    async live(blocks, onTick) {
      if (plan.influence !== null) throw new PopulaceError("INTERNAL", "kernel expose: whole lives were asked of a plan with influence", {});
      blocks.forEach((block, index) => {
        checkBlock(plan, block);
        live(arenas[0], index, block, 0, plan.ticks, still, null, onTick, codesKept.get(nameOf(block)));
      });
    },
    keepCodes(blocks) {
      if (plan.factors > 0) return;
      for (const block of blocks) {
        checkBlock(plan, block);
        const codes = codesKept.has(nameOf(block)) ? null : arenas[0].allocate(Math.ceil(block.agents / CHUNK_AGENTS) * (CHUNK_AGENTS / 16) * places.groupBytes);
        if (codes === null) continue;
        drawBlock(arenas[0], block, codes);
        codesKept.set(nameOf(block), codes);
      }
    },
    replan(next) {
      checkPlan(next);
      if (!hasSameAgents(plan, next)) return false;
      plan = next;
      for (const arena of arenas) arena.replan(plan);
      return true;
    },
    async stateOf(each) {
      const { arena, block, state, stride } = each as HeldPlanes;
      const out = new Uint8Array(2 * block.agents * scenarioCount);
      for (let plane = 0; plane < 2 * scenarioCount; plane++) out.set(arena.bytes(state + plane * stride, block.agents), plane * block.agents);
      return out;
    },
    release(each) {
      const { arena, block, state, stride, codes } = each as HeldPlanes;
      arena.free(state, 2 * scenarioCount * stride);
      if (codes !== 0) arena.free(codes, (stride / 16) * places.groupBytes + keptBytes(block.persona, stride));
    },
    close() {
      arenas.length = 0;
      codesKept.clear();
      buffers.clear();
    },
  };
}

function drawBlock(arena: Arena<Exports>, { persona, firstAgent, agents }: ExposeBlock, to: number): void {
  arena.set(layout.F_PERSONA, persona);
  arena.set(layout.F_FIRST, firstAgent);
  arena.set(layout.F_AGENTS, agents);
  arena.exports.drawBlock(to);
}

/**
 * Places of the stimuli whose trait logits held blocks of a persona keep: the first few it is shown, where each chunk lives in one world. They do not
 * change from tick to tick, and adding them up anew took a quarter of an exposure.
 */
function placesOf(plan: ExposePlan, persona: number): { readonly places: Uint8Array; readonly count: number } {
  const places = new Uint8Array(plan.stimuli.length).fill(layout.KEPT_PLACES);
  let count = 0;
  if (plan.personas[persona].worldShift >= 8) {
    for (const { schedule } of plan.scenarios) {
      for (let at = persona; at < schedule.length && count < layout.KEPT_PLACES; at += plan.personas.length) {
        if (schedule[at] >= 0 && places[schedule[at]] === layout.KEPT_PLACES) places[schedule[at]] = count++;
      }
    }
  }
  return { places, count };
}

/** By scenario: the tick of the persona's first exposure (ticks = none), and tick x ordinals + ordinal of its last (-1 = none). */
function exposureSpans(plan: ExposePlan, persona: number): { readonly first: Int32Array; readonly last: Int32Array } {
  const first = new Int32Array(plan.scenarios.length).fill(plan.ticks), last = new Int32Array(plan.scenarios.length).fill(-1);
  plan.scenarios.forEach(({ schedule }, scenario) => {
    for (let place = 0; place < plan.ticks * plan.ordinalsMax; place++) {
      if (schedule[place * plan.personas.length + persona] < 0) continue;
      if (last[scenario] < 0) first[scenario] = Math.floor(place / plan.ordinalsMax);
      last[scenario] = place;
    }
  });
  return { first, last };
}
