import { PopulaceError, checkScoreTable } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import { sha256Hex, systemClock, type Clock, type Logger, type Ports, type Stop, type Store } from "@populace/io";
import { COMMIT, LEADER_BEAT, LIMITS, OUTCOMES, RELEASE, SERVED, SETTLED, bodyOf, commitSubject, eventSubject, leaderBeatSubject, releaseKey, schemaOf, servedSubject, settledSubject, type Release } from "@populace/protocol";
import { dayOf } from "../core/outcome.ts";
import type { Announced } from "../core/release.ts";
import { eventsWaiting, forgetIds, isWaiting, readEvents, settleEvents } from "./outbox.ts";

/** The ports of a connection to the cluster, and its end. */
export type ClusterPorts = Ports & {
  readonly connection: { readonly isLive: () => boolean; readonly closed: Promise<PopulaceError | null> };
  close(): Promise<void>;
};

export interface ClusterLinkOptions {
  /** The gateway's own: the last release and the outcomes that no COMMIT has named outlive the process there. */
  readonly store: Store;
  readonly tenant: string;
  readonly logger: Logger;
  /** Connects; is called again after it failed, and after a connection ended. */
  readonly open: () => Promise<ClusterPorts>;
  readonly clock?: Clock;
  /** Time of day. */
  readonly nowMs?: () => number;
  /** As the coordinators have it; default LIMITS.ledgerHorizonDays. */
  readonly horizonDays?: number;
}

export interface ClusterCounters {
  /** Releases taken over, and attempts that failed. */
  releasesTaken: number;
  releasesFailed: number;
  /** Events sent, again too; those that a COMMIT has named, and of them those it refused. */
  eventsSent: number;
  eventsSettled: number;
  eventsRefused: number;
  /** Ids of events that the horizon has passed. */
  idsForgotten: number;
}

/**
 * A gateway's side of a cluster: follows the announced releases into its own store, and brings its outcomes into their ledger. With the cluster gone it
 * has the last release and keeps the outcomes; it never goes back to a lower number.
 */
export interface ClusterLink {
  /** The newest release on this disk; null before the first. */
  release(): (Announced & { readonly table: ScoreTable }) | null;
  /** Text of the model behind a release, by the hash its table states; null when that is not the newest. */
  modelText(release: string): string | null;
  /** Seconds since a leader last said that this release is the newest, 0 while it says so; also over restarts. Infinite without a release. */
  staleSeconds(): number;
  /** Whether the cluster can be reached; for people, why not. */
  readonly connection: () => { readonly isLive: boolean; readonly reason: string };
  /** Events that no COMMIT has named. */
  waiting(): number;
  /** Days for which the ledger knows the ids of outcomes, and before which it takes none. */
  readonly horizonDays: number;
  readonly counters: Readonly<ClusterCounters>;
  onRelease(action: () => void): void;
  /** There are new events. */
  wake(): void;
  /** Rejects with what ended the first attempt to connect, when trying again cannot help. */
  readonly connected: Promise<void>;
  close(): Promise<void>;
}

const TABLE = "gateway-release", BLOBS = "gateway-blob";
const RECONNECT_MS = 1000;
/** Four beats a second: two may be late before an age is told. */
const FRESH_MS = 3 * LIMITS.heartbeatMs;
/** How often the moment of the last confirmation is written down, for the age after a restart. */
const CONFIRMED_MS = 5000;
const REPEAT_MS_MAX = 60_000;
/** Events that were sent so often in vain: COMMIT is read from its beginning, for it may have named them unheard. */
const ROUNDS_UNHEARD = 2;
/** How often ids beyond the horizon are looked for: what comes in between is a minute's outcomes. */
const FORGET_MS = 60_000;
const utf8 = new TextEncoder(), utf8Text = new TextDecoder();

/** Reads what the store has, and connects in the background. CORRUPT when the stored release does not match its hash. */
export function linkCluster({ store, tenant, logger, open, clock = systemClock, nowMs = Date.now, horizonDays = LIMITS.ledgerHorizonDays }: ClusterLinkOptions): ClusterLink {
  const counters: ClusterCounters = { releasesTaken: 0, releasesFailed: 0, eventsSent: 0, eventsSettled: 0, eventsRefused: 0, idsForgotten: 0 };
  const today = (): number => dayOf(nowMs());
  const closing = new AbortController();
  const connected = Promise.withResolvers<void>();
  connected.promise.catch(() => {});
  let served = storedRelease();
  // Across a restart only the calendar tells the age; within a life it may jump, and the monotonic clock is asked.
  const storedMs = Number(utf8Text.decode(store.get(TABLE, "confirmed") ?? utf8.encode("0")));
  let confirmedMs = clock.monotonicMs() - (storedMs === 0 ? Number.POSITIVE_INFINITY : Math.max(0, nowMs() - storedMs)), writtenMs = Number.NEGATIVE_INFINITY, highestTerm = 0;
  let reason = "connecting", ports: ClusterPorts | null = null, isOpening = false;
  let onRelease = (): void => {}, work = Promise.withResolvers<void>();

  const life = (async () => {
    while (!closing.signal.aborted) {
      try {
        isOpening = true;
        const opened = await open();
        isOpening = false;
        if (closing.signal.aborted) {
          await opened.close();
          return;
        }
        ports = opened;
        connected.resolve();
        reason = "";
        const stops = attach(ports);
        const ended = await Promise.race([ports.connection.closed, aborted(closing.signal)]);
        for (const stop of stops) stop();
        reason = ended?.message ?? "closed";
        ports = null;
        await opened.close().catch(() => {});
      } catch (error) {
        isOpening = false;
        reason = error instanceof Error ? error.message : String(error);
        logger.warn({ error: reason, release: served?.record.number ?? 0 }, "the cluster cannot be reached; what is stored is served");
        if (error instanceof PopulaceError && error.code !== "UNAVAILABLE") connected.reject(error);
      }
      await sleep(RECONNECT_MS);
    }
  })();

  const forgetting = (async () => {
    while (!closing.signal.aborted) {
      try {
        for (let forgotten = -1; forgotten !== 0 && !closing.signal.aborted; ) counters.idsForgotten += forgotten = await forgetIds(store, today(), horizonDays);
      } catch (error) {
        logger.warn({ error: String(error) }, "ids of old outcomes could not be forgotten");
      }
      await sleep(FORGET_MS);
    }
  })();

  function attach(live: ClusterPorts): readonly Stop[] {
    const session = new AbortController();
    const stop = live.bus.subscribe(leaderBeatSubject(tenant), async (_, bytes) => {
      const { term, release } = LEADER_BEAT.decode(bytes);
      // A leader that was deposed may not know the newest release.
      if (term < highestTerm) return;
      highestTerm = term;
      if (release > (served?.record.number ?? 0)) await take(live, release);
      if (served !== null && release === served.record.number) confirm();
      // The cluster has forgotten it.
      if (served !== null && release < served.record.number) live.bus.publish(servedSubject(tenant), SERVED.encode({ release: served.record.number }));
    });
    void (async () => {
      try {
        const newest = (await live.registry.list(releaseKey(tenant, "*"))).map(({ bytes }) => recordOf(bytes)?.number ?? 0).reduce((most, number) => Math.max(most, number), 0);
        if (newest > (served?.record.number ?? 0)) await take(live, newest);
      } catch (error) {
        logger.warn({ error: String(error) }, "the releases could not be read");
      }
    })();
    const sending = send(live, session.signal);
    sending.catch((error: unknown) => logger.error({ error: String(error) }, "outcomes are sent no more until the next connection"));
    const stopSending = (): void => {
      session.abort();
      wake();
    };
    return [stop, stopSending];
  }

  function confirm(): void {
    confirmedMs = clock.monotonicMs();
    if (confirmedMs - writtenMs < CONFIRMED_MS) return;
    writtenMs = confirmedMs;
    store.transaction((tables) => tables.put(TABLE, "confirmed", utf8.encode(String(nowMs())))).catch(() => {});
  }

  /** Fetches a release, checks it, has it on disk, and only then lets it be served. A failure leaves the one before; the next beat tries again. */
  async function take(live: ClusterPorts, number: number): Promise<void> {
    try {
      const entry = await live.registry.get(releaseKey(tenant, number)), record = entry === null ? null : recordOf(entry.bytes);
      if (record === null) throw new PopulaceError("NOT_FOUND", `release ${number} is announced, and its record is not in the registry; the leader writes it again`, { release: number });
      const [content, model] = await Promise.all([record.content, record.model].map(async (hash) => (hash === "" ? new Uint8Array(0) : await live.blobs.get(hash))));
      if (content === null || model === null) throw new PopulaceError("NOT_FOUND", `release ${number}: what it serves is not in the blob store; the leader brings it back`, { release: number });
      const table = JSON.parse(utf8Text.decode(content)) as ScoreTable;
      checkScoreTable(table);
      if (number <= (served?.record.number ?? 0)) return;
      await store.transaction((tables) => {
        for (const { key } of tables.range(BLOBS, { keysOnly: true })) if (key !== record.content && key !== record.model) tables.remove(BLOBS, key);
        tables.put(BLOBS, record.content, content);
        if (record.model !== "") tables.put(BLOBS, record.model, model);
        tables.put(TABLE, "record", RELEASE.encode(record));
        tables.put(TABLE, "confirmed", utf8.encode(String(nowMs())));
      });
      await store.flushed();
      served = { record, table };
      confirmedMs = clock.monotonicMs();
      counters.releasesTaken += 1;
      logger.info({ number, model: table.model, version: table.version }, "release taken over");
      onRelease();
    } catch (error) {
      counters.releasesFailed += 1;
      logger.warn({ number, served: served?.record.number ?? 0, error: String(error) }, "a release could not be taken over; the one before is served");
      await sleep(RECONNECT_MS);
    }
  }

  /** Sends what waits, in order, and again while no COMMIT has named it that the leader calls settled; until the session ends. */
  async function send(live: ClusterPorts, signal: AbortSignal): Promise<void> {
    const followers = new Map<string, Stop>(), underWay = new Set<number>();
    let sent = 0, sentMs = 0, rounds = 0, repeatMs: number = LIMITS.outcomesRepeatMs;
    /** By ledger: what commits have named and is not known to be on as many disks as there are to be. */
    const heard = new Map<string, { readonly tick: number; readonly manifest: readonly string[] }[]>();
    /** By ledger: the last tick that is. */
    const safe = new Map<string, number>();
    const settle = async (manifest: readonly string[]): Promise<void> => {
      const { settled, refused } = await settleEvents(store, manifest, today());
      if (settled.length === 0) return;
      for (const sequence of settled) underWay.delete(sequence);
      counters.eventsSettled += settled.length;
      counters.eventsRefused += refused;
      [rounds, repeatMs, sentMs] = [0, LIMITS.outcomesRepeatMs, live.clock.monotonicMs()];
      wake();
    };
    const stopSettled = live.bus.subscribe(settledSubject(tenant, "*"), async (_, bytes) => {
      const { run, tick, manifest } = SETTLED.decode(bytes), commits = heard.get(run) ?? [];
      safe.set(run, Math.max(tick, safe.get(run) ?? -1));
      heard.set(run, commits.filter((commit) => commit.tick > tick));
      await settle([...manifest, ...commits.filter((commit) => commit.tick <= tick).flatMap((commit) => commit.manifest)]);
    });
    const follow = (run: string, after: number): void => {
      followers.get(run)?.();
      heard.delete(run);
      followers.set(run, live.log.follow(commitSubject(tenant, run), after, async ({ subject, bytes }) => {
        const { tick, manifest } = COMMIT.decode(await bodyOf(bytes, live.blobs, `a commit under ${subject}`));
        const own = manifest.filter((entry) => isWaiting(store, entry));
        if (own.length === 0) return;
        if (tick <= (safe.get(run) ?? -1)) await settle(own);
        else heard.set(run, [...(heard.get(run) ?? []), { tick, manifest: own }]);
      }));
    };
    // What waits already may have been committed before this session.
    const before = eventsWaiting(store).last;
    try {
      while (!signal.aborted && !closing.signal.aborted) {
        if (underWay.size > 0 && live.clock.monotonicMs() - sentMs > repeatMs) {
          rounds += 1;
          repeatMs = Math.min(REPEAT_MS_MAX, 2 * repeatMs);
          if (rounds >= ROUNDS_UNHEARD) for (const run of followers.keys()) follow(run, 0);
          underWay.clear();
          sent = 0;
        }
        const batch = live.connection.isLive() ? readEvents(store, sent, Math.min(LIMITS.outcomesMax, LIMITS.outcomesUnderWayMax - underWay.size)) : [];
        if (batch.length === 0 || underWay.size >= LIMITS.outcomesUnderWayMax) {
          const stop = live.clock.every(RECONNECT_MS, work.resolve);
          await work.promise;
          stop();
          work = Promise.withResolvers();
          continue;
        }
        try {
          for (const run of new Set(batch.map((event) => event.run))) {
            const events = batch.filter((event) => event.run === run);
            if (!followers.has(run)) follow(run, events[0].sequence <= before ? 0 : (await live.log.last(commitSubject(tenant, run)))?.sequence ?? 0);
            for (const { sequence } of events) underWay.add(sequence);
            await live.log.append(eventSubject(tenant, run), OUTCOMES.encode({ run, events: events.map(({ text }) => text) }));
            counters.eventsSent += events.length;
          }
          sent = batch.at(-1)!.sequence;
          sentMs = live.clock.monotonicMs();
        } catch (error) {
          logger.warn({ error: String(error), waiting: eventsWaiting(store).count }, "outcomes could not be sent; they wait here");
          await sleep(RECONNECT_MS);
        }
      }
    } finally {
      stopSettled();
      for (const stop of followers.values()) stop();
    }
  }

  function wake(): void {
    work.resolve();
  }

  function storedRelease(): { readonly record: Release; readonly table: ScoreTable } | null {
    const bytes = store.get(TABLE, "record"), record = bytes === null ? null : recordOf(bytes);
    if (record === null) return null;
    const content = store.get(BLOBS, record.content);
    if (content === null || sha256Hex(content) !== record.content) throw new PopulaceError("CORRUPT", `release ${record.number} in the gateway's store does not match its hash; start with an empty --store, while the cluster can be reached`, { release: record.number });
    return { record, table: JSON.parse(utf8Text.decode(content)) as ScoreTable };
  }

  async function sleep(ms: number): Promise<void> {
    await clock.sleep(ms, closing.signal).catch(() => {});
  }

  return {
    release: () => (served === null ? null : { number: served.record.number, ledger: served.record.ledger, table: served.table }),
    modelText(release) {
      const bytes = served?.table.release === release && served.record.model !== "" ? store.get(BLOBS, served.record.model) : null;
      return bytes === null ? null : utf8Text.decode(bytes);
    },
    staleSeconds() {
      if (served === null) return Number.POSITIVE_INFINITY;
      const ageMs = clock.monotonicMs() - confirmedMs;
      return ageMs <= FRESH_MS ? 0 : ageMs / 1000;
    },
    connection: () => ({ isLive: ports?.connection.isLive() ?? false, reason: ports === null ? reason : ports.connection.isLive() ? "" : "NATS does not answer" }),
    waiting: () => eventsWaiting(store).count,
    horizonDays,
    counters,
    onRelease(action) { onRelease = action; },
    wake,
    connected: connected.promise,
    async close() {
      closing.abort();
      wake();
      // An attempt to connect ends by itself, and closes what it has opened.
      if (!isOpening) await life;
      await forgetting;
      await store.flushed();
    },
  };
}

const recordOf = (bytes: Uint8Array): Release | null => (schemaOf(bytes) === RELEASE.schema ? RELEASE.decode(bytes) : null);

const aborted = (signal: AbortSignal): Promise<null> => new Promise((resolve) => {
  if (signal.aborted) resolve(null);
  else signal.addEventListener("abort", () => resolve(null), { once: true });
});
