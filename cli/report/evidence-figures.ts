import { FAINT, HUES, INK, chart } from "./chart.ts";
import type { Figure } from "./figures.ts";
import type { ReportExchangeRate, ReportHistogram } from "./report.ts";

/** How much of a simulated exposure counts as a real one, level by level, with intervals. */
export async function exchangeRatePlot(rates: readonly ReportExchangeRate[]): Promise<Figure> {
  const [overall] = rates;
  const values = rates.map((rate) => ({ ...rate, label: `${rate.level} (${rate.cells})`, kind: rate.isDemoted ? "demoted" : rate.cells === 0 ? "not learned" : "learned" }));
  const y = { field: "label", type: "nominal", sort: null, axis: { title: null, labelLimit: 420, ticks: false, domain: false } } as const;
  const color = { field: "kind", type: "nominal", scale: { domain: ["learned", "not learned", "demoted"], range: [HUES[0], FAINT, HUES[1]] }, legend: { title: null, orient: "top" } } as const;
  return {
    title: "Exchange rate of simulated evidence",
    see: overall.cells === 0
      ? `No randomized outcome has met a prediction yet: a simulated exposure counts as ${overall.a0.toFixed(2)} of a real one, anywhere from ${overall.low.toFixed(2)} to ${overall.high.toFixed(2)}.`
      : `After ${overall.cells} predictions met randomized outcomes a simulated exposure counts as ${overall.a0.toFixed(2)} of a real one (90 % interval ${overall.low.toFixed(2)} to ${overall.high.toFixed(2)}); below, by channel and by persona, channel and kind of stimulus, with the number of cells.`,
    svg: await chart("exchange", "Exchange rate a0 by level with 90 % intervals", {
      width: 380, height: { step: 24 }, data: { values },
      layer: [
        { mark: { type: "rule", strokeWidth: 2, opacity: 0.6 }, encoding: { y, x: { field: "low", type: "quantitative", scale: { domain: [0, 1] }, axis: { title: "exchange rate a0 with its 90 % interval", tickCount: 5 } }, x2: { field: "high" }, color } },
        { mark: { type: "point", filled: true, size: 60, opacity: 1 }, encoding: { y, x: { field: "a0", type: "quantitative" }, color } },
      ],
    } as never),
  };
}

/** Histograms that are flat when predictions are right, with the band in which nine bars of ten then lie. */
async function flatHistograms(key: string, title: string, see: string, histograms: readonly ReportHistogram[], axis: string): Promise<Figure> {
  const panels = histograms.map(({ name, counts }) => {
    const total = counts.reduce((sum, each) => sum + each, 0), expected = total / counts.length;
    // Normal approximation of the binomial of one bar.
    const half = 1.645 * Math.sqrt(expected * (1 - 1 / counts.length));
    const values = counts.map((each, at) => ({ from: at / counts.length, to: (at + 1) / counts.length, count: each }));
    const y = { field: "count", type: "quantitative", scale: { domain: [0, 1.05 * Math.max(...counts, expected + half)], nice: false }, axis: { title: null, tickCount: 3 } } as const;
    const x = { field: "from", type: "quantitative", bin: "binned", scale: { domain: [0, 1], nice: false }, axis: { title: axis, tickCount: 5 } } as const;
    return {
      width: histograms.length === 1 ? 380 : 150, height: histograms.length === 1 ? 200 : 80, ...(histograms.length === 1 ? {} : { title: { text: name.split(": "), color: INK, fontSize: 12, anchor: "start", limit: 190 } }),
      layer: [
        { data: { values: [{ low: Math.max(0, expected - half), high: expected + half }] }, mark: { type: "rect", color: FAINT, opacity: 0.25 }, encoding: { y: { field: "low", type: "quantitative" }, y2: { field: "high" } } },
        { data: { values }, mark: { type: "bar", color: HUES[0], opacity: 0.8 }, encoding: { x, x2: { field: "to" }, y } },
        { data: { values: [{ at: expected }] }, mark: { type: "rule", stroke: INK, strokeDash: [4, 4] }, encoding: { y: { field: "at", type: "quantitative" } } },
      ],
    };
  });
  return { title, see, ...(histograms.length > 3 ? { wide: true } : {}), svg: await chart(key, title, (panels.length === 1 ? panels[0] : { columns: histograms.length > 3 ? 5 : 2, concat: panels }) as never) };
}

/** Where outcomes fell in their predictions. */
export const pitHistogram = (pit: { readonly counts: readonly number[]; readonly cells: number; readonly coverage90: number; readonly pValue: number }): Promise<Figure> =>
  flatHistograms(
    "pit", "Where outcomes fell in their predictions",
    `Flat when predictions are right; high ends mean that intervals are too narrow. ${pit.cells} cells, ${(100 * pit.coverage90).toFixed(0)} % inside their 90 % intervals (uniform with p = ${pit.pValue.toPrecision(2)}; the band holds nine bars of ten).`,
    [{ name: "probability integral transform", counts: pit.counts }], "share of the prediction below the outcome",
  );

/** Ranks of known truths among posterior draws. */
export const rankHistograms = (ranks: readonly ReportHistogram[]): Promise<Figure> =>
  flatHistograms(
    "ranks", "The product's posteriors against known truth",
    `Simulation-based calibration: parameters drawn from their prior, data from them, and where the truth then ranks among the posterior's draws. Flat is right; the band holds nine bars of ten. ${ranks.length} parameters of ${new Set(ranks.map((each) => each.name.split(":")[0])).size} families.`,
    ranks, "rank",
  );
