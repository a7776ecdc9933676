import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream, assign, compileRanking, encodeAttributes, leaveLogits, logistic } from "@populace/domain";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backtest } from "./backtest.ts";
import { readDataset } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { summarizeRun } from "./intervals.ts";
import { runHere } from "./local-run.fixture.ts";
import type { Model } from "./model.ts";
import { compilePlan } from "./plan.ts";
import { valuePolicy } from "./off-policy.ts";
import { parseSchema } from "./schema.ts";
import { scoreTableOf } from "./score-table.ts";
import { readStudy } from "./study.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-leave-traits-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ARMS = ["none", "letter", "push"] as const;
const REGIONS = ["north", "south", "west"] as const;
const SCHEMA = parseSchema(`name: leavers\nrecipient: id\nattributes: {age: {kind: continuous, unit: years}, orders: {kind: count, unit: a year}, region: categorical, member: binary}
stimulus: {column: arm, stimuli: {none: {contact: false}, letter: {channel: post}, push: {channel: push}}}\nassignment: randomized\nfunnel: [visit, buy]\nleave: gone\n`, "leavers.yaml");

interface Who { readonly age: number; readonly orders: number; readonly region: (typeof REGIONS)[number]; readonly member: "0" | "1" }

/** Two kinds of people: older members who order often, and younger others. */
function person(random: RandomStream): Who {
  const old = random.uniform() < 0.4;
  let orders = 0;
  for (let limit = random.uniform(), mass = Math.exp(old ? -6 : -2), sum = mass; sum < limit && orders < 40; sum += mass) mass *= (old ? 6 : 2) / ++orders;
  return { age: Math.max(18, (old ? 61 : 34) + 7 * random.normal()), orders, region: REGIONS[random.integer(3)], member: random.uniform() < (old ? 0.7 : 0.2) ? "1" : "0" };
}

/** The chance to leave at a contact that sells nothing: the young, those in the west and who is no member leave sooner, and everybody at a push. */
const leaves = ({ age, region, member }: Who, arm: (typeof ARMS)[number]): number =>
  arm === "none" ? 0 : logistic(-3.4 + (arm === "push" ? 0.8 : 0) - 0.03 * (age - 45) + (region === "west" ? 0.6 : 0) - (member === "1" ? 0.7 : 0));
const visits = ({ age, orders }: Who, arm: (typeof ARMS)[number]): number => logistic(-1.6 + (arm === "none" ? 0 : 0.6) + 0.1 * orders - 0.01 * (age - 45));

function rows(seed: number, count: number): Promise<Dataset> {
  const random = RandomStream.of(seed, "leavers");
  const lines = Array.from({ length: count }, (_, i) => {
    const who = person(random), arm = ARMS[random.integer(3)], visit = random.uniform() < visits(who, arm), buy = visit && random.uniform() < 0.3;
    return `${seed}-${i},${who.age.toFixed(1)},${who.orders},${who.region},${who.member},${arm},${visit ? 1 : 0},${buy ? 1 : 0},${!buy && random.uniform() < leaves(who, arm) ? 1 : 0}`;
  });
  const path = join(folder, `${seed}-${count}.csv`);
  writeFileSync(path, `id,age,orders,region,member,arm,visit,buy,gone\n${lines.join("\n")}\n`);
  return readDataset(SCHEMA, path);
}

const fit = (data: Dataset): Model => fitModel(SCHEMA, data, { personas: 2, worlds: 100 });

/** True chance to leave, given that nothing is bought, of a fitted persona's members. */
function truth(model: Model, people = 20_000): ReadonlyMap<string, number> {
  const random = RandomStream.of(99, "people"), sums = new Map<string, { n: number; sum: number }>();
  for (let i = 0; i < people; i += 1) {
    const who = person(random), { persona } = assign(model.mixture, encodeAttributes(model.mixture, { ...who }));
    for (const arm of ["letter", "push"] as const) {
      const key = `${model.mixture.personas[persona].id}|${arm}`, cell = sums.get(key) ?? { n: 0, sum: 0 };
      sums.set(key, { n: cell.n + 1, sum: cell.sum + leaves(who, arm) });
    }
  }
  return new Map([...sums].map(([key, { n, sum }]) => [key, sum / n]));
}

/** Rates of leaving by persona and stimulus: mean over worlds and 90 % of them. */
function rates(model: Model): ReadonlyMap<string, { readonly mean: number; readonly low: number; readonly high: number }> {
  const of = leaveLogits(model.response, model.mixture);
  return new Map(model.response.stimuli.filter(({ contact }) => contact).flatMap((stimulus) => {
    const worlds = Array.from({ length: model.response.worlds }, (_, world) => of(stimulus, world, null).map(logistic));
    return model.mixture.personas.map((persona, p) => {
      const sorted = worlds.map((each) => each[p]).toSorted((a, b) => a - b);
      return [`${persona.id}|${stimulus.id}`, { mean: sorted.reduce((sum, each) => sum + each, 0) / sorted.length, low: sorted[Math.floor(0.05 * sorted.length)], high: sorted[Math.ceil(0.95 * sorted.length) - 1] }] as const;
    });
  }));
}

describe("leaving depends on who they are", () => {
  let model: Model;
  let held: Dataset;
  beforeAll(async () => {
    model = fit(await rows(1, 6_000));
    held = await rows(2, 8_000);
  });

  test("its intervals hold each persona's true rate about nine times in ten", async () => {
    let inside = 0, cells = 0;
    for (const seed of [11, 12, 13, 14, 15, 16]) {
      const fitted = fit(await rows(seed, 2_400)), found = rates(fitted);
      for (const [key, rate] of truth(fitted, 3_000)) {
        const { low, high } = found.get(key)!;
        inside += low <= rate && rate <= high ? 1 : 0;
        cells += 1;
      }
    }
    expect(cells).toBe(24);
    // 24 cells at 90 %: below 17 once in 300 were they independent.
    expect(inside).toBeGreaterThanOrEqual(17);
  });

  test("a backtest judges it as a step, of contacts alone", () => {
    const path = join(folder, "predictions.csv"), { cells, steps, calibration } = backtest(model, held, { predictions: path }), own = cells.filter(({ step }) => step === "leave");
    expect(steps.map(({ step }) => step)).toEqual(["visit", "buy", "leave"]);
    expect(own.map(({ stimulus }) => stimulus).toSorted()).toEqual(["letter", "letter", "push", "push"]);
    const left = held.left!, bought = (row: number): number => held.outcomes[row * 2 + 1];
    expect(own.reduce((sum, { responses }) => sum + responses, 0)).toBe(left.filter((gone, row) => gone === 1 && held.stimulus[row] > 0 && bought(row) === 0).length);
    expect(own.reduce((sum, { exposures }) => sum + exposures, 0)).toBe(held.stimulus.filter((arm) => arm > 0).length);
    // The truth itself ranks such rows with an AUC of .710, kind of people and stimulus alone with .664 (200,000 rows).
    expect(steps[2].auc).toBeGreaterThan(0.68);
    expect(calibration.verdict).toBe("passed");
    const lines = readFileSync(path, "utf8").trim().split("\n").map((line) => line.split(","));
    expect(lines.filter((line) => line[2] === "leave")).toHaveLength(2 * held.rows);
    expect(lines.filter((line) => line[2] === "leave" && line[1] === "none")).toHaveLength(0);
  });

  test("a model that thinks half as many leave is found out by that step alone", () => {
    const { leave } = model.response, effects = leave.effects!, p = effects.terms.length;
    const wrong: Model = { ...model, response: { ...model.response, leave: { ...leave, effects: { ...effects, model: { ...effects.model, draws: effects.model.draws.map((draw, at) => (at % p === 0 ? draw - 0.7 : draw)) } } } } };
    const [right, judged] = [model, wrong].map((each) => backtest(each, held).steps);
    expect(judged.slice(0, 2)).toEqual(right.slice(0, 2));
    expect(judged[2].coverage90).toBe(0);
    expect(right[2].coverage90).toBeGreaterThanOrEqual(0.5);
  });

  test("agents leave at the rates of the persona's rows, persona by persona, and the run's rates say so with their interval", () => {
    const study = readStudy({ seed: 1, agents: 60_000, ticks: 1 }, model), plan = compilePlan(model, study), shown = summarizeRun(model, study, plan, runHere(plan)).filter(({ step }) => step === "leave");
    const known = truth(model);
    const predicted = new Map(backtest(model, held).cells.filter(({ step }) => step === "leave").map((cell) => [`${cell.persona}|${cell.stimulus}`, cell.predicted]));
    expect(shown.filter(({ persona }) => persona !== "*")).toHaveLength(4);
    for (const row of shown) {
      expect(row.low <= row.mean && row.mean <= row.high && row.high > row.low, row.persona).toBe(true);
      expect(row.label).toBe("simulated only");
      if (row.persona === "*") continue;
      const key = `${row.persona}|${row.stimulus}`;
      // 24,000 agents draw a rate of 2 % within 5 % of it (one standard error); members' logits taken as normal are off by 1 to 2 %.
      expect(Math.abs(row.mean / predicted.get(key)! - 1), key).toBeLessThan(0.15);
      expect(Math.abs(Math.log(row.conditional! / known.get(key)!)), key).toBeLessThan(0.35);
    }
    const of = (stimulus: string): number[] => shown.filter((row) => row.stimulus === stimulus && row.persona !== "*").map(({ mean }) => mean).toSorted((a, b) => a - b);
    // In truth the younger leave three times as often as the older members.
    for (const stimulus of ["letter", "push"]) expect(of(stimulus)[1] / of(stimulus)[0]).toBeGreaterThan(2);
  });

  test("a score table has it with its evidence, and a campaign that charges it sends the gentler stimulus to those who would leave", () => {
    const table = scoreTableOf(model), { leaving } = table, found = rates(model);
    expect(leaving!.map((rate) => rate === null)).toEqual([true, false, false, true, false, false]);
    model.mixture.personas.forEach(({ id }, p) => ["letter", "push"].forEach((arm, a) => {
      const rate = leaving![p * 3 + 1 + a]!, bought = table.rates[(p * 3 + 1 + a) * 2 + 1].mean;
      expect(rate.label).toBe("real");
      // Crowds are known to 1 % of a rate.
      expect(Math.abs(rate.mean / ((1 - bought) * found.get(`${id}|${arm}`)!.mean) - 1)).toBeLessThan(0.02);
      expect(rate.low < rate.mean && rate.mean < rate.high).toBe(true);
    }));
    // Both stimuli sell alike in truth; the letter costs 20 more, and a push makes some 5 % of the young leave that a letter would not.
    const stimuli = table.stimuli.map((each) => (each.id === "letter" ? { ...each, contactCostMinor: 20 } : each)), sold = { ...table, stimuli, rates: table.rates.map((rate) => ({ ...rate, mean: 0.09, low: 0.08, high: 0.1 })) };
    const [gentle, young] = [...model.mixture.personas.keys()].toSorted((a, b) => leaving![a * 3 + 2]!.mean - leaving![b * 3 + 2]!.mean);
    const chosen = (leaveCostMinor: number): string[] => [gentle, young].map((persona) => compileRanking(sold, [{ id: "sale", stimuli: ["letter", "push"], economicValueMinor: 1000, leaveCostMinor }], { mode: "value" }).forPersona(persona).ranked[0].stimulus);
    expect(chosen(0)).toEqual(["push", "push"]);
    expect(chosen(800)).toEqual(["push", "letter"]);
    // A model that was told nothing of leaving has none to charge.
    const { leave: _, ...blind } = SCHEMA, unaware = fitModel(blind, { ...held, left: null }, { personas: 2, worlds: 16 });
    expect(scoreTableOf(unaware).leaving).toBe(undefined);
    expect(() => compileRanking(scoreTableOf(unaware), [{ id: "sale", stimuli: ["push"], leaveCostMinor: 1 }])).toThrow(/knows of none; name the column/);
  });

  test("a policy is valued by how many it makes leave", async () => {
    const { reward, estimators } = await valuePolicy(held, { policy: "best-fixed:push", reward: "leave" }), dr = estimators.find(({ name }) => name === "DR")!;
    const own = held.left!.filter((_, row) => held.stimulus[row] === 2);
    expect(reward).toBe("leave");
    // Under random assignment the arm's own share is an estimate of the same.
    expect(Math.abs(dr.value - own.reduce((sum, gone) => sum + gone, 0) / own.length)).toBeLessThan(2 * dr.se);
    await expect(valuePolicy({ ...held, left: null }, { policy: "uniform", reward: "leave" })).rejects.toThrow(/no reward is named "leave"/);
  });
});
