import { PopulaceError, type CellCounts, type RateEstimate } from "@populace/domain";
import type { Model } from "@populace/studies";
import { addressesOf, withCluster, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandContext, CommandDefinition, CommandResult } from "../command.ts";
import { personaNames } from "../names.ts";
import { count, evidence, paint, plain, rateText, shortened, table } from "../output.ts";

interface LearnOptions extends ClusterCommandOptions {
  readonly model: string;
  readonly outcomes?: string;
  readonly out?: string;
}

export const learnCommand: CommandDefinition<LearnOptions> = {
  name: "learn",
  summary: "real outcomes correct the posteriors",
  examples: ["populace learn --model model.json --outcomes ab-test.csv --out model-2.json", "populace learn --model model.json --cluster 127.0.0.1:7600        # what its gateways took since"],
  configure: (command) => withClusterOptions(command
    .requiredOption("--model <file>", "the model to correct")
    .option("--outcomes <file>", "what happened: CSV, CSV.gz or Parquet in the model's schema; without it the ledger of a cluster is taken")
    .option("--out <file>", "where to write the corrected model (default: over the old one, whole or not at all)")),
  async run(context, options) {
    if (options.outcomes === undefined) {
      if (addressesOf(options) === null) throw new PopulaceError("BAD_USAGE", "name what happened with --outcomes FILE, or a cluster whose gateways took it with --cluster HOST:PORT", {});
      return learnFromCluster(context, options);
    }
    const { cellRates, learn, readDataset, readModel, writeModel } = await import("@populace/studies");
    const model = readModel(options.model);
    const reading = context.progress("reading", "B");
    const outcomes = await readDataset(model.schema, options.outcomes, { onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const result = learn(model, outcomes);
    const out = options.out ?? options.model;
    if (result.rows > 0 || options.out !== undefined) writeModel(out, result.model);
    const { updated, lines } = comparison(model, result.model, cellRates);
    const unknown = Object.entries(result.rejected.unknownStimuli);
    return {
      json: { updated, exchangeRate: result.exchangeRate, rejected: result.rejected, rows: result.rows, version: result.model.version, out },
      lines: [
        ...lines, "",
        `${count(result.rows)} outcomes taken; left out: ${count(result.rejected.malformed)} malformed, ${count(result.rejected.seen)} already counted, ${count(result.rejected.noConsent)} without consent`,
        ...unknown.map(([stimulus, rows]) => paint("yellow", `note: ${count(rows)} rows of the unknown stimulus ${plain(stimulus)}`)),
        `exchange rate of simulated evidence: ${result.exchangeRate.a0} (${result.exchangeRate.learned ? "learned" : "fixed"})`,
        result.rows > 0 ? `version ${result.model.version} written to ${paint("bold", out)}` : "nothing new: the model stays as it is",
      ],
    };
  },
};

/** Cells whose counts have grown, with their rates before and after. */
function comparison(before: Model, after: Model, cellRates: (model: Model) => readonly RateEstimate[]): { readonly updated: readonly object[]; readonly lines: readonly string[] } {
  const rates = [cellRates(before), cellRates(after)];
  const { stimuli, steps } = before.response, names = personaNames(before);
  const updated = after.outcomes.flatMap((cell: CellCounts, at) => {
    const exposures = cell.exposures - before.outcomes[at].exposures, responses = cell.responses - before.outcomes[at].responses;
    if (exposures === 0) return [];
    const [persona, rest] = [Math.floor(at / (stimuli.length * steps.length)), at % (stimuli.length * steps.length)];
    return [{ persona: before.mixture.personas[persona].id as string, stimulus: stimuli[Math.floor(rest / steps.length)].id as string, step: steps[rest % steps.length].name, exposures, responses, before: rates[0][at], after: rates[1][at] }];
  });
  const shown = shortened(updated, 48, "cells");
  return {
    updated,
    lines: [
      ...table(
        [{ title: "persona" }, { title: "stimulus" }, { title: "step" }, { title: "observed", align: "right" }, { title: "before", align: "right" }, { title: "after", align: "right" }, { title: "evidence" }],
        shown.rows.map((row) => [plain(names.get(row.persona) ?? row.persona), plain(row.stimulus), plain(row.step), `${count(row.responses)} of ${count(row.exposures)}`, rateText(row.before), rateText(row.after), evidence(row.after.label)]),
      ),
      ...shown.rest,
    ],
  };
}

async function learnFromCluster(context: CommandContext, options: LearnOptions): Promise<CommandResult> {
  const { cellRates, ledgerFrom, ledgerPlanOf, learnLedger, readModel, writeModel } = await import("@populace/studies");
  const { sha256, sha256Hex } = await import("@populace/io");
  const { decodeLedgerPlan, encodeLedgerPlan, ledgerSpecOf, runIdOf } = await import("@populace/protocol");
  const model = readModel(options.model);
  const run = runIdOf(ledgerSpecOf(sha256Hex(encodeLedgerPlan(ledgerPlanOf(model)))), sha256), from = ledgerFrom(model, run);
  const found = await withCluster(context, options, async (cluster) => cluster.call("Ledger", { run, from }).catch((error: unknown) => {
    if (!(error instanceof PopulaceError) || error.code !== "NOT_FOUND") throw error;
    throw new PopulaceError("NOT_FOUND", `no gateway of this cluster takes outcomes of ${options.model}: \`populace release --model ${options.model}\` lets them`, { run }, error);
  }));
  const counts = new Float64Array(new Uint8Array(found.counts).buffer);
  const learned = learnLedger(model, { run, tick: found.tick, plan: decodeLedgerPlan(found.plan), counts });
  const out = options.out ?? options.model, isNew = learned !== model;
  if (isNew || options.out !== undefined) writeModel(out, learned);
  const { updated, lines } = comparison(model, learned, cellRates);
  return {
    json: { updated, exchangeRate: learned.exchangeRate, rows: found.counted, refused: found.refused, deadLetters: found.deadLetters, ledger: { run, from, tick: found.tick, root: found.root }, version: learned.version, out },
    lines: [
      ...lines, "",
      `${count(found.counted)} outcomes of ledger ${run.slice(0, 12)} taken, ticks ${from} to ${found.tick}; ${count(found.refused)} were refused`,
      ...found.deadLetters.slice(-3).map((letter) => paint("yellow", `refused: ${plain(letter)}`)),
      isNew ? `version ${learned.version} written to ${paint("bold", out)}; announce it with \`populace release --model ${out}\`` : "nothing new: the model stays as it is",
    ],
  };
}
