import { createHash } from "node:crypto";
import { PopulaceError, allows, readConsent, thousands } from "@populace/domain";
import { LIMITS } from "@populace/protocol";
import type { Schema, AttributeColumn } from "./schema.ts";
import { identifierOf } from "./schema.ts";
import { didYouMean } from "./document.ts";
import { readRows } from "./row-source.ts";
import type { RowProgress } from "./row-source.ts";

/** Numbers as read (NaN = missing), or indices into a dictionary of the raw texts (-1 = missing). */
export type DataColumn =
  | { readonly kind: "number"; readonly values: Float64Array }
  | { readonly kind: "text"; readonly codes: Int32Array; readonly dictionary: readonly string[] };

export interface RejectedRow {
  readonly file: string;
  readonly line: number;
  readonly column: string;
  readonly expected: string;
  readonly found: string;
  readonly reason: string;
}

/** A data file read through its schema, column by column. Rows without consent and rejected rows are not in it. */
export interface Dataset {
  /** The schema with its stimuli filled in where it left them to the data. */
  readonly schema: Schema;
  readonly path: string;
  readonly rows: number;
  /** One column an attribute, in the schema's order. */
  readonly columns: readonly DataColumn[];
  /** Index into `schema.stimulus.stimuli`. */
  readonly stimulus: Int32Array;
  /** rows x steps, 0 or 1; a step is 1 only where the steps before it are. */
  readonly outcomes: Uint8Array;
  /** 1 where the recipient left at this contact; null where the schema names no such column. */
  readonly left: Uint8Array | null;
  /** Minor units; NaN = none. */
  readonly value: Float64Array | null;
  /** Sampling weights as read (positive), or null. */
  readonly weight: Float64Array | null;
  /** Probability with which the row's stimulus was chosen, or null. */
  readonly propensity: Float64Array | null;
  readonly recipients: readonly string[];
  /** 1-based number of the data row in its file (the header line not counted). */
  readonly rowNumber: Int32Array;
  /** First 8 bytes of the SHA-256 of each row's raw text; empty when only recipients were read. */
  readonly hashes: Uint8Array;
  /** Milliseconds or index; NaN = missing. */
  readonly time: Float64Array | null;
  /** Columns asked for beyond the schema's, as text. */
  readonly kept: Readonly<Record<string, { readonly codes: Int32Array; readonly dictionary: readonly string[] }>>;
  /** The first rejected rows, at most 100. */
  readonly rejected: readonly RejectedRow[];
  readonly rejectedCount: number;
  /** attribute -> rows in which it is missing. */
  readonly missing: Readonly<Record<string, number>>;
  readonly noConsent: number;
  /** What a careful reader should know: steps out of order, columns with one value, ... */
  readonly notes: readonly string[];
}

export interface ReadOptions {
  /** Called with the share of the file read, at most about a hundred times. */
  readonly onProgress?: (progress: RowProgress) => void;
  /** Further columns to keep as text (for `--by`). */
  readonly keep?: readonly string[];
  /** Time against which consent is checked, epoch milliseconds; default now. */
  readonly atMs?: number;
  /** Rows whose time lies after it, epoch milliseconds, are rejected: nothing happens in the future. Default none, for a job's result must not follow from the clock of its node. */
  readonly nowMs?: number;
  /** Recipients have met no stimulus yet: stimulus, funnel, value, weight, propensity and hashes are not read. Default false. */
  readonly recipientsOnly?: boolean;
}

const REJECTED_KEPT = 100;
/** UTC+14, where a day begins first. */
const ZONE_AHEAD_MS = 14 * 3_600_000;
const DISTINCT_MAX = 10_000;
const STIMULI_MAX = 256;
/** Rows one dataset may hold; about 2 GB with ten attributes. */
export const ROWS_MAX = 20_000_000;

/**
 * Reads a CSV (.csv, .csv.gz) or Parquet file as a stream and returns its columns.
 * Malformed rows are rejected and counted up to `rejectShareMax` of the schema; beyond it BAD_DATA lists the first of them
 * with file, line, column and what was expected. A missing column, a truncated gzip, an empty or binary file are BAD_DATA;
 * a missing file FILE_MISSING. Consent is looked at before anything else of a row.
 */
export async function readDataset(schema: Schema, path: string, options: ReadOptions = {}): Promise<Dataset> {
  const builder = new DatasetBuilder(schema, path, options);
  await readRows(path, schema.csv, builder, options.onProgress);
  return builder.finish();
}

/** Reports of a reading that ended well; what `readDataset` says in its dataset. */
export type ReadingReport = Pick<Dataset, "schema" | "rejected" | "rejectedCount" | "missing" | "noConsent" | "notes"> & { readonly rows: number };

/**
 * The same, handing over the recipients piece by piece: memory stays within one piece however long the file is. Each piece is a dataset of
 * `pieceRows` rows and a few thousand more (the last of fewer), its counts those of the file so far. Errors as `readDataset`, at the end or as soon as it is hopeless: until the promise resolves, what
 * was made of the pieces is not to be published.
 */
export async function readRecipients(schema: Schema, path: string, pieceRows: number, onPiece: (piece: Dataset) => void | Promise<void>, options: Omit<ReadOptions, "recipientsOnly"> = {}): Promise<ReadingReport> {
  const builder = new DatasetBuilder(schema, path, { ...options, recipientsOnly: true });
  const flush = (): void | Promise<void> => (builder.rows === 0 ? undefined : onPiece(builder.take()));
  await readRows(path, schema.csv, builder, options.onProgress, () => (builder.rows >= pieceRows ? flush() : undefined));
  const report = builder.report();
  await flush();
  return report;
}

/** Typed array that doubles as it grows. */
class Growing<T extends Float64Array | Int32Array | Uint8Array> {
  data: T;
  length = 0;
  readonly #make: (length: number) => T;

  constructor(make: (length: number) => T) {
    this.#make = make;
    this.data = make(1024);
  }

  push(value: number): void {
    if (this.length === this.data.length) {
      const larger = this.#make(this.data.length * 2);
      (larger as Uint8Array).set(this.data as Uint8Array);
      this.data = larger;
    }
    this.data[this.length++] = value;
  }

  /** The values so far, a copy; starts anew. */
  take(): T {
    const taken = this.data.slice(0, this.length) as T;
    this.length = 0;
    return taken;
  }
}

const growingNumbers = (): Growing<Float64Array> => new Growing((length) => new Float64Array(length));
const growingIntegers = (): Growing<Int32Array> => new Growing((length) => new Int32Array(length));

class Dictionary {
  readonly texts: string[] = [];
  readonly codes = growingIntegers();
  readonly #indexOf = new Map<string, number>();

  index(text: string): number {
    let index = this.#indexOf.get(text);
    if (index === undefined) {
      index = this.texts.length;
      this.#indexOf.set(text, index);
      this.texts.push(text);
    }
    return index;
  }
}

/** One fault of a row; thrown inside the builder and caught there. */
interface Fault { readonly column: string; readonly expected: string; readonly found: string }

class DatasetBuilder {
  readonly #schema: Schema;
  readonly #path: string;
  readonly #options: ReadOptions;
  readonly #atMs: number;
  #position = new Map<string, number>();
  /** Positions of the attributes' columns, of the recipient's and of the consent's. */
  #attributeAt: readonly number[] = [];
  #recipientAt = -1;
  readonly #numbers: (Growing<Float64Array> | null)[];
  readonly #texts: (Dictionary | null)[];
  readonly #stimulus = growingIntegers();
  readonly #stimulusIndex = new Map<string, number>();
  readonly #outcomes = new Growing((length) => new Uint8Array(length));
  readonly #left = new Growing((length) => new Uint8Array(length));
  readonly #outcomeTexts: Set<string>[];
  readonly #value = growingNumbers();
  readonly #weight = growingNumbers();
  readonly #propensity = growingNumbers();
  readonly #time = growingNumbers();
  #recipients: string[] = [];
  readonly #rowNumber = growingIntegers();
  readonly #hashes = new Growing((length) => new Uint8Array(length));
  readonly #kept: Map<string, Dictionary>;
  readonly #rejected: RejectedRow[] = [];
  #rejectedCount = 0;
  #noConsent = 0;
  #outOfOrder = 0;
  #leftAndReached = 0;
  #seenRows = 0;
  /** Rows handed over in pieces before. */
  #takenRows = 0;
  readonly #missing: Record<string, number> = {};
  readonly #missingTexts: readonly Set<string>[];
  /** Whether a text that means "missing" reads as a number, so that it must be looked for first. */
  readonly #isNumberMissing: readonly boolean[];
  readonly #missingEverywhere: Set<string>;

  constructor(schema: Schema, path: string, options: ReadOptions) {
    this.#schema = schema;
    this.#path = path;
    this.#options = options;
    this.#atMs = options.atMs ?? Date.now();
    const isNumber = (attribute: AttributeColumn): boolean => attribute.kind === "continuous" || attribute.kind === "count";
    this.#numbers = schema.attributes.map((attribute) => (isNumber(attribute) ? growingNumbers() : null));
    this.#texts = schema.attributes.map((attribute) => (isNumber(attribute) ? null : new Dictionary()));
    this.#missingEverywhere = new Set(schema.csv.missing);
    this.#missingTexts = schema.attributes.map((attribute) => new Set([...schema.csv.missing, ...attribute.missing]));
    this.#isNumberMissing = this.#missingTexts.map((texts) => [...texts].some((text) => !Number.isNaN(numberOf(text))));
    for (const attribute of schema.attributes) this.#missing[attribute.name] = 0;
    this.#domains = schema.attributes.map(domainOf);
    this.#outcomeTexts = schema.funnel.map(() => new Set());
    this.#kept = new Map((options.keep ?? []).map((column) => [column, new Dictionary()]));
    schema.stimulus.stimuli.forEach((stimulus, index) => this.#stimulusIndex.set(stimulus.value, index));
  }

  columnsWanted(): readonly { readonly column: string; readonly purpose: string }[] {
    const { attributes, stimulus, funnel, leave, value, time, consent, recipient, assignment, sampling } = this.#schema;
    const response = this.#options.recipientsOnly === true ? [] : [
      ...(stimulus.column === null ? [] : [{ column: stimulus.column, purpose: "the stimulus" }]),
      ...funnel.map((step) => ({ column: step.column, purpose: `funnel step ${step.name}` })),
      ...(leave === undefined ? [] : [{ column: leave.column, purpose: "leaving" }]),
      ...(value === null ? [] : [{ column: value.column, purpose: "the value" }]),
      ...(time === null ? [] : [{ column: time.column, purpose: "the time" }]),
      ...(assignment.kind === "logged" ? [{ column: assignment.propensity, purpose: "the propensity" }] : []),
      ...(sampling.kind === "weight" ? [{ column: sampling.column, purpose: "the sampling weight" }] : []),
    ];
    return [
      ...attributes.map((attribute) => ({ column: attribute.column, purpose: `attribute ${attribute.name}` })),
      ...(recipient === null ? [] : [{ column: recipient, purpose: "the recipient id" }]),
      ...(consent === null ? [] : [{ column: consent.purposeColumn, purpose: "consent (purpose)" }, { column: consent.untilColumn, purpose: "consent (until)" }]),
      ...response,
      ...(this.#options.keep ?? []).map((column) => ({ column, purpose: "--by" })),
    ];
  }

  header(columns: readonly string[]): void {
    const position = new Map<string, number>();
    const twice = new Set<string>();
    columns.forEach((name, index) => {
      if (position.has(name)) twice.add(name);
      position.set(name, index);
    });
    for (const { column, purpose } of this.columnsWanted()) {
      if (twice.has(column)) throw new PopulaceError("BAD_DATA", `${this.#path}: the column "${column}" (${purpose}) occurs twice in the header; rename one`, { file: this.#path, column });
      if (!position.has(column)) {
        const hint = columns.length === 1 ? `; the file has one column only, "${columns[0].slice(0, 60)}": is the delimiter ${JSON.stringify(this.#schema.csv.delimiter)} right?` : didYouMean(column, columns);
        throw new PopulaceError("BAD_DATA", `${this.#path}:1: no column "${column}" (${purpose} of the schema)${hint}`, { file: this.#path, column, columns: columns.slice(0, 100) });
      }
    }
    this.#position = position;
    this.#attributeAt = this.#schema.attributes.map((attribute) => position.get(attribute.column) as number);
    if (this.#schema.recipient !== null) this.#recipientAt = position.get(this.#schema.recipient) as number;
  }

  malformed(line: number, column: number, reason: string, expectedRows: number): void {
    this.#reject({ file: this.#path, line, column: column === 0 ? "" : String(column), expected: "a well-formed record", found: reason, reason }, expectedRows);
  }

  row(fields: readonly string[], columnCount: number, line: number, rowNumber: number, raw: string, expectedRows: number): void {
    this.#seenRows++;
    if (fields.length !== columnCount) {
      this.#seenRows--;
      this.#reject({ file: this.#path, line, column: "", expected: `${columnCount} fields`, found: `${fields.length}`, reason: `expected ${columnCount} fields, found ${fields.length}` }, expectedRows);
      return;
    }
    const consent = this.#schema.consent;
    if (consent !== null) {
      const record = readConsent(this.#cell(fields, consent.purposeColumn), this.#cell(fields, consent.untilColumn));
      if (!allows(record, consent.purpose, this.#atMs)) {
        this.#noConsent++;
        return;
      }
    }
    if (this.#takenRows + this.#rowNumber.length >= ROWS_MAX) {
      throw new PopulaceError("TOO_LARGE", `${this.#path}: more than ${thousands(ROWS_MAX)} rows; fit on a random part of the file`, { file: this.#path, limit: ROWS_MAX });
    }
    const fault = this.#take(fields);
    if (fault !== null) {
      this.#seenRows--;
      const found = fault.found.length > 40 ? `${fault.found.slice(0, 37)}...` : fault.found;
      this.#reject({ file: this.#path, line, column: fault.column, expected: fault.expected, found, reason: `expected ${fault.expected}, found "${found}"` }, expectedRows);
      return;
    }
    this.#recipients.push(this.#recipientAt < 0 ? String(rowNumber) : trimmed(fields[this.#recipientAt]));
    this.#rowNumber.push(rowNumber);
    if (this.#options.recipientsOnly !== true) {
      const digest = createHash("sha256").update(raw).digest();
      for (let i = 0; i < 8; i++) this.#hashes.push(digest[i]);
    }
    for (const [column, dictionary] of this.#kept) dictionary.codes.push(dictionary.index(this.#cell(fields, column)));
  }

  #cell(fields: readonly string[], column: string): string {
    return trimmed(fields[this.#position.get(column) as number]);
  }

  #reject(row: RejectedRow, expectedRows: number): void {
    this.#rejectedCount++;
    if (this.#rejected.length < REJECTED_KEPT) this.#rejected.push(row);
    const share = this.#schema.rejectShareMax;
    // The estimate of all rows is rough, so reading stops early only when it is clearly hopeless.
    if (this.#rejectedCount >= 100 && this.#rejectedCount > 1.5 * share * Math.max(expectedRows, this.#seenRows + this.#rejectedCount)) this.#refuse(true);
  }

  #refuse(early: boolean): never {
    const rows = this.#seenRows + this.#rejectedCount;
    const first = this.#rejected.slice(0, 5).map((row) => `  ${row.file}:${row.line}: ${row.column === "" ? "" : `column ${row.column}: `}${row.reason}`);
    throw new PopulaceError(
      "BAD_DATA",
      `${this.#path}: ${this.#rejectedCount} of ${early ? "the first " : ""}${rows} rows cannot be read; at most ${this.#schema.rejectShareMax * 100} % may be rejected (rejectShareMax of the schema). The first:\n${first.join("\n")}`,
      { file: this.#path, rejected: this.#rejectedCount, rows, first: this.#rejected.slice(0, 5) },
    );
  }

  /** Pushes one row onto every column, or returns the fault and pushes nothing. */
  #take(fields: readonly string[]): Fault | null {
    const { attributes, stimulus, funnel, leave, value, time, assignment, sampling } = this.#schema;
    const parsed = this.#parsed;
    for (let a = 0; a < attributes.length; a++) {
      const attribute = attributes[a];
      const text = trimmed(fields[this.#attributeAt[a]]);
      const isText = this.#numbers[a] === null;
      const number = isText ? NaN : numberOf(text);
      // Looking a text up costs more than reading a number, and a number is seldom missing.
      if ((isText || Number.isNaN(number) || this.#isNumberMissing[a]) && this.#missingTexts[a].has(text)) { parsed[a] = NaN; continue; }
      if (isText) {
        if (attribute.kind === "binary" && attribute.levels.length === 2 && !attribute.levels.includes(text)) {
          return { column: attribute.column, expected: `"${attribute.levels[0]}" or "${attribute.levels[1]}"`, found: text };
        }
        parsed[a] = this.#texts[a]!.index(text);
        if (this.#texts[a]!.texts.length > DISTINCT_MAX) {
          throw new PopulaceError("BAD_DATA", `${this.#path}: attribute "${attribute.name}" has more than ${DISTINCT_MAX} distinct values; is column "${attribute.column}" an id or a number?`, { file: this.#path, column: attribute.column });
        }
        continue;
      }
      if (Number.isNaN(number)) return { column: attribute.column, expected: "a number", found: text };
      const limit = this.#domains[a];
      if (!(number >= limit.low && number <= limit.high)) return { column: attribute.column, expected: limit.expected, found: text };
      parsed[a] = number;
    }
    if (this.#options.recipientsOnly === true) {
      this.#pushAttributes(parsed);
      this.#stimulus.push(0);
      for (let step = 0; step < funnel.length; step++) this.#outcomes.push(0);
      return null;
    }
    let stimulusIndex = 0;
    if (stimulus.column !== null) {
      const text = this.#cell(fields, stimulus.column);
      const known = this.#stimulusIndex.get(text);
      if (known !== undefined) stimulusIndex = known;
      else if (stimulus.stimuli.length > 0) return { column: stimulus.column, expected: `one of the schema's stimuli (${stimulus.stimuli.slice(0, 8).map((each) => each.value).join(", ")})`, found: text };
      else if (this.#missingEverywhere.has(text)) return { column: stimulus.column, expected: "a stimulus", found: text };
      else {
        stimulusIndex = this.#stimulusIndex.size;
        if (stimulusIndex >= STIMULI_MAX) {
          throw new PopulaceError("BAD_DATA", `${this.#path}: more than ${STIMULI_MAX} distinct stimuli in column "${stimulus.column}"; is it an id?`, { file: this.#path, column: stimulus.column });
        }
        this.#stimulusIndex.set(text, stimulusIndex);
      }
    }
    let amount = NaN, weight = 1, propensity = 1, at = NaN;
    if (value !== null) {
      const text = this.#cell(fields, value.column);
      if (!this.#missingEverywhere.has(text)) {
        const number = numberOf(text);
        if (Number.isNaN(number)) return { column: value.column, expected: "an amount", found: text };
        amount = Math.round(number * value.minorUnits);
      }
    }
    if (sampling.kind === "weight") {
      weight = numberOf(this.#cell(fields, sampling.column));
      if (!(weight > 0)) return { column: sampling.column, expected: "a weight above 0", found: this.#cell(fields, sampling.column) };
    }
    if (assignment.kind === "logged") {
      propensity = numberOf(this.#cell(fields, assignment.propensity));
      if (!(propensity > 0 && propensity <= 1)) return { column: assignment.propensity, expected: "a probability above 0 and at most 1", found: this.#cell(fields, assignment.propensity) };
    }
    if (time !== null) {
      const text = this.#cell(fields, time.column);
      if (!this.#missingEverywhere.has(text)) {
        at = time.format === "index" ? numberOf(text) : timeOf(text);
        if (Number.isNaN(at)) return { column: time.column, expected: time.format === "index" ? "a number" : "a date such as 2026-03-31", found: text };
        const { nowMs } = this.#options;
        if (nowMs !== undefined && time.format !== "index" && isToCome(at, text, nowMs)) return { column: time.column, expected: `a time that has come (here it is ${new Date(nowMs).toISOString()})`, found: text };
      }
    }
    const reached = this.#reached;
    for (let step = 0; step < funnel.length; step++) {
      const text = this.#cell(fields, funnel[step].column);
      if (this.#missingEverywhere.has(text)) return { column: funnel[step].column, expected: `an outcome ("${funnel[step].positive}" means reached)`, found: text };
      if (this.#outcomeTexts[step].size < 6) this.#outcomeTexts[step].add(text);
      reached[step] = isPositive(text, funnel[step].positive) ? 1 : 0;
      if (step > 0 && reached[step] > reached[step - 1]) {
        reached[step] = 0;
        this.#outOfOrder++;
      }
    }
    let left = 0;
    if (leave !== undefined) {
      const text = this.#cell(fields, leave.column);
      if (this.#missingEverywhere.has(text)) return { column: leave.column, expected: `whether the recipient left ("${leave.positive}" means yes)`, found: text };
      left = isPositive(text, leave.positive) ? 1 : 0;
      if (left === 1 && reached[funnel.length - 1] === 1) this.#leftAndReached++;
    }
    this.#pushAttributes(parsed);
    if (leave !== undefined) this.#left.push(left);
    this.#stimulus.push(stimulusIndex);
    for (let step = 0; step < funnel.length; step++) this.#outcomes.push(reached[step]);
    this.#value.push(amount);
    this.#weight.push(weight);
    this.#propensity.push(propensity);
    this.#time.push(at);
    return null;
  }

  readonly #domains: readonly ReturnType<typeof domainOf>[];
  readonly #parsed: number[] = [];
  readonly #reached: number[] = [];

  #pushAttributes(parsed: readonly number[]): void {
    const attributes = this.#schema.attributes;
    for (let a = 0; a < attributes.length; a++) {
      if (Number.isNaN(parsed[a])) this.#missing[attributes[a].name]++;
      if (this.#numbers[a] !== null) this.#numbers[a]!.push(parsed[a]);
      else this.#texts[a]!.codes.push(Number.isNaN(parsed[a]) ? -1 : parsed[a]);
    }
  }

  /** Rows that have not been handed over. */
  get rows(): number {
    return this.#rowNumber.length;
  }

  /** The whole file as one dataset. Errors as `report`. */
  finish(): Dataset {
    this.report();
    return this.take();
  }

  /** Judges the file: BAD_DATA when too many rows were rejected or there are none. */
  report(): ReadingReport {
    const rows = this.#takenRows + this.rows;
    const share = this.#schema.rejectShareMax;
    if (this.#rejectedCount > share * (this.#seenRows + this.#rejectedCount)) this.#refuse(false);
    if (rows === 0) {
      const why = this.#noConsent > 0 ? `none of ${this.#noConsent} rows has consent for "${this.#schema.consent?.purpose}"` : "it has no data rows";
      throw new PopulaceError("BAD_DATA", `${this.#path}: nothing to read: ${why}`, { file: this.#path, noConsent: this.#noConsent });
    }
    return { schema: this.#schema, rows, rejected: this.#rejected, rejectedCount: this.#rejectedCount, missing: this.#missing, noConsent: this.#noConsent, notes: this.#notes() };
  }

  #notes(): readonly string[] {
    const notes: string[] = [];
    if (this.#outOfOrder > 0) notes.push(`${this.#outOfOrder} outcomes of a later step without the step before it were taken as not reached`);
    if (this.#leftAndReached > 0) notes.push(`${this.#leftAndReached} who reached the last step also left; leaving is learned from contacts that did not come so far`);
    this.#outcomeTexts.forEach((texts, step) => {
      const { column, positive } = this.#schema.funnel[step];
      if (texts.size > 2) notes.push(`column "${column}" has more than two values (${[...texts].slice(0, 5).join(", ")}); only "${positive}" counts as reached`);
    });
    return notes;
  }

  /** The rows so far as a dataset, and none from then on; dictionaries stay, so that codes mean the same in all pieces. */
  take(): Dataset {
    const { rows } = this;
    const recipients = this.#recipients;
    this.#recipients = [];
    this.#takenRows += rows;
    const { schema, stimulus } = this.#withStimuli();
    return {
      schema,
      path: this.#path,
      rows,
      columns: this.#numbers.map((numbers, a): DataColumn => (numbers !== null ? { kind: "number", values: numbers.take() } : { kind: "text", codes: this.#texts[a]!.codes.take(), dictionary: this.#texts[a]!.texts })),
      stimulus,
      outcomes: this.#outcomes.take(),
      left: schema.leave === undefined || this.#left.length === 0 ? null : this.#left.take(),
      value: schema.value === null || this.#value.length === 0 ? null : this.#value.take(),
      weight: schema.sampling.kind === "weight" && this.#weight.length > 0 ? this.#weight.take() : null,
      propensity: schema.assignment.kind === "logged" && this.#propensity.length > 0 ? this.#propensity.take() : null,
      recipients,
      rowNumber: this.#rowNumber.take(),
      hashes: this.#hashes.take(),
      time: schema.time === null || this.#time.length === 0 ? null : this.#time.take(),
      kept: Object.fromEntries([...this.#kept].map(([column, dictionary]) => [column, { codes: dictionary.codes.take(), dictionary: dictionary.texts }])),
      rejected: this.#rejected,
      rejectedCount: this.#rejectedCount,
      missing: this.#missing,
      noConsent: this.#noConsent,
      notes: this.#notes(),
    };
  }

  /** Stimuli left to the data are those seen, in the order of their values (numbers by size). */
  #withStimuli(): { schema: Schema; stimulus: Int32Array } {
    const taken = this.#stimulus.take();
    const { stimulus } = this.#schema;
    if (stimulus.stimuli.length > 0 || stimulus.column === null || this.#stimulusIndex.size === 0) return { schema: this.#schema, stimulus: taken };
    const values = [...this.#stimulusIndex.keys()];
    const sorted = values.toSorted((a, b) => (Number.isNaN(Number(a) - Number(b)) ? (a < b ? -1 : 1) : Number(a) - Number(b)));
    const place = new Int32Array(values.length);
    sorted.forEach((value, index) => { place[this.#stimulusIndex.get(value) as number] = index; });
    const ids = new Map<string, number>();
    const stimuli = sorted.map((value) => {
      const base = identifierOf(value), count = ids.get(base) ?? 0;
      ids.set(base, count + 1);
      return { value, id: (count === 0 ? base : `${base}-${count + 1}`) as never, name: value, contact: true, channel: "direct", offer: {}, copy: {}, tags: {}, features: {}, contactCostMinor: 0 };
    });
    return { schema: { ...this.#schema, stimulus: { ...stimulus, stimuli } }, stimulus: taken.map((index) => place[index]) };
  }
}

/** The text without blanks around it; most have none, and looking is cheaper than trimming. */
function trimmed(text: string): string {
  const first = text.charCodeAt(0), last = text.charCodeAt(text.length - 1);
  return first > 32 && first < 128 && last > 32 && last < 128 ? text : text.trim();
}

/** Powers of ten that a double holds exactly and that a quotient of two exact doubles needs. */
const TENS = Array.from({ length: 16 }, (_, power) => 10 ** power);

/** The number a cell states, NaN when it states none; hexadecimal, infinite and empty texts are none. */
export function numberOf(text: string): number {
  // Up to 15 digits with a point are two exact integers and one division, which rounds as reading the text does.
  let digits = 0, value = 0, point = -1;
  const isNegative = text.charCodeAt(0) === 45;
  for (let at = isNegative ? 1 : 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === 46 && point < 0) point = digits;
    else if (unit >= 48 && unit <= 57 && digits < 15) {
      value = value * 10 + unit - 48;
      digits++;
    } else return numberOfAny(text);
  }
  if (digits === 0) return NaN;
  if (point >= 0) value /= TENS[digits - point];
  return isNegative ? -value : value;
}

function numberOfAny(text: string): number {
  if (text === "" || /[^\d+\-.eE]/.test(text)) return NaN;
  const number = Number(text);
  return Number.isFinite(number) ? number : NaN;
}

function timeOf(text: string): number {
  if (/^\d{10,15}$/.test(text)) return Number(text);
  // A time without a zone is read as UTC: a result must not depend on the machine's zone.
  const iso = text.replace(" ", "T");
  return Date.parse(/^\d{4}-\d{2}-\d{2}T[\d:.]+$/.test(iso) ? `${iso}Z` : iso);
}

/** Whether what is said to have happened lies ahead of `nowMs`, by more than clocks differ; of a text that names no zone, which is read as UTC, by more than any zone is ahead. */
function isToCome(at: number, text: string, nowMs: number): boolean {
  const aheadMs = at - nowMs - LIMITS.outcomeAheadMs;
  return aheadMs > 0 && (aheadMs > ZONE_AHEAD_MS || /^\d+$|:.*(Z|[+-]\d{2}:?\d{2})$/.test(text));
}

function isPositive(text: string, positive: string): boolean {
  if (text === positive) return true;
  if ((text === "true" && positive === "1") || (text === "1" && positive === "true")) return true;
  const a = numberOf(text), b = numberOf(positive);
  return !Number.isNaN(a) && a === b;
}

function domainOf(attribute: AttributeColumn): { readonly low: number; readonly high: number; readonly expected: string } {
  if (attribute.kind === "count") return { low: 0, high: Number.MAX_VALUE, expected: "a count of at least 0" };
  if (attribute.transform === "log1p") return { low: -0.999999, high: Number.MAX_VALUE, expected: "a number above -1 (transform log1p)" };
  if (attribute.transform === "logit") return { low: 0, high: 1, expected: "a share from 0 to 1 (transform logit)" };
  return { low: -Number.MAX_VALUE, high: Number.MAX_VALUE, expected: "a number" };
}

/** The dataset of the given rows, in that order; columns are copied, reports of the reading are kept as they are. */
export function selectRows(dataset: Dataset, rows: ArrayLike<number>): Dataset {
  const count = rows.length;
  const steps = dataset.schema.funnel.length;
  const pick = <T extends Float64Array | Int32Array | Uint8Array>(source: T, width = 1): T => {
    const target = new (source.constructor as new (length: number) => T)(count * width);
    for (let i = 0; i < count; i++) for (let j = 0; j < width; j++) target[i * width + j] = source[rows[i] * width + j];
    return target;
  };
  const columns = dataset.columns.map((column): DataColumn => (column.kind === "number" ? { kind: "number", values: pick(column.values) } : { ...column, codes: pick(column.codes) }));
  return {
    ...dataset,
    rows: count,
    columns,
    stimulus: pick(dataset.stimulus),
    outcomes: pick(dataset.outcomes, steps),
    left: dataset.left && pick(dataset.left),
    value: dataset.value && pick(dataset.value),
    weight: dataset.weight && pick(dataset.weight),
    propensity: dataset.propensity && pick(dataset.propensity),
    recipients: Array.from({ length: count }, (_, i) => dataset.recipients[rows[i]]),
    rowNumber: pick(dataset.rowNumber),
    hashes: pick(dataset.hashes, 8),
    time: dataset.time && pick(dataset.time),
    kept: Object.fromEntries(Object.entries(dataset.kept).map(([name, column]) => [name, { ...column, codes: pick(column.codes) }])),
    missing: Object.fromEntries(dataset.schema.attributes.map((attribute, a) => [attribute.name, countMissing(columns[a])])),
  };
}

function countMissing(column: DataColumn): number {
  let count = 0;
  if (column.kind === "number") { for (const value of column.values) if (Number.isNaN(value)) count++; }
  else for (const code of column.codes) if (code < 0) count++;
  return count;
}
