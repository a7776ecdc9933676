import type { Store, StoreRange, StoreRow, StoreTables } from "../ports.ts";
import { storeKey } from "../store-key.ts";

/** A store in memory with the same behavior: for tests and for runs that leave nothing behind. */
export function memoryStore(): Store & { close(): Promise<void> } {
  const values = new Map<string, Uint8Array>();
  /** Keys of `values`, ascending. */
  const keys: string[] = [];
  /** Position of the first key for which `isBefore` no longer holds. */
  const position = (isBefore: (key: string) => boolean): number => {
    let low = 0, high = keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(keys[middle])) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const set = (key: string, bytes: Uint8Array): void => {
    if (!values.has(key)) keys.splice(position((other) => other < key), 0, key);
    values.set(key, bytes);
  };
  const remove = (key: string): void => {
    if (values.delete(key)) keys.splice(position((other) => other < key), 1);
  };
  const get = (table: string, key: string): Uint8Array | null => {
    const bytes = values.get(storeKey(table, key));
    return bytes === undefined ? null : new Uint8Array(bytes);
  };
  const range = (table: string, options: StoreRange = {}): readonly StoreRow[] => {
    const prefix = storeKey(table, options.prefix ?? ""), from = options.from === undefined ? prefix : storeKey(table, options.from);
    const end = position((key) => key < prefix || key.startsWith(prefix)), first = Math.min(end, position((key) => key < prefix || key < from));
    const count = Math.min(end - first, options.limit ?? Infinity);
    return Array.from({ length: count }, (_, index) => {
      const key = keys[options.reverse ? end - 1 - index : first + index];
      return { key: key.slice(table.length + 1), bytes: options.keysOnly ? new Uint8Array(0) : new Uint8Array(values.get(key)!) };
    });
  };
  return {
    get,
    range,
    async transaction(action) {
      const undo: [string, Uint8Array | undefined][] = [];
      const tables: StoreTables = {
        get,
        range,
        put(table, key, bytes) {
          undo.push([storeKey(table, key), values.get(storeKey(table, key))]);
          set(storeKey(table, key), new Uint8Array(bytes));
        },
        remove(table, key) {
          undo.push([storeKey(table, key), values.get(storeKey(table, key))]);
          remove(storeKey(table, key));
        },
      };
      try {
        return action(tables);
      } catch (error) {
        for (const [key, before] of undo.toReversed()) {
          if (before === undefined) remove(key);
          else set(key, before);
        }
        throw error;
      }
    },
    async flushed() {},
    async close() {},
  };
}
