import { PopulaceError } from "@populace/domain";
import { sha256Hex } from "../hash.ts";
import type { AppendResult, FillResult, LogEntry, RegistryEntry, RegistryResult } from "../ports.ts";
import { assertSubject, literalPrefix, subjectMatcher } from "../subject.ts";
import type { Chance } from "./world.ts";

/** What the service tells of itself as it happens, before anybody else knows. */
export type ServiceEvent =
  | { readonly kind: "entry"; readonly entry: LogEntry; readonly by: string }
  /** `isStale`: the writer learnt what it replaced in an earlier life of the registry, which counted the same revision. */
  | { readonly kind: "record"; readonly entry: RegistryEntry; readonly by: string; readonly isStale: boolean };

/**
 * The service in the middle, in the manner of a NATS server with JetStream: one log, one registry, one blob store, all of which may lose what they
 * acknowledged. Its methods are what happens inside it at one moment; getting there and back is the network's affair.
 */
export interface SimulatedService {
  readonly isUp: boolean;
  /** How often the log lost something: a follower that has seen an older one begins again. */
  readonly epoch: number;
  /** How often the registry lost everything: its revisions begin again in each life. */
  readonly registryLife: number;
  setUp(isUp: boolean): void;
  /** At its byte limit the log refuses new entries with STORE_FAILED and takes nothing; slots that are filled still say so. */
  setFull(isFull: boolean): void;
  /** Loses the newest `count` entries of the log; their sequences come again. */
  forgetNewest(count: number): number;
  /** Loses log, registry and blobs whole. */
  forgetAll(): void;
  /** Loses a share of the blobs. */
  forgetBlobs(share: number): number;
  /** Flips a bit in a stored blob; false when there is none. */
  flipBlobBit(): boolean;
  onEvent(listen: (event: ServiceEvent) => void): void;

  append(by: string, subject: string, bytes: Uint8Array, expectedLast?: number): AppendResult;
  fill(by: string, subject: string, bytes: Uint8Array): FillResult;
  last(subject: string): LogEntry | null;
  read(filter: string, after: number, limit: number): readonly LogEntry[];
  consume(cursor: string, filter: string, limit: number): readonly LogEntry[];
  acknowledge(cursor: string, sequence: number): void;
  purge(filter: string, below: number): number;
  lastSequence(): number;

  get(key: string): RegistryEntry | null;
  /** `learntIn`: the life of the registry in which the caller learnt what it expects. */
  change(by: string, key: string, bytes: Uint8Array | null, expected: number | null, learntIn: number): RegistryResult;
  list(filter: string): readonly RegistryEntry[];

  putBlob(bytes: Uint8Array): string;
  /** The stored bytes, unchecked: the reader checks. */
  blob(address: string): Uint8Array | null;
  hasBlob(address: string): boolean;
  removeBlob(address: string): void;
  /** Puts other bytes under an address. */
  corruptBlob(address: string, bytes: Uint8Array): void;
  bytesHeld(): number;
}

/** A service that is up and holds nothing. */
export function simulatedService(chance: Chance): SimulatedService {
  let entries: LogEntry[] = [];
  /** Entries by subject, and by subject without its last token. */
  const ofSubject = new Map<string, LogEntry[]>(), ofParent = new Map<string, LogEntry[]>();
  const cursors = new Map<string, number>();
  const records = new Map<string, { revision: number; bytes: Uint8Array | null }>();
  const blobs = new Map<string, Uint8Array>();
  const listeners: ((event: ServiceEvent) => void)[] = [];
  let isUp = true, isFull = false, epoch = 0, registryLife = 0, sequence = 0;
  const tell = (event: ServiceEvent): void => { for (const listen of listeners) listen(event); };

  function store(by: string, subject: string, bytes: Uint8Array): LogEntry {
    if (isFull) throw new PopulaceError("STORE_FAILED", `${subject}: the log is at its byte limit; remove finished runs or raise the limit`, { subject });
    const entry: LogEntry = { subject, sequence: (sequence += 1), bytes };
    entries.push(entry);
    enter(entry);
    tell({ kind: "entry", entry, by });
    return entry;
  }
  function enter(entry: LogEntry): void {
    const { subject } = entry;
    append(ofSubject, subject, entry);
    append(ofParent, subject.slice(0, subject.lastIndexOf(".")), entry);
  }
  function index(): void {
    ofSubject.clear();
    ofParent.clear();
    for (const entry of entries) enter(entry);
  }
  const lastOf = (subject: string): LogEntry | undefined => ofSubject.get(subject)?.at(-1);
  /** What tells whether a subject matches, by filter. */
  const matchers = new Map<string, { readonly matches: (subject: string) => boolean; readonly prefix: string }>();
  /** All that can match a filter: few, where its wildcard is the last token or it has none. */
  function candidates(filter: string, prefix: string): readonly LogEntry[] {
    if (prefix === filter) return ofSubject.get(filter) ?? [];
    return prefix.length === filter.length - 1 && filter.endsWith(".*") ? ofParent.get(filter.slice(0, -2)) ?? [] : entries;
  }
  function read(filter: string, after: number, limit: number): LogEntry[] {
    let matcher = matchers.get(filter);
    if (matcher === undefined) matchers.set(filter, (matcher = { matches: subjectMatcher(filter), prefix: literalPrefix(filter) }));
    const { matches, prefix } = matcher, among = candidates(filter, prefix), first = after === 0 ? 0 : firstAfter(among, after);
    if (among !== entries) return among.slice(first, Math.min(among.length, first + limit));
    const found: LogEntry[] = [];
    for (let at = first; at < among.length && found.length < limit; at += 1) {
      const entry = among[at];
      if (entry.subject.startsWith(prefix) && matches(entry.subject)) found.push(entry);
    }
    return found;
  }

  return {
    get isUp() { return isUp; },
    get epoch() { return epoch; },
    get registryLife() { return registryLife; },
    setUp(next) { isUp = next; },
    setFull(next) { isFull = next; },
    forgetNewest(count) {
      const gone = entries.splice(Math.max(0, entries.length - count)).length;
      sequence = entries.at(-1)?.sequence ?? 0;
      epoch += 1;
      index();
      return gone;
    },
    forgetAll() {
      entries = [];
      index();
      cursors.clear();
      records.clear();
      blobs.clear();
      sequence = 0;
      epoch += 1;
      registryLife += 1;
    },
    forgetBlobs(share) {
      let gone = 0;
      for (const address of blobs.keys()) if (chance() < share && blobs.delete(address)) gone += 1;
      return gone;
    },
    flipBlobBit() {
      if (blobs.size === 0) return false;
      const [address, bytes] = [...blobs][Math.floor(chance() * blobs.size)];
      if (bytes.length === 0) return false;
      const flipped = new Uint8Array(bytes);
      flipped[Math.floor(chance() * flipped.length)] ^= 1 << Math.floor(chance() * 8);
      blobs.set(address, flipped);
      return true;
    },
    onEvent: (listen) => void listeners.push(listen),

    append(by, subject, bytes, expectedLast) {
      const last = lastOf(subject)?.sequence ?? 0;
      if (expectedLast !== undefined && last !== expectedLast) return { appended: false, lastSequence: last };
      return { appended: true, sequence: store(by, subject, bytes).sequence };
    },
    fill(by, subject, bytes) {
      const stored = lastOf(subject);
      return stored === undefined ? { filled: true, sequence: store(by, subject, bytes).sequence } : { filled: false, stored: stored.bytes };
    },
    last: (subject) => lastOf(subject) ?? null,
    read,
    consume: (cursor, filter, limit) => read(filter, cursors.get(cursor) ?? 0, limit),
    acknowledge(cursor, upTo) {
      if ((cursors.get(cursor) ?? 0) < upTo) cursors.set(cursor, upTo);
    },
    purge(filter, below) {
      const matches = subjectMatcher(filter), before = entries.length;
      entries = entries.filter((entry) => entry.sequence >= below || !matches(entry.subject));
      if (entries.length < before) index();
      return before - entries.length;
    },
    lastSequence: () => sequence,

    get(key) {
      const record = records.get(key);
      return record === undefined || record.bytes === null ? null : { key, revision: record.revision, bytes: record.bytes };
    },
    change(by, key, bytes, expected, learntIn) {
      assertSubject(key);
      const record = records.get(key) ?? { revision: 0, bytes: null };
      const current = record.bytes === null ? null : { key, revision: record.revision, bytes: record.bytes };
      if (expected === null ? current !== null : current?.revision !== expected) return { ok: false, current };
      const revision = record.revision + 1;
      records.set(key, { revision, bytes });
      if (bytes !== null) tell({ kind: "record", entry: { key, revision, bytes }, by, isStale: learntIn < registryLife });
      return { ok: true, revision };
    },
    list(filter) {
      const matches = subjectMatcher(filter);
      return [...records].filter(([key, { bytes }]) => bytes !== null && matches(key)).map(([key, { revision, bytes }]) => ({ key, revision, bytes: bytes! }))
        .toSorted((left, right) => (left.key < right.key ? -1 : 1));
    },

    putBlob(bytes) {
      const address = sha256Hex(bytes);
      blobs.set(address, bytes);
      return address;
    },
    blob: (address) => blobs.get(address) ?? null,
    hasBlob: (address) => blobs.has(address),
    removeBlob: (address) => void blobs.delete(address),
    corruptBlob: (address, bytes) => void blobs.set(address, bytes),
    bytesHeld: () => entries.reduce((sum, { bytes }) => sum + bytes.length, 0),
  };
}

function append(to: Map<string, LogEntry[]>, key: string, entry: LogEntry): void {
  const list = to.get(key);
  if (list === undefined) to.set(key, [entry]);
  else list.push(entry);
}

/** Checks bytes that came from afar against their address. CORRUPT when they do not match. */
export function checkedBlob(address: string, bytes: Uint8Array): Uint8Array {
  if (sha256Hex(bytes) !== address) throw new PopulaceError("CORRUPT", `blob ${address}: the ${bytes.length} bytes that came do not match this hash; let it be computed or copied again`, { address, bytes: bytes.length });
  return new Uint8Array(bytes);
}

/** Index of the first entry with a sequence above `after`. */
function firstAfter(entries: readonly LogEntry[], after: number): number {
  let low = 0, high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].sequence <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
