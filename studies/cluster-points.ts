import { readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { PopulaceError } from "@populace/domain";
import type { Points } from "@populace/domain";

/** Bytes of a file of numbers, unpacked: what one string and its numbers may take of memory. */
const BYTES_MAX = 256_000_000;
const DIMENSIONS_MAX = 1_000;

/**
 * Reads a bare file of numbers: one point a line, separated by blanks, commas, semicolons or tabs, plain or gzip. A first line
 * without any number is a header; empty lines and lines beginning with `#` are skipped. Throws `FILE_MISSING`, `TOO_LARGE`, or
 * `BAD_DATA` naming file, line and column.
 */
export function readPoints(path: string): Points {
  const lines = readText(path).split(/\r\n|\n|\r/);
  const values: number[] = [];
  let rows = 0, dimensions = 0, first = 0;
  lines.forEach((line, index) => {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) return;
    const place = `${path}, line ${index + 1}`;
    if (text.length > 20 * DIMENSIONS_MAX * 2) throw new PopulaceError("BAD_DATA", `${place}: ${text.length} characters; a point has at most ${DIMENSIONS_MAX} numbers`, { file: path, line: index + 1 });
    const cells = text.split(/\s*[,;]\s*|\s+/);
    if (rows === 0 && dimensions === 0 && cells.every((cell) => !isNumber(cell))) {
      dimensions = cells.length;
      first = index + 1;
      return;
    }
    if (dimensions === 0) {
      dimensions = cells.length;
      first = index + 1;
    }
    if (dimensions > DIMENSIONS_MAX) throw new PopulaceError("TOO_LARGE", `${place}: ${dimensions} columns; at most ${DIMENSIONS_MAX}`, { file: path, columns: dimensions });
    const wrong = cells.findIndex((cell) => !isNumber(cell));
    if (wrong >= 0) throw new PopulaceError("BAD_DATA", `${place}, column ${wrong + 1}: ${JSON.stringify(cells[wrong].slice(0, 40))} is no number; expected finite numbers only (for other columns fit a model and name it with --model)`, { file: path, line: index + 1, column: wrong + 1 });
    if (cells.length !== dimensions) throw new PopulaceError("BAD_DATA", `${place}: ${cells.length} numbers; expected ${dimensions}, as in line ${first}`, { file: path, line: index + 1 });
    for (const cell of cells) values.push(Number(cell));
    rows++;
  });
  if (rows === 0) throw new PopulaceError("BAD_DATA", `${path}: no numbers in it; expected one point a line`, { file: path });
  return { rows, dimensions, values: Float64Array.from(values) };
}

const isNumber = (cell: string): boolean => cell !== "" && Number.isFinite(Number(cell));

function readText(path: string): string {
  let bytes: Buffer;
  try {
    if (statSync(path).size > BYTES_MAX) throw new PopulaceError("TOO_LARGE", `${path}: more than ${BYTES_MAX} bytes`, { file: path });
    bytes = readFileSync(path);
  } catch (cause) {
    if (cause instanceof PopulaceError) throw cause;
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); expected a file of numbers, one point a line`, { file: path }, cause);
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString("utf8");
  try {
    return gunzipSync(bytes, { maxOutputLength: BYTES_MAX }).toString("utf8");
  } catch (cause) {
    throw new PopulaceError("BAD_DATA", `${path}: the gzip is damaged, cut short, or more than ${BYTES_MAX} bytes unpacked`, { file: path }, cause);
  }
}
