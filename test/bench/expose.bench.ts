import { createHash } from "node:crypto";
import { createBlock, createOutput, createWorkspace, initialClimate, stepBlock } from "@populace/kernels";
import { naiveAgents, naiveTick } from "../../kernels/expose/naive.ts";
import { samplePlan } from "../../kernels/expose/sample-plan.ts";
import { type Bench, seconds } from "./bench.ts";

/** The kernel's TypeScript reference beside the specification read aloud (one object an agent, every draw in full). */
export const bench: Bench = {
  name: "expose",
  async run({ tiny }) {
    const agents = tiny ? 500 : 65_536;
    const naiveCount = tiny ? 500 : 4_096;
    const plan = samplePlan(11, { agents: [agents], ticks: 8, scenarios: 1, traits: 12, stimuli: 2 });
    const block = { persona: 0, firstAgent: 0, agents };
    const climate = initialClimate(plan);
    const workspace = createWorkspace(plan);
    const output = createOutput(plan);
    const columns = plan.steps.length + 3;

    const work = (form: "stored" | "procedural") => (): void => {
      const state = createBlock(plan, block, form);
      for (let tick = 0; tick < plan.ticks; tick++) stepBlock(plan, state, tick, climate, output, workspace);
    };
    const naive = (): number => {
      const counts = createOutput(plan).counts;
      const sections = new Float64Array(2);
      const crowd = naiveAgents(plan, { ...block, agents: naiveCount });
      for (let tick = 0; tick < plan.ticks; tick++) for (const agent of crowd) naiveTick(plan, 0, agent, tick, climate, counts, sections);
      return exposuresOf(counts, columns);
    };
    const naiveExposures = naive();
    const peerRate = naiveExposures / (await seconds(tiny ? 1 : 3, naive)) / 1e6;
    const rows = [];
    for (const form of ["stored", "procedural"] as const) {
      // Exposures and hash of the whole life of the block, outside the timing.
      const state = createBlock(plan, block, form);
      const life = createOutput(plan);
      for (let tick = 0; tick < plan.ticks; tick++) stepBlock(plan, state, tick, climate, life, workspace);
      const exposures = exposuresOf(life.counts, columns);
      const ours = exposures / (await seconds(tiny ? 1 : 3, work(form))) / 1e6;
      rows.push({
        what: `expose, TypeScript reference, one core, ${form} population, 12 traits, funnel and state`,
        ours,
        peer: peerRate,
        peerName: "the specification read aloud",
        ratio: ours / peerRate,
        unit: "M exposures/s",
        floor: null,
        target: "the WebAssembly kernel: 10x to 15x of this",
        hash: createHash("sha256").update(state.state).digest("hex"),
      });
    }
    return rows;
  },
};

function exposuresOf(counts: ArrayLike<number>, columns: number): number {
  let sum = 0;
  for (let at = 0; at < counts.length; at += columns) sum += counts[at]!;
  return sum;
}
