import { PopulaceError } from "@populace/domain";
import { EVENT_ID_DIGITS, eventIdOf, eventOf, fromHex, toHex, type Commit, type LedgerPlan } from "@populace/protocol";

/**
 * A checkpoint of a ledger stands for all its commits up to a tick. It is a head and, of each span of ticks since the head before, one segment that never
 * changes: the events of the span, so that none is counted twice and the counts from any tick on can be told. Segments whose events are beyond the
 * horizon are folded into the head's counts, and their days are closed.
 */
export interface LedgerHead {
  readonly run: string;
  /** Last tick that it covers. */
  readonly tick: number;
  /** Outcomes of days before this one are refused: ids that old are not known any more. Days since 1970. */
  readonly floor: number;
  /** Newest day of a counted outcome; -1 before the first. */
  readonly newestDay: number;
  /** Last tick whose events are known as counts only; -1 = none. */
  readonly foldedTick: number;
  readonly foldedRefused: number;
  readonly folded: readonly LedgerRow[];
  /** Of each segment, in the order of ticks: its last tick, and the day until which its ids are in use. */
  readonly segments: readonly { readonly last: number; readonly lastDay: number }[];
}

/** Counts of a day and cell (personas x stimuli). */
export interface LedgerRow {
  readonly day: number;
  readonly cell: number;
  readonly exposures: number;
  readonly responses: readonly number[];
}

/** An event that a tick has counted, or refused (`reached` = REFUSED). */
export interface LedgerEntry {
  readonly id: string;
  readonly tick: number;
  readonly day: number;
  readonly cell: number;
  readonly reached: number;
}

/** Steps reached of an event that was refused. */
export const REFUSED = 0xffff;
/** Id (16), tick (4), day (4), cell (2), reached (2), little-endian; after the run's id (32). */
const ID_BYTES = EVENT_ID_DIGITS / 2, ENTRY_BYTES = ID_BYTES + 12, HEADER_BYTES = 32;

/** The events that a commit of a ledger names. */
export const entriesOf = ({ tick, manifest }: Pick<Commit, "tick" | "manifest">, plan: LedgerPlan): readonly LedgerEntry[] => manifest.map((text) => {
  const event = eventOf(text, plan);
  return typeof event === "string" ? { id: eventIdOf(text), tick, day: 0, cell: 0, reached: REFUSED } : { id: event.id, tick, day: event.day, cell: event.persona * plan.stimuli.length + event.stimulus, reached: event.reached };
});

/** The bytes of a segment: sorted by id, 28 bytes an event. */
export function encodeSegment(run: string, entries: readonly LedgerEntry[]): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + entries.length * ENTRY_BYTES), view = new DataView(bytes.buffer);
  bytes.set(fromHex(run));
  entries.toSorted((left, right) => (left.id < right.id ? -1 : 1)).forEach(({ id, tick, day, cell, reached }, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    bytes.set(fromHex(id), at);
    view.setUint32(at + ID_BYTES, tick, true);
    view.setUint32(at + ID_BYTES + 4, day, true);
    view.setUint16(at + ID_BYTES + 8, cell, true);
    view.setUint16(at + ID_BYTES + 10, reached, true);
  });
  return bytes;
}

/** The events of a segment; CORRUPT for bytes that are none. */
export function decodeSegment(bytes: Uint8Array): readonly LedgerEntry[] {
  const count = (bytes.length - HEADER_BYTES) / ENTRY_BYTES, view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (count < 0 || !Number.isInteger(count)) throw new PopulaceError("CORRUPT", `${bytes.length} bytes are no segment of a ledger's checkpoint`, { bytes: bytes.length });
  return Array.from({ length: count }, (_, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES, number = at + ID_BYTES;
    return { id: toHex(bytes.subarray(at, number)), tick: view.getUint32(number, true), day: view.getUint32(number + 4, true), cell: view.getUint16(number + 8, true), reached: view.getUint16(number + 10, true) };
  });
}

/** The bytes of a head. */
export const encodeHead = (head: LedgerHead): Uint8Array => new TextEncoder().encode(JSON.stringify(head));

/** The head; CORRUPT for bytes that are none. */
export function decodeHead(bytes: Uint8Array): LedgerHead {
  try {
    const head = JSON.parse(new TextDecoder().decode(bytes)) as LedgerHead;
    if (!Number.isInteger(head.tick) || !Array.isArray(head.segments) || !Array.isArray(head.folded)) throw new TypeError("fields are missing");
    return head;
  } catch (cause) {
    throw new PopulaceError("CORRUPT", `${bytes.length} bytes are no head of a ledger's checkpoint`, { bytes: bytes.length }, cause);
  }
}

/** Counts by day and cell, in this order; of a ledger with so many steps. */
export class LedgerSums {
  readonly #cells = new Map<string, { readonly day: number; readonly cell: number; exposures: number; readonly responses: number[] }>();
  readonly #steps: number;
  counted = 0;
  refused = 0;

  constructor(steps: number) {
    this.#steps = steps;
  }

  /** Adds what earlier sums came to. */
  addRows(rows: readonly LedgerRow[], refused: number): void {
    for (const { day, cell, exposures, responses } of rows) {
      const sum = this.#at(day, cell);
      sum.exposures += exposures;
      responses.forEach((count, step) => { sum.responses[step] += count; });
      this.counted += exposures;
    }
    this.refused += refused;
  }

  /** Adds events of ticks from one on. */
  add(entries: readonly LedgerEntry[], from = 0): void {
    for (const { tick, day, cell, reached } of entries) {
      if (tick < from) continue;
      if (reached === REFUSED) {
        this.refused += 1;
        continue;
      }
      const sum = this.#at(day, cell);
      sum.exposures += 1;
      for (let step = 0; step < reached; step += 1) sum.responses[step] += 1;
      this.counted += 1;
    }
  }

  rows(): readonly LedgerRow[] {
    return [...this.#cells.values()].toSorted((left, right) => left.day - right.day || left.cell - right.cell);
  }

  #at(day: number, cell: number): { exposures: number; readonly responses: number[] } {
    const key = `${day} ${cell}`;
    let sum = this.#cells.get(key);
    if (sum === undefined) this.#cells.set(key, sum = { day, cell, exposures: 0, responses: Array.from({ length: this.#steps }, () => 0) });
    return sum;
  }
}

/**
 * The head after a span of ticks, and how many of the oldest segments of the one before are folded into its counts. The horizon ends `horizonDays` before
 * today or before the newest outcome, whichever is earlier: neither a wrong clock nor a wrong date closes days alone, and days stay closed.
 * `segmentAt` gives the events of a segment before.
 */
export function nextHead(before: LedgerHead | null, { run, tick, steps, entries, today, horizonDays, segmentAt }: {
  readonly run: string; readonly tick: number; readonly steps: number; readonly entries: readonly LedgerEntry[]; readonly today: number; readonly horizonDays: number;
  readonly segmentAt: (index: number) => readonly LedgerEntry[];
}): { readonly head: LedgerHead; readonly folded: number } {
  const days = entries.filter(({ reached }) => reached !== REFUSED).map(({ day }) => day);
  const spanDay = days.reduce((most, day) => Math.max(most, day), -1), newestDay = Math.max(before?.newestDay ?? -1, spanDay);
  const now = Math.min(today, newestDay), floor = Math.max(before?.floor ?? 0, now - horizonDays);
  const segments = before?.segments ?? [];
  let folded = 0;
  while (folded < segments.length && segments[folded].lastDay < floor) folded += 1;
  const sums = new LedgerSums(steps);
  sums.addRows(before?.folded ?? [], before?.foldedRefused ?? 0);
  for (let index = 0; index < folded; index += 1) sums.add(segmentAt(index));
  return {
    folded,
    head: {
      run, tick, floor, newestDay, foldedTick: folded > 0 ? segments[folded - 1].last : before?.foldedTick ?? -1, foldedRefused: sums.refused, folded: sums.rows(),
      segments: [...segments.slice(folded), { last: tick, lastDay: Math.max(0, now, spanDay) }],
    },
  };
}
