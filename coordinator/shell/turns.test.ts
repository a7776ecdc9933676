import { expect, test } from "vitest";
import type { ScheduledRun } from "../core/schedule.ts";
import { createTurns } from "./turns.ts";

const run = (tenant: string, number: number, priority = 0): ScheduledRun => ({ run: `${tenant}${number}`, tenant, number, priority });

test("two tenants share the places of one process: the second one's first run goes before the first one's third, and priority counts within a tenant", async () => {
  const turns = createTurns({ activeMax: 1 });
  const order: string[] = [], never = new AbortController().signal;
  const first = await turns.turn(run("a", 1), never);
  const all = [run("a", 2), run("a", 3, 5), run("b", 1), run("b", 2)].map(async (one) => {
    const release = await turns.turn(one, never);
    order.push(one.run);
    expect(turns.running).toBe(1);
    release();
    release();
  });
  first();
  await Promise.all(all);
  expect(order.toSorted()).toEqual(["a2", "a3", "b1", "b2"]);
  expect(order.indexOf("b1")).toBeLessThan(order.indexOf("a2"));
  expect(order.indexOf("a3")).toBeLessThan(order.indexOf("a2"));
  expect(turns.running).toBe(0);
});

test("who leaves the queue takes no turn", async () => {
  const turns = createTurns({ activeMax: 1 });
  const first = await turns.turn(run("a", 1), new AbortController().signal);
  const leaving = new AbortController();
  const second = turns.turn(run("a", 2), leaving.signal);
  leaving.abort(new Error("left"));
  await expect(second).rejects.toThrow("left");
  await expect(turns.turn(run("a", 3), leaving.signal)).rejects.toThrow("left");
  first();
  (await turns.turn(run("a", 4), new AbortController().signal))();
  expect(turns.running).toBe(0);
});
