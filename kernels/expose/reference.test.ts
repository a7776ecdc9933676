import { createHash } from "node:crypto";
import { philox4x32 } from "@populace/domain";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openBackend } from "../backends/backend.ts";
import { checkPlan } from "./check-plan.ts";
import { expectedRates } from "../mean-field/expected-rates.ts";
import { influenceStep } from "./influence.ts";
import { naiveAgents, naiveState, naiveTick } from "./naive.ts";
import { personaKey } from "./persona-key.ts";
import type { ExposeBlock, ExposePlan } from "./plan.ts";
import { codesOf } from "./population.ts";
import type { Climate, PopulationForm } from "./port.ts";
import { createBlock, createOutput, createWorkspace, initialClimate, stepBlock } from "./reference.ts";
import { samplePlan, type SamplePlan } from "./sample-plan.ts";

const blockOf = (plan: ExposePlan, persona: number, firstAgent = 0): ExposeBlock => ({ persona, firstAgent, agents: plan.personas[persona].agents - firstAgent });

const planOptions = fc.record({
  agents: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 3 }),
  ticks: fc.integer({ min: 1, max: 9 }),
  worlds: fc.integer({ min: 1, max: 5 }),
  worldShift: fc.integer({ min: 0, max: 5 }),
  scenarios: fc.integer({ min: 1, max: 3 }),
  ordinals: fc.integer({ min: 1, max: 2 }),
  stimuli: fc.integer({ min: 1, max: 3 }),
  steps: fc.integer({ min: 1, max: 4 }),
  slots: fc.constantFrom(16, 32),
  traits: fc.integer({ min: 0, max: 9 }),
  influence: fc.boolean(),
  gapTicks: fc.integer({ min: 0, max: 7 }),
  idle: fc.constantFrom(0, 0.3),
  copula: fc.boolean(),
  profile: fc.constantFrom("nest8-2" as const, "nest16-2" as const),
});

/** Plans in the factor form, with groups of 256 in one world so that draws can be thinned. */
const factorOptions = fc.record({
  agents: fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 2 }),
  ticks: fc.integer({ min: 1, max: 4 }),
  worlds: fc.integer({ min: 1, max: 3 }),
  worldShift: fc.constantFrom(3, 8, 9),
  scenarios: fc.integer({ min: 1, max: 2 }),
  ordinals: fc.integer({ min: 1, max: 2 }),
  steps: fc.integer({ min: 1, max: 4 }),
  factors: fc.constantFrom(4, 8, 16),
  influence: fc.boolean(),
  gapTicks: fc.integer({ min: 0, max: 3 }),
  thinned: fc.constantFrom(true, true, false),
  shift: fc.constantFrom(0, -4, -8),
});

describe("expose reference", () => {
  it("equals the naive reading of the specification, state and counts, on random plans", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 1e6 }), planOptions, (seed, options) => {
      compareWithNaive(eventful(samplePlan(seed, options)), seed % 2 === 0 ? "stored" : "procedural");
    }), { numRuns: 60 });
  });

  it("equals it in the factor form, with dense and with thinned draws", () => {
    let thinned = 0;
    fc.assert(fc.property(fc.integer({ min: 0, max: 1e6 }), factorOptions, (seed, options) => {
      const plan = samplePlan(seed, options);
      thinned += plan.drawBits.filter((bits) => bits > 0).length;
      compareWithNaive(plan, "procedural");
    }), { numRuns: 40 });
    expect(thinned).toBeGreaterThan(0);
  });

  it("equals it where every rare event happens: leaving, returning, sharing, becoming aware, skipped contacts", () => {
    const plan = eventful(samplePlan(7, { agents: [600, 400], ticks: 8, influence: true, gapTicks: 2, ordinals: 2 }));
    const met = compareWithNaive(plan, "stored");
    expect(Math.min(met.left, met.shared, met.aware, met.returned)).toBeGreaterThan(100);
  });

  it("gives the same bytes whether the population is stored or procedural, with a copula too", () => {
    for (const copula of [false, true]) {
      const plan = samplePlan(5, { agents: [3000], ticks: 4, copula, traits: 11, ordinals: 2 });
      const run = (form: "stored" | "procedural") => {
        const block = createBlock(plan, blockOf(plan, 0), form), output = createOutput(plan), workspace = createWorkspace(plan);
        for (let tick = 0; tick < plan.ticks; tick++) stepBlock(plan, block, tick, initialClimate(plan), output, workspace);
        return [digest(block.state), digest(output.counts)];
      };
      expect(run("stored")).toEqual(run("procedural"));
    }
  });

  it("does not depend on how a population is cut into blocks or in which order they run", () => {
    const plan = samplePlan(9, { agents: [1000], ticks: 5, worlds: 7, copula: true });
    const whole = runBlocks(plan, [blockOf(plan, 0)]);
    const cuts = [0, 256, 512, 768, 1000];
    const pieces = cuts.slice(1).map((end, i) => ({ persona: 0, firstAgent: cuts[i], agents: end - cuts[i] }));
    const parts = runBlocks(plan, pieces.reverse());
    expect(parts.counts).toEqual(whole.counts);
    for (let scenario = 0; scenario < plan.scenarios.length; scenario++) {
      for (const plane of [0, 1]) {
        const joined = [...parts.blocks].sort((a, b) => a.block.firstAgent - b.block.firstAgent)
          .flatMap((b) => [...b.state.subarray((2 * scenario + plane) * b.block.agents, (2 * scenario + plane + 1) * b.block.agents)]);
        const at = (2 * scenario + plane) * 1000;
        expect(joined).toEqual([...whole.blocks[0].state.subarray(at, at + 1000)]);
      }
    }
  });

  it("keeps its bits: the golden hashes of specification expose-2", () => {
    // Taken from this reference once it equaled naive.ts; any change of bits is a new kernel specification.
    const goldens = [
      samplePlan(2026, { agents: [2000, 500], ticks: 6, copula: true, influence: true, gapTicks: 2, ordinals: 2 }),
      samplePlan(2027, { agents: [2000, 500], ticks: 6, worldShift: 8, factors: 8, thinned: true, shift: -6 }),
      samplePlan(2028, { agents: [2000, 500], ticks: 6, profile: "nest16-2", slots: 32, traits: 20 }),
    ].map((plan) => {
      const { blocks, counts } = runBlocks(plan, [blockOf(plan, 0), blockOf(plan, 1)]);
      return [...blocks.map((block) => digest(block.state)), digest(counts)].join(" ");
    });
    expect(goldens).toEqual(GOLDEN);
  });

  it("reaches each step as often as the expected rates say", () => {
    const agents = 64_000;
    const plan = samplePlan(3, { agents: [agents], ticks: 1, worlds: 4, scenarios: 1, stimuli: 1, traits: 9, copula: true });
    const rates = expectedRates(plan, { panelAgents: agents });
    const { counts } = runBlocks(plan, [blockOf(plan, 0)]);
    const stepCount = plan.steps.length;
    for (let world = 0; world < plan.worlds; world++) {
      const row = world * (stepCount + 3), exposures = counts[row];
      expect(exposures).toBe(agents / plan.worlds);
      for (let k = 0; k < stepCount; k++) {
        const rate = rates[world * stepCount + k];
        // The panel holds all agents under this world, the run a quarter of them: 5 standard errors cover both.
        expect(Math.abs(counts[row + 1 + k] / exposures - rate), `world ${world} step ${k}`).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / exposures));
      }
    }
  });

  it("leaves and returns at the stated rates", () => {
    const base = samplePlan(8, { agents: [50_000], ticks: 2, worlds: 1, scenarios: 1, stimuli: 1, traits: 0 });
    const plan: SamplePlan = {
      ...base, pressureLeaveWeight: 0, bias: base.bias.map(() => -131_072), offset: base.offset.map(() => 0),
      leaveBias: base.leaveBias.map(() => 0), personas: base.personas.map((persona) => ({ ...persona, returnThreshold: 2 ** 30 })),
    };
    // logit 0: half leave at tick 0; a quarter of them return and half of all present leave at tick 1.
    const { counts } = runBlocks(plan, [blockOf(plan, 0)]);
    const present = 50_000 + 25_000 * 1.25;
    expect(Math.abs(counts[0] - present)).toBeLessThan(5 * Math.sqrt(50_000));
    expect(Math.abs(counts[4] - present / 2)).toBeLessThan(5 * Math.sqrt(50_000));
  });

  it("needs pressure to decay to nothing", () => {
    const base = samplePlan(8, { agents: [16], ticks: 70, scenarios: 1, stimuli: 1, traits: 0 });
    const plan = { ...base, scenarios: [{ name: "once", schedule: Int16Array.from({ length: 70 }, (_, tick) => (tick === 0 ? 0 : -1)) }], pressureGain: 255 };
    const { blocks } = runBlocks(plan, [blockOf(plan, 0)]);
    expect([...blocks[0].state.subarray(0, 16)]).toEqual(new Array(16).fill(0));
  });

  it("refuses a backend that does not exist instead of replacing it", async () => {
    for (const name of ["gpu-js", "toString"]) await expect(openBackend(name, "expose")).rejects.toMatchObject({ code: "BACKEND_MISSING" });
    expect((await openBackend("reference", "expose")).name).toBe("reference");
  });
});

describe("population", () => {
  it("reproduces the correlation its copula states and keeps the marginal shares", () => {
    const rho = 0.6, agents = 40_000;
    const base = samplePlan(11, { agents: [agents], ticks: 1, worlds: 1, traits: 2 });
    const plan: SamplePlan = {
      ...base,
      personas: [{
        ...base.personas[0],
        copula: Int16Array.from([16_384, rho * 16_384, Math.sqrt(1 - rho * rho) * 16_384].map(Math.round)),
        traits: [
          base.personas[0].traits[1].kind === "grid" ? { ...base.personas[0].traits[1], slot: 0 } : base.personas[0].traits[0],
          { slot: 1, kind: "level", cumulative: Uint32Array.from([0.25 * 65_536, 65_536]), codes: Int8Array.from([0, 64]) },
        ],
      }],
    };
    const codes = codesOf(plan, blockOf(plan, 0));
    let sumX = 0, sumXX = 0, ones = 0, sumX1 = 0;
    for (let i = 0; i < agents; i++) {
      const x = codes[i * plan.slots], one = codes[i * plan.slots + 1] / 64;
      sumX += x; sumXX += x * x; ones += one; sumX1 += x * one;
    }
    const mean = sumX / agents, sd = Math.sqrt(sumXX / agents - mean * mean), share = ones / agents;
    expect(Math.abs(share - 0.75)).toBeLessThan(5 * Math.sqrt((0.75 * 0.25) / agents));
    // x is Phi(e1) up to scale, the second trait is e2 > Phi^-1(1/4), corr(e1, e2) = 0.6: their correlation by 2e7
    // draws of numpy (default_rng(1)) is 0.4371 +- 0.0002; 0.02 is 4 standard errors of 40,000 agents.
    const correlation = (sumX1 / agents - mean * share) / (sd * Math.sqrt(share * (1 - share)));
    expect(Math.abs(correlation - CORRELATION)).toBeLessThan(0.02);
  });

  it("derives a persona's key from the seed and its id alone", () => {
    const key = (id: string) => personaKey([1, 2], createHash("sha256").update(id).digest());
    expect(key("a")).toEqual(key("a"));
    expect(key("a")).not.toEqual(key("b"));
    const hash = createHash("sha256").update("a").digest();
    expect(key("a")).toEqual(philox4x32([hash.readUInt32LE(0), hash.readUInt32LE(4), hash.readUInt32LE(8), 0x506f7075], [1, 2]).slice(0, 2));
  });
});

describe("expected rates", () => {
  it("are equal in worlds of equal parameters and differ with them, however small the panel", () => {
    const base = samplePlan(4, { agents: [64], ticks: 1, worlds: 1, traits: 6, copula: true });
    const twice = <T extends Int16Array | Int32Array | Uint8Array>(array: T): T => {
      const out = new (array.constructor as new (length: number) => T)(array.length * 2);
      out.set(array); out.set(array, array.length);
      return out;
    };
    const doubled: SamplePlan = {
      ...base, worlds: 2, weights: twice(base.weights), tables: twice(base.tables), bias: twice(base.bias), leaveBias: twice(base.leaveBias), drawBits: twice(base.drawBits), leaveBits: twice(base.leaveBits),
      personas: base.personas.map((persona) => ({
        ...persona,
        traits: persona.traits.map((trait) => (trait.kind === "grid"
          ? { ...trait, offset: twice(trait.offset), scale: twice(trait.scale) }
          : { ...trait, cumulative: Uint32Array.from([...trait.cumulative, ...trait.cumulative]) })),
      })),
    };
    const same = expectedRates(doubled, { panelAgents: 33 });
    expect([...same.subarray(same.length / 2)]).toEqual([...same.subarray(0, same.length / 2)]);
    expect([...same.subarray(0, same.length / 2)]).toEqual([...expectedRates(base, { panelAgents: 33 })]);
    doubled.bias[doubled.bias.length - 3] += 16_384;
    const moved = expectedRates(doubled, { panelAgents: 33 });
    expect(moved.some((rate, i) => rate !== same[i])).toBe(true);
  });
});

function compareWithNaive(plan: SamplePlan, form: PopulationForm) {
  checkPlan(plan);
  const workspace = createWorkspace(plan), met = { left: 0, shared: 0, aware: 0, returned: 0 };
  const blocks = plan.personas.map((_, persona) => createBlock(plan, blockOf(plan, persona), form));
  const crowds = plan.personas.map((_, persona) => naiveAgents(plan, blockOf(plan, persona)));
  let climate = initialClimate(plan);
  for (let tick = 0; tick < plan.ticks; tick++) {
    const sections = new Float64Array(plan.personas.length * plan.scenarios.length * 2);
    blocks.forEach((block, persona) => {
      const output = createOutput(plan), naive = createOutput(plan);
      const before = block.state.slice();
      stepBlock(plan, block, tick, climate, output, workspace);
      for (const agent of crowds[persona]) naiveTick(plan, persona, agent, tick, climate, naive.counts, naive.sections);
      expect(output.counts).toEqual(naive.counts);
      expect(output.sections).toEqual(naive.sections);
      expect(Buffer.compare(block.state, naiveState(crowds[persona]))).toBe(0);
      sections.set(output.sections, persona * plan.scenarios.length * 2);
      met.shared += output.sections[0];
      met.left += output.sections[1];
      for (let i = block.block.agents; i < 2 * block.block.agents; i++) {
        if ((block.state[i] & 8) > (before[i] & 8)) met.aware++;
        if ((block.state[i] & 128) < (before[i] & 128)) met.returned++;
      }
    });
    const next = influenceStep(plan, climate, sections);
    expect(next).toEqual(naiveInfluence(plan, climate, sections));
    climate = next;
  }
  return met;
}

/** The sample with leaving, returning and pressure made common. */
function eventful(plan: SamplePlan): SamplePlan {
  return {
    ...plan,
    leaveBias: plan.leaveBias.map((bias) => bias + 45_000),
    influence: plan.influence === null ? null : { ...plan.influence, shareThreshold: plan.influence.shareThreshold.map(() => 0xf000_0000), awareGain: 400_000 },
    personas: plan.personas.map((persona) => ({ ...persona, returnThreshold: 0x6000_0000 })),
  };
}

function runBlocks(plan: SamplePlan, list: readonly ExposeBlock[]) {
  const workspace = createWorkspace(plan), output = createOutput(plan);
  const blocks = list.map((block) => createBlock(plan, block, "stored"));
  let climate = initialClimate(plan);
  for (let tick = 0; tick < plan.ticks; tick++) {
    const sections = new Float64Array(plan.personas.length * plan.scenarios.length * 2);
    for (const block of blocks) {
      const tickOutput = createOutput(plan);
      stepBlock(plan, block, tick, climate, tickOutput, workspace);
      tickOutput.counts.forEach((count, i) => { output.counts[i] += count; });
      tickOutput.sections.forEach((count, i) => { sections[block.block.persona * plan.scenarios.length * 2 + i] += count; });
    }
    climate = influenceStep(plan, climate, sections);
  }
  return { blocks, counts: output.counts };
}

/** SPEC.md, "Influence", in BigInt throughout. */
function naiveInfluence(plan: ExposePlan, climate: Climate, sections: ArrayLike<number>): Climate {
  const { influence, personas } = plan;
  if (influence === null) return climate;
  const next = { warmth: new Int32Array(climate.warmth.length), awareThreshold: new Uint32Array(climate.awareThreshold.length) };
  const floor = (a: bigint, b: bigint) => (a - (((a % b) + b) % b)) / b;
  const limit = (a: bigint, bound: bigint) => (a > bound ? bound : a < -bound ? -bound : a);
  plan.scenarios.forEach((_, scenario) => {
    personas.forEach((persona, q) => {
      let sum = 0n;
      personas.forEach((_source, p) => {
        for (let e = influence.rowStart[q]; e < influence.rowStart[q + 1]; e++) {
          if (influence.source[e] !== p) continue;
          const at = (p * plan.scenarios.length + scenario) * 2;
          sum += BigInt(influence.weight[e]) * (BigInt(sections[at]) - BigInt(sections[at + 1]));
        }
      });
      const perAgent = limit(floor(sum, BigInt(persona.agents)), 1n << 20n);
      const at = scenario * personas.length + q, old = BigInt(climate.warmth[at]);
      next.warmth[at] = Number(limit(old - ((old * BigInt(influence.warmthDecay)) >> 16n) + ((perAgent * BigInt(influence.warmthGain)) >> 16n), BigInt(influence.warmthMax)));
      const chance = (perAgent > 0n ? perAgent : 0n) * BigInt(influence.awareGain);
      next.awareThreshold[at] = Number(chance < BigInt(influence.awareMax) ? chance : BigInt(influence.awareMax));
    });
  });
  return next;
}

function digest(array: Uint8Array | Uint32Array): string {
  return createHash("sha256").update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength)).digest("hex").slice(0, 16);
}

const GOLDEN = [
  "c1f32be465c62fef d98b0da2e1316771 a39e58548f396cc3",
  "ad71ecd8d76b1259 a73088822d303715 7a0f9780676f107d",
  "0a6b7eb0bb2e7799 f17cdec1ecf20c3a 3c3e1753513fde49",
];
const CORRELATION = 0.4371;
