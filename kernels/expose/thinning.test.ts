import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { drawBounds, thinningOf } from "./bounds.ts";
import { checkPlan } from "./check-plan.ts";
import { LEVEL_SLOT } from "./plan.ts";
import { codesOf } from "./population.ts";
import { PURPOSE } from "./purpose.ts";
import { traitLogit } from "./reference.ts";
import { samplePlan, type SamplePlan } from "./sample-plan.ts";
import { binomialTable, sigmoidQ32, THIN_BITS } from "./tables.ts";
import { GROUP_AGENTS, thinBits, thinnedDraws } from "./thinning.ts";

describe("thinned draws", () => {
  it("count candidates by the binomial distribution, to the last bit of its exact rational", () => {
    for (let bits = THIN_BITS.min; bits <= THIN_BITS.max; bits++) {
      // P(X = k) 2^(256 b) is the integer C(256, k) (2^b - 1)^(256 - k).
      const whole = 1n << BigInt(256 * bits), miss = (1n << BigInt(bits)) - 1n;
      let choose = 1n, below = 0n;
      const exact: number[] = [];
      for (let k = 0n; k <= 256n; k++) {
        below += choose * miss ** (256n - k);
        choose = (choose * (256n - k)) / (k + 1n);
        if (((whole - below) << 32n) < whole) break;
        exact.push(Number((below << 32n) / whole));
      }
      expect([...binomialTable(bits)], `${bits} bits`).toEqual(exact);
    }
  });

  it("spread candidates evenly over places and draws over their range, and leave every agent its own draw", () => {
    for (const bits of [4, 7]) {
      const groups = 20_000, out = new Uint32Array(GROUP_AGENTS), words = new Uint32Array(4);
      const places = new Float64Array(GROUP_AGENTS), eighths = new Float64Array(8);
      let candidates = 0, squares = 0;
      for (let group = 0; group < groups; group++) {
        thinnedDraws(out, bits, group, 3, 1, PURPOSE.drawCount, PURPOSE.drawSpot, 0x1234, 0x9876, words);
        let count = 0;
        out.forEach((u, place) => {
          if (u === 0xffffffff) return;
          expect(u).toBeLessThan(2 ** (32 - bits));
          count++;
          places[place]++;
          eighths[u >>> (29 - bits)]++;
        });
        candidates += count;
        squares += count * count;
      }
      const share = 2 ** -bits, expected = groups * GROUP_AGENTS * share, variance = GROUP_AGENTS * share * (1 - share);
      expect(Math.abs(candidates - expected)).toBeLessThan(4.5 * Math.sqrt(groups * variance));
      // The variance of a group's number, whose own standard error is sqrt(2 / groups) of it.
      expect(Math.abs(squares / groups - (candidates / groups) ** 2 - variance)).toBeLessThan(4.5 * variance * Math.sqrt(2.2 / groups));
      expect(chiSquare(places, expected / GROUP_AGENTS)).toBeLessThan(255 + 4.5 * Math.sqrt(2 * 255));
      expect(chiSquare(eighths, expected / 8)).toBeLessThan(7 + 4.5 * Math.sqrt(2 * 7));
    }
  });

  it("have the largest class whose range holds the bound", () => {
    expect([1, 2 ** 16, 2 ** 16 + 1, 2 ** 28, 2 ** 28 + 1, 2 ** 32].map(thinBits)).toEqual([16, 16, 15, 4, 0, 0]);
  });
});

describe("bounds of draws", () => {
  it("hold for every agent, state, tick and stimulus, in every form", () => {
    let thinned = 0;
    const option = fc.record({
      agents: fc.constant([600]), ticks: fc.integer({ min: 1, max: 3 }), worlds: fc.integer({ min: 1, max: 3 }), worldShift: fc.constant(8), stimuli: fc.integer({ min: 1, max: 3 }),
      traits: fc.integer({ min: 0, max: 9 }), influence: fc.boolean(), copula: fc.boolean(), factors: fc.constantFrom(0, 0, 4, 8), profile: fc.constantFrom("nest8-2" as const, "nest16-2" as const),
      shift: fc.constantFrom(0, -6), leaveShift: fc.constantFrom(0, 3),
    }).map((each) => (each.factors > 0 ? { ...each, profile: "nest8-2" as const } : each));
    fc.assert(fc.property(fc.integer({ min: 0, max: 1e6 }), option, (seed, each) => {
      const plan = samplePlan(seed, each);
      const { draw, leave } = drawBounds(plan), met = thresholdsMet(plan);
      met.draw.forEach((threshold, world) => { expect(threshold).toBeLessThanOrEqual(draw[world]); });
      met.leave.forEach((threshold, world) => { expect(threshold).toBeLessThanOrEqual(leave[world]); });
      thinned += thinningOf(plan).drawBits.filter((bits) => bits > 0).length;
    }), { numRuns: 40 });
    expect(thinned).toBeGreaterThan(0);
  });

  it("refuse a class that would lose responses, and accept the one they state", () => {
    const plan = samplePlan(3, { agents: [600], ticks: 2, worlds: 2, worldShift: 8, factors: 4, shift: -6 });
    const { drawBits, leaveBits } = thinningOf(plan);
    expect(Math.min(...drawBits)).toBeGreaterThan(0);
    checkPlan({ ...plan, drawBits, leaveBits });
    expect(() => checkPlan({ ...plan, drawBits: drawBits.map((bits) => bits + 1), leaveBits })).toThrow(/thinned at .* responses would be lost/);
    expect(() => checkPlan({ ...plan, leaveBits: leaveBits.map(() => 3) })).toThrow(/expected 4 to 16/);
    expect(() => checkPlan({ ...plan, drawBits, personas: plan.personas.map((persona) => ({ ...persona, worldShift: 7 })) })).toThrow(/worldShift of 8 or more/);
  });
});

/** The largest thresholds of DRAW and LEAVE by world, met by trying every agent with every stimulus, tick and extreme of its state. */
function thresholdsMet(plan: SamplePlan) {
  const draw = new Float64Array(plan.worlds), leave = new Float64Array(plan.worlds);
  const { agents } = plan.personas[0], codes = codesOf(plan, { persona: 0, firstAgent: 0, agents });
  const stimuli = plan.stimuli.length, steps = plan.steps.length;
  const levelSlots = Int32Array.from({ length: plan.slots }, (_, slot) => slot).filter((slot) => plan.slotKind[slot] === LEVEL_SLOT);
  const shown = new Set(plan.scenarios.flatMap(({ schedule }) => [...schedule].filter((stimulus) => stimulus >= 0)));
  for (let world = 0; world < plan.worlds; world++) {
    for (const stimulus of shown) {
      const { contact } = plan.stimuli[stimulus];
      for (const pressure of contact ? [0, 100, 255] : [0]) {
        if (contact) leave[world] = Math.max(leave[world], sigmoidQ32((plan.leaveBias[world * stimuli + stimulus] + pressure * plan.pressureLeaveWeight) | 0));
        for (const aware of plan.influence === null ? [0] : [0, plan.influence.awareWeight[0]]) {
          for (const warmth of plan.influence === null || !contact ? [0] : [-plan.influence.warmthMax, plan.influence.warmthMax]) {
            for (let tick = 0; tick < plan.ticks; tick++) {
              const state = plan.bias[(world * stimuli + stimulus) * steps] + plan.offset[(tick * stimuli + stimulus) * steps] + aware + warmth - pressure * (contact ? plan.pressureWeight[0] : 0);
              for (let i = 0; i < agents; i++) draw[world] = Math.max(draw[world], sigmoidQ32((state + traitLogit(plan, codes, i, (world * stimuli + stimulus) * steps, levelSlots)) | 0));
            }
          }
        }
      }
    }
  }
  return { draw, leave };
}

const chiSquare = (counts: Float64Array, expected: number): number => counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
