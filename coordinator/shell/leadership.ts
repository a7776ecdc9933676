import { PopulaceError } from "@populace/domain";
import type { Clock, Logger, Registry } from "@populace/io";
import { LEADER_RECORD, LIMITS, leaderKey, type LeaderRecord } from "@populace/protocol";
import { decideLease, decideRefusedRenewal, look, nextLookMs, type LeaseSight } from "../core/lease.ts";

export interface Leadership {
  readonly term: number;
  /** Aborted with STALE_TERM when another one leads, or nobody can tell any more. */
  readonly signal: AbortSignal;
  /** STALE_TERM unless the record was renewed within the last TTL: asked before every commit, since a process may have slept. */
  assertValid(): void;
  /** A higher term was seen: gives up the lead. */
  yieldTo(term: number): void;
  /** Ends the lead by itself, like `release`: this process cannot do what a leader must. */
  resign(why: string): Promise<void>;
  /** Leaves the record to whoever is next, so that nobody waits for a TTL. */
  release(): Promise<void>;
}

/** Who stands for election, and how. */
export interface Candidate {
  readonly holder: string;
  /** Unique for every start of a coordinator. */
  readonly nonce: string;
  readonly address: string;
  readonly ttlMs: number;
  /** The caller knows that no other process leads (the embedded store's claim). */
  readonly isAlone: boolean;
}

/** Renewed so often: two lost renewals are survivable. */
const RENEWALS_PER_TTL = 4;

/**
 * Waits until this candidate leads its tenant, then renews the record by compare-and-set. The lead ends by itself a TTL after the
 * last renewal that was answered was SENT: before a rival, who waits a TTL from when it saw it, can begin. `highestTerm` is asked
 * right before a claim; when it fails, nothing is claimed. Rejects with the reason of `signal`.
 */
export async function lead(
  ports: { readonly registry: Registry; readonly clock: Clock },
  tenant: string,
  candidate: Candidate,
  options: { highestTerm(): Promise<number>; onSight(record: LeaderRecord | null): void; readonly signal: AbortSignal; readonly logger: Logger },
): Promise<Leadership> {
  const { registry, clock } = ports;
  const { holder, nonce, address, ttlMs, isAlone } = candidate;
  const { signal, logger } = options;
  const key = leaderKey(tenant);
  let sight: LeaseSight | null = null;
  for (;;) {
    signal.throwIfAborted();
    try {
      const entry = await answered(clock, registry.get(key));
      sight = look(sight, entry === null ? null : decoded(entry.bytes), entry?.revision ?? 0, clock.monotonicMs());
      if (sight.looks === 1) options.onSight(isVacant(sight.record) ? null : sight.record);
      const isGone = isAlone || sight.record?.nonce === nonce || isVacant(sight.record);
      if (decideLease(sight, clock.monotonicMs(), ttlMs, 0, isGone, nonce).kind === "claim") {
        const decision = decideLease(sight, clock.monotonicMs(), ttlMs, await answered(clock, options.highestTerm(), ttlMs), isGone, nonce);
        if (decision.kind === "claim") {
          const record: LeaderRecord = { holder, nonce, term: decision.term, address };
          const bytes = LEADER_RECORD.encode(record), sentMs = clock.monotonicMs();
          const result = await answered(clock, entry === null ? registry.create(key, bytes) : registry.update(key, bytes, entry.revision));
          if (result.ok) {
            options.onSight(record);
            return renew(result.revision, record, sentMs);
          }
          continue;
        }
      }
    } catch (error) {
      if (isAlone) throw error;
      // Nobody was heard meanwhile either.
      if (sight?.record === null) sight = null;
      logger.warn({ tenant, error: String(error) }, "the election got no answer");
    }
    await clock.sleep(nextLookMs(sight, ttlMs), signal);
  }

  function renew(revision: number, record: LeaderRecord, sentMs: number): Leadership {
    const { term } = record;
    const bytes = LEADER_RECORD.encode(record);
    const lost = new AbortController(), stopped = new AbortController();
    let validUntilMs = sentMs + ttlMs;
    const end = (why: string): void => {
      stopped.abort();
      lost.abort(new PopulaceError("STALE_TERM", `coordinator ${holder} held term ${term} of tenant ${tenant}; ${why}: this one steps down`, { term }));
    };
    const loop = (async () => {
      while (!stopped.signal.aborted) {
        await clock.sleep(Math.min(ttlMs / RENEWALS_PER_TTL, Math.max(0, validUntilMs - clock.monotonicMs())), stopped.signal).catch(() => {});
        if (stopped.signal.aborted) return;
        const leftMs = validUntilMs - clock.monotonicMs();
        if (leftMs <= 0 && !isAlone) return end("the record could not be renewed in time");
        const askedMs = clock.monotonicMs();
        try {
          const result = await answered(clock, registry.update(key, bytes, revision), isAlone ? ttlMs : Math.min(LIMITS.requestMs, leftMs));
          if (result.ok) {
            revision = result.revision;
            validUntilMs = askedMs + ttlMs;
            continue;
          }
          const current = result.current === null ? null : decoded(result.current.bytes);
          if (decideRefusedRenewal(current, nonce, term) === "lost") return end(current === null ? "the record is gone" : `${current.holder} leads with term ${current.term}`);
          // An earlier renewal arrived although its answer did not.
          revision = result.current!.revision;
        } catch (error) {
          logger.warn({ tenant, term, error: String(error) }, "the lead was not renewed; it is tried again");
        }
      }
    })();
    const vacate = async (): Promise<void> => {
      stopped.abort();
      await loop;
      // The term stays: the next one numbers above it.
      await answered(clock, registry.update(key, LEADER_RECORD.encode({ ...NOBODY, term }), revision)).catch(() => {});
    };
    return {
      term,
      signal: lost.signal,
      assertValid() {
        if (!isAlone && clock.monotonicMs() >= validUntilMs) end("the record was not renewed in time");
        lost.signal.throwIfAborted();
      },
      yieldTo: (higher) => end(`term ${higher} was seen`),
      async resign(why) {
        if (lost.signal.aborted) return;
        end(why);
        await vacate();
      },
      async release() {
        if (!lost.signal.aborted) await vacate();
      },
    };
  }
}

/** Who holds a record that was left. */
const NOBODY: Omit<LeaderRecord, "term"> = { holder: "", nonce: "", address: "" };
const isVacant = (record: LeaderRecord | null): boolean => record?.holder === NOBODY.holder;

/** A record of another version tells nothing but that somebody holds it. */
const decoded = (bytes: Uint8Array): LeaderRecord => LEADER_RECORD.read(bytes) ?? { holder: "a coordinator of another version", nonce: "", term: 0, address: "" };

/** The answer to a request, or UNAVAILABLE when none came in time. */
async function answered<T>(clock: Clock, request: Promise<T>, ms: number = LIMITS.requestMs): Promise<T> {
  const late = Promise.withResolvers<never>();
  const stop = clock.every(ms, () => late.reject(new PopulaceError("UNAVAILABLE", `no answer within ${ms} ms; is the server reachable?`, { ms })));
  try {
    return await Promise.race([request, late.promise]);
  } finally {
    stop();
  }
}
