import { InvalidArgumentError } from "commander";
import { oneOf } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { count, plain, shortened, table } from "../output.ts";

interface ParseOptions {
  readonly format: string;
  readonly in: string;
}

/** The formats of signals, repeated here so that --help need not load their parsers; a test holds the two lists equal. */
export const FORMATS = ["rss", "jetstream", "mastodon", "gdelt-events", "gdelt-gkg", "cloudevents", "series"] as const;
const when = (atMs: number | null): string => (atMs === null ? "-" : new Date(atMs).toISOString().slice(0, 16));

export const signalsParseCommand: CommandDefinition<ParseOptions> = {
  name: "parse",
  summary: "read a feed, event stream or series into records of one shape",
  examples: ["populace signals parse --format rss --in feed.xml", "populace signals parse --format series --in euribor.csv --json"],
  configure: (command) => command
    .requiredOption("--format <name>", FORMATS.join(", "), oneOf(...FORMATS))
    .requiredOption("--in <file>", "what to read; - is standard input"),
  async run(context, options) {
    const { parseSignals, readSource } = await import("@populace/signals");
    const { records, rejected } = parseSignals(options.format as (typeof FORMATS)[number], await readSource(options.in, { signal: context.signal }));
    const shown = shortened(records, 30, "records");
    return {
      json: { records, rejected },
      lines: [
        ...table([{ title: "time" }, { title: "kind" }, { title: "what" }, { title: "value", align: "right" }],
          shown.rows.map((record) => [when(record.atMs), record.kind, plain(record.title ?? (record.text === "" ? record.id : record.text)), record.value === null ? "" : String(record.value)])),
        ...shown.rest, "",
        `${count(records.length)} records, ${count(rejected.length)} rejected`,
        ...rejected.slice(0, 10).map((row) => `  at ${row.index}: ${plain(row.reason)}`),
      ],
    };
  },
};

export const signalsSentimentCommand: CommandDefinition<{ readonly in: string }> = {
  name: "sentiment",
  summary: "score each line of a text file from -1 (negative) to 1 (positive)",
  examples: ["populace signals sentiment --in headlines.txt"],
  configure: (command) => command.requiredOption("--in <file>", "one text a line; - is standard input"),
  async run(context, options) {
    const { readSource, sentiment } = await import("@populace/signals");
    const texts = Buffer.from(await readSource(options.in, { signal: context.signal })).toString("utf8").split(/\r?\n/);
    if (texts.at(-1) === "") texts.pop();
    const scores = texts.map(sentiment);
    const shown = shortened(scores, 40, "lines");
    return {
      json: { scores },
      lines: [...table([{ title: "score", align: "right" }, { title: "text" }], shown.rows.map((score, index) => [score.toFixed(3), plain(texts[index])])), ...shown.rest],
    };
  },
};

interface RunOptions {
  readonly source: readonly { readonly format: (typeof FORMATS)[number]; readonly place: string }[];
  readonly effect: readonly { readonly series: string; readonly attitude: (typeof ATTITUDES)[number]; readonly direction: 1 | -1 }[];
  readonly origin: number;
  readonly out?: string;
}

const ATTITUDES = ["price-sensitivity", "channel-affinity", "brand-warmth", "contact-pressure"] as const;

const sourceOf = (text: string, before: RunOptions["source"] = []): RunOptions["source"] => {
  const cut = text.indexOf("=");
  const format = FORMATS.find((name) => name === text.slice(0, cut));
  if (format === undefined || cut === text.length - 1) throw new InvalidArgumentError(`Expected FORMAT=PLACE with a format of ${FORMATS.join(", ")}.`);
  return [...before, { format, place: text.slice(cut + 1) }];
};

const effectOf = (text: string, before: RunOptions["effect"] = []): RunOptions["effect"] => {
  const [, series, sign, attitude] = /^([^=]+)=([+-])(.+)$/.exec(text) ?? [];
  const known = ATTITUDES.find((name) => name === attitude);
  if (series === undefined || known === undefined) throw new InvalidArgumentError(`Expected SERIES=+ATTITUDE or SERIES=-ATTITUDE with an attitude of ${ATTITUDES.join(", ")}.`);
  return [...before, { series, attitude: known, direction: sign === "+" ? 1 : -1 }];
};

const dateOf = (text: string): number => {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (!Number.isFinite(ms)) throw new InvalidArgumentError("Expected a date such as 2023-07-01.");
  return ms;
};

const DAY_MS = 86_400_000;

export const signalsRunCommand: CommandDefinition<RunOptions> = {
  name: "run",
  summary: "take in sources and say which shocks they cause",
  examples: ["populace signals run --source rss=feed.xml --source series=confidence.csv --effect consumer_confidence=+brand-warmth --origin 2023-06-24 --out shocks.yaml"],
  configure: (command) => command
    .requiredOption("--source <format=place>", "what to read: a file or an address; may be repeated", sourceOf)
    .option("--effect <series=+attitude>", "which attitude a rise of the series raises (+) or lowers (-); may be repeated", effectOf, [])
    .requiredOption("--origin <date>", "day of tick 0; a tick is a day", dateOf)
    .option("--out <file>", "write the shocks as YAML, ready for the `shocks` key of a study"),
  async run(context, options) {
    const { NOTHING_SEEN, ingest, shocksFrom } = await import("@populace/signals");
    let seen = NOTHING_SEEN;
    const records = [];
    const rejected = [];
    let [doubled, withoutConsent] = [0, 0];
    for (const source of options.source) {
      // Nobody's consent is known here, so records about a person never pass.
      const taken = await ingest(source.place, source.format, { purpose: "signals", atMs: Date.now(), consentOf: () => [], seen, signal: context.signal });
      seen = taken.seen;
      records.push(...taken.records);
      rejected.push(...taken.rejected.map((row) => ({ source: source.place, ...row })));
      doubled += taken.doubled;
      withoutConsent += taken.withoutConsent;
    }
    const shocks = shocksFrom(records, { originMs: options.origin, tickMs: DAY_MS, series: options.effect });
    if (options.out !== undefined) {
      const { writeFileAtomic } = await import("@populace/io");
      const { stringify } = await import("yaml");
      writeFileAtomic(options.out, stringify({ shocks }));
    }
    return {
      json: { records: records.length, rejected, doubled, withoutConsent, shocks },
      lines: [
        `${count(records.length)} records, ${count(doubled)} seen before, ${count(withoutConsent)} held back without consent, ${count(rejected.length)} rejected`,
        ...(shocks.length === 0 ? ["no shock: nothing surprising enough"] : table(
          [{ title: "attitude" }, { title: "logit", align: "right" }, { title: "from tick", align: "right" }, { title: "half-life", align: "right" }, { title: "evidence" }],
          shocks.map((shock) => [shock.attitude, shock.size.toFixed(3), String(shock.startTick), `${shock.halfLifeTicks} ticks`, plain(shock.source)]),
        )),
        ...shocks.map((shock) => plain(shock.evidence)),
        ...(options.out === undefined ? [] : [`shocks written to ${options.out}`]),
      ],
    };
  },
};
