import type { Registry, RegistryEntry, RegistryResult } from "../ports.ts";
import { assertSubject, subjectMatcher } from "../subject.ts";
import type { Stream, StreamSpec } from "./streams.ts";
import type { StoredEntry, Wire } from "./wire.ts";

/** Laid out as one of NATS's key-value buckets, so that its tools show the records. */
export const REGISTRY_STREAM: StreamSpec = { name: "registry", subjects: [">"], keeps: "latest", bytesMax: 64 * 1024 * 1024, atLimit: "wait" };

/**
 * The registry over JetStream. A revision is the record's sequence in the stream: it grows, by more than 1. Reads go to the leader of the
 * stream, since the library's own bucket may answer with what a replica held before the last acknowledged write.
 */
export function createRegistry(wire: Wire, stream: Stream): Registry {
  async function change(key: string, bytes: Uint8Array | null, expected: number | null): Promise<RegistryResult> {
    assertSubject(key);
    const own = bytes === null ? new Uint8Array(0) : new Uint8Array(bytes);
    for (;;) {
      const stored = await wire.last(stream, key);
      const current = entryOf(stored);
      if (expected === null ? current !== null : current?.revision !== expected) return { ok: false, current };
      const published = await wire.publish(stream, key, own, { expectedLast: stored?.sequence ?? 0, isRemoval: bytes === null });
      if (published.kind === "stored") return { ok: true, revision: published.sequence };
    }
  }

  return {
    async get(key) {
      assertSubject(key);
      return entryOf(await wire.last(stream, key));
    },
    create: (key, bytes) => change(key, bytes, null),
    update: (key, bytes, revision) => change(key, bytes, revision),
    remove: (key, revision) => change(key, null, revision),
    async list(filter) {
      subjectMatcher(filter);
      const entries = new Map((await wire.read(stream, filter, 0, Number.MAX_SAFE_INTEGER)).map((stored) => [stored.subject, entryOf(stored)]));
      return [...entries.values()].filter((entry) => entry !== null).toSorted((left, right) => (left.key < right.key ? -1 : 1));
    },
    watch(filter, receive) {
      subjectMatcher(filter);
      return wire.follow(stream, filter, 0, (stored) => receive(stored.subject, entryOf(stored)));
    },
  };
}

const entryOf = (stored: StoredEntry | null): RegistryEntry | null => (stored === null || stored.isRemoved ? null : { key: stored.subject, revision: stored.sequence, bytes: stored.bytes });
