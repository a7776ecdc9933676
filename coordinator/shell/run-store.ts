import type { Store, StoreTables } from "@populace/io";
import { COMMIT, RELEASE, RUN_RECORD, eventIdOf, type Commit, type Release, type RunRecord } from "@populace/protocol";
import type { ChainEnd } from "../core/commit.ts";

/**
 * The coordinator's own tables: the same messages as in registry and COMMIT, on its own disk. Keys begin with the tenant.
 *   runs        <tenant> <run>          RunRecord
 *   commits     <tenant> <run> <tick>   Commit
 *   outbox      <tenant> <run> <tick>   nothing: the commit is tentative until its append to COMMIT is acknowledged
 *   events      <tenant> <run> <event>  tick of a ledger whose commit names the event, if it still does
 *   releases    <tenant> <number>       Release
 *   copies      <hash>                  blobs that nobody could compute again, should the transport lose them: plans, sums of finished runs
 *   terms       <tenant>                highest term known here
 *   probe       <tenant>                nothing: written to see whether the disk still takes anything
 *   garbage     <tenant> <hash>         blobs that no unfinished run needs as far as its run knew
 */
const TICK_DIGITS = 10;
const NOTHING = new Uint8Array(0);
type Reader = Pick<StoreTables, "get" | "range">;

const runPrefix = (tenant: string, run: string): string => `${tenant} ${run}`;
const tickKey = (tenant: string, run: string, tick: number): string => `${tenant} ${run} ${String(tick).padStart(TICK_DIGITS, "0")}`;
const tickOf = (key: string): number => Number(key.slice(-TICK_DIGITS));

/** The record of a run, or null when it is not known here, or from a version before this one. */
export const readRecord = (tables: Reader, tenant: string, run: string): RunRecord | null => decodeRecord(tables.get("runs", runPrefix(tenant, run)));

/** All runs in order of submission. */
export const readRecords = (tables: Reader, tenant: string): readonly RunRecord[] =>
  tables.range("runs", { prefix: `${tenant} ` }).map((row) => decodeRecord(row.bytes)).filter((record) => record !== null).toSorted((left, right) => left.number - right.number);

export function writeRecord(tables: StoreTables, tenant: string, record: RunRecord): void {
  tables.put("runs", runPrefix(tenant, record.run), RUN_RECORD.encode(record));
}

/** A RunRecord of this version, or null. */
export const decodeRecord = (bytes: Uint8Array | null): RunRecord | null => (bytes === null ? null : RUN_RECORD.read(bytes));

export const readTerm = (tables: Reader, tenant: string): number => {
  const bytes = tables.get("terms", tenant);
  return bytes === null ? 0 : new Float64Array(new Uint8Array(bytes).buffer)[0];
};

/** Remembers a term, if it is the highest yet. */
export function raiseTerm(tables: StoreTables, tenant: string, term: number): void {
  if (term > readTerm(tables, tenant)) tables.put("terms", tenant, new Uint8Array(Float64Array.of(term).buffer));
}

export function readCommit(tables: Reader, tenant: string, run: string, tick: number): Commit | null {
  const bytes = tables.get("commits", tickKey(tenant, run, tick));
  return bytes === null ? null : COMMIT.decode(bytes);
}

export const readCommits = (tables: Reader, tenant: string, run: string): readonly Commit[] =>
  tables.range("commits", { prefix: `${runPrefix(tenant, run)} ` }).map((row) => COMMIT.decode(row.bytes));

/** Commits after tick `after`, through `last`. */
export const readCommitsAfter = (tables: Reader, tenant: string, run: string, after: number, last: number): readonly Commit[] =>
  last <= after ? [] : tables.range("commits", { prefix: `${runPrefix(tenant, run)} `, from: tickKey(tenant, run, after + 1), limit: last - after }).map((row) => COMMIT.decode(row.bytes));

export function readLastCommit(tables: Reader, tenant: string, run: string): Commit | null {
  const [row] = tables.range("commits", { prefix: `${runPrefix(tenant, run)} `, reverse: true, limit: 1 });
  return row === undefined ? null : COMMIT.decode(row.bytes);
}

/** Where the committed chain of a run stands; of a run without commits at its id. */
export function readEnd(tables: Reader, tenant: string, run: string): ChainEnd {
  const last = readLastCommit(tables, tenant, run);
  return { tick: last?.tick ?? -1, root: last?.root ?? run };
}

/** `isTentative`: its append to COMMIT is still to come. */
export function writeCommit(tables: StoreTables, tenant: string, commit: Commit, isTentative: boolean): void {
  const key = tickKey(tenant, commit.run, commit.tick);
  tables.put("commits", key, COMMIT.encode(commit));
  if (isTentative) tables.put("outbox", key, NOTHING);
  else tables.remove("outbox", key);
  for (const entry of commit.manifest) tables.put("events", eventKey(tenant, commit.run, eventIdOf(entry)), new Uint8Array(Float64Array.of(commit.tick).buffer));
}

const eventKey = (tenant: string, run: string, event: string): string => `${runPrefix(tenant, run)} ${event}`;

/** Whether a committed tick of a ledger names this event. Commits may have been discarded since: the row says where to look. */
export function isEventCommitted(tables: Reader, tenant: string, run: string, event: string): boolean {
  const bytes = tables.get("events", eventKey(tenant, run, event));
  if (bytes === null) return false;
  const tick = new Float64Array(new Uint8Array(bytes).buffer)[0];
  return readCommit(tables, tenant, run, tick)?.manifest.some((entry) => eventIdOf(entry) === event) ?? false;
}

/** Ticks whose commits are not known to be in the COMMIT log. */
export const readOutbox = (tables: Reader, tenant: string, run: string): ReadonlySet<number> =>
  new Set(tables.range("outbox", { prefix: `${runPrefix(tenant, run)} `, keysOnly: true }).map((row) => tickOf(row.key)));

export function clearOutbox(tables: StoreTables, tenant: string, run: string, throughTick: number): void {
  for (const row of tables.range("outbox", { prefix: `${runPrefix(tenant, run)} `, keysOnly: true })) if (tickOf(row.key) <= throughTick) tables.remove("outbox", row.key);
}

/** Removes the commits of a run from a tick on, or all. */
export function discardCommits(tables: StoreTables, tenant: string, run: string, fromTick = 0): void {
  for (const table of ["commits", "outbox"]) {
    for (const row of tables.range(table, { prefix: `${runPrefix(tenant, run)} `, keysOnly: true })) if (tickOf(row.key) >= fromTick) tables.remove(table, row.key);
  }
}

export function writeRelease(tables: StoreTables, tenant: string, release: Release): void {
  tables.put("releases", `${tenant} ${String(release.number).padStart(TICK_DIGITS, "0")}`, RELEASE.encode(release));
}

/** Releases in the order of their numbers. */
export const readReleases = (tables: Reader, tenant: string): readonly Release[] => tables.range("releases", { prefix: `${tenant} ` }).map((row) => decodeRelease(row.bytes)).filter((release) => release !== null);

export function readLastRelease(tables: Reader, tenant: string): Release | null {
  const [row] = tables.range("releases", { prefix: `${tenant} `, reverse: true, limit: 1 });
  return row === undefined ? null : decodeRelease(row.bytes);
}

/** A Release of this version, or null. */
export const decodeRelease = (bytes: Uint8Array): Release | null => RELEASE.read(bytes);

export const hasCopy = (tables: Reader, hash: string): boolean => tables.range("copies", { prefix: hash, limit: 1, keysOnly: true }).length > 0;
export const readCopy = (tables: Reader, hash: string): Uint8Array | null => tables.get("copies", hash);
export const writeCopy = (tables: StoreTables, hash: string, bytes: Uint8Array): void => tables.put("copies", hash, bytes);

export function markGarbage(tables: StoreTables, tenant: string, hashes: Iterable<string>): void {
  for (const hash of hashes) tables.put("garbage", `${tenant} ${hash}`, NOTHING);
}

export const readGarbage = (store: Store, tenant: string): readonly string[] =>
  store.range("garbage", { prefix: `${tenant} `, keysOnly: true }).map((row) => row.key.slice(tenant.length + 1));

export function forgetGarbage(tables: StoreTables, tenant: string, hashes: Iterable<string>): void {
  for (const hash of hashes) tables.remove("garbage", `${tenant} ${hash}`);
}
