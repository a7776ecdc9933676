import { PopulaceError } from "@populace/domain";
import { parseCloudEvents } from "./cloudevents.ts";
import { parseFeedDocument } from "./feed.ts";
import { parseGdeltEvents, parseGdeltKnowledgeGraph } from "./gdelt.ts";
import { parseJetstream } from "./jetstream.ts";
import { SIGNAL_LIMITS } from "./limits.ts";
import { parseMastodon } from "./mastodon.ts";
import { SIGNAL_FORMATS } from "./record.ts";
import type { Parsed, SignalFormat } from "./record.ts";
import { parseSeries } from "./series.ts";

const PARSERS: Readonly<Record<SignalFormat, (text: string) => Parsed>> = {
  rss: parseFeedDocument,
  jetstream: parseJetstream,
  mastodon: parseMastodon,
  "gdelt-events": parseGdeltEvents,
  "gdelt-gkg": parseGdeltKnowledgeGraph,
  cloudevents: parseCloudEvents,
  series: parseSeries,
};

/**
 * Returns the records of one document of a format, and what was rejected with its position and reason. Never throws for what
 * the document holds: anything unreadable is a rejection. `rss` takes RSS, Atom and RDF. Bytes are decoded by their byte order
 * mark, an XML declaration, else UTF-8.
 *
 * Throws `BAD_USAGE` for an unknown format only. Cost: linear, bounded by `SIGNAL_LIMITS`.
 */
export function parseSignals(format: SignalFormat, input: string | Uint8Array): Parsed {
  if (!SIGNAL_FORMATS.includes(format)) throw new PopulaceError("BAD_USAGE", `signal format ${JSON.stringify(format)} is unknown; expected one of ${SIGNAL_FORMATS.join(", ")}`, { format });
  try {
    if (input.length > SIGNAL_LIMITS.documentCharactersMax) return whole(`the document has ${input.length} characters; at most ${SIGNAL_LIMITS.documentCharactersMax} are read`);
    const text = typeof input === "string" ? input : decodeBytes(input);
    if (text.trim() === "") return whole("the document is empty");
    const { records, rejected } = PARSERS[format](text);
    const over = records.length + rejected.length > SIGNAL_LIMITS.recordsMax;
    if (!over) return { records, rejected };
    return { records: records.slice(0, SIGNAL_LIMITS.recordsMax), rejected: [...rejected.slice(0, SIGNAL_LIMITS.recordsMax), { index: SIGNAL_LIMITS.recordsMax, reason: `more than ${SIGNAL_LIMITS.recordsMax} records; the rest was not read` }] };
  } catch (error) {
    // The last net: a library that fails on hostile input rejects the document and not the process.
    return whole(`the document cannot be read: ${error instanceof Error ? error.message.slice(0, 200) : "unknown failure"}`);
  }
}

const whole = (reason: string): Parsed => ({ records: [], rejected: [{ index: 0, reason }] });

/** Text of bytes: byte order mark, then the encoding an XML declaration names, then UTF-8. Malformed bytes become U+FFFD. */
function decodeBytes(bytes: Uint8Array): string {
  return new TextDecoder(encodingOf(bytes)).decode(bytes);
}

function encodingOf(bytes: Uint8Array): string {
  const [a, b, c] = bytes;
  if (a === 0xef && b === 0xbb && c === 0xbf) return "utf-8";
  if (a === 0xfe && b === 0xff) return "utf-16be";
  if (a === 0xff && b === 0xfe) return "utf-16le";
  // "<" as the first character of UTF-16 without a mark.
  if (a === 0x00 && b === 0x3c) return "utf-16be";
  if (a === 0x3c && b === 0x00) return "utf-16le";
  const start = String.fromCharCode(...bytes.subarray(0, 200));
  const named = /^\s*<\?xml[^>]{0,150}encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']/.exec(start)?.[1];
  if (named === undefined) return "utf-8";
  try {
    return new TextDecoder(named).encoding;
  } catch {
    return "utf-8";
  }
}
