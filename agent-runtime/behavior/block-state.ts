import { PopulaceError } from "@populace/domain/error";

const HEADER_BYTES = 8;

/**
 * A block's state as a checkpoint holds it: its columns after a tick and what its agents sent in it, so that whoever restores a run
 * has the messages of the next tick as well. Two u32 (bytes of columns, words of the outbox), columns padded to 4, outbox.
 */
export function encodeBlockState(columns: Uint8Array, outbox: Uint32Array): Uint8Array {
  const at = HEADER_BYTES + Math.ceil(columns.length / 4) * 4;
  const bytes = new Uint8Array(at + outbox.length * 4);
  new Uint32Array(bytes.buffer, 0, 2).set([columns.length, outbox.length]);
  bytes.set(columns, HEADER_BYTES);
  new Uint32Array(bytes.buffer, at).set(outbox);
  return bytes;
}

/** Columns and outbox of a state; CORRUPT when its length does not fit. */
export function decodeBlockState(state: Uint8Array): { readonly columns: Uint8Array; readonly outbox: Uint32Array } {
  const own = new Uint8Array(state);
  if (own.length < HEADER_BYTES) throw new PopulaceError("CORRUPT", `a block's state has ${own.length} bytes`, {});
  const [columns, words] = new Uint32Array(own.buffer, 0, 2), at = HEADER_BYTES + Math.ceil(columns / 4) * 4;
  if (at + words * 4 !== own.length) throw new PopulaceError("CORRUPT", `a block's state has ${own.length} bytes where ${at + words * 4} were expected`, {});
  return { columns: own.subarray(HEADER_BYTES, HEADER_BYTES + columns), outbox: new Uint32Array(own.buffer, at, words) };
}
