import { createReadStream, openSync, readSync, closeSync, fstatSync } from "node:fs";
import { createGunzip } from "node:zlib";
import type { Readable } from "node:stream";
import { PopulaceError } from "@populace/domain";
import { CsvScanner } from "./csv-scanner.ts";

export interface RowProgress { readonly bytes: number; readonly bytesTotal: number; readonly rows: number }

/** Takes rows as texts, whatever the file's format. `expectedRows` is a running estimate of the file's rows. */
export interface RowSink {
  header(columns: readonly string[]): void;
  row(fields: readonly string[], columnCount: number, line: number, rowNumber: number, raw: string, expectedRows: number): void;
  malformed(line: number, column: number, reason: string, expectedRows: number): void;
}

const PIECE_BYTES = 1 << 18;
const PARQUET_ROWS = 20_000;

/**
 * Feeds every row of a CSV, gzipped CSV or Parquet file to the sink; the format is told by the file's first bytes. `between` is called, and waited for,
 * after each piece of the file.
 */
export async function readRows(
  path: string,
  csv: { readonly delimiter: string; readonly header: boolean },
  sink: RowSink,
  onProgress?: (progress: RowProgress) => void,
  between: () => void | Promise<void> = () => undefined,
): Promise<void> {
  const { size, magic } = firstBytes(path);
  if (size === 0) throw new PopulaceError("BAD_DATA", `${path}: the file is empty; expected a CSV or Parquet file`, { file: path });
  if (magic === "PAR1") return readParquet(path, sink, size, between, onProgress);
  if (magic.startsWith("PK\u0003\u0004")) throw new PopulaceError("BAD_DATA", `${path}: a zip archive (or a spreadsheet); unpack it or save it as CSV`, { file: path });
  return readCsv(path, csv, sink, size, magic.startsWith("\u001f\u008b"), between, onProgress);
}

/** Bytes of a data file; FILE_MISSING when it cannot be opened. */
export const dataFileSize = (path: string): number => firstBytes(path).size;

function firstBytes(path: string): { size: number; magic: string } {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be opened (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name an existing CSV or Parquet file`, { file: path }, cause);
  }
  try {
    const stat = fstatSync(file);
    if (stat.isDirectory()) throw new PopulaceError("FILE_MISSING", `${path}: is a folder; name a CSV or Parquet file`, { file: path });
    const bytes = Buffer.alloc(4);
    const length = stat.size === 0 ? 0 : readSync(file, bytes, 0, 4, 0);
    return { size: stat.size, magic: bytes.toString("latin1", 0, length) };
  } finally {
    closeSync(file);
  }
}

async function readCsv(
  path: string,
  csv: { readonly delimiter: string; readonly header: boolean },
  sink: RowSink,
  size: number,
  isGzip: boolean,
  between: () => void | Promise<void>,
  onProgress?: (progress: RowProgress) => void,
): Promise<void> {
  let columnCount = -1, rowNumber = 0, bytesRead = 0, shown = 0;
  const expectedRows = (): number => (bytesRead === 0 ? 0 : (rowNumber * size) / bytesRead);
  const scanner = new CsvScanner(csv.delimiter, {
    record(fields, line, raw) {
      if (columnCount < 0) {
        const names = csv.header ? fields.map((name) => name.trim()) : fields.map((_, index) => String(index + 1));
        columnCount = names.length;
        sink.header(names);
        if (csv.header) return;
      }
      rowNumber++;
      sink.row(fields, columnCount, line, rowNumber, raw, expectedRows());
    },
    malformed(line, column, reason) {
      if (columnCount < 0) throw new PopulaceError("BAD_DATA", `${path}:${line}: the header cannot be read: ${reason}`, { file: path, line });
      rowNumber++;
      sink.malformed(line, column, reason, expectedRows());
    },
  });
  const file = createReadStream(path, { highWaterMark: PIECE_BYTES });
  file.on("data", (piece) => { bytesRead += piece.length; });
  const source: Readable = isGzip ? file.pipe(createGunzip()) : file;
  // A failed read must reach the loop below, which only listens to the end of the pipe.
  if (isGzip) file.on("error", (error) => source.destroy(error));
  const decoder = new TextDecoder("utf-8");
  let isFirst = true, isBetween = false;
  try {
    for await (const piece of source) {
      const text = decoder.decode(piece as Buffer, { stream: true });
      if (isFirst && text.slice(0, 4096).includes("\u0000")) throw new PopulaceError("BAD_DATA", `${path}: binary bytes (NUL) where text was expected; save it as CSV in UTF-8, or give a Parquet file`, { file: path });
      isFirst = false;
      scanner.push(text);
      isBetween = true;
      const pause = between();
      if (pause !== undefined) await pause;
      isBetween = false;
      if (onProgress !== undefined && bytesRead >= shown + size / 100) {
        shown = bytesRead;
        onProgress({ bytes: bytesRead, bytesTotal: size, rows: rowNumber });
      }
    }
    scanner.push(decoder.decode());
    scanner.end();
  } catch (cause) {
    // What the caller does between the pieces fails in its own words.
    if (isBetween || cause instanceof PopulaceError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    const why = code.startsWith("Z_") ? (code === "Z_BUF_ERROR" ? "the gzip file is cut short" : "the gzip file is damaged") : (cause as Error).message;
    throw new PopulaceError("BAD_DATA", `${path}: ${why}, after ${rowNumber} rows; fetch or write the file again`, { file: path, rows: rowNumber }, cause);
  } finally {
    file.destroy();
  }
  if (columnCount < 0) throw new PopulaceError("BAD_DATA", `${path}: no header line; expected a CSV file with one`, { file: path });
  onProgress?.({ bytes: size, bytesTotal: size, rows: rowNumber });
}

async function readParquet(path: string, sink: RowSink, size: number, between: () => void | Promise<void>, onProgress?: (progress: RowProgress) => void): Promise<void> {
  const refuse = (cause: unknown): never => {
    throw new PopulaceError("BAD_DATA", `${path}: the Parquet file cannot be read: ${(cause as Error).message}`, { file: path }, cause);
  };
  // Loaded for the file that needs it: every command reads schemas and models, few read Parquet.
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const file = await asyncBufferFromFile(path).catch(refuse);
  const metadata = await parquetMetadataAsync(file).catch(refuse);
  const rows = Number(metadata.num_rows);
  const names = metadata.schema.slice(1).filter((element) => element.num_children === undefined).map((element) => element.name);
  sink.header(names);

  for (let start = 0; start < rows; start += PARQUET_ROWS) {
    const end = Math.min(rows, start + PARQUET_ROWS);
    const objects = await parquetReadObjects({ file, metadata, columns: names, rowStart: start, rowEnd: end, compressors }).catch(refuse);
    objects.forEach((object, index) => {
      const fields = names.map((name) => textOf(object[name]));
      const number = start + index + 1;
      sink.row(fields, names.length, number, number, fields.join("\u001f"), rows);
    });
    await between();
    onProgress?.({ bytes: Math.round((end / rows) * size), bytesTotal: size, rows: end });
  }
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" ? JSON.stringify(value) : String(value as string | number | boolean | bigint);
}
