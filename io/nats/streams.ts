import { PopulaceError } from "@populace/domain";
import type { Link } from "./link.ts";
import { IO_LIMITS } from "../limits.ts";
import { Refusal, troubleOf } from "./refusal.ts";

/** A stream of the log, in the subjects of the port. */
export interface StreamSpec {
  /** Upper-case letters, digits and "_"; the server knows it as <cluster>_<name>. */
  readonly name: string;
  /** Filters of the subjects it holds; no two streams share a subject. */
  readonly subjects: readonly string[];
  /** slots: one body a subject, the first stays (`fill`). records: any number a subject (`append`). latest: one a subject, the newest. */
  readonly keeps: "slots" | "records" | "latest";
  /** Where the server has room for all streams; otherwise all are smaller by one share. */
  readonly bytesMax: number;
  /** At the byte limit: new entries wait (back-pressure), or the oldest leave. */
  readonly atLimit: "wait" | "drop oldest";
}

/** A stream as the server knows it. */
export interface Stream {
  readonly name: string;
  readonly spec: StreamSpec;
  /** Before a subject of the port, so that log, bus and registry do not hear one another. */
  readonly prefix: string;
}

export interface StreamState {
  readonly created: string;
  readonly lastSequence: number;
}

/** What a stream holds, and how much it may. */
export interface StreamFill {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  readonly bytesMax: number;
}

/** Since 2.9.0: discard-new per subject, on which write-once slots rest. */
const VERSION_MIN = [2, 9] as const;
/** Set at creation and read back: a server drops in silence what it does not know, and people alter streams. */
type Settings = Readonly<Record<string, string | number | boolean | readonly string[]>>;

const settingsOf = ({ name, spec, prefix }: Stream, replicas: number): Settings => ({
  name,
  subjects: spec.subjects.map((subject) => prefix + subject),
  retention: "limits",
  storage: "file",
  num_replicas: replicas,
  discard: spec.atLimit === "wait" ? "new" : "old",
  discard_new_per_subject: spec.keeps === "slots",
  max_msgs_per_subject: spec.keeps === "records" ? -1 : 1,
  max_bytes: spec.bytesMax,
  max_msgs: -1,
  max_age: 0,
  max_msg_size: -1,
  max_consumers: -1,
  duplicate_window: 120_000_000_000,
  sealed: false,
  deny_delete: true,
  deny_purge: false,
  allow_rollup_hdrs: false,
  // A direct read may be answered by a replica that lags.
  allow_direct: false,
});

/** Name of the stream that asks for room; it never stays. */
export const PROBE = "PROBE";

/** Who does not make a stream does not know how large it was made. */
const OWN_TO_MAKER = ["max_bytes", "num_replicas"];

/** SERVER_UNFIT unless the server is new enough and has JetStream; FORBIDDEN when the credential may not ask. */
export async function probeServer(link: Link): Promise<void> {
  const { version = "?", jetstream, headers } = link.client.info ?? {};
  const server = link.client.getServer();
  const numbers = version.split(".").map((part) => Number.parseInt(part, 10));
  if (!(numbers[0] > VERSION_MIN[0] || (numbers[0] === VERSION_MIN[0] && numbers[1] >= VERSION_MIN[1])) || headers !== true) {
    throw new PopulaceError("SERVER_UNFIT", `nats-server ${version} at ${server}: write-once slots (discard_new_per_subject) need ${VERSION_MIN.join(".")} or later; upgrade the server`, { server, version });
  }
  if (jetstream !== true) {
    throw new PopulaceError("SERVER_UNFIT", `nats-server ${version} at ${server} has no JetStream, which keeps the log; start it with "-js" or with a jetstream block in its configuration`, { server, version });
  }
  await link.persist("JetStream's account", () => link.ask("$JS.API.INFO", ""));
}

/**
 * Makes the streams that are missing, each smaller by one share where the server (or the account) has no room for all, and checks that each is what
 * it should be. Returns the bytes each may hold, by name, as read back. SERVER_UNFIT names a stream whose settings differ and which; STORE_FAILED when
 * there is no room for the least share. Streams of several replicas are made whole: one server cannot tell what the others have.
 */
export async function makeStreams(link: Link, streams: readonly Stream[], replicas: number, untilMs: number): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, Settings>();
  for (const stream of streams) {
    const settings = await settingsFound(link, stream);
    if (settings !== null) found.set(stream.name, settings);
  }
  const missing = streams.filter((stream) => !found.has(stream.name));
  const share = replicas > 1 || missing.length === 0 ? 1 : await shareWithRoom(link, missing);
  if (share < 1) link.logger.warn({ share, bytes: bytesOfAll(missing, share), bytesWanted: bytesOfAll(missing, 1) }, "NATS has little room: streams are made smaller; raise max_file_store for large runs");
  for (const stream of missing) found.set(stream.name, await made(link, scaled(stream, share), replicas, untilMs, bytesOfAll(missing, share)));
  for (const stream of streams) {
    const least = scaled(stream, IO_LIMITS.natsShareMin), settings = found.get(stream.name)!, bytes = Number(settings["max_bytes"]);
    // How large it is was chosen by the room there was, or by an operator.
    compare(stream, settingsOf(least, replicas), settings, bytes === -1 || bytes >= least.spec.bytesMax ? ["max_bytes"] : []);
  }
  return new Map(streams.map((stream) => {
    const bytes = Number(found.get(stream.name)!["max_bytes"]);
    return [stream.spec.name, bytes === -1 ? stream.spec.bytesMax : bytes];
  }));
}

const scaled = (stream: Stream, share: number): Stream => {
  const { bytesMax } = stream.spec;
  return { ...stream, spec: { ...stream.spec, bytesMax: Math.max(Math.floor(bytesMax * share), Math.min(bytesMax, IO_LIMITS.natsStreamBytesMin)) } };
};

const bytesOfAll = (streams: readonly Stream[], share: number): number => streams.reduce((sum, stream) => sum + scaled(stream, share).spec.bytesMax, 0);

/**
 * The largest share, in steps of a quarter, with which the server has room for all, STORE_FAILED below the least: it tells nobody how much is free but by refusing, so a stream of
 * that size is made and removed again. 1 where the credential may not.
 */
async function shareWithRoom(link: Link, streams: readonly Stream[]): Promise<number> {
  const name = `${link.cluster}_${PROBE}`;
  for (let share = 1; ; share = Math.max(share * 0.75, IO_LIMITS.natsShareMin)) {
    const isRoom = await link.persist("the room for streams", async () => {
      try {
        await link.ask(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify({ name, subjects: [`${link.cluster}.probe`], storage: "file", num_replicas: 1, max_bytes: bytesOfAll(streams, share) }));
        await removed(link, name);
        return true;
      } catch (error) {
        if (troubleOf(error) === "denied") return null;
        if (!isWithoutRoom(error)) {
          // Another coordinator asks too, or one died while it did: its question is in the way of everybody's.
          if (error instanceof Refusal && error.errorCode === 10058) await removed(link, name);
          else throw error;
        }
        return false;
      }
    });
    if (isRoom === null) return 1;
    if (isRoom) return share;
    if (share <= IO_LIMITS.natsShareMin) throw withoutRoom(link, "the streams", bytesOfAll(streams, share));
  }
}

async function removed(link: Link, name: string): Promise<void> {
  try {
    await link.ask(`$JS.API.STREAM.DELETE.${name}`, "");
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Waits for the streams that the coordinator makes and checks them. UNAVAILABLE when they do not come, SERVER_UNFIT when one differs. */
export async function checkStreams(link: Link, streams: readonly Stream[], untilMs: number): Promise<void> {
  for (const stream of streams) {
    let found = await settingsFound(link, stream);
    while (found === null) {
      if (performance.now() > untilMs) throw new PopulaceError("UNAVAILABLE", `NATS at ${link.client.getServer()} has no stream ${stream.name}: coordinators make it; start one ("populace coordinator") with the same cluster name, "${link.cluster}"`, { stream: stream.name });
      await new Promise((resolve) => setTimeout(resolve, 200));
      found = await settingsFound(link, stream);
    }
    compare(stream, settingsOf(stream, 1), found, OWN_TO_MAKER);
  }
}

/** When the stream was made and its last sequence, from its leader; null when there is none. */
export function streamState(link: Link, stream: Stream): Promise<StreamState | null> {
  return link.persist(`stream ${stream.name}`, async () => {
    try {
      const info = await link.ask<{ created: string; state: { last_seq: number } }>(`$JS.API.STREAM.INFO.${stream.name}`, "");
      return { created: info.created, lastSequence: info.state.last_seq };
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  });
}

/** What a stream holds; zeros when there is none. */
export function streamFill(link: Link, stream: Stream): Promise<StreamFill> {
  return link.persist(`stream ${stream.name}`, async () => {
    try {
      const info = await link.ask<{ config: { max_bytes: number }; state: { messages: number; bytes: number } }>(`$JS.API.STREAM.INFO.${stream.name}`, "");
      return { name: stream.name, messages: info.state.messages, bytes: info.state.bytes, bytesMax: info.config.max_bytes };
    } catch (error) {
      if (isMissing(error)) return { name: stream.name, messages: 0, bytes: 0, bytesMax: stream.spec.bytesMax };
      throw error;
    }
  });
}

function settingsFound(link: Link, stream: Stream): Promise<Settings | null> {
  return link.persist(`stream ${stream.name}`, async () => {
    try {
      return (await link.ask<{ config: Settings }>(`$JS.API.STREAM.INFO.${stream.name}`, "")).config;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  });
}

/** `bytesAtOnce`: what all streams that are made now reserve on a server. */
function made(link: Link, stream: Stream, replicas: number, untilMs: number, bytesAtOnce: number): Promise<Settings> {
  const settings = settingsOf(stream, replicas);
  return link.persist(`making stream ${stream.name}`, async () => {
    try {
      return (await link.ask<{ config: Settings }>(`$JS.API.STREAM.CREATE.${stream.name}`, JSON.stringify(settings))).config;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // Another coordinator was faster, by other settings: what it made is compared.
      if (error.errorCode === 10058) return (await settingsFound(link, stream)) ?? {};
      if (isWithoutRoom(error)) {
        throw withoutRoom(link, `stream ${stream.name}`, bytesAtOnce, error);
      }
      if (replicas > 1 && /insufficient resources|replicas|no suitable peers/i.test(error.message)) {
        // A server of the cluster that has just been started is no peer yet.
        if (performance.now() < untilMs) {
          await new Promise((resolve) => setTimeout(resolve, 200));
          return made(link, stream, replicas, untilMs, bytesAtOnce);
        }
        throw new PopulaceError("SERVER_UNFIT", `stream ${stream.name} wants ${replicas} replicas, which NATS at ${link.client.getServer()} cannot give (${error.message}); start as many servers in one cluster, or ask for fewer replicas`, { stream: stream.name, replicas }, error);
      }
      throw error;
    }
  });
}

function compare(stream: Stream, wanted: Settings, found: Settings, except: readonly string[]): void {
  const differing = Object.entries(wanted)
    .filter(([key, value]) => !except.includes(key) && JSON.stringify(value) !== JSON.stringify(found[key] ?? (typeof value === "boolean" ? false : undefined)))
    .map(([key, value]) => `${key} is ${JSON.stringify(found[key] ?? null)}, expected ${key === "max_bytes" ? "at least " : ""}${JSON.stringify(value)}`);
  if (differing.length === 0) return;
  throw new PopulaceError("SERVER_UNFIT", `stream ${stream.name} is not as this version makes it: ${differing.join("; ")}; somebody altered it, or another version made it, or the server ignores the setting: put it back ("nats stream edit"), or delete the stream, and start again: what was committed is in the coordinator's store`, { stream: stream.name, differing });
}

const withoutRoom = (link: Link, what: string, bytes: number, cause?: unknown): PopulaceError =>
  new PopulaceError("STORE_FAILED", `NATS at ${link.client.getServer()} has no room for ${what}: all streams together need at least ${bytes} bytes: raise max_file_store of the server (or max_file of the account) to that and more, or give it more disk`, { what, bytes }, cause);

/** Of the server's store, or of the account's limits. */
const isWithoutRoom = (error: unknown): boolean => error instanceof Refusal && /insufficient storage|resource limits exceeded/i.test(error.message);

const isMissing = (error: unknown): boolean => error instanceof Refusal && error.errorCode === 10059 && troubleOf(error) === "absent";
