import { PopulaceError } from "@populace/domain";
import { IO_LIMITS } from "./limits.ts";

/** Ends a table's name in a key. Printable, because LMDB's key decoder takes control characters for the ends of composite keys. */
const END = "/";
/** Names that were checked. */
const TABLES = new Set<string>();

/** The one key of a table's row. BAD_REQUEST when it is too long or not printable ASCII. */
export function storeKey(table: string, key: string): string {
  if (!TABLES.has(table)) addTable(table);
  if (table.length + key.length + 1 > IO_LIMITS.keyBytesMax || !/^[\x20-\x7e]*$/.test(key)) {
    throw new PopulaceError("BAD_REQUEST", `"${key.slice(0, 80)}" cannot be a key of ${table}: expected at most ${IO_LIMITS.keyBytesMax} printable ASCII characters`, { table });
  }
  return table + END + key;
}

function addTable(table: string): void {
  if (!/^[a-z-]+$/.test(table)) throw new PopulaceError("INTERNAL", `"${table}" is no table name: expected lower-case letters and "-"`, { table });
  TABLES.add(table);
}
