import { getResponseRate } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";

/**
 * The console's page: the release, its personas and the heat map of response rates with their intervals. One HTML document
 * without script, made from the table being served; everything a model or a schema named is escaped.
 */
export function consolePage(table: ScoreTable | null): string {
  const body = table === null ? "<p>No release is served yet.</p>" : `${releaseLine(table)}${personaTable(table)}${table.steps.map((step, index) => heatMap(table, step, index)).join("")}`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Populace</title><style>${STYLE}</style></head><body><h1>Populace</h1>${body}<p class="links"><a href="/openapi.json">OpenAPI</a> <a href="/v1/personas">personas</a> <a href="/v1/model">model</a> <a href="/metrics">metrics</a></p></body></html>`;
}

const STYLE = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1d2733}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}td,th{padding:.25rem .75rem;text-align:left;border-bottom:1px solid #dde3ea}td.n{text-align:right;font-variant-numeric:tabular-nums}.bar{background:#3b6ea5;height:.6rem}svg text{font:12px system-ui,sans-serif}.links a{margin-right:1rem}.scroll{overflow-x:auto}";

const releaseLine = (table: ScoreTable): string =>
  `<p>Release <code>${escape(table.release.slice(0, 16))}</code> of model ${escape(table.model)}, version ${table.version}; evidence: ${escape(table.evidence)}.</p>`;

function personaTable(table: ScoreTable): string {
  const rows = table.mixture.personas.map((persona) => `<tr><td>${escape(persona.id)}</td><td>${escape(persona.name)}</td><td class="n">${(persona.share * 100).toFixed(1)} %</td><td style="width:12rem"><div class="bar" style="width:${(persona.share * 100).toFixed(1)}%"></div></td><td>${escape(persona.lineage.event)}</td></tr>`);
  return `<h2>Personas</h2><table><tr><th>id</th><th>name</th><th>share</th><th></th><th>lineage</th></tr>${rows.join("")}</table>`;
}

const CELL = { width: 118, height: 40, left: 240, top: 34 } as const;

function heatMap(table: ScoreTable, step: string, stepIndex: number): string {
  const cells = table.mixture.personas.flatMap((persona, p) => table.stimuli.map((stimulus, s) => ({ persona, stimulus, p, s, rate: getResponseRate(table, p, s, stepIndex) })));
  const highest = Math.max(1e-12, ...cells.map((cell) => cell.rate.mean));
  const percent = (rate: number): string => `${(rate * 100).toPrecision(3)} %`;
  const squares = cells.map(({ persona, stimulus, p, s, rate }) => {
    const share = rate.mean / highest;
    const x = CELL.left + s * CELL.width, y = CELL.top + p * CELL.height;
    const title = `${persona.name}, ${stimulus.name}: ${percent(rate.mean)} (${percent(rate.low)} to ${percent(rate.high)}), ${rate.label}, effective sample ${Math.round(rate.ess)}`;
    return `<g><title>${escape(title)}</title><rect x="${x}" y="${y}" width="${CELL.width - 2}" height="${CELL.height - 2}" fill="hsl(209 55% ${(96 - 50 * share).toFixed(0)}%)"/><text x="${x + 8}" y="${y + 17}" fill="${share > 0.7 ? "#fff" : "#1d2733"}">${percent(rate.mean)}</text><text x="${x + 8}" y="${y + 31}" fill="${share > 0.7 ? "#eef4fa" : "#2f4256"}" style="font-size:10px">${percent(rate.low)} – ${percent(rate.high)}</text></g>`;
  });
  const rows = table.mixture.personas.map((persona, p) => `<text x="0" y="${CELL.top + p * CELL.height + 24}">${escape(persona.name.slice(0, 36))}</text>`);
  const columns = table.stimuli.map((stimulus, s) => `<text x="${CELL.left + s * CELL.width + 4}" y="20">${escape(stimulus.name.slice(0, 17))}</text>`);
  const width = CELL.left + table.stimuli.length * CELL.width, height = CELL.top + table.mixture.personas.length * CELL.height;
  return `<h2>Response rate per exposure: ${escape(step)}</h2><div class="scroll"><svg width="${width}" height="${height}" role="img" aria-label="Response rates of ${escape(step)} by persona and stimulus">${columns.join("")}${rows.join("")}${squares.join("")}</svg></div>`;
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
