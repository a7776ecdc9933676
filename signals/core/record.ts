/** One observation of the world outside, in one shape whatever it came from. */
export interface SignalRecord {
  /** The same for the same thing seen twice: deduplication goes by it. */
  readonly id: string;
  readonly format: SignalFormat;
  readonly kind: "news" | "post" | "reaction" | "event" | "series" | "account";
  /** "delete" asks to forget what came under `id` before; "inactive" all of the subject's. */
  readonly action: "create" | "update" | "delete" | "inactive";
  /** Epoch milliseconds, or null when unstated or unreadable. */
  readonly atMs: number | null;
  readonly title: string | null;
  /** Plain text without markup; empty when there is none. */
  readonly text: string;
  readonly url: string | null;
  /** Who the record is about when that is a person (account id): such a record passes only with that person's consent. */
  readonly subject: string | null;
  readonly language: string | null;
  readonly topics: readonly string[];
  /** A measured number: a series' value, GDELT's AvgTone; null for texts. */
  readonly value: number | null;
  /** Further numbers of the source by name. */
  readonly measures: Readonly<Record<string, number>>;
}

export const SIGNAL_FORMATS = ["rss", "jetstream", "mastodon", "gdelt-events", "gdelt-gkg", "cloudevents", "series"] as const;
export type SignalFormat = (typeof SIGNAL_FORMATS)[number];

export interface Rejected {
  /** Position in the input, from 0: item, line or event. */
  readonly index: number;
  readonly reason: string;
}

export interface Parsed {
  readonly records: readonly SignalRecord[];
  readonly rejected: readonly Rejected[];
}

/** The defaults of a record, so that a parser states only what its source knows. */
export const record = (format: SignalFormat, id: string, rest: Partial<SignalRecord>): SignalRecord => ({
  id, format, kind: "post", action: "create", atMs: null, title: null, text: "", url: null, subject: null, language: null, topics: [], value: null, measures: {}, ...rest,
});
