import { describe, expect, it } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { BINARY_CODE, MISSING } from "../persona/trait.ts";
import type { TraitCoding } from "../persona/trait.ts";
import type { ResponseModel } from "./response-model.ts";
import type { Stimulus } from "./stimulus.ts";
import { copyFeatures } from "./copy-features.ts";
import { featureValues, stimulusFeatures } from "./features.ts";
import { COLUMNS_MAX, designRows, foldStep, foldUnseen, termsOf, unseenScale } from "./response-terms.ts";

const stimulus = (id: string, more: Partial<Stimulus> = {}): Stimulus => ({ id: id as Stimulus["id"], name: id, contact: true, channel: "email", offer: {}, copy: {}, tags: {}, features: {}, contactCostMinor: 0, ...more });
const coding = (name: string, kind: TraitCoding["kind"], levels: readonly string[] = []): TraitCoding => ({ name, kind, unit: "", transform: "identity", levels, center: 0, scale: 1, slot: 0 });
const codings = [coding("recency", "continuous"), coding("mens", "binary", ["0", "1"]), coding("town", "categorical", ["A", "B", "other"])];
const arms = [stimulus("none", { contact: false, channel: "none" }), stimulus("mens", { tags: { goods: "mens" } }), stimulus("womens", { tags: { goods: "womens" } })];

describe("stimulus features", () => {
  it("tell the stimuli apart, are 0 without contact, and leave out what never differs", () => {
    expect(stimulusFeatures(arms)).toEqual({ names: ["contact", "tag:goods=womens"], values: [[0, 0], [1, 0], [1, 1]] });
    expect(stimulusFeatures([stimulus("a"), stimulus("b")]).names).toEqual([]);
    const { names, values } = stimulusFeatures([stimulus("a", { channel: "sms", offer: { priceCut: 0.2 }, features: { discount: 30 } }), stimulus("b", { features: { discount: 10 } })]);
    expect(names).toEqual(["channel:sms", "priceCut", "feature:discount/100"]);
    expect(values).toEqual([[1, 0.2, 0.3], [0, 0, 0.1]]);
    expect(featureValues(names, stimulus("new", { features: { discount: 50 } }))).toEqual([0, 0, 0.5]);
  });

  it("of a text: length, urgency, price, mood, question, exclamation, ease, within -1 and 1", () => {
    const urgent = copyFeatures({ subject: "Last hours! Save 20% now!", body: "Only today. Why wait?" });
    expect(urgent).toMatchObject({ urgency: 1, price: 1, question: 1, exclamation: 2 / 3 });
    const plain = copyFeatures({ subject: "Your statement", body: "The statement of your account is available." });
    expect(plain).toMatchObject({ urgency: 0, price: 0, question: 0, exclamation: 0 });
    expect(copyFeatures({ body: "not good" }).sentiment).toBeLessThan(0);
    expect(copyFeatures({ body: "good" }).sentiment).toBeGreaterThan(0);
    expect(urgent.ease).toBeGreaterThan(plain.ease);
    for (const value of Object.values(urgent)) expect(Math.abs(value)).toBeLessThanOrEqual(1);
    expect(Object.values(copyFeatures({})).every((value) => value === 0)).toBe(true);
    expect(Object.values(copyFeatures({ body: "!".repeat(1e6) })).every(Number.isFinite)).toBe(true);
  });
});

describe("terms of the response model", () => {
  const matches = [{ tag: "goods", traitByValue: { mens: 1 } }];
  const { names, values } = stimulusFeatures(arms);
  const terms = termsOf(codings, 2, arms, names, matches);
  const layout = { stimuli: arms, features: values, matches, terms };
  const random = RandomStream.of(3, "coefficients");
  const coefficients = Float64Array.from(terms, () => random.normal());
  const response: ResponseModel = {
    ...layout, featureNames: names, steps: [{ name: "visit" }], worlds: 1, leave: { logitMean: -6, logitSd: 1, draws: new Float64Array(1) },
    stepModels: [{
      step: "visit", rows: 1, events: 1, mean: coefficients, covarianceCholesky: new Float64Array(0), draws: coefficients, scaleGroup: new Int32Array(terms.length),
      scaleDraws: Float64Array.of(0.5, 0.25), scaleGroups: ["stimulus", "persona-stimulus"].map((name) => ({ name, median: 1, low: 1, high: 1 })), method: "laplace",
    }],
  };

  it("fold into the same logit as the row of the design", () => {
    const writer = designRows(layout, codings, () => 0);
    for (const [persona, arm, codes] of [[0, 0, [32, BINARY_CODE, 0]], [1, 1, [-16, BINARY_CODE, 2]], [1, 2, [127, 0, 1]]] as const) {
      const from = writer.column.length;
      writer.designRow(codes, 0, persona, arm);
      let expected = 0;
      for (let i = from; i < writer.column.length; i++) expected += coefficients[writer.column[i]] * writer.value[i];
      expect(new Set(writer.column.slice(from)).size).toBe(writer.column.length - from);
      const fold = foldStep(response, codings, 0, arm, coefficients);
      const found = fold.personaBias[persona] + (fold.slotWeight[0] * codes[0]) / 32 + (fold.slotWeight[1] * codes[1]) / BINARY_CODE + fold.levelTable[2][codes[2]];
      expect(found).toBeCloseTo(expected, 12);
    }
  });

  it("put a persona's expectation in the place of a missing value", () => {
    const fill = (persona: number, trait: number): number | readonly number[] => (trait === 2 ? [0.5, 0.3, 0.2] : 0.25 + persona);
    const writer = designRows(layout, codings, fill);
    writer.designRow([MISSING, MISSING, MISSING], 0, 1, 1);
    const valueOf = (wanted: (term: (typeof terms)[number]) => boolean): number => writer.value[writer.column.indexOf(terms.findIndex(wanted))];
    expect(valueOf((term) => term.kind === "trait" && term.trait === 0)).toBe(1.25);
    expect([0, 1, 2].map((level) => valueOf((term) => term.kind === "trait" && term.trait === 2 && term.level === level))).toEqual([0.5, 0.3, 0.2]);
    expect(valueOf((term) => term.kind === "match")).toBe(1.25);
  });

  it("of an unseen stimulus: features speak, its own effects spread as their scales say", () => {
    const unseen = stimulus("new", { tags: { goods: "mens" } });
    const known = foldStep(response, codings, 0, 1, coefficients);
    const mean = foldUnseen(response, codings, 0, unseen, coefficients, null, null);
    expect(mean.slotWeight).toEqual(known.slotWeight);
    const own = coefficients[terms.findIndex((term) => term.kind === "stimulus" && term.stimulus === 1)];
    const cell = coefficients[terms.findIndex((term) => term.kind === "persona-stimulus" && term.stimulus === 1 && term.persona === 0)];
    expect(mean.personaBias[0]).toBeCloseTo(known.personaBias[0] - own - cell, 12);
    const draws = RandomStream.of(1, "unseen");
    const shifts = Array.from({ length: 4000 }, () => foldUnseen(response, codings, 0, unseen, coefficients, 0, draws).personaBias[0] - mean.personaBias[0]);
    const variance = shifts.reduce((sum, shift) => sum + shift * shift, 0) / shifts.length;
    // 0.5^2 + 0.25^2, sampling error of a variance 4 sd = 4 sqrt(2 / 4000) = 9 %.
    expect(variance / 0.3125).toBeGreaterThan(0.91);
    expect(variance / 0.3125).toBeLessThan(1.09);
  });

  it("of an unseen stimulus after one other: its own effect has the spread of two, of a scale that only the prior knows", () => {
    const one = { ...response, stepModels: response.stepModels.map((step) => ({ ...step, scaleGroups: step.scaleGroups.filter((group) => group.name !== "stimulus" && group.name !== "persona-stimulus"), scaleDraws: new Float64Array(step.scaleDraws.length) })) };
    const unseen = stimulus("new"), mean = foldUnseen(one, codings, 0, unseen, coefficients, null, null), draws = RandomStream.of(2, "after one");
    const shifts = Array.from({ length: 8000 }, () => Math.abs(foldUnseen(one, codings, 0, unseen, coefficients, 0, draws).personaBias[0] - mean.personaBias[0])).toSorted((a, b) => a - b);
    // |Z| |Z'| sqrt(2) (0.5 / 0.6745): the square's mean is 2 (0.5 / 0.6745)^2 = 1.099, its sampling error 4 sqrt(8 / 8000) = 13 %.
    const square = shifts.reduce((sum, shift) => sum + shift * shift, 0) / shifts.length;
    expect(square / 1.099).toBeGreaterThan(0.87);
    expect(square / 1.099).toBeLessThan(1.13);
    expect(unseenScale(one.stepModels[0])).toBeCloseTo(Math.SQRT2 * 0.5, 12);
  });

  it("vanish where nothing can differ, and stay under the limit with many stimuli", () => {
    expect(termsOf(codings, 1, [arms[1]], [], []).map((term) => term.kind)).toEqual(["intercept", "trait", "trait", "trait", "trait", "trait"]);
    const many = Array.from({ length: 34 }, (_, i) => stimulus(`s${i}`, { features: { a: i / 34, b: (i * i) % 3 } }));
    const wide = Array.from({ length: 12 }, (_, i) => coding(`t${i}`, "categorical", ["a", "b", "c", "d", "other"]));
    expect(termsOf(wide, 8, many, stimulusFeatures(many).names, []).length).toBeLessThanOrEqual(COLUMNS_MAX);
    expect(termsOf(codings, 1, [arms[1]], [], [], new Set([0, 2])).length).toBe(2);
  });
});
