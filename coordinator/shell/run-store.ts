import type { Store, StoreTables } from "@populace/io";
import { COMMIT, RELEASE, RUN_RECORD, eventIdOf, refusalOf, type Commit, type Release, type RunRecord } from "@populace/protocol";
import type { ChainEnd } from "../core/commit.ts";

/**
 * The coordinator's own tables: the same messages as in registry and COMMIT, on its own disk. Keys begin with the tenant.
 *   runs        <tenant> <run>          RunRecord
 *   commits     <tenant> <run> <tick>   Commit
 *   outbox      <tenant> <run> <tick>   nothing: the commit is tentative until its append to COMMIT is acknowledged
 *   events      <tenant> <run> <event>  tick of a ledger whose commit names the event, and 1 if it was refused; also of commits that a checkpoint stands for
 *   releases    <tenant> <number>       Release
 *   copies      <hash>                  blobs that nobody could compute again, should the transport lose them: plans, sums of finished runs, checkpoints of ledgers
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

/** What rows were decoded to, by key: of a thousand runs one has changed since they were read last. */
const decodedRows = new Map<string, { readonly bytes: Uint8Array; readonly record: RunRecord | null }>();
const DECODED_MAX = 20_000;

function decodeRow({ key, bytes }: { readonly key: string; readonly bytes: Uint8Array }): RunRecord | null {
  const before = decodedRows.get(key);
  if (before !== undefined && Buffer.compare(before.bytes, bytes) === 0) return before.record;
  if (decodedRows.size >= DECODED_MAX) decodedRows.clear();
  const record = decodeRecord(bytes);
  decodedRows.set(key, { bytes: new Uint8Array(bytes), record });
  return record;
}

/** All runs in order of submission, with what is left of those that were removed. */
export const readRecords = (tables: Reader, tenant: string): readonly RunRecord[] =>
  tables.range("runs", { prefix: `${tenant} ` }).map(decodeRow).filter((record) => record !== null).toSorted((left, right) => left.number - right.number);

/** Runs whose id begins so and that were not removed, in order of submission. */
export const readRunsNamed = (tables: Reader, tenant: string, beginning: string): readonly RunRecord[] =>
  tables.range("runs", { prefix: runPrefix(tenant, beginning) }).map((row) => decodeRecord(row.bytes)).filter((record) => record !== null).filter(({ state }) => state !== "removed").toSorted((left, right) => left.number - right.number);

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

/** The commit that this disk begins with: tick 0, or of a ledger the last checkpoint's. */
export function readFirstCommit(tables: Reader, tenant: string, run: string): Commit | null {
  const [row] = tables.range("commits", { prefix: `${runPrefix(tenant, run)} `, limit: 1 });
  return row === undefined ? null : COMMIT.decode(row.bytes);
}

/** The tick of that commit; 0 when there is none. */
export const readFirstTick = (tables: Reader, tenant: string, run: string): number => {
  const [row] = tables.range("commits", { prefix: `${runPrefix(tenant, run)} `, limit: 1, keysOnly: true });
  return row === undefined ? 0 : tickOf(row.key);
};

/** Bytes of the commits after a tick. */
export const commitBytesAfter = (tables: Reader, tenant: string, run: string, after: number): number =>
  tables.range("commits", { prefix: `${runPrefix(tenant, run)} `, from: tickKey(tenant, run, after + 1) }).reduce((sum, row) => sum + row.bytes.length, 0);

/** Where the committed chain of a run stands; of a run without commits at its id. */
export function readEnd(tables: Reader, tenant: string, run: string): ChainEnd {
  const last = readLastCommit(tables, tenant, run);
  return { tick: last?.tick ?? -1, root: last?.root ?? run };
}

/** Last tick that COMMIT is known to have had; -1 = none. */
export function readFinalTick(tables: Reader, tenant: string, run: string): number {
  const [tentative] = tables.range("outbox", { prefix: `${runPrefix(tenant, run)} `, limit: 1, keysOnly: true });
  const { tick } = readEnd(tables, tenant, run);
  return tentative === undefined ? tick : Math.min(tick, tickOf(tentative.key) - 1);
}

/** `isTentative`: its append to COMMIT is still to come. */
export function writeCommit(tables: StoreTables, tenant: string, commit: Commit, isTentative: boolean): void {
  const key = tickKey(tenant, commit.run, commit.tick);
  tables.put("commits", key, COMMIT.encode(commit));
  if (isTentative) tables.put("outbox", key, NOTHING);
  else tables.remove("outbox", key);
  for (const entry of commit.manifest) writeEvent(tables, tenant, commit.run, { id: eventIdOf(entry), tick: commit.tick, isRefused: refusalOf(entry) !== null });
}

/** An event of a ledger that a committed tick names. */
export interface KnownEvent {
  readonly id: string;
  readonly tick: number;
  readonly isRefused: boolean;
}

const eventKey = (tenant: string, run: string, event: string): string => `${runPrefix(tenant, run)} ${event}`;

export function writeEvent(tables: StoreTables, tenant: string, run: string, { id, tick, isRefused }: KnownEvent): void {
  tables.put("events", eventKey(tenant, run, id), new Uint8Array(Float64Array.of(tick, isRefused ? 1 : 0).buffer));
}

/** Forgets events, each if this tick is where it is known from. */
export function forgetEvents(tables: StoreTables, tenant: string, run: string, events: Iterable<Pick<KnownEvent, "id" | "tick">>): void {
  for (const { id, tick } of events) if (readEvent(tables, tenant, run, id)?.tick === tick) tables.remove("events", eventKey(tenant, run, id));
}

/** Where a committed tick of a ledger names this event; null when none does, or none within the horizon. */
export function readEvent(tables: Reader, tenant: string, run: string, id: string): KnownEvent | null {
  const bytes = tables.get("events", eventKey(tenant, run, id));
  if (bytes === null) return null;
  const [tick, refused] = new Float64Array(new Uint8Array(bytes).buffer);
  return { id, tick, isRefused: refused === 1 };
}

/** Ticks whose commits are not known to be in the COMMIT log. */
export const readOutbox = (tables: Reader, tenant: string, run: string): ReadonlySet<number> =>
  new Set(tables.range("outbox", { prefix: `${runPrefix(tenant, run)} `, keysOnly: true }).map((row) => tickOf(row.key)));

export function clearOutbox(tables: StoreTables, tenant: string, run: string, throughTick: number): void {
  for (const row of tables.range("outbox", { prefix: `${runPrefix(tenant, run)} `, keysOnly: true })) if (tickOf(row.key) <= throughTick) tables.remove("outbox", row.key);
}

/** Removes the commits of a run from a tick on, or all, with the events that they name. */
export function discardCommits(tables: StoreTables, tenant: string, run: string, fromTick = 0): void {
  const prefix = `${runPrefix(tenant, run)} `, from = tickKey(tenant, run, fromTick);
  if (fromTick === 0) {
    for (const row of tables.range("events", { prefix, keysOnly: true })) tables.remove("events", row.key);
  } else if (tables.range("events", { prefix, limit: 1, keysOnly: true }).length > 0) {
    for (const row of tables.range("commits", { prefix, from })) forgetEvents(tables, tenant, run, COMMIT.decode(row.bytes).manifest.map((entry) => ({ id: eventIdOf(entry), tick: tickOf(row.key) })));
  }
  for (const table of ["commits", "outbox"]) for (const row of tables.range(table, { prefix, from, keysOnly: true })) tables.remove(table, row.key);
}

/** Marks what a run named as garbage, for it is removed: whatever another one names as well stays. */
export function markRemoved(tables: StoreTables, tenant: string, { run, spec }: Pick<RunRecord, "run" | "spec">): void {
  markGarbage(tables, tenant, [spec.planHash, ...readCommits(tables, tenant, run).flatMap((commit) => [...commit.checkpoint, commit.sums])].filter((hash) => hash !== ""));
}

/** Removes commits of attempts before the first that counts, and what stands on them; whether there were any. */
export function discardStale(tables: StoreTables, tenant: string, run: string, firstAttempt: number): boolean {
  const { tick: end } = readEnd(tables, tenant, run);
  let tick = 0;
  while (tick <= end && (readCommit(tables, tenant, run, tick)?.attempt ?? firstAttempt) >= firstAttempt) tick += 1;
  if (tick <= end) discardCommits(tables, tenant, run, tick);
  return tick <= end;
}

/** Removes the commits of a ledger before a tick; what they name stays known. */
export function dropCommitsBefore(tables: StoreTables, tenant: string, run: string, tick: number): void {
  for (const row of tables.range("commits", { prefix: `${runPrefix(tenant, run)} `, keysOnly: true })) {
    if (tickOf(row.key) >= tick) break;
    tables.remove("commits", row.key);
    tables.remove("outbox", row.key);
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
export const removeCopy = (tables: StoreTables, hash: string): void => tables.remove("copies", hash);
export const writeCopy = (tables: StoreTables, hash: string, bytes: Uint8Array): void => tables.put("copies", hash, bytes);

export function markGarbage(tables: StoreTables, tenant: string, hashes: Iterable<string>): void {
  for (const hash of hashes) tables.put("garbage", `${tenant} ${hash}`, NOTHING);
}

export const readGarbage = (store: Store, tenant: string): readonly string[] =>
  store.range("garbage", { prefix: `${tenant} `, keysOnly: true }).map((row) => row.key.slice(tenant.length + 1));

export function forgetGarbage(tables: StoreTables, tenant: string, hashes: Iterable<string>): void {
  for (const hash of hashes) tables.remove("garbage", `${tenant} ${hash}`);
}
