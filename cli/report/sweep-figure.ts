import { chart } from "./chart.ts";
import type { Figure } from "./figures.ts";

/** One rate of one cell of a sweep. */
export interface SweepPoint {
  /** Values of the variations, in their order. */
  readonly at: readonly (string | number | boolean)[];
  readonly stimulus: string;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** A rate over the first varied value with its 90 % interval, one panel a combination of the others, one color a stimulus. */
export async function sweepFigure(step: string, paths: readonly string[], points: readonly SweepPoint[]): Promise<Figure> {
  const isNumeric = points.every((point) => typeof point.at[0] === "number");
  const values = points.map(({ at, ...point }) => ({ ...point, x: at[0], panel: paths.slice(1).map((path, index) => `${path} ${String(at[index + 1])}`).join(", ") }));
  const x = { field: "x", type: isNumeric ? "quantitative" : "ordinal", axis: { title: paths[0] }, ...(isNumeric ? { scale: { zero: false } } : {}) } as const;
  const color = { field: "stimulus", type: "nominal", legend: { title: null, orient: "top", columns: 3 } } as const;
  const y = (field: "mean" | "low") => ({ field, type: "quantitative", scale: { zero: false }, axis: { title: `rate of ${step}`, format: ".2~%" } }) as const;
  return {
    title: `${step} over ${paths.join(", ")}`,
    wide: true,
    see: "Lines are means over everybody, bands their 90 % intervals. Cells of a sweep share agents and draws wherever the varied values leave them the same.",
    svg: await chart("sweep", `Rate of ${step} over ${paths.join(", ")}`, {
      data: { values },
      ...(paths.length > 1 ? { facet: { field: "panel", type: "nominal", sort: null, header: { title: null } }, columns: 2 } : {}),
      ...Object.fromEntries([[paths.length > 1 ? "spec" : "layer", paths.length > 1 ? { width: 460, height: 280, layer: layers() } : layers()]]),
      ...(paths.length > 1 ? {} : { width: 900, height: 360 }),
    } as never),
  };

  function layers(): readonly object[] {
    return [
      { mark: isNumeric ? { type: "area", opacity: 0.16 } : { type: "rule", strokeWidth: 2.5, opacity: 0.65 }, encoding: { x, y: y("low"), y2: { field: "high" }, color } },
      { mark: { type: "line", strokeWidth: 2.2, point: true }, encoding: { x, y: y("mean"), color } },
    ];
  }
}
