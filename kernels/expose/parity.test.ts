// Every backend of `expose` that this machine has against the reference: outputs, state digests and states, held and lived through, whatever the
// spans, the blocks and their order.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backendStatus } from "../backends/backend.ts";
import { BACKEND_NAMES } from "../backends/names.ts";
import { differences, lived, PARITY_CASES, tape } from "./parity.fixture.ts";
import type { ExposeKernel, PopulationForm } from "./port.ts";
import { exposeReference, initialClimate } from "./reference.ts";
import { samplePlan, type SamplePlanOptions } from "./sample-plan.ts";

const kernels: { readonly name: string; readonly kernel: ExposeKernel; readonly isFast: boolean }[] = [];
for (const name of BACKEND_NAMES) {
  const { backend } = await backendStatus(name);
  if (name !== "reference" && backend?.kernels.expose !== undefined) kernels.push({ name, kernel: backend.kernels.expose, isFast: backend.isFast });
}

/** Every feature, small enough that the reference does not dominate the test. */
const options: fc.Arbitrary<SamplePlanOptions> = fc.record({
  agents: fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 3 }),
  ticks: fc.integer({ min: 1, max: 19 }),
  worlds: fc.integer({ min: 1, max: 5 }),
  worldShift: fc.integer({ min: 0, max: 10 }),
  scenarios: fc.integer({ min: 1, max: 3 }),
  ordinals: fc.integer({ min: 1, max: 2 }),
  stimuli: fc.integer({ min: 1, max: 4 }),
  steps: fc.integer({ min: 1, max: 4 }),
  slots: fc.constantFrom(16, 32, 64),
  traits: fc.integer({ min: 0, max: 15 }),
  levels: fc.constantFrom(2, 3, 16, 17),
  copula: fc.boolean(),
  influence: fc.boolean(),
  gapTicks: fc.integer({ min: 0, max: 7 }),
  idle: fc.constantFrom(0, 0.3, 0.9),
  profile: fc.constantFrom("nest8-2" as const, "nest16-2" as const),
  factors: fc.constantFrom(0, 0, 4, 8, 16),
  thinned: fc.boolean(),
  shift: fc.constantFrom(0, 3, -4, -8),
  leaveShift: fc.constantFrom(0, 4),
}).map((each) => (each.factors > 0 ? { ...each, profile: "nest8-2" as const } : each));

it("is there in WebAssembly", () => {
  expect(kernels.map(({ name }) => name)).toContain("wasm");
});

describe.each(kernels)("expose on $name", ({ kernel, isFast }) => {
  // An emulated GPU takes microseconds for an exposure: it meets every feature once, and few random plans.
  const runs = isFast ? 120 : 3;

  it.each(PARITY_CASES)("equals the reference: $name", async (parityCase) => {
    expect(await differences(kernel, parityCase)).toEqual([]);
  });

  it("equals the reference on random plans, stored and procedural, in random spans, blocks and order, held and lived", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 1e6 }), options, fc.constantFrom<PopulationForm>("stored", "procedural"), async (seed, option, form) => {
      expect(await differences(kernel, { seed, options: option, form })).toEqual([]);
    }), { numRuns: runs });
  }, 120_000);

  it("goes on from the state another backend left, at any tick", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), options, fc.integer({ min: 1, max: 18 }), async (seed, option, cut) => {
      const plan = samplePlan(seed, { ...option, influence: false });
      if (cut >= plan.ticks) return;
      const block = { persona: 0, firstAgent: 0, agents: plan.personas[0].agents };
      const there = await exposeReference.open(plan, "procedural"), here = await kernel.open(plan, "procedural");
      const whole = await there.hold(block);
      await there.step([whole], 0, cut, initialClimate(plan), () => {});
      const taken = await here.hold(block, await there.stateOf(whole));
      const [a, b] = [tape(), tape()];
      await there.step([whole], cut, plan.ticks - cut, initialClimate(plan), a.onTick);
      await here.step([taken], cut, plan.ticks - cut, initialClimate(plan), b.onTick);
      expect([b.lines, sha256(await here.stateOf(taken))]).toEqual([a.lines, sha256(await there.stateOf(whole))]);
      here.close();
    }), { numRuns: Math.ceil(runs / 3) });
  }, 120_000);

  it("counts many agents in 200 worlds as the reference does", async () => {
    const plan = samplePlan(77, { agents: [isFast ? 300_000 : 20_000], ticks: 3, worlds: 200, worldShift: 8, scenarios: 3, stimuli: 4, traits: 12 });
    expect((await lived(kernel, plan, 1)).sums).toEqual((await lived(exposeReference, plan, 0)).sums);
  }, 120_000);

  it("refuses state of the wrong length and plans that break a bound", async () => {
    const plan = samplePlan(1, { agents: [300], ticks: 2 });
    const session = await kernel.open(plan, "procedural");
    await expect(session.hold({ persona: 0, firstAgent: 0, agents: 300 }, new Uint8Array(5))).rejects.toMatchObject({ code: "CORRUPT" });
    await expect(session.hold({ persona: 0, firstAgent: 16, agents: 20 })).rejects.toMatchObject({ code: "INTERNAL" });
    session.close();
    await expect(async () => kernel.open({ ...plan, drawBits: plan.drawBits.map(() => 4) }, "procedural")).rejects.toMatchObject({ code: "BAD_STUDY" });
  });
});

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
