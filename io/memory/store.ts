import type { Store, StoreRange, StoreRow, StoreTables } from "../ports.ts";
import { storeKey } from "../store-key.ts";

/** A store in memory with the same behavior: for tests and for runs that leave nothing behind. */
export function memoryStore(): Store & { close(): Promise<void> } {
  const values = new Map<string, Uint8Array>();
  const get = (table: string, key: string): Uint8Array | null => {
    const bytes = values.get(storeKey(table, key));
    return bytes === undefined ? null : new Uint8Array(bytes);
  };
  // Sorting at every range keeps this twin plain; it is not meant for large tables.
  const range = (table: string, options: StoreRange = {}): readonly StoreRow[] => {
    const prefix = storeKey(table, options.prefix ?? "");
    const from = options.from === undefined ? prefix : storeKey(table, options.from);
    const keys = [...values.keys()].filter((key) => key.startsWith(prefix) && key >= from).toSorted((left, right) => (left < right ? -1 : left > right ? 1 : 0));
    if (options.reverse) keys.reverse();
    return keys.slice(0, options.limit ?? keys.length).map((key) => ({ key: key.slice(table.length + 1), bytes: options.keysOnly ? new Uint8Array(0) : new Uint8Array(values.get(key)!) }));
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
          values.set(storeKey(table, key), new Uint8Array(bytes));
        },
        remove(table, key) {
          undo.push([storeKey(table, key), values.get(storeKey(table, key))]);
          values.delete(storeKey(table, key));
        },
      };
      try {
        return action(tables);
      } catch (error) {
        for (const [key, before] of undo.toReversed()) {
          if (before === undefined) values.delete(key);
          else values.set(key, before);
        }
        throw error;
      }
    },
    async flushed() {},
    async close() {},
  };
}
