import { Error as VEGA_ERROR, View, parse } from "vega";
import { compile } from "vega-lite";
import type { TopLevelSpec } from "vega-lite";

/**
 * Colors of ink, grid and paper are placeholders in the drawing, replaced by CSS variables afterwards: the same static SVG is
 * then readable in a light and in a dark scheme.
 */
export const INK = "#010203";
export const FAINT = "#040506";
const GRID = "#070809";
export const PAPER = "#0a0b0c";
const VARIABLES: readonly (readonly [string, string])[] = [[INK, "var(--ink)"], [FAINT, "var(--faint)"], [GRID, "var(--grid)"], [PAPER, "var(--paper)"]];

/** Okabe-Ito-like hues that hold on white and on near-black, also for readers who confuse red and green. */
export const HUES = ["#2f7fd1", "#e0771b", "#1a9a76", "#b8559b", "#b08b00", "#7a6ff0", "#d1495b", "#2b8fa3"] as const;

const FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";

const CONFIG = {
  background: "transparent",
  font: FONT,
  padding: 4,
  axis: {
    labelColor: INK, titleColor: FAINT, domainColor: GRID, tickColor: GRID, gridColor: GRID, labelFontSize: 12, titleFontSize: 12,
    titleFontWeight: "normal", labelLimit: 300, titlePadding: 8,
  },
  legend: { symbolBaseFillColor: FAINT, symbolBaseStrokeColor: FAINT, labelColor: INK, titleColor: FAINT, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelLimit: 400 },
  header: { labelColor: INK, titleColor: FAINT, labelFontSize: 13, labelFontWeight: 600, titleFontWeight: "normal", labelLimit: 400 },
  text: { color: INK, fontSize: 12 },
  view: { stroke: null },
  range: { category: [...HUES] },
} as const;

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&#39;");

/**
 * The drawing of a Vega-Lite specification as inline SVG, made without a browser. `key` keeps the ids of clip paths and
 * gradients apart from other figures of the page; `title` is read out by screen readers.
 */
export async function chart(key: string, title: string, specification: Omit<TopLevelSpec, "$schema" | "config">): Promise<string> {
  const compiled = compile({ ...specification, config: CONFIG } as unknown as TopLevelSpec).spec;
  const view = new View(parse(compiled), { renderer: "none" }).logLevel(VEGA_ERROR);
  const drawing = await view.toSVG();
  view.finalize();
  let svg = drawing
    .replaceAll(/ xmlns(:\w+)?="[^"]*"/g, "")
    .replace(/<svg ([^>]*?)>/, (_, attributes: string) => `<svg role="img" aria-labelledby="${key}-title" ${attributes}><title id="${key}-title">${escaped(title)}</title>`);
  // Vega numbers clip paths and gradients over the whole process: numbered anew, the same data give the same bytes.
  [...new Set([...svg.matchAll(/ id="((?:clip|gradient)\w*)"/g)].map((match) => match[1]))].forEach((id, index) => {
    svg = svg.replaceAll(`id="${id}"`, `id="${key}-${index}"`).replaceAll(`url(#${id})`, `url(#${key}-${index})`);
  });
  for (const [color, variable] of VARIABLES) svg = svg.replaceAll(color, variable);
  return svg;
}
