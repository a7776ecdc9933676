import { stripVTControlCharacters, styleText } from "node:util";
import { thousands } from "@populace/domain";
import type { EvidenceLabel } from "@populace/domain";

type Style = Parameters<typeof styleText>[0];

/** Colors the text unless NO_COLOR is set or standard output is no terminal. */
export const paint = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });

/** Text of foreign origin made safe for a terminal: control characters become spaces, so that no name can move the cursor. */
// eslint-disable-next-line no-control-regex
export const plain = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, " ");

/** A rate of 0 to 1 as per cent with three significant digits; for people, never for JSON. */
export function percent(rate: number): string {
  if (!Number.isFinite(rate)) return "-";
  const value = rate * 100;
  const size = Math.abs(value);
  return `${value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3)} %`;
}

/** "12.3 % [11.1, 13.6]": a rate with its 90 % interval. */
export function rateText(rate: { readonly mean: number; readonly low: number; readonly high: number }): string {
  const bound = (value: number): string => percent(value).replace(" %", "");
  return `${percent(rate.mean)} [${bound(rate.low)}, ${bound(rate.high)}]`;
}

/** Minor currency units as an amount: 1234 -> "12.34". */
export const amount = (valueMinor: number, minorUnits = 100): string => (valueMinor / minorUnits).toFixed(minorUnits > 1 ? 2 : 0);

/** 1234567 -> "1,234,567". */
export const count = (value: number): string => thousands(Math.round(value));

/** "1.2 s", "340 ms". */
export const duration = (seconds: number): string => (seconds < 1 ? `${(seconds * 1000).toFixed(0)} ms` : `${seconds.toFixed(1)} s`);

/** "18.2 M": for speeds and sizes. */
export function compact(value: number): string {
  for (const [size, suffix] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]] as const) {
    if (Math.abs(value) >= size) return `${(value / size).toFixed(1)}${suffix}`;
  }
  return value.toFixed(0);
}

/** The evidence behind a rate in one short word; simulated evidence never looks like real. */
export function evidence(label: EvidenceLabel): string {
  switch (label) {
    case "prior only": return paint("yellow", "prior only");
    case "simulated only": return paint("yellow", "simulated only");
    case "real": return paint("green", "real");
    case "simulated and real": return paint("green", "simulated and real");
  }
}

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

const CELL_WIDTH_MAX = 44;
const width = (text: string): number => stripVTControlCharacters(text).length;

/** Lines of a table: a header, a rule, and one line a row; columns as wide as their widest cell, long cells cut with an ellipsis. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): readonly string[] {
  const cut = (text: string): string => (width(text) <= CELL_WIDTH_MAX ? text : `${stripVTControlCharacters(text).slice(0, CELL_WIDTH_MAX - 1)}…`);
  const cells = rows.map((row) => row.map(cut));
  const widths = columns.map((column, index) => Math.max(width(column.title), ...cells.map((row) => width(row[index] ?? ""))));
  const line = (row: readonly string[]): string =>
    row.map((text, index) => {
      const gap = " ".repeat(Math.max(0, (widths[index] ?? 0) - width(text)));
      return columns[index]?.align === "right" ? gap + text : text + gap;
    }).join("  ").trimEnd();
  return [
    paint("bold", line(columns.map((column) => column.title))),
    paint("dim", widths.map((size) => "─".repeat(size)).join("  ")),
    ...cells.map(line),
  ];
}

/** The first `limit` lines' worth of rows, and a sentence on what was left out. */
export function shortened<T>(rows: readonly T[], limit: number, what: string): { readonly rows: readonly T[]; readonly rest: readonly string[] } {
  return rows.length <= limit
    ? { rows, rest: [] }
    : { rows: rows.slice(0, limit), rest: [paint("dim", `… and ${count(rows.length - limit)} more ${what} (--json shows all)`)] };
}

/** One bar a number, the tallest full. */
export const sparkline = (counts: readonly number[]): string => counts.map((each) => "▁▂▃▄▅▆▇█"[Math.round((7 * each) / Math.max(...counts, 1))]).join("");
