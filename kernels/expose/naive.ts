/**
 * SPEC.md read aloud: one object an agent, every draw in full, every step for every agent, nothing shared and nothing
 * skipped. The oracle of the parity tests and the peer of the benchmark; it shares only Philox and mulHigh (which have their
 * own oracles) with the reference.
 */
import { mulHigh, philox4x32 } from "@populace/domain/random";
import type { ExposeBlock, ExposePlan } from "./plan.ts";

/** One agent with its codes and one life in each scenario. */
export interface NaiveAgent {
  readonly id: number;
  readonly world: number;
  readonly codes: readonly number[];
  /** One a scenario. */
  readonly lives: NaiveLife[];
}

/** The state of an agent in one scenario, one field a concept. */
export interface NaiveLife {
  pressure: number;
  furthest: number;
  isAware: boolean;
  ticksSinceContact: number;
  hasLeft: boolean;
}

const SIGMOID = Array.from({ length: 2049 }, (_, k) => Math.min(2 ** 32 - 1, Math.round(2 ** 32 / (1 + Math.exp(-(k * 256 - 2 ** 18) / 2 ** 14)))));

function probability(logit: number): number {
  const y = Math.min(Math.max(logit + 2 ** 18, 0), 2 ** 19 - 1);
  const k = Math.floor(y / 256), fraction = y % 256;
  return SIGMOID[k] + Math.floor(((SIGMOID[k + 1] - SIGMOID[k]) * fraction) / 256);
}

function lazyDraw(key: readonly [number, number], agent: number, tick: number, ordinal: number, highPurpose: number, lowPurpose: number): number {
  const block = philox4x32([Math.floor(agent / 16), tick, ordinal, highPurpose], key);
  const byte = agent % 16;
  const high = Math.floor(block[byte >> 2] / 256 ** (byte & 3)) % 256;
  const low = philox4x32([agent, tick, ordinal, lowPurpose], key)[0] >>> 8;
  return high * 2 ** 24 + low;
}

/** The agents of a block before tick 0. Only without a copula (that path has its own test). */
export function naiveAgents(plan: ExposePlan, block: ExposeBlock): NaiveAgent[] {
  const persona = plan.personas[block.persona];
  return Array.from({ length: block.agents }, (_, i) => {
    const id = block.firstAgent + i;
    const world = Math.floor(id / 2 ** persona.worldShift) % plan.worlds;
    const codes = new Array<number>(plan.slots).fill(0);
    persona.traits.forEach((trait, j) => {
      const u = philox4x32([id, Math.floor(j / 4), 0, 16], persona.key)[j % 4] >>> 16;
      if (trait.kind === "level") {
        const levels = trait.codes.length;
        const row = trait.cumulative.subarray(world * levels, (world + 1) * levels);
        codes[trait.slot] = trait.codes[row.findIndex((bound) => u < bound)];
      } else {
        const segment = Math.floor(u / 256);
        const from = trait.quantiles[segment], to = trait.quantiles[segment + 1];
        const q = from + Math.floor(((to - from) * (u % 256)) / 256);
        const scaled = Math.floor((trait.scale[world] * q + 2 ** 15) / 2 ** 16);
        codes[trait.slot] = Math.max(-128, Math.min(127, Math.floor((trait.offset[world] + scaled + 128) / 256)));
      }
    });
    const lives = plan.scenarios.map(() => ({ pressure: 0, furthest: 0, isAware: false, ticksSinceContact: 7, hasLeft: false }));
    return { id, world, codes, lives };
  });
}

/** Lives one tick of one agent in all scenarios; adds to counts (cells x worlds x columns) and sections (scenarios x 2). */
export function naiveTick(
  plan: ExposePlan, personaIndex: number, agent: NaiveAgent, tick: number,
  climate: { readonly warmth: ArrayLike<number>; readonly awareThreshold: ArrayLike<number> },
  counts: { [index: number]: number }, sections: { [index: number]: number },
): void {
  const persona = plan.personas[personaIndex], personaCount = plan.personas.length, stepCount = plan.steps.length;
  const { key } = persona, { world } = agent;
  agent.lives.forEach((life, scenario) => {
    if (life.hasLeft && philox4x32([agent.id, tick, 0, 5], key)[0] < persona.returnThreshold) life.hasLeft = false;
    life.pressure -= Math.floor((life.pressure + 15) / 16);
    life.ticksSinceContact = Math.min(7, life.ticksSinceContact + 1);
    const climateAt = scenario * personaCount + personaIndex;
    if (plan.influence !== null && !life.isAware && lazyDraw(key, agent.id, tick, 0, 6, 8) < climate.awareThreshold[climateAt]) life.isAware = true;

    for (let ordinal = 0; ordinal < plan.ordinalsMax; ordinal++) {
      const stimulus = plan.scenarios[scenario].schedule[(tick * plan.ordinalsMax + ordinal) * personaCount + personaIndex];
      if (stimulus < 0 || life.hasLeft) continue;
      const { contact } = plan.stimuli[stimulus];
      if (contact && plan.gapTicks > 0 && life.ticksSinceContact < plan.gapTicks) continue;
      const cell = plan.cells.findIndex((candidate) => candidate.scenario === scenario && candidate.stimulus === stimulus);
      const row = (cell * plan.worlds + world) * (stepCount + 3);
      counts[row]++;

      const draw = lazyDraw(key, agent.id, tick, ordinal, 1, 2);
      let furthest = 0, q = 0;
      for (let k = 0; k < stepCount; k++) {
        const weightRow = (world * plan.stimuli.length + stimulus) * stepCount + k;
        let numeric = 0, levels = 0;
        for (let slot = 0; slot < plan.slots; slot++) {
          if (plan.slotKind[slot] === 2) levels += plan.tables[weightRow * plan.tableLength + plan.tableOffset[slot] + agent.codes[slot]];
          else numeric += agent.codes[slot] * plan.weights[weightRow * plan.slots + slot];
        }
        let x = Math.floor((numeric + 16) / 32) + levels;
        x += plan.bias[((world * personaCount + personaIndex) * plan.stimuli.length + stimulus) * stepCount + k];
        x += plan.offset[((tick * personaCount + personaIndex) * plan.stimuli.length + stimulus) * stepCount + k];
        if (contact) x += climate.warmth[climateAt] - life.pressure * plan.pressureWeight[k];
        if (life.isAware) x += plan.influence!.awareWeight[k];
        const p = probability(x);
        q = k === 0 ? p : mulHigh(q, p);
        if (draw < q) {
          counts[row + 1 + k]++;
          furthest = k + 1;
        }
      }

      if (contact && furthest < stepCount) {
        const leave = probability(plan.leaveBias[(world * personaCount + personaIndex) * plan.stimuli.length + stimulus] + life.pressure * plan.pressureLeaveWeight);
        if (lazyDraw(key, agent.id, tick, ordinal, 3, 7) < leave) {
          life.hasLeft = true;
          counts[row + 1 + stepCount]++;
          sections[scenario * 2 + 1]++;
        }
      }
      if (plan.influence !== null && furthest > 0 && philox4x32([agent.id, tick, ordinal, 4], key)[0] < plan.influence.shareThreshold[furthest - 1]) {
        counts[row + 2 + stepCount]++;
        sections[scenario * 2]++;
      }
      life.furthest = Math.max(life.furthest, furthest);
      if (contact) {
        life.pressure = Math.min(255, life.pressure + plan.pressureGain + (furthest > 0 ? plan.pressureGainResponse : 0));
        life.ticksSinceContact = 0;
      }
    }
  });
}

/** The agents' lives in the byte layout of a block's state. */
export function naiveState(agents: readonly NaiveAgent[]): Uint8Array {
  const scenarioCount = agents[0].lives.length;
  const bytes: number[] = [];
  for (let scenario = 0; scenario < scenarioCount; scenario++) {
    for (const agent of agents) bytes.push(agent.lives[scenario].pressure);
    for (const agent of agents) {
      const life = agent.lives[scenario];
      bytes.push(life.furthest + (life.isAware ? 8 : 0) + 16 * life.ticksSinceContact + (life.hasLeft ? 128 : 0));
    }
  }
  return Uint8Array.from(bytes);
}
