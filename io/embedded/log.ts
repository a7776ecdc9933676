import { IO_LIMITS } from "../limits.ts";
import { SILENT, type Logger } from "../logging.ts";
import type { Log, LogEntry, Store, StoreRow, StoreTables } from "../ports.ts";
import { assertSubject, literalPrefix, subjectMatcher } from "../subject.ts";

const ENTRIES = "log";
const CURSORS = "log-cursors";
const META = "log-meta";
const LAST_SEQUENCE = "last-sequence";
/** Blank sorts below every character of a subject, so that one subject's entries lie together. */
const GAP = " ";
const DIGITS = 16;

interface Follower {
  readonly matches: (subject: string) => boolean;
  readonly receive: (entry: LogEntry) => void | Promise<void>;
  readonly queue: LogEntry[];
  cursor: number;
  draining: boolean;
  live: boolean;
}

/**
 * A log over a store: key `<subject> <sequence>`. Several processes may append to one store; `follow` hears the entries of its
 * own process only. Appending resolves when the commit is visible; a power cut may take the last entries, SIGKILL does not.
 */
export function createLog(store: Store, logger: Logger = SILENT): Log {
  const followers = new Set<Follower>();

  function append(tables: StoreTables, subject: string, bytes: Uint8Array): LogEntry {
    const sequence = readNumber(tables.get(META, LAST_SEQUENCE)) + 1;
    tables.put(META, LAST_SEQUENCE, writeNumber(sequence));
    tables.put(ENTRIES, keyOf(subject, sequence), bytes);
    return { subject, sequence, bytes };
  }

  function announce(entry: LogEntry): void {
    for (const follower of followers) {
      if (!follower.matches(entry.subject)) continue;
      follower.queue.push({ ...entry, bytes: new Uint8Array(entry.bytes) });
      start(follower);
    }
  }

  function start(follower: Follower): void {
    if (follower.draining) return;
    follower.draining = true;
    setImmediate(() => void drain(follower));
  }

  async function drain(follower: Follower): Promise<void> {
    while (follower.live && follower.queue.length > 0) {
      const entry = follower.queue.shift()!;
      if (entry.sequence <= follower.cursor) continue;
      follower.cursor = entry.sequence;
      try {
        await follower.receive(entry);
      } catch (error) {
        logger.error({ subject: entry.subject, sequence: entry.sequence, error: String(error) }, "log follower failed");
      }
    }
    follower.draining = false;
  }

  function read(filter: string, after: number, limit: number): LogEntry[] {
    const matches = subjectMatcher(filter);
    const prefix = literalPrefix(filter);
    const exact = prefix === filter;
    const entries: LogEntry[] = [];
    for (const row of store.range(ENTRIES, exact ? { prefix: prefix + GAP, from: keyOf(prefix, after + 1), limit } : { prefix })) {
      const entry = entryOf(row);
      if (entry.sequence > after && matches(entry.subject)) entries.push(entry);
    }
    if (!exact) entries.sort((left, right) => left.sequence - right.sequence);
    return entries.slice(0, limit);
  }

  return {
    async append(subject, bytes, expectedLast) {
      assertSubject(subject);
      const own = new Uint8Array(bytes);
      const result = await store.transaction((tables) => {
        const lastSequence = expectedLast === undefined ? 0 : lastOf(tables, subject)?.sequence ?? 0;
        return expectedLast !== undefined && lastSequence !== expectedLast ? lastSequence : append(tables, subject, own);
      });
      if (typeof result === "number") return { appended: false, lastSequence: result };
      announce(result);
      return { appended: true, sequence: result.sequence };
    },
    async fill(subject, bytes) {
      assertSubject(subject);
      const own = new Uint8Array(bytes);
      const result = await store.transaction((tables) => {
        const stored = lastOf(tables, subject);
        return stored === null ? { entry: append(tables, subject, own) } : { stored: stored.bytes };
      });
      if ("stored" in result) return { filled: false, stored: result.stored };
      announce(result.entry);
      return { filled: true, sequence: result.entry.sequence };
    },
    last: async (subject) => lastOf(store, subject),
    read: async (filter, options = {}) => read(filter, options.after ?? 0, options.limit ?? IO_LIMITS.readEntriesMax),
    async consume(cursor, filter, limit = IO_LIMITS.readEntriesMax) {
      return read(filter, readNumber(store.get(CURSORS, cursor)), limit);
    },
    async acknowledge(cursor, sequence) {
      await store.transaction((tables) => {
        if (readNumber(tables.get(CURSORS, cursor)) < sequence) tables.put(CURSORS, cursor, writeNumber(sequence));
      });
    },
    follow(filter, after, receive) {
      const follower: Follower = { matches: subjectMatcher(filter), receive, queue: [], cursor: after, draining: false, live: true };
      // Reading and registering happen in one turn of the event loop; what is announced twice is dropped by its sequence.
      follower.queue.push(...read(filter, after, Number.MAX_SAFE_INTEGER));
      followers.add(follower);
      if (follower.queue.length > 0) start(follower);
      return () => {
        follower.live = false;
        follower.queue.length = 0;
        followers.delete(follower);
      };
    },
    async purge(filter, below) {
      const matches = subjectMatcher(filter);
      const prefix = literalPrefix(filter);
      return store.transaction((tables) => {
        let removed = 0;
        for (const row of tables.range(ENTRIES, { prefix: prefix === filter ? prefix + GAP : prefix, keysOnly: true })) {
          const { subject, sequence } = entryOf(row);
          if (sequence >= below || !matches(subject)) continue;
          tables.remove(ENTRIES, row.key);
          removed += 1;
        }
        return removed;
      });
    },
  };
}

function lastOf(tables: Pick<Store, "range">, subject: string): LogEntry | null {
  const row = tables.range(ENTRIES, { prefix: subject + GAP, reverse: true, limit: 1 })[0];
  return row === undefined ? null : entryOf(row);
}

const keyOf = (subject: string, sequence: number): string => subject + GAP + String(sequence).padStart(DIGITS, "0");

function entryOf(row: StoreRow): LogEntry {
  const gap = row.key.length - DIGITS - 1;
  return { subject: row.key.slice(0, gap), sequence: Number(row.key.slice(gap + 1)), bytes: row.bytes };
}

const readNumber = (bytes: Uint8Array | null): number => (bytes === null ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true));

function writeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return bytes;
}
