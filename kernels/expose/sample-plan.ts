import { RandomStream } from "@populace/domain/random";
import { thinningOf } from "./bounds.ts";
import type { ExposeInfluence, ExposePersona, ExposePlan, ExposeTrait } from "./plan.ts";

/** Sizes of a sample plan; what is left out is small. */
export interface SamplePlanOptions {
  /** Agents of each persona. */
  readonly agents: readonly number[];
  readonly ticks: number;
  readonly worlds?: number;
  readonly worldShift?: number;
  readonly scenarios?: number;
  readonly ordinals?: number;
  readonly stimuli?: number;
  readonly steps?: number;
  readonly slots?: number;
  /** Traits a persona; at most slots - 1. */
  readonly traits?: number;
  readonly copula?: boolean;
  readonly influence?: boolean;
  readonly gapTicks?: number;
  /** Chance of skipping a place of the schedule; 0 = every agent meets a stimulus at every tick and ordinal. */
  readonly idle?: number;
  readonly profile?: "nest8-2" | "nest16-2";
  /** Latent factors; 0 = coded traits. */
  readonly factors?: number;
  /** Thin the draws wherever their bounds allow (from a worldShift of 8 on). */
  readonly thinned?: boolean;
  /** Added to every logit of step 0, to make responses rare or common; and to that of leaving. */
  readonly shift?: number;
  readonly leaveShift?: number;
  /** Levels of a categorical trait. */
  readonly levels?: number;
}

/** An ExposePlan with the remaining fields of the protocol's Plan, so that it can run as one. */
export interface SamplePlan extends ExposePlan {
  readonly kernelSpec: "expose-2";
  readonly seed: readonly [number, number];
  readonly stimuli: readonly { readonly id: string; readonly contact: boolean }[];
  readonly personas: readonly (ExposePersona & { readonly id: string })[];
  readonly scenarios: readonly { readonly name: string; readonly schedule: Int16Array }[];
}

/**
 * A random plan without a model behind it, for parity tests and benchmarks: every feature of the kernel occurs, rates fall
 * along the funnel (about 13 %, 3 %, 0.6 %), leaving is rare. The same for the same seed and options. Stimulus 0 is "no
 * contact" when there are several.
 */
export function samplePlan(seed: number, options: SamplePlanOptions): SamplePlan {
  const random = RandomStream.of(seed, "sample plan");
  const worlds = options.worlds ?? 8, scenarioCount = options.scenarios ?? 2, ordinalsMax = options.ordinals ?? 1;
  const factors = options.factors ?? 0, profile = options.profile ?? "nest8-2";
  const stimulusCount = options.stimuli ?? 3, stepCount = options.steps ?? 3, slots = factors > 0 ? 0 : (options.slots ?? 16);
  const traitCount = factors > 0 ? 0 : Math.min(options.traits ?? 8, slots - 1), personaCount = options.agents.length;
  const int = (low: number, high: number) => low + random.integer(high - low + 1);
  const logit = (mean: number, sd: number) => Math.round(16_384 * (mean + sd * random.normal()));

  // The first third of the trait slots hold levels, the others numbers.
  const levelCount = Math.floor(traitCount / 3), levels = options.levels ?? 3;
  const slotKind = new Uint8Array(slots), tableOffset = new Int16Array(slots).fill(-1);
  for (let j = 0; j < traitCount; j++) {
    slotKind[j] = j < levelCount ? 2 : 1;
    if (j < levelCount) tableOffset[j] = j * levels;
  }
  const tableLength = levelCount * levels;
  const stimuli = Array.from({ length: stimulusCount }, (_, s) => ({ id: `stimulus-${s}`, contact: s > 0 || stimulusCount === 1 }));

  const personas = options.agents.map((agents, p) => ({
    id: `persona-${p}`,
    key: [random.uint32(), random.uint32()] as const,
    agents,
    worldShift: options.worldShift ?? 4,
    traits: Array.from({ length: traitCount }, (_, slot) => sampleTrait(slot, slot < levelCount, worlds, levels, random)),
    copula: options.copula === true ? sampleCopula(traitCount, random) : new Int16Array(0),
    returnThreshold: 0x1000_0000,
  }));

  const scenarios = Array.from({ length: scenarioCount }, (_, c) => ({
    name: `scenario-${c}`,
    schedule: Int16Array.from({ length: options.ticks * ordinalsMax * personaCount }, () => (random.uniform() < (options.idle ?? 0) ? -1 : random.integer(stimulusCount))),
  }));
  const cells = scenarios.flatMap((scenario, index) => stimuli.map((_, stimulus) => ({ scenario: index, stimulus })).filter((cell) => scenario.schedule.includes(cell.stimulus)));

  const fill16 = (length: number, value: (i: number) => number) => Int16Array.from({ length }, (_, i) => value(i));
  const fill32 = (length: number, value: (i: number) => number) => Int32Array.from({ length }, (_, i) => value(i));
  // +-0.1 logit per unit of 64 codes; in 32 wide slots their sum must stay below 65,536.
  const weightMax = profile === "nest16-2" && slots > 32 ? 400 : 800;
  const plan: SamplePlan = {
    kernelSpec: "expose-2", arithmeticProfile: profile, seed: [random.uint32(), random.uint32()],
    worlds, ticks: options.ticks, ordinalsMax, slots, slotKind, tableOffset, tableLength, factors,
    steps: Array.from({ length: stepCount }, (_, k) => `step-${k}`), stimuli, personas, scenarios, cells,
    weights: fill16(worlds * stimulusCount * stepCount * slots, (i) => (slotKind[i % slots] === 1 ? int(-weightMax, weightMax) : 0)),
    tables: fill32(worlds * stimulusCount * stepCount * tableLength, () => logit(0, 0.4)),
    factorWeights: fill16(worlds * personaCount * stimulusCount * stepCount * factors, () => int(-3000, 3000)),
    bias: fill32(worlds * personaCount * stimulusCount * stepCount, (i) => logit(i % stepCount === 0 ? -2.2 + (options.shift ?? 0) : -1.4, 0.3)),
    leaveBias: fill32(worlds * personaCount * stimulusCount, () => logit(-6 + (options.leaveShift ?? 0), 0.3)),
    drawBits: new Uint8Array(worlds * personaCount), leaveBits: new Uint8Array(worlds * personaCount),
    offset: fill32(options.ticks * personaCount * stimulusCount * stepCount, () => logit(0, 0.05)),
    pressureWeight: fill32(stepCount, () => int(0, 200)),
    pressureLeaveWeight: 150,
    pressureGain: 24, pressureGainResponse: 9,
    gapTicks: options.gapTicks ?? 0,
    influence: options.influence === true ? sampleInfluence(personaCount, stepCount, random) : null,
  };
  return options.thinned === true ? { ...plan, ...thinningOf(plan) } : plan;
}

function sampleTrait(slot: number, isLevel: boolean, worlds: number, levels: number, random: RandomStream): ExposeTrait {
  if (isLevel) {
    const cumulative = new Uint32Array(worlds * levels);
    for (let world = 0; world < worlds; world++) {
      const shares = random.dirichlet(new Array<number>(levels).fill(4));
      let sum = 0;
      for (let level = 0; level < levels; level++) cumulative[world * levels + level] = Math.round(65_536 * (sum += shares[level]));
      cumulative[world * levels + levels - 1] = 65_536;
    }
    return { slot, kind: "level", cumulative, codes: Int8Array.from({ length: levels }, (_, level) => level) };
  }
  return {
    slot, kind: "grid",
    // A uniform shape of +-1 standard deviations x 1.7, in Q8 code units at a scale of 32 codes a deviation.
    quantiles: Int32Array.from({ length: 257 }, (_, k) => Math.round(256 * 32 * 1.7 * (k / 128 - 1))),
    offset: Int32Array.from({ length: worlds }, () => Math.round(256 * 10 * random.normal())),
    scale: Int32Array.from({ length: worlds }, () => Math.round(65_536 * (0.8 + 0.4 * random.uniform()))),
  };
}

function sampleCopula(traitCount: number, random: RandomStream): Int16Array {
  const factor: number[] = [];
  for (let j = 0; j < traitCount; j++) {
    const row = Array.from({ length: j + 1 }, (_, k) => (k === j ? 1 : 0.3 * random.normal()));
    const norm = Math.hypot(...row);
    factor.push(...row.map((value) => Math.round((16_384 * value) / norm)));
  }
  return Int16Array.from(factor);
}

function sampleInfluence(personaCount: number, stepCount: number, random: RandomStream): ExposeInfluence {
  const rowStart = [0], source: number[] = [], weight: number[] = [];
  for (let receiver = 0; receiver < personaCount; receiver++) {
    for (let sender = 0; sender < personaCount; sender++) {
      if (random.uniform() < 0.3) continue;
      source.push(sender);
      weight.push(random.integer(65_536));
    }
    rowStart.push(source.length);
  }
  return {
    rowStart: Int32Array.from(rowStart), source: Int32Array.from(source), weight: Int32Array.from(weight),
    shareThreshold: Uint32Array.from({ length: stepCount }, (_, k) => 0x2000_0000 * (k + 1)),
    warmthDecay: 6554, warmthGain: 65_536, warmthMax: 16_384, awareGain: 40_000, awareMax: 0x4000_0000,
    awareWeight: Int32Array.from({ length: stepCount }, () => 4000),
  };
}
