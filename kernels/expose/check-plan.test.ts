import { describe, expect, it } from "vitest";
import { checkBlock, checkPlan } from "./check-plan.ts";
import type { ExposePersona, ExposeTrait } from "./plan.ts";
import { samplePlan, type SamplePlan } from "./sample-plan.ts";

const COUNTED = { agents: [700, 40], ticks: 3, worlds: 2, worldShift: 8, traits: 6, copula: true } as const;
const PLAN = samplePlan(1, { ...COUNTED, influence: true });
const WIDE = samplePlan(1, { ...COUNTED, profile: "nest16-2" });
const FACTOR = samplePlan(1, { agents: [700], ticks: 3, worlds: 2, worldShift: 8, factors: 4 });

const withPersona = (plan: SamplePlan, change: Partial<ExposePersona>): SamplePlan => ({ ...plan, personas: [{ ...plan.personas[0]!, ...change }, ...plan.personas.slice(1)] });
const withTrait = (kind: ExposeTrait["kind"], change: object): SamplePlan => {
  const { traits } = PLAN.personas[0]!, at = traits.findIndex((trait) => trait.kind === kind);
  return withPersona(PLAN, { traits: traits.map((trait, index) => (index === at ? ({ ...trait, ...change } as ExposeTrait) : trait)) });
};
const without = <T extends { slice(start: number): T }>(array: T): T => array.slice(1);
const trait = (kind: "level" | "grid") => PLAN.personas[0]!.traits.find((each) => each.kind === kind)! as ExposeTrait & { readonly kind: typeof kind };
const grid = trait("grid") as Extract<ExposeTrait, { kind: "grid" }>, level = trait("level") as Extract<ExposeTrait, { kind: "level" }>;

describe("checkPlan", () => {
  it("takes the plans it is made for", () => {
    for (const plan of [PLAN, WIDE, FACTOR]) expect(() => checkPlan(plan)).not.toThrow();
  });

  const broken: readonly (readonly [string, SamplePlan, RegExp])[] = [
    ["no worlds", { ...PLAN, worlds: 0 }, /worlds is 0; expected an integer from 1 to 16384/],
    ["half a tick", { ...PLAN, ticks: 2.5 }, /ticks is 2\.5/],
    ["five steps", { ...PLAN, steps: ["a", "b", "c", "d", "e"] }, /steps is 5/],
    ["a gap beyond the clock", { ...PLAN, gapTicks: 8 }, /gapTicks is 8/],
    ["a gain that is no byte", { ...PLAN, pressureGain: 256 }, /pressureGain is 256/],
    ["odd slots", { ...PLAN, slots: 17 }, /17 slots; expected 16, 32, 48 or 64/],
    ["six factors", { ...FACTOR, factors: 6 }, /6 factors in profile nest8-2; expected 4, 8, 12 or 16/],
    ["factors in int16", { ...FACTOR, arithmeticProfile: "nest16-2" }, /4 factors in profile nest16-2/],
    ["short weights", { ...PLAN, weights: without(PLAN.weights) }, /weights has \d+ entries; expected/],
    ["short factor weights", { ...FACTOR, factorWeights: without(FACTOR.factorWeights) }, /factorWeights has/],
    ["short biases", { ...PLAN, bias: without(PLAN.bias) }, /bias has/],
    ["short offsets", { ...PLAN, offset: without(PLAN.offset) }, /offset has/],
    ["too many agents", withPersona(PLAN, { agents: 2 ** 32 }), /persona 0: agents is 4294967296/],
    ["a shift of a whole word", withPersona(PLAN, { worldShift: 32 }), /persona 0: worldShift is 32/],
    ["traits beside factors", withPersona(FACTOR, { traits: [level] }), /persona 0 has traits in the factor form/],
    ["a slot taken twice", withPersona(PLAN, { copula: new Int16Array(0), traits: [level, level] }), /slot \d+ has a trait already/],
    ["a slot outside", withTrait("grid", { slot: 99 }), /slot is 99/],
    ["shares that fall", withTrait("level", { cumulative: level.cumulative.map((_, at) => (at % level.codes.length === level.codes.length - 1 ? 65_536 : 60_000 - at)) }), /do not ascend to 65,536/],
    ["shares that do not close", withTrait("level", { cumulative: level.cumulative.map((share) => Math.min(share, 65_535)) }), /do not ascend to 65,536/],
    ["short quantiles", withTrait("grid", { quantiles: without(grid.quantiles) }), /quantiles has 256 entries; expected 257/],
    ["a jump between quantiles", withTrait("grid", { quantiles: grid.quantiles.map((_, k) => (k < 128 ? -(2 ** 30) : 2 ** 30)) }), /quantiles 127 and 128 lie too far apart/],
    ["a copula beyond a unit vector", withPersona(PLAN, { copula: PLAN.personas[0]!.copula.map(() => 16_384) }), /row 1 of the copula is longer than a unit vector/],
    ["a copula of other size", withPersona(PLAN, { copula: without(PLAN.personas[0]!.copula) }), /copula has/],
    ["codes beyond their table", { ...PLAN, tableOffset: PLAN.tableOffset.map(() => 32_000) }, /leave a table of/],
    ["wide weights that overflow", { ...WIDE, weights: WIDE.weights.map(() => 32_767) }, /in profile nest16-2, where at most 65,535/],
    ["a stimulus that is no cell", { ...PLAN, cells: PLAN.cells.slice(1) }, /scenario \d+ shows stimulus \d+ at tick \d+, but the plan has no such cell/],
    ["a source that is nobody", { ...PLAN, influence: { ...PLAN.influence!, source: PLAN.influence!.source.map(() => 9) } }, /points outside the personas/],
    ["rows that run backward", { ...PLAN, influence: { ...PLAN.influence!, rowStart: PLAN.influence!.rowStart.map((_, at, all) => (at === 1 ? all.at(-1)! + 1 : all[at]!)) } }, /points outside the personas/],
    ["thinned groups of several worlds", withPersona({ ...PLAN, leaveBits: PLAN.leaveBits.map(() => 4) }, { worldShift: 3 }), /worldShift of 8 or more/],
  ];
  it.each(broken)("refuses %s, and says where", (_name, plan, message) => {
    expect(() => checkPlan(plan)).toThrow(expect.objectContaining({ code: "BAD_STUDY", message: expect.stringMatching(message) }));
  });
});

it("a block starts at a multiple of 256 and ends within its persona", () => {
  for (const block of [{ persona: 0, firstAgent: 0, agents: 700 }, { persona: 0, firstAgent: 256, agents: 444 }]) expect(() => checkBlock(PLAN, block)).not.toThrow();
  for (const block of [{ persona: 0, firstAgent: 16, agents: 10 }, { persona: 0, firstAgent: 0, agents: 701 }, { persona: 0, firstAgent: 0, agents: 0 }, { persona: 7, firstAgent: 0, agents: 1 }]) {
    expect(() => checkBlock(PLAN, block)).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  }
});
