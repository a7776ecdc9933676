/**
 * The reference of the kernel `expose` (SPEC.md): plain TypeScript on typed arrays, the bits every other backend must give.
 *
 * Two laziness rules make it bearable and leave the bits alone. A dense draw's low 24 bits exist only when its high byte ties with
 * the threshold's (1 agent in 256 and threshold); a later step's logit only when the earlier step was reached, because the draw is
 * nested. Draws do not depend on the scenario, so they are made once for all of them.
 */
import { PopulaceError } from "@populace/domain/error";
import { mulHigh, philox4x32Into } from "@populace/domain/random";
import { checkBlock, checkPlan } from "./check-plan.ts";
import { type ExposeBlock, type ExposePlan, isHashTick, LEVEL_SLOT } from "./plan.ts";
import { codeColumns, type Codes, codesArray, codesOf } from "./population.ts";
import type { Climate, ExposeKernel, HeldBlock, OnTick, PopulationForm } from "./port.ts";
import { PURPOSE } from "./purpose.ts";
import { initialState, NO_STATE_HASH, STAGE, stateDigest } from "./state.ts";
import { sigmoidQ32 } from "./tables.ts";
import { GROUP_AGENTS, thinnedDraws } from "./thinning.ts";

/** One block between two ticks. `state` is the whole of what a checkpoint holds. */
export interface BlockState {
  readonly block: ExposeBlock;
  /** Scenario by scenario: pressure bytes, then stage bytes, one of each an agent. */
  readonly state: Uint8Array;
  /** agents x columns, or null when procedural. */
  readonly codes: Codes | null;
}

/** What one tick of one block counts. The caller zeroes both before the call; the kernel adds. */
export interface BlockOutput {
  /** cells x worlds x columns (exposures, one a step, left, shared). */
  readonly counts: Uint32Array;
  /** scenarios x 2: shares, complaints. */
  readonly sections: Uint32Array;
}

/** The draws of one kind of a block at one (tick, ordinal): high bytes of dense groups, whole draws of thinned ones. */
interface Draws {
  high: Uint8Array;
  whole: Uint32Array;
}

/** Buffers reused from call to call; one a thread. It belongs to the plan it was made for. */
export interface Workspace {
  readonly words: Uint32Array;
  readonly cellOf: Int32Array;
  readonly levelSlots: Int32Array;
  readonly stepBase: Int32Array;
  readonly draw: Draws;
  readonly leave: Draws;
  readonly aware: Draws;
  codes: Codes;
}

/** Empty buffers for a plan; they grow with the largest block stepped. */
export function createWorkspace(plan: ExposePlan): Workspace {
  const cellOf = new Int32Array(plan.scenarios.length * plan.stimuli.length).fill(-1);
  plan.cells.forEach((cell, index) => { cellOf[cell.scenario * plan.stimuli.length + cell.stimulus] = index; });
  const levelSlots: number[] = [];
  for (let slot = 0; slot < plan.slots; slot++) if (plan.slotKind[slot] === LEVEL_SLOT) levelSlots.push(slot);
  const draws = (): Draws => ({ high: new Uint8Array(0), whole: new Uint32Array(0) });
  return {
    words: new Uint32Array(4), cellOf, levelSlots: Int32Array.from(levelSlots), stepBase: new Int32Array(plan.steps.length),
    draw: draws(), leave: draws(), aware: draws(), codes: codesArray(plan, 0),
  };
}

/** No influence yet: warmth and the chance of becoming aware are 0 everywhere. */
export function initialClimate(plan: ExposePlan): Climate {
  const size = plan.scenarios.length * plan.personas.length;
  return { warmth: new Int32Array(size), awareThreshold: new Uint32Array(size) };
}

/** Entries of one block's counts of one tick: cells x worlds x columns. */
export const countsLength = (plan: ExposePlan): number => plan.cells.length * plan.worlds * (plan.steps.length + 3);

/** Zeroed buffers for the output of one block of the plan, side by side in `whole`. */
export function createOutput(plan: ExposePlan): BlockOutput & { readonly whole: Uint32Array } {
  const counts = countsLength(plan), whole = new Uint32Array(counts + plan.scenarios.length * 2);
  return { whole, counts: whole.subarray(0, counts), sections: whole.subarray(counts) };
}

/** A block before tick 0, or with the state a checkpoint left (CORRUPT when its length is wrong). Draws the codes when stored. */
export function createBlock(plan: ExposePlan, block: ExposeBlock, form: PopulationForm, state?: Uint8Array): BlockState {
  checkBlock(plan, block);
  const fresh = initialState(block.agents, plan.scenarios.length);
  if (state !== undefined) {
    if (state.length !== fresh.length) {
      throw new PopulaceError("CORRUPT", `block state of ${state.length} bytes, expected ${fresh.length} (${block.agents} agents, ${plan.scenarios.length} scenarios)`, { block });
    }
    fresh.set(state);
  }
  return { block, state: fresh, codes: form === "stored" ? codesOf(plan, block) : null };
}

/** Advances a block by one tick: changes `target.state`, adds to `output`. */
export function stepBlock(plan: ExposePlan, target: BlockState, tick: number, climate: Climate, output: BlockOutput, workspace: Workspace): void {
  const { block } = target;
  const scenarioCount = plan.scenarios.length, personaCount = plan.personas.length;

  let awareDrawn = false;
  for (let scenario = 0; scenario < scenarioCount; scenario++) {
    const threshold = plan.influence === null ? 0 : climate.awareThreshold[scenario * personaCount + block.persona];
    if (threshold > 0 && !awareDrawn) {
      makeDraws(plan, block, tick, 0, null, PURPOSE.awareHigh, 0, 0, workspace.aware, workspace.words);
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
      codes ??= proceduralCodes(plan, block, workspace);
      if (!drawn) makeDraws(plan, block, tick, ordinal, plan.drawBits, PURPOSE.drawHigh, PURPOSE.drawCount, PURPOSE.drawSpot, workspace.draw, workspace.words);
      drawn = true;
      if (plan.stimuli[stimulus].contact && !leaveDrawn) {
        makeDraws(plan, block, tick, ordinal, plan.leaveBits, PURPOSE.leaveHigh, PURPOSE.leaveCount, PURPOSE.leaveSpot, workspace.leave, workspace.words);
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
  const { words, aware } = workspace;
  const state = target.state;
  const awareTop = awareThreshold >>> 24, awareRest = awareThreshold & 0xffffff;
  const pressureAt = 2 * scenario * agents, stageAt = pressureAt + agents;
  for (let i = 0; i < agents; i++) {
    let stage = state[stageAt + i];
    if (stage >= STAGE.left && returnThreshold > 0) {
      philox4x32Into(words, firstAgent + i, tick, 0, PURPOSE.return, key[0], key[1]);
      if (words[0] < returnThreshold) stage &= ~STAGE.left;
    }
    const pressure = state[pressureAt + i];
    state[pressureAt + i] = pressure - ((pressure + 15) >> 4);
    if ((stage & STAGE.ticks) !== STAGE.ticks) stage += STAGE.tick;
    if (awareThreshold > 0 && (stage & STAGE.aware) === 0) {
      const high = aware.high[i];
      if (high < awareTop) stage |= STAGE.aware;
      else if (high === awareTop) {
        philox4x32Into(words, firstAgent + i, tick, 0, PURPOSE.awareLow, key[0], key[1]);
        if (words[0] >>> 8 < awareRest) stage |= STAGE.aware;
      }
    }
    state[stageAt + i] = stage;
  }
}

/** Step 4 for all agents of a block at one ordinal in one scenario: run by run of agents of the same world. */
function expose(
  plan: ExposePlan, target: BlockState, codes: Codes, scenario: number, tick: number, ordinal: number, stimulus: number,
  climate: Climate, output: BlockOutput, workspace: Workspace,
): void {
  const { block } = target;
  const { worlds, steps, stimuli } = plan;
  const personaCount = plan.personas.length, stepCount = steps.length;
  const persona = plan.personas[block.persona];
  const contact = stimuli[stimulus].contact;
  const cell = workspace.cellOf[scenario * stimuli.length + stimulus];
  const warmth = contact ? climate.warmth[scenario * personaCount + block.persona] : 0;
  const offsetAt = ((tick * personaCount + block.persona) * stimuli.length + stimulus) * stepCount;
  const runAgents = 2 ** persona.worldShift;

  for (let from = block.firstAgent, end = from + block.agents, to = from; from < end; from = to) {
    const run = from >>> persona.worldShift;
    to = Math.min(end, (run + 1) * runAgents);
    const world = run % worlds;
    const biasAt = ((world * personaCount + block.persona) * stimuli.length + stimulus) * stepCount;
    for (let k = 0; k < stepCount; k++) workspace.stepBase[k] = plan.bias[biasAt + k] + plan.offset[offsetAt + k] + warmth;
    exposeRun(
      plan, target, codes, output, workspace, scenario, tick, ordinal, contact,
      from - block.firstAgent, to - block.firstAgent,
      plan.factors > 0 ? biasAt : (world * stimuli.length + stimulus) * stepCount,
      (cell * worlds + world) * (stepCount + 3),
      plan.leaveBias[(world * personaCount + block.persona) * stimuli.length + stimulus],
      plan.drawBits[world * personaCount + block.persona] > 0, plan.leaveBits[world * personaCount + block.persona] > 0,
    );
  }
}

function exposeRun(
  plan: ExposePlan, target: BlockState, codes: Codes, output: BlockOutput, workspace: Workspace,
  scenario: number, tick: number, ordinal: number, contact: boolean,
  from: number, to: number, row: number, countsAt: number, leaveBias: number, isDrawThinned: boolean, isLeaveThinned: boolean,
): void {
  const { gapTicks, pressureWeight, pressureLeaveWeight, pressureGain, pressureGainResponse, influence } = plan;
  const { words, draw, leave, stepBase, levelSlots } = workspace;
  const { counts, sections } = output;
  const { agents, firstAgent, persona } = target.block;
  const [key0, key1] = plan.personas[persona].key;
  const state = target.state;
  const stepCount = plan.steps.length;
  const pressureAt = 2 * scenario * agents, stageAt = pressureAt + agents;
  const gap = contact ? gapTicks : 0;

  /** DRAW < q of agent i; the low bits of a dense draw are made at most once an agent. */
  let low = -1;
  const isBelow = (i: number, q: number): boolean => {
    if (isDrawThinned) return draw.whole[i] < q;
    const high = draw.high[i], top = q >>> 24;
    if (high !== top) return high < top;
    if (low < 0) {
      philox4x32Into(words, firstAgent + i, tick, ordinal, PURPOSE.drawLow, key0, key1);
      low = words[0] >>> 8;
    }
    return low < (q & 0xffffff);
  };
  const leaves = (i: number, pressure: number): boolean => {
    if (isLeaveThinned && leave.whole[i] === 0xffffffff) return false;
    const threshold = sigmoidQ32((leaveBias + Math.imul(pressure, pressureLeaveWeight)) | 0);
    if (isLeaveThinned) return leave.whole[i] < threshold;
    const high = leave.high[i], top = threshold >>> 24;
    if (high !== top) return high < top;
    philox4x32Into(words, firstAgent + i, tick, ordinal, PURPOSE.leaveLow, key0, key1);
    return words[0] >>> 8 < (threshold & 0xffffff);
  };

  for (let i = from; i < to; i++) {
    const stage = state[stageAt + i];
    if (stage >= STAGE.left || (stage & STAGE.ticks) >> 4 < gap) continue;
    counts[countsAt]++;
    const pressure = state[pressureAt + i];
    const aware = (stage & STAGE.aware) !== 0;
    let reached = 0, q = 0xffffffff;
    low = -1;
    // An agent without a draw reaches nothing, whatever its logit.
    while (reached < stepCount && (!isDrawThinned || draw.whole[i] !== 0xffffffff)) {
      const k = reached;
      let x = stepBase[k] + traitLogit(plan, codes, i, row + k, levelSlots);
      if (contact) x = (x - Math.imul(pressure, pressureWeight[k])) | 0;
      if (aware && influence !== null) x = (x + influence.awareWeight[k]) | 0;
      const p = sigmoidQ32(x);
      q = k === 0 ? p : mulHigh(q, p);
      if (!isBelow(i, q)) break;
      reached++;
      counts[countsAt + reached]++;
    }

    let next = stage;
    if (contact && reached < stepCount && leaves(i, pressure)) {
      next |= STAGE.left;
      counts[countsAt + 1 + stepCount]++;
      sections[2 * scenario + 1]++;
    }
    if (reached > 0) {
      if (influence !== null) {
        philox4x32Into(words, firstAgent + i, tick, ordinal, PURPOSE.share, key0, key1);
        if (words[0] < influence.shareThreshold[reached - 1]) {
          counts[countsAt + 2 + stepCount]++;
          sections[2 * scenario]++;
        }
      }
      if (reached > (next & STAGE.step)) next = (next & ~STAGE.step) | reached;
    }
    if (contact) {
      const sum = pressure + pressureGain + (reached > 0 ? pressureGainResponse : 0);
      state[pressureAt + i] = sum > 255 ? 255 : sum;
      next &= ~STAGE.ticks;
    }
    state[stageAt + i] = next;
  }
}

/** What agent i's codes add to the logit of one step: `row` = (world, stimulus, step), or (world, persona, stimulus, step) of factors. Q14. */
export function traitLogit(plan: ExposePlan, codes: Codes, i: number, row: number, levelSlots: Int32Array): number {
  const { slots, tables, tableOffset, tableLength, factors } = plan;
  if (factors > 0) return (dot(codes, i * factors, plan.factorWeights, row * factors, factors) + 16) >> 5;
  const at = i * slots;
  const acc = dot(codes, at, plan.weights, row * slots, slots);
  let x = plan.arithmeticProfile === "nest16-2" ? ((acc + 4096) | 0) >> 13 : (acc + 16) >> 5;
  for (let l = 0; l < levelSlots.length; l++) {
    const slot = levelSlots[l];
    x = (x + tables[row * tableLength + tableOffset[slot] + codes[at + slot]]) | 0;
  }
  return x;
}

/** sum code * weight over a row whose length is a multiple of 4: unrolled, because V8 does not unroll. Exact: products are below 2^30, sums below 2^53. */
function dot(codes: Codes, at: number, weights: Int16Array, row: number, length: number): number {
  let sum = 0;
  for (const end = at + length; at < end; at += 4, row += 4) {
    sum += codes[at] * weights[row] + codes[at + 1] * weights[row + 1] + codes[at + 2] * weights[row + 2] + codes[at + 3] * weights[row + 3];
  }
  return sum | 0;
}

/** The draws of a block: of each thinned group (bits of its world) whole, of each dense one the high bytes. */
function makeDraws(
  plan: ExposePlan, block: ExposeBlock, tick: number, ordinal: number, bits: Uint8Array | null,
  highPurpose: number, countPurpose: number, spotPurpose: number, out: Draws, words: Uint32Array,
): void {
  const { key: [key0, key1], worldShift } = plan.personas[block.persona];
  const groups = Math.ceil(block.agents / GROUP_AGENTS), firstGroup = block.firstAgent / GROUP_AGENTS;
  if (out.high.length < groups * GROUP_AGENTS) {
    out.high = new Uint8Array(groups * GROUP_AGENTS);
    out.whole = new Uint32Array(groups * GROUP_AGENTS);
  }
  const high = new Uint32Array(out.high.buffer);
  for (let group = 0; group < groups; group++) {
    const world = (((firstGroup + group) * GROUP_AGENTS) >>> worldShift) % plan.worlds;
    const thin = bits === null ? 0 : bits[world * plan.personas.length + block.persona];
    if (thin > 0) {
      thinnedDraws(out.whole.subarray(group * GROUP_AGENTS), thin, firstGroup + group, tick, ordinal, countPurpose, spotPurpose, key0, key1, words);
      continue;
    }
    const last = Math.min(16, Math.ceil((block.agents - group * GROUP_AGENTS) / 16));
    for (let part = 0; part < last; part++) {
      philox4x32Into(words, (firstGroup + group) * 16 + part, tick, ordinal, highPurpose, key0, key1);
      high.set(words, group * 64 + part * 4);
    }
  }
}

function proceduralCodes(plan: ExposePlan, block: ExposeBlock, workspace: Workspace): Codes {
  const length = block.agents * codeColumns(plan);
  if (workspace.codes.length < length) workspace.codes = codesArray(plan, length);
  return codesOf(plan, block, workspace.codes);
}

interface HeldState extends HeldBlock {
  readonly target: BlockState;
}

/** The reference as a kernel: one block and tick after another. */
export const exposeReference: ExposeKernel = {
  open(plan, form, pause = () => {}) {
    checkPlan(plan);
    const workspace = createWorkspace(plan), still = initialClimate(plan), output = createOutput(plan);
    const steps = (index: number, target: BlockState, tick: number, span: number, climate: Climate, onTick: OnTick): void => {
      for (let t = tick; t < tick + span; t++) {
        pause();
        output.whole.fill(0);
        stepBlock(plan, target, t, climate, output, workspace);
        onTick(index, t, { ...output, stateHash: isHashTick(plan, t) ? stateDigest(target.state, target.block.agents, plan.scenarios.length) : NO_STATE_HASH });
      }
    };
    return Promise.resolve({
      batchBlocks: 1,
      hold: async (block, state) => ({ block, target: createBlock(plan, block, form, state) }),
      async step(held, tick, span, climate, onTick) {
        held.forEach((each, index) => steps(index, (each as HeldState).target, tick, span, climate, onTick));
      },
      async live(blocks, onTick) {
        blocks.forEach((block, index) => steps(index, createBlock(plan, block, "stored"), 0, plan.ticks, still, onTick));
      },
      stateOf: (held) => Promise.resolve((held as HeldState).target.state.slice()),
      release() {},
      close() {},
    });
  },
};
