import { LIMITS } from "@populace/protocol";
import { expect, test } from "vitest";
import { decideOpen, isStandbyBehind } from "./back-pressure.ts";

const bytesMax = 2 * 1024 * 1024;
const limit = LIMITS.slotStreamShare * bytesMax;

test("below the limit every run opens; at it the largest takes a checkpoint and the others wait, so that there is always one who makes room", () => {
  expect(decideOpen("a", new Map(), bytesMax)).toBe("open");
  expect(decideOpen("a", new Map([["a", limit / 2 - 1], ["b", limit / 2]]), bytesMax)).toBe("open");
  const full = new Map([["a", limit / 3], ["b", limit / 2], ["c", limit / 6 + 1]]);
  expect(["a", "b", "c"].map((run) => decideOpen(run, full, bytesMax))).toEqual(["wait", "checkpoint", "wait"]);
  const even = new Map([["b", limit], ["a", limit]]);
  expect(["a", "b"].map((run) => decideOpen(run, even, bytesMax))).toEqual(["checkpoint", "wait"]);
  // A run that has filled nothing yet waits too.
  expect(decideOpen("new", full, bytesMax)).toBe("wait");
});

test("the next tick waits while every standby that is heard lacks what was committed two spans ago", () => {
  expect(isStandbyBehind([3, 7, 11], [])).toBe(false);
  expect(isStandbyBehind([3], [-1])).toBe(false);
  expect(isStandbyBehind([3, 7, 11], [6])).toBe(true);
  expect(isStandbyBehind([3, 7, 11], [7])).toBe(false);
  expect(isStandbyBehind([3, 7, 11], [-1, 9])).toBe(false);
});
