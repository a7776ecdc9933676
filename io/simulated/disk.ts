import { PopulaceError } from "@populace/domain";
import type { Store, StoreRange, StoreRow, StoreTables } from "../ports.ts";
import { storeKey } from "../store-key.ts";
import { copyOf } from "./copy.ts";
import type { SimulatedLife, SimulatedWorld } from "./world.ts";

/** What a disk holds, by the key with its table. */
export type DiskImage = ReadonlyMap<string, Uint8Array>;
type Change = readonly [key: string, bytes: Uint8Array | null];

/** A disk outlives the lives that write to it: transactions are seen at once and kept through a kill; a power cut keeps what was flushed. Readers may not write to the arrays they are given. */
export interface SimulatedDisk {
  /** The disk as one life sees it. */
  open(life: SimulatedLife): Store;
  /** Loses what was not flushed, or (by chance) only the newest part of it: transactions reach the disk in order. */
  powerCut(): void;
  /** While full, every transaction is refused with STORE_FAILED and leaves nothing. */
  setFull(isFull: boolean): void;
  /** What a copy taken now would hold. */
  image(): DiskImage;
  /** Another content: an older copy, or none. */
  replace(image: DiskImage): void;
  /** Whether some row with these bytes is certain to survive a power cut. */
  isDurable(bytes: Uint8Array): boolean;
  /** The rows of a table, for whoever looks at the disk from outside. */
  rows(table: string): readonly StoreRow[];
  counts(): { readonly transactions: number; readonly lostTransactions: number; readonly refused: number };
}

/** An empty disk. */
export function simulatedDisk(world: SimulatedWorld): SimulatedDisk {
  const seen = new Map<string, Uint8Array>();
  let durable = new Map<string, Uint8Array>();
  const pending: (readonly Change[])[] = [];
  let sorted: string[] | null = null;
  // Transactions before `pending[0]`: a flush that was under way at a power cut finds nothing left to do.
  let began = 0;
  let isFull = false, transactions = 0, lostTransactions = 0, refused = 0, busyUntilMs = 0;

  function put(target: Map<string, Uint8Array>, key: string, bytes: Uint8Array | null): void {
    if (target === seen && sorted !== null && target.has(key) !== (bytes !== null)) {
      if (bytes === null) sorted.splice(lowerBound(sorted, key), 1);
      else sorted.splice(lowerBound(sorted, key), 0, key);
    }
    if (bytes === null) target.delete(key);
    else target.set(key, bytes);
  }
  function reset(image: DiskImage): void {
    seen.clear();
    for (const [key, bytes] of image) seen.set(key, bytes);
    sorted = null;
  }
  const get = (table: string, key: string): Uint8Array | null => seen.get(storeKey(table, key)) ?? null;
  const range = (table: string, options: StoreRange = {}): readonly StoreRow[] => {
    const prefix = storeKey(table, options.prefix ?? ""), from = options.from === undefined ? prefix : storeKey(table, options.from);
    sorted ??= [...seen.keys()].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0));
    const limit = options.limit ?? Number.POSITIVE_INFINITY, rows: StoreRow[] = [];
    const step = options.reverse ? -1 : 1;
    // Keys are printable, so this one is above all with the prefix.
    for (let at = options.reverse ? lowerBound(sorted, `${prefix}\x7f`) - 1 : lowerBound(sorted, from); rows.length < limit; at += step) {
      const key = sorted[at];
      if (key === undefined || !key.startsWith(prefix)) break;
      rows.push({ key: key.slice(table.length + 1), bytes: options.keysOnly ? NOTHING : seen.get(key)! });
    }
    return rows;
  };

  function transact<T>(action: (tables: StoreTables) => T): T {
    if (isFull) {
      refused += 1;
      throw new PopulaceError("STORE_FAILED", "the simulated disk is full", {});
    }
    const changes: Change[] = [], undo: Change[] = [];
    const change = (key: string, bytes: Uint8Array | null): void => {
      undo.push([key, seen.get(key) ?? null]);
      changes.push([key, bytes]);
      put(seen, key, bytes);
    };
    try {
      const result = action({ get, range, put: (table, key, bytes) => change(storeKey(table, key), copyOf(bytes)), remove: (table, key) => change(storeKey(table, key), null) });
      if (changes.length > 0) pending.push(changes);
      transactions += 1;
      return result;
    } catch (error) {
      for (const [key, bytes] of undo.toReversed()) put(seen, key, bytes);
      throw error;
    }
  }

  /** The oldest `count` transactions are on disk. */
  function harden(count: number): void {
    if (count <= 0) return;
    for (const changes of pending.splice(0, count)) for (const [key, bytes] of changes) put(durable, key, bytes);
    began += count;
  }
  function forgetPending(): void {
    began += pending.length;
    pending.length = 0;
  }

  /** The next moment the disk has served this; one thing after another. */
  function served(ms: number): number {
    busyUntilMs = Math.max(busyUntilMs, world.nowMs()) + ms * (0.5 + world.chance());
    return busyUntilMs - world.nowMs();
  }

  return {
    open: (life) => ({
      get, range,
      transaction: (action) => new Promise((resolve, reject) => life.step(() => world.after(served(TRANSACTION_MS), () => life.within(() => {
        try {
          resolve(transact(action));
        } catch (error) {
          reject(error as Error);
        }
      })))),
      flushed: () => new Promise((resolve) => life.step(() => {
        const upTo = began + pending.length;
        world.after(served(FLUSH_MS), () => {
          harden(upTo - began);
          life.within(resolve);
        });
      })),
    }),
    powerCut() {
      harden(Math.floor(world.chance() * (pending.length + 1)));
      lostTransactions += pending.length;
      forgetPending();
      reset(durable);
    },
    setFull(next) { isFull = next; },
    image: () => new Map(seen),
    replace(image) {
      forgetPending();
      durable = new Map(image);
      reset(image);
    },
    isDurable(bytes) {
      for (const row of durable.values()) if (row.length === bytes.length && Buffer.compare(row, bytes) === 0) return true;
      return false;
    },
    rows: (table) => range(table),
    counts: () => ({ transactions, lostTransactions, refused }),
  };
}

const NOTHING = new Uint8Array(0);

/** Measured on LMDB: 0.47 ms for a put with its flush. */
const TRANSACTION_MS = 0.1;
const FLUSH_MS = 0.4;

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
