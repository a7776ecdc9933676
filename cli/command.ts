import { once } from "node:events";
import { CommanderError } from "commander";
import type { Command } from "commander";
import { ERROR_TABLE, PopulaceError } from "@populace/domain";
import { seed } from "./arguments.ts";
import { howToCall, shellWord } from "./how-to-call.ts";
import { paint, plain } from "./output.ts";
import { progressBar } from "./progress.ts";
import type { Progress } from "./progress.ts";

/** What a command is given besides its own options. */
export interface CommandContext {
  /** True under --json: nothing but the result may reach standard output. */
  readonly json: boolean;
  /** Of --seed; null when not given. */
  readonly seed: number | null;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  readonly progress: (title: string, unit: string) => Progress;
  /**
   * Does long synchronous work that writes nothing. No signal handler can run meanwhile, so Ctrl-C gets its ordinary meaning
   * back for that time: the process ends at once, and nothing is half written.
   */
  readonly blocking: <T>(work: () => T) => T;
  /** Prints a line for people at once; nothing under --json. */
  readonly say: (line: string) => void;
}

/** An array of the document that may be longer than a text can be: its items with commas between them, in pieces of any cut. */
export class JsonItems {
  readonly pieces: () => Iterable<string>;

  constructor(pieces: () => Iterable<string>) {
    this.pieces = pieces;
  }
}

/** What a command hands back: one document for programs, and lines for people. */
export interface CommandResult {
  /** Values of the first level may be `JsonItems`. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly lines: readonly string[];
}

export interface CommandDefinition<Options> {
  readonly name: string;
  readonly summary: string;
  /** Shown below --help. */
  readonly examples: readonly string[];
  readonly configure: (command: Command) => Command;
  readonly run: (context: CommandContext, options: Options) => Promise<CommandResult>;
}

export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Waits until the reader of `out` has taken what it was given; absent = it always has. */
  readonly taken?: () => Promise<unknown>;
}

export const STANDARD_STREAMS: Streams = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  // A pipe that is handed more than it takes keeps it in memory, and loses all of it beyond 2 GiB.
  taken: () => (process.stdout.writableNeedDrain ? once(process.stdout, "drain") : Promise.resolve()),
};

/** Adds the command to its parent, with --json, --seed, the examples and the handing over of its result. */
export function addCommand<Options>(parent: Command, definition: CommandDefinition<Options>, streams: Streams, signal: AbortSignal): Command {
  const command = definition.configure(parent.command(definition.name).summary(definition.summary).description(definition.summary))
    .option("--json", "print one JSON document on standard output and nothing else")
    .option("--seed <number>", "seed of every random stream", seed)
    .addHelpText("after", `\n${definition.examples.length === 1 ? "Example" : "Examples"}:\n${definition.examples.map((example) => `  $ ${example}`).join("\n")}`);
  command.action(async (...received: unknown[]) => {
    const given = received.at(-1) as Command;
    // Words without a flag are options by their names.
    const named = Object.fromEntries(given.registeredArguments.map((argument, index) => [argument.name(), given.processedArgs[index] as unknown]));
    const options = { ...given.opts<Options & { json?: boolean; seed?: number }>(), ...named };
    const json = options.json === true;
    const result = await definition.run({
      json, seed: options.seed ?? null, signal,
      progress: (title, unit) => progressBar(title, unit, json),
      blocking,
      say: (line) => { if (!json) streams.out(`${line}\n`); },
    }, options);
    if (json) await printDocument(result.json, streams);
    else streams.out(result.lines.map((line) => `${line}\n`).join(""));
  });
  return command;
}

async function printDocument(document: CommandResult["json"], { out, taken }: Streams): Promise<void> {
  if (!Object.values(document).some((value) => value instanceof JsonItems)) return out(`${JSON.stringify(document)}\n`);
  let before = "{";
  for (const [key, value] of Object.entries(document)) {
    if (value === undefined) continue;
    out(`${before}${JSON.stringify(key)}:`);
    before = ",";
    if (!(value instanceof JsonItems)) out(JSON.stringify(value));
    else {
      out("[");
      for (const piece of value.pieces()) {
        out(piece);
        await taken?.();
      }
      out("]");
    }
  }
  out("}\n");
}

function blocking<T>(work: () => T): T {
  const listeners = process.listeners("SIGINT");
  process.removeAllListeners("SIGINT");
  try {
    return work();
  } finally {
    for (const listener of listeners) process.on("SIGINT", listener);
  }
}

const commandLine = (args: readonly string[]): string => [howToCall(), ...args.map(shellWord)].join(" ");

/** Every failure as the one error class: commander's refusals become BAD_USAGE, anything unforeseen INTERNAL. */
function asPopulaceError(error: unknown, aborted: boolean): PopulaceError {
  if (error instanceof PopulaceError) return error;
  if (aborted || (error instanceof Error && error.name === "AbortError")) return new PopulaceError("INTERRUPTED", "interrupted; what was committed stays");
  if (error instanceof CommanderError && error.code === "commander.help") return new PopulaceError("BAD_USAGE", "a command is missing; --help lists what there is");
  if (error instanceof CommanderError) return new PopulaceError("BAD_USAGE", error.message.replace(/^error: /, ""));
  const system = error as NodeJS.ErrnoException;
  if (system?.code === "ENOENT" || system?.code === "EISDIR" || system?.code === "ENOTDIR") {
    return new PopulaceError("FILE_MISSING", `${system.path ?? "a file"}: cannot be opened (${system.code}); name a file that exists`, {}, error);
  }
  if (system?.code === "EACCES" || system?.code === "ENOSPC" || system?.code === "EROFS") {
    return new PopulaceError("STORE_FAILED", `${system.path ?? "a file"}: ${system.message}; choose a folder that can be written`, {}, error);
  }
  if (system?.code === "EADDRINUSE") return new PopulaceError("UNAVAILABLE", "the port is already in use; choose another with --port, or 0 for a free one", {}, error);
  return new PopulaceError("INTERNAL", error instanceof Error ? error.message : String(error), {}, error);
}

/** Prints the failure where it belongs and returns the exit code of the process. */
export function reportFailure(error: unknown, args: readonly string[], commands: readonly string[], streams: Streams, aborted: boolean): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const failure = asPopulaceError(error, aborted);
  const exit = ERROR_TABLE[failure.code].exit;
  if (args.includes("--json")) {
    streams.out(`${JSON.stringify({ error: { code: failure.code, message: failure.message, details: failure.details } })}\n`);
  } else {
    streams.err(`${paint("red", "error")}: ${failure.message.split("\n").map(plain).join("\n")}\n`);
    if (failure.code === "INTERRUPTED") streams.err(`resume with the same command: ${commandLine(args)}\n`);
    if (failure.code === "BAD_USAGE") streams.err(`try: populace ${args.filter((word) => commands.includes(word)).join(" ")} --help\n`.replace("  ", " "));
    if (failure.code === "INTERNAL") streams.err("this is a fault of the program; POPULACE_DEBUG=1 shows where it happened\n");
  }
  if (process.env["POPULACE_DEBUG"] === "1") streams.err(`${(failure.cause instanceof Error ? failure.cause : error instanceof Error ? error : failure).stack ?? ""}\n`);
  return exit;
}
