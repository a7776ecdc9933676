import { PopulaceError } from "@populace/domain";
import type { Blobs, Store, StoreTables } from "@populace/io";
import { isLedgerBase, type Commit, type LedgerPlan } from "@populace/protocol";
import { LedgerSums, REFUSED, decodeHead, decodeSegment, encodeHead, encodeSegment, entriesOf, nextHead, type LedgerEntry, type LedgerHead } from "../core/ledger-checkpoint.ts";
import { keepCopy } from "./copies.ts";
import { discardCommits, dropCommitsBefore, forgetEvents, hasCopy, readCommits, readCopy, readFirstCommit, removeCopy, writeCommit, writeCopy, writeEvent } from "./run-store.ts";

/**
 * Checkpoints of ledgers on a coordinator's own disk. Whoever has a commit with a checkpoint as its first has copies of all blobs that the
 * checkpoint names, and knows their events.
 */
type Reader = Pick<StoreTables, "get" | "range">;

/** Brings what a checkpoint names onto the own disk; whether all of it is there now. */
export async function holdCheckpoint(ports: { readonly blobs: Blobs; readonly store: Store }, { checkpoint }: Commit): Promise<boolean> {
  for (const hash of checkpoint) await keepCopy(ports, hash);
  return checkpoint.every((hash) => hasCopy(ports.store, hash));
}

/** Gives the blobs of a checkpoint back to a transport that has lost them. */
export async function restoreCheckpoint({ blobs, store }: { readonly blobs: Blobs; readonly store: Store }, commit: Commit | null): Promise<number> {
  let restored = 0;
  for (const hash of commit !== null && isLedgerBase(commit) ? commit.checkpoint : []) {
    if (await blobs.has(hash)) continue;
    await blobs.put(copyOf(store, hash));
    restored += 1;
  }
  return restored;
}

function copyOf(tables: Reader, hash: string): Uint8Array {
  const bytes = readCopy(tables, hash);
  if (bytes === null) throw new PopulaceError("CORRUPT", `part ${hash.slice(0, 12)} of a ledger's checkpoint is not in this coordinator's store; start it with an empty one, beside another coordinator`, { hash });
  return bytes;
}

/** The head of the checkpoint that a ledger on this disk begins with; null when it begins with tick 0. */
export function readHead(tables: Reader, first: Commit | null): LedgerHead | null {
  return first !== null && isLedgerBase(first) ? decodeHead(copyOf(tables, first.checkpoint[0])) : null;
}

/** Begins a ledger on this disk anew with a checkpoint that it holds: whatever was there is too old to be gone on with. */
export function adoptCheckpoint(tables: StoreTables, tenant: string, commit: Commit): void {
  discardCommits(tables, tenant, commit.run);
  for (const segment of commit.checkpoint.slice(1)) {
    for (const { id, tick, reached } of decodeSegment(copyOf(tables, segment))) writeEvent(tables, tenant, commit.run, { id, tick, isRefused: reached === REFUSED });
  }
  writeCommit(tables, tenant, commit, false);
}

/** Drops what a checkpoint that this disk holds stands for: earlier commits and checkpoints, and the ids beyond the horizon. Returns the blobs that nobody needs any more. */
export function compactLedger(tables: StoreTables, tenant: string, commit: Commit): readonly string[] {
  const { run, tick, checkpoint } = commit, kept = new Set(checkpoint), gone = new Set<string>();
  for (const before of readCommits(tables, tenant, run)) {
    if (before.tick >= tick) break;
    if (!isLedgerBase(before)) continue;
    before.checkpoint.forEach((hash, index) => {
      const bytes = kept.has(hash) || gone.has(hash) ? null : readCopy(tables, hash);
      if (bytes === null) return;
      gone.add(hash);
      if (index > 0) forgetEvents(tables, tenant, run, decodeSegment(bytes));
      removeCopy(tables, hash);
    });
  }
  dropCommitsBefore(tables, tenant, run, tick);
  return [...gone];
}

/** A checkpoint over the commits on this disk and one more, in the blob store and as copies; what the commit is to name. */
export async function takeCheckpoint({ blobs, store }: { readonly blobs: Blobs; readonly store: Store }, tenant: string, plan: LedgerPlan, commit: Commit, day: { readonly today: number; readonly horizonDays: number }): Promise<{ readonly checkpoint: readonly string[]; readonly head: LedgerHead }> {
  const { run, tick } = commit, first = readFirstCommit(store, tenant, run), before = readHead(store, first);
  const entries = [...readCommits(store, tenant, run).filter((one) => before === null || one.tick > before.tick), commit].flatMap((one) => entriesOf(one, plan));
  const segments = before === null ? [] : first!.checkpoint.slice(1);
  const { head, folded } = nextHead(before, { run, tick, steps: plan.steps.length, entries, ...day, segmentAt: (index) => decodeSegment(copyOf(store, segments[index])) });
  const put = async (bytes: Uint8Array): Promise<string> => {
    const hash = await blobs.put(bytes);
    await store.transaction((tables) => writeCopy(tables, hash, bytes));
    return hash;
  };
  const segment = await put(encodeSegment(run, entries));
  return { checkpoint: [await put(encodeHead(head)), ...segments.slice(folded), segment], head };
}

/**
 * What a ledger on this disk has counted and refused from a tick on, and why, of what was refused since the checkpoint. BAD_REQUEST for a tick whose
 * events are known as counts only.
 */
export function readLedger(store: Store, tenant: string, run: string, plan: LedgerPlan, from: number): { readonly sums: LedgerSums; readonly refusals: readonly string[] } {
  const sums = new LedgerSums(plan.steps.length), refusals: string[] = [];
  const first = readFirstCommit(store, tenant, run), head = readHead(store, first);
  if (head !== null) {
    if (from > 0 && from <= head.foldedTick) throw new PopulaceError("BAD_REQUEST", `ledger ${run.slice(0, 12)} knows its ticks 0 to ${head.foldedTick} as counts only, and tick ${from} was asked for; ask from tick 0, for a model that has taken none`, { run, from, foldedTick: head.foldedTick });
    if (from === 0) sums.addRows(head.folded, head.foldedRefused);
    head.segments.forEach(({ last }, index) => { if (last >= from) sums.add(decodeSegment(copyOf(store, first!.checkpoint[1 + index])), from); });
  }
  for (const commit of readCommits(store, tenant, run)) {
    if (commit.tick < from) continue;
    const entries: readonly LedgerEntry[] = entriesOf(commit, plan);
    if (head === null || commit.tick > head.tick) sums.add(entries);
    commit.manifest.forEach((text, index) => { if (entries[index].reached === REFUSED) refusals.push(text); });
  }
  return { sums, refusals };
}
