import { describe, expect, it } from "vitest";
import { contact, handModel } from "./hand-model.fixture.ts";
import type { Model } from "./model.ts";
import { stimulusDesign } from "./stimulus-design.ts";
import { readStudy } from "./study.ts";

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const WORLDS = 32;
const EFFECTS = { intercept: -2.5, sms: 0.4, priceCut: 4 };

/** One persona without traits; channel and price cut act on the logit, and an unseen stimulus' own effect has the standard deviation `own`. */
function modelOf(own = 0, leaveLogit = -4): Model {
  const stimuli = [contact("plain"), contact("cut", { offer: { priceCut: 0.2, costMinor: 400 } })];
  const hand = handModel({
    codings: [], steps: ["buy"], sd: 0, worlds: WORLDS, leaveLogit, personas: [{ id: "p0", share: 1, distributions: [] }], stimuli,
    terms: [{ kind: "intercept" }, { kind: "feature", feature: 0 }, { kind: "feature", feature: 1 }], coefficients: [[EFFECTS.intercept, EFFECTS.sms, EFFECTS.priceCut]],
  });
  const [step] = hand.response.stepModels;
  return {
    ...hand, response: {
      ...hand.response, featureNames: ["channel:sms", "priceCut"], features: [[0, 0], [0, 0.2]],
      stepModels: [{ ...step, scaleGroups: [{ name: "stimulus", median: own, low: own, high: own }], scaleDraws: new Float64Array(WORLDS).fill(own) }],
    },
  };
}

const PRESSURE = { perContact: 40, logitPerUnit: 0.01, leaveLogitPerUnit: 0.02 };
const DESIGN = { channels: { email: 1, sms: 9 }, priceMinor: 2000, priceCut: { from: 0, to: 0.4, step: 0.02 }, everyTicks: [1, 2, 4, 10] };
const search = (design: object = DESIGN, more: object = {}, model = modelOf()) => stimulusDesign(model, readStudy({ seed: 1, ticks: 10, agents: 100, economicValueMinor: 1000, pressure: PRESSURE, design, ...more }, model));

/** Value and leaving per agent in closed form. */
function truth(cut: number, isSms: boolean, everyTicks: number): { readonly value: number; readonly leaving: number } {
  let there = 1, pressure = 0, value = 0, leaving = 0;
  for (let tick = 0; tick < 10; tick++) {
    pressure -= (pressure + 15) >>> 4;
    if (tick % everyTicks !== 0) continue;
    const rate = logistic(EFFECTS.intercept + (isSms ? EFFECTS.sms : 0) + EFFECTS.priceCut * cut - PRESSURE.logitPerUnit * pressure), leaves = (1 - rate) * logistic(-4 + PRESSURE.leaveLogitPerUnit * pressure);
    value += there * (rate * (1000 - Math.round(2000 * cut)) - (isSms ? 9 : 1));
    leaving += there * leaves;
    there *= 1 - leaves;
    pressure = Math.min(255, pressure + PRESSURE.perContact);
  }
  return { value, leaving };
}

describe("stimulusDesign", () => {
  it("finds the offer that the closed form finds, and its value", () => {
    const result = search();
    const all = [...Array(21).keys()].flatMap((step) => [false, true].flatMap((isSms) => [1, 2, 4, 10].map((every) => ({ cut: Number((step * 0.02).toFixed(2)), isSms, every, ...truth(step * 0.02, isSms, every) }))));
    const best = all.reduce((so, each) => (each.value > so.value ? each : so));
    const [top] = result.rows;
    expect([top.design.stimulus.offer.priceCut, top.design.stimulus.channel, top.everyTicks]).toEqual([best.cut, best.isSms ? "sms" : "email", best.every]);
    // A weight of pressure in Q14 is off by up to 2^-15 a unit, 0.005 of a logit at the pressures met here.
    expect(Math.abs(top.value.mean / best.value - 1)).toBeLessThan(1e-3);
    expect([result.designs, result.isWhole, result.looked.length]).toEqual([168, true, 168]);
    const front = all.filter((own) => !all.some((other) => other.value >= own.value && other.leaving <= own.leaving && (other.value > own.value || other.leaving < own.leaving)));
    const ends = result.rows.filter((row) => row.kind === "front");
    expect(Math.abs(ends.at(-1)!.leaving.mean / Math.min(...front.map(({ leaving }) => leaving)) - 1)).toBeLessThan(1e-3);
    expect(ends.every((row, at) => at === 0 || (row.value.mean < ends[at - 1].value.mean && row.leaving.mean < ends[at - 1].leaving.mean && row.holds))).toBe(true);
  });

  it("beats the best known stimulus and designs at random, and the oracle nothing", () => {
    const by = Object.fromEntries(search().baselines.map((row) => [row.name, row.value]));
    expect(by["designed"]).toBeGreaterThan(by["best-fixed"]);
    expect(by["best-fixed"]).toBeGreaterThan(by["random"]);
    expect(by["oracle"]).toBeGreaterThanOrEqual(by["designed"]);
  });

  it("a large space is searched in part, to within 1 % of the whole one", () => {
    const wide = { ...DESIGN, priceCut: { from: 0, to: 0.4, step: 0.004 }, tags: { theme: ["men", "women", "all"] }, evaluations: 160 };
    const part = search(wide);
    expect([part.designs, part.isWhole, part.looked.length]).toEqual([2424, false, 160]);
    expect(part.rows[0].value.mean).toBeGreaterThan(0.99 * search().rows[0].value.mean);
  });

  it("keeps limits and forbidden combinations, in what it finds and in what it compares with", () => {
    const limits = { leaveRate: 0.03, costMinor: 60, marginMinor: 700 };
    const result = search({ ...DESIGN, limits, forbidden: [{ channels: "sms", priceCut: [0, 0.02] }, { everyTicks: 4 }] });
    for (const row of result.rows) {
      expect(row.leaving.mean).toBeLessThanOrEqual(limits.leaveRate);
      expect(row.costMinor).toBeLessThanOrEqual(limits.costMinor * 1.0001);
      expect(row.design.stimulus.offer.costMinor ?? 0).toBeLessThanOrEqual(300);
      expect(row.kind === "known" || row.everyTicks !== 4).toBe(true);
    }
    expect(result.looked.some(({ id }) => id.includes("sms, 0 % off") || id.includes("sms, 2 % off"))).toBe(false);
    expect(() => search({ ...DESIGN, limits: { leaveRate: 0.0001 } })).toThrow(/none of 168 designs keeps.*nearest.*leaving/s);
    expect(() => search({ channels: ["email"], forbidden: [{ channels: "email" }] })).toThrow(/leaves no design/);
  });

  it("designs that the model cannot tell apart: none is called the best, and being chosen raises no value", () => {
    const alike = { channels: ["email"], tags: { color: [...Array(30).keys()].map((color) => `color${color}`) } };
    const result = search(alike, { everyTicks: 10 }, modelOf(0.5));
    expect(result.rows[0].probabilityBest).toBeLessThan(0.9);
    // The mean of the logistic over N(-2.5, 0.5), by the trapezoid rule. exp(0.5 z) spreads the value by half; 16 worlds, four standard errors.
    let expected = 0;
    for (let z = -6; z <= 6; z += 0.01) expected += (10 / Math.sqrt(2 * Math.PI)) * Math.exp((-z * z) / 2) * logistic(EFFECTS.intercept + 0.5 * z);
    expect(Math.abs(result.rows[0].value.mean - expected)).toBeLessThan((4 * 0.5 * expected) / Math.sqrt(WORLDS / 2));
    expect(result.rows[0].value.low).toBeLessThan(0.75 * expected);
    expect(result.rows[0].value.high).toBeGreaterThan(1.3 * expected);
  });

  it("the same seed gives the same designs to the bit", () => {
    const wide = { ...DESIGN, priceCut: { from: 0, to: 0.4, step: 0.004 }, evaluations: 80 };
    expect(search(wide, {}, modelOf(0.3))).toEqual(search(wide, {}, modelOf(0.3)));
    expect(search(wide, { seed: 2 }, modelOf(0.3)).looked).not.toEqual(search(wide, {}, modelOf(0.3)).looked);
  });

  it("refuses what is no space, naming the place", () => {
    const refused = (design: object, message: RegExp): void => expect(() => search(design)).toThrow(message);
    refused({}, /design: nothing varies/);
    refused({ channels: ["email", "email"] }, /design.channels: "email" is named twice/);
    refused({ priceCut: { from: 0.4, to: 0.1, step: 0.1 } }, /design.priceCut.to: expected at least 0.4/);
    refused({ priceCut: { from: 0, to: 1, step: 0.001 } }, /design.priceCut.step: 1001 choices/);
    refused({ ...DESIGN, forbidden: [{ channels: "fax" }] }, /design.forbidden\[0\].channels: "fax" is none of the choices.*email, sms/);
    refused({ ...DESIGN, forbidden: [{}] }, /forbids everything/);
    refused({ ...DESIGN, channel: "email" }, /unknown key "channel"; did you mean "channels"/);
    expect(() => stimulusDesign(modelOf(), readStudy({}, modelOf()))).toThrow(/it has no `design`/);
  });
});
