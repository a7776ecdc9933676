import { RandomStream } from "@populace/domain";
import { describe, expect, test } from "vitest";
import { differences } from "./differences.ts";

/** Worlds x (trials, events) at a rate a world. */
function sample(name: string, worlds: number, trials: number, rate: (world: number) => number): Float64Array {
  const random = RandomStream.of(5, name);
  return Float64Array.from({ length: worlds * 2 }, (_, at) => {
    if (at % 2 === 0) return trials;
    let events = 0;
    for (let trial = 0; trial < trials; trial++) if (random.uniform() < rate(at >> 1)) events++;
    return events;
  });
}

describe("samples of two implementations", () => {
  const one = sample("one", 50, 2_000, (world) => 0.05 + world / 1_000);

  test("of the same model agree", () => {
    expect(differences(one, 2, sample("other", 50, 2_000, (world) => 0.05 + world / 1_000), 2, [1])).toMatch(/differ by [0-4]\.\d standard errors/);
  });

  test("are refused when one's rate is a tenth larger", () => {
    expect(() => differences(one, 2, sample("more", 50, 2_000, (world) => 1.1 * (0.05 + world / 1_000)), 2, [1])).toThrow("not the same model");
  });

  test("are refused when only the worlds are mixed up", () => {
    expect(() => differences(one, 2, sample("turned", 50, 2_000, (world) => 0.05 + (49 - world) / 1_000), 2, [1])).toThrow("not the same model");
  });
});
