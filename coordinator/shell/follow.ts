import { PopulaceError } from "@populace/domain";
import type { LogEntry, Logger, Ports, RegistryEntry, Stop, Store, StoreTables } from "@populace/io";
import { COMMIT, HELD, bodyOf, commitSubject, heldSubject, isLedgerBase, releaseKey, runKey, type Commit, type RunRecord } from "@populace/protocol";
import { newerRecord } from "../core/takeover.ts";
import { keepCopy } from "./copies.ts";
import { adoptCheckpoint, compactLedger, holdCheckpoint } from "./ledger-checkpoints.ts";
import { decodeRecord, decodeRelease, discardCommits, discardStale, markRemoved, raiseTerm, readCommit, readEnd, readOutbox, readRecord, writeCommit, writeRecord, writeRelease } from "./run-store.ts";

/** Between two tries to take in what the disk refused: at first, and after many in vain. */
const FETCH_MS = 250, FETCH_MAX_MS = 2000;

/**
 * Keeps the own store level with COMMIT (also with what others hold of a COMMIT that lost it) and the registry, flushed: what a standby needs to lead, and the second copy of what the
 * transport may lose. What the disk refused is fetched again until it is taken, and a gap in the commits is filled from COMMIT; what cannot be fitted in then (COMMIT has the gap too, two roots) is
 * left to the reconciliation of the next leader. What a ledger's checkpoint stands for leaves the disk once all of the checkpoint is there. `onTerm` hears the
 * terms of others, `onFlushed` how far a run is on this disk, `onRecord` every change of a run, and whether this disk had it not, `onStale` the
 * own record where the registry was given one of an earlier term.
 */
export function followTenant(ports: Ports & { readonly store: Store }, tenant: string, logger: Logger, hooks: { onTerm(term: number): void; onFlushed(run: string, tick: number): void; onRecord(record: RunRecord, isNews: boolean): void; onStale(own: RunRecord): void }): Stop {
  const { bus, log, registry, blobs, store, clock } = ports;
  const closing = new AbortController();
  /** How to fetch again what the disk refused, by what it is of. */
  const refused = new Map<string, () => Promise<void>>();
  let isFetching = false;
  /** Last tick before a gap that COMMIT could not fill, by run. */
  const gaps = new Map<string, number>();

  async function onCommit(commit: Commit): Promise<void> {
    hooks.onTerm(commit.term);
    const { run, tick } = commit;
    let record: RunRecord | null = null, gapAfter: number | null = null;
    const isHeld = isLedgerBase(commit) && tick > readEnd(store, tenant, run).tick && await holdCheckpoint(ports, commit);
    const changed = await store.transaction((tables): boolean => {
      record = readRecord(tables, tenant, run);
      if (record !== null && commit.attempt < record.firstAttempt) return false;
      raiseTerm(tables, tenant, commit.term);
      let end = readEnd(tables, tenant, run);
      const known = tick <= end.tick ? readCommit(tables, tenant, run, tick) : null;
      if (known?.root === commit.root) {
        // Committed anew: what followed it was false. Or an append of this coordinator, whose answer it did not live to hear.
        if (known.attempt < commit.attempt || readOutbox(tables, tenant, run).has(tick)) writeFinal(tables, commit);
        return false;
      }
      if (known !== null) {
        // Not acknowledged here and another one there: COMMIT is final.
        if (!readOutbox(tables, tenant, run).has(tick)) return false;
        discardCommits(tables, tenant, run, tick);
        end = { tick: tick - 1, root: commit.prevRoot };
      }
      if (tick > end.tick + 1) {
        if (isHeld) {
          adoptCheckpoint(tables, tenant, commit);
          return true;
        }
        gapAfter = end.tick;
      }
      if (tick !== end.tick + 1 || commit.prevRoot !== end.root) return false;
      writeFinal(tables, commit);
      if (isHeld) compactLedger(tables, tenant, commit);
      return true;
    });
    if (gapAfter !== null && gaps.get(run) !== gapAfter) {
      gaps.set(run, gapAfter);
      await catchUp(run, gapAfter);
    }
    if (!changed) return;
    gaps.delete(run);
    if (tick + 1 === (record as RunRecord | null)?.spec.ticks) await keepCopy(ports, commit.sums);
    await store.flushed();
    hooks.onFlushed(run, tick);
  }

  /** Terms never fall along the chain, here as in COMMIT: a commit has at least the term of the one before it, and so do those behind it that are to come again. */
  function writeFinal(tables: StoreTables, commit: Commit): void {
    const { run, tick } = commit, term = Math.max(commit.term, readCommit(tables, tenant, run, tick - 1)?.term ?? 0);
    writeCommit(tables, tenant, { ...commit, term }, false);
    for (let next = readCommit(tables, tenant, run, tick + 1); next !== null && next.term < term; next = readCommit(tables, tenant, run, next.tick + 1)) {
      writeCommit(tables, tenant, { ...next, term }, readOutbox(tables, tenant, run).has(next.tick));
    }
  }

  const decode = async ({ subject, sequence, bytes }: LogEntry): Promise<Commit> => COMMIT.decode(await bodyOf(bytes, blobs, `entry ${sequence} of ${subject}`));

  async function catchUp(run: string, tick: number): Promise<void> {
    const subject = commitSubject(tenant, run);
    for (let page = await log.read(subject); page.length > 0; page = await log.read(subject, { after: page.at(-1)!.sequence })) {
      for (const entry of page) {
        const commit = await decode(entry).catch(unreadable);
        if (commit !== null && commit.tick > tick) await onCommit(commit);
      }
    }
  }

  /** No other try makes an entry readable: the next leader finds it, as a gap. */
  function unreadable(error: unknown): null {
    if (!(error instanceof PopulaceError) || error.code !== "CORRUPT") throw error;
    logger.error({ error: String(error) }, "an entry of COMMIT that cannot be read is passed over");
    return null;
  }

  async function onRecord(entry: RegistryEntry | null): Promise<void> {
    const there = decodeRecord(entry?.bytes ?? null);
    if (there === null) return;
    hooks.onTerm(there.term);
    const own = readRecord(store, tenant, there.run);
    if (own !== null && own.term > there.term) return hooks.onStale(own);
    let isNews = false;
    const isAnew = await store.transaction((tables): boolean => {
      const here = readRecord(tables, tenant, there.run);
      isNews = newerRecord(here, there) === there;
      if (!isNews) return false;
      raiseTerm(tables, tenant, there.term);
      writeRecord(tables, tenant, there);
      if (there.state === "removed") markRemoved(tables, tenant, there);
      return (there.firstAttempt > (here?.firstAttempt ?? 0) && discardStale(tables, tenant, there.run, there.firstAttempt)) || here?.state === "removed";
    });
    // What came before the record could not be fitted in.
    if (isAnew) await catchUp(there.run, readEnd(store, tenant, there.run).tick);
    if (there.state !== "removed") await keepCopy(ports, there.spec.planHash);
    await store.flushed();
    hooks.onRecord(there, isNews);
  }

  async function onRelease(entry: RegistryEntry | null): Promise<void> {
    const release = entry === null ? null : decodeRelease(entry.bytes);
    if (release === null) return;
    await store.transaction((tables) => writeRelease(tables, tenant, release));
    for (const hash of [release.content, release.model]) await keepCopy(ports, hash);
  }

  /** Takes something in; what fails is remembered, for `again` to fetch it. */
  async function taken(of: string, take: () => Promise<void>, again: () => Promise<void>): Promise<void> {
    try {
      await take();
    } catch (error) {
      refused.set(of, again);
      logger.warn({ of, error: String(error) }, "what could not be kept is fetched again until it can");
      if (!isFetching) void fetchAgain();
      throw error;
    }
  }

  async function fetchAgain(): Promise<void> {
    isFetching = true;
    for (let waitMs = FETCH_MS; refused.size > 0 && !closing.signal.aborted; ) {
      await clock.sleep(waitMs, closing.signal).catch(() => {});
      waitMs = Math.min(waitMs * 2, FETCH_MAX_MS);
      for (const [of, again] of closing.signal.aborted ? [] : [...refused]) {
        refused.delete(of);
        await again().then(() => { waitMs = FETCH_MS; }, () => refused.set(of, again));
      }
    }
    isFetching = false;
  }

  const watched = (key: string, take: (entry: RegistryEntry | null) => Promise<void>): Stop =>
    registry.watch(key, (at, entry) => taken(at, () => take(entry), async () => take(await registry.get(at))));

  const stops = [
    log.follow(commitSubject(tenant, "*"), 0, async (entry) => {
      const commit = await decode(entry);
      await taken(entry.subject, () => onCommit(commit), () => catchUp(commit.run, readEnd(store, tenant, commit.run).tick));
    }),
    bus.subscribe(heldSubject(tenant, "*"), async (subject, bytes) => {
      for (const body of HELD.decode(bytes).commits) await onCommit(COMMIT.decode(await bodyOf(body, blobs, `a commit under ${subject}`)));
    }),
    watched(runKey(tenant, "*"), onRecord),
    watched(releaseKey(tenant, "*"), onRelease),
  ];
  logger.info({ tenant }, "coordinator follows");
  return () => {
    closing.abort(null);
    for (const stop of stops) stop();
  };
}
