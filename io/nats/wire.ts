/** Streams in the subjects of the ports: publish once, read from the leader, follow. What log, registry and blobs are made of. */
import { type ConsumerMessages, type JsMsg, jetstream } from "@nats-io/jetstream";
import { headers, MsgHdrsImpl, nuid } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { IO_LIMITS } from "../limits.ts";
import type { LogEntry, Stop } from "../ports.ts";
import { tooLarge, type Link } from "./link.ts";
import { troubleOf } from "./refusal.ts";
import { type Stream, streamState } from "./streams.ts";

/** Names one writing through all its attempts, so that a writer knows its own work after an answer was lost. */
const WRITE_HEADER = "Populace-Write";
/** As in NATS's own key-value buckets, so that its tools show them. */
const REMOVED_HEADER = "KV-Operation";

/** An entry with what the ports above do not show. */
export interface StoredEntry extends LogEntry {
  readonly isRemoved: boolean;
  readonly write: string;
}

export type Published = { readonly kind: "stored"; readonly sequence: number } | { readonly kind: "filled" } | { readonly kind: "sequence" };

export interface Publishing {
  /** Only if the subject's last sequence is this; 0 = it has none. */
  readonly expectedLast?: number;
  /** Marks the subject as removed instead. */
  readonly isRemoval?: boolean;
}

/** How many entries are read one by one before a consumer is worth its price: two requests and a first batch, about 2 ms. */
const SINGLE_READS = 6;
const READ_BATCH = 1024;
const FOLLOW_BATCH = 64;
/** How often a quiet follower asks the leader whether it has missed something. */
const FOLLOW_CHECK_MS = 1000;
/** A consumer that delivers nothing for so long is given up; the leader is asked for the rest. */
const BULK_SILENCE_MS = 3000;
/** The server forgets a consumer that nobody pulls from. */
const CONSUMER_IDLE_MS = 30_000;

export interface Wire {
  publish(stream: Stream, subject: string, bytes: Uint8Array, options?: Publishing): Promise<Published>;
  last(stream: Stream, subject: string): Promise<StoredEntry | null>;
  /** The first entry at or after a sequence that matches the filter. */
  next(stream: Stream, filter: string, from: number): Promise<StoredEntry | null>;
  /** Matching entries above `after`, at most `limit`, up to what the leader holds at the end of the call. */
  read(stream: Stream, filter: string, after: number, limit: number): Promise<StoredEntry[]>;
  /** Hands over matching entries from a sequence on, up to `limit`, as a consumer delivers them; it may be one of a replica that lags. */
  collect(stream: Stream, filter: string, from: number, limit: number, batch: number, receive: (entry: StoredEntry) => void): Promise<void>;
  /** Calls `receive` for each matching entry above `after`, one at a time and in order, without end. */
  follow(stream: Stream, filter: string, after: number, receive: (entry: StoredEntry) => void | Promise<void>): Stop;
  purge(stream: Stream, filter: string, below: number): Promise<number>;
}

export function createWire(link: Link): Wire {
  const js = jetstream(link.client, { timeout: IO_LIMITS.natsRequestMs });
  const clock = systemClock;
  const closing = new AbortController();
  void link.closed.then(() => closing.abort());

  async function publish(stream: Stream, subject: string, bytes: Uint8Array, options: Publishing = {}): Promise<Published> {
    if (bytes.length > IO_LIMITS.natsMessageBytesMax) throw tooLarge(subject, bytes.length, IO_LIMITS.natsMessageBytesMax);
    const own = new Uint8Array(bytes);
    const write = nuid.next();
    const isBlind = options.expectedLast === undefined && stream.spec.keeps !== "slots";
    const fields = headers();
    fields.set(WRITE_HEADER, write);
    if (options.isRemoval) fields.set(REMOVED_HEADER, "DEL");
    if (options.expectedLast !== undefined) fields.set("Nats-Expected-Last-Subject-Sequence", String(options.expectedLast));
    // Only where no condition guards against a second copy: a body under a known id is answered with OK, whatever it holds.
    if (isBlind) fields.set("Nats-Msg-Id", write);
    return link.persist(`${subject} in stream ${stream.name}`, async (mayBeDone): Promise<Published> => {
      try {
        const { seq } = await link.ask<{ seq: number }>(stream.prefix + subject, own, fields);
        return { kind: "stored", sequence: seq };
      } catch (error) {
        const trouble = troubleOf(error);
        if (trouble !== "filled" && trouble !== "sequence") throw error;
        if (mayBeDone) {
          const stored = await lastOnce(stream, subject);
          if (stored?.write === write) return { kind: "stored", sequence: stored.sequence };
        }
        return { kind: trouble };
      }
    });
  }

  const last = (stream: Stream, subject: string): Promise<StoredEntry | null> => link.persist(`${subject} in stream ${stream.name}`, () => lastOnce(stream, subject));

  const lastOnce = (stream: Stream, subject: string): Promise<StoredEntry | null> => get(stream, { last_by_subj: stream.prefix + subject });

  const next = (stream: Stream, filter: string, from: number): Promise<StoredEntry | null> =>
    link.persist(`${filter} in stream ${stream.name}`, () => get(stream, { seq: Math.max(1, from), next_by_subj: stream.prefix + filter }));

  /** Answered by the leader of the stream alone: it is no direct get. */
  async function get(stream: Stream, question: object): Promise<StoredEntry | null> {
    try {
      const { message } = await link.ask<{ message: { subject: string; seq: number; data?: string; hdrs?: string } }>(`$JS.API.STREAM.MSG.GET.${stream.name}`, JSON.stringify(question));
      const fields = message.hdrs === undefined ? null : MsgHdrsImpl.decode(Buffer.from(message.hdrs, "base64"));
      return {
        subject: message.subject.slice(stream.prefix.length), sequence: message.seq, bytes: new Uint8Array(Buffer.from(message.data ?? "", "base64")),
        isRemoved: fields?.has(REMOVED_HEADER) === true, write: fields?.get(WRITE_HEADER) ?? "",
      };
    } catch (error) {
      if (troubleOf(error) === "no-message") return null;
      throw error;
    }
  }

  async function read(stream: Stream, filter: string, after: number, limit: number): Promise<StoredEntry[]> {
    const entries: StoredEntry[] = [];
    let singles = 0;
    while (entries.length < limit) {
      const from = (entries.at(-1)?.sequence ?? after) + 1;
      if (singles < SINGLE_READS) {
        const entry = await next(stream, filter, from);
        if (entry === null) break;
        entries.push(entry);
        singles += 1;
      } else {
        // A consumer with nothing to deliver would be waited for.
        if ((await next(stream, filter, from)) === null) break;
        await collect(stream, filter, from, limit - entries.length, READ_BATCH, (entry) => void entries.push(entry));
        // What a consumer on a lagging replica did not know, the leader is asked for; many entries may have come meanwhile.
        singles = 0;
      }
    }
    return entries;
  }

  async function collect(stream: Stream, filter: string, from: number, limit: number, batch: number, receive: (entry: StoredEntry) => void): Promise<void> {
    const messages = await consumer(stream, filter, from, Math.min(batch, limit));
    let silence = setTimeout(() => void messages.close(), BULK_SILENCE_MS);
    try {
      let received = 0;
      for await (const message of messages) {
        clearTimeout(silence);
        receive(entryOf(stream, message));
        received += 1;
        if (received === limit || message.info.pending === 0) break;
        silence = setTimeout(() => void messages.close(), BULK_SILENCE_MS);
      }
    } finally {
      clearTimeout(silence);
      await messages.close();
    }
  }

  function consumer(stream: Stream, filter: string, from: number, batch: number): Promise<ConsumerMessages> {
    return link.persist(`${filter} in stream ${stream.name}`, async () => {
      const ordered = await link.unlessLost(js.consumers.get(stream.name, { filter_subjects: stream.prefix + filter, opt_start_seq: Math.max(1, from), inactive_threshold: CONSUMER_IDLE_MS }));
      return ordered.consume({ max_messages: batch });
    });
  }

  function follow(stream: Stream, filter: string, after: number, receive: (entry: StoredEntry) => void | Promise<void>): Stop {
    let cursor = after;
    let isLive = true;
    let messages: ConsumerMessages | null = null;
    let made: string | null = null;
    let delivered = 0;
    let isBusy = false;
    const stopped = new AbortController();

    async function deliver(entry: StoredEntry): Promise<void> {
      if (!isLive || entry.sequence <= cursor) return;
      cursor = entry.sequence;
      delivered += 1;
      isBusy = true;
      try {
        await receive(entry);
      } catch (error) {
        link.counters.failures += 1;
        link.logger.error({ subject: entry.subject, sequence: entry.sequence, error: String(error) }, "log follower failed");
      } finally {
        isBusy = false;
      }
    }

    async function run(): Promise<void> {
      while (isLive && !closing.signal.aborted) {
        try {
          const connection = link.counters.reconnects;
          messages = await consumer(stream, filter, cursor + 1, FOLLOW_BATCH);
          if (!isLive) break;
          // Not awaited: it ends the iteration below, and waits for it.
          if (link.counters.reconnects !== connection) void messages.close();
          for await (const message of messages) {
            if (!isLive) break;
            await deliver(entryOf(stream, message));
          }
        } catch (error) {
          if (isLive && !closing.signal.aborted) link.logger.warn({ stream: stream.name, filter, error: String(error) }, "follower begins anew");
        }
        messages = null;
        if (isLive) await clock.sleep(100, stopped.signal).catch(() => {});
      }
    }

    /** The library's consumer is trusted to deliver, not to notice what it did not: the leader of the stream is asked. */
    async function watch(): Promise<void> {
      let missed = 0;
      while (isLive && !closing.signal.aborted) {
        const before = delivered;
        await clock.sleep(FOLLOW_CHECK_MS, stopped.signal).catch(() => {});
        if (!isLive || closing.signal.aborted || delivered !== before || isBusy || messages === null) continue;
        try {
          const state = await streamState(link, stream);
          const isOther = made !== null && state !== null && state.created !== made;
          made = state?.created ?? made;
          if (state !== null && (isOther || state.lastSequence < cursor)) {
            link.counters.streamLosses += 1;
            link.logger.error({ stream: stream.name, lastSequence: state.lastSequence, cursor }, "NATS lost records of a stream, it is read anew");
            cursor = 0;
            void messages?.close();
            continue;
          }
          const waiting = delivered === before ? await next(stream, filter, cursor + 1) : null;
          missed = waiting !== null && delivered === before && waiting.sequence > cursor ? missed + 1 : 0;
          if (missed < 2) continue;
          missed = 0;
          link.counters.followRestarts += 1;
          link.logger.warn({ stream: stream.name, filter, cursor }, "follower missed entries, it begins anew");
          void messages?.close();
        } catch (error) {
          link.logger.warn({ stream: stream.name, filter, error: String(error) }, "follower not checked");
        }
      }
    }

    // The server may have forgotten the consumer; the library finds out late, or not.
    const stopReturning = link.onReconnect(() => void messages?.close());
    void run();
    void watch();
    return () => {
      isLive = false;
      stopReturning();
      stopped.abort();
      void messages?.close();
    };
  }

  return {
    publish, last, next, read, collect, follow,
    async purge(stream, filter, below) {
      const question = { filter: stream.prefix + filter, ...(below === Number.MAX_SAFE_INTEGER ? {} : { seq: below }) };
      const { purged } = await link.persist(`purge of ${filter} in stream ${stream.name}`, () => link.ask<{ purged: number }>(`$JS.API.STREAM.PURGE.${stream.name}`, JSON.stringify(question)));
      return purged;
    },
  };
}

function entryOf(stream: Stream, message: JsMsg): StoredEntry {
  return {
    subject: message.subject.slice(stream.prefix.length), sequence: message.seq, bytes: new Uint8Array(message.data),
    isRemoved: message.headers?.has(REMOVED_HEADER) === true, write: message.headers?.get(WRITE_HEADER) ?? "",
  };
}
