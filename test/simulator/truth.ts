import { sha256, sha256Hex } from "@populace/io";
import { type Climate, influenceStep, initialClimate } from "@populace/kernels";
import { openBackend } from "@populace/kernels/backends";
import { samplePlan } from "@populace/kernels/sample-plan";
import { blocksOf, columnCount, inputHashOf, planHash, rootOf, runIdOf, runSpecOf, sumsHashOf, type Input, type Plan } from "@populace/protocol";

/** What a run must come to: computed in one loop without nodes, messages or faults, from the kernel and the definition of the root alone. */
export interface Truth {
  readonly plan: Plan;
  readonly run: string;
  readonly ticks: readonly TruthOfTick[];
  /** Sums over the run: cells x personas x worlds x columns. */
  readonly counts: Float64Array;
  readonly exposures: number;
}

export interface TruthOfTick {
  /** blocks x 64 bytes: stateHash and outHash. */
  readonly leaves: Uint8Array;
  readonly sumsHash: string;
  /** Address of each block's state after this tick. */
  readonly states: readonly string[];
  readonly exposures: number;
}

/** The root after each tick, given the inputs that were sealed: `inputs[t]`, or an empty input where nothing was. */
export function rootsOf(truth: Truth, inputs: ReadonlyMap<number, Input> = new Map()): readonly string[] {
  const roots: string[] = [];
  for (const [tick, { leaves, sumsHash }] of truth.ticks.entries()) {
    const input = inputs.get(tick) ?? { run: truth.run, tick, eventIds: [] };
    roots.push(rootOf(roots.at(-1) ?? truth.run, tick, inputHashOf(input, sha256), leaves, sumsHash, sha256));
  }
  return roots;
}

/** Computes a plan whole, on the reference kernel unless told otherwise. */
export async function truthOf(plan: Plan, backend = "reference"): Promise<Truth> {
  const { kernels } = await openBackend(backend, "expose");
  const session = await kernels.expose.open(plan, "procedural");
  const blocks = blocksOf(plan);
  const held = await Promise.all(blocks.map((block) => session.hold(block)));
  const columns = columnCount(plan.steps.length), row = plan.worlds * columns, personas = plan.personas.length, pair = plan.scenarios.length * 2;
  const total = new Float64Array(plan.cells.length * personas * row);
  const ticks: TruthOfTick[] = [];
  let climate: Climate = initialClimate(plan), exposures = 0;
  for (let tick = 0; tick < plan.ticks; tick += 1) {
    const counts = new Float64Array(total.length), sections = new Float64Array(personas * pair), leaves = new Uint8Array(blocks.length * 64);
    await session.step(held, tick, 1, climate, (index, _, output) => {
      const { persona } = blocks[index];
      leaves.set(output.stateHash, index * 64);
      leaves.set(sha256(new Uint8Array(output.whole.buffer, output.whole.byteOffset, output.whole.byteLength)), index * 64 + 32);
      for (let cell = 0; cell < plan.cells.length; cell += 1) for (let k = 0; k < row; k += 1) counts[(cell * personas + persona) * row + k] += output.counts[cell * row + k];
      for (let k = 0; k < pair; k += 1) sections[persona * pair + k] += output.sections[k];
    });
    let ofTick = 0;
    for (let k = 0; k < counts.length; k += columns) ofTick += counts[k];
    for (let k = 0; k < counts.length; k += 1) total[k] += counts[k];
    exposures += ofTick;
    const states = await Promise.all(held.map(async (one) => sha256Hex(await session.stateOf(one))));
    ticks.push({ leaves, sumsHash: sumsHashOf(counts, sha256), states, exposures: ofTick });
    if (plan.influence !== null) climate = influenceStep(plan, climate, sections);
  }
  session.close();
  return { plan, run: runIdOf(runSpecOf(plan, planHash(plan, sha256)), sha256), ticks, counts: total, exposures };
}

/** Plans small enough that a tick is a matter of microseconds: one block a persona. Even numbers are coupled by influence. */
export const SAMPLE_PLANS = 6;
const truths = new Map<number, Promise<Truth>>();

/** The truth of a sample plan, 0 to SAMPLE_PLANS - 1; computed once a process. */
export function sampleTruth(index: number): Promise<Truth> {
  let truth = truths.get(index);
  if (truth === undefined) {
    const plan = samplePlan(100 + index, { agents: [9, 14, 5, 11, 7, 12].slice(0, 4 + (index % 3)), ticks: 20 + (index >> 1), worlds: 2, worldShift: 1, scenarios: 1, stimuli: 2, steps: 2, traits: 2, influence: index % 2 === 0 });
    truth = truthOf(plan);
    truths.set(index, truth);
  }
  return truth;
}

