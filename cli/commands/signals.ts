import { readFileSync } from "node:fs";
import { PopulaceError } from "@populace/domain";
import { oneOf } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { count, plain, shortened, table } from "../output.ts";

interface ParseOptions {
  readonly format: string;
  readonly in: string;
}

function textOf(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name an existing file, or - for standard input`, { file: path }, cause);
  }
}

const FORMATS = ["rss", "jetstream", "mastodon", "gdelt-events", "gdelt-gkg", "cloudevents", "series"] as const;
const when = (atMs: number | null): string => (atMs === null ? "-" : new Date(atMs).toISOString().slice(0, 16));

export const signalsParseCommand: CommandDefinition<ParseOptions> = {
  name: "parse",
  summary: "read a feed, event stream or series into records of one shape",
  examples: ["populace signals parse --format rss --in feed.xml", "populace signals parse --format series --in euribor.csv --json"],
  configure: (command) => command
    .requiredOption("--format <name>", FORMATS.join(", "), oneOf(...FORMATS))
    .requiredOption("--in <file>", "what to read; - is standard input"),
  async run(_context, options) {
    const { parseSignals } = await import("@populace/signals");
    const { records, rejected } = parseSignals(options.format as (typeof FORMATS)[number], textOf(options.in));
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
  async run(_context, options) {
    const { sentiment } = await import("@populace/signals");
    const texts = textOf(options.in).split(/\r?\n/);
    if (texts.at(-1) === "") texts.pop();
    const scores = texts.map(sentiment);
    const shown = shortened(scores, 40, "lines");
    return {
      json: { scores },
      lines: [...table([{ title: "score", align: "right" }, { title: "text" }], shown.rows.map((score, index) => [score.toFixed(3), plain(texts[index])])), ...shown.rest],
    };
  },
};
