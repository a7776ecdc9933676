import type { SignalRecord } from "./record.ts";

/** What was seen, oldest first, up to a bound: the oldest is forgotten for a new one. */
export interface Seen {
  readonly ids: ReadonlySet<string>;
}

export const NOTHING_SEEN: Seen = { ids: new Set() };
/** A day of a busy feed; about 100 bytes each. */
const SEEN_MAX = 1_000_000;

/**
 * Returns the records not seen before, the first of equal ones, and what is seen now. An update passes once for each state: it
 * counts by id, action and time. Deletes always pass: forgetting twice does no harm, missing one does.
 */
export function deduplicate(records: readonly SignalRecord[], seen: Seen = NOTHING_SEEN, seenMax: number = SEEN_MAX): { readonly fresh: readonly SignalRecord[]; readonly seen: Seen; readonly doubled: number } {
  const ids = new Set(seen.ids);
  const fresh: SignalRecord[] = [];
  for (const one of records) {
    const key = one.action === "create" ? `${one.format} ${one.id}` : `${one.format} ${one.id} ${one.action} ${one.atMs}`;
    if (one.action !== "delete" && one.action !== "inactive" && ids.has(key)) continue;
    ids.add(key);
    fresh.push(one);
  }
  for (const oldest of ids) {
    if (ids.size <= seenMax) break;
    ids.delete(oldest);
  }
  return { fresh, seen: { ids }, doubled: records.length - fresh.length };
}
