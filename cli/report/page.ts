import { calibrationPlot, perCent, personaMap, posteriorCurves, rateHeatmap, rateIntervals, regretCurve, shockSeries, tornadoPlot, traitProfile } from "./figures.ts";
import { exchangeRatePlot, pitHistogram, rankHistograms } from "./evidence-figures.ts";
import type { Figure } from "./figures.ts";
import type { ModelParts, ReportData, ReportSurface } from "./report.ts";
import { spread, surfaceFigure } from "./surface-figure.ts";

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&#39;");

const THEME = `
:root{color-scheme:light dark;--ink:#1d2430;--faint:#5b6675;--grid:#dde2e8;--paper:#ffffff;--page:#f5f6f8;--accent:#1b5e9f;--warn:#8a5300;--warn-page:#fff4dd}
@media (prefers-color-scheme:dark){:root{--ink:#e7eaee;--faint:#a3adba;--grid:#39424e;--paper:#1b2129;--page:#12161c;--accent:#7db7ef;--warn:#ffd48a;--warn-page:#3a2d12}}`;

const STYLE = `${THEME}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,'Segoe UI','DejaVu Sans',sans-serif}
main{max-width:1280px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:30px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 4px;overflow-wrap:anywhere}
.subtitle{color:var(--faint);margin:0 0 18px;overflow-wrap:anywhere}
.warning{background:var(--warn-page);color:var(--warn);border-radius:8px;padding:10px 14px;margin:0 0 12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:0 0 16px}
.tile{background:var(--paper);border:1px solid var(--grid);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.tile span{color:var(--faint);font-size:13px;display:block}
figure{background:var(--paper);border:1px solid var(--grid);border-radius:10px;margin:0 0 16px;padding:16px 18px}
figure p{margin:0 0 10px;color:var(--faint);max-width:78ch;overflow-wrap:anywhere}
.drawing{overflow-x:auto}
.drawing svg{display:block;max-width:100%;height:auto}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:16px}
.pair>figure{min-width:0}
.pair>.wide{grid-column:1/-1}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--grid);vertical-align:top}
th{font-weight:600;white-space:nowrap}
td{overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
td.number{text-align:right}
code{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:12.5px}
details{background:var(--paper);border:1px solid var(--grid);border-radius:10px;padding:12px 18px;margin:0 0 16px}
summary{cursor:pointer;font-weight:600}
footer{color:var(--faint);font-size:14px}
@media print{body{background:#fff}figure,details{break-inside:avoid}}
`;

const figure = (drawn: Figure): string =>
  `<figure${drawn.wide === true ? ' class="wide"' : ""}><h2>${escaped(drawn.title)}</h2><p>${escaped(drawn.see)}</p><div class="drawing">${drawn.svg}</div></figure>`;

const tiles = (data: Pick<ReportData, "tiles">): string => (data.tiles.length === 0 ? "" :
  `<div class="tiles">${data.tiles.map((tile) => `<div class="tile"><span>${escaped(tile.label)}</span><b>${escaped(tile.value)}</b><span>${escaped(tile.note)}</span></div>`).join("")}</div>`);

const rateTable = (data: ReportData): string =>
  `<details><summary>All ${data.rates.length} rates with their evidence</summary><table><thead><tr><th>persona</th><th>stimulus</th><th>step</th><th>rate</th><th>90 % interval</th><th>evidence</th></tr></thead><tbody>${data.rates
    .map((rate) => `<tr><td>${escaped(rate.persona)}</td><td>${escaped(rate.stimulus)}</td><td>${escaped(rate.step)}</td><td>${perCent(rate.mean)}</td><td>${perCent(rate.low)} to ${perCent(rate.high)}</td><td>${escaped(rate.label)}</td></tr>`)
    .join("")}</tbody></table></details>`;

const provenance = (data: Pick<ReportData, "provenance" | "roots">, said: string): string =>
  `<figure><h2>Where this comes from</h2><p>${said}</p><table><tbody>${data.provenance
    .map(([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td><code>${escaped(value)}</code></td></tr>`).join("")}</tbody></table>${data.roots.length === 0 ? "" :
    `<details style="margin:12px 0 0"><summary>Root hash of each of the ${data.roots.length} ticks</summary><table><tbody>${data.roots
      .map((root, tick) => `<tr><th scope="row">tick ${tick}</th><td><code>${escaped(root)}</code></td></tr>`).join("")}</tbody></table></details>`}</figure>`;

/** The figures of the model alone. */
export interface ModelFigures {
  /** Map and profile; empty without personas. */
  readonly personas: readonly Figure[];
  readonly tornado: Figure | null;
}

/** Draws what a report shows of the model alone: half of all drawing. Between figures the event loop has its turn, for a run may be under way. */
export async function drawModel({ personas, tornado }: ModelParts): Promise<ModelFigures> {
  const inTurn = async (draw: () => Promise<Figure>): Promise<Figure> => {
    await new Promise((resolve) => { setImmediate(resolve); });
    return draw();
  };
  return {
    personas: personas.length === 0 ? [] : [await inTurn(() => personaMap(personas)), await inTurn(() => traitProfile(personas))],
    tornado: tornado === null || tornado.bars.length === 0 ? null : await inTurn(() => tornadoPlot(tornado)),
  };
}

/**
 * The report as one self-contained HTML document: plots first, no script, no reference to anything outside the file, every
 * foreign text escaped. Costs about half a second, nearly all of it drawing.
 */
export async function reportPage(data: ReportData, model?: ModelFigures): Promise<string> {
  const drawn = model ?? await drawModel(data);
  const parts: string[] = [];
  const absent: string[] = [];
  const pair = (figures: readonly string[]): string => `<div class="pair">${figures.join("")}</div>`;
  if (drawn.personas.length > 0) parts.push(pair(drawn.personas.map(figure)));
  else absent.push("persona map (needs a model)");
  for (const step of data.steps) {
    if (!data.rates.some((rate) => rate.step === step)) continue;
    parts.push(pair([figure(await rateHeatmap(data, step)), figure(await rateIntervals(data, step))]));
  }
  const further: string[] = [];
  const add = async (title: string, how: string, draw: (() => Promise<Figure>) | Figure | null): Promise<void> => {
    if (draw === null) absent.push(`${title} (${how})`);
    else further.push(figure(typeof draw === "function" ? await draw() : draw));
  };
  const { calibration, learned, shock, surface } = data;
  await add("calibration", "populace backtest", calibration === null || calibration.cells.length === 0 ? null : () => calibrationPlot(calibration));
  await add("exchange rate", "needs a model", learned === null ? null : () => exchangeRatePlot(learned.exchangeRates));
  await add("PIT histogram", "populace learn", learned === null || learned.pit === null ? null : () => pitHistogram(learned.pit!));
  await add("ranks of known truths", "needs a model", learned === null || learned.ranks.length === 0 ? null : () => rankHistograms(learned.ranks));
  await add("posterior before and after", "populace learn", data.posteriors.length === 0 ? null : () => posteriorCurves(data.posteriors));
  await add("shock", "a study with shocks", shock === null || shock.series.length === 0 ? null : () => shockSeries(shock));
  await add("tornado of traits", "needs a model", drawn.tornado);
  await add("response surface", "populace surface", surface === null ? null : () => surfaceFigure(surface));
  await add("regret", "populace optimize", data.regret.some((policy) => policy.points.length > 0) ? () => regretCurve(data.regret) : null);
  if (further.length > 0) parts.push(pair(further));
  return page(data, [
    tiles(data), parts.join("\n"), data.rates.length === 0 ? "" : rateTable(data), provenance(data, "The same specification and seed give the same root hash on any machine."),
    `<footer>${absent.length === 0 ? "" : `<p>Not in this report: ${escaped(absent.join("; "))}.</p>`}<p>${EVIDENCE}</p></footer>`,
  ]);
}

/** A page of one response surface: the figure, some of its rates as a table, and what it was made of. */
export async function surfacePage(data: Pick<ReportData, "title" | "subtitle" | "warnings" | "provenance">, surface: ReportSurface): Promise<string> {
  const { columns, rows } = surface, width = columns.labels.length;
  const chosen = spread(rows.labels.length, TABLE_MAX).toReversed().flatMap((row) => spread(width, TABLE_MAX).map((column) => row * width + column));
  const table = `<details><summary>${chosen.length} of the map's ${surface.mean.length} rates</summary><table><thead><tr><th>${escaped(rows.title)}</th><th>${escaped(columns.title)}</th><th>rate</th><th>90 % interval</th><th>evidence</th></tr></thead><tbody>${chosen
    .map((at) => `<tr><td>${escaped(rows.labels[Math.floor(at / width)])}</td><td>${escaped(columns.labels[at % width])}</td><td>${perCent(surface.mean[at])}</td><td>${perCent(surface.low[at])} to ${perCent(surface.high[at])}</td><td>${escaped(surface.label)}</td></tr>`)
    .join("")}</tbody></table></details>`;
  return page(data, [figure(await surfaceFigure(surface)), table, provenance({ provenance: data.provenance, roots: [] }, "A preview from the model alone; nothing was simulated, and no run depends on it."), `<footer><p>${EVIDENCE}</p></footer>`]);
}

/** A page of figures of one run: its numbers as tiles, the figures, and what it was made of. */
export async function runPage(data: Pick<ReportData, "title" | "subtitle" | "warnings" | "tiles" | "provenance" | "roots">, figures: readonly Figure[]): Promise<string> {
  return page(data, [tiles(data), `<div class="pair">${figures.map(figure).join("")}</div>`, provenance(data, "The same specification and seed give the same root hash on any machine.")]);
}

/** A page of one experiment: its numbers as tiles, the figures, a table of the arms, and what it was made of. */
export function experimentPage(data: Pick<ReportData, "title" | "subtitle" | "warnings" | "tiles" | "provenance">, figures: readonly Figure[], columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = `<figure><h2>Arms</h2><table><thead><tr>${columns.map((column) => `<th>${escaped(column)}</th>`).join("")}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`).join("")}</tbody></table></figure>`;
  return page(data, [tiles(data), ...figures.map(figure), table, provenance({ provenance: data.provenance, roots: [] }, "The same counts give the same verdict.")]);
}

/** A page of figures about a learned network: every number is a query to it. */
export function networkPage(data: Pick<ReportData, "title" | "subtitle" | "warnings" | "tiles" | "provenance">, figures: readonly Figure[]): string {
  return page(data, [tiles(data), `<div class="pair">${figures.map(figure).join("")}</div>`, provenance({ provenance: data.provenance, roots: [] }, "Every number is an exact query to the network in the file; nothing was simulated.")]);
}

/** Rows under the figures of a page. */
export interface PageTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A page of figures with one table below them, and what they were made of; `said` tells what holds of it. */
export function tablePage(data: Pick<ReportData, "title" | "subtitle" | "warnings" | "provenance">, figures: readonly Figure[], { title, columns, rows }: PageTable, said: string): string {
  const table = `<details><summary>${escaped(title)}</summary><table><thead><tr>${columns.map((column) => `<th>${escaped(column)}</th>`).join("")}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`).join("")}</tbody></table></details>`;
  return page(data, [figures.map(figure).join(""), table, provenance({ provenance: data.provenance, roots: [] }, said), `<footer><p>${EVIDENCE}</p></footer>`]);
}

/** Rows and columns of the table under a surface, at most. */
const TABLE_MAX = 7;

const EVIDENCE = "Intervals hold 90 % of the posterior. “Simulated only” rates come from the model without outcomes of the cell itself; “prior only” ones from the author's intervals alone.";

/** The drawing of a figure as a file of its own. */
export function standaloneSvg(svg: string): string {
  return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').replace("</title>", `</title><style>${THEME}</style>`);
}

function page({ title, subtitle, warnings }: Pick<ReportData, "title" | "subtitle" | "warnings">, parts: readonly string[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><main><h1>${escaped(title)}</h1><p class="subtitle">${escaped(subtitle)}</p>
${warnings.map((warning) => `<p class="warning">${escaped(warning)}</p>`).join("")}
${parts.join("\n")}
</main></body></html>
`;
}
