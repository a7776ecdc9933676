// Responses without drawing them: expected rates and logit histograms in WebAssembly beside the TypeScript reference.
import { createHash } from "node:crypto";
import { type HistogramOf, type MeanFieldSession, openBackend, rateAt } from "@populace/kernels";
import { samplePlan } from "@populace/kernels/sample-plan";
import { type Bench, type BenchRow, compared } from "./bench.ts";
import { benchPlan, living } from "./expose-work.ts";

export const bench: Bench = {
  name: "expose mean field",
  async run({ tiny }) {
    const rounds = tiny ? 1 : 7;
    const plan = samplePlan(2, { agents: new Array<number>(tiny ? 2 : 8).fill(1), ticks: 1, worlds: tiny ? 4 : 200, scenarios: 1, ordinals: 4, stimuli: 4, traits: 12, copula: true });
    const open = async (name: string): Promise<MeanFieldSession> => (await openBackend(name, "meanField")).kernels.meanField.open(plan);
    const wasm = await open("wasm"), reference = await open("reference");
    const members = tiny ? 16 : 512, of: HistogramOf = { persona: 0, world: 0, stimulus: plan.cells[0]!.stimulus, step: 0, firstAgent: 0, agents: tiny ? 1_000 : 65_535 };

    const against = async (what: string, work: (session: MeanFieldSession) => Promise<Float64Array | Uint32Array>, floor: string | null, target: string | null): Promise<BenchRow> => {
      const hashes = new Set<string>();
      const side = (session: MeanFieldSession) => async (): Promise<number> => {
        const started = performance.now();
        const found = await work(session);
        const seconds = (performance.now() - started) / 1000;
        hashes.add(createHash("sha256").update(new Uint8Array(found.buffer, found.byteOffset, found.byteLength)).digest("hex"));
        if (hashes.size > 1) throw new Error(`${what}: wasm and the reference differ`);
        return seconds;
      };
      return compared({ what, unit: "s", better: "smaller", peerName: "our TypeScript reference", ours: side(wasm), peer: side(reference), rounds, floor, target, hash: () => [...hashes][0]! });
    };
    const rows = [
      await against(`expected rates of ${plan.worlds} worlds x ${plan.personas.length} personas x 4 stimuli x ${members} agents`, (session) => session.rates(members), "5 s", "1 s"),
      await against(`logit histogram of ${of.agents.toLocaleString("en-US")} agents`, (session) => session.histogram(of), null, null),
    ];
    rows.push(await furtherQuestion(await wasm.histogram(of), of.agents, rounds));
    wasm.close();
    reference.close();
    return rows;
  },
};

/** "What if all logits moved by so much?" of a histogram that is there, beside simulating as many agents once more. */
async function furtherQuestion(histogram: Uint32Array, agents: number, rounds: number): Promise<BenchRow> {
  const again = await living("wasm", benchPlan(agents, { traits: 12, ticks: 1 }));
  const questions = 100;
  let sum = 0;
  const row = await compared({
    what: `one more question of that histogram`, unit: "s", better: "smaller", peerName: "simulating as many agents once", rounds, floor: null, target: null,
    hash: () => createHash("sha256").update(String(sum)).digest("hex"),
    async ours() {
      sum = 0;
      const started = performance.now();
      for (let question = 0; question < questions; question++) sum += rateAt(histogram, 100 * question);
      return (performance.now() - started) / 1000 / questions;
    },
    peer: async () => agents / (await again.rate()),
  });
  again.close();
  return row;
}
