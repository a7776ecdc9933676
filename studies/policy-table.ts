import { PopulaceError } from "@populace/domain";
import type { Dataset } from "./dataset.ts";
import { didYouMean } from "./document.ts";
import { readRows } from "./row-source.ts";
import type { RowSink } from "./row-source.ts";

/** Probabilities of the arms for each row of a log. */
export interface LoggedPolicy {
  readonly name: string;
  /** Writes the probability of every arm for that row of the dataset; they add to 1. */
  readonly probabilities: (row: number, into: Float64Array) => void;
  readonly notes: readonly string[];
}

/** Columns of a long table that may hold the probability. */
const PROBABILITY = "probability";
/** Columns that number rows: read by nobody. */
const NUMBERING = ["", "row", "index"];
/** Probabilities written with six digits do not add to 1 exactly; they are divided by their sum. */
const SUM_TOLERANCE = 1e-4;

/**
 * Reads a policy's probabilities from a CSV (.gz) or Parquet file, for the rows of `dataset`. Three forms, told by the header:
 * one column an arm, one line a row of the log; the same with columns of the schema's attributes, one line a combination of them; or
 * attributes, the stimulus column and `probability`, one line a combination and arm. An arm without a column or line has probability 0.
 *
 * BAD_DATA names file, line and column of what is no probability or does not add to 1, of a column that is neither, and of the first row of the
 * log that has no line. DEGENERATE_DATA for an arm the log never shows.
 */
export async function readPolicyTable(path: string, dataset: Dataset): Promise<LoggedPolicy> {
  const table = new PolicyTable(path, dataset);
  await readRows(path, { delimiter: dataset.schema.csv.delimiter, header: true }, table);
  return table.finish();
}

class PolicyTable implements RowSink {
  readonly #path: string;
  readonly #dataset: Dataset;
  readonly #armOf: ReadonlyMap<string, number>;
  readonly #arms: number;
  /** Of each column of the file: an attribute of the schema, an arm, or nothing that is read. */
  #columns: readonly { readonly at: number; readonly attribute: number; readonly arm: number }[] = [];
  #names: readonly string[] = [];
  #long: { readonly arm: number; readonly probability: number } | null = null;
  readonly #byKey = new Map<string, { readonly line: number; readonly shares: Float64Array; readonly seen: Set<number> }>();

  constructor(path: string, dataset: Dataset) {
    this.#path = path;
    this.#dataset = dataset;
    const { stimuli } = dataset.schema.stimulus;
    this.#armOf = new Map(stimuli.map((stimulus, arm) => [stimulus.value, arm]));
    this.#arms = stimuli.length;
  }

  header(names: readonly string[]): void {
    this.#names = names;
    const { attributes, stimulus } = this.#dataset.schema;
    const attributeOf = (name: string): number => attributes.findIndex((attribute) => attribute.column === name || attribute.name === name);
    const action = stimulus.column === null ? -1 : names.indexOf(stimulus.column), probability = names.indexOf(PROBABILITY);
    this.#long = action >= 0 && probability >= 0 ? { arm: action, probability } : null;
    this.#columns = names.flatMap((name, at) => {
      if (this.#long !== null && (at === action || at === probability)) return [];
      const arm = this.#long === null ? (this.#armOf.get(name) ?? -1) : -1, attribute = arm >= 0 ? -1 : attributeOf(name);
      if (arm < 0 && attribute < 0 && !NUMBERING.includes(name)) {
        const known = [...(this.#long === null ? [...this.#armOf.keys()] : []), ...attributes.map((each) => each.column)];
        throw new PopulaceError("DEGENERATE_DATA", `${this.#path}:1: column "${name}" is neither an arm that the log shows nor an attribute of its schema${didYouMean(name, known)}; arms: ${[...this.#armOf.keys()].slice(0, 12).join(", ")}`, { file: this.#path, column: name });
      }
      return arm < 0 && attribute < 0 ? [] : [{ at, attribute, arm }];
    });
    if (this.#long === null && !this.#columns.some(({ arm }) => arm >= 0)) {
      throw new PopulaceError("BAD_DATA", `${this.#path}:1: no column is an arm of the log (${[...this.#armOf.keys()].slice(0, 12).join(", ")}), and there are no columns ${stimulus.column ?? "of the stimulus"} and ${PROBABILITY}`, { file: this.#path, columns: names.slice(0, 50) });
    }
  }

  malformed(line: number, _column: number, reason: string): void {
    throw new PopulaceError("BAD_DATA", `${this.#path}:${line}: ${reason}`, { file: this.#path, line });
  }

  row(fields: readonly string[], columnCount: number, line: number, rowNumber: number): void {
    if (fields.length !== columnCount) return this.malformed(line, 0, `${fields.length} fields; expected ${columnCount}`);
    const keyed = this.#columns.filter(({ attribute }) => attribute >= 0);
    const key = keyed.length === 0 && this.#long === null ? String(rowNumber) : keyed.map(({ at, attribute }) => this.#plain(attribute, fields[at].trim())).join("\u001f");
    if (this.#long !== null) {
      const name = fields[this.#long.arm].trim(), arm = this.#armOf.get(name);
      const share = this.#probability(fields[this.#long.probability], line, PROBABILITY);
      if (arm === undefined) {
        if (share === 0) return;
        throw new PopulaceError("DEGENERATE_DATA", `${this.#path}:${line}: the policy takes "${name}" with probability ${share}, an arm that the log never shows: nothing is known of it`, { file: this.#path, line, arm: name });
      }
      const entry = this.#entry(key, line);
      if (entry.seen.has(arm)) throw new PopulaceError("BAD_DATA", `${this.#path}:${line}: arm "${name}" has a second line for the same ${keyed.map(({ at }) => this.#names[at]).join(", ") || "policy"}; the first began at line ${entry.line}`, { file: this.#path, line });
      entry.seen.add(arm);
      entry.shares[arm] = share;
      return;
    }
    if (this.#byKey.has(key)) throw new PopulaceError("BAD_DATA", `${this.#path}:${line}: a second line for the same ${keyed.map(({ at }) => this.#names[at]).join(", ")}; the first is line ${this.#byKey.get(key)!.line}`, { file: this.#path, line });
    const entry = this.#entry(key, line);
    for (const { at, arm } of this.#columns) if (arm >= 0) entry.shares[arm] = this.#probability(fields[at], line, this.#names[at]);
    this.#normalize(entry.shares, line);
  }

  finish(): LoggedPolicy {
    const { schema, rows, rowNumber } = this.#dataset;
    const keyed = this.#columns.filter(({ attribute }) => attribute >= 0);
    if (this.#long !== null) for (const { shares, line } of this.#byKey.values()) this.#normalize(shares, line);
    const isByRow = keyed.length === 0 && this.#long === null;
    const columns = keyed.map(({ attribute }) => ({ attribute, column: this.#dataset.columns[attribute] }));
    const keyOf = (row: number): string => (isByRow ? String(rowNumber[row]) : columns.map(({ column }) => (column.kind === "number" ? String(column.values[row]) : (column.dictionary[column.codes[row]] ?? ""))).join("\u001f"));
    const ofRow = Array.from({ length: rows }, (_, row): Float64Array => {
      const entry = this.#byKey.get(keyOf(row));
      if (entry !== undefined) return entry.shares;
      const what = isByRow ? `${this.#byKey.size} lines` : `no line for ${columns.map(({ attribute }, i) => `${schema.attributes[attribute].column}=${keyOf(row).split("\u001f")[i]}`).join(", ") || "any context"}`;
      throw new PopulaceError("BAD_DATA", `${this.#path}: ${what}; row ${rowNumber[row]} of ${this.#dataset.path} has no probabilities`, { file: this.#path, row: rowNumber[row] });
    });
    if (isByRow && this.#byKey.size > Math.max(...rowNumber)) {
      throw new PopulaceError("BAD_DATA", `${this.#path}: ${this.#byKey.size} lines for a log whose last row is ${Math.max(...rowNumber)}; expected one line a row, in the log's order`, { file: this.#path });
    }
    return { name: this.#path, notes: [], probabilities: (row, into) => into.set(ofRow[row]) };
  }

  #entry(key: string, line: number): { readonly line: number; readonly shares: Float64Array; readonly seen: Set<number> } {
    let entry = this.#byKey.get(key);
    if (entry === undefined) this.#byKey.set(key, entry = { line, shares: new Float64Array(this.#arms), seen: new Set() });
    return entry;
  }

  #plain(attribute: number, text: string): string {
    return this.#dataset.columns[attribute].kind === "number" ? String(text === "" ? NaN : Number(text)) : text;
  }

  #probability(text: string, line: number, column: string): number {
    const value = text.trim() === "" ? NaN : Number(text);
    if (!(value >= 0 && value <= 1)) throw new PopulaceError("BAD_DATA", `${this.#path}:${line}: column ${column}: expected a probability from 0 to 1; found "${text.trim().slice(0, 40)}"`, { file: this.#path, line, column });
    return value;
  }

  #normalize(shares: Float64Array, line: number): void {
    const sum = shares.reduce((total, share) => total + share, 0);
    if (!(Math.abs(sum - 1) <= SUM_TOLERANCE)) throw new PopulaceError("BAD_DATA", `${this.#path}:${line}: the probabilities add to ${Number(sum.toPrecision(6))}; expected 1 (within ${SUM_TOLERANCE})`, { file: this.#path, line, sum });
    for (let arm = 0; arm < shares.length; arm++) shares[arm] /= sum;
  }
}
