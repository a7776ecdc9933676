/** The connection to NATS, watched through its own read path; nothing above it sees the client library's faults. */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { PopulaceError } from "@populace/domain";
import { connect, type MsgHdrs, type NatsConnection, type NodeConnectionOptions, nkeyAuthenticator, nuid } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { IO_LIMITS } from "../limits.ts";
import { SILENT, type Logger } from "../logging.ts";
import type { Stop } from "../ports.ts";
import { Refusal, type Trouble, troubleOf } from "./refusal.ts";

/** How a process presents itself to the server: by the seed file of an nkey, or by user and password. */
export type NatsCredentials = { readonly nkeySeedFile: string } | { readonly user: string; readonly password: string };

/** Files in PEM: the authority that signed the server's certificate, and this process's own pair where the server asks for one. */
export interface NatsTls {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** Who a process is to NATS: what it may publish and read follows from it, and only a coordinator makes streams. */
export type NatsRole = "coordinator" | "node" | "gateway" | "client";

export interface LinkOptions {
  /** nats://host:port, several for a cluster. */
  readonly servers: readonly string[];
  /** How the connection is called in the server's reports. */
  readonly name: string;
  readonly role: NatsRole;
  /** First token of all subjects and of the names of streams: several clusters may share a server. Default "populace". */
  readonly cluster?: string;
  readonly credentials?: NatsCredentials;
  readonly tls?: NatsTls;
  readonly logger?: Logger;
  /** How long the first connection, and streams that another process makes, are waited for. */
  readonly startMs?: number;
  /** How long an operation is repeated through an outage or at a full stream before it fails. */
  readonly patienceMs?: number;
}

/** Counts since the start, for metrics. */
export interface NatsCounters {
  reconnects: number;
  /** Reconnections this process forced because its own heartbeat did not come back through a connection that called itself open. */
  forcedReconnects: number;
  /** Operations tried again after an outage or an answer that did not come. */
  retries: number;
  /** Waits because a stream was at its byte limit or the server's disk full. */
  backPressureWaits: number;
  /** Bus messages that found their queue full. */
  busDropped: number;
  /** Subscribers, followers and watchers that threw. */
  failures: number;
  /** Followers begun anew because they had missed an entry that the stream's leader holds. */
  followRestarts: number;
  /** Streams found emptied, or made anew, under a follower: the server lost acknowledged records. */
  streamLosses: number;
  /** What the server forbade. */
  denied: number;
}

export interface Link {
  readonly client: NatsConnection;
  readonly cluster: string;
  readonly logger: Logger;
  readonly counters: NatsCounters;
  /** Whether the connection is open and its read path answered lately. */
  isLive(): boolean;
  /** A core message, in order; queued within a bound while the connection is not live, the oldest dropped. */
  publish(subject: string, bytes: Uint8Array): void;
  /** A core subscription whose callback cannot harm the connection. */
  subscribe(subject: string, receive: (subject: string, bytes: Uint8Array) => void): Stop;
  /** One request, once: the parsed answer of JetStream, or a Refusal. */
  ask<T>(subject: string, payload: Uint8Array | string, headers?: MsgHdrs): Promise<T>;
  /**
   * Repeats `attempt` while the trouble passes by itself: outages, streams at their limit. `attempt` is told whether an earlier one may have been
   * done. Refusals with a meaning (sequence, filled, no-message) come back as thrown; the rest becomes a PopulaceError that names `what`.
   */
  persist<T>(what: string, attempt: (mayBeDone: boolean) => Promise<T>): Promise<T>;
  /** Called when a stream seems absent, at most once at a time, and after every reconnection; the coordinator makes the streams again there. */
  onAbsent(repair: () => Promise<void>): void;
  /** The outcome of work of the client library, or a failure as soon as the connection is lost. */
  unlessLost<T>(work: Promise<T>): Promise<T>;
  /** Calls `action` after every reconnection. */
  onReconnect(action: () => void): Stop;
  /** Resolves when the connection is closed for good: null after `close`, else why. */
  readonly closed: Promise<PopulaceError | null>;
  close(): Promise<void>;
}

/** Connects. UNAVAILABLE when no server answers, FORBIDDEN when it refuses the credential, FILE_MISSING for unreadable files. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const logger = options.logger ?? SILENT;
  const cluster = options.cluster ?? "populace";
  const startMs = options.startMs ?? IO_LIMITS.natsStartMs;
  const patienceMs = options.patienceMs ?? IO_LIMITS.natsPatienceMs;
  const clock = systemClock;
  const counters: NatsCounters = { reconnects: 0, forcedReconnects: 0, retries: 0, backPressureWaits: 0, busDropped: 0, failures: 0, followRestarts: 0, streamLosses: 0, denied: 0 };
  const client = await connected(options, startMs);
  hushEnding(client);
  const window = byteWindow(IO_LIMITS.natsInFlightBytesMax);

  let isConnected = true, isClosing = false;
  const returners = new Set<() => void>();
  /** Ends the requests under way; a race against one long promise would keep every answer in memory. */
  const underWay = new Set<(reason: Error) => void>();
  const loseAll = (): void => { for (const reject of underWay) reject(new Lost()); };
  let back = Promise.withResolvers<void>();
  back.resolve();
  let repair: () => Promise<void> = async () => {};
  let repairing: Promise<void> | null = null;
  const queue: { readonly subject: string; readonly bytes: Uint8Array }[] = [];
  let queuedBytes = 0;
  /** Own heartbeats sent since one last came back. */
  let unheard = 0;

  const link: Link = {
    client, cluster, logger, counters,
    isLive: () => isConnected && unheard <= IO_LIMITS.natsBeatsUnheardMax,
    publish(subject, bytes) {
      if (isClosing) return;
      const own = new Uint8Array(bytes);
      if (own.length > maxPayload()) throw tooLarge(subject, own.length, maxPayload());
      if (link.isLive() && queue.length === 0) return client.publish(subject, own);
      queue.push({ subject, bytes: own });
      queuedBytes += own.length;
      while (queue.length > IO_LIMITS.busQueueMax || queuedBytes > IO_LIMITS.natsQueueBytesMax) {
        queuedBytes -= queue.shift()!.bytes.length;
        counters.busDropped += 1;
      }
    },
    subscribe(subject, receive) {
      const subscription = client.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) {
            counters.denied += 1;
            logger.error({ subject, error: String(error) }, "subscription ended by the server");
            return;
          }
          try {
            receive(message.subject, message.data);
          } catch (thrown) {
            counters.failures += 1;
            logger.error({ subject: message.subject, error: String(thrown) }, "subscriber failed");
          }
        },
      });
      return () => {
        if (!subscription.isClosed() && !client.isClosed()) subscription.unsubscribe();
      };
    },
    async ask(subject, payload, headers) {
      const release = await window(payload.length);
      const answer = await link.unlessLost(client.request(subject, payload, { timeout: IO_LIMITS.natsRequestMs, ...(headers === undefined ? {} : { headers }) })).finally(release);
      const parsed = JSON.parse(Buffer.from(answer.data.buffer, answer.data.byteOffset, answer.data.byteLength).toString()) as { error?: ConstructorParameters<typeof Refusal>[0] };
      if (parsed.error !== undefined) throw new Refusal(parsed.error);
      return parsed as never;
    },
    persist,
    unlessLost(work) {
      return new Promise((resolve, reject) => {
        underWay.add(reject);
        work.then(resolve, reject).finally(() => underWay.delete(reject));
      });
    },
    onAbsent(action) {
      repair = action;
    },
    onReconnect(action) {
      returners.add(action);
      return () => returners.delete(action);
    },
    closed: client.closed().then((error) => (isClosing ? null : failure("the connection to NATS", error ?? null, "closed"))),
    async close() {
      isClosing = true;
      stopBeating();
      stopHearing();
      loseAll();
      back.resolve();
      await client.close();
    },
  };

  // The heartbeat goes through the server and the client's read loop: an exception there ends the loop and tells nobody.
  const pulse = `${cluster}.pulse.${nuid.next()}`;
  const stopHearing = link.subscribe(pulse, () => {
    const wasLive = link.isLive();
    unheard = 0;
    if (!wasLive) drainQueue();
  });
  let lastBeatMs = clock.monotonicMs();
  const stopBeating = clock.every(IO_LIMITS.natsBeatMs, () => {
    const nowMs = clock.monotonicMs();
    // After a blocked event loop the answers have not been read yet: that says nothing about the connection.
    const wasBlocked = nowMs - lastBeatMs > 2 * IO_LIMITS.natsBeatMs;
    lastBeatMs = nowMs;
    if (!isConnected || isClosing) return;
    if (!wasBlocked) unheard += 1;
    if (unheard > IO_LIMITS.natsBeatsLostMax) {
      counters.forcedReconnects += 1;
      unheard = 0;
      logger.error({ server: client.getServer() }, "own heartbeat lost, reconnecting");
      void client.reconnect().catch((error: unknown) => logger.error({ error: String(error) }, "reconnection failed"));
      return;
    }
    client.publish(pulse);
  });
  void watchStatus();
  return link;

  async function watchStatus(): Promise<void> {
    for await (const status of client.status()) {
      if (status.type === "disconnect" && isConnected) {
        isConnected = false;
        back = Promise.withResolvers();
        loseAll();
        logger.warn({ server: status.server }, "NATS connection lost");
      } else if (status.type === "reconnect") {
        counters.reconnects += 1;
        unheard = 0;
        hushEnding(client);
        isConnected = true;
        back.resolve();
        drainQueue();
        logger.info({ server: status.server }, "NATS connection is back");
        for (const action of returners) action();
        void repaired();
      } else if (status.type === "error") {
        if (troubleOf(status.error) === "denied") counters.denied += 1;
        logger.error({ error: String(status.error) }, "NATS server error");
      }
    }
  }

  function drainQueue(): void {
    if (!isConnected || isClosing) return;
    for (const { subject, bytes } of queue) client.publish(subject, bytes);
    queue.length = 0;
    queuedBytes = 0;
  }

  function repaired(): Promise<void> {
    repairing ??= repair().catch((error: unknown) => logger.error({ error: String(error) }, "streams not restored")).finally(() => { repairing = null; });
    return repairing;
  }

  function maxPayload(): number {
    return client.info?.max_payload ?? 1024 * 1024;
  }

  async function persist<T>(what: string, attempt: (mayBeDone: boolean) => Promise<T>): Promise<T> {
    const untilMs = clock.monotonicMs() + patienceMs;
    let mayBeDone = false;
    for (let tries = 0; ; tries += 1) {
      let trouble: Trouble;
      let cause: unknown;
      if (isClosing || client.isClosed()) throw failure(what, null, "closed");
      if (isConnected) {
        try {
          return await attempt(mayBeDone);
        } catch (error) {
          if (error instanceof PopulaceError) throw error;
          cause = error;
          trouble = error instanceof Lost ? "unsure" : troubleOf(error);
        }
      } else {
        trouble = "unsure";
      }
      if (trouble === "sequence" || trouble === "filled" || trouble === "no-message") throw cause;
      const leftMs = untilMs - clock.monotonicMs();
      if (trouble === "denied" || trouble === "other" || trouble === "closed" || leftMs <= 0) throw failure(what, cause, trouble);
      if (trouble === "unsure") mayBeDone = true;
      if (trouble === "full") {
        counters.backPressureWaits += 1;
        logger.warn({ what, reason: String(cause) }, "NATS is full, waiting");
      } else {
        counters.retries += 1;
      }
      if (trouble === "absent") await repaired();
      const pauseMs = Math.min(leftMs, IO_LIMITS.natsPauseMsMax, 20 * 2 ** Math.min(tries, 10));
      if (isConnected) await clock.sleep(pauseMs);
      else {
        const patience = new AbortController();
        await Promise.race([back.promise, clock.sleep(leftMs, patience.signal).catch(() => {})]);
        patience.abort();
      }
    }
  }

  /** The trouble in words, with what to do about it. */
  function failure(what: string, cause: unknown, trouble: Trouble): PopulaceError {
    const server = options.servers.join(", ");
    const details = { what, server };
    const reason = cause instanceof Error ? cause.message : "";
    if (trouble === "denied") return new PopulaceError("FORBIDDEN", `${what}: NATS at ${server} does not permit it to ${options.name} (${reason}); use the credential of the right role`, details, cause);
    if (trouble === "full") return new PopulaceError("STORE_FAILED", `${what}: NATS at ${server} had no room for ${Math.round(patienceMs / 1000)} s (${reason}); remove finished runs (populace runs remove), raise the byte limit of the stream, or give the server more disk`, details, cause);
    if (trouble === "closed") return new PopulaceError("UNAVAILABLE", `${what}: the connection to NATS at ${server} is closed${reason === "" ? "" : ` (${reason})`}; start this process again`, details, cause);
    if (trouble === "other") return new PopulaceError("STORE_FAILED", `${what}: NATS at ${server} refused: ${reason}`, details, cause);
    return new PopulaceError("UNAVAILABLE", `${what}: NATS at ${server} did not do it within ${Math.round(patienceMs / 1000)} s${reason === "" ? "" : ` (${reason})`}; check the server and the network, then try again`, details, cause);
  }
}

/**
 * Lets a socket that is being thrown away fail in silence. The client takes all listeners off a socket that has ended while its own last write may
 * still fail: that error has nobody to go to and would end the process. Seen about once in ten kills of a server under load, client 3.4.0.
 */
export function hushEnding(client: NatsConnection): void {
  const socket = (client as unknown as { readonly protocol?: { readonly transport?: { readonly socket?: Socket } } }).protocol?.transport?.socket;
  if (socket === undefined) return;
  const removeAll = socket.removeAllListeners.bind(socket);
  socket.removeAllListeners = (event) => removeAll(event).on("error", () => {});
}

/** The connection broke while an answer was awaited. */
class Lost extends Error {
  constructor() {
    super("the connection was lost before the answer came");
  }
}

/** Where answers to a role arrive: one role cannot listen to another's. */
export const inboxOf = (cluster: string, role: NatsRole): string => `_INBOX_${cluster}_${role}`;

/** A message the server would refuse. */
export function tooLarge(subject: string, bytes: number, bytesMax: number): PopulaceError {
  return new PopulaceError("TOO_LARGE", `${subject}: a message of ${bytes} bytes; NATS takes ${bytesMax} (max_payload of the server), larger bodies go to the blob store`, { subject, bytes, bytesMax });
}

async function connected(options: LinkOptions, startMs: number): Promise<NatsConnection> {
  const { credentials, tls } = options;
  const settings: NodeConnectionOptions = {
    servers: [...options.servers],
    name: options.name,
    // Measured: requests cost 1.7 times as much with a stack trace built for each.
    noAsyncTraces: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 200,
    reconnectJitter: 100,
    reconnectJitterTLS: 100,
    // A frozen server is found by the pulse; this is for a cut that leaves half a connection.
    pingInterval: 5000,
    maxPingOut: 2,
    timeout: 5000,
    inboxPrefix: inboxOf(options.cluster ?? "populace", options.role),
    ...(credentials === undefined ? {} : "user" in credentials ? { user: credentials.user, pass: credentials.password } : { authenticator: nkeyAuthenticator(readable(credentials.nkeySeedFile)) }),
    ...(tls === undefined ? {} : { tls: { ...(tls.caFile === undefined ? {} : { ca: text(tls.caFile) }), ...(tls.certFile === undefined ? {} : { cert: text(tls.certFile) }), ...(tls.keyFile === undefined ? {} : { key: text(tls.keyFile) }) } }),
  };
  const untilMs = performance.now() + startMs;
  const server = options.servers.join(", ");
  for (;;) {
    try {
      return await connect(settings);
    } catch (error) {
      const reason = error instanceof Error ? `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ""}` : String(error);
      if (troubleOf(error) === "denied") throw new PopulaceError("FORBIDDEN", `NATS at ${server} refuses the credential of ${options.name} (${reason}); name the nkey seed file or the user that the server's configuration knows`, { server }, error);
      if (/certificate|tls|ssl|self.signed|altname/i.test(reason)) throw new PopulaceError("FORBIDDEN", `NATS at ${server}: no trusted TLS connection (${reason}); name the authority that signed the server's certificate, and this process's own certificate where the server asks for one`, { server }, error);
      if (performance.now() >= untilMs) throw new PopulaceError("UNAVAILABLE", `no NATS server answers at ${server} (${reason}); start one ("nats-server -js"), or name the right address with --nats${tls !== undefined && tls.certFile === undefined ? "; where the server asks for them, name this process's own certificate and key" : ""}`, { server }, error);
      await systemClock.sleep(200);
    }
  }
}

function readable(path: string): Uint8Array {
  try {
    return new Uint8Array(Buffer.from(readFileSync(path, "utf8").trim()));
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path} cannot be read: ${(cause as Error).message}`, { path }, cause);
  }
}

const text = (path: string): string => Buffer.from(readable(path)).toString();

/** Lets bytes through while fewer than `bytesMax` are under way, in order of arrival; a single larger one goes alone. */
function byteWindow(bytesMax: number): (bytes: number) => Promise<() => void> {
  let under = 0;
  const waiting: { readonly bytes: number; readonly enter: () => void }[] = [];
  const admit = (): void => {
    while (waiting.length > 0 && (under === 0 || under + waiting[0].bytes <= bytesMax)) {
      const next = waiting.shift()!;
      under += next.bytes;
      next.enter();
    }
  };
  return (payload) => {
    // An answer costs memory too, however short the question.
    const bytes = payload + 1024;
    return new Promise((resolve) => {
      waiting.push({ bytes, enter: () => resolve(() => { under -= bytes; admit(); }) });
      admit();
    });
  };
}
