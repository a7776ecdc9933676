import type { LedgerPlan } from "@populace/protocol";
import { expect, test } from "vitest";
import { LedgerSums, REFUSED, decodeHead, decodeSegment, encodeHead, encodeSegment, entriesOf, nextHead, type LedgerEntry, type LedgerHead } from "./ledger-checkpoint.ts";
import { ledgerTick } from "./ledger-tick.ts";

const RUN = "ab".repeat(32), PLAN: LedgerPlan = { model: "m", fit: "f", personas: ["a", "b"], stimuli: ["mail", "none"], steps: ["open", "click"] };
const id = (number: number): string => number.toString(16).padStart(32, "0");
const entry = (number: number, tick: number, day: number, reached = 1): LedgerEntry => ({ id: id(number), tick, day, cell: 2, reached });
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a segment gives back its events in the order of their ids, at 28 bytes each; other bytes are refused", () => {
  const entries = [entry(9, 3, 20_000), entry(2, 4, 999_999_999, REFUSED), { ...entry(5, 2_000_000_000, 0, 2), cell: 65_535 }];
  const bytes = encodeSegment(RUN, entries);
  expect(decodeSegment(bytes)).toEqual([entries[1], entries[2], entries[0]]);
  expect(bytes.length).toBe(32 + 3 * 28);
  expect(() => decodeSegment(bytes.subarray(0, 40))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
  for (const junk of ["{}", "junk"]) expect(() => decodeHead(bytesOf(junk))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
});

test("segments whose days the horizon has passed are folded into counts, and those days stay closed whatever the calendar says", () => {
  let head: LedgerHead | null = null;
  const segments: LedgerEntry[][] = [], everything: LedgerEntry[] = [];
  const span = (tick: number, days: readonly number[], today: number): number => {
    const entries = days.map((day, index) => entry(100 * tick + index, tick, day, index === 0 ? REFUSED : index % 3));
    const next = nextHead(head, { run: RUN, tick, steps: 2, entries, today, horizonDays: 10, segmentAt: (index) => segments[index] });
    segments.splice(0, next.folded);
    segments.push(entries);
    everything.push(...entries);
    head = decodeHead(encodeHead(next.head));
    return head.floor;
  };
  expect(span(1, [100, 100, 101], 101)).toBe(91);
  expect(span(2, [105, 104, 105], 105)).toBe(95);
  // A clock that is wrong closes no day that outcomes have not come near; nor does a date that is.
  expect(span(3, [105, 106], 9000)).toBe(96);
  expect(span(4, [105, 9000, 106], 106)).toBe(96);
  expect(segments.length).toBe(4);
  expect(span(5, [112, 112], 112)).toBe(102);
  expect(head).toMatchObject({ foldedTick: 1, foldedRefused: 1, newestDay: 9000 });
  expect(segments.length).toBe(4);
  expect(span(6, [], 80)).toBe(102);
  const sums = new LedgerSums(2), whole = new LedgerSums(2);
  sums.addRows(head!.folded, head!.foldedRefused);
  for (const segment of segments) sums.add(segment);
  whole.add(everything);
  expect([sums.rows(), sums.counted, sums.refused]).toEqual([whole.rows(), whole.counted, whole.refused]);
  expect(whole.refused).toBe(5);
});

test("a tick refuses the outcomes of days that are closed, with the reason", () => {
  const { manifest, counted } = ledgerTick(PLAN, [`${id(1)} 1 0 1 101`, `${id(2)} 1 0 1 102`], () => false, 102);
  expect([manifest, counted]).toEqual([[`${id(1)} too old: day 101 (since 1970), and the ledger takes outcomes from day 102 on`, `${id(2)} 1 0 1 102`], 1]);
  expect(entriesOf({ tick: 7, manifest }, PLAN).map(({ tick, reached }) => [tick, reached])).toEqual([[7, REFUSED], [7, 1]]);
});
