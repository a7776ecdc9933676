import { describe, expect, it } from "vitest";
import { contact, handModel } from "./hand-model.fixture.ts";
import type { HandModel } from "./hand-model.fixture.ts";
import { localRun } from "./local-run.fixture.ts";
import { optimize } from "./optimize.ts";
import { readStudy } from "./study.ts";

const logit = (p: number): number => Math.log(p / (1 - p));

/** Three offers, two personas who like different ones; the rates are known in closed form. */
const hand = (rates: readonly (readonly number[])[], sd: number, more: Partial<HandModel> = {}): HandModel => ({
  codings: [], steps: ["buy"], sd, worlds: 60,
  personas: rates.map((_, index) => ({ id: `p${index}`, share: 1 / rates.length, distributions: [] })),
  stimuli: [contact("plain"), contact("cut"), contact("gift")],
  terms: rates.flatMap((row, persona) => row.map((_, stimulus) => ({ kind: "persona-stimulus" as const, persona, stimulus }))),
  coefficients: [rates.flat().map(logit)], ...more,
});

describe("optimize", () => {
  it("finds each persona's best stimulus, beats random and the best fixed one, and approaches the oracle", async () => {
    const model = handModel(hand([[0.05, 0.12, 0.06], [0.15, 0.06, 0.05]], 0.01));
    const result = await optimize(model, readStudy({ seed: 3 }, model), localRun, { batch: 1_000, roundsMax: 20 });
    expect(result.best.map((row) => row.stimulus)).toEqual(["cut", "plain"]);
    expect(result.best.every((row) => row.settled && row.probabilityBest === 1 && row.expectedLoss === 0)).toBe(true);
    const by = Object.fromEntries(result.baselines.map((row) => [row.name, row]));
    expect(by["top-two"].valuePerExposure).toBeGreaterThan(by["random"].valuePerExposure);
    expect(by["oracle"].valuePerExposure).toBeGreaterThan(by["top-two"].valuePerExposure);
    expect(by["recommended"].regret).toBe(0);
    // 100 minor units a response: the oracle earns 12 and 15 per exposure, one arm for both at most (15 + 5) / 2 or (12 + 6) / 2.
    expect(by["oracle"].valuePerExposure).toBeGreaterThan(11.5);
    expect(by["best-fixed"].valuePerExposure).toBeLessThan(12);
    expect(result.regret.map((row) => row.policy)).toEqual(result.regret.map((row) => row.policy).toSorted((a, b) => a - b));
  });

  it("is the same for the same seed and another for another", async () => {
    const model = handModel(hand([[0.1, 0.11, 0.105]], 0.02));
    const run = (seed: number) => optimize(model, readStudy({ seed }, model), localRun, { batch: 500, roundsMax: 3 });
    expect(await run(5)).toEqual(await run(5));
    expect((await run(5)).regret).not.toEqual((await run(6)).regret);
  });

  it("what the model does not know shows as a chance of being best below 1, whatever the number of agents", async () => {
    const model = handModel(hand([[0.1, 0.1, 0.1]], 0.3, { worlds: 200 }));
    const result = await optimize(model, readStudy({ seed: 1 }, model), localRun, { batch: 20_000, roundsMax: 6, lossShare: 0.02 });
    // Three exchangeable arms: the chosen one is best in a third of the worlds; four standard errors over 100 worlds are 0.19.
    expect(Math.abs(result.best[0].probabilityBest - 1 / 3)).toBeLessThan(0.19);
    expect(result.best[0].expectedLoss).toBeGreaterThan(0.5);
  });

  it("a dear contact loses to a cheap one with a lower rate", async () => {
    const model = handModel(hand([[0.1, 0.12, 0.02]], 0, { stimuli: [contact("plain"), contact("cut", { contactCostMinor: 5, offer: { costMinor: 10 } }), contact("gift")] }));
    const result = await optimize(model, readStudy({ seed: 1 }, model), localRun, { batch: 3_000, roundsMax: 10 });
    expect(result.best[0].stimulus).toBe("plain");
    // 0.1 * 100, to the quantization of the logit (2^-15) and of the sigmoid table.
    expect(Math.abs(result.best[0].valueMinor - 10)).toBeLessThan(0.01);
  });
});
