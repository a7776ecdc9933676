import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import { list, oneOf, positive, whole } from "./arguments.ts";

describe("numbers of the command line", () => {
  it("reads plain, grouped and scientific whole numbers", () => {
    expect(["7", "1000000", "1_000_000", "1e6", "2.5e5", "1E+3"].map(whole(0))).toEqual([7, 1e6, 1e6, 1e6, 250_000, 1000]);
  });

  it.each(["", "NaN", "Infinity", "-5", "+5", "1.5", "0x10", "1,000", "1e400", "abc", "1__0", "1_", " 5", "9007199254740993"])("refuses %j", (text) => {
    expect(() => whole(0)(text)).toThrow(InvalidArgumentError);
  });

  it("states the bounds it refuses at", () => {
    expect(() => whole(1, 10)("11")).toThrow("Expected 1 to 10.");
    expect(() => whole(1)("0")).toThrow("Expected at least 1.");
    expect(() => positive("0")).toThrow("Expected a number above 0.");
    expect(["0.25", ".05", "2e-3"].map(positive)).toEqual([0.25, 0.05, 0.002]);
  });

  it("knows words and lists", () => {
    expect(() => oneOf("plain", "value")("plane")).toThrow("plain, value");
    expect(list("a, b")).toEqual(["a", "b"]);
    expect(() => list("a,,b")).toThrow(InvalidArgumentError);
  });
});
