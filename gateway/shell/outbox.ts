import { PopulaceError } from "@populace/domain";
import { sha256Hex } from "@populace/io";
import type { Store } from "@populace/io";
import type { Outcome } from "../core/schemas.ts";

const OUTCOMES = "gateway-outcome", IDS = "gateway-outcome-id";
const PAGE = 10_000;

export interface StoredOutcome {
  /** Grows by one; a learner remembers the last it took. */
  readonly sequence: number;
  readonly outcome: Outcome;
}

const utf8 = new TextEncoder();
const key = (sequence: number): string => String(sequence).padStart(16, "0");

/**
 * Stores outcomes in one transaction, each id once, and returns how many were new after they are on disk. The consent goes along:
 * whoever learns from them later judges it again.
 */
export async function storeOutcomes(store: Store, outcomes: readonly Outcome[]): Promise<number> {
  const added = await store.transaction((tables) => {
    const [last] = tables.range(OUTCOMES, { reverse: true, limit: 1, keysOnly: true });
    let sequence = last === undefined ? 0 : Number(last.key);
    let count = 0;
    for (const outcome of outcomes) {
      const id = sha256Hex(utf8.encode(outcome.id));
      if (tables.get(IDS, id) !== null) continue;
      sequence++;
      count++;
      tables.put(OUTCOMES, key(sequence), utf8.encode(JSON.stringify(outcome)));
      tables.put(IDS, id, utf8.encode(String(sequence)));
    }
    return count;
  });
  await store.flushed();
  return added;
}

/** Outcomes stored after a sequence (0 = all), in order, at most `limit`. What `learn` folds. Throws `CORRUPT`. */
export function readOutcomes(store: Store, after = 0, limit = PAGE): readonly StoredOutcome[] {
  // The store pages by prefix only, so what was taken before is skipped here.
  return store
    .range(OUTCOMES, { keysOnly: true })
    .filter((row) => Number(row.key) > after)
    .slice(0, limit)
    .map((row) => {
      try {
        return { sequence: Number(row.key), outcome: JSON.parse(new TextDecoder().decode(store.get(OUTCOMES, row.key)!)) as Outcome };
      } catch (cause) {
        throw new PopulaceError("CORRUPT", `outcome ${row.key} of the outbox cannot be read`, { sequence: Number(row.key) }, cause);
      }
    });
}
