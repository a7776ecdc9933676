import { RandomStream } from "@populace/domain";
import fc from "fast-check";
import { expect, it } from "vitest";
import { isSimdHere } from "../backends/webassembly.ts";
import { openPeople } from "../mean-field/people.ts";
import { peopleDimensions } from "../mean-field/port.ts";
import { blocksOf } from "./parity.fixture.ts";
import type { ExposeSession } from "./port.ts";
import { samplePlan, type SamplePlan } from "./sample-plan.ts";
import { exposeWasm } from "./wasm.ts";

const option = fc.record({
  agents: fc.constant([700, 300]), ticks: fc.integer({ min: 1, max: 9 }), worlds: fc.integer({ min: 1, max: 4 }), stimuli: fc.integer({ min: 1, max: 3 }), steps: fc.integer({ min: 1, max: 3 }),
  traits: fc.integer({ min: 0, max: 15 }), copula: fc.boolean(), profile: fc.constantFrom("nest8-2" as const, "nest16-2" as const), factors: fc.constantFrom(0, 0, 4),
}).map((each) => (each.factors > 0 ? { ...each, profile: "nest8-2" as const } : each));

/** The same agents with other effects. */
function otherEffects(plan: SamplePlan, seed: number): SamplePlan {
  const random = RandomStream.of(seed, "effects");
  return {
    ...plan, weights: plan.weights.map(() => random.integer(2_000) - 1_000), tables: plan.tables.map(() => random.integer(2_000) - 1_000),
    bias: plan.bias.map((bias) => bias + random.integer(20_000) - 10_000), offset: plan.offset.map(() => random.integer(2_000) - 1_000),
  };
}

async function countsOf(session: ExposeSession, plan: SamplePlan): Promise<readonly string[]> {
  const found: string[] = [];
  await session.live(blocksOf(plan, 7), (index, tick, { whole, stateHash }) => found.push(`${index} ${tick} ${whole.join(" ")} ${stateHash.join(" ")}`));
  return found;
}

it.skipIf(!isSimdHere())("a session that goes on with another plan for its agents counts what a new one does, with kept codes and without", async () => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), option, fc.boolean(), async (seed, each, keeps) => {
    const plan = { ...samplePlan(seed, each), influence: null }, session = await exposeWasm.open(plan, "procedural"), people = openPeople(plan), random = RandomStream.of(seed, "people");
    const uniforms = plan.personas.map((_, persona) => Uint16Array.from({ length: peopleDimensions(plan, persona) * 200 }, () => random.integer(65_536)));
    for (const next of [plan, otherEffects(plan, seed), otherEffects(plan, seed + 1)]) {
      expect(session.replan!(next)).toBe(true);
      expect(people.replan(next)).toBe(true);
      if (keeps) session.keepCodes!(blocksOf(next, 7));
      expect(await countsOf(session, next)).toEqual(await countsOf(await exposeWasm.open(next, "procedural"), next));
      const fresh = openPeople(next);
      for (const persona of [0, 1, 0]) {
        // Others in between: the people who were kept go.
        const taken = persona === 1 && seed % 2 === 1 ? uniforms[1].map((uniform) => uniform ^ 0x5555) : uniforms[persona];
        for (const group of [people, fresh]) group.take(persona, taken, 200);
        for (let world = 0; world < next.worlds; world++) expect(people.rates(world, [0])).toEqual(fresh.rates(world, [0]));
      }
    }
  }), { numRuns: 40 });
});

it.skipIf(!isSimdHere())("and refuses other agents, other times, another shape", async () => {
  const plan = samplePlan(3, { agents: [300, 300], ticks: 2, traits: 4, stimuli: 2 }), session = await exposeWasm.open(plan, "procedural"), people = openPeople(plan);
  const [first, second] = plan.personas;
  const others: readonly Partial<SamplePlan>[] = [
    { personas: [{ ...first, agents: 299 }, second] }, { personas: [{ ...first, key: [first.key[0] ^ 1, first.key[1]] }, second] }, { personas: [{ ...first, traits: second.traits }, second] },
    { scenarios: plan.scenarios.map((scenario) => ({ ...scenario, schedule: scenario.schedule.map(() => 0) })) },
  ];
  for (const other of others) {
    const next = { ...plan, ...other };
    expect(session.replan!(next)).toBe(false);
    expect(people.replan(next)).toBe(false);
  }
  expect(await countsOf(session, plan)).toEqual(await countsOf(await exposeWasm.open(plan, "procedural"), plan));
});
