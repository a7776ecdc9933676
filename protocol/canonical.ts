import { PopulaceError } from "@populace/domain";

/**
 * Canonical encoding: fixed field order, little-endian, every array aligned at 8 bytes from the start. Only these bytes are hashed;
 * the msgpackr envelope of messages never is.
 */

/** SHA-256, 32 bytes. Handed in, so that this room stays free of node:crypto. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

type TypedArray = Uint8Array | Int8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float64Array;
type TypedArrayType<T> = { new (buffer: ArrayBuffer, offset: number, length: number): T; readonly BYTES_PER_ELEMENT: number };

if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) throw new Error("this machine is big-endian; the canonical encoding is little-endian");

const UTF8 = new TextEncoder();
const NOTHING = new Uint8Array(0);
const align = (offset: number): number => (offset + 7) & ~7;

/** Taken by one writer, and left behind when it has finished: most texts are short, and an array buffer costs more than writing them. */
let spare: { readonly bytes: Uint8Array<ArrayBuffer>; readonly view: DataView } | null = null;
const SPARE_BYTES_MAX = 65_536;

/** Writes values in the one order and layout that hashes are taken of. */
export class CanonicalWriter {
  private bytes: Uint8Array<ArrayBuffer>;
  private view: DataView;
  private length = 0;

  /** `bytesExpected`: how many there will probably be; it grows beyond. */
  constructor(bytesExpected = 4096) {
    this.bytes = spare?.bytes ?? new Uint8Array(bytesExpected);
    this.view = spare?.view ?? new DataView(this.bytes.buffer);
    spare = null;
  }

  private reserve(size: number): number {
    const offset = this.length;
    if (offset + size > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.bytes.length * 2, align(offset + size)));
      grown.set(this.bytes);
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.length = offset + size;
    return offset;
  }

  /** An unsigned 32-bit integer. */
  u32(value: number): this {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw new PopulaceError("ARITHMETIC_RANGE", `${value} is not an unsigned 32-bit integer; the plan holds integers only`, { value });
    const offset = this.reserve(4);
    this.view.setUint32(offset, value, true);
    return this;
  }

  i32(value: number): this {
    if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0x7fff_ffff) throw new PopulaceError("ARITHMETIC_RANGE", `${value} is not a signed 32-bit integer; the plan holds integers only`, { value });
    const offset = this.reserve(4);
    this.view.setInt32(offset, value, true);
    return this;
  }

  text(value: string): this {
    return this.array(UTF8.encode(value));
  }

  /** Length in elements, padding to 8, the elements. */
  array(values: TypedArray): this {
    this.u32(values.length);
    const end = this.reserve(align(this.length) - this.length);
    this.bytes.fill(0, end, this.length);
    const offset = this.reserve(values.byteLength);
    this.bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), offset);
    return this;
  }

  /** What was written; the writer is of no use any more. */
  finish(): Uint8Array {
    const { bytes, view } = this, written = bytes.slice(0, this.length);
    this.bytes = NOTHING;
    if (bytes.length <= SPARE_BYTES_MAX) spare = { bytes, view };
    return written;
  }
}

/** Reads what CanonicalWriter wrote. Throws CORRUPT at any length that does not fit. */
export class CanonicalReader {
  private readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly view: DataView;
  private offset = 0;
  private readonly what: string;

  /** Copies the bytes once, so that views are aligned whatever the source; `what` names the thing in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.bytes = new Uint8Array(bytes);
    this.view = new DataView(this.bytes.buffer);
    this.what = what;
  }

  private take(size: number): number {
    const offset = this.offset;
    if (offset + size > this.bytes.length) {
      throw new PopulaceError("CORRUPT", `${this.what} ends at byte ${this.bytes.length} where at least ${offset + size} were expected; fetch it again`, { expected: offset + size, found: this.bytes.length });
    }
    this.offset = offset + size;
    return offset;
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  i32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  text(): string {
    return new TextDecoder().decode(this.array(Uint8Array));
  }

  /** A view into the reader's own copy. */
  array<T>(type: TypedArrayType<T>): T {
    const length = this.u32();
    this.offset = Math.min(align(this.offset), this.bytes.length);
    const offset = this.take(length * type.BYTES_PER_ELEMENT);
    return new type(this.bytes.buffer, offset, length);
  }

  /** Throws CORRUPT when bytes are left over. */
  end(): void {
    if (this.offset !== this.bytes.length) throw new PopulaceError("CORRUPT", `${this.what} has ${this.bytes.length - this.offset} bytes too many; fetch it again`, { found: this.bytes.length, expected: this.offset });
  }
}

/** Arguments of one call that are sure to fit on the stack: twice as many. */
const HEX_BYTES_MAX = 1024;
const DIGITS = Array.from("0123456789abcdef", (character) => character.charCodeAt(0));

/** Lower-case hexadecimal digits of bytes. All at once: a text that grew digit by digit is a tree that every later use flattens. */
export function toHex(bytes: Uint8Array): string {
  if (bytes.length > HEX_BYTES_MAX) return toHex(bytes.subarray(0, HEX_BYTES_MAX)) + toHex(bytes.subarray(HEX_BYTES_MAX));
  const codes: number[] = [];
  for (let index = 0; index < bytes.length; index += 1) codes.push(DIGITS[bytes[index] >> 4], DIGITS[bytes[index] & 15]);
  return String.fromCharCode(...codes);
}

const digit = (character: number): number => (character < 0x61 ? character - 0x30 : character - 0x57);

/** Bytes of a hex text; throws CORRUPT when it is none. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || /[^0-9a-f]/.test(text)) throw new PopulaceError("CORRUPT", `"${text.slice(0, 80)}" is not lower-case hex`, {});
  const bytes = new Uint8Array(text.length / 2);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = digit(text.charCodeAt(index * 2)) * 16 + digit(text.charCodeAt(index * 2 + 1));
  return bytes;
}
