import { RandomStream } from "@populace/domain";
import { describe, expect, test } from "vitest";
import { OVERTAKEN_MAX, afterStart, emptySchedule, nextRun, type ScheduledRun, boundsFor } from "./schedule.ts";

const run = (name: string, tenant: string, number: number, priority = 0): ScheduledRun => ({ run: name, tenant, number, priority });
const bounds = { activeMax: 1, activePerTenantMax: 1 };

/** Runs of `waiting` in the order they start when each ends before the next begins. */
function order(waiting: readonly ScheduledRun[], weights?: ReadonlyMap<string, number>): string[] {
  let schedule = emptySchedule, left = [...waiting];
  const names: string[] = [];
  for (let next = nextRun(schedule, left, [], bounds); next !== null; next = nextRun(schedule, left, [], bounds)) {
    schedule = afterStart(schedule, left, next, weights === undefined ? bounds : { ...bounds, weights });
    left = left.filter((other) => other !== next);
    names.push(next.run);
  }
  return names;
}

describe("schedule", () => {
  test("tenants take turns whatever each submitted, within one the higher priority and then the older goes first", () => {
    const waiting = [run("a1", "a", 1), run("a2", "a", 2), run("a3", "a", 3, 5), run("b1", "b", 4), run("c1", "c", 5)];
    expect(order(waiting)).toEqual(["a3", "b1", "c1", "a1", "a2"]);
    expect(order(waiting.toReversed())).toEqual(order(waiting));
    const many = [...Array.from({ length: 8 }, (_, at) => run(`a${at}`, "a", at)), ...Array.from({ length: 8 }, (_, at) => run(`b${at}`, "b", 10 + at))];
    expect(order(many, new Map([["b", 3]])).slice(0, 8).filter((name) => name.startsWith("b")).length).toBe(6);
  });

  test("bounds hold, over all and by tenant", () => {
    const waiting = [run("a2", "a", 2), run("b1", "b", 3)];
    expect(nextRun(emptySchedule, waiting, [run("a1", "a", 1)], { activeMax: 4, activePerTenantMax: 1 })?.run).toBe("b1");
    expect(nextRun(emptySchedule, waiting, [run("a1", "a", 1)], bounds)).toBeNull();
    expect(nextRun(emptySchedule, [], [], bounds)).toBeNull();
  });

  test("a tenant that comes late enters level with the others and not with all it did not use", () => {
    let schedule = emptySchedule;
    const old = Array.from({ length: 20 }, (_, at) => run(`a${at}`, "a", at));
    for (let at = 0; at < 10; at += 1) schedule = afterStart(schedule, old.slice(at), old[at], bounds);
    const late = [...old.slice(10), ...Array.from({ length: 10 }, (_, at) => run(`b${at}`, "b", 100 + at))];
    const started: string[] = [];
    let left = late;
    for (let turn = 0; turn < 6; turn += 1) {
      const next = nextRun(schedule, left, [], bounds)!;
      schedule = afterStart(schedule, left, next, bounds);
      left = left.filter((other) => other !== next);
      started.push(next.tenant);
    }
    expect(started.filter((tenant) => tenant === "b").length).toBe(3);
  });

  test("nobody starves: under a stream of higher priorities every run starts within a stated number of turns", () => {
    for (let seed = 0; seed < 30; seed += 1) {
      const random = RandomStream.of(seed, "submissions"), pick = (below: number): number => Math.floor(random.uniform() * below);
      const tenants = 1 + pick(4), activeMax = 1 + pick(4), limits = { activeMax, activePerTenantMax: 1 + pick(activeMax) };
      let schedule = emptySchedule, waiting: ScheduledRun[] = [], running: ScheduledRun[] = [], number = 0;
      const startsSince = new Map<string, number>(), othersSince = new Map<string, number>();
      for (let step = 0; step < 400; step += 1) {
        if (waiting.length < 12) waiting.push(run(`r${number}`, `t${pick(tenants)}`, number++, pick(5) + Math.floor(number / 10)));
        const next = nextRun(schedule, waiting, running, limits);
        expect(nextRun(schedule, waiting.toReversed(), running.toReversed(), limits)).toBe(next);
        if (next === null) {
          running = running.toSpliced(pick(running.length), 1);
          continue;
        }
        schedule = afterStart(schedule, waiting, next, limits);
        waiting = waiting.filter((other) => other !== next);
        running = [...running, next];
        expect(running.length).toBeLessThanOrEqual(limits.activeMax);
        expect(running.filter((other) => other.tenant === next.tenant).length).toBeLessThanOrEqual(limits.activePerTenantMax);
        // Within its tenant: later ones at most OVERTAKEN_MAX times, and those that waited before it (12 may wait).
        for (const other of waiting) if (other.tenant === next.tenant) startsSince.set(other.run, (startsSince.get(other.run) ?? 0) + 1);
        expect(startsSince.get(next.run) ?? 0, `seed ${seed}, ${next.run}`).toBeLessThanOrEqual(OVERTAKEN_MAX + 12);
        // Between tenants: every other one at most twice before it is this one's turn, unless its own bound holds it back.
        for (const tenant of new Set(waiting.map((other) => other.tenant))) othersSince.set(tenant, tenant === next.tenant ? 0 : (othersSince.get(tenant) ?? 0) + 1);
        if (limits.activePerTenantMax === activeMax) expect(Math.max(0, ...othersSince.values()), `seed ${seed}`).toBeLessThanOrEqual(2 * (tenants - 1));
        for (const tenant of othersSince.keys()) if (!waiting.some((other) => other.tenant === tenant)) othersSince.delete(tenant);
      }
    }
  });
});

test("with more tenants each leaves a turn to every other, and nobody is left without", () => {
  expect([1, 2, 4, 9].map(boundsFor)).toEqual([{ activeMax: 4, activePerTenantMax: 4 }, { activeMax: 4, activePerTenantMax: 3 }, { activeMax: 4, activePerTenantMax: 1 }, { activeMax: 9, activePerTenantMax: 1 }]);
});
