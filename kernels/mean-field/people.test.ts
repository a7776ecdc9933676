import { RandomStream } from "@populace/domain";
import fc from "fast-check";
import { expect, it } from "vitest";
import { isSimdHere } from "../backends/webassembly.ts";
import { codesOf } from "../expose/population.ts";
import { samplePlan } from "../expose/sample-plan.ts";
import { referencePeople } from "./people.ts";
import { peopleDimensions } from "./port.ts";
import { referenceRates } from "./reference.ts";
import { wasmPeople } from "./wasm.ts";

const option = fc.record({
  agents: fc.constant([20, 30]), ticks: fc.constant(2), worlds: fc.integer({ min: 1, max: 4 }), stimuli: fc.integer({ min: 1, max: 4 }), steps: fc.integer({ min: 1, max: 4 }),
  traits: fc.integer({ min: 0, max: 15 }), levels: fc.constantFrom(2, 17), copula: fc.boolean(), slots: fc.constantFrom(16, 64), profile: fc.constantFrom("nest8-2" as const, "nest16-2" as const), factors: fc.constantFrom(0, 0, 4, 16),
}).map((each) => (each.factors > 0 ? { ...each, profile: "nest8-2" as const } : each));

it.skipIf(!isSimdHere())("people in WebAssembly have the reference's logits and rates, to the bit", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 1e6 }), option, fc.integer({ min: 1, max: 256 }), (seed, each, count) => {
    const plan = samplePlan(seed, each), [here, there] = [wasmPeople(plan), referencePeople(plan)], random = RandomStream.of(seed, "people");
    const persona = seed % 2, stimuli = plan.stimuli.map((_, index) => index).filter((index) => index % 2 === 0);
    const uniforms = Uint16Array.from({ length: peopleDimensions(plan, persona) * count }, () => random.integer(65_536));
    for (const people of [here, there]) people.take(persona, uniforms, count);
    for (let world = 0; world < plan.worlds; world++) {
      const rows = (logits: Int32Array): number[] => Array.from({ length: plan.stimuli.length * plan.steps.length }, (_, row) => [...logits.subarray(row * 256, row * 256 + count)]).flat();
      expect(rows(here.logits(world))).toEqual(rows(there.logits(world)));
      expect(here.rates(world, stimuli)).toEqual(there.rates(world, stimuli));
    }
  }), { numRuns: 60 });
});

it("people who have the uniforms of agents have the agents' expected rates", () => {
  const plan = samplePlan(5, { agents: [64], ticks: 1, worlds: 2, stimuli: 2, factors: 4, scenarios: 1, ordinals: 2 });
  // Factors are the bytes of the agents' trait words; people give them by the high byte of a uniform, shifted by 128.
  const people = referencePeople(plan), codes = Uint16Array.from({ length: 4 * 64 });
  codesOf(plan, { persona: 0, firstAgent: 0, agents: 64 }).forEach((factor, at) => { codes[(at % 4) * 64 + Math.floor(at / 4)] = (factor + 128) << 8; });
  people.take(0, codes, 64);
  const expected = referenceRates(plan, 64), steps = plan.steps.length;
  plan.cells.forEach(({ stimulus }, cell) => {
    for (let world = 0; world < 2; world++) expect([...people.rates(world, [stimulus])]).toEqual([...expected.subarray((world * plan.cells.length + cell) * steps, (world * plan.cells.length + cell + 1) * steps)]);
  });
});
