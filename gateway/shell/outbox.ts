import { PopulaceError } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import { sha256Hex } from "@populace/io";
import type { Store, StoreTables } from "@populace/io";
import { EVENT_ID_DIGITS, eventIdOf, refusalOf } from "@populace/protocol";
import { GATEWAY_LIMITS } from "../core/limits.ts";
import { outcomeEvent, type DeadLetter } from "../core/outcome.ts";
import type { Outcome } from "../core/schemas.ts";

/**
 * What a gateway keeps of outcomes:
 *   gateway-outcome       <sequence>   the outcome, for `learn`; without a ledger
 *   gateway-event         <sequence>   EventRow: on its way into a ledger, until a COMMIT names it
 *   gateway-outcome-id    <id hash>    sequence of the outcome or event that has this id; of an event, until the horizon has passed it
 *   gateway-id-day        <day> <id hash>   empty: an event that no longer waits, and the last day of its id. What waits stands in none, so that it is never forgotten
 *   gateway-dead-letter   <sequence>   DeadLetter
 */
const OUTCOMES = "gateway-outcome", EVENTS = "gateway-event", IDS = "gateway-outcome-id", DAYS = "gateway-id-day", LETTERS = "gateway-dead-letter";
const PAGE = 10_000;
/** Ids that one transaction forgets: some milliseconds, in which no request can store anything. */
const FORGOTTEN_MAX = 1000;
/** Digits of a day in a key: beyond any that a date can name. */
const DAY_DIGITS = 9;
const NOTHING = new Uint8Array(0);

export interface StoredOutcome {
  /** Grows by one; a learner remembers the last it took. */
  readonly sequence: number;
  readonly outcome: Outcome;
}

/** An event that waits for its COMMIT. */
export interface StoredEvent {
  readonly sequence: number;
  /** The ledger. */
  readonly run: string;
  readonly text: string;
}

interface EventRow {
  readonly run: string;
  readonly text: string;
  /** As its sender called it. */
  readonly id: string;
}

const utf8 = new TextEncoder(), utf8Text = new TextDecoder();
const key = (sequence: number): string => String(sequence).padStart(16, "0");
/** What an outcome's id is called outside this process. */
const hashOf = (id: string): string => sha256Hex(utf8.encode(id)).slice(0, EVENT_ID_DIGITS);
const lastIn = (tables: Pick<StoreTables, "range">, table: string): number => Number(tables.range(table, { reverse: true, limit: 1, keysOnly: true })[0]?.key ?? 0);

/**
 * Stores outcomes in one transaction, each id once, with those that were refused, and returns how many were new after they are on disk. The consent
 * goes along: whoever learns from them later judges it again.
 */
export const storeOutcomes = (store: Store, outcomes: readonly Outcome[], refused: readonly DeadLetter[] = []): Promise<number> =>
  storeEach(store, OUTCOMES, outcomes, refused, (outcome) => outcome);

/** The same for a ledger: of each outcome only its event stays. UNAVAILABLE while more than GATEWAY_LIMITS.eventsWaitingMax wait for their COMMIT. */
export const storeEvents = (store: Store, table: ScoreTable, run: string, outcomes: readonly Outcome[], refused: readonly DeadLetter[]): Promise<number> =>
  storeEach(store, EVENTS, outcomes, refused, (outcome, id): EventRow => ({ run, text: outcomeEvent(table, outcome, id), id: outcome.id }));

async function storeEach(store: Store, table: string, outcomes: readonly Outcome[], refused: readonly DeadLetter[], rowOf: (outcome: Outcome, id: string) => object): Promise<number> {
  const added = await store.transaction((tables) => {
    const last = Math.max(lastIn(tables, OUTCOMES), lastIn(tables, EVENTS), Number(utf8Text.decode(tables.get(IDS, "last") ?? utf8.encode("0"))));
    let sequence = last;
    for (const outcome of outcomes) {
      const id = hashOf(outcome.id);
      if (tables.get(IDS, id) !== null) continue;
      sequence++;
      tables.put(table, key(sequence), utf8.encode(JSON.stringify(rowOf(outcome, id))));
      tables.put(IDS, id, utf8.encode(String(sequence)));
    }
    // Events leave the table: their numbers are not given again.
    tables.put(IDS, "last", utf8.encode(String(sequence)));
    const waiting = eventsWaiting(tables).count;
    if (waiting > GATEWAY_LIMITS.eventsWaitingMax) throw new PopulaceError("UNAVAILABLE", `${waiting} outcomes wait for the cluster, which is all that is kept here; bring its coordinators back, then send them again`, { waiting });
    addLetters(tables, refused);
    return sequence - last;
  });
  await store.flushed();
  return added;
}

function addLetters(tables: StoreTables, letters: readonly DeadLetter[]): void {
  let sequence = lastIn(tables, LETTERS);
  for (const letter of letters) {
    sequence++;
    tables.put(LETTERS, key(sequence), utf8.encode(JSON.stringify(letter)));
    tables.remove(LETTERS, key(sequence - GATEWAY_LIMITS.deadLettersMax));
  }
}

/** Outcomes stored after a sequence (0 = all), in order, at most `limit`. What `learn` folds. Throws `CORRUPT`. */
export const readOutcomes = (store: Store, after = 0, limit = PAGE): readonly StoredOutcome[] => readAfter<Outcome>(store, OUTCOMES, after, limit).map(({ sequence, row }) => ({ sequence, outcome: row }));

/** Events after a sequence that no COMMIT has named, in order, at most `limit`. Throws `CORRUPT`. */
export const readEvents = (store: Store, after = 0, limit = PAGE): readonly StoredEvent[] => readAfter<EventRow>(store, EVENTS, after, limit).map(({ sequence, row: { run, text } }) => ({ sequence, run, text }));

/** Events that no COMMIT has named: the last sequence (0 = none), and how many there are; of those in the middle that are settled before the first, none is told. */
export function eventsWaiting(store: Pick<StoreTables, "range">): { readonly last: number; readonly count: number } {
  const [first] = store.range(EVENTS, { limit: 1, keysOnly: true }), last = lastIn(store, EVENTS);
  return { last, count: first === undefined ? 0 : last - Number(first.key) + 1 };
}

/** Whether the event of an entry of a manifest waits here. */
export function isWaiting(store: Pick<StoreTables, "get">, entry: string): boolean {
  const bytes = store.get(IDS, eventIdOf(entry));
  return bytes !== null && store.get(EVENTS, key(Number(utf8Text.decode(bytes)))) !== null;
}

/** What could not be counted, oldest first. */
export const readDeadLetters = (store: Store): readonly DeadLetter[] => readAfter<DeadLetter>(store, LETTERS, 0, GATEWAY_LIMITS.deadLettersMax).map(({ row }) => row);

function readAfter<T>(store: Store, table: string, after: number, limit: number): readonly { readonly sequence: number; readonly row: T }[] {
  return store.range(table, { from: key(after + 1), limit }).map(({ key: at, bytes }) => {
    try {
      return { sequence: Number(at), row: JSON.parse(utf8Text.decode(bytes)) as T };
    } catch (cause) {
      throw new PopulaceError("CORRUPT", `entry ${at} of ${table} cannot be read`, { sequence: Number(at) }, cause);
    }
  });
}

/**
 * Takes what a COMMIT's manifest names out of the events that wait; what it refused becomes a dead letter. Returns the sequences, and how many were
 * refused. Their ids are known for a horizon from `today` (days since 1970), or from their own day where that is later.
 */
export function settleEvents(store: Store, manifest: readonly string[], today: number): Promise<{ readonly settled: readonly number[]; readonly refused: number }> {
  return store.transaction((tables) => {
    const settled: number[] = [], letters: DeadLetter[] = [];
    for (const entry of manifest) {
      const bytes = tables.get(IDS, eventIdOf(entry));
      const sequence = bytes === null ? 0 : Number(utf8Text.decode(bytes)), row = bytes === null ? null : tables.get(EVENTS, key(sequence));
      if (row === null) continue;
      tables.remove(EVENTS, key(sequence));
      tables.put(DAYS, dayKey(Math.max(today, dayOf(entry)), eventIdOf(entry)), NOTHING);
      settled.push(sequence);
      const reason = refusalOf(entry);
      if (reason !== null) letters.push({ id: (JSON.parse(utf8Text.decode(row)) as EventRow).id, reason });
    }
    addLetters(tables, letters);
    return { settled, refused: letters.length };
  });
}

/**
 * Forgets ids whose last day is more than `horizonDays` before today or the newest of them, whichever is earlier: a clock that runs ahead forgets
 * nothing by itself. At most a thousand, the oldest first; returns how many, and is to be called again while it is not 0.
 */
export function forgetIds(store: Store, today: number, horizonDays: number): Promise<number> {
  const [newest] = store.range(DAYS, { reverse: true, limit: 1, keysOnly: true });
  if (newest === undefined) return Promise.resolve(0);
  const end = dayKey(Math.max(0, Math.min(today, Number(newest.key.slice(0, DAY_DIGITS))) - horizonDays), "");
  const old = store.range(DAYS, { limit: FORGOTTEN_MAX, keysOnly: true }).filter((row) => row.key < end);
  if (old.length === 0) return Promise.resolve(0);
  return store.transaction((tables) => {
    for (const row of old) {
      tables.remove(DAYS, row.key);
      tables.remove(IDS, row.key.slice(DAY_DIGITS + 1));
    }
    return old.length;
  });
}

const dayKey = (day: number, id: string): string => `${String(day).padStart(DAY_DIGITS, "0")} ${id}`;

/** The day of an entry of a manifest; of one that was refused 0. */
const dayOf = (entry: string): number => (refusalOf(entry) === null ? Number(entry.split(" ")[4]) : 0);
