/**
 * SPEC.md read aloud: one object an agent, every draw in full, every step for every agent, nothing shared and nothing
 * skipped. The oracle of the parity tests and the peer of the benchmark; it shares only Philox, mulHigh and the normal tables (which
 * have their own oracles) with the reference.
 */
import { mulHigh, philox4x32 } from "@populace/domain/random";
import type { ExposeBlock, ExposePersona, ExposePlan } from "./plan.ts";
import { normalCdfTable, normalQuantileTable } from "./tables.ts";

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

/** The draw of one agent in full: dense, or as its group's candidate. */
function draw(key: readonly [number, number], agent: number, tick: number, ordinal: number, bits: number, purposes: { readonly high: number; readonly low: number; readonly count: number; readonly spot: number }): number {
  if (bits > 0) return thinned(key, Math.floor(agent / 256), tick, ordinal, bits, purposes.count, purposes.spot).get(agent % 256) ?? 2 ** 32 - 1;
  const block = philox4x32([Math.floor(agent / 16), tick, ordinal, purposes.high], key);
  const byte = agent % 16;
  const high = Math.floor(block[byte >> 2] / 256 ** (byte & 3)) % 256;
  const low = philox4x32([agent, tick, ordinal, purposes.low], key)[0] >>> 8;
  return high * 2 ** 24 + low;
}

const DRAW = { high: 1, low: 2, count: 9, spot: 10 } as const;
const LEAVE = { high: 3, low: 7, count: 11, spot: 12 } as const;
const AWARE = { high: 6, low: 8, count: 0, spot: 0 } as const;

/** Candidates of a group by place: as many as the binomial distribution says, each on a free place with a draw of its own. */
function thinned(key: readonly [number, number], group: number, tick: number, ordinal: number, bits: number, countPurpose: number, spotPurpose: number): Map<number, number> {
  const w = philox4x32([Math.floor(group / 4), tick, ordinal, countPurpose], key)[group % 4];
  const count = binomial(bits).filter((entry) => entry <= w).length;
  const candidates = new Map<number, number>();
  for (let j = 0; j < count; j++) {
    const words = philox4x32([group, tick, ordinal + 65_536 * j, spotPurpose], key);
    const places = Array.from({ length: 12 }, (_, n) => Math.floor(words[1 + (n >> 2)] / 256 ** (n & 3)) % 256);
    let place = places.find((each) => !candidates.has(each)) ?? places[11];
    while (candidates.has(place)) place = (place + 1) % 256;
    candidates.set(place, Math.floor(words[0] / 2 ** bits));
  }
  return candidates;
}

const binomials = new Map<number, readonly number[]>();

/** floor(2^32 P(X <= k)), X ~ Binomial(256, 2^-bits), in exact rationals (a probability is a numerator over 2^(256 bits)). */
function binomial(bits: number): readonly number[] {
  const known = binomials.get(bits);
  if (known !== undefined) return known;
  const odds = (1n << BigInt(bits)) - 1n, whole = 1n << BigInt(256 * bits);
  const table: number[] = [];
  let choose = 1n, sum = 0n;
  for (let k = 0n; k <= 256n; k++) {
    sum += choose * odds ** (256n - k);
    choose = (choose * (256n - k)) / (k + 1n);
    if (((whole - sum) << 32n) < whole) break;
    table.push(Number((sum << 32n) / whole));
  }
  binomials.set(bits, table);
  return table;
}

/** Trait word m of an agent, multiplied in BigInt. */
function traitWord(key: readonly [number, number], agent: number, m: number): number {
  const [key0, key1] = philox4x32([m, 0, 0, 16], key);
  const times = (a: number, b: number): number => Number((BigInt(a) * BigInt(b)) & 0xffffffffn);
  let x = (agent + key0) % 2 ** 32;
  x = (times((x ^ (x >>> 17)) >>> 0, 0xed5ad4bb) ^ key1) >>> 0;
  x = times((x ^ (x >>> 11)) >>> 0, 0xac4c1b51);
  x = times((x ^ (x >>> 15)) >>> 0, 0x31848bab);
  return (x ^ (x >>> 14)) >>> 0;
}

/** The uniforms of one agent's traits, correlated where the persona has a copula. */
function uniformsOf(persona: ExposePersona, agent: number): number[] {
  const plain = persona.traits.map((_, j) => Math.floor(traitWord(persona.key, agent, j >> 1) / (j % 2 === 0 ? 1 : 65_536)) % 65_536);
  if (persona.copula.length === 0) return plain;
  const normals = plain.map((u) => normalQuantileTable()[u]), cdf = normalCdfTable();
  return plain.map((_, j) => {
    let sum = 0;
    for (let k = 0; k <= j; k++) sum += persona.copula[(j * (j + 1)) / 2 + k] * normals[k];
    const y = Math.min(65_535, Math.max(0, Math.floor((sum + 4096) / 8192) + 32_768));
    const from = cdf[Math.floor(y / 4)], to = cdf[Math.floor(y / 4) + 1];
    return from + Math.floor(((to - from) * (y % 4)) / 4);
  });
}

/** The agents of a block before tick 0. */
export function naiveAgents(plan: ExposePlan, block: ExposeBlock): NaiveAgent[] {
  const persona = plan.personas[block.persona], isWide = plan.arithmeticProfile === "nest16-2";
  return Array.from({ length: block.agents }, (_, i) => {
    const id = block.firstAgent + i;
    const world = Math.floor(id / 2 ** persona.worldShift) % plan.worlds;
    const lives = plan.scenarios.map(() => ({ pressure: 0, furthest: 0, isAware: false, ticksSinceContact: 7, hasLeft: false }));
    if (plan.factors > 0) {
      const codes = Array.from({ length: plan.factors }, (_factor, k) => {
        const byte = Math.floor(traitWord(persona.key, id, k >> 2) / 256 ** (k & 3)) % 256;
        return byte < 128 ? byte : byte - 256;
      });
      return { id, world, codes, lives };
    }
    const codes = new Array<number>(plan.slots).fill(0);
    const uniforms = uniformsOf(persona, id);
    persona.traits.forEach((trait, j) => {
      const u = uniforms[j];
      if (trait.kind === "level") {
        const levels = trait.codes.length;
        const row = trait.cumulative.subarray(world * levels, (world + 1) * levels);
        codes[trait.slot] = trait.codes[row.findIndex((bound) => u < bound)] * (isWide && plan.slotKind[trait.slot] !== 2 ? 256 : 1);
        return;
      }
      const segment = Math.floor(u / 256);
      const from = trait.quantiles[segment], to = trait.quantiles[segment + 1];
      const q = from + Math.floor(((to - from) * (u % 256)) / 256);
      const g = trait.offset[world] + Math.floor((trait.scale[world] * q + 2 ** 15) / 2 ** 16);
      codes[trait.slot] = isWide ? Math.max(-32_768, Math.min(32_767, g)) : Math.max(-128, Math.min(127, Math.floor((g + 128) / 256)));
    });
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
    if (plan.influence !== null && !life.isAware && draw(key, agent.id, tick, 0, 0, AWARE) < climate.awareThreshold[climateAt]) life.isAware = true;

    for (let ordinal = 0; ordinal < plan.ordinalsMax; ordinal++) {
      const stimulus = plan.scenarios[scenario].schedule[(tick * plan.ordinalsMax + ordinal) * personaCount + personaIndex];
      if (stimulus < 0 || life.hasLeft) continue;
      const { contact } = plan.stimuli[stimulus];
      if (contact && plan.gapTicks > 0 && life.ticksSinceContact < plan.gapTicks) continue;
      const cell = plan.cells.findIndex((candidate) => candidate.scenario === scenario && candidate.stimulus === stimulus);
      const row = (cell * plan.worlds + world) * (stepCount + 3);
      counts[row]++;

      const u = draw(key, agent.id, tick, ordinal, plan.drawBits[world * personaCount + personaIndex], DRAW);
      let furthest = 0, q = 0;
      for (let k = 0; k < stepCount; k++) {
        let x = naiveTraitLogit(plan, personaIndex, agent, stimulus, k);
        x += plan.bias[((world * personaCount + personaIndex) * plan.stimuli.length + stimulus) * stepCount + k];
        x += plan.offset[((tick * personaCount + personaIndex) * plan.stimuli.length + stimulus) * stepCount + k];
        if (contact) x += climate.warmth[climateAt] - life.pressure * plan.pressureWeight[k];
        if (life.isAware) x += plan.influence!.awareWeight[k];
        const p = probability(x);
        q = k === 0 ? p : mulHigh(q, p);
        if (u < q) {
          counts[row + 1 + k]++;
          furthest = k + 1;
        }
      }

      if (contact && furthest < stepCount) {
        const leave = probability(plan.leaveBias[(world * personaCount + personaIndex) * plan.stimuli.length + stimulus] + life.pressure * plan.pressureLeaveWeight);
        if (draw(key, agent.id, tick, ordinal, plan.leaveBits[world * personaCount + personaIndex], LEAVE) < leave) {
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

function naiveTraitLogit(plan: ExposePlan, persona: number, agent: NaiveAgent, stimulus: number, k: number): number {
  const { factors, slots, steps, stimuli } = plan;
  let numeric = 0, levels = 0;
  if (factors > 0) {
    const row = ((agent.world * plan.personas.length + persona) * stimuli.length + stimulus) * steps.length + k;
    agent.codes.forEach((code, factor) => { numeric += code * plan.factorWeights[row * factors + factor]; });
    return Math.floor((numeric + 16) / 32);
  }
  const row = (agent.world * stimuli.length + stimulus) * steps.length + k;
  for (let slot = 0; slot < slots; slot++) {
    if (plan.slotKind[slot] === 2) levels += plan.tables[row * plan.tableLength + plan.tableOffset[slot] + agent.codes[slot]];
    else numeric += agent.codes[slot] * plan.weights[row * slots + slot];
  }
  return Math.floor(plan.arithmeticProfile === "nest16-2" ? (numeric + 4096) / 8192 : (numeric + 16) / 32) + levels;
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
