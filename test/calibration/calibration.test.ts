import { describe, expect, test } from "vitest";
import { CALIBRATION } from "@populace/studies";
import { families } from "./families.ts";
import { modelCode } from "./record.ts";

describe("the calibration record", () => {
  test("is that of the model code as it stands; `npm run calibrate` renews it", () => {
    expect(CALIBRATION.code).toBe(modelCode());
  });

  test("holds every family, each of them passed", () => {
    expect(CALIBRATION.families.map((family) => family.name)).toEqual(families(2).map((family) => family.name));
    expect(CALIBRATION.families.filter((family) => !family.passed)).toEqual([]);
    for (const { ranks, method } of CALIBRATION.families) {
      expect(ranks.length > 0).toBe(method === "ranks");
      for (const { counts } of ranks) expect(counts.reduce((sum, each) => sum + each, 0)).toBe(500);
    }
  });
});
