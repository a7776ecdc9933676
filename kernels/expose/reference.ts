/**
 * The reference of the kernel `expose` (SPEC.md): plain TypeScript on typed arrays, the bits every other backend must give.
 *
 * Two laziness rules make it fast and leave the bits alone. A draw's low 24 bits exist only when its high byte ties with the
 * threshold's (1 agent in 256 and threshold); a later step's logit only when the earlier step was reached, because the draw
 * is nested. Draws do not depend on the scenario, so the high bytes are made once for all of them.
 */
import { PopulaceError } from "@populace/domain/error";
import { mulHigh, philox4x32Into } from "@populace/domain/random";
import type { ExposeBlock, ExposePlan } from "./plan.ts";
import type { Climate, ExposeKernel, HeldBlock, OnTick, PopulationForm } from "./port.ts";
import { codesOf } from "./population.ts";
import { PURPOSE } from "./purpose.ts";
import { sigmoidQ32 } from "./tables.ts";

const STAGE_STEP = 0x07;
const STAGE_AWARE = 0x08;
const STAGE_TICKS = 0x70;
const STAGE_TICK = 0x10;
const STAGE_LEFT = 0x80;
const STAGE_INITIAL = 0x70;

/** One block between two ticks. `state` is the whole of what a checkpoint holds, and what stateHash covers. */
export interface BlockState {
  readonly block: ExposeBlock;
  /** Scenario by scenario: pressure bytes, then stage bytes, one of each an agent. */
  readonly state: Uint8Array;
  /** agents x slots, or null when procedural. */
  readonly codes: Int8Array | null;
  /** Per stimulus, once met: what the agent's codes add to the logit of step 0. They never change, so one dot product serves all ticks. */
  readonly traitLogits: Map<number, Int32Array>;
}

/** What one tick of one block counts. The caller zeroes both before the call; the kernel adds. */
export interface BlockOutput {
  /** cells x worlds x columns (exposures, one a step, left, shared). */
  readonly counts: Uint32Array;
  /** scenarios x 2: shares, complaints. */
  readonly sections: Uint32Array;
}

/** Buffers reused from call to call; one a thread. It belongs to the plan it was made for. */
export interface Workspace {
  readonly words: Uint32Array;
  readonly cellOf: Int32Array;
  readonly levelSlots: Int32Array;
  readonly stepBase: Int32Array;
  highBytes: Uint8Array;
  leaveBytes: Uint8Array;
  codes: Int8Array;
}

/** Empty buffers for a plan; they grow with the largest block stepped. */
export function createWorkspace(plan: ExposePlan): Workspace {
  const cellOf = new Int32Array(plan.scenarios.length * plan.stimuli.length).fill(-1);
  plan.cells.forEach((cell, index) => { cellOf[cell.scenario * plan.stimuli.length + cell.stimulus] = index; });
  const levelSlots: number[] = [];
  for (let slot = 0; slot < plan.slots; slot++) if (plan.tableOffset[slot] >= 0) levelSlots.push(slot);
  return {
    words: new Uint32Array(4), cellOf, levelSlots: Int32Array.from(levelSlots), stepBase: new Int32Array(plan.steps.length),
    highBytes: new Uint8Array(0), leaveBytes: new Uint8Array(0), codes: new Int8Array(0),
  };
}

/** No influence yet: warmth and the chance of becoming aware are 0 everywhere. */
export function initialClimate(plan: ExposePlan): Climate {
  const size = plan.scenarios.length * plan.personas.length;
  return { warmth: new Int32Array(size), awareThreshold: new Uint32Array(size) };
}

/** Zeroed buffers for the output of one block of the plan. */
export function createOutput(plan: ExposePlan): BlockOutput {
  return {
    counts: new Uint32Array(plan.cells.length * plan.worlds * (plan.steps.length + 3)),
    sections: new Uint32Array(plan.scenarios.length * 2),
  };
}

/** A block before tick 0: pressure 0, no contact ever. Draws the codes when stored. */
export function createBlock(plan: ExposePlan, block: ExposeBlock, form: PopulationForm): BlockState {
  if (block.firstAgent % 16 !== 0) {
    throw new PopulaceError("INTERNAL", `kernel expose: block starts at agent ${block.firstAgent}, expected a multiple of 16`, { block });
  }
  const state = new Uint8Array(plan.scenarios.length * 2 * block.agents);
  for (let scenario = 0; scenario < plan.scenarios.length; scenario++) {
    state.fill(STAGE_INITIAL, (2 * scenario + 1) * block.agents, (2 * scenario + 2) * block.agents);
  }
  return { block, state, codes: form === "stored" ? codesOf(plan, block) : null, traitLogits: new Map() };
}

/** A block as a checkpoint left it. CORRUPT when the bytes do not fit the block. */
export function restoreBlock(plan: ExposePlan, block: ExposeBlock, form: PopulationForm, state: Uint8Array): BlockState {
  const fresh = createBlock(plan, block, form);
  if (state.length !== fresh.state.length) {
    throw new PopulaceError("CORRUPT", `block state of ${state.length} bytes, expected ${fresh.state.length} (${block.agents} agents, ${plan.scenarios.length} scenarios)`, { block });
  }
  fresh.state.set(state);
  return fresh;
}

/**
 * Advances a block by one tick: changes `target.state`, adds to `output`. 25 to 60 ns an exposure on one core.
 */
export function stepBlock(plan: ExposePlan, target: BlockState, tick: number, climate: Climate, output: BlockOutput, workspace: Workspace): void {
  const { block } = target;
  const agents = block.agents, scenarioCount = plan.scenarios.length, personaCount = plan.personas.length;
  reserve(plan, workspace, agents, target.codes === null);

  let awareDrawn = false;
  for (let scenario = 0; scenario < scenarioCount; scenario++) {
    const threshold = plan.influence === null ? 0 : climate.awareThreshold[scenario * personaCount + block.persona];
    if (threshold > 0 && !awareDrawn) {
      drawBytes(plan, block, tick, 0, PURPOSE.awareHigh, workspace.highBytes, workspace.words);
      awareDrawn = true;
    }
    passTime(plan, target, scenario, tick, threshold, workspace);
  }

  let codes = target.codes;
  for (let ordinal = 0; ordinal < plan.ordinalsMax; ordinal++) {
    let drawn = false, leaveDrawn = false;
    for (let scenario = 0; scenario < scenarioCount; scenario++) {
      const stimulus = plan.scenarios[scenario].schedule[(tick * plan.ordinalsMax + ordinal) * personaCount + block.persona];
      if (stimulus < 0) continue;
      codes ??= codesOf(plan, block, workspace.codes);
      if (!drawn) drawBytes(plan, block, tick, ordinal, PURPOSE.drawHigh, workspace.highBytes, workspace.words);
      drawn = true;
      if (plan.stimuli[stimulus].contact && !leaveDrawn) {
        drawBytes(plan, block, tick, ordinal, PURPOSE.leaveHigh, workspace.leaveBytes, workspace.words);
        leaveDrawn = true;
      }
      expose(plan, target, codes, scenario, tick, ordinal, stimulus, climate, output, workspace);
    }
  }
}

/** Steps 1 to 3 of a tick: returning, decay of pressure, the clock since the last contact, becoming aware. */
function passTime(plan: ExposePlan, target: BlockState, scenario: number, tick: number, awareThreshold: number, workspace: Workspace): void {
  const { agents, firstAgent, persona: personaIndex } = target.block;
  const { key, returnThreshold } = plan.personas[personaIndex];
  const { words, highBytes } = workspace;
  const state = target.state;
  const awareTop = awareThreshold >>> 24, awareRest = awareThreshold & 0xffffff;
  const pressureAt = 2 * scenario * agents, stageAt = pressureAt + agents;
  for (let i = 0; i < agents; i++) {
    let stage = state[stageAt + i];
    if (stage >= STAGE_LEFT && returnThreshold > 0) {
      philox4x32Into(words, firstAgent + i, tick, 0, PURPOSE.return, key[0], key[1]);
      if (words[0] < returnThreshold) stage &= ~STAGE_LEFT;
    }
    const pressure = state[pressureAt + i];
    state[pressureAt + i] = pressure - ((pressure + 15) >> 4);
    if ((stage & STAGE_TICKS) !== STAGE_TICKS) stage += STAGE_TICK;
    if (awareThreshold > 0 && (stage & STAGE_AWARE) === 0) {
      const high = highBytes[i];
      if (high < awareTop) stage |= STAGE_AWARE;
      else if (high === awareTop) {
        philox4x32Into(words, firstAgent + i, tick, 0, PURPOSE.awareLow, key[0], key[1]);
        if (words[0] >>> 8 < awareRest) stage |= STAGE_AWARE;
      }
    }
    state[stageAt + i] = stage;
  }
}

/** Step 4 for all agents of a block at one ordinal in one scenario: run by run of agents of the same world. */
function expose(
  plan: ExposePlan, target: BlockState, codes: Int8Array, scenario: number, tick: number, ordinal: number, stimulus: number,
  climate: Climate, output: BlockOutput, workspace: Workspace,
): void {
  const { block } = target;
  const { worlds, steps, stimuli } = plan;
  const personaCount = plan.personas.length, stepCount = steps.length;
  const persona = plan.personas[block.persona];
  const contact = stimuli[stimulus].contact;
  const cell = workspace.cellOf[scenario * stimuli.length + stimulus];
  if (cell < 0) throw new PopulaceError("INTERNAL", `kernel expose: scenario ${scenario} shows stimulus ${stimulus} at tick ${tick}, but the plan has no such cell`, { scenario, stimulus, tick });
  const warmth = contact ? climate.warmth[scenario * personaCount + block.persona] : 0;
  const offsetAt = ((tick * personaCount + block.persona) * stimuli.length + stimulus) * stepCount;
  const runAgents = 2 ** persona.worldShift;
  const traitLogits = traitLogitsOf(plan, target, stimulus, workspace);

  for (let from = block.firstAgent, end = from + block.agents, to = from; from < end; from = to) {
    const run = from >>> persona.worldShift;
    to = Math.min(end, (run + 1) * runAgents);
    const world = run % worlds;
    const biasAt = ((world * personaCount + block.persona) * stimuli.length + stimulus) * stepCount;
    for (let k = 0; k < stepCount; k++) workspace.stepBase[k] = plan.bias[biasAt + k] + plan.offset[offsetAt + k] + warmth;
    exposeRun(
      plan, target, codes, traitLogits, output, workspace, scenario, tick, ordinal, contact,
      from - block.firstAgent, to - block.firstAgent,
      (world * stimuli.length + stimulus) * stepCount,
      (cell * worlds + world) * (stepCount + 3),
      plan.leaveBias[(world * personaCount + block.persona) * stimuli.length + stimulus],
    );
  }
}

function exposeRun(
  plan: ExposePlan, target: BlockState, codes: Int8Array, traitLogits: Int32Array | null, output: BlockOutput, workspace: Workspace,
  scenario: number, tick: number, ordinal: number, contact: boolean,
  from: number, to: number, row: number, countsAt: number, leaveBias: number,
): void {
  const { gapTicks, pressureWeight, pressureLeaveWeight, pressureGain, pressureGainResponse, influence } = plan;
  const { words, highBytes, leaveBytes, stepBase } = workspace;
  const { counts, sections } = output;
  const { agents, firstAgent, persona } = target.block;
  const [key0, key1] = plan.personas[persona].key;
  const state = target.state;
  const stepCount = plan.steps.length;
  const pressureAt = 2 * scenario * agents, stageAt = pressureAt + agents;
  const gap = contact ? gapTicks : 0;
  const leaveTop = contact ? leaveTopMax(leaveBias, pressureLeaveWeight) : -1;
  let exposures = 0;

  for (let i = from; i < to; i++) {
    const stage = state[stageAt + i];
    if (stage >= STAGE_LEFT || (stage & STAGE_TICKS) >> 4 < gap) continue;
    exposures++;
    const pressure = state[pressureAt + i];
    const aware = (stage & STAGE_AWARE) !== 0;
    const high = highBytes[i];
    let low = -1, reached = 0, q = 0xffffffff;
    while (reached < stepCount) {
      const k = reached;
      let x = stepBase[k] + (k === 0 && traitLogits !== null ? traitLogits[i] : traitLogit(plan, codes, i, row + k, workspace.levelSlots));
      if (contact) x = (x - Math.imul(pressure, pressureWeight[k])) | 0;
      if (aware && influence !== null) x = (x + influence.awareWeight[k]) | 0;
      const p = sigmoidQ32(x);
      q = k === 0 ? p : mulHigh(q, p);
      const top = q >>> 24;
      if (high > top) break;
      if (high === top) {
        if (low < 0) {
          philox4x32Into(words, firstAgent + i, tick, ordinal, PURPOSE.drawLow, key0, key1);
          low = words[0] >>> 8;
        }
        if (low >= (q & 0xffffff)) break;
      }
      reached++;
      counts[countsAt + reached]++;
    }

    let next = stage;
    if (leaveBytes[i] <= leaveTop && reached < stepCount) {
      const threshold = sigmoidQ32((leaveBias + Math.imul(pressure, pressureLeaveWeight)) | 0);
      const top = threshold >>> 24;
      let leaves = leaveBytes[i] < top;
      if (leaveBytes[i] === top) {
        philox4x32Into(words, firstAgent + i, tick, ordinal, PURPOSE.leaveLow, key0, key1);
        leaves = words[0] >>> 8 < (threshold & 0xffffff);
      }
      if (leaves) {
        next |= STAGE_LEFT;
        counts[countsAt + 1 + stepCount]++;
        sections[2 * scenario + 1]++;
      }
    }
    if (reached > 0) {
      if (influence !== null) {
        philox4x32Into(words, firstAgent + i, tick, ordinal, PURPOSE.share, key0, key1);
        if (words[0] < influence.shareThreshold[reached - 1]) {
          counts[countsAt + 2 + stepCount]++;
          sections[2 * scenario]++;
        }
      }
      if (reached > (next & STAGE_STEP)) next = (next & ~STAGE_STEP) | reached;
    }
    if (contact) {
      const sum = pressure + pressureGain + (reached > 0 ? pressureGainResponse : 0);
      state[pressureAt + i] = sum > 255 ? 255 : sum;
      next &= ~STAGE_TICKS;
    }
    state[stageAt + i] = next;
  }
  counts[countsAt] += exposures;
}

/** Largest high byte any agent's leave threshold can have: who drew a higher one stays, without a look at the pressure. */
function leaveTopMax(leaveBias: number, pressureLeaveWeight: number): number {
  const high = leaveBias + Math.max(0, 255 * pressureLeaveWeight), low = leaveBias + Math.min(0, 255 * pressureLeaveWeight);
  // A logit that wraps around 32 bits could be anything: then nobody is screened out.
  return high > 0x7fffffff || low < -0x80000000 ? 255 : sigmoidQ32(high) >>> 24;
}

/**
 * The trait logits of step 0 of a stored block, kept as long as they take no more memory than the codes do; null beyond that
 * and for a procedural block, whose point is to keep nothing.
 */
function traitLogitsOf(plan: ExposePlan, target: BlockState, stimulus: number, workspace: Workspace): Int32Array | null {
  const { block, codes, traitLogits } = target;
  const kept = traitLogits.get(stimulus);
  if (kept !== undefined) return kept;
  if (codes === null || traitLogits.size * 4 >= plan.slots) return null;
  const logits = new Int32Array(block.agents), { worldShift } = plan.personas[block.persona];
  for (let i = 0; i < block.agents; i++) {
    const world = ((block.firstAgent + i) >>> worldShift) % plan.worlds;
    logits[i] = traitLogit(plan, codes, i, (world * plan.stimuli.length + stimulus) * plan.steps.length, workspace.levelSlots);
  }
  traitLogits.set(stimulus, logits);
  return logits;
}

/** What agent i's codes add to the logit of one step: `row` = (world, stimulus, step). Q14. */
function traitLogit(plan: ExposePlan, codes: Int8Array, i: number, row: number, levelSlots: Int32Array): number {
  const { slots, tables, tableOffset, tableLength } = plan;
  const at = i * slots;
  let x = (dot(codes, at, plan.weights, row * slots, slots) + 16) >> 5;
  for (let l = 0; l < levelSlots.length; l++) {
    const slot = levelSlots[l];
    x = (x + tables[row * tableLength + tableOffset[slot] + codes[at + slot]]) | 0;
  }
  return x;
}

/** sum code * weight over a row of slots, a multiple of 16: unrolled, because V8 does not unroll. */
function dot(codes: Int8Array, at: number, weights: Int16Array, row: number, slots: number): number {
  let sum = 0;
  const end = at + slots;
  for (; at < end; at += 16, row += 16) {
    sum += codes[at] * weights[row] + codes[at + 1] * weights[row + 1] + codes[at + 2] * weights[row + 2] + codes[at + 3] * weights[row + 3]
      + codes[at + 4] * weights[row + 4] + codes[at + 5] * weights[row + 5] + codes[at + 6] * weights[row + 6] + codes[at + 7] * weights[row + 7]
      + codes[at + 8] * weights[row + 8] + codes[at + 9] * weights[row + 9] + codes[at + 10] * weights[row + 10] + codes[at + 11] * weights[row + 11]
      + codes[at + 12] * weights[row + 12] + codes[at + 13] * weights[row + 13] + codes[at + 14] * weights[row + 14] + codes[at + 15] * weights[row + 15];
  }
  return sum | 0;
}

/** One high byte an agent: the 16 little-endian bytes of each block of draws, in agent order. */
function drawBytes(plan: ExposePlan, block: ExposeBlock, tick: number, ordinal: number, purpose: number, out: Uint8Array, words: Uint32Array): void {
  const [key0, key1] = plan.personas[block.persona].key;
  const target = new Uint32Array(out.buffer, 0, out.length >> 2);
  const groups = (block.agents + 15) >> 4, firstGroup = block.firstAgent / 16;
  for (let group = 0; group < groups; group++) {
    philox4x32Into(words, firstGroup + group, tick, ordinal, purpose, key0, key1);
    target[4 * group] = words[0];
    target[4 * group + 1] = words[1];
    target[4 * group + 2] = words[2];
    target[4 * group + 3] = words[3];
  }
}

function reserve(plan: ExposePlan, workspace: Workspace, agents: number, codes: boolean): void {
  const bytes = (agents + 15) & ~15;
  if (workspace.highBytes.length < bytes) {
    workspace.highBytes = new Uint8Array(bytes);
    workspace.leaveBytes = new Uint8Array(bytes);
  }
  if (codes && workspace.codes.length < agents * plan.slots) workspace.codes = new Int8Array(agents * plan.slots);
}

interface HeldState extends HeldBlock {
  readonly state: BlockState;
}

/** The reference as a kernel: one block and tick after another. */
export const exposeReference: ExposeKernel = {
  open(plan, form) {
    const workspace = createWorkspace(plan), still = initialClimate(plan);
    const countsLength = createOutput(plan).counts.length;
    const whole = new Uint32Array(countsLength + plan.scenarios.length * 2);
    const output: BlockOutput = { counts: whole.subarray(0, countsLength), sections: whole.subarray(countsLength) };

    const steps = (index: number, target: BlockState, tick: number, span: number, climate: Climate, onTick: OnTick): void => {
      for (let t = tick; t < tick + span; t++) {
        whole.fill(0);
        stepBlock(plan, target, t, climate, output, workspace);
        onTick(index, t, { ...output, whole, stateHash: new Uint8Array(32) });
      }
    };
    return Promise.resolve({
      batchBlocks: 1,
      hold: (block, state) => Promise.resolve({ block, state: state === undefined ? createBlock(plan, block, form) : restoreBlock(plan, block, form, state) }),
      async step(held, tick, span, climate, onTick) {
        held.forEach((each, index) => steps(index, (each as HeldState).state, tick, span, climate, onTick));
      },
      async live(blocks, onTick) {
        blocks.forEach((block, index) => steps(index, createBlock(plan, block, "stored"), 0, plan.ticks, still, onTick));
      },
      stateOf: (held) => Promise.resolve((held as HeldState).state.state.slice()),
      release() {},
      close() {},
    });
  },
};
