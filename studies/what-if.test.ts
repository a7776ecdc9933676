import { chooseBackend } from "@populace/kernels/backends";
import { expect, it } from "vitest";
import { coding, contact, handModel } from "./hand-model.fixture.ts";
import { openWhatIf } from "./what-if.ts";
import type { WhatIfQuestion } from "./what-if.ts";

const model = handModel({
  codings: [coding("age", "continuous", 0), coding("owner", "binary", 1)],
  personas: [0, 1].map((p) => ({ id: `p${p}`, share: 0.5, distributions: [{ kind: "continuous" as const, mean: p - 0.5, kappa: 50, shape: 25, rate: 25 }, { kind: "binary" as const, alpha: 30 + p, beta: 70 }] })),
  stimuli: [contact("news"), contact("discount")], steps: ["open", "buy"],
  terms: [{ kind: "intercept" }, { kind: "stimulus", stimulus: 1 }, { kind: "trait", trait: 0, level: -1 }, { kind: "trait", trait: 1, level: -1 }],
  coefficients: [[-1, 0.3, 0.4, 0.2], [-1.5, 0.2, -0.3, 0.5]], sd: 0.1, worlds: 20,
});

it("questions one after the other have the answers they have alone, whoever was asked about before", async () => {
  const { expose } = (await chooseBackend("auto", "expose")).backend.kernels;
  const ask = openWhatIf(model, expose);
  const questions: readonly WhatIfQuestion[] = [
    ...[1, 2, 3].map((n) => ({ agents: 20_000, stimulus: { id: `offer ${n}`, channel: "email", offer: { priceCut: n / 10 } } })),
    { agents: 20_000, stimulus: "news" }, { agents: 30_000, stimulus: "discount" }, { agents: 30_000, stimulus: "discount", seed: 2 }, { agents: 30_000, stimulus: "news", seed: 2, personas: ["p1"] },
    { agents: 20_000, stimulus: "news" },
  ];
  const answers = [];
  for (const question of questions) answers.push(await ask(question));
  for (const [at, question] of questions.entries()) expect(answers[at], JSON.stringify(question)).toEqual(await openWhatIf(model, expose)(question));
  expect(answers[7]).toEqual(answers[3]);
  expect(new Set(answers.map(({ rates }) => JSON.stringify(rates))).size).toBe(7);
});
