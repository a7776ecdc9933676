import { statSync } from "node:fs";
import { PopulaceError } from "@populace/domain";
import { open, type RootDatabase } from "lmdb";
import { makeFolder } from "../atomic-file.ts";
import { IO_LIMITS } from "../limits.ts";
import type { Store, StoreRange, StoreRow, StoreTables } from "../ports.ts";
import { storeKey } from "../store-key.ts";

export interface EmbeddedStore extends Store {
  close(): Promise<void>;
}

/**
 * Opens (or makes) the LMDB environment in the folder. Transactions of several processes on one folder are serialized by LMDB and
 * readers never wait; who may LEAD there is decided by `claimProcess`, not here.
 * A transaction is visible when its promise resolves and on disk after `flushed`; SIGKILL loses neither.
 */
export function openStore(folder: string): EmbeddedStore {
  let root: RootDatabase<Buffer, string>;
  try {
    makeFolder(folder);
    if (!statSync(folder).isDirectory()) throw new Error("it is not a folder");
    // Batches that lmdb begins by itself have a promise that nobody sees; when the disk refuses one, its rejection would end the process.
    root = open<Buffer, string>({ path: folder, encoding: "binary", noSubdir: false, eventTurnBatching: false });
  } catch (cause) {
    throw new PopulaceError("STORE_FAILED", `the store folder ${folder} could not be opened: ${(cause as Error).message}; name another with --store`, { folder }, cause);
  }

  const get = (table: string, key: string): Uint8Array | null => {
    const bytes = root.getBinary(storeKey(table, key));
    return bytes === undefined ? null : plain(bytes);
  };
  const range = (table: string, options: StoreRange = {}): readonly StoreRow[] => {
    const low = storeKey(table, options.prefix ?? "");
    const high = `${low}\u007f`;
    const bounds = { ...(options.reverse ? { start: high, end: low, reverse: true } : { start: options.from === undefined ? low : storeKey(table, options.from), end: high }), ...(options.limit === undefined ? {} : { limit: options.limit }) };
    const offset = table.length + 1;
    return options.keysOnly
      ? Array.from(root.getKeys(bounds), (key) => ({ key: key.slice(offset), bytes: new Uint8Array(0) }))
      : Array.from(root.getRange(bounds), ({ key, value }) => ({ key: key.slice(offset), bytes: plain(value) }));
  };
  const tables: StoreTables = {
    get,
    range,
    put(table, key, bytes) {
      if (bytes.length > IO_LIMITS.valueBytesMax) throw new PopulaceError("STORE_FAILED", `${table} ${key}: ${bytes.length} bytes; a value may hold ${IO_LIMITS.valueBytesMax}`, { table, key });
      root.putSync(storeKey(table, key), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    },
    remove(table, key) {
      root.removeSync(storeKey(table, key));
    },
  };

  // Whether the disk refused the last write, and who is told: lmdb's own promises of what was under way then never settle.
  let isRefused = false, refused = refusal();

  return {
    get,
    range,
    async transaction(action) {
      let failed = false;
      let failure: unknown;
      try {
        // A child transaction: aborting it leaves what other callers put into the same batch alone.
        const result = await root.childTransaction(() => {
          try {
            return action(tables);
          } catch (error) {
            failed = true;
            failure = error;
            throw error;
          }
        });
        isRefused = false;
        return result;
      } catch (error) {
        if (failed) throw failure;
        (error as { commitError?: Promise<unknown> }).commitError?.catch(() => {});
        const lost = new PopulaceError("STORE_FAILED", `the store in ${folder} refused a write: ${(error as Error).message}; is the disk full?`, { folder }, error);
        isRefused = true;
        refused.reject(lost);
        refused = refusal();
        throw lost;
      }
    },
    async flushed() {
      await Promise.race([root.flushed, refused.promise]);
    },
    async close() {
      const closed = (async () => {
        await root.flushed;
        await root.close();
      })();
      if (!isRefused) return closed;
      closed.catch(() => {});
    },
  };
}

function refusal(): PromiseWithResolvers<never> {
  const resolvers = Promise.withResolvers<never>();
  resolvers.promise.catch(() => {});
  return resolvers;
}

/** A Uint8Array of its own, aligned at 8. */
const plain = (bytes: Uint8Array): Uint8Array => (bytes.byteOffset % 8 === 0 && bytes.byteLength === bytes.buffer.byteLength ? new Uint8Array(bytes.buffer) : new Uint8Array(bytes));
