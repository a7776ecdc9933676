/**
 * Reads the envelope of a message: MessagePack's map whose keys come in the order in which the codec writes them. In two thirds of the time of
 * msgpackr, which reads any map; a cluster reads each message several times. Types that codecs do not write are left to msgpackr.
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
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly buffer: Buffer;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
    const { bytes, view } = this;
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
      case 0xc4: return this.binary(view.getUint8(at));
      case 0xc5: return this.binary(view.getUint16(at));
      case 0xc6: return this.binary(view.getUint32(at));
      case 0xcb: return view.getFloat64(at);
      case 0xcc: return view.getUint8(at);
      case 0xcd: return view.getUint16(at);
      case 0xce: return view.getUint32(at);
      case 0xd0: return view.getInt8(at);
      case 0xd1: return view.getInt16(at);
      case 0xd2: return view.getInt32(at);
      case 0xd9: return this.text(view.getUint8(at));
      case 0xda: return this.text(view.getUint16(at));
      case 0xdb: return this.text(view.getUint32(at));
      case 0xdc: return this.list(view.getUint16(at));
      case 0xdd: return this.list(view.getUint32(at));
      case 0xde: return this.map(view.getUint16(at));
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
