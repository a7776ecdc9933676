import { readFileSync } from "node:fs";
import { LineCounter, parseDocument, isMap, isSeq, isScalar } from "yaml";
import type { Document } from "yaml";
import { PopulaceError } from "@populace/domain";
import type { ErrorCode } from "@populace/domain";

/**
 * A strictly read YAML or JSON file: every value is asked for by key, type and range, unknown keys are refused with a
 * suggestion, and every refusal names file, line and key path. Schema files are read with it.
 */
export interface DocumentSource {
  readonly path: string;
  readonly code: ErrorCode;
  lineOf(keys: readonly (string | number)[]): number;
}

/** Number of single-character edits between two words (Levenshtein; a swap of neighbors counts one). */
export function editDistance(a: string, b: string): number {
  const width = b.length + 1;
  let before: number[] = [];
  let previous = Array.from({ length: width }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j < width; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, before[j - 2] + 1);
      row.push(best);
    }
    before = previous;
    previous = row;
  }
  return previous[width - 1];
}

/** The known word nearest to `word`, or null when none is near enough to be what was meant. */
export function suggestion(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best !== null && bestDistance <= Math.max(1, Math.floor(Math.max(word.length, best.length) / 3)) ? best : null;
}

/** "; did you mean x?" or the list of what is known, for the end of a message. */
export function didYouMean(word: string, known: readonly string[]): string {
  const near = suggestion(word, known);
  if (near !== null) return `; did you mean "${near}"?`;
  const shown = known.slice(0, 20).join(", ");
  return known.length === 0 ? "" : `; known: ${shown}${known.length > 20 ? `, ... (${known.length} in all)` : ""}`;
}

const nameOf = (value: unknown): string =>
  value === null || value === undefined ? "nothing" : Array.isArray(value) ? "a list" : typeof value === "object" ? "a map" : `the ${typeof value} ${clip(typeof value === "number" ? String(value) : JSON.stringify(value))}`;

const clip = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text);

/** One value of a document with its place. Absent values are `undefined`; accessors take a default for them. */
export class Entry {
  readonly source: DocumentSource;
  readonly keys: readonly (string | number)[];
  readonly value: unknown;

  constructor(source: DocumentSource, keys: readonly (string | number)[], value: unknown) {
    this.source = source;
    this.keys = keys;
    this.value = value;
  }

  get place(): string {
    return this.keys.reduce<string>((text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? key : `${text}.${key}`), "");
  }

  /** Throws the document's error at this place. */
  fail(message: string): never {
    const line = this.source.lineOf(this.keys);
    const place = this.place;
    throw new PopulaceError(this.source.code, `${this.source.path}:${line}: ${place === "" ? "" : `${place}: `}${message}`, {
      file: this.source.path,
      line,
      key: place,
    });
  }

  get absent(): boolean {
    return this.value === undefined || this.value === null;
  }

  get isMap(): boolean {
    return typeof this.value === "object" && this.value !== null && !Array.isArray(this.value);
  }

  get isList(): boolean {
    return Array.isArray(this.value);
  }

  get isText(): boolean {
    return typeof this.value === "string" || typeof this.value === "number" || typeof this.value === "boolean";
  }

  /** Child of a map; the map must have been checked by `only`. */
  at(key: string): Entry {
    const map = this.value as Record<string, unknown>;
    return new Entry(this.source, [...this.keys, key], this.absent || !Object.hasOwn(map, key) ? undefined : map[key]);
  }

  /** Refuses any key but these; returns itself. */
  only(known: readonly string[]): this {
    if (!this.isMap) this.fail(`expected a map with the keys ${known.join(", ")}; found ${nameOf(this.value)}`);
    for (const key of Object.keys(this.value as object)) {
      if (!known.includes(key)) new Entry(this.source, [...this.keys, key], undefined).fail(`unknown key "${clip(key)}"${didYouMean(key, known)}`);
    }
    return this;
  }

  /** Keys and values of a free map, in order; empty when absent. */
  entries(): readonly (readonly [string, Entry])[] {
    if (this.absent) return [];
    if (!this.isMap) this.fail(`expected a map; found ${nameOf(this.value)}`);
    return Object.keys(this.value as object).map((key) => [key, this.at(key)] as const);
  }

  /** Elements of a list; empty when absent. */
  list(): readonly Entry[] {
    if (this.absent) return [];
    if (!Array.isArray(this.value)) return this.fail(`expected a list; found ${nameOf(this.value)}`);
    return this.value.map((value, index) => new Entry(this.source, [...this.keys, index], value));
  }

  /** Text; numbers and yes/no are taken as written. */
  text(absent?: string): string {
    if (this.absent && absent !== undefined) return absent;
    if (!this.isText) this.fail(`expected text; found ${nameOf(this.value)}`);
    const text = String(this.value);
    if (text === "" && absent === undefined) this.fail("expected text; found an empty one");
    return text;
  }

  textOrNull(): string | null {
    return this.absent ? null : this.text();
  }

  texts(absent: readonly string[]): readonly string[] {
    if (this.absent) return absent;
    return this.isText ? [this.text("")] : this.list().map((entry) => (entry.value === "" ? "" : entry.text()));
  }

  number(range: { readonly min?: number; readonly max?: number; readonly integer?: boolean; readonly absent?: number } = {}): number {
    if (this.absent && range.absent !== undefined) return range.absent;
    const value = this.value;
    if (typeof value !== "number" || !Number.isFinite(value)) return this.fail(`expected a number; found ${nameOf(value)}`);
    if (range.integer === true && !Number.isInteger(value)) this.fail(`expected a whole number; found ${value}`);
    if ((range.min !== undefined && value < range.min) || (range.max !== undefined && value > range.max)) {
      this.fail(`expected a number from ${range.min ?? "any"} to ${range.max ?? "any"}; found ${value}`);
    }
    return value;
  }

  boolean(absent: boolean): boolean {
    if (this.absent) return absent;
    if (typeof this.value !== "boolean") this.fail(`expected true or false; found ${nameOf(this.value)}`);
    return this.value as boolean;
  }

  oneOf<T extends string>(known: readonly T[], absent?: T): T {
    if (this.absent && absent !== undefined) return absent;
    const text = this.text();
    if (!(known as readonly string[]).includes(text)) this.fail(`expected one of ${known.join(", ")}; found "${clip(text)}"${didYouMean(text, known)}`);
    return text as T;
  }
}

/** Bytes a schema or study file may have. */
const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024;

/** Returns the root entry of a YAML or JSON file; FILE_MISSING or `code` with file and line when it cannot be read. */
export function readDocument(path: string, code: ErrorCode): Entry {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name an existing YAML or JSON file`, { file: path }, cause);
  }
  if (bytes.length > DOCUMENT_BYTES_MAX) {
    throw new PopulaceError(code, `${path}: ${bytes.length} bytes; expected a YAML or JSON file of at most ${DOCUMENT_BYTES_MAX}; is this a data file?`, { file: path });
  }
  return parseEntry(bytes.toString("utf8"), path, code);
}

/** The same from text; `path` only names it in messages. */
export function parseEntry(text: string, path: string, code: ErrorCode): Entry {
  const counter = new LineCounter();
  const refuse = (line: number, message: string): never => {
    throw new PopulaceError(code, `${path}:${line}: ${message}`, { file: path, line });
  };
  let document: Document.Parsed;
  try {
    document = parseDocument(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: true, merge: false });
  } catch (cause) {
    return refuse(1, `not YAML: ${clip((cause as Error).message)}`);
  }
  const problem = document.errors[0];
  if (problem !== undefined) refuse(counter.linePos(problem.pos[0]).line, `not valid YAML: ${problem.message.split("\n")[0]}`);
  const source: DocumentSource = {
    path,
    code,
    lineOf: (keys) => {
      for (let depth = keys.length; depth >= 0; depth--) {
        const offset = offsetOf(document, keys.slice(0, depth));
        if (offset !== null) return counter.linePos(offset).line;
      }
      return 1;
    },
  };
  let value: unknown;
  try {
    // A bound on aliases keeps a small file from unfolding into gigabytes.
    value = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    return refuse(1, `not usable: ${clip((cause as Error).message)}`);
  }
  const root = new Entry(source, [], value);
  if (!root.isMap) root.fail(`expected a map of keys; found ${root.absent ? "an empty file" : nameOf(value)}`);
  return root;
}

function offsetOf(document: Document.Parsed, keys: readonly (string | number)[]): number | null {
  let node: unknown = document.contents;
  let offset: number | null = null;
  if (keys.length === 0) return 0;
  for (const key of keys) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) return null;
      offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? null) : null;
      node = pair.value;
    } else if (isSeq(node) && typeof key === "number") {
      node = node.items[key];
      const range = (node as { range?: readonly number[] | null } | undefined)?.range;
      offset = range?.[0] ?? null;
    } else return null;
  }
  return offset;
}
