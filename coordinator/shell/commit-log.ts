import { PopulaceError } from "@populace/domain";
import type { LogEntry, Logger, Ports, Store } from "@populace/io";
import { COMMIT, bodyOf, commitSubject, fitBody, isLedgerBase, type Commit, type RunRecord } from "@populace/protocol";
import { decideRefusedAppend } from "../core/commit.ts";
import { reconcile } from "../core/takeover.ts";
import { adoptCheckpoint, holdCheckpoint } from "./ledger-checkpoints.ts";
import type { Counters } from "./metrics.ts";
import { clearOutbox, discardCommits, discardStale, raiseTerm, readCommits, readCommitsAfter, readLastCommit, readOutbox, writeCommit } from "./run-store.ts";

/** What the log of commits of one run needs of its leader. */
export interface CommitLogContext {
  readonly ports: Ports & { readonly store: Store };
  readonly tenant: string;
  readonly term: number;
  readonly logger: Logger;
  readonly counters: Counters;
  /** STALE_TERM unless this coordinator still leads: asked before every append. */
  assertLeads(): void;
}

export interface CommitLog {
  /** Puts store and COMMIT together: whichever is behind is completed from the other; where both end alike, `isSuspect` has all of it compared. Returns final roots beyond the chain. DIVERGENCE when two final commits disagree. */
  reconcile(isSuspect?: boolean): Promise<ReadonlyMap<number, string>>;
  /**
   * The same for whoever takes a run up: of two final commits that disagree the later attempt's counts, for an attempt that commits otherwise was begun anew, and the record that said so is lost. The first
   * attempt that counts.
   */
  takeUp(): Promise<{ readonly expected: ReadonlyMap<number, string>; readonly firstAttempt: number }>;
  /** Appends commits that are flushed in the store, in tick order, and takes them out of the outbox. STALE_TERM, DIVERGENCE. */
  append(commits: readonly Commit[]): Promise<void>;
}

/** Two final commits of one tick. */
class Conflict extends PopulaceError {
  /** The later attempt, where they are of two. */
  readonly laterAttempt: number | null;

  constructor({ code, message, details }: PopulaceError, laterAttempt: number | null) {
    super(code, message, details);
    this.laterAttempt = laterAttempt;
  }
}

/** A refused append is looked into so many times before the log is given up for now. */
const APPEND_TRIES = 5;
const LOST = "the COMMIT log lost acknowledged records; they are appended again";

export function commitLog(context: CommitLogContext, record: Pick<RunRecord, "run" | "firstAttempt">): CommitLog {
  const { ports, tenant, term, logger, counters } = context;
  const { log, blobs, store } = ports;
  const { run } = record;
  const subject = commitSubject(tenant, run);
  const short = run.slice(0, 12);
  let lastSequence = 0, lastTerm = 0, lastTick = -1, { firstAttempt } = record;

  const decode = async (entry: LogEntry): Promise<Commit> => COMMIT.decode(await bodyOf(entry.bytes, blobs, `entry ${entry.sequence} of ${subject}`));
  const counts = (commit: Commit): boolean => commit.attempt >= firstAttempt;

  async function readAll(after: number): Promise<readonly { readonly sequence: number; readonly commit: Commit }[]> {
    const found: { sequence: number; commit: Commit }[] = [];
    for (let page = await log.read(subject, { after }); page.length > 0; page = await log.read(subject, { after: page.at(-1)!.sequence })) {
      for (const entry of page) found.push({ sequence: entry.sequence, commit: await decode(entry) });
    }
    return found.filter(({ commit }) => counts(commit));
  }

  /** Terms of COMMIT never fall: what is appended again behind commits of a later term carries that one. */
  async function put(commit: Commit): Promise<boolean> {
    context.assertLeads();
    const stamped = commit.term < lastTerm ? { ...commit, term: lastTerm } : commit;
    const result = await log.append(subject, await fitBody(COMMIT.encode(stamped), blobs), lastSequence);
    if (!result.appended) return false;
    lastSequence = result.sequence;
    lastTerm = stamped.term;
    lastTick = stamped.tick;
    return true;
  }

  function ends(entry: LogEntry | null, last: Commit | null): void {
    lastSequence = entry?.sequence ?? 0;
    lastTerm = last?.term ?? 0;
    lastTick = last !== null && counts(last) ? last.tick : -1;
  }

  /**
   * Where the tick before was another leader's to append, the log is looked at first: a log that lost that entry ends again where this leader
   * knew it to, so that the compare-and-set alone would let this commit in behind the hole.
   */
  async function appendOne(commit: Commit): Promise<void> {
    for (let tries = 0; tries < APPEND_TRIES; tries += 1) {
      if ((tries > 0 || commit.tick === lastTick + 1) && await put(commit)) return;
      const entry = await log.last(subject);
      const last = entry === null ? null : await decode(entry);
      const since = entry === null || entry.sequence <= lastSequence ? [] : (await readAll(lastSequence)).map((one) => one.commit);
      const decision = decideRefusedAppend(last === null || !counts(last) ? null : last, since, { ...commit, term });
      if (decision === "step-down") throw staleTerm(commit.tick);
      if (decision === "divergence") throw diverged(commit.tick, commit.root, [...since, last!].find((one) => one.tick === commit.tick)!.root);
      if (decision === "done") {
        // What an earlier leader appended beyond it is met, and compared, when its turn comes.
        if (last!.tick === commit.tick) ends(entry, last);
        return;
      }
      ends(entry, last);
      if (decision === "rewrite") return rewrite(readCommits(store, tenant, run));
      const lost = readCommitsAfter(store, tenant, run, last !== null && counts(last) ? last.tick : -1, commit.tick - 1);
      if (lost.length > 0) logger.error({ run, tick: commit.tick, records: lost.length, alarm: "COMMIT lost records" }, LOST);
      for (const missing of lost) {
        if (!(await put(missing))) break;
        counters.commitsRepaired += 1;
      }
    }
    throw new PopulaceError("UNAVAILABLE", `run ${short}, tick ${commit.tick}: the COMMIT log refused the record ${APPEND_TRIES} times; it will be tried again`, { run, tick: commit.tick });
  }

  /** The whole chain, in place of a log with holes. */
  async function rewrite(chain: readonly Commit[]): Promise<void> {
    counters.logsRewritten += 1;
    logger.error({ run, commits: chain.length, alarm: "COMMIT rewritten" }, "the COMMIT log had holes; it is written anew from what is known");
    await log.purge(subject, Number.MAX_SAFE_INTEGER);
    ends(null, null);
    for (const commit of chain) if (!(await put(commit))) throw new PopulaceError("UNAVAILABLE", `run ${short}: somebody else writes its COMMIT log; it will be looked into again`, { run });
  }

  return {
    reconcile: reconcileAll,

    async takeUp() {
      for (;;) {
        try {
          return { expected: await reconcileAll(), firstAttempt };
        } catch (error) {
          const later = error instanceof Conflict ? error.laterAttempt : null;
          if (later === null) throw error;
          firstAttempt = later;
          logger.error({ run, attempt: later, alarm: "record lost" }, "COMMIT or this disk has commits of a later attempt than the record knows; what came before them counts no more");
        }
      }
    },

    async append(commits) {
      for (const commit of commits) await appendOne(commit);
      // Nobody waits for it: what stays in the outbox is looked up in the log before it is appended again.
      if (commits.length > 0) store.transaction((tables) => clearOutbox(tables, tenant, run, commits.at(-1)!.tick)).catch(() => {});
    },
  };

  async function reconcileAll(isSuspect = false): Promise<ReadonlyMap<number, string>> {
    const entry = await log.last(subject);
    const last = entry === null ? null : await decode(entry);
    ends(entry, last);
    if (last !== null && last.term > term) throw staleTerm(last.tick);
    let own = readLastCommit(store, tenant, run);
    if (own !== null && !counts(own)) {
      // Whoever has a run begin anew writes its record first, and may not live, or not lead, to take back what came before.
      await store.transaction((tables) => discardStale(tables, tenant, run, firstAttempt));
      own = readLastCommit(store, tenant, run);
      counters.commitsDiscarded += 1;
      logger.warn({ run, fromTick: (own?.tick ?? -1) + 1 }, "commits from before the run began anew were left on this disk");
    }
    const outbox = readOutbox(store, tenant, run);
    if (!isSuspect && own?.tick === last?.tick && own?.root === last?.root) {
      if (outbox.size > 0) await store.transaction((tables) => clearOutbox(tables, tenant, run, Number.MAX_SAFE_INTEGER));
      return new Map();
    }

    const logged = (await readAll(0)).map((one) => one.commit);
    const stored = readCommits(store, tenant, run).filter(counts);
    const result = reconcile(run, stored, (tick) => outbox.has(tick), logged, isLedgerBase);
    if (result.kind === "conflict") {
      const attempts = [...stored, ...logged].filter((commit) => commit.tick === result.tick).map((commit) => commit.attempt), later = Math.max(...attempts);
      throw new Conflict(diverged(result.tick, result.roots[0], result.roots[1]), attempts.some((attempt) => attempt < later) ? later : null);
    }
    if (result.isRebased && !(await holdCheckpoint(ports, result.chain[0]))) throw new PopulaceError("UNAVAILABLE", `ledger ${short}: the checkpoint of tick ${result.chain[0].tick} is not in the blob store, and this coordinator does not hold it; start one that does`, { run, tick: result.chain[0].tick });
    await store.transaction((tables) => {
      if (result.isRebased) adoptCheckpoint(tables, tenant, result.chain[0]);
      else if (result.discardFrom !== null) discardCommits(tables, tenant, run, result.discardFrom);
      for (const commit of result.isRebased ? result.chain : result.adopt) writeCommit(tables, tenant, commit, false);
      raiseTerm(tables, tenant, term);
    });
    await store.flushed();
    counters.commitsAdopted += result.adopt.length;
    if (result.discardFrom !== null) {
      counters.commitsDiscarded += 1;
      logger.warn({ run, fromTick: result.discardFrom }, "tentative commits gave way to COMMIT");
    }
    if (result.rewrite) await rewrite(result.chain);
    else {
      // Once the outbox was empty, the log had everything: it has lost what is missing now.
      const lost = result.append.filter((commit) => !outbox.has(commit.tick)).length;
      if (lost > 0) logger.error({ run, records: lost, alarm: "COMMIT lost records" }, LOST);
      for (const commit of result.append) await appendOne(commit);
      counters.commitsRepaired += lost;
    }
    await store.transaction((tables) => clearOutbox(tables, tenant, run, Number.MAX_SAFE_INTEGER));
    return result.expected;
  }

  function staleTerm(tick: number): PopulaceError {
    return new PopulaceError("STALE_TERM", `run ${short}, tick ${tick}: another coordinator with a higher term commits this run; this one (term ${term}) steps down`, { run, term });
  }

  function diverged(tick: number, one: string, other: string): PopulaceError {
    return new PopulaceError("DIVERGENCE", `run ${short}, tick ${tick}: two commits with the roots ${one.slice(0, 16)} and ${other.slice(0, 16)}; the run is frozen, begin it anew with --fresh`, { run, tick, roots: [one, other] });
  }
}
