import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteFile } from "hyparquet-writer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PopulaceError } from "@populace/domain";
import { CsvScanner } from "./csv-scanner.ts";
import { codingsOf, encodeDataset } from "./codings.ts";
import { numberOf, readDataset, readRecipients, selectRows } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { parseSchema } from "./schema.ts";

const folder = mkdtempSync(join(tmpdir(), "dataset-"));
let files = 0;
const file = (content: string | Uint8Array, ending = ".csv"): string => {
  const path = join(folder, `f${files++}${ending}`);
  writeFileSync(path, content);
  return path;
};
const schema = parseSchema("recipient: id\nattributes: {age: continuous, town: categorical, member: binary}\nstimulus: {column: arm, stimuli: {a: {}, b: {contact: false}}}\nfunnel: [visit, buy]\nvalue: spend\n");
const header = "id,age,town,member,arm,visit,buy,spend\n";
const good = (n: number): string => Array.from({ length: n }, (_, i) => `r${i},${20 + (i % 50)},${["Oslo", "Bergen", "Molde"][i % 3]},${i % 2},${i % 2 === 0 ? "a" : "b"},${i % 3 === 0 ? 1 : 0},${i % 6 === 0 ? 1 : 0},${i % 6 === 0 ? "12.50" : ""}\n`).join("");

const refusal = async (content: string | Uint8Array, ending = ".csv", read = schema): Promise<PopulaceError> => {
  try {
    await readDataset(read, file(content, ending));
  } catch (error) {
    if (error instanceof PopulaceError) return error;
    throw error;
  }
  throw new Error("the file was accepted");
};

describe("reading data files", () => {
  it("reads columns, outcomes, amounts in minor units and missing values", async () => {
    const data = await readDataset(schema, file(`${header}x,30,Oslo,1,a,1,1,12.5\ny,,"Ber""gen, old",0,b,0,0,\n`));
    expect(data.rows).toBe(2);
    expect(data.recipients).toEqual(["x", "y"]);
    expect(data.columns[0]).toEqual({ kind: "number", values: Float64Array.of(30, NaN) });
    expect(data.columns[1]).toMatchObject({ dictionary: ["Oslo", 'Ber"gen, old'] });
    expect([...data.stimulus]).toEqual([0, 1]);
    expect([...data.outcomes]).toEqual([1, 1, 0, 0]);
    expect(data.value).toEqual(Float64Array.of(1250, NaN));
    expect(data.missing).toEqual({ age: 1, town: 0, member: 0 });
    expect(data.hashes.length).toBe(16);
  });

  it("reads a number from a text as the language does, to the bit", () => {
    const cell = fc.oneof(
      fc.stringMatching(/^-?\d{0,18}\.?\d{0,18}$/), fc.stringMatching(/^[+-]?\d{1,4}(\.\d{0,4})?([eE][+-]?\d{1,3})?$/), fc.double({ noNaN: true }).map(String),
      fc.constantFrom("", "-", ".", "-.", "-0", "0x10", "Infinity", "1e999", "1_000", "1,5", " 1", "+5", "5.", ".5", "--1", "1.2.3", "9007199254740993", "0.1", "NaN"),
    );
    fc.assert(fc.property(cell, (text) => {
      const expected = text === "" || /[^\d+\-.eE]/.test(text) || !Number.isFinite(Number(text)) ? NaN : Number(text);
      expect(numberOf(text)).toBe(expected);
    }), { numRuns: 5000 });
  });

  it("hands recipients over in pieces that together are the file", async () => {
    const path = file(header + good(40_000) + "z,,New,,a,0,0,\n");
    const whole = await readDataset(schema, path, { recipientsOnly: true });
    expect(whole.hashes.length).toBe(0);
    const pieces: Dataset[] = [];
    const report = await readRecipients(schema, path, 5000, (piece) => void pieces.push(piece));
    expect(pieces.length).toBeGreaterThan(3);
    expect(report).toMatchObject({ rows: 40_001, rejectedCount: 0, noConsent: 0, missing: { age: 1, town: 0, member: 1 } });
    expect(pieces.flatMap((piece) => piece.recipients)).toEqual(whole.recipients);
    expect(pieces.flatMap((piece) => [...piece.rowNumber])).toEqual([...whole.rowNumber]);
    const { codings } = codingsOf(whole);
    const codes = (data: Dataset): number[] => [...encodeDataset(data, codings).codes];
    expect(pieces.flatMap(codes)).toEqual(codes(whole));
  });

  it("judges a file handed over in pieces by its end, and passes on what their receiver throws", async () => {
    const bad = file(header + good(30_000) + "x,old,Oslo,1,a,1,1,1\n".repeat(2000));
    await expect(readRecipients(schema, bad, 1000, () => undefined)).rejects.toMatchObject({ code: "BAD_DATA", message: expect.stringContaining('expected a number, found "old"') });
    await expect(readRecipients(schema, file(header), 1000, () => undefined)).rejects.toMatchObject({ code: "BAD_DATA" });
    await expect(readRecipients(schema, file(header + good(30_000)), 1000, () => Promise.reject(new Error("enough")))).rejects.toThrow("enough");
  });

  it("reads gzip, Windows line ends and a byte order mark to the same columns", async () => {
    const plain = await readDataset(schema, file(header + good(60)));
    for (const path of [file(gzipSync(header + good(60)), ".csv.gz"), file(`\ufeff${(header + good(60)).replaceAll("\n", "\r\n")}`)]) {
      const other = await readDataset(schema, path);
      expect({ ...other, path: "" }).toEqual({ ...plain, path: "" });
    }
  });

  it("reads Parquet to the same columns as CSV", async () => {
    const path = join(folder, "same.parquet");
    const lines = good(60).trim().split("\n").map((line) => line.split(","));
    const column = (name: string, index: number) => ({ name, data: lines.map((line) => line[index]), type: "STRING" as const });
    parquetWriteFile({
      filename: path,
      columnData: [column("id", 0), { name: "age", data: lines.map((line) => Number(line[1])), type: "DOUBLE" }, column("town", 2), { name: "member", data: lines.map((line) => Number(line[3])), type: "INT32" }, column("arm", 4), { name: "visit", data: lines.map((line) => line[5] === "1"), type: "BOOLEAN" }, column("buy", 6), column("spend", 7)],
    });
    const [parquet, csv] = [await readDataset(schema, path), await readDataset(schema, file(header + good(60)))];
    expect(parquet.columns).toEqual(csv.columns);
    expect(parquet.outcomes).toEqual(csv.outcomes);
    expect(parquet.value).toEqual(csv.value);
  });

  it("rejects and counts malformed rows up to the stated share, each with line, column and what was expected", async () => {
    const bad = ["q,NaN,Oslo,1,a,0,0,\n", "q,30,Oslo,1,zzz,0,0,\n", "q,30\n", 'q,"30,Oslo,1,a,0,0,\n', "q,30,Oslo,1,a,,0,\n"];
    const data = await readDataset(schema, file(header + good(500) + bad.join("") + good(500)));
    expect(data.rows).toBe(1000);
    expect(data.rejectedCount).toBe(5);
    expect(data.rejected.map((row) => [row.line, row.column, row.expected])).toEqual([
      [502, "age", "a number"],
      [503, "arm", "one of the schema's stimuli (a, b)"],
      [504, "", "8 fields"],
      [505, "2", "a well-formed record"],
      [506, "visit", 'an outcome ("1" means reached)'],
    ]);
  });

  it("rejects what is still to come, by more than clocks or zones differ, where it is told the time", async () => {
    const timed = parseSchema("attributes: {}\nfunnel: [visit]\ntime: {column: at, format: timestamp}\nrejectShareMax: 1\n", "timed.yaml");
    const times = [
      "2026-03-01T12:00:00Z", "2026-03-01T12:04:59Z", "2026-03-01T14:04:59+02:00", String(Date.UTC(2026, 2, 1, 12, 5)), "2026-03-02", "2026-03-02 02:05:00", "",
      "2026-03-01T12:05:01Z", "2026-03-01T14:05:01+0200", String(Date.UTC(2026, 2, 1, 12, 6)), "2026-03-03", "2026-03-02 02:05:01", "2062-03-01",
    ];
    const path = file(`at,visit\n${times.map((time) => `${time},1`).join("\n")}\n`);
    const { rows, rejected } = await readDataset(timed, path, { nowMs: Date.UTC(2026, 2, 1, 12) });
    expect(rejected.map(({ line, column, found }) => [line, column, found])).toEqual(times.slice(7).map((time, index) => [9 + index, "at", time]));
    expect(rejected[0]).toMatchObject({ file: path, expected: "a time that has come (here it is 2026-03-01T12:00:00.000Z)" });
    expect(rows).toBe(7);
    expect((await readDataset(timed, path)).rows).toBe(13);
    const index = parseSchema("attributes: {}\nfunnel: [visit]\ntime: {column: at, format: index}\n");
    expect((await readDataset(index, file("at,visit\n1,1\n9000000000000,0\n"), { nowMs: 0 })).rows).toBe(2);
  });

  it("stops beyond the share and lists the first bad rows", async () => {
    const error = await refusal(header + good(50) + "q,NaN,Oslo,1,a,0,0,\n");
    expect(error.code).toBe("BAD_DATA");
    expect(error.message).toMatch(/1 of 51 rows cannot be read; at most 1 %.*\n.*f\d+\.csv:52: column age: expected a number, found "NaN"/);
  });

  it("rejects a line of ten million characters without holding it", async () => {
    const data = await readDataset(schema, file(`${header}${good(300)}${"x".repeat(10_000_000)}\n${good(300)}`));
    expect(data.rows).toBe(600);
    expect(data.rejected[0]).toMatchObject({ line: 302, reason: "a line of more than 1,048,576 characters" });
  });

  it.each<[string, () => string | Uint8Array, string, RegExp]>([
    ["an empty file", () => "", ".csv", /the file is empty/],
    ["a header alone", () => header, ".csv", /it has no data rows/],
    ["a truncated gzip", () => gzipSync(header + good(3000)).subarray(0, 2000), ".csv.gz", /the gzip file is cut short, after \d+ rows/],
    ["a damaged gzip", () => gzipSync(header + good(3000)).fill(7, 500, 900), ".csv.gz", /gzip file is damaged|cannot be read|cut short/],
    ["binary bytes", () => Uint8Array.from({ length: 4000 }, (_, i) => (i * 31) % 251), ".csv", /binary bytes|cannot be read|header/],
    ["a zip archive", () => "PK\u0003\u0004rest", ".csv", /zip archive/],
    ["a wrong delimiter", () => (header + good(9)).replaceAll(",", ";"), ".csv", /has one column only.*is the delimiter "," right/],
    ["a missing column", () => header.replace("town", "tovn") + good(9), ".csv", /no column "town" \(attribute town of the schema\); did you mean "tovn"/],
    ["a damaged Parquet file", () => "PAR1 and nothing more", ".parquet", /the Parquet file cannot be read/],
    ["a column twice", () => header.replace("spend", "age") + good(9), ".csv", /occurs twice in the header/],
  ])("refuses %s", async (_, content, ending, message) => {
    const error = await refusal(content(), ending);
    expect(error.code).toBe("BAD_DATA");
    expect(error.message).toMatch(message);
  });

  it("names a data file that does not exist", async () => {
    await expect(readDataset(schema, join(folder, "none.csv"))).rejects.toMatchObject({ code: "FILE_MISSING" });
  });

  it("lets no row without consent reach a column", async () => {
    const consenting = parseSchema("attributes: {age: continuous}\nfunnel: [visit]\nconsent: {purposeColumn: purpose, untilColumn: until, purpose: marketing}\n");
    const rows = ["30,1,marketing,2999-01-01", "NaN-secret,0,analytics,2999-01-01", "99,1,marketing,2001-01-01", "98,1,,", "97,0,marketing,soon", "31,0,marketing,2999-01-01"];
    const data = await readDataset(consenting, file(`age,visit,purpose,until\n${rows.join("\n")}\n`), { atMs: Date.UTC(2026, 0, 1) });
    expect(data.columns[0]).toEqual({ kind: "number", values: Float64Array.of(30, 31) });
    expect(data).toMatchObject({ rows: 2, noConsent: 4, rejectedCount: 0 });
  });

  it("takes a later step without the earlier one as not reached, with a note", async () => {
    const data = await readDataset(schema, file(`${header}x,30,Oslo,1,a,0,1,5\n`));
    expect([...data.outcomes]).toEqual([0, 0]);
    expect(data.notes[0]).toMatch(/1 outcomes of a later step without the step before it/);
  });

  it("finds the stimuli in the data when the schema leaves them to it, numbers by size", async () => {
    const data = await readDataset(parseSchema("attributes: {}\nstimulus: item\nfunnel: [click]\n"), file("item,click\n10,1\n9,0\n10,0\n"));
    expect(data.schema.stimulus.stimuli.map((stimulus) => stimulus.value)).toEqual(["9", "10"]);
    expect([...data.stimulus]).toEqual([1, 0, 1]);
  });

  it("splits the same records however the text is cut into pieces", () => {
    const text = 'a,b\n"x ""1""\n2",3\r\n\nz,"q"\nlast,1';
    const parse = (pieces: readonly string[]): unknown[] => {
      const out: unknown[] = [];
      const scanner = new CsvScanner(",", { record: (fields, line) => out.push([line, fields]), malformed: (line, _, reason) => out.push([line, reason]) });
      for (const piece of pieces) scanner.push(piece);
      scanner.end();
      return out;
    };
    const whole = [[1, ["a", "b"]], [2, ['x "1"\n2', "3"]], [5, ["z", "q"]], [6, ["last", "1"]]];
    for (let size = 1; size <= text.length; size++) expect(parse(text.match(new RegExp(`[^]{1,${size}}`, "g"))!)).toEqual(whole);
  });
});

describe("codings", () => {
  it("come from the rows of the fit; other rows are read against them", async () => {
    const fit = await readDataset(schema, file(header + good(300)));
    const { codings, notes } = codingsOf(fit);
    expect(notes).toEqual([]);
    expect(codings.map((coding) => coding.levels)).toEqual([[], ["Bergen", "Molde", "Oslo", "other"], ["0", "1"]]);
    const other = await readDataset(schema, file(`${header}x,1000,Bodo,1,a,0,0,\ny,20,Oslo,2,a,0,0,\nz,,Oslo,,a,0,0,\n`));
    const { codes, missing, otherLevels } = encodeDataset(other, codings);
    expect([...codes]).toEqual([127, 3, 64, expect.any(Number), 2, -32768, -32768, 2, -32768]);
    expect({ missing, otherLevels }).toEqual({ missing: { age: 1, town: 0, member: 2 }, otherLevels: { town: 1 } });
  });

  it("leave out an attribute with one single value, with a note", async () => {
    const data = await readDataset(schema, file(header + good(60).replaceAll(/Oslo|Bergen|Molde/g, "Oslo")));
    const { codings, notes } = codingsOf(data);
    expect(codings.map((coding) => coding.name)).toEqual(["age", "member"]);
    expect(notes).toEqual(['attribute "town" has one single value (Oslo) and was left out of the model']);
  });

  it("keep row order and width when rows are selected", async () => {
    const data = await readDataset(schema, file(header + good(30)));
    const part = selectRows(data, [6, 0]);
    expect(part.recipients).toEqual(["r6", "r0"]);
    expect([...part.outcomes]).toEqual([1, 1, 1, 1]);
    expect([...part.rowNumber]).toEqual([7, 1]);
    expect(part.hashes.slice(8)).toEqual(data.hashes.slice(0, 8));
  });
});
