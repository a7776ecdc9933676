import { createReadStream } from "node:fs";
import { PopulaceError } from "@populace/domain";

/** Bytes of one document; four times the characters that are parsed, so that no encoding is cut short. */
const BYTES_MAX = 32_000_000;
const TIMEOUT_MS = 20_000;
const REDIRECTS_MAX = 5;

export interface SourceOptions {
  readonly timeoutMs?: number;
  readonly bytesMax?: number;
  readonly signal?: AbortSignal;
}

/**
 * Reads a document: `-` is standard input, `http(s)://` is fetched, anything else is a path (`file://` as well). Throws
 * `FILE_MISSING`, `UNAVAILABLE` (a network failure, a time-out, an HTTP status that is no success) or `TOO_LARGE`.
 */
export async function readSource(place: string, options: SourceOptions = {}): Promise<Uint8Array> {
  if (/^https?:\/\//i.test(place)) return fetchSource(new URL(place), options);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(place) && !place.startsWith("file://")) throw new PopulaceError("BAD_USAGE", `${place.slice(0, 200)}: only http, https and files are read`, { place: place.slice(0, 200) });
  const { bytesMax = BYTES_MAX } = options;
  try {
    return await collect(place === "-" ? process.stdin : createReadStream(place.startsWith("file://") ? new URL(place) : place), bytesMax, place);
  } catch (cause) {
    if (cause instanceof PopulaceError) throw cause;
    throw new PopulaceError("FILE_MISSING", `${place}: ${(cause as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : (cause as Error).message}; expected a file of signals, an http address or - for standard input`, { place }, cause);
  }
}

async function fetchSource(start: URL, { timeoutMs = TIMEOUT_MS, bytesMax = BYTES_MAX, signal }: SourceOptions): Promise<Uint8Array> {
  const limit = AbortSignal.timeout(timeoutMs);
  const signals = signal === undefined ? limit : AbortSignal.any([limit, signal]);
  let url = start;
  try {
    for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
      // Redirects by hand: each hop stays on http and is counted.
      const response = await fetch(url, { redirect: "manual", signal: signals, headers: { accept: "application/rss+xml, application/atom+xml, application/xml, application/json, text/*;q=0.9, */*;q=0.1" } });
      const location = response.headers.get("location");
      if (response.status >= 300 && response.status < 400 && location !== null) {
        await response.body?.cancel();
        url = new URL(location, url);
        if (url.protocol !== "http:" && url.protocol !== "https:") throw new PopulaceError("UNAVAILABLE", `${start.href}: redirected to ${url.protocol}, which is not followed`, { url: start.href });
        continue;
      }
      if (!response.ok) throw new PopulaceError("UNAVAILABLE", `${start.href}: HTTP status ${response.status}; expected 200`, { url: start.href, status: response.status });
      return response.body === null ? new Uint8Array(0) : await collect(response.body, bytesMax, start.href);
    }
    throw new PopulaceError("UNAVAILABLE", `${start.href}: more than ${REDIRECTS_MAX} redirects`, { url: start.href });
  } catch (cause) {
    if (cause instanceof PopulaceError) throw cause;
    const why = limit.aborted ? `no answer within ${timeoutMs} ms` : (cause as Error).message;
    throw new PopulaceError("UNAVAILABLE", `${start.href}: ${why}`, { url: start.href }, cause);
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>, bytesMax: number, place: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new PopulaceError("TOO_LARGE", `${place}: more than ${bytesMax} bytes`, { place, bytesMax });
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}
