import { describe, expect, it } from "vitest";
import { combinations, variation, withValue } from "./grid.ts";

describe("a grid of study values", () => {
  it("is read from KEY=VALUE,VALUE and combined with the last key fastest", () => {
    const two = [variation("agents=1e3,2000"), variation("population.form=coded, factor")];
    expect(two).toEqual([{ path: "agents", values: [1000, 2000] }, { path: "population.form", values: ["coded", "factor"] }]);
    expect(combinations(two)).toEqual([[1000, "coded"], [1000, "factor"], [2000, "coded"], [2000, "factor"]]);
    expect(combinations([])).toEqual([[]]);
    for (const wrong of ["agents", "agents=", "=1", "a b=1", "agents=1,,2", "x={a: 1}"]) expect(() => variation(wrong), wrong).toThrow(expect.objectContaining({ code: "BAD_USAGE" }));
  });

  it("changes a copy of the study at the path and makes what is missing", () => {
    const study = { agents: 5, shocks: [{ tick: 1 }, { tick: 2 }] };
    expect(withValue(study, "shocks.1.tick", 9)).toEqual({ agents: 5, shocks: [{ tick: 1 }, { tick: 9 }] });
    expect(withValue(undefined, "pressure.perContact", 2)).toEqual({ pressure: { perContact: 2 } });
    expect(study.shocks[1].tick).toBe(2);
    expect(() => withValue(study, "agents.x", 1)).toThrow(expect.objectContaining({ code: "BAD_STUDY", message: expect.stringContaining('"agents" is 5') }));
    expect(() => withValue(study, "shocks.2.tick", 1)).toThrow(expect.objectContaining({ code: "BAD_STUDY", message: expect.stringContaining("2 entries") }));
  });
});
