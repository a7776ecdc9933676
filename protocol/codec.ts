import { PopulaceError } from "@populace/domain";
import { Packr } from "msgpackr";
import { keyBytes, readEnvelope, writeEnvelope } from "./envelope.ts";
import type { Commit, Flushed, Heartbeat, Held, Input, LeaderBeat, LeaderRecord, Missed, NodeFailure, Outcomes, Recompute, Recomputed, Release, RunRecord, RunStop, Served, Settled, ShardOut, TickOpen, ViewRecord } from "./messages.ts";

/**
 * Envelope of messages: msgpackr of {schema, ...fields}, typed arrays as binary. Maps, not records (`useRecords: false`), so that a
 * message can be read without what was sent before it. Unknown fields are kept out; a missing field is CORRUPT.
 */
const packr = new Packr({ useRecords: false, int64AsType: "number" });

/** Whether each codec keeps what it decoded, by the very array that it was read from. */
let isKept = false;

/** Where an array holds what was decoded from it. A property dies with its array at no cost; of weak maps with many entries each collection walks every one. */
const DECODED = Symbol("decoded");
type Keeping = Uint8Array & { [DECODED]?: { readonly schema: string; readonly message: unknown } };

/** From here on what was decoded from an array of bytes comes back when the same array is decoded again: for a process that plays many, where none may write to bytes or messages. */
export function keepDecoded(): void {
  isKept = true;
}

/** What every message begins with: a map whose first key is "schema"; the name follows. */
const HEAD = packr.pack({ schema: "" }).slice(3, -1), NAME_AT = 3 + HEAD.length;

type FieldKind = "integer" | "signed" | "number" | "text" | "flag" | "texts" | "integers" | "pair" | "bytes" | "u32" | "f64" | "object" | "object or null" | "objects";
type Fields<T> = { readonly [K in keyof T]-?: FieldKind };

interface Codec<T> {
  readonly schema: string;
  readonly fields: Fields<T>;
  encode(message: T): Uint8Array;
  decode(bytes: Uint8Array): T;
  /** The message, or null when the bytes are of another schema or damaged. */
  read(bytes: Uint8Array): T | null;
}

function codec<T extends object>(schema: string, fields: Fields<T>): Codec<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  const kinds = names.map((name) => fields[name]), checks = kinds.map((kind) => FIELD_CHECK[kind]);
  /** Every message begins as a copy of it: of one shape, and never grown. */
  const blank = Object.fromEntries(names.map((name) => [name, null]));
  const keys = ["schema", ...names].map(keyBytes), head = Uint8Array.of(...HEAD, ...keyBytes(schema));

  /** Values in the order of the fields, the schema first, from a map in any order. */
  function anyEnvelope(bytes: Uint8Array): unknown[] {
    try {
      const envelope = packr.unpack(bytes) as Record<string, unknown> | null;
      return ["schema", ...names].map((name) => envelope?.[name]);
    } catch (cause) {
      throw new PopulaceError("CORRUPT", `${bytes.length} bytes are no message; expected ${schema}`, { schema }, cause);
    }
  }

  /** Whether bytes begin as this schema's do. */
  const isOurs = (bytes: Uint8Array): boolean => {
    for (let index = 0; index < head.length; index += 1) if (bytes[3 + index] !== head[index]) return false;
    return true;
  };

  function decode(bytes: Uint8Array): T {
    const values = readEnvelope(bytes, keys) ?? anyEnvelope(bytes);
    if (values[0] !== schema) throw new PopulaceError("CORRUPT", `a message of schema ${String(values[0])} came where ${schema} was expected; do all processes run the same version?`, { schema });
    const message: Record<string, unknown> = { ...blank };
    for (let index = 0; index < names.length; index += 1) {
      const name = names[index], kind = kinds[index], value = unpackField(kind, values[index + 1]);
      if (!checks[index](value)) refuse(schema, name, kind, value);
      message[name] = value;
    }
    return message as T;
  }

  const self: Codec<T> = {
    schema,
    fields,
    encode(message) {
      const values: unknown[] = [schema];
      for (let index = 0; index < names.length; index += 1) {
        const name = names[index], value = message[name];
        if (!checks[index](value)) refuse(schema, name, kinds[index], value);
        values.push(ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : value);
      }
      // A copy of its own: msgpackr hands out views of a buffer that it reuses.
      return writeEnvelope(keys, values) ?? new Uint8Array(packr.pack(Object.fromEntries(["schema", ...names].map((name, index) => [name, values[index]]))));
    },
    decode(bytes) {
      if (!isKept) return decode(bytes);
      const kept = (bytes as Keeping)[DECODED];
      if (kept?.schema === schema) return kept.message as T;
      const message = decode(bytes);
      (bytes as Keeping)[DECODED] = { schema, message };
      return message;
    },
    read(bytes) {
      if (!isOurs(bytes)) return null;
      try {
        return self.decode(bytes);
      } catch {
        return null;
      }
    },
  };
  return self;
}

/** Message data has arbitrary alignment: copied before a typed view is laid over it. */
function unpackField(kind: FieldKind, value: unknown): unknown {
  if (!(value instanceof Uint8Array)) return value;
  const own = new Uint8Array(value);
  if (kind === "u32" && own.length % 4 === 0) return new Uint32Array(own.buffer);
  if (kind === "f64" && own.length % 8 === 0) return new Float64Array(own.buffer);
  return own;
}

const FIELD_CHECK: Readonly<Record<FieldKind, (value: unknown) => boolean>> = {
  integer: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  signed: (value) => Number.isSafeInteger(value),
  number: (value) => typeof value === "number" && Number.isFinite(value),
  text: (value) => typeof value === "string",
  flag: (value) => typeof value === "boolean",
  texts: (value) => Array.isArray(value) && value.every((entry) => typeof entry === "string"),
  integers: (value) => Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry) && (entry as number) >= 0),
  pair: (value) => Array.isArray(value) && value.length === 2 && value.every((entry) => Number.isSafeInteger(entry)),
  bytes: (value) => value instanceof Uint8Array,
  u32: (value) => value instanceof Uint32Array,
  f64: (value) => value instanceof Float64Array,
  object: (value) => typeof value === "object" && value !== null,
  "object or null": (value) => typeof value === "object",
  objects: (value) => Array.isArray(value) && value.every((entry) => typeof entry === "object" && entry !== null),
};

function refuse(schema: string, name: string, kind: FieldKind, value: unknown): never {
  throw new PopulaceError("CORRUPT", `${schema}: field ${name} should be of kind ${kind}; it is ${value === undefined ? "missing" : typeof value}`, { schema, name });
}

/** One codec a message: fields in fixed order, checked when read; CORRUPT for anything else. */
export const TICK_OPEN = codec<TickOpen>("TickOpen/1", { run: "text", attempt: "integer", term: "integer", view: "integer", tick: "integer", span: "integer", prevRoot: "text", inputHash: "text", checkpoint: "flag" });
export const SHARD_OUT = codec<ShardOut>("ShardOut/3", { run: "text", attempt: "integer", tick: "integer", span: "integer", shard: "integer", view: "integer", incarnation: "text", backend: "text", hashes: "bytes", states: "bytes", personas: "pair", counts: "u32", sections: "u32", mail: "u32" });
export const COMMIT = codec<Commit>("Commit/3", { run: "text", attempt: "integer", term: "integer", tick: "integer", prevRoot: "text", inputHash: "text", root: "text", sumsHash: "text", checkpoint: "texts", sections: "f64", manifest: "texts", tickSums: "f64", sums: "text", exposures: "integer", authors: "texts", backends: "texts", seconds: "number" });
export const INPUT = codec<Input>("Input/1", { run: "text", tick: "integer", eventIds: "texts" });
export const RUN_RECORD = codec<RunRecord>("RunRecord/5", { run: "text", spec: "object", number: "integer", label: "text", priority: "signed", attempt: "integer", firstAttempt: "integer", term: "integer", change: "integer", view: "integer", state: "text", wanted: "object", execution: "object or null", shards: "objects", owners: "texts", unfit: "texts", checkedTick: "signed", uncheckedFrom: "signed", dispute: "object or null", suspectFrom: "signed", code: "text", reason: "text", tick: "signed", root: "text", exposures: "integer", seconds: "number", backends: "texts" });
export const HEARTBEAT = codec<Heartbeat>("Heartbeat/6", { incarnation: "text", state: "text", workers: "integer", backends: "texts", backendReason: "text", exposuresPerSecond: "number", memoryBytes: "number", exposures: "integer", term: "integer", loopLagMs: "number", allowsBehaviors: "flag", jobs: "texts" });
export const NODE_FAILURE = codec<NodeFailure>("NodeFailure/4", { run: "text", attempt: "integer", number: "integer", tick: "integer", shard: "integer", incarnation: "text", code: "text", message: "text", outputs: "texts" });
export const RUN_STOP = codec<RunStop>("RunStop/2", { run: "text", attempt: "integer", term: "integer", reason: "text" });
export const LEADER_RECORD = codec<LeaderRecord>("LeaderRecord/2", { holder: "text", nonce: "text", term: "integer", address: "text" });
export const VIEW_RECORD = codec<ViewRecord>("ViewRecord/3", { term: "integer", view: "integer", members: "texts", draining: "texts", dead: "texts" });
export const LEADER_BEAT = codec<LeaderBeat>("LeaderBeat/2", { holder: "text", term: "integer", view: "integer", release: "integer" });
export const RECOMPUTE = codec<Recompute>("Recompute/1", { run: "text", attempt: "integer", term: "integer", view: "integer", incarnation: "text", backend: "text", shard: "integer", tick: "integer", span: "integer", checkpoint: "flag", blocks: "integers" });
export const RECOMPUTED = codec<Recomputed>("Recomputed/1", { run: "text", attempt: "integer", incarnation: "text", backend: "text", shard: "integer", tick: "integer", compared: "integer" });
export const FLUSHED = codec<Flushed>("Flushed/2", { nonce: "text", run: "text", tick: "signed" });
export const MISSED = codec<Missed>("Missed/1", { run: "text", tick: "signed" });
export const HELD = codec<Held>("Held/1", { run: "text", commits: "objects" });
export const SERVED = codec<Served>("Served/1", { release: "integer" });
export const SETTLED = codec<Settled>("Settled/1", { run: "text", tick: "signed", manifest: "texts" });
export const RELEASE = codec<Release>("Release/3", { number: "integer", content: "text", model: "text", ledger: "text", runs: "texts", note: "text" });
export const OUTCOMES = codec<Outcomes>("Outcomes/1", { run: "text", events: "texts" });

/** Body of a slot or of a COMMIT over LIMITS.slotBytesMax: its address in the blob store. */
export interface SlotReference {
  readonly blob: string;
  readonly bytes: number;
}
/** Codec of the body that stands for one too large for a slot. */
export const SLOT_REFERENCE = codec<SlotReference>("SlotReference/1", { blob: "text", bytes: "integer" });

/** The schema name that bytes begin with, or "" when they are no message; what follows it is not looked at. */
export function schemaOf(bytes: Uint8Array): string {
  for (let index = 0; index < HEAD.length; index += 1) if (bytes[3 + index] !== HEAD[index]) return "";
  const length = bytes[NAME_AT] - 0xa0;
  return length >= 0 && length < 32 && bytes.length > NAME_AT + length ? String.fromCharCode(...bytes.subarray(NAME_AT + 1, NAME_AT + 1 + length)) : "";
}

/** Every codec, for the contract text and its tests. */
export const CODECS: readonly { readonly schema: string; readonly fields: Readonly<Record<string, string>> }[] = [
  TICK_OPEN, SHARD_OUT, COMMIT, INPUT, RUN_RECORD, HEARTBEAT, NODE_FAILURE, RUN_STOP, LEADER_RECORD, VIEW_RECORD, LEADER_BEAT, RECOMPUTE, RECOMPUTED, FLUSHED, MISSED, HELD, SERVED, SETTLED, RELEASE, OUTCOMES, SLOT_REFERENCE,
];
