import { INK, PAPER, chart } from "./chart.ts";
import { perCent } from "./figures.ts";
import type { Figure } from "./figures.ts";
import type { ReportAxis, ReportSurface } from "./report.ts";

/** Axis labels and numbers written into cells, at most. */
const LABELS_MAX = 9, WRITTEN_MAX = 5;
const SLICES_MAX = 3, LEVEL_SLICES_MAX = 4;
/** Pixels; the map takes whole ones a cell. */
const MAP = { width: 520, height: 340 } as const, CUTS_WIDTH = 430;
/** Room for a rate and its interval. */
const TEXT = { width: 88, height: 32 } as const;

/** At most `count` indices of a list from its first to its last, at even distances where some number near `count` allows it. */
export function spread(length: number, count: number): readonly number[] {
  const among = Math.min(length, count);
  const even = Array.from({ length: Math.ceil(among / 3) }, (_, fewer) => among - fewer).find((each) => each > 1 && (length - 1) % (each - 1) === 0) ?? among;
  return Array.from({ length: even }, (_, index) => (even === 1 ? 0 : Math.round((index * (length - 1)) / (even - 1))));
}

/** A rate over two quantities: the map of its mean with numbers and intervals in it, and cuts through it with their intervals. */
export async function surfaceFigure(surface: ReportSurface): Promise<Figure> {
  const { columns, rows, mean, low, high } = surface;
  const width = columns.labels.length, [least, most] = [Math.min(...mean), Math.max(...mean)];
  const middle = (least + most) / 2;
  const cells = mean.map((rate, at) => ({ x: columns.labels[at % width], y: rows.labels[Math.floor(at / width)], rate, low: low[at], high: high[at] }));
  const [cellWidth, cellHeight] = [cellPixels(MAP.width, width), cellPixels(MAP.height, rows.labels.length)];
  const written = inside(rows.labels.length, cellHeight, TEXT.height).flatMap((row) => inside(width, cellWidth, TEXT.width).flatMap((column) => {
    const at = row * width + column;
    // The ring needs the place; what it marks is said in words.
    if (rows.now !== null && columns.now !== null && Math.abs(row - rows.now) * cellHeight < TEXT.height && Math.abs(column - columns.now) * cellWidth < TEXT.width) return [];
    return [{ ...cells[at], text: perCent(mean[at]), interval: `${perCent(low[at]).replace("\u00a0%", "")} to ${perCent(high[at])}`, dark: mean[at] > middle }];
  }));
  const slices = spread(rows.labels.length, rows.isNumeric ? SLICES_MAX : LEVEL_SLICES_MAX);
  const cut = slices.toReversed().flatMap((row) => Array.from({ length: width }, (_, column) => cells[row * width + column]));
  const now = columns.now === null || rows.now === null ? [] : [cells[rows.now * width + columns.now]];
  const x = { field: "x", type: "ordinal", sort: columns.labels, axis: axisOf(columns, "bottom") } as const;
  const y = { field: "y", type: "ordinal", sort: rows.labels.toReversed(), axis: axisOf(rows, "left") } as const;
  // The outline closes the seams that a scaled drawing shows between cells.
  const blue = { field: "rate", type: "quantitative", scale: { domain: [least, most], range: ["#e8f1fa", "#1b5e9f"] } } as const;
  const ink = { condition: { test: "datum.dark", value: "#ffffff" }, value: "#14212e" } as const;
  const text = (field: "text" | "interval", style: object): object => ({ data: { values: written }, mark: { type: "text", ...style }, encoding: { x, y, text: { field }, color: ink } });
  const best = cells.reduce((so, cell) => (cell.rate > so.rate ? cell : so)), worst = cells.reduce((so, cell) => (cell.rate < so.rate ? cell : so));
  const said = (cell: (typeof cells)[number]): string => `${perCent(cell.rate)} (90 % interval ${perCent(cell.low)} to ${perCent(cell.high)})`;
  const at = (cell: (typeof cells)[number]): string => `${said(cell)} at ${columns.title} ${cell.x}, ${rows.title} ${cell.y}`;
  const color = { field: "y", type: "nominal", sort: slices.toReversed().map((row) => rows.labels[row]), legend: { title: rows.title, orient: "top", symbolOpacity: 1, titleLimit: CUTS_WIDTH } } as const;
  const rate = (field: "rate" | "low") => ({ field, type: "quantitative", scale: { zero: false }, axis: { title: `rate of ${surface.step}`, format: ".3~%", tickCount: 6 } }) as const;
  const cuts = columns.isNumeric
    ? [
        { mark: { type: "area", opacity: 0.16 }, encoding: { x: { ...x, scale: { type: "point" } }, y: rate("low"), y2: { field: "high" }, color } },
        { mark: { type: "line", strokeWidth: 2.2 }, encoding: { x: { ...x, scale: { type: "point" } }, y: rate("rate"), color } },
      ]
    : [
        { mark: { type: "rule", strokeWidth: 2.5, opacity: 0.65 }, encoding: { x, xOffset: { field: "y", sort: color.sort }, y: rate("low"), y2: { field: "high" }, color } },
        { mark: { type: "point", filled: true, size: 55, opacity: 1 }, encoding: { x, xOffset: { field: "y", sort: color.sort }, y: rate("rate"), color } },
      ];
  return {
    title: `Response surface: ${surface.step}`,
    wide: true,
    see: `“${surface.step}” with ${surface.stimulus} for ${surface.persona}: highest ${at(best)}, lowest ${at(worst)}. Everything else about people stays as it is${now.length > 0 ? `; the ring is where they and the stimulus are now: ${said(now[0])}` : ""}. On the right, cuts through the map with their 90 % intervals. Evidence: ${surface.label}.`,
    svg: await chart("surface", `Rate of ${surface.step} over ${columns.title} and ${rows.title}`, {
      spacing: 60,
      hconcat: [
        {
          width: { step: cellWidth }, height: { step: cellHeight },
          layer: [
            { data: { values: cells }, mark: { type: "rect", strokeWidth: 1, aria: false }, encoding: { x, y, color: { ...blue, legend: { title: `rate of ${surface.step}`, format: ".3~%", gradientLength: 220, tickCount: 5, orient: "top" } }, stroke: { ...blue, legend: null } } },
            text("text", { fontSize: 12, fontWeight: 600, dy: -6 }), text("interval", { fontSize: 10, dy: 8 }),
            { data: { values: now }, mark: { type: "point", size: 210, stroke: PAPER, strokeWidth: 5 }, encoding: { x, y } },
            { data: { values: now }, mark: { type: "point", size: 210, stroke: INK, strokeWidth: 2 }, encoding: { x, y } },
          ],
        },
        { width: CUTS_WIDTH, height: MAP.height, data: { values: cut }, layer: cuts },
      ],
      resolve: { scale: { color: "independent", x: "independent", y: "independent" } },
    } as never),
  };
}

/** Indices of cells to write into, none so near to the edge that the text would leave the map. */
function inside(length: number, pixels: number, textPixels: number): readonly number[] {
  const inset = Math.min(Math.floor((length - 1) / 2), Math.max(0, Math.ceil((textPixels - pixels) / 2 / pixels)));
  return spread(length - 2 * inset, WRITTEN_MAX).map((index) => inset + index);
}

const cellPixels = (pixels: number, cells: number): number => Math.max(1, Math.round(pixels / cells));

function axisOf(axis: ReportAxis, orient: "bottom" | "left"): object {
  const shown = axis.isNumeric ? spread(axis.labels.length, LABELS_MAX).map((index) => axis.labels[index]) : axis.labels;
  const isLong = orient === "bottom" && !axis.isNumeric && axis.labels.some((label) => label.length > 10);
  return { title: axis.title, values: shown, labelAngle: isLong ? -30 : 0, orient, grid: false, domain: false, labelLimit: 160 };
}
