import type { Store, StoreTables } from "@populace/io";
import { COMMIT, type Commit, type ExecutionPlan, type RunSpec, type RunState } from "@populace/protocol";

/**
 * The coordinator's own tables. Keys begin with the tenant.
 *   runs        <tenant> <run>          RunRow, JSON
 *   commits     <tenant> <run> <tick>   Commit, as appended to the log
 *   outbox      <tenant> <run> <tick>   the same, until its append to COMMIT is acknowledged
 *   sums        <tenant> <run>          Float64: the tick they reach (that of a checkpoint or the last), then cells x personas x worlds x columns
 *   tick-sums   <tenant> <run> <tick>   Float64: cells x personas x columns of the tick
 *   terms       <tenant>                highest term that wrote here
 *   garbage     <tenant> <hash>         blobs that no unfinished run needs as far as its run knew
 */
export interface RunRow {
  readonly run: string;
  readonly spec: RunSpec;
  readonly attempt: number;
  readonly state: RunState;
  readonly reason: string;
  /** Order of submission. */
  readonly number: number;
  readonly execution: ExecutionPlan | null;
  /** Last committed tick, -1 = none, and its root. */
  readonly tick: number;
  readonly root: string;
  /** Kernel backends that computed what is committed. */
  readonly backends: readonly string[];
  /** Tick of the newest checkpoint, -1 = none. */
  readonly checkpointTick: number;
  readonly exposures: number;
  /** Time spent computing and committing over all attempts. */
  readonly seconds: number;
}

const TICK_DIGITS = 10;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
type Reader = Pick<StoreTables, "get" | "range">;

const runPrefix = (tenant: string, run: string): string => `${tenant} ${run}`;
const tickKey = (tenant: string, run: string, tick: number): string => `${tenant} ${run} ${String(tick).padStart(TICK_DIGITS, "0")}`;

export function readRow(tables: Reader, tenant: string, run: string): RunRow | null {
  const bytes = tables.get("runs", runPrefix(tenant, run));
  return bytes === null ? null : (JSON.parse(decoder.decode(bytes)) as RunRow);
}

export const readRows = (tables: Reader, tenant: string): readonly RunRow[] =>
  tables
    .range("runs", { prefix: `${tenant} ` })
    .map((row) => JSON.parse(decoder.decode(row.bytes)) as RunRow)
    .toSorted((left, right) => left.number - right.number);

export function writeRow(tables: StoreTables, tenant: string, row: RunRow): void {
  tables.put("runs", runPrefix(tenant, row.run), encoder.encode(JSON.stringify(row)));
}

export const readTerm = (tables: Reader, tenant: string): number => floats(tables.get("terms", tenant))?.[0] ?? 0;

export function writeTerm(tables: StoreTables, tenant: string, term: number): void {
  tables.put("terms", tenant, bytesOf(Float64Array.of(term)));
}

export function readCommit(tables: Reader, tenant: string, run: string, tick: number): Commit | null {
  const bytes = tables.get("commits", tickKey(tenant, run, tick));
  return bytes === null ? null : COMMIT.decode(bytes);
}

export const readCommits = (tables: Reader, tenant: string, run: string): readonly Commit[] =>
  tables.range("commits", { prefix: `${runPrefix(tenant, run)} ` }).map((row) => COMMIT.decode(row.bytes));

/** Commits that are not known to be in the COMMIT log yet, in tick order, as they were written. */
export const readOutbox = (tables: Reader, tenant: string, run: string): readonly Commit[] =>
  tables.range("outbox", { prefix: `${runPrefix(tenant, run)} ` }).map((row) => COMMIT.decode(row.bytes));

export function writeCommit(tables: StoreTables, tenant: string, commit: Commit, tickSums: Float64Array): void {
  const bytes = COMMIT.encode(commit);
  tables.put("commits", tickKey(tenant, commit.run, commit.tick), bytes);
  tables.put("outbox", tickKey(tenant, commit.run, commit.tick), bytes);
  tables.put("tick-sums", tickKey(tenant, commit.run, commit.tick), bytesOf(tickSums));
}

export function clearOutbox(tables: StoreTables, tenant: string, run: string, throughTick: number): void {
  for (const row of tables.range("outbox", { prefix: `${runPrefix(tenant, run)} `, keysOnly: true })) {
    if (Number(row.key.slice(-TICK_DIGITS)) <= throughTick) tables.remove("outbox", row.key);
  }
}

/** Sums over the ticks 0 to `through`. */
export interface RunSums {
  readonly through: number;
  readonly counts: Float64Array;
}

export function readSums(tables: Reader, tenant: string, run: string): RunSums | null {
  const values = floats(tables.get("sums", runPrefix(tenant, run)));
  return values === null ? null : { through: values[0], counts: values.subarray(1) };
}

export function writeSums(tables: StoreTables, tenant: string, run: string, sums: RunSums): void {
  const values = new Float64Array(1 + sums.counts.length);
  values[0] = sums.through;
  values.set(sums.counts, 1);
  tables.put("sums", runPrefix(tenant, run), bytesOf(values));
}

/** ticks x (cells x personas x columns), in tick order. */
export function readTickSums(tables: Reader, tenant: string, run: string): readonly Float64Array[] {
  return tables.range("tick-sums", { prefix: `${runPrefix(tenant, run)} ` }).map((row) => floats(row.bytes)!);
}

/** Removes everything a run left in these tables but its row. */
export function clearRun(tables: StoreTables, tenant: string, run: string): void {
  for (const table of ["commits", "outbox", "tick-sums"]) {
    for (const row of tables.range(table, { prefix: `${runPrefix(tenant, run)} `, keysOnly: true })) tables.remove(table, row.key);
  }
  tables.remove("sums", runPrefix(tenant, run));
}

export function markGarbage(tables: StoreTables, tenant: string, hashes: Iterable<string>): void {
  for (const hash of hashes) tables.put("garbage", `${tenant} ${hash}`, new Uint8Array(0));
}

export const readGarbage = (store: Store, tenant: string): readonly string[] =>
  store.range("garbage", { prefix: `${tenant} `, keysOnly: true }).map((row) => row.key.slice(tenant.length + 1));

export function forgetGarbage(tables: StoreTables, tenant: string, hashes: Iterable<string>): void {
  for (const hash of hashes) tables.remove("garbage", `${tenant} ${hash}`);
}

const bytesOf = (values: Float64Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
const floats = (bytes: Uint8Array | null): Float64Array | null => (bytes === null ? null : new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8));
