/**
 * Reads and writes the envelope of a message: MessagePack's map whose keys come in the order in which the codec writes them. In two thirds and in a
 * third of the time of msgpackr, which takes any map; a cluster reads each message several times. Types that codecs do not write are left to msgpackr.
 */

/** The values of a map with exactly these keys in this order, or null for anything else; binary values are views of `bytes`. */
export function readEnvelope(bytes: Uint8Array, keys: readonly Uint8Array[]): unknown[] | null {
  if (bytes[0] !== 0xde || bytes[1] * 256 + bytes[2] !== keys.length) return null;
  const reader = new Reader(bytes);
  const values: unknown[] = [];
  for (const key of keys) {
    if (!reader.skip(key)) return null;
    const value = reader.value();
    if (value === UNKNOWN) return null;
    values.push(value);
  }
  return reader.isAtEnd() ? values : null;
}

/** The bytes of a map with exactly these keys in this order, as msgpackr writes them; null where a value is of a type that is left to it. */
export function writeEnvelope(keys: readonly Uint8Array[], values: readonly unknown[]): Uint8Array | null {
  const writer = new Writer(keys.length);
  for (let index = 0; index < keys.length; index += 1) {
    writer.key(keys[index]);
    if (!writer.value(values[index])) return null;
  }
  return writer.bytes();
}

/** A key as the envelope holds it: short, and ASCII. */
export const keyBytes = (name: string): Uint8Array => Uint8Array.of(0xa0 + name.length, ...new TextEncoder().encode(name));

/** What is no value of a message, or ends too early. */
const UNKNOWN = Symbol("unknown");
/** After the type and the number of entries. */
const HEADER_BYTES = 3;
/** Below this, joining characters is faster than decoding. */
const SHORT_TEXT = 16;

class Reader {
  private at = HEADER_BYTES;
  private readonly bytes: Uint8Array;
  private readonly buffer: Buffer;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  /** Steps over exactly these bytes, or says that others are there. */
  skip(expected: Uint8Array): boolean {
    const { bytes, at } = this;
    for (let index = 0; index < expected.length; index += 1) if (bytes[at + index] !== expected[index]) return false;
    this.at = at + expected.length;
    return true;
  }

  value(): unknown {
    const { bytes, buffer } = this;
    if (this.at >= bytes.length) return UNKNOWN;
    const type = bytes[this.at++];
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type < 0x90) return this.map(type & 0x0f);
    if (type < 0xa0) return this.list(type & 0x0f);
    if (type < 0xc0) return this.text(type & 0x1f);
    const width = WIDTH[type - 0xc0], at = this.at;
    if (at + width > bytes.length) return UNKNOWN;
    this.at += width;
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.binary(bytes[at]);
      case 0xc5: return this.binary(buffer.readUInt16BE(at));
      case 0xc6: return this.binary(buffer.readUInt32BE(at));
      case 0xcb: return buffer.readDoubleBE(at);
      case 0xcc: return bytes[at];
      case 0xcd: return buffer.readUInt16BE(at);
      case 0xce: return buffer.readUInt32BE(at);
      case 0xd0: return buffer.readInt8(at);
      case 0xd1: return buffer.readInt16BE(at);
      case 0xd2: return buffer.readInt32BE(at);
      case 0xd9: return this.text(bytes[at]);
      case 0xda: return this.text(buffer.readUInt16BE(at));
      case 0xdb: return this.text(buffer.readUInt32BE(at));
      case 0xdc: return this.list(buffer.readUInt16BE(at));
      case 0xdd: return this.list(buffer.readUInt32BE(at));
      case 0xde: return this.map(buffer.readUInt16BE(at));
      default: return UNKNOWN;
    }
  }

  private binary(length: number): Uint8Array | typeof UNKNOWN {
    const from = this.at;
    this.at += length;
    return this.at > this.bytes.length ? UNKNOWN : this.bytes.subarray(from, this.at);
  }

  private text(length: number): string | typeof UNKNOWN {
    const { bytes } = this, from = this.at, to = from + length;
    if (to > bytes.length) return UNKNOWN;
    this.at = to;
    if (length >= SHORT_TEXT) return this.buffer.toString("utf8", from, to);
    let text = "";
    for (let index = from; index < to; index += 1) {
      if (bytes[index] >= 0x80) return this.buffer.toString("utf8", from, to);
      text += String.fromCharCode(bytes[index]);
    }
    return text;
  }

  private list(length: number): unknown[] | typeof UNKNOWN {
    const values: unknown[] = [];
    for (let index = 0; index < length; index += 1) {
      const value = this.value();
      if (value === UNKNOWN) return UNKNOWN;
      values.push(value);
    }
    return values;
  }

  private map(length: number): Record<string, unknown> | typeof UNKNOWN {
    const entries: Record<string, unknown> = {};
    for (let index = 0; index < length; index += 1) {
      const key = this.value(), value = this.value();
      if (typeof key !== "string" || value === UNKNOWN || key === "__proto__") return UNKNOWN;
      entries[key] = value;
    }
    return entries;
  }
}

/** Bytes of number or length after each type from 0xc0 to 0xdf. */
const WIDTH = [0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 1, 1, 1, 1, 1, 2, 4, 2, 4, 2, 4];

/** Messages are written one behind the other into slabs of so many bytes: an array buffer of its own costs more than writing a short message. A message that is kept keeps its slab. */
const SLAB_BYTES = 16_384;
let scratch = Buffer.allocUnsafeSlow(SLAB_BYTES), used = 0;

class Writer {
  private from = used;
  private at = used;

  constructor(entries: number) {
    this.reserve(HEADER_BYTES);
    scratch[this.at] = 0xde;
    scratch[this.at + 1] = entries >> 8;
    scratch[this.at + 2] = entries & 0xff;
    this.at += HEADER_BYTES;
  }

  bytes(): Uint8Array {
    used = this.at;
    return new Uint8Array(scratch.buffer, this.from, this.at - this.from);
  }

  key(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    for (let index = 0; index < bytes.length; index += 1) scratch[this.at + index] = bytes[index];
    this.at += bytes.length;
  }

  /** Writes a value, or says that it is of a type that codecs do not write. */
  value(value: unknown): boolean {
    this.reserve(9);
    if (typeof value === "string") this.text(value);
    else if (typeof value === "number") this.number(value);
    else if (value === null) scratch[this.at++] = 0xc0;
    else if (typeof value === "boolean") scratch[this.at++] = value ? 0xc3 : 0xc2;
    else if (value instanceof Uint8Array) this.binary(value);
    else if (Array.isArray(value)) return this.list(value);
    else return typeof value === "object" && this.map(value);
    return true;
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= scratch.length) return;
    const written = this.at - this.from, grown = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (written + bytes)));
    grown.set(scratch.subarray(this.from, this.at));
    scratch = grown;
    this.from = used = 0;
    this.at = written;
  }

  /** The type with the least bytes for a length: `types` for lengths of one, two and four bytes. */
  private head(length: number, short: number, shortMax: number, types: readonly [number | null, number, number]): void {
    if (length <= shortMax) scratch[this.at++] = short + length;
    else if (length < 0x100 && types[0] !== null) {
      scratch[this.at++] = types[0];
      scratch[this.at++] = length;
    } else if (length < 0x1_0000) {
      scratch[this.at] = types[1];
      this.at = scratch.writeUInt16BE(length, this.at + 1);
    } else {
      scratch[this.at] = types[2];
      this.at = scratch.writeUInt32BE(length, this.at + 1);
    }
  }

  private text(text: string): void {
    if (text.length > LOOP_TEXT || !this.ascii(text)) {
      const length = Buffer.byteLength(text);
      this.reserve(length + 5);
      this.head(length, 0xa0, 0x1f, TEXT_TYPES);
      scratch.write(text, this.at, length, "utf8");
      this.at += length;
    }
  }

  /** A text of ASCII characters alone, or nothing. */
  private ascii(text: string): boolean {
    const { length } = text, before = this.at;
    this.reserve(length + 2);
    this.head(length, 0xa0, 0x1f, TEXT_TYPES);
    const from = this.at;
    for (let index = 0; index < length; index += 1) {
      const code = text.charCodeAt(index);
      if (code >= 0x80) {
        this.at = before;
        return false;
      }
      scratch[from + index] = code;
    }
    this.at = from + length;
    return true;
  }

  private number(value: number): void {
    if (value >>> 0 === value) {
      if (value < 0x80) scratch[this.at++] = value;
      else if (value < 0x100) {
        scratch[this.at++] = 0xcc;
        scratch[this.at++] = value;
      } else if (value < 0x1_0000) {
        scratch[this.at] = 0xcd;
        this.at = scratch.writeUInt16BE(value, this.at + 1);
      } else {
        scratch[this.at] = 0xce;
        this.at = scratch.writeUInt32BE(value, this.at + 1);
      }
    } else if (value >> 0 === value) {
      if (value >= -0x20) scratch[this.at++] = 0x100 + value;
      else if (value >= -0x80) {
        scratch[this.at++] = 0xd0;
        scratch[this.at++] = value + 0x100;
      } else if (value >= -0x8000) {
        scratch[this.at] = 0xd1;
        this.at = scratch.writeInt16BE(value, this.at + 1);
      } else {
        scratch[this.at] = 0xd2;
        this.at = scratch.writeInt32BE(value, this.at + 1);
      }
    } else {
      scratch[this.at] = 0xcb;
      this.at = scratch.writeDoubleBE(value, this.at + 1);
    }
  }

  private binary(value: Uint8Array): void {
    this.reserve(value.length + 5);
    this.head(value.length, 0, -1, BINARY_TYPES);
    scratch.set(value, this.at);
    this.at += value.length;
  }

  private list(values: readonly unknown[]): boolean {
    this.head(values.length, 0x90, 0x0f, LIST_TYPES);
    for (const value of values) if (!this.value(value)) return false;
    return true;
  }

  private map(entries: object): boolean {
    if (Object.getPrototypeOf(entries) !== Object.prototype || "toJSON" in entries) return false;
    const names = Object.keys(entries) as (keyof typeof entries)[];
    if (names.length >= 0x1_0000) return false;
    scratch[this.at] = 0xde;
    this.at = scratch.writeUInt16BE(names.length, this.at + 1);
    for (const name of names) {
      this.reserve(9);
      this.text(name);
      if (!this.value(entries[name])) return false;
    }
    return true;
  }
}

/** Types of texts, binary values and lists by the bytes of their length: one, two, four. */
const TEXT_TYPES = [0xd9, 0xda, 0xdb] as const, BINARY_TYPES = [0xc4, 0xc5, 0xc6] as const, LIST_TYPES = [null, 0xdc, 0xdd] as const;
/** Up to this, copying character by character is faster than encoding. */
const LOOP_TEXT = 128;
