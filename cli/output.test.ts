import { describe, expect, it } from "vitest";
import { amount, percent, plain, rateText, shortened, table } from "./output.ts";

describe("output for people", () => {
  it("writes rates as per cent with three digits", () => {
    expect([0.5, 0.1234, 0.01234, 0.001234, 1, 0, Number.NaN].map(percent)).toEqual(["50.0 %", "12.3 %", "1.23 %", "0.123 %", "100 %", "0.000 %", "-"]);
    expect(rateText({ mean: 0.2, low: 0.18, high: 0.222 })).toBe("20.0 % [18.0, 22.2]");
    expect(amount(1234)).toBe("12.34");
    expect(amount(1234, 1)).toBe("1234");
  });

  it("lines columns up and cuts what is too long", () => {
    const lines = table([{ title: "a" }, { title: "n", align: "right" }], [["x", "10"], ["y".repeat(60), "2"]]);
    expect(lines.length).toBe(4);
    expect(lines[3]).toContain("…");
    expect(lines[2]?.endsWith("10")).toBe(true);
    expect(lines[2]?.length).toBe(lines[3]?.length);
  });

  it("takes control characters out of foreign names", () => {
    expect(plain("a\u001b[2Jb\nc\u202ed")).toBe("a [2Jb c d");
  });

  it("says what it left out", () => {
    expect(shortened([1, 2, 3], 2, "rates").rest[0]).toContain("1 more rates");
    expect(shortened([1], 2, "rates").rest).toEqual([]);
  });
});
