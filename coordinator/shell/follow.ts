import type { Logger, Ports, Stop, Store } from "@populace/io";
import { COMMIT, bodyOf, commitSubject, releaseKey, runKey, type Commit, type RunRecord } from "@populace/protocol";
import { newerRecord } from "../core/takeover.ts";
import { keepCopy } from "./copies.ts";
import { decodeRecord, decodeRelease, discardCommits, raiseTerm, readCommit, readEnd, readOutbox, readRecord, writeCommit, writeRecord, writeRelease } from "./run-store.ts";

/**
 * Keeps the own store level with COMMIT and the registry, flushed: what a standby needs to lead, and the second copy of what the
 * transport may lose. What it cannot fit in (a gap, two roots) is left to the reconciliation of the next leader. `onTerm` hears the
 * terms of others, `onFlushed` how far a run is on this disk, `onRecord` every change of a run.
 */
export function followTenant(ports: Ports & { readonly store: Store }, tenant: string, logger: Logger, hooks: { onTerm(term: number): void; onFlushed(run: string, tick: number): void; onRecord(record: RunRecord): void }): Stop {
  const { log, registry, blobs, store } = ports;

  async function onCommit(commit: Commit): Promise<void> {
    hooks.onTerm(commit.term);
    const { run, tick } = commit;
    let record: RunRecord | null = null;
    const changed = await store.transaction((tables): boolean => {
      record = readRecord(tables, tenant, run);
      if (record !== null && commit.attempt < record.firstAttempt) return false;
      raiseTerm(tables, tenant, commit.term);
      let end = readEnd(tables, tenant, run);
      const known = tick <= end.tick ? readCommit(tables, tenant, run, tick) : null;
      if (known?.root === commit.root) {
        // Committed anew: what followed it was false.
        if (known.attempt < commit.attempt) writeCommit(tables, tenant, commit, false);
        return false;
      }
      if (known !== null) {
        // Not acknowledged here and another one there: COMMIT is final.
        if (!readOutbox(tables, tenant, run).has(tick)) return false;
        discardCommits(tables, tenant, run, tick);
        end = { tick: tick - 1, root: commit.prevRoot };
      }
      if (tick !== end.tick + 1 || commit.prevRoot !== end.root) return false;
      writeCommit(tables, tenant, commit, false);
      return true;
    });
    if (!changed) return;
    if (tick + 1 === (record as RunRecord | null)?.spec.ticks) await keepCopy(ports, commit.sums);
    await store.flushed();
    hooks.onFlushed(run, tick);
  }

  const stops = [
    log.follow(commitSubject(tenant, "*"), 0, async ({ subject, sequence, bytes }) => onCommit(COMMIT.decode(await bodyOf(bytes, blobs, `entry ${sequence} of ${subject}`)))),
    registry.watch(runKey(tenant, "*"), async (_, entry) => {
      const there = decodeRecord(entry?.bytes ?? null);
      if (there === null) return;
      hooks.onTerm(there.term);
      await store.transaction((tables) => {
        const here = readRecord(tables, tenant, there.run);
        if (newerRecord(here, there) !== there) return;
        if (there.firstAttempt > (here?.firstAttempt ?? 0)) discardStale(tables, there.run, there.firstAttempt);
        raiseTerm(tables, tenant, there.term);
        writeRecord(tables, tenant, there);
      });
      await keepCopy(ports, there.spec.planHash);
      await store.flushed();
      hooks.onRecord(there);
    }),
    registry.watch(releaseKey(tenant, "*"), async (_, entry) => {
      const release = entry === null ? null : decodeRelease(entry.bytes);
      if (release === null) return;
      await store.transaction((tables) => writeRelease(tables, tenant, release));
      for (const hash of [release.content, release.model]) await keepCopy(ports, hash);
    }),
  ];
  logger.info({ tenant }, "coordinator follows");
  return () => {
    for (const stop of stops) stop();
  };

  function discardStale(tables: Parameters<typeof discardCommits>[0], run: string, firstAttempt: number): void {
    if ((readCommit(tables, tenant, run, 0)?.attempt ?? firstAttempt) < firstAttempt) discardCommits(tables, tenant, run);
  }
}
