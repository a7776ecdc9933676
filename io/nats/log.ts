import { PopulaceError } from "@populace/domain";
import { IO_LIMITS } from "../limits.ts";
import type { Log, LogEntry } from "../ports.ts";
import { assertSubject, filtersMeet, subjectMatcher } from "../subject.ts";
import { type Stream, type StreamSpec, streamState } from "./streams.ts";
import type { Link } from "./link.ts";
import type { StoredEntry, Wire } from "./wire.ts";

/** Where cursors live: one record a cursor, its newest. */
export const CURSOR_STREAM: StreamSpec = { name: "CURSOR", subjects: [">"], keeps: "latest", bytesMax: 16 * 1024 * 1024, atLimit: "wait" };

/**
 * The log over JetStream. A subject belongs to one stream, sequences grow over that stream, and all but `purge` wants a filter within one.
 * Slots (`fill`) and records (`append`) are different streams: BAD_REQUEST where the wrong one is asked for.
 */
export function createLog(link: Link, wire: Wire, streams: readonly Stream[], cursors: Stream): Log {
  function streamsOf(filter: string): readonly Stream[] {
    subjectMatcher(filter);
    const found = streams.filter((stream) => stream.spec.subjects.some((subject) => filtersMeet(filter, subject)));
    if (found.length > 0) return found;
    throw new PopulaceError("BAD_REQUEST", `no stream holds "${filter}"; there are ${streams.map(({ spec }) => `${spec.name} (${spec.subjects.join(", ")})`).join(", ")}`, { filter });
  }

  function streamOf(filter: string): Stream {
    const found = streamsOf(filter);
    if (found.length > 1) throw new PopulaceError("BAD_REQUEST", `"${filter}" reads over the streams ${found.map(({ spec }) => spec.name).join(" and ")}, whose sequences have no common order; name one kind of subject`, { filter });
    return found[0];
  }

  function writable(subject: string, isSlot: boolean): Stream {
    assertSubject(subject);
    const stream = streamOf(subject);
    if ((stream.spec.keeps === "slots") !== isSlot) throw new PopulaceError("BAD_REQUEST", `${subject} lies in stream ${stream.spec.name}, which keeps ${stream.spec.keeps}; ${isSlot ? "append to it" : "fill it"}`, { subject });
    return stream;
  }

  const read = async (filter: string, after: number, limit: number): Promise<readonly LogEntry[]> => (await wire.read(streamOf(filter), filter, after, limit)).map(plain);

  return {
    async append(subject, bytes, expectedLast) {
      const stream = writable(subject, false);
      const published = await wire.publish(stream, subject, bytes, expectedLast === undefined ? {} : { expectedLast });
      if (published.kind === "stored") return { appended: true, sequence: published.sequence };
      return { appended: false, lastSequence: (await wire.last(stream, subject))?.sequence ?? 0 };
    },
    async fill(subject, bytes) {
      const stream = writable(subject, true);
      const own = new Uint8Array(bytes);
      for (;;) {
        const published = await wire.publish(stream, subject, own);
        if (published.kind === "stored") return { filled: true, sequence: published.sequence };
        const stored = await wire.last(stream, subject);
        // Null: it was purged between the two, so it is open again.
        if (stored !== null) return { filled: false, stored: stored.bytes };
      }
    },
    async last(subject) {
      const stored = await wire.last(streamOf(subject), subject);
      return stored === null ? null : plain(stored);
    },
    read: (filter, options = {}) => read(filter, options.after ?? 0, options.limit ?? IO_LIMITS.readEntriesMax),
    async consume(cursor, filter, limit = IO_LIMITS.readEntriesMax) {
      assertSubject(cursor);
      const after = sequenceIn(await wire.last(cursors, cursor));
      const entries = await read(filter, after, limit);
      if (entries.length > 0 || after === 0) return entries;
      // A stream that ends before the cursor has been lost and begun anew: so is the cursor.
      const state = await streamState(link, streamOf(filter));
      return state !== null && state.lastSequence < after ? read(filter, 0, limit) : entries;
    },
    async acknowledge(cursor, sequence) {
      assertSubject(cursor);
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setFloat64(0, sequence, true);
      for (;;) {
        const stored = await wire.last(cursors, cursor);
        if (sequenceIn(stored) >= sequence) return;
        if ((await wire.publish(cursors, cursor, bytes, { expectedLast: stored?.sequence ?? 0 })).kind === "stored") return;
      }
    },
    follow: (filter, after, receive) => wire.follow(streamOf(filter), filter, after, (entry) => receive(plain(entry))),
    async purge(filter, below) {
      let removed = 0;
      for (const stream of streamsOf(filter)) removed += await wire.purge(stream, filter, below);
      return removed;
    },
  };
}

const plain = ({ subject, sequence, bytes }: StoredEntry): LogEntry => ({ subject, sequence, bytes });

const sequenceIn = (stored: StoredEntry | null): number => (stored === null ? 0 : new DataView(stored.bytes.buffer, stored.bytes.byteOffset).getFloat64(0, true));
