// A kernel against the reference: what the parity tests of all backends compare, and what tests of planted faults must find.
import { createHash } from "node:crypto";
import { RandomStream } from "@populace/domain/random";
import { influenceStep } from "./influence.ts";
import type { ExposeBlock } from "./plan.ts";
import type { Climate, ExposeKernel, OnTick, PopulationForm } from "./port.ts";
import { exposeReference, initialClimate } from "./reference.ts";
import { type Tie, tiedPlan, TIES } from "./tied-plan.fixture.ts";
import { samplePlan, type SamplePlan, type SamplePlanOptions } from "./sample-plan.ts";

/** A plan and how it is run; the seed also cuts and shuffles blocks and chooses spans. */
export interface ParityCase {
  readonly seed: number;
  readonly options: SamplePlanOptions | { readonly ties: readonly Tie[] };
  readonly form: PopulationForm;
}

/** Every feature of the kernel, in few agents. Odd seeds cut the blocks, even ones compare digests of states. */
export const PARITY_CASES: readonly (ParityCase & { readonly name: string })[] = [
  {
    name: "stored codes, a copula, leaving and returning, a gap between contacts, a world an agent", seed: 2, form: "stored",
    options: { agents: [300, 1, 257], ticks: 9, worlds: 5, worldShift: 0, ordinals: 2, slots: 32, traits: 15, levels: 17, copula: true, gapTicks: 2, leaveShift: 4 },
  },
  { name: "codes drawn anew, cut blocks, two worlds for four neighbors", seed: 3, form: "procedural", options: { agents: [900], ticks: 7, worlds: 3, worldShift: 1, stimuli: 2, idle: 0.3, traits: 10, leaveShift: 4 } },
  { name: "16-bit codes, a copula, two hash ticks, four steps", seed: 4, form: "stored", options: { agents: [520], ticks: 18, worlds: 2, worldShift: 8, scenarios: 1, steps: 4, profile: "nest16-2", traits: 12, levels: 2, copula: true, idle: 0.3, shift: 3 } },
  { name: "16-bit codes drawn anew, 64 slots, one step", seed: 5, form: "procedural", options: { agents: [700], ticks: 5, worlds: 3, worldShift: 9, steps: 1, slots: 64, profile: "nest16-2", traits: 15, levels: 3 } },
  { name: "factors, thinned draws of many candidates", seed: 6, form: "procedural", options: { agents: [1500], ticks: 9, worlds: 3, worldShift: 8, factors: 4, thinned: true, shift: -4, gapTicks: 1, leaveShift: 3, ordinals: 2, idle: 0.5 } },
  { name: "16 factors, thinned draws of few candidates, cut blocks", seed: 7, form: "stored", options: { agents: [3000, 700], ticks: 6, worlds: 2, worldShift: 10, factors: 16, thinned: true, shift: -8, idle: 0.3 } },
  { name: "coded thinned draws", seed: 8, form: "stored", options: { agents: [1100], ticks: 9, worlds: 4, worldShift: 8, thinned: true, shift: -4, traits: 9, copula: true, ordinals: 2 } },
  { name: "influence: warmth, becoming aware, sharing", seed: 10, form: "stored", options: { agents: [400, 350], ticks: 9, worlds: 3, worldShift: 4, influence: true, ordinals: 2, stimuli: 4, traits: 8, shift: 3, leaveShift: 3, gapTicks: 1 } },
  { name: "influence on thinned factors", seed: 12, form: "procedural", options: { agents: [2000, 300], ticks: 9, worlds: 2, worldShift: 8, influence: true, factors: 8, thinned: true, shift: -2, idle: 0.3 } },
  { name: "more worlds than a block meets", seed: 13, form: "procedural", options: { agents: [1000, 450], ticks: 4, worlds: 211, worldShift: 3, traits: 6, scenarios: 3 } },
  { name: "more stimuli than a workgroup keeps logits of", seed: 14, form: "stored", options: { agents: [260], ticks: 9, worlds: 2, worldShift: 8, scenarios: 1, stimuli: 7, ordinals: 2, traits: 7 } },
  { name: "four factors, dense draws, eight neighbors a world", seed: 20, form: "procedural", options: { agents: [470, 60], ticks: 5, worlds: 4, worldShift: 3, scenarios: 3, factors: 4, shift: 3, leaveShift: 8, gapTicks: 3 } },
  { name: "twelve factors, dense draws", seed: 24, form: "procedural", options: { agents: [700], ticks: 4, worlds: 2, worldShift: 5, factors: 12, idle: 0.3, leaveShift: 4 } },
  { name: "one world, few levels, a copula, a long gap", seed: 22, form: "stored", options: { agents: [700, 148], ticks: 10, worlds: 1, worldShift: 2, traits: 7, copula: true, gapTicks: 5 } },
  { name: "draws that equal their thresholds", seed: 18, form: "stored", options: { ties: TIES } },
  { name: "no traits, hardly anything shown", seed: 16, form: "procedural", options: { agents: [30, 600], ticks: 19, worlds: 2, traits: 0, idle: 0.9, stimuli: 1 } },
];

/** A plan and what the reference makes of it. */
interface Expected {
  readonly plan: SamplePlan;
  /** Of every tick; null: as influence makes it. */
  readonly climate: Climate | null;
  readonly outcome: Outcome;
}

const known = new WeakMap<ParityCase, Promise<Expected>>();

async function expectedOf({ seed, options }: ParityCase): Promise<Expected> {
  const { plan, climate } = "ties" in options ? tiedPlan(options.ties) : { plan: samplePlan(seed, options), climate: null };
  return { plan, climate, outcome: await held(exposeReference, plan, climate, "procedural", 0, false) };
}

/** Which parts of a kernel's outcome differ from the reference's, held through spans and lived at once; none where all bits are equal. */
export async function differences(kernel: ExposeKernel, parityCase: ParityCase): Promise<readonly string[]> {
  let expectation = known.get(parityCase);
  if (expectation === undefined) known.set(parityCase, (expectation = expectedOf(parityCase)));
  const { plan, climate, outcome: expected } = await expectation, { seed, form } = parityCase, isCut = seed % 2 === 1;
  const found = await held(kernel, plan, climate, form, seed, isCut);
  const differing: string[] = [];
  const compare = (part: string, ours: readonly string[], theirs: readonly string[]): void => {
    const tick = ours.findIndex((line, at) => line !== theirs[at]);
    if (tick >= 0 || ours.length !== theirs.length) differing.push(`${part} of tick ${tick}`);
  };
  compare("counts", found.sums, expected.sums);
  // A digest belongs to a block: of cut ones it is another.
  if (!isCut) compare("state digests", found.hashes, expected.hashes);
  compare("last state", [found.state], [expected.state]);
  if (plan.influence === null) {
    const { sums, hashes } = await lived(kernel, plan, isCut ? seed : 0);
    compare("lived counts", sums, expected.sums);
    if (!isCut) compare("lived state digests", hashes, expected.hashes);
  }
  return differing;
}

/** Random cuts of each persona at multiples of 256, shuffled; one block a persona for seed 0. */
export function blocksOf(plan: SamplePlan, seed: number): ExposeBlock[] {
  const random = RandomStream.of(seed, "blocks");
  const blocks = plan.personas.flatMap((persona, index) => {
    const cuts = [0];
    for (let at = 256; at < persona.agents; at += 256) if (seed !== 0 && random.uniform() < 0.5) cuts.push(at);
    return cuts.map((firstAgent, i) => ({ persona: index, firstAgent, agents: (cuts[i + 1] ?? persona.agents) - firstAgent }));
  });
  if (seed !== 0) blocks.sort(() => random.uniform() - 0.5);
  return blocks;
}

/** Writes down every tick of every block as it comes. */
export function tape() {
  const lines: string[] = [];
  const onTick: OnTick = (index, tick, { whole, stateHash }) => { lines.push(`${index} ${tick} ${digest(whole)} ${Buffer.from(stateHash).toString("hex")}`); };
  return { lines, onTick };
}

interface Lived {
  /** Digest of each tick's output, summed over blocks. */
  readonly sums: readonly string[];
  /** State digests of each tick, block by block. */
  readonly hashes: readonly string[];
}

/** Adds up what blocks hand over. */
function summing(plan: SamplePlan, tick: number, span: number) {
  const sums = Array.from({ length: span }, () => new Float64Array(plan.cells.length * plan.worlds * (plan.steps.length + 3) + plan.scenarios.length * 2));
  const hashes: string[][] = sums.map(() => []);
  const onTick: OnTick = (index, t, { whole, stateHash }) => {
    whole.forEach((value, at) => { sums[t - tick][at] += value; });
    hashes[t - tick][index] = Buffer.from(stateHash).toString("hex");
  };
  return { onTick, lines: (): Lived => ({ sums: sums.map((sum) => digest(sum)), hashes: hashes.map((each) => each.join(" ")) }) };
}

interface Outcome extends Lived {
  readonly state: string;
}

/** Spans and moves of blocks as the seed says; none but single ticks for seed 0. */
async function held(kernel: ExposeKernel, plan: SamplePlan, constant: Climate | null, form: PopulationForm, seed: number, isCut: boolean): Promise<Outcome> {
  const session = await kernel.open(plan, form);
  const random = RandomStream.of(seed, "spans");
  const list = blocksOf(plan, isCut ? seed : 0);
  const blocks = [];
  for (const block of list) blocks.push(await session.hold(block));
  const width = plan.scenarios.length * 2;
  let climate = constant ?? initialClimate(plan);
  const sums: string[] = [], hashes: string[] = [];
  for (let tick = 0; tick < plan.ticks;) {
    const span = plan.influence !== null || seed === 0 ? 1 : Math.min(plan.ticks - tick, 1 + random.integer(6));
    const { onTick, lines } = summing(plan, tick, span), sections = new Float64Array(plan.personas.length * width);
    await session.step(blocks, tick, span, climate, (index, t, output) => {
      onTick(index, t, output);
      output.sections.forEach((value, at) => { sections[list[index].persona * width + at] += value; });
    });
    sums.push(...lines().sums);
    hashes.push(...lines().hashes);
    climate = constant ?? influenceStep(plan, climate, sections);
    tick += span;
    for (const [index, block] of blocks.entries()) {
      if (seed === 0 || random.uniform() < 0.7) continue;
      // As a checkpoint, from one place to another.
      const state = await session.stateOf(block);
      session.release(block);
      blocks[index] = await session.hold(block.block, state);
    }
  }
  const states: [ExposeBlock, Uint8Array][] = [];
  for (const block of blocks) states.push([block.block, await session.stateOf(block)]);
  for (const block of blocks) session.release(block);
  session.close();
  return { sums, hashes, state: joined(plan, states) };
}

/** Whole lives of blocks, cut and shuffled but for seed 0. */
export async function lived(kernel: ExposeKernel, plan: SamplePlan, seed: number): Promise<Lived> {
  const session = await kernel.open(plan, "procedural"), { onTick, lines } = summing(plan, 0, plan.ticks);
  await session.live(blocksOf(plan, seed), onTick);
  session.close();
  return lines();
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
