import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream, leaveLogits } from "@populace/domain";
import { afterAll, describe, expect, test } from "vitest";
import { readDataset, selectRows } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { contact, coding, handModel } from "./hand-model.fixture.ts";
import { learn } from "./learn.ts";
import { modelText, parseModel } from "./model-file.ts";
import type { Model } from "./model.ts";
import { compilePlan } from "./plan.ts";
import { authoredModel } from "./prior.ts";
import { parseSchema } from "./schema.ts";
import { stimulusDesign } from "./stimulus-design.ts";
import { readStudy } from "./study.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-leave-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
/** The pushier, the more buy and the more leave. */
const TRUTH = { buy: -2.6, buyPush: 1.4, leave: -4.2, leavePush: 2.2 };
const PUSHES = [0, 0.3, 0.6, 1];
const SCHEMA_TEXT = `name: pushy\nrecipient: id\nattributes: {age: {kind: continuous, unit: years}}
stimulus: {column: arm, stimuli: {none: {contact: false}, ${PUSHES.map((push, at) => `a${at}: {channel: email, features: {push: ${push}}}`).join(", ")}}}
assignment: randomized\nfunnel: [buy]\n`;
const SCHEMA = parseSchema(`${SCHEMA_TEXT}leave: gone\n`, "pushy.yaml");

function rows(seed: number, count: number): Promise<Dataset> {
  const random = RandomStream.of(seed, "pushy world");
  const lines = Array.from({ length: count }, (_, i) => {
    const arm = random.integer(PUSHES.length + 1) - 1, push = PUSHES[arm] ?? 0;
    const buys = random.uniform() < (arm < 0 ? 0.02 : logistic(TRUTH.buy + TRUTH.buyPush * push)), leaves = arm >= 0 && !buys && random.uniform() < logistic(TRUTH.leave + TRUTH.leavePush * push);
    return `${seed}-${i},${20 + random.integer(50)},${arm < 0 ? "none" : `a${arm}`},${buys ? 1 : 0},${leaves ? 1 : 0}`;
  });
  const path = join(folder, `${seed}-${count}.csv`);
  writeFileSync(path, `id,age,arm,buy,gone\n${lines.join("\n")}\n`);
  return readDataset(SCHEMA, path);
}

const fit = (data: Dataset): Model => fitModel(SCHEMA, data, { personas: 1, worlds: 64 });
/** 90 % interval over worlds of the chance to leave. */
function interval(model: Model, arm: number): readonly [number, number] {
  const stimulus = model.response.stimuli.find(({ id }) => id === `a${arm}`)!;
  const leaving = leaveLogits(model.response, model.mixture);
  const rates = Array.from({ length: model.response.worlds }, (_, world) => logistic(leaving(stimulus, world, null)[0])).toSorted((a, b) => a - b);
  return [rates[Math.floor(0.05 * rates.length)], rates[Math.ceil(0.95 * rates.length) - 1]];
}

describe("leaving is learned from data", () => {
  test("its intervals hold the true rate of each stimulus about nine times in ten", async () => {
    let inside = 0, cells = 0;
    for (let seed = 1; seed <= 15; seed += 1) {
      const model = fit(await rows(seed, 3_000));
      PUSHES.forEach((push, arm) => {
        const [low, high] = interval(model, arm), truth = logistic(TRUTH.leave + TRUTH.leavePush * push);
        inside += low <= truth && truth <= high ? 1 : 0;
        cells += 1;
      });
    }
    // 60 cells at 90 %: below 47 once in 1,000 were they independent.
    expect(inside).toBeGreaterThanOrEqual(47);
    expect(cells).toBe(60);
  });

  test("the Pareto front trades value against leaving by the stimulus itself, as the truth does", async () => {
    const model = fit(await rows(1, 30_000)), ticks = 6;
    const study = readStudy({ seed: 1, ticks, agents: 100, economicValueMinor: 1000, design: { channels: ["email"], features: { push: PUSHES }, everyTicks: [2] } }, model);
    const { rows: found } = stimulusDesign(model, study), front = found.filter(({ kind }) => kind === "front");
    // In the truth each of the four is on the front: value and leaving rise with push.
    const truth = PUSHES.map((push) => {
      let there = 1, value = 0;
      for (let tick = 0; tick < ticks; tick += 2) {
        const buys = logistic(TRUTH.buy + TRUTH.buyPush * push);
        value += there * 1000 * buys;
        there *= 1 - (1 - buys) * logistic(TRUTH.leave + TRUTH.leavePush * push);
      }
      return { value, leaving: 1 - there };
    });
    expect(truth.every(({ value, leaving }, at) => at === 0 || (value > truth[at - 1].value && leaving > truth[at - 1].leaving))).toBe(true);
    expect(front.map((row) => row.design.stimulus.features["push"]).toSorted((a, b) => a - b)).toEqual(PUSHES);
    for (const row of front) {
      const { leaving } = truth[PUSHES.indexOf(row.design.stimulus.features["push"])];
      expect(row.leaving.low).toBeLessThan(leaving);
      expect(row.leaving.high).toBeGreaterThan(leaving);
    }
    // Pushing all the way loses at least three times as many people.
    expect(front[0].leaving.mean / front.at(-1)!.leaving.mean).toBeGreaterThan(3);
    // A model that was not told who left calls all designs alike, so that only the most valuable is on its front.
    const { leave: _, ...blind } = SCHEMA, unaware = fitModel(blind, { ...(await rows(1, 3_000)), left: null }, { personas: 1, worlds: 64 });
    expect(stimulusDesign(unaware, study).rows.filter(({ kind }) => kind === "front").length).toBeLessThan(3);
  });

  test("an update by its posterior comes to the same as a fit of all rows", async () => {
    const all = await rows(3, 12_000), part = (from: number, to: number): Dataset => selectRows(all, Array.from({ length: to - from }, (_, at) => from + at));
    const updated = learn(fit(part(0, 6_000)), part(6_000, 12_000), { update: "logistic" }).model, whole = fit(all);
    expect(updated.response.leave.effects!.model.rows).toBe(whole.response.leave.effects!.model.rows);
    PUSHES.forEach((_, arm) => {
      const [a, b] = [interval(updated, arm), interval(whole, arm)], width = b[1] - b[0];
      // Quantiles of 64 draws err by a fifth of a width; two of them.
      for (const end of [0, 1] as const) expect(Math.abs(a[end] - b[end])).toBeLessThan(0.4 * width);
    });
  });

  test("nobody left, everybody left, nobody was contacted: finite, and a model file keeps it to the bit", async () => {
    const data = await rows(4, 1_500);
    for (const left of [new Uint8Array(data.rows), new Uint8Array(data.rows).fill(1)]) {
      const model = fit({ ...data, left });
      expect(modelText(model)).not.toMatch(/NaN|Infinity|null,null/);
      expect(modelText(parseModel(modelText(model)))).toBe(modelText(model));
      PUSHES.forEach((_, arm) => { const [low, high] = interval(model, arm); expect(low > 0 && low < high && high < 1).toBe(true); });
    }
    const silent = fit({ ...data, stimulus: new Int32Array(data.rows) });
    expect(silent.response.leave.effects).toBe(undefined);
  });
});

describe("leaving without data", () => {
  const stated = (effects: string): Model => authoredModel(parseSchema(`${SCHEMA_TEXT}prior: {baseRates: {buy: [0.05, 0.1]}, leaveRate: [0.005, 0.02], effects: ${effects}}\n`, "pushy.yaml"), { worlds: 400 });

  test("is one rate for all where nobody says otherwise, and a stated odds ratio moves it", () => {
    const plain = stated("[]"), pushy = stated("[{step: leave, on: \"feature:push\", oddsRatio: [4, 9]}]");
    const biasOf = (model: Model): Int32Array => compilePlan(model, readStudy({ seed: 1, agents: 10, ticks: 1 }, model), { certain: true }).leaveBias;
    expect(new Set(biasOf(plain)).size).toBe(1);
    const biases = [...biasOf(pushy)].slice(1).map((bias) => bias / 16_384);
    PUSHES.forEach((push, at) => expect(biases[at]).toBeCloseTo(biases[0] + push * Math.log(6), 3));
    // The stated 90 % interval of the odds ratio is that of the worlds; quantiles of 400 draws, four standard errors.
    const { terms, model } = pushy.response.leave.effects!, effects = Array.from({ length: 400 }, (_, world) => Math.exp(model.draws[world * terms.length + 1])).toSorted((a, b) => a - b);
    expect(Math.abs(Math.log(effects[20] / 4))).toBeLessThan(0.22);
    expect(Math.abs(Math.log(effects[379] / 9))).toBeLessThan(0.22);
  });

  test("refuses effects on what is no stimulus or feature, a shared column, and a step of the same name", () => {
    expect(() => stated("[{step: leave, on: age, oddsRatio: [1, 2]}]")).toThrow(/leaving depends on stimuli and their features, and none is named "age".*feature:push/s);
    expect(() => parseSchema(`${SCHEMA_TEXT}leave: buy\n`, "pushy.yaml")).toThrow(/column "buy" is used twice.*leaving/s);
    expect(() => parseSchema(SCHEMA_TEXT.replace("funnel: [buy]", "funnel: [leave, buy]\nleave: gone"), "pushy.yaml")).toThrow(/a funnel step is named "leave"/);
  });
});

test("a match acts on leaving by the persona's members, and an unseen stimulus draws its own effect", () => {
  const terms = [{ kind: "intercept" }, { kind: "match", match: 0 }] as const;
  const hand = handModel({
    codings: [coding("shoes", "binary", 0)], steps: ["buy"], sd: 0, worlds: 8, stimuli: [contact("plain"), contact("shoes", { tags: { theme: "shoes" } })], terms: [{ kind: "intercept" }], coefficients: [[-2]],
    personas: [0.2, 0.8].map((share, at) => ({ id: `p${at}`, share: 0.5, distributions: [{ kind: "binary", alpha: 100 * share, beta: 100 * (1 - share) }] })),
  });
  const [step] = hand.response.stepModels;
  const response: Model["response"] = {
    ...hand.response, matches: [{ tag: "theme", traitByValue: { shoes: 0 } }],
    leave: { logitMean: -4, logitSd: 0, draws: new Float64Array(8).fill(-4), effects: { terms, model: { ...step, mean: Float64Array.of(-4, -1), draws: new Float64Array(16).map((_, at) => (at % 2 === 0 ? -4 : -1)), scaleGroups: [{ name: "stimulus", median: 0.5, low: 0.5, high: 0.5 }], scaleDraws: new Float64Array(8).fill(0.5) } } },
  };
  const of = (id: string): number[] => [...leaveLogits(response, hand.mixture)(hand.response.stimuli.find((each) => each.id === id)!, 0, null)];
  expect(of("plain")).toEqual([-4, -4]);
  // Of two kinds of members; a normal in their place is off by half a per cent of the rate.
  [0.2, 0.8].forEach((share, persona) => expect(Math.abs(logistic(of("shoes")[persona]) / ((1 - share) * logistic(-4) + share * logistic(-5)) - 1)).toBeLessThan(0.005));
  expect([...leaveLogits(response, hand.mixture)(contact("new"), 0, { normal: () => 2 })]).toEqual([-3, -3]);
});
