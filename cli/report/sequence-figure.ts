import type { ExperimentResult } from "@populace/domain";
import { FAINT, chart } from "./chart.ts";
import type { Figure } from "./figures.ts";

/** The confidence sequence of every treatment over the looks, beside zero. */
export async function sequenceFigure(result: ExperimentResult, names: { readonly control: string; readonly metric: string; readonly unit: "share" | "amount" }): Promise<Figure> {
  const values = result.comparisons.flatMap(({ arm, looks }) => looks.map((look, at) => ({ arm, look: at + 1, recipients: look.recipients, effect: look.effect, low: look.low, high: look.high })))
    .filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high));
  const shown = result.comparisons.filter(({ shownAt }) => shownAt !== null);
  const format = names.unit === "share" ? "+.2~%" : "+,.4~g";
  // The first looks have intervals as wide as everything possible; the picture is of where the effects are.
  const bounds = result.comparisons.filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high)).map(({ effect, low, high }) => ({ low: effect - 3 * (high - low), high: effect + 3 * (high - low) }));
  const domain = [
    Math.min(0, Math.max(Math.min(...values.map(({ low }) => low)), Math.min(...bounds.map(({ low }) => low)))),
    Math.max(0, Math.min(Math.max(...values.map(({ high }) => high)), Math.max(...bounds.map(({ high }) => high)))),
  ];
  const y = (field: string) => ({ field, type: "quantitative", axis: { title: `difference in ${names.metric} to ${names.control}`, format, tickCount: 6 }, ...(domain[0] < domain[1] ? { scale: { domain, clamp: true } } : {}) }) as const;
  const x = { field: "recipients", type: "quantitative", axis: { title: "recipients so far", format: "~s", tickCount: 6 } } as const;
  const color = { field: "arm", type: "nominal", legend: { title: null, orient: "top" } } as const;
  const single = values.every(({ look }) => look === 1);
  return {
    title: `Difference in ${names.metric} over the looks`,
    wide: true,
    see: `${result.verdict}. The band holds the truth at all looks at once with ${Math.round(100 * (1 - result.alpha))} % probability, so it may be watched for as long as one likes${shown.length === 0 ? "; it has not left zero" : `; ${shown.map(({ arm, shownAt }) => `${arm} left zero at look ${shownAt}`).join(", ")}`}.`,
    svg: await chart("sequence", `Confidence sequence of the difference in ${names.metric}`, {
      width: 1040, height: 320, data: { values },
      layer: [
        { mark: { type: "rule", stroke: FAINT, strokeDash: [4, 4] }, data: { values: [{ zero: 0 }] }, encoding: { y: { field: "zero", type: "quantitative" } } },
        ...(single
          ? [{ mark: { type: "rule", strokeWidth: 2.5 }, encoding: { x, y: y("low"), y2: { field: "high" }, color } }, { mark: { type: "point", filled: true, size: 60 }, encoding: { x, y: y("effect"), color } }]
          : [{ mark: { type: "area", opacity: 0.2, clip: true }, encoding: { x, y: y("low"), y2: { field: "high" }, color } }, { mark: { type: "line", strokeWidth: 2.2, clip: true }, encoding: { x, y: y("effect"), color } }]),
      ],
    } as never),
  };
}
