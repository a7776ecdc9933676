import { InvalidArgumentError } from "commander";
import type { RateEstimate } from "@populace/domain";
import { oneOf, positive } from "../arguments.ts";
import { addressesOf, withCluster, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandContext, CommandDefinition, CommandResult } from "../command.ts";
import { personaNames } from "../names.ts";
import { count, evidence, paint, plain, rateText, shortened, sparkline, table } from "../output.ts";

interface LearnOptions extends ClusterCommandOptions {
  readonly model: string;
  readonly outcomes?: string;
  readonly out?: string;
  readonly update?: "cells" | "logistic";
  readonly halfLife?: number | "auto" | null;
  readonly subtract?: boolean;
}

const halfLife = (text: string): number | "auto" | null => {
  if (text === "auto") return "auto";
  if (text === "none") return null;
  try {
    return positive(text);
  } catch {
    throw new InvalidArgumentError("Expected a number above 0, auto or none.");
  }
};

export const learnCommand: CommandDefinition<LearnOptions> = {
  name: "learn",
  summary: "real outcomes correct the posteriors",
  examples: [
    "populace learn --model model.json --outcomes ab-test.csv --out model-2.json",
    "populace learn --model model.json --outcomes calls.csv --update logistic --half-life auto",
    "populace learn --model model.json --outcomes one-person.csv --subtract",
    "populace learn --model model.json --cluster 127.0.0.1:7600        # what its gateways took since the last time",
  ],
  configure: (command) => withClusterOptions(command
    .requiredOption("--model <file>", "the model to correct")
    .option("--outcomes <file>", "what happened: CSV, CSV.gz or Parquet in the model's schema; without it, the ledger of a cluster")
    .option("--out <file>", "where to write the corrected model (default: over the old one, whole or not at all)")
    .option("--update <what>", "cells: exact counts by persona and stimulus (default); logistic: the response model itself, its last posterior being the next prior", oneOf("cells", "logistic"))
    .option("--half-life <time>", "days (rows where the schema's time is an index) after which an outcome counts half; auto takes what foretold best, none forgets nothing", halfLife)
    .option("--subtract", "take these outcomes out again: to the bit the counts of a model that never saw them")),
  async run(context, options) {
    const { PopulaceError } = await import("@populace/domain");
    if (options.outcomes === undefined) {
      if (addressesOf(options) === null) throw new PopulaceError("BAD_USAGE", "name what happened with --outcomes FILE, or a cluster whose gateways took it with --cluster HOST:PORT");
      if (options.subtract === true || options.update !== undefined || options.halfLife !== undefined) throw new PopulaceError("BAD_USAGE", "a ledger holds counts by day: --subtract, --update and --half-life need the outcomes themselves, in --outcomes FILE");
      return learnFromCluster(context, options);
    }
    if (options.subtract === true && (options.update !== undefined || options.halfLife !== undefined)) throw new PopulaceError("BAD_USAGE", "--subtract takes counted outcomes out; it goes with neither --update nor --half-life");
    const { cellRates, learn, readDataset, readModel, unlearn, writeModel } = await import("@populace/studies");
    const model = readModel(options.model);
    const reading = context.progress("reading", "B");
    const outcomes = await readDataset(model.schema, options.outcomes, {
      // What was counted under a wrong date can still be taken out.
      ...(options.subtract === true ? {} : { nowMs: Date.now() }),
      onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal),
    }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const out = options.out ?? options.model;
    if (options.subtract === true) {
      const { model: without, rows, pending, unknown } = unlearn(model, outcomes);
      if (rows > 0 || options.out !== undefined) writeModel(out, without);
      return {
        json: { subtracted: rows, pending, unknown, exchangeRate: without.exchangeRate, version: without.version, out },
        lines: [
          `${count(rows)} outcomes taken out, ${count(unknown)} the model never counted`,
          ...(pending === 0 ? [] : [paint("yellow", `pending: ${count(pending)} rows are in the response model itself and stay until \`populace fit\` runs without them`)]),
          rows > 0 || options.out !== undefined ? `model version ${without.version} written to ${paint("bold", out)}` : `model version ${without.version} stays as it was`,
        ],
      };
    }
    const result = context.blocking(() => learn(model, outcomes, {
      ...(options.update === undefined ? {} : { update: options.update }), ...(options.halfLife === undefined ? {} : { halfLife: options.halfLife }), ...(context.seed === null ? {} : { seed: context.seed }),
    }));
    const isNew = result.model.version !== model.version;
    if (isNew || options.out !== undefined) writeModel(out, result.model);
    const [before, after] = [cellRates(model), cellRates(result.model)];
    const stimuli = model.response.stimuli.map((stimulus) => stimulus.id as string);
    const steps = model.response.steps.map((step) => step.name);
    const personas = model.mixture.personas.map((persona) => persona.id as string);
    const at = (row: { readonly persona: string; readonly stimulus: string; readonly step: string }): number =>
      (personas.indexOf(row.persona) * stimuli.length + stimuli.indexOf(row.stimulus)) * steps.length + steps.indexOf(row.step);
    const updated = result.updated.map((row) => ({ ...row, before: before[at(row)], after: after[at(row)] }));
    const names = personaNames(result.model);
    const shown = shortened(updated, 48, "cells");
    const unknown = Object.entries(result.rejected.unknownStimuli);
    const { exchangeRate, pit, score } = result;
    const levels = shortened(exchangeRate.levels, 24, "levels");
    const memoryName = (time: number | null): string => (time === null ? "forgetting nothing" : `half-life ${count(time)}`);
    return {
      json: { updated, exchangeRate, pit, score, halfLife: result.model.halfLife, rejected: result.rejected, rows: result.rows, version: result.model.version, out },
      lines: [
        ...cellTable(shown.rows, names),
        ...shown.rest, "",
        ...table(
          [{ title: "exchange rate of simulated evidence" }, { title: "a0 [90 % interval]", align: "right" }, { title: "cells", align: "right" }],
          [
            [exchangeRate.learned ? "overall" : "overall (not learned: no randomized outcomes yet)", a0Text(exchangeRate), count(exchangeRate.cells)],
            ...levels.rows.map((level) => [`${level.level === "channel" ? "  channel " : "    "}${plain(named(level.name, names))}`, a0Text(level), count(level.cells)]),
          ],
        ),
        ...levels.rest,
        ...(pit.cells === 0 ? [] : [`${count(pit.cells)} predictions have met outcomes: ${(100 * pit.coverage90).toFixed(0)} % inside their 90 % intervals; PIT ${sparkline(pit.counts)} (uniform with p = ${pit.pValue.toPrecision(2)})`]),
        ...exchangeRate.demoted.map((persona) => paint("yellow", `demoted: ${plain(names.get(persona) ?? persona)}; its intervals keep missing, so what is simulated of it counts for nothing beside real outcomes`)),
        ...(score === null || score.responses >= score.responsesMin ? [] : [paint("dim", `${count(score.responses)} ${score.responses === 1 ? "response" : "responses"} so far: the update stays open until there are ${count(score.responsesMin)}, and the next one takes these rows together with its own`)]),
        ...(score === null ? [] : score.memories.map((memory) => `updated every ${count(score.every)} rows, each predicted before it was taken in: log loss ${memory.logLoss.toFixed(4)} ${memoryName(memory.halfLife)}${score.memories.length > 1 && memory.halfLife === result.model.halfLife ? " (taken)" : ""}`)),
        ...(result.model.halfLife === null ? [] : [`real outcomes count half after ${count(result.model.halfLife)} ${model.schema.time?.format === "index" ? "rows" : "days"}`]),
        `${count(result.rows)} outcomes taken; left out: ${count(result.rejected.malformed)} malformed, ${count(result.rejected.seen)} already counted, ${count(result.rejected.noConsent)} without consent`,
        ...unknown.map(([stimulus, rows]) => paint("yellow", `note: ${count(rows)} rows of the unknown stimulus ${plain(stimulus)}`)),
        isNew ? `model version ${result.model.version} written to ${paint("bold", out)}` : `model version ${result.model.version} stays as it was`,
      ],
    };
  },
};

async function learnFromCluster(context: CommandContext, options: LearnOptions): Promise<CommandResult> {
  const { PopulaceError } = await import("@populace/domain");
  const { cellRates, ledgerFrom, ledgerPlanOf, learnLedger, readModel, writeModel } = await import("@populace/studies");
  const { sha256, sha256Hex } = await import("@populace/io");
  const { decodeLedgerPlan, encodeLedgerPlan, ledgerSpecOf, runIdOf } = await import("@populace/protocol");
  const model = readModel(options.model);
  const run = runIdOf(ledgerSpecOf(sha256Hex(encodeLedgerPlan(ledgerPlanOf(model)))), sha256), from = ledgerFrom(model, run);
  const found = await withCluster(context, options, async (cluster) => cluster.call("Ledger", { run, from }).catch((error: unknown) => {
    if (!(error instanceof PopulaceError) || error.code !== "NOT_FOUND") throw error;
    throw new PopulaceError("NOT_FOUND", `no gateway of this cluster takes outcomes of ${options.model}: \`populace release --model ${options.model}\` lets them`, { run }, error);
  }));
  const learned = learnLedger(model, { run, tick: found.tick, plan: decodeLedgerPlan(found.plan), counts: found.counts });
  const out = options.out ?? options.model, isNew = learned !== model;
  if (isNew || options.out !== undefined) writeModel(out, learned);
  const before = cellRates(model), after = cellRates(learned), { stimuli, steps } = model.response;
  const updated = learned.outcomes.flatMap((cell, at) => {
    const exposures = cell.exposures - model.outcomes[at].exposures, place = Math.floor(at / steps.length);
    if (exposures === 0) return [];
    return [{
      persona: model.mixture.personas[Math.floor(place / stimuli.length)].id as string, stimulus: stimuli[place % stimuli.length].id as string, step: steps[at % steps.length].name,
      exposures, responses: cell.responses - model.outcomes[at].responses, before: before[at], after: after[at],
    }];
  });
  const names = personaNames(learned), shown = shortened(updated, 48, "cells");
  return {
    json: { updated, rows: found.counted, refused: found.refused, deadLetters: found.deadLetters, ledger: { run, from, tick: found.tick, root: found.root }, version: learned.version, out },
    lines: [
      ...cellTable(shown.rows, names), ...shown.rest, "",
      `${count(found.counted)} outcomes of ledger ${run.slice(0, 12)} taken, ticks ${from} to ${found.tick}; ${count(found.refused)} were refused`,
      ...found.deadLetters.slice(-3).map((letter) => paint("yellow", `refused: ${plain(letter)}`)),
      isNew ? `model version ${learned.version} written to ${paint("bold", out)}; announce it with \`populace release --model ${out}\`` : `model version ${model.version} stays as it was`,
    ],
  };
}

interface UpdatedCell {
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  readonly exposures: number;
  readonly responses: number;
  readonly before: RateEstimate;
  readonly after: RateEstimate;
}

const cellTable = (rows: readonly UpdatedCell[], names: ReadonlyMap<string, string>): readonly string[] => table(
  [{ title: "persona" }, { title: "stimulus" }, { title: "step" }, { title: "observed", align: "right" }, { title: "before", align: "right" }, { title: "after", align: "right" }, { title: "evidence" }],
  rows.map((row) => [plain(names.get(row.persona) ?? row.persona), plain(row.stimulus), plain(row.step), `${count(row.responses)} of ${count(row.exposures)}`, rateText(row.before), rateText(row.after), evidence(row.after.label)]),
);

const a0Text = (rate: { readonly a0: number; readonly low: number; readonly high: number }): string => `${rate.a0.toFixed(2)} [${rate.low.toFixed(2)}, ${rate.high.toFixed(2)}]`;

/** A class begins with its persona's id. */
const named = (level: string, names: ReadonlyMap<string, string>): string => {
  const [persona, ...rest] = level.split(", ");
  return [names.get(persona) ?? persona, ...rest].join(", ");
};
