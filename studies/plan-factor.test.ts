import { describe, expect, it } from "vitest";
import { RandomStream } from "@populace/domain";
import type { TraitDistribution } from "@populace/domain";
import { expectedRates, openPeople, peopleDimensions } from "@populace/kernels";
import type { Plan } from "@populace/protocol";
import { coding, contact, handModel } from "./hand-model.fixture.ts";
import { FACTOR_DIFFERENCE_MAX, factorForm } from "./plan-factor.ts";
import { compilePlan, compileStudy } from "./plan.ts";
import { readStudy } from "./study.ts";

const normal = (mean: number, sd: number): TraitDistribution => ({ kind: "continuous", mean, kappa: 1e9, shape: 1e9, rate: sd * sd * 1e9 });
const share = (p: number): TraitDistribution => ({ kind: "binary", alpha: p * 400, beta: (1 - p) * 400 });

/** Two stimuli that pull in different directions, three traits of which two are correlated, an uncertain model. */
const MODEL = handModel({
  codings: [coding("income", "continuous", 0), coding("age", "continuous", 1), coding("owner", "binary", 2)],
  personas: [
    { id: "calm", share: 0.6, distributions: [normal(0, 1), normal(0.3, 0.7), share(0.3)], correlation: [1, 0.6, 0.8, 0, 0, 1] },
    { id: "keen", share: 0.4, distributions: [normal(0.8, 0.6), normal(-0.5, 1), share(0.7)] },
  ],
  stimuli: [contact("discount"), contact("news")], steps: ["visit", "buy"],
  terms: [
    { kind: "intercept" }, { kind: "stimulus", stimulus: 1 }, { kind: "trait", trait: 0, level: -1 }, { kind: "trait", trait: 1, level: -1 }, { kind: "trait", trait: 2, level: -1 },
  ],
  coefficients: [[-2, -0.5, 0.9, -0.4, 0.8], [-1.2, 0.3, -0.7, 0.5, 0.4]], sd: 0.05, worlds: 40,
});

/** Mean over worlds by (cell, persona, step). */
function meanRates(plan: Plan, panelAgents: number): Float64Array {
  const rates = expectedRates(plan, { panelAgents }), size = rates.length / plan.worlds;
  const mean = new Float64Array(size);
  rates.forEach((rate, at) => { mean[at % size] += rate / plan.worlds; });
  return mean;
}

describe("the factor form", () => {
  it("keeps every mean rate within 1 %, and the distance it states is true on other people", () => {
    const coded = compilePlan(MODEL, readStudy({ agents: 1_000_000 }, MODEL));
    for (const factors of [4, 8]) {
      const { plan, difference } = factorForm(coded, factors);
      expect(difference.largest).toBeLessThan(FACTOR_DIFFERENCE_MAX);
      const [is, becomes] = [meanRates(coded, 200_000), meanRates(plan, 200_000)];
      // 200,000 agents of each form: the standard error of a mean nested rate is at most 0.4 % of it here.
      is.forEach((rate, at) => expect(Math.abs(becomes[at] / rate - 1), `cell ${at}`).toBeLessThan(difference.largest + 0.015));
      expect(becomes).not.toEqual(is);
    }
  });

  it("keeps how the logits spread over agents, and how two stimuli go together", () => {
    const coded = compilePlan(MODEL, readStudy({}, MODEL)), { plan } = factorForm(coded, 4);
    for (const persona of [0, 1]) {
      const [is, becomes] = [moments(coded, persona, 7), moments(plan, persona, 7)];
      // 10,240 people: the standard error of a standard deviation is 0.7 %, of a correlation at most 0.01.
      is.sd.forEach((sd, column) => expect(Math.abs(becomes.sd[column] / sd - 1), `column ${column}`).toBeLessThan(0.04));
      is.correlation.forEach((r, at) => expect(Math.abs(becomes.correlation[at] - r), `pair ${at}`).toBeLessThan(0.06));
    }
  });

  it("is chosen by itself from 100 million agents on, refused above 1 %, and named with its distance", () => {
    const small = compileStudy(MODEL, readStudy({ agents: 99_999_999 }, MODEL));
    expect(small).toMatchObject({ form: "coded", note: "", formDifference: null });
    const huge = compileStudy(MODEL, readStudy({ agents: 1e9 }, MODEL));
    expect(huge.form).toBe("factor");
    expect(huge.plan.factors).toBe(4);
    expect(huge.plan.personas.reduce((sum, persona) => sum + persona.agents, 0)).toBe(1e9);
    expect(huge.note).toMatch(/1,000,000,000 agents are drawn in the factor form: 4 latent factors a persona; no mean rate differs by more than 0\.\d\d %/);
    expect(compileStudy(MODEL, readStudy({ agents: 1e9, population: { form: "coded" } }, MODEL)).plan.factors).toBe(0);
  });

  it("is the same form for the same plan", () => {
    const coded = compilePlan(MODEL, readStudy({}, MODEL));
    expect(factorForm(coded, 4)).toEqual(factorForm(coded, 4));
  });
});

/** Standard deviations of the trait logits over random people of a persona in one world, and their correlations, pair by pair. */
function moments(plan: Plan, persona: number, world: number): { readonly sd: readonly number[]; readonly correlation: readonly number[] } {
  const people = openPeople(plan), dimensions = peopleDimensions(plan, persona), random = RandomStream.of(1, "people");
  const columns = plan.stimuli.length * plan.steps.length, batches = 40;
  const sum = new Float64Array(columns), product = new Float64Array(columns * columns);
  for (let batch = 0; batch < batches; batch++) {
    people.take(persona, Uint16Array.from({ length: dimensions * 256 }, () => random.integer(65_536)), 256);
    const logits = people.logits(world);
    for (let i = 0; i < 256; i++) {
      for (let a = 0; a < columns; a++) {
        sum[a] += logits[a * 256 + i];
        for (let b = 0; b < columns; b++) product[a * columns + b] += logits[a * 256 + i] * logits[b * 256 + i];
      }
    }
  }
  const n = batches * 256;
  const covariance = (a: number, b: number): number => product[a * columns + b] / n - (sum[a] / n) * (sum[b] / n);
  const each = Array.from({ length: columns }, (_, column) => column);
  return {
    sd: each.map((a) => Math.sqrt(covariance(a, a))),
    correlation: each.flatMap((a) => each.filter((b) => b < a).map((b) => covariance(a, b) / Math.sqrt(covariance(a, a) * covariance(b, b)))),
  };
}
