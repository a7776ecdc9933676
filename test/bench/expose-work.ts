// What the expose benchmarks have in common: their plans, and a backend that lives a plan again and again.
import { createHash } from "node:crypto";
import { type ExposeBlock, type ExposePlan, type PopulationForm, initialClimate, openBackend, thinningOf } from "@populace/kernels";
import { type SamplePlan, type SamplePlanOptions, samplePlan } from "@populace/kernels/sample-plan";
import type { Side } from "./bench.ts";

/** Eight and one more, so that one state digest falls into them: its share of a long run. */
export const TICKS = 9;
/** Leaving is thinned from this class on, as `populace simulate` does it (studies/plan.ts). */
const LEAVE_BITS_MIN = 6;
const BLOCK_AGENTS = 65_536;

/** A sample plan as studies compile theirs by default: 200 worlds, nobody returns, pressure makes nobody leave, and leaving is thinned where its bound allows. */
export function benchPlan(agents: number, options: Partial<SamplePlanOptions> = {}): SamplePlan {
  const sample = samplePlan(1, { agents: [agents], ticks: TICKS, worlds: 200, worldShift: 8, scenarios: 1, stimuli: 1, ...options });
  const plan: SamplePlan = { ...sample, pressureLeaveWeight: 0, personas: sample.personas.map((persona) => ({ ...persona, returnThreshold: 0 })) };
  return { ...plan, leaveBits: thinningOf(plan).leaveBits.map((bits) => (bits < LEAVE_BITS_MIN ? 0 : bits)) };
}

/**
 * The plan of the targets: 16 slots with 15 traits, 5 of them levels, one scenario and one stimulus; funnel, state and statistics. The shift makes up
 * for the pressure that builds up: over the nine ticks 12.4 % open, 1.9 % click, 0.3 % convert and 0.26 % leave.
 */
export const storedPlan = (agents: number): SamplePlan => benchPlan(agents, { traits: 15, slots: 16, shift: 0.8 });

export function blocksOf(plan: ExposePlan): readonly ExposeBlock[] {
  return plan.personas.flatMap(({ agents }, persona) => Array.from({ length: Math.ceil(agents / BLOCK_AGENTS) }, (_, index) => (
    { persona, firstAgent: index * BLOCK_AGENTS, agents: Math.min(BLOCK_AGENTS, agents - index * BLOCK_AGENTS) }
  )));
}

/** A backend with a plan. */
export interface Work {
  /** One life of all agents, made anew outside of the clock: exposures a second. Rejects when two lives count differently. */
  readonly rate: Side;
  /** What a life counted: cells x worlds x columns (exposures, steps, left, shared), summed over ticks. */
  readonly counts: () => Float64Array;
  readonly hash: () => string;
  readonly close: () => void;
}

/** Tick by tick, every tick over all agents: the most memory traffic that a run can have. */
export function stepping(backend: string, plan: ExposePlan, form: PopulationForm): Promise<Work> {
  return working(backend, plan, form, async (session, add) => {
    const held = await Promise.all(blocksOf(plan).map((block) => session.hold(block)));
    const climate = initialClimate(plan);
    const started = performance.now();
    for (let tick = 0; tick < plan.ticks; tick++) await session.step(held, tick, 1, climate, add);
    const seconds = (performance.now() - started) / 1000;
    held.forEach((block) => session.release(block));
    return seconds;
  });
}

/** Whole lives block by block, with nothing kept: how uncoupled procedural runs go. */
export function living(backend: string, plan: ExposePlan): Promise<Work> {
  return working(backend, plan, "procedural", async (session, add) => {
    const started = performance.now();
    await session.live(blocksOf(plan), add);
    return (performance.now() - started) / 1000;
  });
}

type Session = Awaited<ReturnType<Awaited<ReturnType<typeof openBackend<"expose">>>["kernels"]["expose"]["open"]>>;
type Add = Parameters<Session["live"]>[1];

async function working(backend: string, plan: ExposePlan, form: PopulationForm, life: (session: Session, add: Add) => Promise<number>): Promise<Work> {
  const session = await (await openBackend(backend, "expose")).kernels.expose.open(plan, form);
  let counts = new Float64Array(0), hash = "";
  return {
    async rate() {
      counts = new Float64Array(plan.cells.length * plan.worlds * (plan.steps.length + 3));
      const seconds = await life(session, (_, __, ticked) => addCounts(counts, ticked.counts));
      const found = countsHash(counts);
      if (hash !== "" && hash !== found) throw new Error(`expose on ${backend}: two lives of one plan counted differently, ${hash} and ${found}`);
      hash = found;
      return exposuresOf(plan, counts) / seconds;
    },
    counts: () => counts, hash: () => hash, close: () => session.close(),
  };
}

/** Adds one array to another of its length. */
export function addCounts(target: Float64Array, source: ArrayLike<number>): void {
  for (let i = 0; i < target.length; i++) target[i]! += source[i]!;
}

export function exposuresOf(plan: Pick<ExposePlan, "steps">, counts: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < counts.length; i += plan.steps.length + 3) sum += counts[i]!;
  return sum;
}

export const countsHash = (counts: ArrayLike<number>): string => createHash("sha256").update(new Uint8Array(Float64Array.from(counts).buffer)).digest("hex");
