/**
 * The ports: everything a process may do to the world outside it, in bytes and strings, with no knowledge of messages.
 * Each port has twins that pass one contract suite (contract.ts): embedded (LMDB, in process), in memory, over NATS, simulated.
 *
 * Subjects are dot-separated tokens of [A-Za-z0-9_-]; a filter may hold `*` (one token) and, last, `>` (one or more tokens).
 * Bytes handed to a port may be reused by the caller at once; bytes received belong to the receiver and are aligned at 8.
 */

/** Stops a subscription or a watch; calling it twice does nothing. */
export type Stop = () => void;

/** Ephemeral messages: delivered at most once to whoever listens at that moment, in order per publisher, never inside `publish`. */
export interface Bus {
  publish(subject: string, bytes: Uint8Array): void;
  /** An exception of `receive` (or the rejection of its promise) is logged and counted; it never kills the bus or another subscriber. */
  subscribe(filter: string, receive: (subject: string, bytes: Uint8Array) => void | Promise<void>): Stop;
}

export interface LogEntry {
  readonly subject: string;
  /** Grows over the log (over NATS: over the stream that holds the subject), from 1; never reused, not even after a purge. */
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

export type AppendResult = { readonly appended: true; readonly sequence: number } | { readonly appended: false; readonly lastSequence: number };
export type FillResult = { readonly filled: true; readonly sequence: number } | { readonly filled: false; readonly stored: Uint8Array };

/**
 * An ordered log of subjects that survives the process. Slots (`fill`) and records (`append`) are different subjects. Over NATS a filter
 * lies within one stream, except for `purge`, and what a server loses is gone: sequences then begin anew.
 */
export interface Log {
  /** Appends; with `expectedLast`, only if the subject's last sequence is exactly that (0 = the subject is empty). */
  append(subject: string, bytes: Uint8Array, expectedLast?: number): Promise<AppendResult>;
  /** A write-once slot: the first body stays, later ones get it back. A purged slot accepts a new body. */
  fill(subject: string, bytes: Uint8Array): Promise<FillResult>;
  /** The newest entry of a subject, or null. Of a slot: its body. */
  last(subject: string): Promise<LogEntry | null>;
  /** Entries matching the filter with a sequence above `after` (default 0), in sequence order, at most `limit` (default IO_LIMITS.readEntriesMax). */
  read(filter: string, options?: { readonly after?: number; readonly limit?: number }): Promise<readonly LogEntry[]>;
  /** Entries after the cursor's last acknowledgment; the same ones again until `acknowledge`. The cursor survives the process. */
  consume(cursor: string, filter: string, limit?: number): Promise<readonly LogEntry[]>;
  acknowledge(cursor: string, sequence: number): Promise<void>;
  /** Calls `receive` for every entry after `after` that matches, stored ones first, then as they come. Errors as in `Bus.subscribe`. */
  follow(filter: string, after: number, receive: (entry: LogEntry) => void | Promise<void>): Stop;
  /** Removes the matching entries with a sequence below `below`; returns how many. */
  purge(filter: string, below: number): Promise<number>;
}

export interface RegistryEntry {
  readonly key: string;
  readonly revision: number;
  readonly bytes: Uint8Array;
}
export type RegistryResult = { readonly ok: true; readonly revision: number } | { readonly ok: false; readonly current: RegistryEntry | null };

/** Small records under compare-and-set. Keys are subjects. Revisions of a key only grow, by how much is the twin's, and go on after a removal. */
export interface Registry {
  get(key: string): Promise<RegistryEntry | null>;
  /** Writes only if the key holds nothing. */
  create(key: string, bytes: Uint8Array): Promise<RegistryResult>;
  /** Writes only if the key is at `revision`. */
  update(key: string, bytes: Uint8Array, revision: number): Promise<RegistryResult>;
  remove(key: string, revision: number): Promise<RegistryResult>;
  /** Entries whose key matches the filter, in key order. */
  list(filter: string): Promise<readonly RegistryEntry[]>;
  /**
   * Calls `receive` with each current entry that matches and then with the changes, in order (`null` = removed; over NATS also for keys removed before).
   * Changes of one key in quick succession may be told as the last of them.
   */
  watch(filter: string, receive: (key: string, entry: RegistryEntry | null) => void | Promise<void>): Stop;
}

/** Content-addressed bytes. The address is the SHA-256 in lower-case hex. */
export interface Blobs {
  put(bytes: Uint8Array): Promise<string>;
  /** The bytes, hash-checked (CORRUPT when they do not match), or null when unknown. */
  get(hash: string): Promise<Uint8Array | null>;
  has(hash: string): Promise<boolean>;
  remove(hash: string): Promise<void>;
}

/** One process's own database: named tables of string keys (printable ASCII, ordered by byte) and byte values. */
export interface Store {
  /**
   * Runs `action` in one write transaction: all of it or, when it throws, none of it. `action` must not await.
   * Resolves when the commit is visible; call `flushed` for durability.
   */
  transaction<T>(action: (tables: StoreTables) => T): Promise<T>;
  /** Resolves when everything committed so far is on disk. */
  flushed(): Promise<void>;
  get(table: string, key: string): Uint8Array | null;
  range(table: string, options?: StoreRange): readonly StoreRow[];
}

export interface StoreTables {
  get(table: string, key: string): Uint8Array | null;
  put(table: string, key: string, bytes: Uint8Array): void;
  remove(table: string, key: string): void;
  range(table: string, options?: StoreRange): readonly StoreRow[];
}

export interface StoreRange {
  readonly prefix?: string;
  /** First key to return (not with `reverse`); must begin with the prefix. */
  readonly from?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
  /** Rows come without their bytes (empty arrays). */
  readonly keysOnly?: boolean;
}

export interface StoreRow {
  readonly key: string;
  readonly bytes: Uint8Array;
}

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start; never goes back, knows no calendar. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `action` every `ms` until stopped, the first time after `ms`. */
  every(ms: number, action: () => void): Stop;
}

/** What a process is given. A NATS twin maps subjects to its streams; the embedded twin keeps all in one LMDB environment. */
export interface Ports {
  readonly bus: Bus;
  readonly log: Log;
  readonly registry: Registry;
  readonly blobs: Blobs;
  readonly clock: Clock;
}
