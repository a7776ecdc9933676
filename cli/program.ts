import { Command } from "commander";
import { PopulaceError, closestName } from "@populace/domain";
import { addCommand, reportFailure, STANDARD_STREAMS } from "./command.ts";
import type { CommandDefinition, Streams } from "./command.ts";
import { COMMANDS, EXPERIMENT_COMMANDS, NETWORK_COMMANDS, SIGNAL_COMMANDS, RUN_COMMANDS } from "./commands/table.ts";
import { VERSION } from "./version.ts";

/**
 * Runs one command line (without the program's name) and returns the exit code: 0 done, 2 bad usage or bad input, 1 failure.
 * Nothing is thrown: every failure is printed, under --json as `{"error": {code, message, details}}` on standard output.
 */
export async function runPopulace(args: readonly string[], signal: AbortSignal, streams: Streams = STANDARD_STREAMS): Promise<number> {
  const json = args.includes("--json");
  const program = new Command("populace")
    .description("Rehearse a campaign on a simulated audience; let the real audience correct the simulation.")
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.out(json ? `${JSON.stringify({ help: text })}\n` : text),
      // Failures are printed once, by reportFailure.
      writeErr: () => undefined,
      outputError: () => undefined,
    })
    .addHelpText("after", "\nStart here:\n  $ populace demo\nEvery command has --help with an example, --json and --seed.");
  const define = <Options>(parent: Command, definition: CommandDefinition<Options>): void => void addCommand(parent, definition, streams, signal);
  for (const definition of COMMANDS) define(program, definition);
  const experiments = program.command("experiment").summary("plan an A/B test, judge one under peeking").description("Experiments on real recipients: how many are needed, and what they have shown.");
  for (const definition of EXPERIMENT_COMMANDS) define(experiments, definition);
  const signals = program.command("signals").summary("read feeds and score texts").description("Social media, news and enrichment become signals.");
  for (const definition of SIGNAL_COMMANDS) define(signals, definition);
  const runs = program.command("runs").summary("list the runs of the store, show one").description("Runs that were committed to the store.");
  for (const definition of RUN_COMMANDS) define(runs, definition);
  const network = program.command("network").summary("learn a Bayesian network and ask it").description("Bayesian networks of attributes, personas, stimulus and funnel: what-if questions and explanations.");
  for (const definition of NETWORK_COMMANDS) define(network, definition);
  try {
    refuseUnknownOptions(program, args);
    if (args.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    return reportFailure(error, args, [...program.commands, ...experiments.commands, ...signals.commands, ...runs.commands, ...network.commands].map((command) => command.name()), streams, signal.aborted);
  }
}

/**
 * Refuses a misspelled option with what was probably meant. Commander would name a missing mandatory option first, which hides
 * the misspelling that caused it.
 */
function refuseUnknownOptions(program: Command, args: readonly string[]): void {
  let command = program;
  for (const word of args) {
    if (word === "--") return;
    if (!word.startsWith("--")) {
      command = command.commands.find((child) => child.name() === word) ?? command;
      continue;
    }
    const name = word.split("=")[0];
    const known = [...command.options.map((option) => option.long ?? ""), "--help"];
    if (command.commands.length > 0 || known.includes(name)) continue;
    const near = closestName(name, known);
    throw new PopulaceError("BAD_USAGE", `unknown option '${name}'${near === null ? "" : `; did you mean ${near}?`}`, { option: name, suggestion: near });
  }
}
