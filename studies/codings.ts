import { MISSING, PopulaceError, encodeNumber, transformed } from "@populace/domain";
import type { TraitCoding } from "@populace/domain";
import type { AttributeColumn } from "./schema.ts";
import type { DataColumn, Dataset } from "./dataset.ts";
import { BINARY_CODE } from "@populace/domain";

/** Levels a categorical attribute keeps when the schema names none; the rest is "other". */
const LEVELS_KEPT = 30;
/** A level seen in fewer rows than this share is "other". */
const LEVEL_SHARE_MIN = 0.002;
/** A stated range is 8 units wide, as four standard deviations either way are. */
const RANGE_UNITS = 8;
const YES = ["yes", "true", "1", "y", "t"];
const NO = ["no", "false", "0", "n", "f"];

/**
 * The codings of a dataset's attributes: centers, scales and levels from its rows. An attribute with one single value tells
 * nobody apart and is left out with a note, as is one that is always missing.
 */
export function codingsOf(dataset: Dataset): { readonly codings: readonly TraitCoding[]; readonly notes: readonly string[] } {
  const notes: string[] = [];
  const codings: TraitCoding[] = [];
  dataset.schema.attributes.forEach((attribute, a) => {
    const coding = codingOf(attribute, dataset.columns[a], dataset.path);
    if (typeof coding === "string") notes.push(coding);
    else codings.push({ ...coding, slot: codings.length });
  });
  return { codings, notes };
}

function codingOf(attribute: AttributeColumn, column: DataColumn, path: string): TraitCoding | string {
  const { name, kind, unit, transform } = attribute;
  const base = { name, kind, unit, transform, center: 0, scale: 1, slot: 0, ...(attribute.inPersonas === false ? { inPersonas: false } : {}) };
  const alone = (value: string): string => `attribute "${name}" has one single value (${value}) and was left out of the model`;
  if (column.kind === "number") {
    let n = 0, mean = 0, squares = 0, first = NaN;
    for (const raw of column.values) {
      if (Number.isNaN(raw)) continue;
      const value = transformed(transform, raw);
      if (n === 0) first = raw;
      n++;
      const delta = value - mean;
      mean += delta / n;
      squares += delta * (value - mean);
    }
    const scale = Math.sqrt(squares / Math.max(1, n));
    if (n === 0) return `attribute "${name}" is missing in every row and was left out of the model`;
    if (!(scale > 1e-9 * Math.max(1, Math.abs(mean)))) return alone(String(first));
    if (attribute.range !== undefined) {
      const [low, high] = attribute.range.map((raw) => transformed(transform, raw));
      return { ...base, levels: [], center: (low + high) / 2, scale: (high - low) / RANGE_UNITS };
    }
    return { ...base, levels: [], center: mean, scale };
  }
  const counts = new Float64Array(column.dictionary.length);
  for (const code of column.codes) if (code >= 0) counts[code]++;
  const seen = column.dictionary.map((text, i) => ({ text, count: counts[i] })).filter((level) => level.count > 0);
  if (seen.length === 0) return `attribute "${name}" is missing in every row and was left out of the model`;
  if (seen.length === 1) return alone(seen[0].text);
  if (kind === "binary") {
    if (attribute.levels.length === 2) return { ...base, levels: attribute.levels };
    if (seen.length > 2) {
      throw new PopulaceError("BAD_DATA", `${path}: attribute "${name}" is binary but has ${seen.length} values (${seen.slice(0, 5).map((each) => each.text).join(", ")}); make it categorical, state its levels: [no, yes], or name what means missing`, { attribute: name });
    }
    return { ...base, levels: noYes(seen.map((each) => each.text)) };
  }
  const total = seen.reduce((sum, each) => sum + each.count, 0);
  const levels = attribute.levels.length > 0
    ? attribute.levels.filter((level) => level !== "other")
    : seen.filter((each) => each.text !== "other" && each.count >= Math.max(2, LEVEL_SHARE_MIN * total)).toSorted((a, b) => b.count - a.count || (a.text < b.text ? -1 : 1)).slice(0, LEVELS_KEPT).map((each) => each.text);
  return { ...base, levels: [...levels, "other"] };
}

function noYes(pair: readonly string[]): readonly string[] {
  const [a, b] = pair;
  if (YES.includes(a.toLowerCase()) && NO.includes(b.toLowerCase())) return [b, a];
  if (NO.includes(a.toLowerCase()) && YES.includes(b.toLowerCase())) return [a, b];
  return [...pair].toSorted();
}

/** A dataset against given codings: rows x traits codes, with what was missing or unseen counted by trait. */
export interface EncodedRows {
  readonly codes: Int16Array;
  readonly missing: Readonly<Record<string, number>>;
  readonly otherLevels: Readonly<Record<string, number>>;
}

/**
 * Encodes a dataset's rows. Codings are found by name among the schema's attributes; one the dataset does not have is missing
 * throughout. Binary values that are neither level are missing.
 */
export function encodeDataset(dataset: Dataset, codings: readonly TraitCoding[]): EncodedRows {
  const traits = codings.length;
  const codes = new Int16Array(dataset.rows * traits).fill(MISSING);
  const missing: Record<string, number> = {}, otherLevels: Record<string, number> = {};
  codings.forEach((coding, t) => {
    missing[coding.name] = dataset.rows;
    const column = dataset.columns[dataset.schema.attributes.findIndex((attribute) => attribute.name === coding.name)];
    if (column === undefined) return;
    let known = 0, other = 0;
    if (column.kind === "number") {
      for (let row = 0; row < dataset.rows; row++) {
        const raw = column.values[row];
        if (Number.isNaN(raw)) continue;
        codes[row * traits + t] = encodeNumber(coding, raw);
        known++;
      }
    } else {
      const last = coding.levels.length - 1;
      const codeOf = column.dictionary.map((text) => {
        const level = coding.levels.indexOf(text);
        if (coding.kind === "binary") return level < 0 ? MISSING : level * BINARY_CODE;
        return level < 0 ? last : level;
      });
      for (let row = 0; row < dataset.rows; row++) {
        if (column.codes[row] < 0) continue;
        const code = codeOf[column.codes[row]];
        codes[row * traits + t] = code;
        if (code !== MISSING) known++;
        if (coding.kind === "categorical" && code === last) other++;
      }
      if (coding.kind === "categorical") otherLevels[coding.name] = other;
    }
    missing[coding.name] = dataset.rows - known;
  });
  return { codes, missing, otherLevels };
}
