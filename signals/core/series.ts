import { parse } from "csv-parse/sync";
import { record } from "./record.ts";
import type { Parsed, Rejected, SignalRecord } from "./record.ts";
import { rfc3339Ms } from "./text.ts";

const DATE = /^\d{4}-\d{2}(-\d{2})?$/;

/**
 * Records of an economic series: a CSV with a header whose first column is a date (`2008-09`, `2008-09-01` or RFC 3339) and
 * whose others are numbers; one record a cell, topic = column name. Empty cells are skipped; rejections count data rows from 0.
 */
export function parseSeries(text: string): Parsed {
  let rows: string[][];
  try {
    rows = parse(text, { relax_column_count: true, skip_empty_lines: true, trim: true, bom: true, max_record_size: 1_000_000 });
  } catch (error) {
    return { records: [], rejected: [{ index: 0, reason: `no CSV: ${error instanceof Error ? error.message.slice(0, 160) : "unreadable"}` }] };
  }
  const [header = [], ...body] = rows;
  const records: SignalRecord[] = [];
  const rejected: Rejected[] = [];
  if (header.length < 2) return { records, rejected: [{ index: 0, reason: "the header names no series; expected a date column and at least one more" }] };
  body.forEach((cells, index) => {
    const date = cells[0] ?? "";
    const atMs = DATE.test(date) ? rfc3339Ms(`${date.length === 7 ? `${date}-01` : date}T00:00:00Z`) : rfc3339Ms(date);
    if (atMs === null) rejected.push({ index, reason: `column ${JSON.stringify(header[0])}: no date; expected YYYY-MM, YYYY-MM-DD or RFC 3339` });
    else if (cells.length !== header.length) rejected.push({ index, reason: `${cells.length} cells; the header has ${header.length}` });
    else {
      for (let column = 1; column < header.length; column++) {
        const cell = cells[column]!;
        if (cell === "") continue;
        const value = Number(cell);
        if (!Number.isFinite(value)) rejected.push({ index, reason: `column ${JSON.stringify(header[column])}: no number` });
        else records.push(record("series", `${header[column]}@${date}`, { kind: "series", atMs, value, topics: [header[column]!] }));
      }
    }
  });
  return { records, rejected };
}
