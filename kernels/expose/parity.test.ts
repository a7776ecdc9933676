// Every backend of `expose` that this machine has against the reference, on random plans: outputs, state hashes and states, held and lived
// through, whatever the spans, the blocks and their order.
import { createHash } from "node:crypto";
import { RandomStream } from "@populace/domain/random";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backendStatus, openBackend } from "../backends/backend.ts";
import { BACKEND_NAMES, type BackendName } from "../backends/names.ts";
import { influenceStep } from "./influence.ts";
import type { ExposeBlock } from "./plan.ts";
import type { Climate, OnTick, PopulationForm } from "./port.ts";
import { initialClimate } from "./reference.ts";
import { samplePlan, type SamplePlan, type SamplePlanOptions } from "./sample-plan.ts";

const others: BackendName[] = [];
for (const name of BACKEND_NAMES) if (name !== "reference" && (await backendStatus(name)).backend?.kernels.expose !== undefined) others.push(name);

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

describe.each(others.length > 0 ? others : ["none" as BackendName])("expose on %s", (name) => {
  const runs = name === "webgpu" ? 6 : 120;

  it("equals the reference on random plans, stored and procedural, in random spans, blocks and order", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), options, fc.constantFrom<PopulationForm>("stored", "procedural"), async (seed, option, form) => {
      const plan = samplePlan(seed, option);
      // Cuts move the digests of states, so only uncut blocks compare them.
      const isCut = seed % 2 === 1;
      expect(await held(name, plan, form, seed, isCut)).toEqual({ ...(await held("reference", plan, "procedural", 0, false)), ...(isCut ? { hashes: [] } : {}) });
    }), { numRuns: runs });
  }, 120_000);

  it("gives whole lives the outputs of held ones", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), options, async (seed, option) => {
      const plan = samplePlan(seed, { ...option, influence: false });
      expect(await lived(name, plan, seed)).toEqual(await lived("reference", plan, 0));
    }), { numRuns: runs });
  }, 120_000);

  it("goes on from the state another backend left, at any tick", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), options, fc.integer({ min: 1, max: 18 }), async (seed, option, cut) => {
      const plan = samplePlan(seed, { ...option, influence: false });
      if (cut >= plan.ticks) return;
      const block = { persona: 0, firstAgent: 0, agents: plan.personas[0].agents };
      const there = await (await openBackend("reference", "expose")).kernels.expose.open(plan, "procedural");
      const here = await (await openBackend(name, "expose")).kernels.expose.open(plan, "procedural");
      const whole = await there.hold(block);
      await there.step([whole], 0, cut, initialClimate(plan), () => {});
      const taken = await here.hold(block, await there.stateOf(whole));
      const [a, b] = [tape(), tape()];
      await there.step([whole], cut, plan.ticks - cut, initialClimate(plan), a.onTick);
      await here.step([taken], cut, plan.ticks - cut, initialClimate(plan), b.onTick);
      expect([b.lines, digest(await here.stateOf(taken))]).toEqual([a.lines, digest(await there.stateOf(whole))]);
      here.close();
    }), { numRuns: Math.ceil(runs / 3) });
  }, 120_000);

  it("counts millions of agents as the reference does", async () => {
    const plan = samplePlan(77, { agents: [name === "webgpu" ? 20_000 : 300_000], ticks: 3, worlds: 200, worldShift: 8, scenarios: 3, stimuli: 4, traits: 12 });
    expect(await lived(name, plan, 1)).toEqual(await lived("reference", plan, 0));
  }, 120_000);

  it("refuses state of the wrong length and plans that break a bound", async () => {
    const plan = samplePlan(1, { agents: [300], ticks: 2 });
    const { expose } = (await openBackend(name, "expose")).kernels;
    const session = await expose.open(plan, "procedural");
    await expect(session.hold({ persona: 0, firstAgent: 0, agents: 300 }, new Uint8Array(5))).rejects.toMatchObject({ code: "CORRUPT" });
    await expect(session.hold({ persona: 0, firstAgent: 16, agents: 20 })).rejects.toMatchObject({ code: "INTERNAL" });
    session.close();
    await expect(async () => expose.open({ ...plan, drawBits: plan.drawBits.map(() => 4) }, "procedural")).rejects.toMatchObject({ code: "BAD_STUDY" });
  });
});

/** Random cuts of each persona at multiples of 256, shuffled; one block a persona for seed 0. */
function blocksOf(plan: SamplePlan, seed: number): ExposeBlock[] {
  const random = RandomStream.of(seed, "blocks");
  const blocks = plan.personas.flatMap((persona, index) => {
    const cuts = [0];
    for (let at = 256; at < persona.agents; at += 256) if (seed !== 0 && random.uniform() < 0.5) cuts.push(at);
    return cuts.map((firstAgent, i) => ({ persona: index, firstAgent, agents: (cuts[i + 1] ?? persona.agents) - firstAgent }));
  });
  if (seed !== 0) blocks.sort(() => random.uniform() - 0.5);
  return blocks;
}

/** Counts and sections of every tick, summed over blocks; state hashes only where the blocks are whole personas. */
function tape() {
  const lines: string[] = [];
  const onTick: OnTick = (index, tick, { whole, stateHash }) => { lines.push(`${index} ${tick} ${digest(whole)} ${Buffer.from(stateHash).toString("hex")}`); };
  return { lines, onTick };
}

interface Summed {
  /** Digest of each tick's output, summed over blocks. */
  readonly sums: readonly string[];
  /** State hashes of each tick, one a persona; empty where blocks were cut. */
  readonly hashes: readonly string[];
  readonly state: string;
}

async function held(name: string, plan: SamplePlan, form: PopulationForm, seed: number, isCut: boolean): Promise<Summed> {
  const session = await (await openBackend(name, "expose")).kernels.expose.open(plan, form);
  const random = RandomStream.of(seed, "spans");
  const list = blocksOf(plan, isCut ? seed : 0);
  const blocks = [];
  for (const block of list) blocks.push(await session.hold(block));
  const width = plan.scenarios.length * 2;
  let climate: Climate = initialClimate(plan);
  const sumLines: string[] = [], hashLines: string[] = [];
  for (let tick = 0; tick < plan.ticks;) {
    const span = plan.influence !== null || seed === 0 ? 1 : Math.min(plan.ticks - tick, 1 + random.integer(6));
    const sums = Array.from({ length: span }, () => new Float64Array(plan.cells.length * plan.worlds * (plan.steps.length + 3) + width));
    const sections = new Float64Array(plan.personas.length * width), hashes: string[][] = sums.map(() => []);
    await session.step(blocks, tick, span, climate, (index, t, output) => {
      output.whole.forEach((value, at) => { sums[t - tick][at] += value; });
      output.sections.forEach((value, at) => { sections[list[index].persona * width + at] += value; });
      hashes[t - tick][index] = Buffer.from(output.stateHash).toString("hex");
    });
    sumLines.push(...sums.map((sum) => digest(sum)));
    if (!isCut) hashLines.push(...hashes.map((each) => each.join(" ")));
    climate = influenceStep(plan, climate, sections);
    tick += span;
  }
  const states: [ExposeBlock, Uint8Array][] = [];
  for (const block of blocks) states.push([block.block, await session.stateOf(block)]);
  for (const block of blocks) session.release(block);
  session.close();
  return { sums: sumLines, hashes: hashLines, state: joined(plan, states) };
}

async function lived(name: string, plan: SamplePlan, seed: number): Promise<readonly string[]> {
  const session = await (await openBackend(name, "expose")).kernels.expose.open(plan, "procedural");
  const sums = Array.from({ length: plan.ticks }, () => new Float64Array(plan.cells.length * plan.worlds * (plan.steps.length + 3) + plan.scenarios.length * 2));
  await session.live(blocksOf(plan, seed), (_, tick, output) => output.whole.forEach((value, at) => { sums[tick][at] += value; }));
  session.close();
  return sums.map((sum) => digest(sum));
}

/** The agents' state in agent order, however they were cut. */
function joined(plan: SamplePlan, states: readonly [ExposeBlock, Uint8Array][]): string {
  const hash = createHash("sha256");
  const sorted = [...states].sort(([a], [b]) => a.persona - b.persona || a.firstAgent - b.firstAgent);
  for (let persona = 0; persona < plan.personas.length; persona++) {
    for (let plane = 0; plane < 2 * plan.scenarios.length; plane++) {
      for (const [block, state] of sorted) if (block.persona === persona) hash.update(state.subarray(plane * block.agents, (plane + 1) * block.agents));
    }
  }
  return hash.digest("hex");
}

function digest(array: Uint8Array | Uint32Array | Float64Array): string {
  return createHash("sha256").update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength)).digest("hex").slice(0, 16);
}
