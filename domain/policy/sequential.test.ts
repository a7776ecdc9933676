import { describe, expect, it } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { PRESSURES, myopicRule, solveBudget, solveContacts, tableRule, tableSize, walkContacts } from "./sequential.ts";
import type { ContactProcess, ContactRule } from "./sequential.ts";

/** Two contacts whose value falls and whose leaving rises with pressure, other numbers for every seed and tick. */
function processOf(seed: number, more: Partial<ContactProcess> = {}, length = 6): ContactProcess {
  const random = RandomStream.of(seed, "process");
  const table = (of: (contact: number, pressure: number) => number): Float64Array => Float64Array.from({ length: 2 * PRESSURES }, (_, at) => of(Math.floor(at / PRESSURES), at % PRESSURES));
  const ticks = Array.from({ length }, () => {
    const worth = [5 + 5 * random.uniform(), 5 + 5 * random.uniform()], weary = 0.01 + 0.02 * random.uniform(), leaving = 0.002 + 0.01 * random.uniform();
    return {
      value: table((contact, pressure) => worth[contact] * Math.exp(-weary * pressure) - 1), leave: table((contact, pressure) => Math.min(1, leaving * (contact + 1) * Math.exp(pressure / 80))),
      spend: table((contact) => contact + 1), gain: table(() => 0), idle: 0.2,
    };
  });
  return { ticks, contacts: 2, pressureGain: 40 + random.integer(60), gapTicks: 0, contactsMax: length, returnRate: 0, ...more };
}

const SEEDS = Array.from({ length: 12 }, (_, seed) => seed + 1);
const solved = (process: ContactProcess): ContactRule => tableRule(solveContacts(process));
const valueOf = (process: ContactProcess, rule: ContactRule): number => walkContacts([process], [rule], [1]).value;
/** The best of all courses of events, one after the other. */
function bestOfAll(process: ContactProcess): number {
  const length = process.ticks.length, choices = process.contacts + 1;
  let best = -Infinity;
  for (let course = 0; course < choices ** length; course++) best = Math.max(best, valueOf(process, ({ tick }) => (Math.floor(course / choices ** tick) % choices) - 1));
  return best;
}

describe("solveContacts", () => {
  it.each([["", {}], [" with a gap", { gapTicks: 3 }], [" with two contacts at most", { contactsMax: 2 }], [" with contacts from elsewhere", { outside: [2, 0, 1, 0, 0, 1] }], [" with those and a gap", { outside: [1, 0, 0, 0, 1, 0], gapTicks: 2 }]] as const)("finds the best of all courses of events%s", (_, more) => {
    for (const seed of SEEDS) {
      const process = processOf(seed, more), best = bestOfAll(process);
      // Sums of six ticks in another order.
      expect(Math.abs(valueOf(process, solved(process)) - best)).toBeLessThan(1e-9 * best);
    }
  });

  it("those who return bring their future contacts back", () => {
    for (const seed of SEEDS) {
      const process = processOf(seed, { returnRate: 0.2 });
      // Who was away has less pressure than the walk, which knows one pressure for all, gives them.
      expect(valueOf(process, solved(process))).toBeGreaterThan(0.98 * bestOfAll(process));
    }
  });

  it("looking ahead is never worth less than not looking", () => {
    const gains = SEEDS.map((seed) => {
      const process = processOf(seed, {}, 20);
      return valueOf(process, solved(process)) / valueOf(process, myopicRule(process));
    });
    expect(Math.min(...gains)).toBeGreaterThan(1 - 1e-9);
    expect(Math.max(...gains)).toBeGreaterThan(1.1);
  });

  it("the table is the same twice, as large as it says, and contacts beyond the ticks cost nothing", () => {
    const process = processOf(3, { gapTicks: 2, contactsMax: 4 });
    expect(solveContacts(process)).toEqual(solveContacts(process));
    expect(solveContacts(process).decisions.length).toBe(tableSize(process));
    expect(tableSize(processOf(3))).toBe(6 * PRESSURES);
    expect(tableSize({ ...process, contactsMax: 100 })).toBe(6 * 3 * PRESSURES);
  });
});

describe("solveBudget", () => {
  it("stays within the budget, and a larger one is worth more until it binds no more", () => {
    const processes = [1, 2, 3].map((seed) => processOf(seed, {}, 12)), agents = [100, 50, 10];
    const spent = (budget: number) => walkContacts(processes, solveBudget(processes, agents, budget).tables.map(tableRule), agents, budget);
    const free = spent(Infinity), walks = [0, 50, 200, 500, free.spend].map(spent);
    walks.forEach((walk, at) => {
      expect(walk.spend).toBeLessThanOrEqual([0, 50, 200, 500, free.spend][at] + 1e-9);
      if (at > 0) expect(walk.value).toBeGreaterThanOrEqual(walks[at - 1].value - 1e-9);
    });
    expect(walks[0].spend).toBe(0);
    expect(walks.at(-1)!.value).toBe(free.value);
    expect(solveBudget(processes, agents, free.spend).price).toBe(0);
  });

  it("spends it where it brings most, not on whom comes first", () => {
    const processes = [1, 2, 3].map((seed) => processOf(seed, {}, 12)), agents = [100, 50, 10], budget = 300;
    const planned = walkContacts(processes, solveBudget(processes, agents, budget).tables.map(tableRule), agents, budget).value;
    const greedy = walkContacts(processes, processes.map(solved), agents, budget).value;
    expect(planned).toBeGreaterThan(greedy * 1.05);
  });
});
