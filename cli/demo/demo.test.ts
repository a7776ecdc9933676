import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runPopulace } from "../program.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-demo-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a document looked into key by key
async function populace(args: readonly string[]): Promise<{ readonly code: number; readonly document: any }> {
  let out = "";
  const code = await runPopulace([...args, "--json"], new AbortController().signal, { out: (text) => { out += text; }, err: () => undefined });
  return { code, document: JSON.parse(out) };
}

describe("populace demo", () => {
  it("goes once round the loop on a small retailer and leaves everything its next commands need", async () => {
    const outDir = join(folder, "out");
    const { code, document } = await populace(["demo", "--out", outDir, "--recipients", "3000", "--agents", "6000", "--seed", "11"]);
    expect(code, JSON.stringify(document).slice(0, 600)).toBe(0);
    expect(document).toMatchObject({ runId: expect.stringMatching(/^[0-9a-f]{64}$/), rootHash: expect.stringMatching(/^[0-9a-f]{64}$/), outDir, report: join(outDir, "report.html"), gateway: { status: 200 } });
    // Released without force: landed outcomes lie in their intervals.
    expect(document.calibration).toMatchObject({ against: "landed outcomes", verdict: "passed" });
    expect(document.next[2]).not.toContain("--force");
    const { truth, shock, changedAnswer } = document;
    // Three standard errors of a share of about 12 independent cells around 0.9, at this fixed seed; a broken interval falls far below.
    expect(truth.coverage90).toBeGreaterThan(0.65);
    expect(truth.coverage90Misspecified).toBeGreaterThan(0);
    expect(truth.rateMae).toBeLessThan(0.02);
    // A negative shock: the rate falls while it lasts, and recovers toward the course without it.
    expect(shock.during).toBeLessThan(shock.before * 0.9);
    expect(shock.after).toBeGreaterThan(shock.during);
    expect(shock.without).toBeGreaterThan(shock.during);
    expect(changedAnswer.after).not.toBe(changedAnswer.before);
    expect(changedAnswer.after.startsWith("p5")).toBe(true);
    for (const name of ["model.json", "model-2.json", "model-3.json", "study.yaml", "schema.yaml", "recipients.csv", "campaigns.yaml", "outcomes.csv", "manifest.json", "rates.parquet", "ticks.parquet"]) {
      expect(existsSync(join(outDir, name)), name).toBe(true);
    }
    const page = readFileSync(document.report, "utf8");
    expect(page.match(/<figure/g)?.length).toBe(20);
    expect(page).not.toContain("Not in this report");
    expect(document.next.length).toBe(3);
    const words = (document.next[1] as string).split(" ");
    const next = await populace(words.slice(words.indexOf("prioritize")));
    expect(next.code).toBe(0);
    expect(next.document.decisions.length).toBe(990);
  // About 12 s of computing; a machine that runs the other suites beside it needs a multiple.
  }, 240_000);
});
