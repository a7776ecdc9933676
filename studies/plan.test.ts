import { describe, expect, it } from "vitest";
import type { PopulaceError, TraitDistribution } from "@populace/domain";
import { codesOf } from "@populace/kernels";
import { blocksOf } from "@populace/protocol";
import { coding, contact, handModel } from "./hand-model.fixture.ts";
import type { HandModel } from "./hand-model.fixture.ts";
import { runHere } from "./local-run.fixture.ts";
import { compilePlan } from "./plan.ts";
import { readStudy } from "./study.ts";

const logit = (p: number): number => Math.log(p / (1 - p));
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const beta = (share: number, size = 1e6): TraitDistribution => ({ kind: "binary", alpha: share * size, beta: (1 - share) * size });
const normal = (mean: number, sd: number): TraitDistribution => ({ kind: "continuous", mean, kappa: 1e9, shape: 1e9, rate: sd * sd * 1e9 });

const BASE: HandModel = {
  codings: [], personas: [{ id: "all", share: 1, distributions: [] }], stimuli: [contact("offer")], steps: ["visit"],
  terms: [{ kind: "intercept" }], coefficients: [[logit(0.1)]], sd: 0, worlds: 4,
};
const once = { ticks: 1, everyTicks: 1 };
const rate = (plan: ReturnType<typeof compilePlan>, step = 0): number => {
  const { counts } = runHere(plan);
  const columns = plan.steps.length + 3;
  let [exposures, responses] = [0, 0];
  for (let at = 0; at < counts.length; at += columns) [exposures, responses] = [exposures + counts[at], responses + counts[at + 1 + step]];
  return responses / exposures;
};

describe("compilePlan", () => {
  it("a million agents compile as fast as ten, and each persona gets its share by largest remainder", () => {
    const model = handModel({ ...BASE, personas: [{ id: "a", share: 0.5, distributions: [] }, { id: "b", share: 0.3, distributions: [] }, { id: "c", share: 0.2, distributions: [] }] });
    expect(compilePlan(model, readStudy({ agents: 11 }, model)).personas.map((persona) => persona.agents)).toEqual([6, 3, 2]);
    expect(compilePlan(model, readStudy({ agents: 1_000_000 }, model)).personas.map((persona) => persona.agents)).toEqual([500_000, 300_000, 200_000]);
  });

  it("adding a persona shifts nobody's key or draws", () => {
    const people = [{ id: "a", share: 0.5, distributions: [beta(0.3, 20)] }, { id: "b", share: 0.5, distributions: [beta(0.6, 20)] }];
    const model = (personas: HandModel["personas"]) => handModel({ ...BASE, codings: [coding("owner", "binary", 0)], terms: [{ kind: "intercept" }, { kind: "trait", trait: 0, level: -1 }], coefficients: [[-2, 1]], personas });
    const [small, large] = [model(people), model([{ id: "new", share: 0.2, distributions: [beta(0.5, 20)] }, ...people])];
    const [before, after] = [compilePlan(small, readStudy({}, small)), compilePlan(large, readStudy({}, large))];
    expect(after.personas[1].key).toEqual(before.personas[0].key);
    expect(after.personas[2].traits).toEqual(before.personas[1].traits);
    expect(after.personas[0].key).not.toEqual(before.personas[0].key);
  });

  it("identical worlds become one", () => {
    const model = handModel(BASE);
    expect(compilePlan(model, readStudy({}, model)).worlds).toBe(1);
    const uncertain = handModel({ ...BASE, sd: 0.1 });
    expect(compilePlan(uncertain, readStudy({}, uncertain)).worlds).toBe(4);
    expect(compilePlan(uncertain, readStudy({ worlds: 2 }, uncertain)).worlds).toBe(2);
    expect(compilePlan(uncertain, readStudy({}, uncertain), { certain: true }).worlds).toBe(1);
  });

  it("a trait that raises visits and lowers conversion shows both signs in the simulation", () => {
    const steps = ["visit", "convert"];
    const coefficients = [[logit(0.3), 1.2], [logit(0.4), -1.5]];
    const rates = [0, 1].map((share) => {
      const model = handModel({ ...BASE, steps, coefficients, codings: [coding("bargain hunter", "binary", 0)], terms: [{ kind: "intercept" }, { kind: "trait", trait: 0, level: -1 }], personas: [{ id: "all", share: 1, distributions: [beta(share === 0 ? 1e-9 : 1 - 1e-9)] }] });
      const plan = compilePlan(model, readStudy({ ...once, agents: 200_000 }, model));
      return [rate(plan, 0), rate(plan, 1) / rate(plan, 0)];
    });
    // Closed form: logistic of the sums; four standard errors at 200,000 agents and at least 40,000 visitors.
    expect(Math.abs(rates[0][0] - 0.3)).toBeLessThan(0.0042);
    expect(Math.abs(rates[1][0] - logistic(logit(0.3) + 1.2))).toBeLessThan(0.0045);
    expect(Math.abs(rates[0][1] - 0.4)).toBeLessThan(0.0085);
    expect(Math.abs(rates[1][1] - logistic(logit(0.4) - 1.5))).toBeLessThan(0.005);
    expect(rates[1][0]).toBeGreaterThan(rates[0][0]);
    expect(rates[1][1]).toBeLessThan(rates[0][1]);
  });

  it("five unordered levels with a zig-zag effect recover each level's rate", () => {
    const zigzag = [-0.8, 1.1, -0.4, 0.9, -1.2];
    const levels = ["a", "b", "c", "d", "other"];
    levels.forEach((_, level) => {
      const model = handModel({
        ...BASE, codings: [coding("region", "categorical", 0, levels)], terms: [{ kind: "intercept" }, ...levels.map((_l, l) => ({ kind: "trait" as const, trait: 0, level: l }))],
        coefficients: [[logit(0.2), ...zigzag]],
        personas: [{ id: "all", share: 1, distributions: [{ kind: "categorical", alphas: levels.map((_l, l) => (l === level ? 1e9 : 1e-9)) }] }],
      });
      // Four standard errors at 60,000 agents and a rate near 0.4.
      expect(Math.abs(rate(compilePlan(model, readStudy({ ...once, agents: 60_000 }, model))) - logistic(logit(0.2) + zigzag[level]))).toBeLessThan(0.008);
    });
  });

  it("a numeric weight beyond int16 becomes a table and keeps its effect; one beyond the profile is refused", () => {
    const model = (slope: number, binary: boolean) => handModel({
      ...BASE, codings: [coding("x", binary ? "binary" : "continuous", 0)], terms: [{ kind: "intercept" }, { kind: "trait", trait: 0, level: -1 }], coefficients: [[-1, slope]],
      personas: [{ id: "all", share: 1, distributions: [binary ? beta(0.5) : normal(0.5, 1e-6)] }],
    });
    const steep = model(3, false);
    const plan = compilePlan(steep, readStudy({ ...once, agents: 100_000 }, steep));
    expect(plan.tableLength).toBe(256);
    expect(Math.abs(rate(plan) - logistic(-1 + 1.5))).toBeLessThan(0.0065);
    const strong = model(6, true);
    expect(Math.abs(rate(compilePlan(strong, readStudy({ ...once, agents: 100_000 }, strong))) - (logistic(-1) + logistic(5)) / 2)).toBeLessThan(0.0065);
    const absurd = model(9_000, true);
    expect(() => compilePlan(absurd, readStudy(once, absurd))).toThrow(expect.objectContaining({ code: "ARITHMETIC_RANGE", message: expect.stringMatching(/step visit, stimulus offer, trait x/) }) as PopulaceError);
  });

  it("agents have the mean, the spread and the correlation of their persona", () => {
    const rho = 0.6;
    const model = handModel({
      ...BASE, codings: [coding("x", "continuous", 0), coding("y", "continuous", 1), coding("n", "count", 2)],
      terms: [{ kind: "intercept" }, ...[0, 1, 2].map((trait) => ({ kind: "trait" as const, trait, level: -1 }))], coefficients: [[-2, 0.1, 0.1, 0.1]],
      personas: [{ id: "all", share: 1, distributions: [normal(0.4, 0.8), normal(-0.3, 0.5), { kind: "count", shape: 2e9, rate: 1e9 }], correlation: [1, rho, Math.sqrt(1 - rho * rho), 0, 0, 1] }],
    });
    const plan = compilePlan(model, readStudy({ ...once, agents: 60_000 }, model));
    const block = blocksOf(plan)[0];
    const codes = codesOf(plan, block);
    const column = (slot: number): number[] => Array.from({ length: block.agents }, (_, i) => codes[i * plan.slots + slot] / 32);
    const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
    const [x, y, n] = [column(0), column(1), column(2)];
    const [mx, my] = [mean(x), mean(y)];
    const cov = (a: readonly number[], b: readonly number[], ma: number, mb: number): number => mean(a.map((value, i) => (value - ma) * (b[i] - mb)));
    // Standard errors: 0.0033 and 0.002 for the means, 0.003 for the correlation; codes step by 1/32.
    expect(Math.abs(mx - 0.4)).toBeLessThan(0.014);
    expect(Math.abs(my + 0.3)).toBeLessThan(0.01);
    expect(Math.abs(Math.sqrt(cov(x, x, mx, mx)) - 0.8)).toBeLessThan(0.012);
    expect(Math.abs(cov(x, y, mx, my) / Math.sqrt(cov(x, x, mx, mx) * cov(y, y, my, my)) - rho)).toBeLessThan(0.015);
    // E[log1p(Poisson(2))] = 0.97800: python3, sum(exp(-2) * 2**k / factorial(k) * log1p(k) for k in range(60)).
    expect(Math.abs(mean(n) - 0.978)).toBeLessThan(0.012);
  });

  it("named courses become schedules: at one tick a persona's contacts follow each other in the order of the study", () => {
    const model = handModel({ ...BASE, personas: [{ id: "a", share: 0.5, distributions: [] }, { id: "b", share: 0.5, distributions: [] }], stimuli: [contact("mail"), contact("call"), contact("gift")] });
    const plan = compilePlan(model, readStudy({
      ticks: 4, stimuli: ["mail", "gift"],
      scenarios: [{ name: "course", contacts: [{ stimulus: "gift", fromTick: 1, everyTicks: 2 }, { stimulus: "mail", fromTick: 3, personas: ["b"] }] }],
    }, model));
    expect(plan.ordinalsMax).toBe(2);
    // ticks x ordinals x personas; stimuli are mail = 0 and gift = 1.
    expect([...plan.scenarios[0].schedule]).toEqual([-1, -1, -1, -1, 1, 1, -1, -1, -1, -1, -1, -1, 1, 1, -1, 0]);
    expect(plan.cells).toEqual([{ scenario: 0, stimulus: 0 }, { scenario: 0, stimulus: 1 }]);
    expect(() => compilePlan(model, readStudy({ stimuli: ["mail"], scenarios: [{ name: "x", contacts: [{ stimulus: "call" }] }] }, model))).toThrow(expect.objectContaining({ code: "BAD_STUDY" }) as PopulaceError);
  });

  it("a stimulus nobody has seen is as uncertain as stimuli differ, and the same for the same seed", () => {
    const known = handModel({ ...BASE, worlds: 200, sd: 0.02, stimuli: [contact("mail"), contact("call")], terms: [{ kind: "intercept" }, { kind: "stimulus", stimulus: 0 }, { kind: "stimulus", stimulus: 1 }], coefficients: [[-2, 0.1, -0.1]] });
    const step = { ...known.response.stepModels[0], scaleGroups: [{ name: "stimulus", median: 0.5, low: 0.5, high: 0.5 }], scaleDraws: new Float64Array(200).fill(0.5) };
    const model = { ...known, response: { ...known.response, stepModels: [step] } };
    const plan = (seed: number) => compilePlan(model, readStudy({ ...once, seed, newStimuli: [{ id: "text" }] }, model));
    const sdOf = (stimulus: number): number => {
      const bias = Array.from({ length: 200 }, (_, world) => plan(1).bias[world * 3 + stimulus] / 16_384);
      const mean = bias.reduce((sum, value) => sum + value / 200, 0);
      return Math.sqrt(bias.reduce((sum, value) => sum + (value - mean) ** 2 / 199, 0));
    };
    expect(sdOf(0)).toBeLessThan(0.05);
    // 200 draws of sd 0.5: the sample sd has a standard error of 0.025.
    expect(Math.abs(sdOf(2) - 0.5)).toBeLessThan(0.1);
    expect(plan(1)).toEqual(plan(1));
    expect(plan(2).bias).not.toEqual(plan(1).bias);
  });

  it("refuses more agents, ticks or traits than its limits", () => {
    const model = handModel(BASE);
    expect(() => compilePlan(model, { ...readStudy({}, model), agents: 5e9 })).toThrow(expect.objectContaining({ code: "TOO_LARGE", message: expect.stringContaining("limit is 4294901760") }) as PopulaceError);
  });
});
