import { describe, expect, it } from "vitest";
import type { TraitDistribution } from "@populace/domain";
import { coding, contact, handModel } from "./hand-model.fixture.ts";
import type { HandModel } from "./hand-model.fixture.ts";
import { summarizeRun, tickRows } from "./intervals.ts";
import type { RateRow } from "./intervals.ts";
import { runHere } from "./local-run.fixture.ts";
import type { Model } from "./model.ts";
import { compilePlan } from "./plan.ts";
import type { CompileOptions } from "./plan.ts";
import { spectralRadius } from "./plan-influence.ts";
import { finiteLogit } from "./rates.ts";
import { readStudy } from "./study.ts";

const logit = (p: number): number => Math.log(p / (1 - p));
const beta = (share: number, size: number): TraitDistribution => ({ kind: "binary", alpha: share * size, beta: (1 - share) * size });

const HAND: HandModel = {
  codings: [coding("owner", "binary", 0), coding("age", "continuous", 1)],
  personas: [
    { id: "young", share: 0.6, distributions: [beta(0.2, 60), { kind: "continuous", mean: -0.5, kappa: 50, shape: 25, rate: 12 }] },
    { id: "old", share: 0.4, distributions: [beta(0.7, 60), { kind: "continuous", mean: 0.8, kappa: 50, shape: 25, rate: 12 }] },
  ],
  stimuli: [contact("plain"), contact("cut", { offer: { priceCut: 0.3 } })], steps: ["open", "buy"],
  terms: [{ kind: "intercept" }, { kind: "persona", persona: 0 }, { kind: "persona", persona: 1 }, { kind: "stimulus", stimulus: 0 }, { kind: "stimulus", stimulus: 1 }, { kind: "trait", trait: 0, level: -1 }, { kind: "trait", trait: 1, level: -1 }],
  coefficients: [[logit(0.2), 0.1, -0.1, 0, 0.3, 0.4, -0.2], [logit(0.25), 0, 0.2, 0, 0.5, -0.3, 0.1]],
  sd: 0.08, worlds: 100,
};

function rehearse(model: Model, study: object, options: CompileOptions = {}) {
  const read = readStudy(study, model);
  const plan = compilePlan(model, read, options);
  const outcome = runHere(plan);
  return { plan, outcome, rows: summarizeRun(model, read, plan, outcome) };
}
const find = (rows: readonly RateRow[], persona: string, stimulus: string, step: string): RateRow => rows.find((row) => row.persona === persona && row.stimulus === stimulus && row.step === step)!;

describe("summarizeRun", () => {
  it("without uncertainty in coefficients and traits all intervals have width 0", () => {
    const { rows } = rehearse(handModel(HAND), { agents: 20_000, ticks: 2, everyTicks: 1 }, { certain: true });
    expect(rows).toHaveLength(2 * 3 * 2);
    for (const row of rows) expect([row.low, row.high, row.ess]).toEqual([row.mean, row.mean, null]);
    // The same with many worlds that are all alike: the covariance is 0, traits are known exactly.
    const known = handModel({ ...HAND, sd: 0, codings: [], terms: HAND.terms.slice(0, 5), coefficients: HAND.coefficients.map((row) => row.slice(0, 5)), personas: HAND.personas.map((persona) => ({ ...persona, distributions: [] })) });
    for (const row of rehearse(known, { agents: 20_000, ticks: 1 }).rows) expect([row.low, row.high]).toEqual([row.mean, row.mean]);
  });

  it("doubling the agents narrows no interval", () => {
    const model = handModel(HAND);
    const [once, twice] = [20_000, 40_000].map((agents) => rehearse(model, { agents, ticks: 3, everyTicks: 1 }).rows);
    once.forEach((row, index) => {
      const width = (of: RateRow): number => finiteLogit(of.high) - finiteLogit(of.low);
      expect(width(row)).toBeGreaterThan(0.05);
      // On the logit scale one persona's width is the panel's, whatever the mean; totals shift weights a little between personas.
      expect(Math.abs(width(twice[index]) / width(row) - 1)).toBeLessThan(row.persona === "*" ? 0.01 : 1e-3);
    });
  });

  it("the interval is the spread of the worlds' true rates, not of the agents", () => {
    // One persona, no traits: a world's true rate is the logistic of its intercept draw, known in closed form.
    const model = handModel({ ...HAND, codings: [], personas: [{ id: "all", share: 1, distributions: [] }], stimuli: [contact("plain")], steps: ["open"], terms: [{ kind: "intercept" }], coefficients: [[logit(0.1)]], sd: 0.15, worlds: 400 });
    const { rows } = rehearse(model, { agents: 100_000, ticks: 1 });
    const truth = Array.from(model.response.stepModels[0].draws, (draw) => 1 / (1 + Math.exp(-draw))).toSorted((a, b) => a - b);
    const row = find(rows, "all", "plain", "open");
    // Between the 20th and 21st of 400: four standard errors of the mean at 100,000 agents are 0.004.
    expect(Math.abs(row.low - truth[20])).toBeLessThan(0.004);
    expect(Math.abs(row.high - truth[379])).toBeLessThan(0.004);
    expect(row.ess! / ((0.1 * 0.9) / (0.09 * 0.15) ** 2)).toBeGreaterThan(0.8);
    expect(row.ess! / ((0.1 * 0.9) / (0.09 * 0.15) ** 2)).toBeLessThan(1.25);
    expect(row.label).toBe("simulated only");
  });

  it("totals over personas are weighted by exposures and counts add up", () => {
    const { rows, plan, outcome } = rehearse(handModel(HAND), { agents: 10_000, ticks: 2, everyTicks: 1 });
    const [young, old, all] = ["young", "old", "*"].map((persona) => find(rows, persona, "cut", "buy"));
    expect(all.exposures).toBe(young.exposures + old.exposures);
    expect(all.responses).toBe(young.responses + old.responses);
    expect(all.conditional).toBe(all.responses / find(rows, "*", "cut", "open").responses);
    expect(all.low).toBeLessThan(all.mean);
    const ticks = tickRows(plan, outcome).filter((row) => row.stimulus === "cut" && row.step === "buy");
    expect(ticks.reduce((sum, row) => sum + row.responses, 0)).toBe(all.responses);
  });

  it("a shock moves the rate while it lasts, and only where it applies", () => {
    const model = handModel({ ...HAND, sd: 0 });
    const shocks = [{ attitude: "brand-warmth", size: -0.8, halfLifeTicks: 1, startTick: 3, persona: "young" }];
    const read = readStudy({ agents: 60_000, ticks: 12, everyTicks: 1, shocks }, model);
    const shocked = compilePlan(model, read, { certain: true });
    const [withIt, without] = [tickRows(shocked, runHere(shocked)), (() => { const plan = compilePlan(model, { ...read, shocks: [] }, { certain: true }); return tickRows(plan, runHere(plan)); })()];
    const ratio = (tick: number, persona: string): number => {
      const at = (rows: typeof withIt) => rows.find((row) => row.tick === tick && row.persona === persona && row.stimulus === "plain" && row.step === "open")!.responses;
      return at(withIt) / at(without);
    };
    expect(ratio(2, "young")).toBe(1);
    // Open rate about 0.24 for the young: at -0.8 logits a ratio near 0.52; one tick later the shock is half as large.
    expect(ratio(3, "young")).toBeLessThan(0.6);
    expect(ratio(4, "young")).toBeGreaterThan(ratio(3, "young"));
    expect(ratio(11, "young")).toBeGreaterThan(0.99);
    expect([3, 4, 5].map((tick) => ratio(tick, "old"))).toEqual([1, 1, 1]);
  });

  it("price sensitivity raises the pull of a price cut and lowers buying at the full price", () => {
    const model = handModel({ ...HAND, sd: 0 });
    const rows = (size: number) => rehearse(model, { agents: 60_000, ticks: 1, shocks: [{ attitude: "price-sensitivity", size, halfLifeTicks: 1e6 }] }, { certain: true }).rows;
    const [before, after] = [rows(0), rows(0.4)];
    expect(find(after, "*", "plain", "buy").mean).toBeLessThan(find(before, "*", "plain", "buy").mean * 0.9);
    expect(find(after, "*", "cut", "buy").mean).toBeGreaterThan(find(before, "*", "cut", "buy").mean * 1.1);
    expect(find(after, "*", "plain", "open").mean).toBe(find(before, "*", "plain", "open").mean);
  });

  it("where what agents live through amplifies the differences between worlds, the interval widens", () => {
    const model = handModel({ ...HAND, sd: 0.25, stimuli: [contact("plain")], terms: HAND.terms.filter((term) => term.kind !== "stimulus"), coefficients: HAND.coefficients.map((row) => [row[0], row[1], row[2], row[5], row[6]]) });
    // Who responds warms to the sender (pressure with a negative weight): likelier responders respond ever more.
    const study = (logitPerUnit: number) => ({ agents: 80_000, ticks: 20, everyTicks: 1, pressure: { perContact: 0, perResponse: 20, logitPerUnit } });
    const width = (row: RateRow): number => finiteLogit(row.high) - finiteLogit(row.low);
    const [alone, spread] = [study(0), study(-0.03)].map((each) => find(rehearse(model, each).rows, "young", "plain", "open"));
    expect(width(spread) / width(alone)).toBeGreaterThan(1.15);
    expect(spread.ess!).toBeLessThan(alone.ess!);
  });
});

describe("influence", () => {
  it("on a known graph equals an independent reading, count by count", () => {
    const model = handModel({ ...HAND, sd: 0, codings: [], terms: HAND.terms.slice(0, 5), coefficients: HAND.coefficients.map((row) => row.slice(0, 5)), personas: HAND.personas.map((persona) => ({ ...persona, distributions: [] })) });
    const graph = { kind: "edges", edges: [{ from: "young", to: "old", weight: 0.75 }, { from: "old", to: "young", weight: 0.25 }, { from: "young", to: "young", weight: 0.5 }] };
    const read = readStudy({ agents: 4_000, ticks: 6, everyTicks: 1, stimuli: ["plain"], influence: { graph, shareRate: [0.1, 0.4], warmthPerShare: 4, warmthHalfLifeTicks: 3 } }, model);
    const plan = compilePlan(model, read);
    const outcome = runHere(plan);
    // Radius of [[0.5, 0.25], [0.75, 0]] (rows receive): the root of x^2 - x/2 - 3/16 = 0 is 3/4.
    expect(spectralRadius(plan.influence!)).toBeCloseTo(0.75, 4);
    const rowsOf = (p: (typeof plan), tick: number, persona: string) => tickRows(p, outcome).find((row) => row.tick === tick && row.persona === persona && row.step === "open")!;
    // Independent: warmth in plain numbers from the edge list, then a run WITHOUT influence whose offsets carry that warmth.
    let warmth = [0, 0];
    const agents = plan.personas.map((persona) => persona.agents);
    const offset = new Int32Array(plan.offset.length);
    const decay = Math.round((1 - 2 ** (-1 / 3)) * 65_536);
    for (let tick = 0; tick < plan.ticks; tick += 1) {
      for (const persona of [0, 1]) for (const step of [0, 1]) offset[(tick * 2 + persona) * 2 + step] = warmth[persona];
      const net = ["young", "old"].map((persona) => rowsOf(plan, tick, persona).shared - rowsOf(plan, tick, persona).left);
      const received = [0.5 * net[0] + 0.25 * net[1], 0.75 * net[0]];
      warmth = warmth.map((old, q) => old - Math.floor((old * decay) / 65_536) + Math.floor((Math.floor((received[q] * 65_536) / agents[q]) * 4 * 16_384) / 65_536));
    }
    expect(warmth[1]).toBeGreaterThan(0);
    const replay = runHere({ ...plan, influence: null, offset });
    const columns = plan.steps.length + 3;
    outcome.tickCounts.forEach((value, at) => {
      if (at % columns < columns - 1) expect(replay.tickCounts[at]).toBe(value);
    });
  });

  it("generated graphs are the same for a seed, keep every share, and have radius 1", () => {
    const many = Array.from({ length: 12 }, (_, index) => ({ id: `p${index}`, share: 1 / 12, distributions: [] }));
    const model = handModel({ ...HAND, sd: 0, codings: [], terms: [{ kind: "intercept" }], coefficients: [[-2], [-1]], personas: many });
    for (const graph of [{ kind: "small-world", neighbors: 2, rewire: 0.3 }, { kind: "scale-free", links: 2 }]) {
      const influence = (seed: number) => compilePlan(model, readStudy({ seed, ticks: 1, influence: { graph, shareRate: 0.1 } }, model)).influence!;
      expect(influence(3)).toEqual(influence(3));
      expect(influence(3).source).not.toEqual(influence(4).source);
      const out = new Float64Array(12);
      influence(3).source.forEach((from, at) => (out[from] += influence(3).weight[at] / 65_536));
      for (const sum of out) expect(sum).toBeCloseTo(1, 3);
      expect(spectralRadius(influence(3))).toBeCloseTo(1, 3);
    }
  });
});
