import { eachLine } from "./json.ts";
import { record } from "./record.ts";
import type { Parsed } from "./record.ts";
import { cut } from "./text.ts";
import { SIGNAL_LIMITS } from "./limits.ts";

/** Columns of GDELT 2.0 tables (Event Codebook V2.0, GKG Codebook V2.1), from 0. */
const EVENT = { columns: 61, id: 0, actor1: 6, actor2: 16, code: 26, goldstein: 30, mentions: 31, tone: 34, country: 53, added: 59, url: 60 } as const;
const GRAPH = { columns: 27, id: 0, date: 1, source: 3, url: 4, themes: 7, tone: 15 } as const;

/** Records of a GDELT 2.0 event table (61 columns, tabs, no header): `value` is AvgTone, -100 to 100. */
export const parseGdeltEvents = (text: string): Parsed =>
  eachLine(text, (line) => {
    const cells = line.split("\t");
    if (cells.length !== EVENT.columns) return `${cells.length} columns; expected ${EVENT.columns}`;
    const id = cells[EVENT.id]!;
    if (!/^\d{1,15}$/.test(id)) return "GLOBALEVENTID is no number";
    const tone = number(cells[EVENT.tone]!, -100, 100), goldstein = number(cells[EVENT.goldstein]!, -10, 10), mentions = number(cells[EVENT.mentions]!, 0, 1e9);
    if (tone === null) return "AvgTone is no number of -100 to 100";
    if (goldstein === null && cells[EVENT.goldstein] !== "") return "GoldsteinScale is no number of -10 to 10";
    const atMs = stampMs(cells[EVENT.added]!);
    if (atMs === null) return "DATEADDED is no YYYYMMDDHHMMSS";
    return record("gdelt-events", `gdelt/event/${id}`, {
      kind: "event", atMs, value: tone, url: webAddress(cells[EVENT.url]!),
      topics: [`cameo:${cut(cells[EVENT.code]!, 10)}`, ...[cells[EVENT.country]!].filter((country) => country !== "").map((country) => `country:${cut(country, 10)}`)],
      measures: { ...(goldstein === null ? {} : { goldstein }), ...(mentions === null ? {} : { mentions }) },
    });
  });

/** Records of a GDELT 2.1 Global Knowledge Graph table (27 columns): `value` is the average tone of the document. */
export const parseGdeltKnowledgeGraph = (text: string): Parsed =>
  eachLine(text, (line) => {
    const cells = line.split("\t");
    if (cells.length !== GRAPH.columns) return `${cells.length} columns; expected ${GRAPH.columns}`;
    const id = cells[GRAPH.id]!;
    if (!/^\d{14}-T?\d{1,9}$/.test(id)) return "GKGRECORDID is no YYYYMMDDHHMMSS-number";
    const atMs = stampMs(cells[GRAPH.date]!);
    if (atMs === null) return "DATE is no YYYYMMDDHHMMSS";
    const [tone, positive, negative, polarity, , , words] = cells[GRAPH.tone]!.split(",").map((cell) => number(cell, -1e9, 1e9));
    if (tone === undefined || tone === null || Math.abs(tone) > 100) return "V2Tone is no number of -100 to 100";
    const measures = Object.fromEntries(Object.entries({ positive, negative, polarity, words }).filter((entry): entry is [string, number] => typeof entry[1] === "number"));
    return record("gdelt-gkg", `gdelt/gkg/${id}`, { kind: "news", atMs, value: tone, url: webAddress(cells[GRAPH.url]!), title: null, topics: cells[GRAPH.themes]!.split(";").filter((theme) => theme !== "").slice(0, SIGNAL_LIMITS.topicsMax).map((theme) => cut(theme, 200)), measures });
  });

function number(text: string, low: number, high: number): number | null {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  return value >= low && value <= high ? value : null;
}

function stampMs(text: string): number | null {
  const match = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})$/.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, number, number, number, number, number];
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(ms);
  return back.getUTCMonth() === month - 1 && back.getUTCDate() === day && back.getUTCHours() === hour && back.getUTCMinutes() === minute ? ms : null;
}

const webAddress = (text: string): string | null => (/^https?:\/\//i.test(text) ? cut(text, SIGNAL_LIMITS.nameCharactersMax) : null);
