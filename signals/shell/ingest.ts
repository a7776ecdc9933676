import type { Bus } from "@populace/io";
import { consentGate } from "../core/consent-gate.ts";
import type { ConsentOf } from "../core/consent-gate.ts";
import { deduplicate, NOTHING_SEEN } from "../core/deduplicate.ts";
import type { Seen } from "../core/deduplicate.ts";
import { parseSignals } from "../core/normalize.ts";
import type { Rejected, SignalFormat, SignalRecord } from "../core/record.ts";
import { publishSignals } from "./publisher.ts";
import { readSource } from "./sources.ts";
import type { SourceOptions } from "./sources.ts";

export interface IngestOptions extends SourceOptions {
  readonly purpose: string;
  /** Epoch milliseconds at which consent must hold. */
  readonly atMs: number;
  readonly consentOf: ConsentOf;
  readonly seen?: Seen;
  /** Where to publish; absent = nowhere. */
  readonly publish?: { readonly bus: Bus; readonly tenant: string };
}

export interface Ingested {
  readonly records: readonly SignalRecord[];
  readonly rejected: readonly Rejected[];
  readonly doubled: number;
  readonly withoutConsent: number;
  /** Pass it to the next call. */
  readonly seen: Seen;
}

/** Reads one source, parses it, drops what was seen, holds back what lacks consent, publishes the rest and returns it. */
export async function ingest(place: string, format: SignalFormat, options: IngestOptions): Promise<Ingested> {
  const { records, rejected } = parseSignals(format, await readSource(place, options));
  const { fresh, seen, doubled } = deduplicate(records, options.seen ?? NOTHING_SEEN);
  const { passed, refused } = consentGate(fresh, options.purpose, options.atMs, options.consentOf);
  if (options.publish) publishSignals(options.publish.bus, options.publish.tenant, passed);
  return { records: passed, rejected, doubled, withoutConsent: refused, seen };
}
