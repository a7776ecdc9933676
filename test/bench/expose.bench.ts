// The simulation kernel in WebAssembly beside its own TypeScript reference, to equal counts; and what its short cuts gain.
import { chooseBackend, thinningOf } from "@populace/kernels";
import { createBlock, createOutput, createWorkspace, initialClimate, stepBlock } from "@populace/kernels/reference";
import { naiveAgents, naiveTick } from "@populace/kernels/naive";
import type { SamplePlan } from "@populace/kernels/sample-plan";
import { type Bench, type BenchRow, compared } from "./bench.ts";
import { differences } from "./differences.ts";
import { TICKS, type Work, benchPlan, countsHash, exposuresOf, living, stepping, storedPlan } from "./expose-work.ts";

const ROUNDS = 7;
/** Funnel draws are thinned from this class on, as in studies/plan.ts. */
const DRAW_BITS_MIN = 5;

export const bench: Bench = {
  name: "expose",
  async run({ tiny }) {
    const many = tiny ? 2_048 : 2 ** 20, some = tiny ? 1_024 : 2 ** 18;
    const rounds = tiny ? 1 : ROUNDS;
    const rows: BenchRow[] = [];
    const against = async (what: string, open: (backend: string) => Promise<Work>, floor: string | null, target: string | null): Promise<void> => {
      rows.push(await sameCounts(`expose, ${what}, one core`, await open("wasm"), await open("reference"), "our TypeScript reference", rounds, floor, target));
    };
    const stored = storedPlan(many), rivals = benchPlan(some, { scenarios: 3, stimuli: 4, traits: 12 });
    await against("stored: 15 traits, funnel, state, statistics", (backend) => stepping(backend, stored, "stored"), "10x", "15x");
    await against("stored, 3 scenarios x 4 stimuli on the same draws", (backend) => stepping(backend, rivals, "stored"), null, null);
    const coded = benchPlan(some, { traits: 12, ticks: 1 }), factors = benchPlan(some, { factors: 4, ticks: 1 });
    await against("procedural, 12 traits drawn from a hash, one tick", (backend) => living(backend, coded), null, null);
    await against("procedural, 4 factors, one tick", (backend) => living(backend, factors), null, null);
    rows.push(await referenceBesideObjects(tiny ? 512 : 16_384, rounds));
    rows.push(await sharedDraws(rivals, rounds));
    for (const ticks of [1, TICKS]) rows.push(await thinning(tiny ? 4_096 : 2 ** 22, ticks, rounds));
    rows.push(await onGpu(stored, rounds));
    return rows;
  },
};

const EXPOSURES = { unit: "exposures/s", better: "larger" } as const;

/** Two works on one plan, which must count the same. */
async function sameCounts(what: string, ours: Work, peer: Work, peerName: string, rounds: number, floor: string | null, target: string | null): Promise<BenchRow> {
  const row = await compared({ ...EXPOSURES, what, peerName, floor, target, rounds, ours: ours.rate, peer: peer.rate, hash: ours.hash });
  if (ours.hash() !== peer.hash()) throw new Error(`${what}: counts differ from those of ${peerName}, ${ours.hash()} and ${peer.hash()}`);
  ours.close();
  peer.close();
  return row;
}

/** The reference beside SPEC.md read aloud: one object an agent, every draw and every step in full. */
async function referenceBesideObjects(agents: number, rounds: number): Promise<BenchRow> {
  const plan = storedPlan(agents), block = { persona: 0, firstAgent: 0, agents }, climate = initialClimate(plan);
  /** The counts of a life, and exposures a second. */
  const life = (step: (tick: number, output: ReturnType<typeof createOutput>) => void): { readonly counts: Float64Array; readonly rate: number } => {
    const output = createOutput(plan), started = performance.now();
    for (let tick = 0; tick < plan.ticks; tick++) step(tick, output);
    const seconds = (performance.now() - started) / 1000, counts = Float64Array.from(output.counts);
    return { counts, rate: exposuresOf(plan, counts) / seconds };
  };
  const hashes = new Set<string>();
  const rateOf = ({ counts, rate }: ReturnType<typeof life>): number => {
    hashes.add(countsHash(counts));
    if (hashes.size > 1) throw new Error(`expose: the reference and one object an agent count differently: ${[...hashes].join(" and ")}`);
    return rate;
  };
  return compared({
    ...EXPOSURES, what: "expose, our TypeScript reference, stored, one core", peerName: "one object an agent, no laziness", rounds, floor: "5 M/s", target: "20 M/s", hash: () => [...hashes][0]!,
    async ours() {
      const state = createBlock(plan, block, "stored"), workspace = createWorkspace(plan);
      return rateOf(life((tick, output) => stepBlock(plan, state, tick, climate, output, workspace)));
    },
    async peer() {
      const crowd = naiveAgents(plan, block);
      return rateOf(life((tick, output) => { for (const agent of crowd) naiveTick(plan, 0, agent, tick, climate, output.counts, output.sections); }));
    },
  });
}

/** Rival scenarios in one pass, where the draws are made once, beside a pass for each. */
async function sharedDraws(plan: SamplePlan, rounds: number): Promise<BenchRow> {
  const together = await stepping("wasm", plan, "stored");
  const apart = await Promise.all(plan.scenarios.map((scenario, index) => {
    const cells = plan.cells.filter((cell) => cell.scenario === index).map((cell) => ({ ...cell, scenario: 0 }));
    return stepping("wasm", { ...plan, scenarios: [scenario], cells }, "stored");
  }));
  const row = await compared({
    ...EXPOSURES, what: "expose, 3 scenarios in one pass, one core", ours: together.rate, peerName: "a pass for each scenario", rounds, floor: null, target: null, hash: together.hash,
    async peer() {
      let exposures = 0, seconds = 0;
      for (const work of apart) {
        const rate = await work.rate(), own = exposuresOf(plan, work.counts());
        exposures += own;
        seconds += own / rate;
      }
      return exposures / seconds;
    },
  });
  // Cells come scenario by scenario.
  const whole = countsHash(Float64Array.from(apart.flatMap((work) => [...work.counts()])));
  if (whole !== together.hash()) throw new Error(`expose: scenarios in one pass count differently from one by one, ${together.hash()} and ${whole}`);
  for (const work of [together, ...apart]) work.close();
  return row;
}

/** Rare responses with thinned draws beside dense ones: other draws of the same distribution. */
async function thinning(agents: number, ticks: number, rounds: number): Promise<BenchRow> {
  const dense = benchPlan(agents, { factors: 4, shift: -7, ticks });
  const thin: SamplePlan = { ...dense, drawBits: thinningOf(dense).drawBits.map((bits) => (bits < DRAW_BITS_MIN ? 0 : bits)) };
  const ours = await living("wasm", thin), peer = await living("wasm", dense);
  const row = await compared({ ...EXPOSURES, what: "", ours: ours.rate, peer: peer.rate, peerName: "dense draws", rounds, floor: null, target: null, hash: ours.hash });
  const columns = dense.steps.length + 3, found = differences(ours.counts(), columns, peer.counts(), columns, [1, 2]);
  const rate = peer.counts().reduce((sum, count, at) => sum + (at % columns === 1 ? count : 0), 0) / exposuresOf(dense, peer.counts());
  ours.close();
  peer.close();
  return { ...row, what: `expose, 4 factors, ${ticks === 1 ? "one tick" : `${ticks} ticks`}, draws thinned at a response rate of ${rate.toExponential(1)}, one core (${found})` };
}

/** The target's plan on a real GPU, to the same counts; an emulated one says nothing about speed. */
async function onGpu(plan: SamplePlan, rounds: number): Promise<BenchRow> {
  const { backend, reason } = await chooseBackend("auto", "expose"), wasm = await stepping("wasm", plan, "stored");
  if (backend.name === "webgpu") return sameCounts(`expose, stored, ${backend.device}`, await stepping("webgpu", plan, "stored"), wasm, "our WebAssembly, one core", rounds, null, "5e10/s on an H200");
  const row = await compared({ ...EXPOSURES, what: "expose, stored, no GPU: WebAssembly on one core", ours: wasm.rate, peer: null, peerName: `a GPU (absent: ${reason})`, rounds, floor: null, target: null, hash: wasm.hash });
  wasm.close();
  return row;
}
