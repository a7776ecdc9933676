import { mkdtempSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { betaCurve } from "./figures.ts";
import { reportPage, standaloneSvg, surfacePage } from "./page.ts";
import type { ReportData, ReportRate, ReportSurface } from "./report.ts";
import { spread, surfaceFigure } from "./surface-figure.ts";

const HOSTILE = `<script>alert("x")</script>'"&<img src=x onerror=alert(1)>`;
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => existsSync(path));

/** Every part filled, with names that try to escape. */
function fullReport(name: string): ReportData {
  const personas = [name, "second", "third"];
  const stimuli = ["no contact", `offer ${name}`];
  const rates: ReportRate[] = personas.flatMap((persona, row) => stimuli.flatMap((stimulus, column) => ["visit", "purchase"].map((step, depth) => {
    const mean = (0.08 + 0.05 * row + 0.04 * column) * 0.3 ** depth;
    return { persona, stimulus, step, mean, low: mean * 0.8, high: mean * 1.25, label: "simulated only" as const };
  })));
  return {
    title: `Report of ${name}`, subtitle: name, warnings: [`observational: ${name}`],
    tiles: [{ label: name, value: name, note: name }],
    personas: personas.map((persona, row) => ({ name: persona, share: [0.5, 0.3, 0.2][row], profile: ["age", name].map((trait, column) => ({ name: trait, score: row - column, text: `${row}` })) })),
    steps: ["visit", "purchase"], rates,
    calibration: { against: "generated truth", coverage90: 0.5, cells: rates.map((rate, index) => ({ group: rate.persona, stimulus: rate.stimulus, step: rate.step, observed: rate.mean * (index % 2 === 0 ? 1 : 2), predicted: rate.mean, low: rate.low, high: rate.high })) },
    learned: {
      exchangeRates: [{ level: "overall", a0: 0.6, low: 0.3, high: 0.9, cells: 12, isDemoted: false }, { level: name, a0: 0.1, low: 0.02, high: 0.2, cells: 12, isDemoted: true }],
      ranks: [{ name, counts: [48, 52, 50, 49, 51, 50, 50, 50, 47, 53] }, { name: "another", counts: [50, 50, 50, 50, 50, 50, 50, 50, 50, 50] }],
      pit: { counts: [3, 1, 0, 2, 1, 1, 0, 1, 1, 2], cells: 12, coverage90: 0.75, pValue: 0.4 },
    },
    posteriors: [{ cell: name, before: { mean: 0.1, ess: 50, label: "prior only" }, after: { mean: 0.14, ess: 900, label: "real" }, observed: 0.141 }],
    regret: [{ policy: name, unit: "EUR", points: [{ pulls: 0, regret: 0 }, { pulls: 100, regret: 3 }] }],
    tornado: { step: "visit", stimulus: name, base: 0.1, bars: [{ trait: name, low: 0.08, high: 0.13 }] },
    surface: surfaceOf(name, 5, 3),
    shock: { what: name, stimulus: name, step: "visit", startTick: 1, halfLifeTicks: 2, series: [0, 1, 2].flatMap((tick) => [{ tick, course: "without it" as const, rate: 0.1 }, { tick, course: "with the shock" as const, rate: tick === 0 ? 0.1 : 0.08 }]) },
    provenance: [["run", name]], roots: ["00ff", name],
  };
}

/** Rates that rise to the right and upward; numeric columns, levels as rows. */
function surfaceOf(name: string, columns: number, rows: number): ReportSurface {
  const mean = Array.from({ length: columns * rows }, (_, at) => 0.02 + 0.01 * (at % columns) + 0.03 * Math.floor(at / columns));
  return {
    persona: name, stimulus: name, step: "visit", label: "simulated only", mean, low: mean.map((rate) => rate * 0.8), high: mean.map((rate) => rate * 1.2),
    columns: { title: name, labels: Array.from({ length: columns }, (_, at) => String(10 * at)), isNumeric: true, now: Math.floor(columns / 2) },
    rows: { title: "region", labels: Array.from({ length: rows }, (_, at) => `${at} ${name}`), isNumeric: false, now: null },
  };
}

const EMPTY: ReportData = {
  title: "empty", subtitle: "", warnings: [], tiles: [], personas: [], steps: [], rates: [], calibration: null, learned: null, posteriors: [], regret: [], tornado: null, surface: null, shock: null, provenance: [], roots: [],
};

describe("reportPage", () => {
  it("is self-contained: no script, no link, no address of anything outside the file", async () => {
    const page = await reportPage(fullReport("plain"));
    expect(page.match(/https?:|\/\/[a-z]|<script|<link|<iframe|@import|src=|url\((?!#)/gi)).toBeNull();
    expect(page.match(/<svg /g)?.length).toBe(15);
    expect(page).toContain("role=\"img\"");
  });

  it("escapes hostile names everywhere", async () => {
    const page = await reportPage(fullReport(HOSTILE));
    expect(page.match(/<script|<img|<[^>]*\son\w+="/gi)).toBeNull();
    expect(page.includes("&lt;script&gt;")).toBe(true);
  });

  it("keeps the ids of its figures apart", async () => {
    const ids = [...(await reportPage(fullReport("plain"))).matchAll(/ id="([^"]+)"/g)].map((match) => match[1]);
    expect(ids.length).toBeGreaterThan(8);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("leaves out what there is no data for and says how to get it", async () => {
    const page = await reportPage(EMPTY);
    expect(page).not.toContain("<svg");
    expect(page).toContain("populace backtest");
    expect(page).toContain("populace optimize");
  });

  it("draws the same document twice from the same data", async () => {
    const [first, second] = [await reportPage(fullReport("plain")), await reportPage(fullReport("plain"))];
    expect(first === second).toBe(true);
  });

  it.skipIf(CHROMIUM === undefined)("shows every figure in a real browser, in light and dark, without a script running (needs chromium)", async () => {
    const { chromium } = await import("playwright-core");
    const folder = mkdtempSync(join(tmpdir(), "populace-report-"));
    const file = join(folder, "report.html");
    writeFileSync(file, await reportPage(fullReport(HOSTILE)));
    const browser = await chromium.launch({ executablePath: CHROMIUM!, args: ["--no-sandbox", "--disable-gpu"] });
    try {
      for (const colorScheme of ["light", "dark"] as const) {
        const page = await browser.newPage({ viewport: { width: 1200, height: 800 }, colorScheme });
        const alarms: string[] = [];
        page.on("dialog", (dialog) => { alarms.push(dialog.message()); void dialog.dismiss(); });
        page.on("console", (message) => { if (message.type() === "error") alarms.push(message.text()); });
        page.on("request", (request) => { if (!request.url().startsWith("file:")) alarms.push(request.url()); });
        await page.goto(pathToFileURL(file).href);
        expect(alarms).toEqual([]);
        const boxes = await Promise.all((await page.locator("figure svg").all()).map((svg) => svg.boundingBox()));
        expect(boxes.length).toBe(15);
        for (const box of boxes) {
          expect(box!.width).toBeGreaterThan(100);
          expect(box!.x + box!.width).toBeLessThanOrEqual(1200);
        }
        // The page never scrolls sideways.
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(1200);
        const ink = await page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill");
        expect(ink).toBe(colorScheme === "light" ? "rgb(91, 102, 117)" : "rgb(163, 173, 186)");
        await page.close();
      }
    } finally {
      await browser.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe("surfaceFigure", () => {
  it.each([[1, 1], [1, 9], [41, 1], [41, 41], [7, 30]])("draws %i x %i cells, each once, and says where it is highest and lowest", async (columns, rows) => {
    const surface = surfaceOf("age", columns, rows);
    const drawn = await surfaceFigure(surface);
    // A rectangle a cell, drawn as "M0,0h..v..h..Z" at its place.
    expect(drawn.svg.match(/<path [^>]*d="M[\d.]+,[\d.]+h[\d.]+v[\d.]+h-[\d.]+Z"/g)!.length).toBeGreaterThanOrEqual(columns * rows);
    expect(drawn.see).toContain(`at age ${10 * (columns - 1)}, region ${rows - 1} age, lowest 2.00\u00a0%`);
    expect(drawn.see).toContain("Evidence: simulated only.");
    expect(drawn.svg).not.toMatch(/NaN|undefined/);
  });

  it("every rate that is written into the map stands above its interval", async () => {
    const { svg } = await surfaceFigure(surfaceOf("age", 5, 3));
    expect(svg).toContain("2.00\u00a0%");
    expect(svg).toContain("1.60 to 2.40\u00a0%");
  });

  it("makes a page and a drawing that need nothing else", async () => {
    const surface = surfaceOf(HOSTILE, 5, 3);
    const page = await surfacePage({ title: HOSTILE, subtitle: HOSTILE, warnings: [HOSTILE], provenance: [[HOSTILE, HOSTILE]] }, surface);
    expect(page.match(/<script|<img|<[^>]*\son\w+="/gi)).toBeNull();
    expect(page.match(/<svg /g)!.length).toBe(1);
    expect(page.match(/<tr>/g)!.length).toBe(1 + 15 + 1);
    const svg = standaloneSvg((await surfaceFigure(surfaceOf("age", 5, 3))).svg);
    expect(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg" ')).toBe(true);
    // Its colors are its own.
    expect(svg).toContain("--ink:");
  });
});

describe("spread", () => {
  it("keeps both ends, never exceeds its count, and is even where it can be", () => {
    expect(spread(41, 9)).toEqual([0, 5, 10, 15, 20, 25, 30, 35, 40]);
    expect(spread(5, 9)).toEqual([0, 1, 2, 3, 4]);
    expect(spread(1, 9)).toEqual([0]);
    expect(spread(12, 5)).toEqual([0, 3, 6, 8, 11]);
  });
});

describe("betaCurve", () => {
  it("has its peak at the mode of the Beta distribution", () => {
    // Beta(20, 80): mode (20 - 1) / (100 - 2) = 0.193878, independent of the code.
    const curve = betaCurve(0.2, 100, 0.05, 0.4, 7000);
    const peak = curve.reduce((best, point) => (point.density > best.density ? point : best));
    expect(peak.rate).toBeCloseTo(19 / 98, 3);
    expect(peak.density).toBe(1);
  });
});
