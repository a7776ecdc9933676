import { RandomStream } from "@populace/domain";
import { describe, expect, it } from "vitest";
import { contactPolicy } from "./contact-policy.ts";
import type { ContactPolicyName, ContactPolicyResult } from "./contact-policy.ts";
import { contact, handModel } from "./hand-model.fixture.ts";
import { localRun } from "./local-run.fixture.ts";
import type { Model } from "./model.ts";
import { summarizeRun } from "./intervals.ts";
import { optimize } from "./optimize.ts";
import { compilePlan } from "./plan.ts";
import { readStudy } from "./study.ts";

const logit = (p: number): number => Math.log(p / (1 - p));
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));

/** Two personas and two stimuli without traits: everything about them has a closed form. */
function modelOf(rates: readonly (readonly number[])[], leaveLogit: number, sd = 0): Model {
  return handModel({
    codings: [], steps: ["buy"], sd, worlds: 8, leaveLogit,
    personas: rates.map((_, index) => ({ id: `p${index}`, share: 1 / rates.length, distributions: [] })), stimuli: [contact("plain"), contact("gift", { contactCostMinor: 1 })],
    terms: rates.flatMap((row, persona) => row.map((_, stimulus) => ({ kind: "persona-stimulus" as const, persona, stimulus }))), coefficients: [rates.flat().map(logit)],
  });
}

const TICKS = 8;
/** A world in which many contacts wear people down and drive them away. */
const PRESSURE = { perContact: 70, logitPerUnit: 0.012, leaveLogitPerUnit: 0.02 };
const LEAVE_LOGIT = -4.5;
const LEAVE_COST = 60;
const wearing = (seed: number): { readonly rates: readonly (readonly number[])[] } => {
  const random = RandomStream.of(seed, "wearing world");
  return { rates: [0, 1].map(() => [0.06 + 0.1 * random.uniform(), 0.06 + 0.1 * random.uniform()]) };
};

/** Value per agent of one persona's schedule in closed form: floats throughout, no table, no crowd. */
function closedForm(rates: readonly number[], schedule: readonly number[], outside: readonly number[] = []): number {
  let there = 1, pressure = 0, value = 0;
  for (const [tick, stimulus] of schedule.entries()) {
    pressure -= (pressure + 15) >>> 4;
    pressure = Math.min(255, pressure + PRESSURE.perContact * outside.filter((at) => at === tick).length);
    if (stimulus < 0) continue;
    const rate = logistic(logit(rates[stimulus]) - PRESSURE.logitPerUnit * pressure), leaves = (1 - rate) * logistic(LEAVE_LOGIT + PRESSURE.leaveLogitPerUnit * pressure);
    value += there * (100 * rate - stimulus - LEAVE_COST * leaves);
    there *= 1 - leaves;
    pressure = Math.min(255, pressure + PRESSURE.perContact);
  }
  return value;
}

const SCHEDULES = Array.from({ length: 3 ** TICKS }, (_, course) => Array.from({ length: TICKS }, (_unused, tick) => (Math.floor(course / 3 ** tick) % 3) - 1));

const run = (model: Model, more: object = {}, seed = 1): Promise<ContactPolicyResult> =>
  contactPolicy(model, readStudy({ seed, ticks: TICKS, agents: 400, pressure: PRESSURE, ...more, contactPolicy: { leaveCostMinor: LEAVE_COST, ...(more as { contactPolicy?: object }).contactPolicy } }, model), localRun, { replicates: 2 });
const valueOf = (result: ContactPolicyResult, name: ContactPolicyName): number => result.policies.find((row) => row.name === name)!.value;
const indexed = (result: ContactPolicyResult): number[][] => result.schedule.map((row) => row.map((stimulus) => ["plain", "gift"].indexOf(stimulus ?? "")));
const SEEDS = Array.from({ length: 20 }, (_, seed) => seed + 1);

describe("contactPolicy in generated worlds that wear people down", () => {
  it("not looking ahead loses a tenth and more against the best of all schedules, and the sequential policy closes four fifths of that", async () => {
    let best = 0, myopic = 0, sequential = 0;
    for (const seed of SEEDS) {
      const { rates } = wearing(seed), result = await run(modelOf(rates, LEAVE_LOGIT));
      rates.forEach((row, persona) => {
        best += Math.max(...SCHEDULES.map((schedule) => closedForm(row, schedule)));
        sequential += closedForm(row, indexed(result)[persona]);
      });
      myopic += 2 * valueOf(result, "myopic");
      // What the mean field says of the schedule is what the closed form says: 2^-15 of a logit, and straight lines between every eighth pressure.
      expect(Math.abs(valueOf(result, "sequential") / ((closedForm(rates[0], indexed(result)[0]) + closedForm(rates[1], indexed(result)[1])) / 2) - 1)).toBeLessThan(1e-3);
    }
    expect(myopic / best).toBeLessThan(0.9);
    expect((sequential - myopic) / (best - myopic)).toBeGreaterThan(0.8);
  });

  it("beats the best fixed cadence where personas differ, by more than two standard errors over 20 seeds, and never falls behind by more than 1 %", async () => {
    const gains: number[] = [];
    for (const seed of SEEDS) {
      const result = await run(modelOf([wearing(seed).rates[0], [0.02, 0.01]], LEAVE_LOGIT, 0.1), {}, seed);
      gains.push(valueOf(result, "sequential") - valueOf(result, "best-fixed"));
      expect(valueOf(result, "sequential")).toBeGreaterThan(valueOf(result, "best-fixed") - 0.01 * Math.abs(valueOf(result, "best-fixed")));
      expect(valueOf(result, "oracle")).toBeGreaterThanOrEqual(valueOf(result, "sequential") - 1e-9);
    }
    const mean = gains.reduce((sum, gain) => sum + gain / gains.length, 0), se = Math.sqrt(gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / (gains.length - 1) / gains.length);
    expect(mean).toBeGreaterThan(2 * se);
  });
});

describe("contactPolicy where others contact some people, too", () => {
  const HISTORIES = { fresh: { share: 0.5 }, busy: { share: 0.3, contactsAt: [1, 3, 5] }, hot: { share: 0.2, contactsAt: [0, 0] } };
  const PARTS = Object.entries(HISTORIES).map(([name, history]) => ({ name, share: history.share, outside: "contactsAt" in history ? history.contactsAt : [] }));

  it("finds the best schedule of each history, worth a tenth and more beyond the best that does not tell them apart", async () => {
    let own = 0, best = 0, one = 0;
    for (const seed of [1, 2, 3, 4, 5]) {
      const { rates } = wearing(seed), result = await run(modelOf(rates, LEAVE_LOGIT), { histories: HISTORIES });
      expect(result.personas).toEqual(["p0/fresh", "p0/busy", "p0/hot", "p1/fresh", "p1/busy", "p1/hot"]);
      let value = 0;
      rates.forEach((row, persona) => {
        const all = PARTS.map(({ share, outside }) => SCHEDULES.map((schedule) => share * closedForm(row, schedule, outside)));
        one += Math.max(...SCHEDULES.map((_, course) => all.reduce((sum, part) => sum + part[course], 0))) / 2;
        best += all.reduce((sum, part) => sum + Math.max(...part), 0) / 2;
        PARTS.forEach(({ share, outside }, part) => { value += (share * closedForm(row, indexed(result)[persona * PARTS.length + part], outside)) / 2; });
      });
      own += value;
      // Agents are dealt to histories in whole numbers, 400 of them.
      expect(Math.abs(valueOf(result, "sequential") / value - 1)).toBeLessThan(5e-3);
    }
    expect(own / best).toBeGreaterThan(0.999);
    expect(own / one).toBeGreaterThan(1.1);
  });

  it("agents live it, a study with its scenarios is the same run, and nobody answers to others' contacts", async () => {
    const model = modelOf(wearing(1).rates, LEAVE_LOGIT), given = { agents: 20_000, ticks: TICKS, pressure: PRESSURE, seed: 1, histories: HISTORIES }, result = await run(model, given);
    for (const { name, value, contacts } of result.agents) {
      if (name === "random") continue;
      const expected = result.policies.find((row) => row.name === name)!;
      // As above: four standard errors.
      expect(Math.abs(value - expected.value)).toBeLessThan((4 * 100) / Math.sqrt(20_000));
      expect(Math.abs(contacts - expected.contacts)).toBeLessThan(0.1);
    }
    const study = readStudy({ ...given, scenarios: result.scenarios }, model), plan = compilePlan(model, study), replayed = await localRun(plan, {});
    expect(replayed.rootHash).toBe(result.run!.rootHash);
    expect(plan.personas.map(({ agents }) => agents)).toEqual([5_000, 3_000, 2_000, 5_000, 3_000, 2_000]);
    const rates = summarizeRun(model, study, plan, replayed);
    expect([...new Set(rates.map(({ stimulus }) => stimulus))].toSorted()).toEqual(["gift", "plain"]);
    expect(rates.some(({ persona }) => persona === "p0/hot")).toBe(true);
  });

  it("refuses shares that do not add to 1, ticks beyond the study, influence, a stimulus of that name, and searches for whole personas", async () => {
    const model = modelOf(wearing(1).rates, LEAVE_LOGIT), read = (more: object) => readStudy({ ticks: TICKS, histories: HISTORIES, ...more }, model);
    expect(() => read({ histories: { a: { share: 0.5 } } })).toThrow(/shares add to 0.5; expected 1/);
    expect(() => read({ histories: { a: { share: 1, contactsAt: [TICKS] } } })).toThrow(/tick 8 is not one of the study's; expected 0 to 7/);
    expect(() => read({ histories: { a: { share: 1, contactsAt: new Array(9).fill(0) } } })).toThrow(/8 at one tick/);
    expect(() => read({ influence: { graph: { kind: "small-world", neighbors: 2, rewire: 0 } } })).toThrow(/influence goes from persona to persona/);
    expect(() => read({ newStimuli: [{ id: "outside" }] })).toThrow(/a stimulus is called "outside"/);
    expect(() => read({ scenarios: [{ name: "a", contacts: [{ stimulus: "plain", fromTick: 0, personas: ["p0/busi"] }] }] })).toThrow(/did you mean "p0\/busy"/);
    await expect(optimize(model, read({}), localRun)).rejects.toThrow(/is found for whole personas/);
  });
});

describe("contactPolicy", () => {
  it("ties with the best fixed cadence where nothing can be gained: no pressure, one stimulus best for all", async () => {
    const result = await run(modelOf([[0.1, 0.05], [0.1, 0.05]], -20), { pressure: {}, contactPolicy: { leaveCostMinor: 0 } });
    expect(Math.abs(valueOf(result, "sequential") / valueOf(result, "best-fixed") - 1)).toBeLessThan(0.01);
    expect(result.schedule.flat().every((stimulus) => stimulus === "plain")).toBe(true);
    expect(result.gapClosed).toBe(null);
  });

  it("agents live what the mean field expects, and a study with its scenarios is the same run", async () => {
    const model = modelOf(wearing(1).rates, LEAVE_LOGIT), given = { agents: 20_000, ticks: TICKS, pressure: PRESSURE, seed: 1 };
    const result = await run(model, given);
    for (const { name, value, contacts } of result.agents) {
      if (name === "random") continue;
      const expected = result.policies.find((row) => row.name === name)!;
      // A response is worth 100, a leaving 60, at most 8 contacts: a standard deviation of 100 an agent is generous; four standard errors.
      expect(Math.abs(value - expected.value)).toBeLessThan((4 * 100) / Math.sqrt(20_000));
      expect(Math.abs(contacts - expected.contacts)).toBeLessThan(0.1);
    }
    const replayed = await localRun(compilePlan(model, readStudy({ ...given, scenarios: result.scenarios }, model)), {});
    expect(replayed.rootHash).toBe(result.run!.rootHash);
  });

  it("keeps gaps, caps and the budget, and contacts nobody who is worth nothing", async () => {
    const model = modelOf([[0.1, 0.12], [0.001, 0.001]], LEAVE_LOGIT, 0.1);
    const apart = await run(model, { pressure: { ...PRESSURE, gapTicks: 3 }, contactPolicy: { contactsMax: 2 } });
    const ticks = indexed(apart)[0].flatMap((stimulus, tick) => (stimulus >= 0 ? [tick] : []));
    expect(ticks.length).toBe(2);
    expect(ticks[1] - ticks[0]).toBeGreaterThanOrEqual(3);
    expect(apart.schedule[1].every((stimulus) => stimulus === null)).toBe(true);
    const poor = await run(modelOf([[0.05, 0.15], [0.05, 0.15]], LEAVE_LOGIT), { contactPolicy: { budgetMinor: 150 } }), rich = await run(modelOf([[0.05, 0.15], [0.05, 0.15]], LEAVE_LOGIT));
    expect(poor.price).toBeGreaterThan(0);
    expect(poor.policies.every((row) => row.name === "oracle" || row.spendMinor <= 150 * 1.001)).toBe(true);
    expect(valueOf(poor, "sequential")).toBeLessThan(valueOf(rich, "sequential"));
    const none = await run(model, { contactPolicy: { contactsMax: 0 } });
    expect(none).toMatchObject({ run: null, agents: [], scenarios: [] });
  });

  it("the same seed gives the same policy to the bit", async () => {
    const model = modelOf(wearing(5).rates, LEAVE_LOGIT, 0.2);
    expect(await run(model, {}, 7)).toEqual(await run(model, {}, 7));
  });

  it("a stimulus that is no contact is what happens in the ticks between", async () => {
    const bare = modelOf([[0.1, 0.03]], LEAVE_LOGIT), model = { ...bare, response: { ...bare.response, stimuli: [bare.response.stimuli[0], { ...bare.response.stimuli[1], contact: false, contactCostMinor: 0 }] } };
    const result = await run(model);
    expect(result.schedule.flat().every((stimulus) => stimulus !== null)).toBe(true);
    expect(result.schedule[0]).toContain("gift");
    expect(result.schedule[0]).toContain("plain");
  });

  it("shocks move the best moment", async () => {
    const model = modelOf([[0.1, 0.05]], LEAVE_LOGIT);
    const shocked = await run(model, { contactPolicy: { contactsMax: 1 }, shocks: [{ attitude: "brand-warmth", size: 2, halfLifeTicks: 1, startTick: 5 }] });
    expect(shocked.schedule[0].findIndex((stimulus) => stimulus !== null)).toBe(5);
  });

  it("refuses what it cannot decide or hold", async () => {
    const model = modelOf([[0.1, 0.05]], LEAVE_LOGIT);
    await expect(run({ ...model, response: { ...model.response, stimuli: model.response.stimuli.map((stimulus) => ({ ...stimulus, contact: false })) } })).rejects.toMatchObject({ code: "BAD_STUDY", message: expect.stringContaining("nothing to decide") });
    await expect(run(model, { ticks: 3_000, pressure: { ...PRESSURE, gapTicks: 2 }, contactPolicy: { contactsMax: 1_000 } })).rejects.toMatchObject({ code: "TOO_LARGE", message: expect.stringContaining("contactsMax") });
    expect(() => readStudy({ contactPolicy: { budgetMino: 3 } }, model)).toThrow(/unknown key "budgetMino".*did you mean "budgetMinor"/s);
    expect(() => readStudy({ contactPolicy: { contactsMax: -1 } }, model)).toThrow(/contactPolicy.contactsMax/);
  });
});
