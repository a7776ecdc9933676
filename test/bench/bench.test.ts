import { describe, expect, test } from "vitest";
import { discover } from "./discover.ts";

const benches = await discover();

describe("benchmarks with tiny inputs", () => {
  test("have names of their own", () => {
    expect(new Set(benches.map((bench) => bench.name)).size).toBe(benches.length);
    expect(benches.length).toBeGreaterThan(0);
  });

  test.each(benches.map((bench) => [bench.name, bench] as const))("%s runs to its end and reports what it measured", async (_, bench) => {
    const rows = await bench.run({ tiny: true });
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) {
      expect(row.what).not.toBe("");
      expect(Number.isFinite(row.ours)).toBe(true);
      expect(row.hash).not.toBe("");
      expect(row.ratio === null).toBe(row.peer === null);
    }
  });
});
