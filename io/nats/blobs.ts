import { PopulaceError } from "@populace/domain";
import { sha256Hex } from "../hash.ts";
import { IO_LIMITS } from "../limits.ts";
import type { Blobs } from "../ports.ts";
import type { Stream, StreamSpec } from "./streams.ts";
import type { Wire } from "./wire.ts";

/** Pieces at <hash>.<number>, and once all are stored <hash>.manifest with the size: a blob is there when its manifest is. */
export const blobStream = (bytesMax: number): StreamSpec => ({ name: "BLOB", subjects: ["*.*"], keeps: "slots", bytesMax, atLimit: "wait" });

/** Pieces read one by one before a consumer is worth its price. */
const PIECES_ALONE = 3;
const PIECES_UNDER_WAY = 16;

interface Manifest {
  readonly bytes: number;
  readonly chunkBytes: number;
}

/**
 * Content-addressed bytes in a write-once stream: ten times as fast as NATS's object store, whose client hashes while it sends. Every
 * reading is hashed; a piece that was lost or altered is CORRUPT, until the blob is removed and put again.
 */
export function createBlobs(wire: Wire, stream: Stream): Blobs {
  const manifestOf = async (address: string): Promise<Manifest | null> => {
    const stored = await wire.last(stream, `${address}.manifest`);
    if (stored === null) return null;
    try {
      return JSON.parse(Buffer.from(stored.bytes).toString()) as Manifest;
    } catch (cause) {
      throw corrupt(address, "its manifest is unreadable", cause);
    }
  };

  return {
    async put(bytes) {
      if (bytes.length > IO_LIMITS.valueBytesMax) throw new PopulaceError("TOO_LARGE", `a blob of ${bytes.length} bytes; at most ${IO_LIMITS.valueBytesMax} are taken`, { bytes: bytes.length });
      const own = new Uint8Array(bytes);
      const address = sha256Hex(own);
      if ((await wire.last(stream, `${address}.manifest`)) !== null) return address;
      const chunkBytes = IO_LIMITS.natsChunkBytes;
      // Filled already: by another node, or before an interruption; the bytes are the same.
      await Promise.all(Array.from({ length: Math.ceil(own.length / chunkBytes) }, (_, index) => wire.publish(stream, `${address}.${index}`, own.subarray(index * chunkBytes, (index + 1) * chunkBytes))));
      await wire.publish(stream, `${address}.manifest`, Buffer.from(JSON.stringify({ bytes: own.length, chunkBytes } satisfies Manifest)));
      return address;
    },
    async get(address) {
      if (!isAddress(address)) return null;
      const manifest = await manifestOf(address);
      if (manifest === null) return null;
      const bytes = new Uint8Array(manifest.bytes);
      const missing = new Set(Array.from({ length: Math.ceil(manifest.bytes / manifest.chunkBytes) }, (_, index) => index));
      const place = (index: number, piece: Uint8Array): void => {
        if (index * manifest.chunkBytes + piece.length > bytes.length) throw corrupt(address, `piece ${index} is too long`);
        bytes.set(piece, index * manifest.chunkBytes);
        missing.delete(index);
      };
      const fetchOne = async (index: number): Promise<number> => {
        const piece = await wire.last(stream, `${address}.${index}`);
        if (piece === null) throw corrupt(address, `piece ${index} is missing`);
        place(index, piece.bytes);
        return piece.sequence;
      };
      if (missing.size > 0) {
        const first = await fetchOne(0);
        // A consumer sends the bytes as they are, the leader's answers are base64 in JSON: twice as fast.
        if (missing.size > PIECES_ALONE) {
          await wire.collect(stream, `${address}.*`, first + 1, missing.size + 1, PIECES_UNDER_WAY, (entry) => {
            const index = Number(entry.subject.slice(address.length + 1));
            if (missing.has(index)) place(index, entry.bytes);
          });
        }
        await Promise.all([...missing].map(fetchOne));
      }
      if (sha256Hex(bytes) !== address) throw corrupt(address, `the stored ${bytes.length} bytes do not match this hash`);
      return bytes;
    },
    has: async (address) => isAddress(address) && (await wire.last(stream, `${address}.manifest`)) !== null,
    async remove(address) {
      if (isAddress(address)) await wire.purge(stream, `${address}.*`, Number.MAX_SAFE_INTEGER);
    },
  };
}

const isAddress = (address: string): boolean => /^[0-9a-f]{64}$/.test(address);

function corrupt(address: string, why: string, cause?: unknown): PopulaceError {
  return new PopulaceError("CORRUPT", `blob ${address}: ${why}; remove it and let it be computed or copied again`, { address }, cause);
}
