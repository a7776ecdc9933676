import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { id, type ScoreTable } from "@populace/domain";
import { memoryStore, openStore, sha256Hex, type Store } from "@populace/io";
import { EVENT_ID_DIGITS } from "@populace/protocol";
import { expect, onTestFinished, test } from "vitest";
import type { Outcome } from "../core/schemas.ts";
import { eventsWaiting, forgetIds, readDeadLetters, readEvents, settleEvents, storeEvents, storeOutcomes } from "./outbox.ts";

const table: ScoreTable = {
  release: "r", model: "shop", version: 1, evidence: "randomized", steps: ["click"], currency: "EUR", minorUnits: 100, values: null, defaultValueMinor: null,
  mixture: { codings: [], personas: [{ id: id("all"), name: "all", share: 1, shareAlpha: 1, correlation: [], logDensityFloor: -9, lineage: { event: "fitted", parents: [], atVersion: 1 }, traits: [] }] },
  stimuli: [{ id: "mail", name: "mail", contact: true, channel: "email", contactCostMinor: 1, offerCostMinor: 0 }],
  rates: [{ mean: 0.1, low: 0.05, high: 0.2, ess: 90, essSimulated: 0, essReal: 90, label: "real" }],
};
const RUN = "ab".repeat(32), HORIZON = 90, DAY_ONE = 20_000;

const outcomeOf = (name: string, day: number): Outcome => ({ id: name, recipient: name, attributes: {}, stimulus: "mail", reached: null, at: new Date(day * 86_400_000).toISOString() });
const hashOf = (name: string): string => sha256Hex(new TextEncoder().encode(name)).slice(0, EVENT_ID_DIGITS);
/** Takes outcomes on a day; how many were new. */
const take = (store: Store, day: number, ...names: readonly string[]): Promise<number> => storeEvents(store, table, RUN, names.map((name) => outcomeOf(name, day)), []);
/** A commit names all that waits. */
const settleAll = (store: Store, day: number) => settleEvents(store, readEvents(store).map(({ text }) => text), day);
const idsIn = (store: Store): number => store.range("gateway-outcome-id").length - 1;

async function forgetAll(store: Store, day: number, horizon = HORIZON): Promise<number> {
  let all = 0;
  for (let forgotten = -1; forgotten !== 0; all += forgotten) forgotten = await forgetIds(store, day, horizon);
  return all;
}

test("an id is refused as a duplicate up to the last day of the horizon, and forgotten after it", async () => {
  const store = memoryStore();
  expect(await take(store, DAY_ONE, "a", "b")).toBe(2);
  await settleAll(store, DAY_ONE);
  expect(await take(store, DAY_ONE, "a")).toBe(0);
  // Newer ones show that the days have passed.
  await take(store, DAY_ONE + HORIZON, "c");
  await settleAll(store, DAY_ONE + HORIZON);
  expect(await forgetAll(store, DAY_ONE + HORIZON)).toBe(0);
  expect(await take(store, DAY_ONE + HORIZON, "a", "b")).toBe(0);
  await take(store, DAY_ONE + HORIZON + 1, "d");
  await settleAll(store, DAY_ONE + HORIZON + 1);
  expect(await forgetAll(store, DAY_ONE + HORIZON + 1)).toBe(2);
  expect(idsIn(store)).toBe(2);
  expect(await take(store, DAY_ONE + HORIZON + 1, "c", "d")).toBe(0);
});

test("an outcome that waits for its COMMIT keeps its id however old it is, and a horizon from when it waits no more", async () => {
  const store = memoryStore();
  await take(store, DAY_ONE, "waits", "goes");
  await settleEvents(store, [`${hashOf("goes")} 0 0 0 ${DAY_ONE}`], DAY_ONE);
  const later = DAY_ONE + 4 * HORIZON;
  await take(store, later, "new");
  await settleEvents(store, [`${hashOf("new")} 0 0 0 ${later}`], later);
  expect(await forgetAll(store, later)).toBe(1);
  expect(await take(store, later, "waits")).toBe(0);
  expect(eventsWaiting(store).count).toBeGreaterThan(0);
  // The ledger finds it too old by now: it is told of, and its id stays for those who send it again.
  expect(await settleEvents(store, [`${hashOf("waits")} too old`], later)).toMatchObject({ refused: 1 });
  expect(readDeadLetters(store)).toEqual([{ id: "waits", reason: "too old" }]);
  expect(await forgetAll(store, later + HORIZON)).toBe(0);
  expect(await take(store, later + HORIZON, "waits")).toBe(0);
});

test("a clock that runs ahead forgets nothing, and outcomes that no ledger takes keep their ids as long as they are there", async () => {
  const store = memoryStore();
  await take(store, DAY_ONE, "a");
  await settleAll(store, DAY_ONE);
  await storeOutcomes(store, [outcomeOf("kept", DAY_ONE)]);
  expect(await forgetAll(store, DAY_ONE + 1000)).toBe(0);
  expect(await take(store, DAY_ONE, "a")).toBe(0);
  await take(store, DAY_ONE + 1000, "b");
  await settleAll(store, DAY_ONE + 1000);
  expect(await forgetAll(store, DAY_ONE + 1000)).toBe(1);
  expect(await storeOutcomes(store, [outcomeOf("kept", DAY_ONE)])).toBe(0);
});

test("under a clock that moves on, a store on disk holds the ids of a horizon and grows no further", async () => {
  const folder = mkdtempSync(join(tmpdir(), "populace-outbox-"));
  const store = openStore(folder);
  onTestFinished(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const perDay = 50, horizon = 20, bytes: number[] = [];
  let forgotten = 0;
  for (let day = DAY_ONE; day < DAY_ONE + 6 * horizon; day += 1) {
    expect(await take(store, day, ...Array.from({ length: perDay }, (_, index) => `${day} ${index}`))).toBe(perDay);
    await settleAll(store, day);
    forgotten += await forgetAll(store, day, horizon);
    expect(idsIn(store)).toBeLessThanOrEqual((horizon + 1) * perDay);
    if ((day - DAY_ONE + 1) % horizon === 0) bytes.push(statSync(join(folder, "data.mdb")).size);
  }
  expect(forgotten + idsIn(store)).toBe(6 * horizon * perDay);
  // Pages of what was forgotten are used again; three times the outcomes would make three times the file.
  expect(bytes[5]).toBeLessThan(bytes[1] * 1.5);
}, 60_000);
