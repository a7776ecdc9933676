import { PopulaceError } from "@populace/domain";
import type { Ports, Store } from "@populace/io";
import { RUN_RECORD, runKey, type RunRecord } from "@populace/protocol";
import { newerRecord } from "../core/takeover.ts";
import { decodeRecord, discardStale, raiseTerm, readRecord, readTerm, writeRecord } from "./run-store.ts";

interface Writer {
  readonly ports: Ports & { readonly store: Store };
  readonly tenant: string;
  readonly term: number;
}

/**
 * Commits a change of a run's record: own disk first, then the registry under compare-and-set. Returns what was written, with this
 * leader's term and the next number of change. STALE_TERM when a leader with a higher term has written either.
 */
export async function changeRecord({ ports, tenant, term }: Writer, changed: RunRecord): Promise<RunRecord> {
  const { store } = ports;
  const record = await store.transaction((tables): RunRecord => {
    const storedTerm = readTerm(tables, tenant);
    if (storedTerm > term) throw stale(changed.run, term, storedTerm);
    const next = { ...changed, term, change: (readRecord(tables, tenant, changed.run)?.change ?? 0) + 1 };
    raiseTerm(tables, tenant, term);
    writeRecord(tables, tenant, next);
    return next;
  });
  await store.flushed();
  await publishRecord({ ports, tenant, term }, record);
  return record;
}

/**
 * The record of a run that this leader is to drive, in its term: with the last that an earlier leader wrote, which can write no more from here on. What was
 * read before could change while this one goes on with it. STALE_TERM when a leader with a higher term has written it.
 */
export async function claimRecord({ ports, tenant, term }: Writer, run: string): Promise<RunRecord> {
  const { registry, store } = ports, key = runKey(tenant, run);
  for (;;) {
    const own = readRecord(store, tenant, run)!;
    if (own.term === term) return own;
    const entry = await registry.get(key), there = entry === null ? null : decodeRecord(entry.bytes);
    const newest = newerRecord(there, own)!, claimed = { ...newest, term, change: newest.change + 1 };
    if (newest.term > term) throw stale(run, term, newest.term);
    const bytes = RUN_RECORD.encode(claimed);
    const result = entry === null ? await registry.create(key, bytes) : await registry.update(key, bytes, entry.revision);
    if (!result.ok) continue;
    await store.transaction((tables) => {
      raiseTerm(tables, tenant, term);
      if (own.firstAttempt < claimed.firstAttempt) discardStale(tables, tenant, run, claimed.firstAttempt);
      writeRecord(tables, tenant, claimed);
    });
    await store.flushed();
    return claimed;
  }
}

/** Brings the registry to this record, unless it has a newer one of this term already. STALE_TERM when a higher term wrote there. */
export async function publishRecord({ ports, tenant, term }: Writer, record: RunRecord): Promise<void> {
  const { registry } = ports;
  const key = runKey(tenant, record.run), bytes = RUN_RECORD.encode(record);
  for (;;) {
    const entry = await registry.get(key);
    const there = entry === null ? null : decodeRecord(entry.bytes);
    if (there !== null && there.term > term) throw stale(record.run, term, there.term);
    if (there !== null && there.term === record.term && newerRecord(there, record) === there) return;
    const result = entry === null ? await registry.create(key, bytes) : await registry.update(key, bytes, entry.revision);
    if (result.ok) return;
  }
}

function stale(run: string, term: number, storedTerm: number): PopulaceError {
  return new PopulaceError("STALE_TERM", `run ${run.slice(0, 12)}: this coordinator has term ${term}, term ${storedTerm} has written here; it steps down`, { run, term, storedTerm });
}
