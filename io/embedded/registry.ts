import { SILENT, type Logger } from "../logging.ts";
import type { Registry, RegistryEntry, RegistryResult, Store, StoreTables } from "../ports.ts";
import { assertSubject, literalPrefix, subjectMatcher } from "../subject.ts";

const RECORDS = "registry";
/** revision (f64), alive (1 byte), then the record; a removed record keeps its revision, so that revisions never come twice. */
const HEADER = 9;

interface Watcher {
  readonly matches: (key: string) => boolean;
  readonly receive: (key: string, entry: RegistryEntry | null) => void | Promise<void>;
  live: boolean;
  last: Promise<void>;
}

/** A registry over a store. Several processes may use one store; `watch` hears the changes of its own process only. */
export function createRegistry(store: Store, logger: Logger = SILENT): Registry {
  const watchers = new Set<Watcher>();

  function tell(watcher: Watcher, key: string, entry: RegistryEntry | null): void {
    watcher.last = watcher.last.then(async () => {
      if (!watcher.live) return;
      try {
        await watcher.receive(key, entry);
      } catch (error) {
        logger.error({ key, error: String(error) }, "registry watcher failed");
      }
    });
  }

  async function change(key: string, bytes: Uint8Array | null, expected: number | null): Promise<RegistryResult> {
    assertSubject(key);
    const own = bytes === null ? null : new Uint8Array(bytes);
    const result = await store.transaction((tables): RegistryResult => {
      const { revision, entry } = readRecord(tables, key);
      if (expected === null ? entry !== null : entry === null || entry.revision !== expected) return { ok: false, current: entry };
      const record = new Uint8Array(HEADER + (own?.length ?? 0));
      new DataView(record.buffer).setFloat64(0, revision + 1, true);
      if (own !== null) {
        record[8] = 1;
        record.set(own, HEADER);
      }
      tables.put(RECORDS, key, record);
      return { ok: true, revision: revision + 1 };
    });
    if (result.ok) {
      for (const watcher of watchers) {
        if (watcher.matches(key)) tell(watcher, key, own === null ? null : { key, revision: result.revision, bytes: new Uint8Array(own) });
      }
    }
    return result;
  }

  function list(filter: string): RegistryEntry[] {
    const matches = subjectMatcher(filter);
    return store
      .range(RECORDS, { prefix: literalPrefix(filter) })
      .filter((row) => matches(row.key))
      .map((row) => parse(row.key, row.bytes).entry)
      .filter((entry) => entry !== null);
  }

  return {
    get: async (key) => readRecord(store, key).entry,
    create: (key, bytes) => change(key, bytes, null),
    update: (key, bytes, revision) => change(key, bytes, revision),
    remove: (key, revision) => change(key, null, revision),
    list: async (filter) => list(filter),
    watch(filter, receive) {
      const watcher: Watcher = { matches: subjectMatcher(filter), receive, live: true, last: Promise.resolve() };
      for (const entry of list(filter)) tell(watcher, entry.key, entry);
      watchers.add(watcher);
      return () => {
        watcher.live = false;
        watchers.delete(watcher);
      };
    },
  };
}

function readRecord(tables: Pick<StoreTables, "get">, key: string): { revision: number; entry: RegistryEntry | null } {
  const bytes = tables.get(RECORDS, key);
  return bytes === null ? { revision: 0, entry: null } : parse(key, bytes);
}

function parse(key: string, bytes: Uint8Array): { revision: number; entry: RegistryEntry | null } {
  const revision = new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true);
  return { revision, entry: bytes[8] === 1 ? { key, revision, bytes: bytes.slice(HEADER) } : null };
}
