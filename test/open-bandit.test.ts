// Off-policy estimates on logs that nobody here made, beside those of the reference implementation on the same rows.
import { join } from "node:path";
import { readDataset, readSchema, valuePolicy } from "@populace/studies";
import { describe, expect, test } from "vitest";
import { NEEDS_DATA, ROOT, dataFile } from "./helpers/data.ts";

const log = dataFile("open-bandit", "bts_men.csv.gz");

describe.skipIf(log === null)(`Open Bandit data (${NEEDS_DATA})`, () => {
  test("Thompson's log for the random policy: the reference's IPW, SNIPW, largest weight and effective sample size", async () => {
    const found = await valuePolicy(await readDataset(readSchema(join(ROOT, "cli", "examples", "open-bandit.yaml")), log!), { policy: "uniform" });
    // reference_results.json beside the data.
    expect(found.ess).toBeCloseTo(655.7, 0);
    expect(found.maxWeight).toBeCloseTo(178.25, 1);
    expect(found.estimators[0]!.value).toBeCloseTo(0.003009, 5);
    expect(found.estimators[1]!.value).toBeCloseTo(0.003189, 5);
    expect(found.notes.join()).toMatch(/rests on \d+\.\d effective responses/);
  });

  test("a policy that the log hardly follows is refused, not guessed", async () => {
    const found = await valuePolicy(await readDataset(readSchema(join(ROOT, "cli", "examples", "open-bandit.yaml")), log!), { policy: "best-fixed:0" });
    expect(found.estimators).toEqual([]);
    expect(found.verdict).toMatch(/^refused: /);
  });
});
