import { expect, test } from "vitest";
import { structuralDistance } from "./network-distance.ts";

test("chains of any direction are one class, a collider is another", () => {
  const forward = [[], [0], [1]], backward = [[1], [2], []], fork = [[1], [], [1]], collider = [[], [0, 2], []];
  expect(structuralDistance(forward, backward)).toEqual({ classes: 0, skeletons: 0 });
  expect(structuralDistance(forward, fork)).toEqual({ classes: 0, skeletons: 0 });
  expect(structuralDistance(forward, collider)).toEqual({ classes: 2, skeletons: 0 });
  expect(structuralDistance(forward, [[], [0], []])).toEqual({ classes: 1, skeletons: 1 });
});

test("an arc that a collider forces on is no open one", () => {
  // 0 -> 2 <- 1, 2 -> 3: turning the last arc would make a new collider.
  expect(structuralDistance([[], [], [0, 1], [2]], [[], [], [0, 1, 3], []])).toEqual({ classes: 1, skeletons: 0 });
});
