import { createHash, randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { PopulaceError } from "@populace/domain";
import { UNLEARNED_EXCHANGE_RATE } from "./exchange.ts";
import type { Model } from "./model.ts";

/**
 * A model file is one JSON document. Typed arrays are `{"$": type, "base64": …}` in little-endian bytes, and the numbers
 * JSON lacks are `{"$": "number", "text": "-Infinity"}`. The last key holds the SHA-256 of everything before it.
 */
const ARRAY_TYPES = { Float64Array, Int32Array, Uint8Array, Int16Array } as const;
type ArrayType = keyof typeof ARRAY_TYPES;
const HASH_KEY = ',"sha256":"';
const FORMAT_VERSION = 1;

/** The model as the text of a model file. */
export function modelText(model: Model): string {
  const body = JSON.stringify(model, (_key, value: unknown) => {
    if (ArrayBuffer.isView(value)) {
      const bytes = value as Uint8Array;
      return { $: value.constructor.name, base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64") };
    }
    return typeof value === "number" && !Number.isFinite(value) ? { $: "number", text: String(value) } : value;
  });
  const open = body.slice(0, -1);
  return `${open}${HASH_KEY}${createHash("sha256").update(open).digest("hex")}"}\n`;
}

/** Writes the model to a new file beside the target and renames it, so that a reader sees the old model or the new one. */
export function writeModel(path: string, model: Model): void {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = openSync(temporary, "wx");
    try {
      writeSync(file, modelText(model));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new PopulaceError("STORE_FAILED", `${path}: the model cannot be written (${(cause as NodeJS.ErrnoException).code ?? (cause as Error).message}); check the folder and its permissions`, { file: path }, cause);
  }
}

/** Reads a model file. FILE_MISSING, or BAD_MODEL when it is damaged, of another version, or no model file at all. */
export function readModel(path: string): Model {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name a model file written by \`populace fit\``, { file: path }, cause);
  }
  return parseModel(text, path);
}

/** The same from text; `path` only names it in messages. */
export function parseModel(text: string, path = "model"): Model {
  const refuse = (message: string, cause?: unknown): never => {
    throw new PopulaceError("BAD_MODEL", `${path}: ${message}; expected a model file written by \`populace fit\``, { file: path }, cause);
  };
  const at = text.lastIndexOf(HASH_KEY);
  if (at < 0 || !text.startsWith("{")) return refuse("this is not a model file, or it was cut short");
  let value: unknown;
  try {
    value = JSON.parse(text, revive);
  } catch (cause) {
    return refuse("the file is damaged (not JSON)", cause);
  }
  const model = value as Model & { sha256?: string };
  const formatVersion: number = model.formatVersion;
  if (formatVersion !== FORMAT_VERSION) return refuse(`format version ${String(formatVersion)}, this program reads version ${FORMAT_VERSION}; fit the model again or use the program that wrote it`);
  const found = createHash("sha256").update(text.slice(0, at)).digest("hex");
  if (found !== model.sha256) return refuse(`the file is damaged: its contents hash to ${found.slice(0, 12)}..., it says ${String(model.sha256).slice(0, 12)}...`);
  delete model.sha256;
  return withLaterFields(model);
}

/** A model of before a field existed gets what it then meant; all others keep every key in its place, so that their text stays theirs. */
function withLaterFields(model: Model): Model {
  if ("landed" in model && "calibration" in model) return model;
  const { fit, exchangeRate } = model as Model;
  return {
    ...({ responseVersion: 1, periods: [], halfLife: null, landed: [], calibration: null } as const), ...(model as Model),
    exchangeRate: { ...UNLEARNED_EXCHANGE_RATE, ...exchangeRate }, fit: { ...fit, absorbed: fit.absorbed ?? Math.min(fit.rows, fit.seen.length / 8), latest: fit.latest ?? null },
  };
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("$" in value)) return value;
  const tagged = value as { $: string; base64?: string; text?: string };
  if (tagged.$ === "number") return Number(tagged.text);
  if (!Object.hasOwn(ARRAY_TYPES, tagged.$)) throw new SyntaxError(`unknown array type ${tagged.$}`);
  const bytes = Uint8Array.from(Buffer.from(tagged.base64 ?? "", "base64"));
  return new ARRAY_TYPES[tagged.$ as ArrayType](bytes.buffer);
}
