import { describe, expect, it } from "vitest";
import { expectedRates, openPeople } from "@populace/kernels";
import type { People } from "@populace/kernels";
import { samplePlan } from "@populace/kernels/sample-plan";
import { CROWD, crowdRates, nestedRates, solveMoves, takeCrowd } from "./crowd.ts";

/** The uniforms of a crowd: dimensions x CROWD. */
function uniformsOf(dimensions: number, turn: number): Uint16Array {
  let taken = new Uint16Array(0);
  const people: People = { take: (_, uniforms) => { taken = uniforms.slice(); }, logits: () => new Int32Array(0), rates: () => new Float64Array(0), replan: () => false };
  takeCrowd(people, samplePlan(1, { agents: [10], ticks: 1, traits: dimensions }), 0, turn);
  return taken;
}

describe("a crowd", () => {
  it("has one person in each stratum of each trait, for every turn", () => {
    const strata = Array.from({ length: CROWD }, (_, at) => at);
    for (let turn = 0; turn < 200; turn += 1) {
      const uniforms = uniformsOf(9, turn);
      for (let d = 0; d < 9; d += 1) expect(Array.from(uniforms.subarray(d * CROWD, (d + 1) * CROWD), (u) => u >> 8).toSorted((a, b) => a - b), `turn ${turn}, trait ${d}`).toEqual(strata);
    }
  });

  it("pairs traits without correlation, turn by turn and over all of them", () => {
    let worst = 0, sum = 0, pairs = 0;
    for (let turn = 0; turn < 60; turn += 1) {
      const uniforms = uniformsOf(8, turn);
      for (let a = 0; a < 8; a += 1) {
        for (let b = 0; b < a; b += 1) {
          let product = 0;
          for (let i = 0; i < CROWD; i += 1) product += (uniforms[a * CROWD + i] / 65_536 - 0.5) * (uniforms[b * CROWD + i] / 65_536 - 0.5);
          const r = (12 * product) / CROWD;
          worst = Math.max(worst, Math.abs(r));
          sum += r;
          pairs += 1;
        }
      }
    }
    // The correlation of two random orders of 256 has the standard error 1 / 16; 1,680 of them stay within 5, their mean within 4.5 of its own.
    expect(worst).toBeLessThan(5 / 16);
    expect(Math.abs(sum / pairs)).toBeLessThan(4.5 / 16 / Math.sqrt(pairs));
  });

  it("has mean rates like those of many agents, world by world", () => {
    const plan = samplePlan(4, { agents: [10, 10], ticks: 1, worlds: 3, scenarios: 2, stimuli: 2, traits: 9, copula: true });
    const exact = expectedRates(plan, { panelAgents: 2 ** 18 });
    crowdRates(plan, 64).forEach((rate, at) => expect(Math.abs(rate / exact[at] - 1), `entry ${at}`).toBeLessThan(0.01));
    const one = crowdRates(plan, 1);
    one.forEach((rate, at) => expect(Math.abs(rate / exact[at] - 1), `entry ${at}`).toBeLessThan(0.1));
  });

  it("finds the moves that bring its nested rates onto given ones", () => {
    const plan = samplePlan(6, { agents: [10], ticks: 1, worlds: 1, scenarios: 1, stimuli: 2, traits: 9, steps: 3 }), people = openPeople(plan);
    takeCrowd(people, plan, 0, 3);
    const rows = { logits: people.logits(0).slice(), bias: plan.bias, at: 0, first: 3, steps: 3 };
    const goals = [0.31, 0.02, 0.0004], moves = new Float64Array(6);
    solveMoves(rows, goals, moves);
    const bias = plan.bias.map((value, at) => value + Math.round(moves[at] * 16_384));
    nestedRates({ ...rows, bias }).forEach((rate, k) => expect(Math.abs(rate / goals[k]! - 1)).toBeLessThan(2e-3));
    expect([...moves.subarray(0, 3)]).toEqual([0, 0, 0]);
  });
});
