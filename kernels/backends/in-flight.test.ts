import { expect, it } from "vitest";
import { inFlight } from "./in-flight.ts";

it("has at most two pieces outstanding, and waits for all", async () => {
  let outstanding = 0, most = 0, ended = 0;
  await inFlight(9, async () => {
    most = Math.max(most, ++outstanding);
    const done = Promise.resolve().then(() => new Promise<void>((resolve) => setImmediate(resolve))).then(() => {
      outstanding--;
      ended++;
    });
    return Promise.resolve({ done });
  });
  expect([most, outstanding, ended]).toEqual([2, 0, 9]);
});

it("starts nothing after a failure, reports the earliest, and waits for what was started", async () => {
  const started: number[] = [];
  let hasEnded = false;
  await expect(inFlight(9, (index) => {
    started.push(index);
    const later = new Promise<void>((resolve) => setImmediate(resolve));
    // The third fails at once, the second later; the second comes first in turn.
    if (index === 1) return Promise.resolve({ done: later.then(() => Promise.reject(new Error("the second"))) });
    if (index === 2) return Promise.resolve({ done: Promise.reject(new Error("the third")).finally(() => { hasEnded = true; }) });
    return Promise.resolve({ done: Promise.resolve() });
  })).rejects.toThrow("the second");
  expect(started).toEqual([0, 1, 2]);
  expect(hasEnded).toBe(true);
  const unfinished = new Promise<void>((resolve) => setImmediate(resolve)).then(() => { hasEnded = false; });
  await expect(inFlight(2, (index) => (index === 0 ? Promise.resolve({ done: unfinished }) : Promise.reject(new Error("cannot start"))))).rejects.toThrow("cannot start");
  expect(hasEnded).toBe(false);
});
