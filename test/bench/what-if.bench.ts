import { createHash } from "node:crypto";
import { RandomStream } from "@populace/domain";
import type { TraitDistribution } from "@populace/domain";
import { startGateway } from "@populace/gateway";
import { modelText, scoreTableOf } from "@populace/studies";
import type { Model } from "@populace/studies";
import { coding, contact, handModel } from "../../studies/hand-model.fixture.ts";
import type { Bench } from "./bench.ts";

/** POST /v1/simulate with stimuli nobody has seen: nothing of one answer serves the next, but the process has been up for a while. */
export const bench: Bench = {
  name: "what-if",
  async run({ tiny }) {
    const model = sampleModel(tiny ? 4 : 12, tiny ? 20 : 200), agents = tiny ? 5_000 : 1_000_000;
    const table = scoreTableOf(model), text = modelText(model);
    const gateway = await startGateway({ loadTable: () => table, loadModel: async () => text, port: 0 });
    const ask = async (n: number): Promise<{ readonly seconds: number; readonly answer: { readonly exposures: number; readonly rates: unknown } }> => {
      const started = performance.now();
      const response = await fetch(`${gateway.url}/v1/simulate`, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ agents, stimulus: { id: `offer-${n}`, channel: "email", offer: { priceCut: (n % 50) / 100 } } }),
      });
      const answer = (await response.json()) as { readonly exposures: number; readonly rates: unknown };
      if (!response.ok || answer.exposures !== agents) throw new Error(`what-if ${n}: ${response.status} ${JSON.stringify(answer).slice(0, 200)}`);
      return { seconds: (performance.now() - started) / 1000, answer };
    };
    try {
      const taken: number[] = [];
      const first = await ask(0);
      for (let n = 1; n <= (tiny ? 2 : 21); n++) taken.push((await ask(n)).seconds);
      const again = await ask(0);
      const hash = createHash("sha256").update(JSON.stringify(first.answer.rates)).digest("hex");
      if (JSON.stringify(again.answer.rates) !== JSON.stringify(first.answer.rates)) throw new Error("what-if: the same question had another answer");
      const row = (what: string, ours: number, floor: string | null, target: string | null) => ({ what, ours, peer: null, peerName: "-", ratio: null, unit: "s", floor, target, hash });
      return [
        row(`what-if over HTTP: ${agents} agents, a new stimulus, ${model.mixture.personas.length} personas x ${model.response.worlds} worlds, median of ${taken.length}`, taken.toSorted((a, b) => a - b)[taken.length >> 1]!, "0.05 s", "0.01 s"),
        row("the first such question after the start", first.seconds, null, null),
        row("a question asked before", again.seconds, null, null),
      ];
    } finally {
      await gateway.close();
    }
  },
};

/** Twelve traits, three steps, two stimuli, a price cut among the features: the size of a retailer's model. */
function sampleModel(personas: number, worlds: number): Model {
  const random = RandomStream.of(3, "what-if");
  const traits = Array.from({ length: 12 }, (_, t) => coding(`trait ${t}`, t < 8 ? "continuous" : "binary", t));
  const distribution = (t: number): TraitDistribution =>
    t < 8 ? { kind: "continuous", mean: 0.6 * random.normal(), kappa: 500, shape: 250, rate: 250 } : { kind: "binary", alpha: 100 + random.integer(400), beta: 100 + random.integer(400) };
  return handModel({
    codings: traits, personas: Array.from({ length: personas }, (_, p) => ({ id: `p${p}`, share: 1 / personas, distributions: traits.map((_trait, t) => distribution(t)) })),
    stimuli: [contact("discount"), contact("news")], steps: ["open", "click", "buy"],
    terms: [{ kind: "intercept" }, { kind: "stimulus", stimulus: 1 }, ...traits.map((_, trait) => ({ kind: "trait" as const, trait, level: -1 }))],
    coefficients: [-1.2, -1.8, -1.5].map((intercept) => [intercept, -0.2, ...traits.map(() => 0.4 * random.normal())]), sd: 0.1, worlds,
  });
}
