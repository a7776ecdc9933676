import fc from "fast-check";
import { expect, it } from "vitest";
import { thousands } from "./thousands.ts";

it("thousands groups as en-US does, whole numbers and fractions", () => {
  fc.assert(fc.property(fc.oneof(fc.maxSafeInteger(), fc.double({ min: -1e15, max: 1e15, noNaN: true })), (value) => {
    if (!/^-?\d+(\.\d+)?$/.test(String(value)) || Object.is(value, -0)) return;
    expect(thousands(value)).toBe(value.toLocaleString("en-US", { maximumFractionDigits: 100 }));
  }));
  expect([0, 12.5, 1e21, NaN].map(thousands)).toEqual(["0", "12.5", "1e+21", "NaN"]);
});
