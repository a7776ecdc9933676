// The simulation kernel on one core: the TypeScript reference beside a naive one-object-an-agent implementation of the same
// specification, on the same plan and agents, to equal counts.
import { createHash } from "node:crypto";
import { expectedRates, initialClimate, type PopulationForm } from "@populace/kernels";
import { createBlock, createOutput, createWorkspace, stepBlock } from "@populace/kernels/reference";
import { naiveAgents, naiveTick } from "@populace/kernels/naive";
import { samplePlan } from "@populace/kernels/sample-plan";
import type { Bench, BenchRow } from "./bench.ts";

const BLOCK_AGENTS = 65_536;

/** Ticks timed one by one after two untimed ones; the median, in exposures a second. */
const WARM_TICKS = 2;

export const bench: Bench = {
  name: "expose",
  async run({ tiny }) {
    const agents = tiny ? 512 : BLOCK_AGENTS, ticks = WARM_TICKS + (tiny ? 2 : 12);
    const plan = samplePlan(1, { agents: [agents], ticks, worlds: 200, scenarios: 3, stimuli: 4, traits: 12 });
    const block = { persona: 0, firstAgent: 0, agents };
    const climate = initialClimate(plan);
    const columns = plan.steps.length + 3;

    function reference(form: PopulationForm): { counts: string; perSecond: number } {
      const state = createBlock(plan, block, form), workspace = createWorkspace(plan), output = createOutput(plan);
      return timed((tick) => stepBlock(plan, state, tick, climate, output, workspace), output.counts);
    }
    function naive(): { counts: string; perSecond: number } {
      const crowd = naiveAgents(plan, block), output = createOutput(plan);
      return timed((tick) => { for (const agent of crowd) naiveTick(plan, 0, agent, tick, climate, output.counts, output.sections); }, output.counts);
    }
    function timed(step: (tick: number) => void, counts: Uint32Array): { counts: string; perSecond: number } {
      const rates: number[] = [];
      let before = 0;
      for (let tick = 0; tick < ticks; tick++) {
        const started = performance.now();
        step(tick);
        const elapsed = performance.now() - started;
        let exposures = 0;
        for (let i = 0; i < counts.length; i += columns) exposures += counts[i];
        if (tick >= WARM_TICKS) rates.push(((exposures - before) / elapsed) * 1000);
        before = exposures;
      }
      const bytes = new Uint8Array(counts.buffer, counts.byteOffset, counts.byteLength);
      return { counts: createHash("sha256").update(bytes).digest("hex"), perSecond: rates.toSorted((a, b) => a - b)[rates.length >> 1]! };
    }

    const stored = reference("stored"), plain = naive(), procedural = reference("procedural");
    for (const other of [plain, procedural]) {
      if (other.counts !== stored.counts) throw new Error(`expose: counts differ, ${other.counts} and ${stored.counts}`);
    }

    const panelPlan = samplePlan(2, { agents: new Array<number>(tiny ? 2 : 8).fill(1), ticks: 1, worlds: tiny ? 4 : 200, scenarios: 1, ordinals: 4, stimuli: 4, traits: 12, copula: true });
    const started = performance.now();
    const rates = expectedRates(panelPlan, { panelAgents: tiny ? 16 : 512 });
    const panelSeconds = (performance.now() - started) / 1000;

    const row = (what: string, ours: number, peer: number | null, peerName: string, floor: string | null, target: string | null): BenchRow => ({
      what, ours, peer, peerName, ratio: peer === null ? null : ours / peer, unit: "exposures/s", floor, target, hash: stored.counts,
    });
    return [
      row("expose, TypeScript reference, stored population, one core", stored.perSecond, plain.perSecond, "one object an agent, no laziness", "5 M/s", "20 M/s"),
      row("expose, TypeScript reference, procedural population, one core", procedural.perSecond, plain.perSecond, "one object an agent, no laziness", null, null),
      {
        what: "expected rates of 200 worlds x 8 personas x 4 stimuli x 512 agents", ours: panelSeconds, peer: null, peerName: "-", ratio: null, unit: "s", floor: "5 s", target: "1 s",
        hash: createHash("sha256").update(new Uint8Array(rates.buffer)).digest("hex"),
      },
    ];
  },
};
