import { readFileSync } from "node:fs";
import { LineCounter, parseDocument, isMap, isNode } from "yaml";
import type { Document } from "yaml";
import { PopulaceError } from "@populace/domain";
import type { ErrorCode } from "@populace/domain";

type Path = readonly (string | number)[];

/**
 * A YAML or JSON document that is read strictly: every key must be asked for, every value must have the wanted form, and a
 * refusal names file, line, column and key path.
 */
export class StrictDocument {
  readonly root: unknown;
  readonly #name: string;
  readonly #code: ErrorCode;
  readonly #document: Document | null;
  readonly #lines: LineCounter;

  /** Reads a file (`source` a path) or takes an object as it is. Throws FILE_MISSING, or `code` on malformed text. */
  constructor(source: string | object, code: ErrorCode) {
    this.#code = code;
    this.#lines = new LineCounter();
    if (typeof source !== "string") {
      this.#name = "the given object";
      this.#document = null;
      this.root = source;
      return;
    }
    this.#name = source;
    let text: string;
    try {
      text = readFileSync(source, "utf8");
    } catch (cause) {
      throw new PopulaceError("FILE_MISSING", `${source}: cannot be opened; expected a YAML or JSON file`, { file: source }, cause);
    }
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const first = document.errors.at(0);
    if (first !== undefined) {
      const { line, col } = this.#lines.linePos(first.pos[0]);
      throw new PopulaceError(code, `${source}:${line}:${col}: not valid YAML or JSON: ${first.message}`, { file: source, line, column: col });
    }
    this.#document = document;
    this.root = document.toJS({ maxAliasCount: 100 }) ?? {};
  }

  /** The keys of the whole document. */
  keys(): StrictKeys {
    return new StrictKeys(this, this.root, []);
  }

  /** Throws the refusal with its place. */
  refuse(path: Path, message: string): never {
    const place = this.#place(path);
    const key = path.length === 0 ? "the document" : path.map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`)).join("").replace(/^\./, "");
    throw new PopulaceError(this.#code, `${place === null ? this.#name : `${this.#name}:${place.line}:${place.column}`}: ${key}: ${message}`, { file: this.#name, key, ...place });
  }

  #place(path: Path): { line: number; column: number } | null {
    if (this.#document === null) return null;
    for (let length = path.length; length >= 0; length -= 1) {
      // A key's own position is better than its value's: an unknown key has no expected value.
      const parent = length === 0 ? this.#document.contents : this.#document.getIn(path.slice(0, length - 1), true);
      const last = path[length - 1];
      const pair = isMap(parent) ? parent.items.find((item) => String(isNode(item.key) ? item.key.toJSON() : item.key) === String(last)) : undefined;
      const node = pair?.key ?? (length === 0 ? parent : this.#document.getIn(path.slice(0, length), true));
      if (isNode(node) && node.range) {
        const { line, col } = this.#lines.linePos(node.range[0]);
        return { line, column: col };
      }
    }
    return null;
  }
}

/** One object of a document; `done` refuses the keys nobody asked for. */
export class StrictKeys {
  readonly path: Path;
  readonly #document: StrictDocument;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #asked = new Set<string>();

  constructor(document: StrictDocument, value: unknown, path: Path) {
    this.#document = document;
    this.path = path;
    if (value === null || typeof value !== "object" || Array.isArray(value)) document.refuse(path, `expected keys and values, found ${described(value)}`);
    this.#values = value as Readonly<Record<string, unknown>>;
  }

  refuse(key: string | number, message: string): never {
    return this.#document.refuse([...this.path, key], message);
  }

  /** The raw value; null and absent are the same. */
  raw(key: string): unknown {
    this.#asked.add(key);
    return Object.hasOwn(this.#values, key) ? (this.#values[key] ?? undefined) : undefined;
  }

  has(key: string): boolean {
    return this.raw(key) !== undefined;
  }

  text(key: string, fallback?: string): string {
    const value = this.raw(key);
    if (value === undefined) return fallback ?? this.refuse(key, "is missing; expected a text");
    if (typeof value !== "string" && typeof value !== "number") this.refuse(key, `expected a text, found ${described(value)}`);
    return String(value);
  }

  /** A finite number between `min` and `max`, both included. */
  number(key: string, fallback: number | undefined, min: number, max: number): number {
    const value = this.raw(key);
    if (value === undefined) return fallback ?? this.refuse(key, `is missing; expected a number from ${min} to ${max}`);
    if (typeof value !== "number" || !(value >= min && value <= max)) this.refuse(key, `expected a number from ${min} to ${max}, found ${described(value)}`);
    return value;
  }

  integer(key: string, fallback: number | undefined, min: number, max: number): number {
    const value = this.number(key, fallback, min, max);
    if (!Number.isInteger(value)) this.refuse(key, `expected a whole number from ${min} to ${max}, found ${value}`);
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.raw(key);
    if (value === undefined) return fallback;
    if (typeof value !== "boolean") this.refuse(key, `expected true or false, found ${described(value)}`);
    return value;
  }

  oneOf<T extends string>(key: string, allowed: readonly T[], fallback?: T): T {
    const value = this.raw(key);
    if (value === undefined) return fallback ?? this.refuse(key, `is missing; expected ${allowed.join(", ")}`);
    if (!allowed.includes(value as T)) this.refuse(key, `expected ${allowed.join(", ")}, found ${described(value)}${suggestion(String(value), allowed)}`);
    return value as T;
  }

  /** A list; absent = empty. A single value stands for a list of one. */
  list(key: string): readonly unknown[] {
    const value = this.raw(key);
    return value === undefined ? [] : Array.isArray(value) ? value : [value];
  }

  texts(key: string): readonly string[] {
    return this.list(key).map((value, index) =>
      typeof value === "string" || typeof value === "number" ? String(value) : this.#document.refuse([...this.path, key, index], `expected a text, found ${described(value)}`),
    );
  }

  numbers(key: string, min: number, max: number): readonly number[] {
    return this.list(key).map((value, index) =>
      typeof value === "number" && value >= min && value <= max ? value : this.#document.refuse([...this.path, key, index], `expected a number from ${min} to ${max}, found ${described(value)}`),
    );
  }

  /** A list of objects; absent = empty. */
  objects(key: string): readonly StrictKeys[] {
    const value = this.raw(key);
    if (value === undefined) return [];
    if (!Array.isArray(value)) this.refuse(key, `expected a list, found ${described(value)}`);
    return (value as unknown[]).map((item, index) => new StrictKeys(this.#document, item, [...this.path, key, index]));
  }

  /** An object below this one; absent = without keys. */
  object(key: string): StrictKeys {
    return new StrictKeys(this.#document, this.raw(key) ?? {}, [...this.path, key]);
  }

  /** A table of free keys (tags, named numbers). */
  table<T extends string | number>(key: string, kind: "text" | "number"): Readonly<Record<string, T>> {
    const keys = this.object(key);
    return Object.fromEntries(keys.names().map((name) => [name, (kind === "text" ? keys.text(name) : keys.number(name, undefined, -1e12, 1e12)) as T]));
  }

  names(): readonly string[] {
    return Object.keys(this.#values);
  }

  /** Refuses keys nobody asked for. */
  done(): void {
    for (const name of this.names()) {
      if (!this.#asked.has(name)) this.refuse(name, `unknown key${suggestion(name, [...this.#asked])}; known here: ${[...this.#asked].toSorted().join(", ")}`);
    }
  }
}

/** ", did you mean X?" for the nearest allowed word, or nothing when none is near. */
export function suggestion(word: string, allowed: readonly string[]): string {
  let best = "";
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of allowed) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best === "" ? "" : `, did you mean "${best}"?`;
}

/** Edits (insert, delete, replace, swap neighbors) between two words. */
function editDistance(a: string, b: string): number {
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, older[j - 2] + 1);
      row.push(best);
    }
    older = previous;
    previous = row;
  }
  return previous[b.length];
}

function described(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "keys and values";
  return typeof value === "string" ? `"${value.slice(0, 60)}"` : String(value);
}
