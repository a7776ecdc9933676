import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backendStatus, openBackend } from "../backends/backend.ts";
import { BACKEND_NAMES, type BackendName } from "../backends/names.ts";
import { codesOf } from "../expose/population.ts";
import { traitLogit } from "../expose/reference.ts";
import { samplePlan, type SamplePlanOptions } from "../expose/sample-plan.ts";
import { sigmoidQ32 } from "../expose/tables.ts";
import { HISTOGRAM_BINS } from "./port.ts";
import { rateAt } from "./rate-at.ts";
import { referenceHistogram, referenceRates } from "./reference.ts";

const others: BackendName[] = [];
for (const name of BACKEND_NAMES) if (name !== "reference" && (await backendStatus(name)).backend?.kernels.meanField !== undefined) others.push(name);

const options: fc.Arbitrary<SamplePlanOptions> = fc.record({
  agents: fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 3 }),
  ticks: fc.constant(1),
  worlds: fc.integer({ min: 1, max: 5 }),
  scenarios: fc.integer({ min: 1, max: 3 }),
  ordinals: fc.integer({ min: 1, max: 3 }),
  stimuli: fc.integer({ min: 1, max: 4 }),
  steps: fc.integer({ min: 1, max: 4 }),
  slots: fc.constantFrom(16, 32, 64),
  traits: fc.integer({ min: 0, max: 15 }),
  levels: fc.constantFrom(2, 3, 16, 17),
  copula: fc.boolean(),
  profile: fc.constantFrom("nest8-2" as const, "nest16-2" as const),
  factors: fc.constantFrom(0, 0, 4, 8, 16),
  shift: fc.constantFrom(0, 6, -6),
}).map((each) => (each.factors > 0 ? { ...each, profile: "nest8-2" as const } : each));

describe.each(others.length > 0 ? others : ["none" as BackendName])("mean-field on %s", (name) => {
  const runs = name === "webgpu" ? 5 : 80;

  it("gives the reference's expected rates, to the bit", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), options, fc.integer({ min: 1, max: 700 }), async (seed, option, panel) => {
      const plan = samplePlan(seed, option);
      const session = await (await openBackend(name, "meanField")).kernels.meanField.open(plan);
      expect(await session.rates(panel)).toEqual(referenceRates(plan, panel));
      session.close();
    }), { numRuns: runs });
  }, 60_000);

  it("gives the reference's histograms, of any agents, world, stimulus and step", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), options, fc.nat(1e9), fc.integer({ min: 1, max: 900 }), async (seed, option, firstAgent, agents) => {
      const plan = samplePlan(seed, option);
      const of = { persona: seed % plan.personas.length, world: seed % plan.worlds, stimulus: seed % plan.stimuli.length, step: seed % plan.steps.length, firstAgent, agents };
      const session = await (await openBackend(name, "meanField")).kernels.meanField.open(plan);
      expect(await session.histogram(of)).toEqual(referenceHistogram(plan, of));
      session.close();
    }), { numRuns: runs });
  }, 60_000);
});

describe("a histogram", () => {
  it("holds every agent once at step 0 and answers any shift within 5e-5 of the agents' own mean", () => {
    const agents = 20_000, plan = samplePlan(3, { agents: [agents], ticks: 1, worlds: 2, stimuli: 2, traits: 12, copula: true });
    const of = { persona: 0, world: 1, stimulus: 1, step: 0, firstAgent: 0, agents };
    const histogram = referenceHistogram(plan, of);
    expect(histogram.reduce((sum, count) => sum + count, 0)).toBe(agents);
    // One world, so that codesOf draws what the histogram's agents have there.
    const alone = { ...plan, worlds: 1, personas: plan.personas.map((persona) => ({ ...persona, traits: persona.traits.map((trait) => (trait.kind === "level"
      ? { ...trait, cumulative: trait.cumulative.slice(trait.codes.length, 2 * trait.codes.length) }
      : { ...trait, offset: trait.offset.slice(1, 2), scale: trait.scale.slice(1, 2) })) })) };
    const codes = codesOf(alone, { persona: 0, firstAgent: 0, agents });
    const levelSlots = Int32Array.from({ length: plan.slots }, (_, slot) => slot).filter((slot) => plan.slotKind[slot] === 2);
    const cell = ((1 * 1 + 0) * 2 + 1) * plan.steps.length, row = (1 * 2 + 1) * plan.steps.length;
    for (const shift of [-40_000, -3_000, 0, 12_345, 60_000]) {
      let sum = 0;
      for (let i = 0; i < agents; i++) sum += sigmoidQ32(traitLogit(plan, codes, i, row, levelSlots) + plan.bias[cell] + plan.offset[plan.steps.length] + shift);
      const exact = sum / (agents * 2 ** 32);
      expect(Math.abs(rateAt(histogram, shift) / exact - 1), `shift ${shift}`).toBeLessThan(5e-5);
    }
  });

  it("weights later steps by the chance to come so far: conditional rates times it are the nested ones", () => {
    const agents = 5_000, plan = samplePlan(4, { agents: [agents], ticks: 1, worlds: 1, scenarios: 1, stimuli: 1, traits: 9 });
    const rates = referenceRates(plan, agents);
    let reached = 1;
    for (let step = 0; step < plan.steps.length; step++) {
      reached *= rateAt(referenceHistogram(plan, { persona: 0, world: 0, stimulus: 0, step, firstAgent: 0, agents }), 0);
      // Weights are 16 bits: 2^-17 of 1 is 1e-4 of the rarest step's weight here.
      expect(Math.abs(reached / rates[step] - 1)).toBeLessThan(5e-4);
    }
  });

  it("names what the plan does not hold", async () => {
    const plan = samplePlan(1, { agents: [10], ticks: 1 });
    const of = { persona: 0, world: 0, stimulus: 0, step: 0, firstAgent: 0, agents: 10 };
    for (const [wrong, words] of [[{ persona: 1 }, /persona is 1; expected an integer from 0 to 0/], [{ step: -1 }, /step/], [{ agents: 65_536 }, /agents is 65536/], [{ world: 0.5 }, /world/]] as const) {
      expect(() => referenceHistogram(plan, { ...of, ...wrong })).toThrow(words);
    }
    expect(() => referenceRates(plan, 0)).toThrow(/a panel of 0 agents/);
    expect(rateAt(new Uint32Array(HISTOGRAM_BINS), 0)).toBeNaN();
  });
});
