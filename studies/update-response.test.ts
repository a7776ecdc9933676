import { expect, test } from "vitest";
import { stretchesOf } from "./update-response.ts";

/** Rows of one step, a response at every `every`-th. */
const rowsOf = (count: number, every: number) => ({ steps: 1, outcomes: Uint8Array.from({ length: count }, (_, row) => (row % every === every - 1 ? 1 : 0)) });

test("an update takes a thousand rows, or as many as hold ten responses, and leaves no small rest", () => {
  expect(stretchesOf(rowsOf(2500, 10), 2500)).toEqual([{ from: 0, to: 1000 }, { from: 1000, to: 2000 }, { from: 2000, to: 2500 }]);
  expect(stretchesOf(rowsOf(2050, 10), 2050)).toEqual([{ from: 0, to: 1000 }, { from: 1000, to: 2050 }]);
  // One in a thousand: ten thousand rows a time.
  expect(stretchesOf(rowsOf(25_000, 1000), 25_000)).toEqual([{ from: 0, to: 10_000 }, { from: 10_000, to: 25_000 }]);
  expect(stretchesOf(rowsOf(3000, 5000), 3000)).toEqual([{ from: 0, to: 3000 }]);
  // Everybody responds: one stretch, however long.
  expect(stretchesOf(rowsOf(3000, 1), 3000)).toEqual([{ from: 0, to: 3000 }]);
  expect(stretchesOf(rowsOf(0, 10), 0)).toEqual([]);
});
