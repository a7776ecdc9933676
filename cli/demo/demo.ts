import { availableParallelism } from "node:os";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { PopulaceError, prioritizer } from "@populace/domain";
import type { Campaign, Decision, ScoreTable } from "@populace/domain";
import { startGateway } from "@populace/gateway";
import { makeFolder, writeFileAtomic } from "@populace/io";
import { NOTHING_SEEN, ingest, shocksFrom } from "@populace/signals";
import {
  cellRates, compilePlan, encodeDataset, fitWithNotes, learn, optimize, readDataset, readSchema, readStudy, releaseRefusal, scoreTableOf, summarizeRun, tickRows, writeModel,
} from "@populace/studies";
import { writeRun } from "@populace/studies/results";
import type { Model, OptimizeResult, RateRow, RunOutcome, Schema, Study } from "@populace/studies";
import { readCampaigns } from "../campaign-file.ts";
import type { CommandContext } from "../command.ts";
import { embeddedRunner } from "../embedded.ts";
import type { EmbeddedRunner } from "../embedded.ts";
import {
  LOG_WEEKS, REHEARSAL_START_MS, RETAILER_FEED, consumerConfidenceCsv, retailerLog, retailerLogCsv, retailerPeople, retailerRecipientsCsv, retailerStudents,
} from "../examples/retailer.ts";
import { commitRelease, committedModel, committedRelease } from "../release.ts";
import { amount, compact, count, duration, paint, percent } from "../output.ts";
import { provenanceOf, reportRates, shockOf, warningsOf } from "../report/from-run.ts";
import { learnedOf } from "../report/learned.ts";
import { surfaceOf } from "../report/from-surface.ts";
import { modelParts } from "../report/model-parts.ts";
import type { ReportPosterior, ReportShock } from "../report/report.ts";
import { writeReport } from "../report/write.ts";
import { howToCall, shellWord } from "../how-to-call.ts";
import { VERSION } from "../version.ts";
import { promoteNewcomers } from "./new-persona.ts";
import { attributesOf, heldAgainstTruth } from "./truth.ts";
import type { TruthVerdict } from "./truth.ts";

export interface DemoOptions {
  readonly outDir: string;
  readonly seed: number;
  readonly recipients: number;
  readonly agents: number;
  readonly workers?: number;
}

export interface DemoResult {
  readonly runId: string;
  readonly rootHash: string;
  readonly outDir: string;
  readonly report: string;
  readonly gateway: { readonly url: string; readonly status: number; readonly decisions: readonly Decision[] };
  /** The record on which the gateway's release passed; one that failed was released by force. */
  readonly calibration: Model["calibration"];
  readonly truth: { readonly coverage90: number; readonly coverage90Misspecified: number; readonly rateMae: number; readonly rateMaeMisspecified: number; readonly cells: number };
  readonly shock: { readonly stimulus: string; readonly step: string; readonly before: number; readonly during: number; readonly after: number; readonly without: number };
  readonly changedAnswer: { readonly recipient: string; readonly before: string; readonly after: string };
  readonly seconds: number;
  readonly next: readonly string[];
}

const EXAMPLES = fileURLToPath(new URL("../examples/", import.meta.url));
/** Ticks of the rehearsal of a shock: two weeks before it, and time to fade. */
const SHOCK_TICKS = 36;
/** A rate is said to be "after" the shock this many ticks later. */
const AFTER_TICKS = 21;

/** Prints a line with a check mark and the time it took, once the work is done. */
function steps(say: (line: string) => void, signal: AbortSignal): <T>(what: string, work: () => T | Promise<T>, found?: (result: T) => string) => Promise<T> {
  return async (what, work, found) => {
    signal.throwIfAborted();
    const startedMs = performance.now();
    const result = await work();
    say(`${paint("green", "✓")} ${what}${found === undefined ? "" : `: ${found(result)}`} ${paint("dim", `(${duration((performance.now() - startedMs) / 1000)})`)}`);
    return result;
  };
}

interface Rehearsal {
  readonly study: Study;
  readonly outcome: RunOutcome;
  readonly rows: readonly RateRow[];
  readonly plan: ReturnType<typeof compilePlan>;
}

/**
 * Once round the loop on generated data whose truth is known: data, personas, simulation, better stimuli, real outcomes,
 * posteriors, signals, decisions. Deterministic in the seed but for the times it prints.
 */
export async function runDemo(context: CommandContext, options: DemoOptions): Promise<DemoResult> {
  const { outDir, seed } = options;
  const startedMs = performance.now();
  const { signal, say } = context;
  const step = steps(say, signal);
  const file = (name: string): string => join(outDir, name);
  const workers = options.workers ?? Math.min(4, availableParallelism());
  const runner = embeddedRunner({ storeDir: file("store"), workers });
  const generator = { seed, misspecified: true };
  const rehearse = async (model: Model, study: Study, title?: string): Promise<Rehearsal> => {
    const plan = compilePlan(model, study);
    const bar = title === undefined ? null : context.progress(title, "exposures");
    const outcome = await runner(plan, { workers }, { signal, ...(bar === null ? {} : { onProgress: (progress) => bar.update(progress.exposures, progress.exposuresTotal) }) }).finally(() => bar?.stop());
    return { study, plan, outcome, rows: summarizeRun(model, study, plan, outcome) };
  };
  try {
    await step(`generated a retailer with ${count(options.recipients)} recipients, an unobserved trait, a threshold and drift`, () => generate(options));
    const schema = readSchema(file("schema.yaml"));
    const fitted = await step("fitted personas and response model", () => fitLog(schema, file("log.csv"), seed), ({ model }) =>
      `${model.mixture.personas.length} personas (${model.mixture.personas.map((persona) => `${persona.id} ${persona.name} ${(100 * persona.share).toFixed(0)} %`).join("; ")}), ${count(model.fit.noConsent)} rows without consent left out`);
    const model = fitted.model;
    writeModel(file("model.json"), model);

    const study = { ...readStudy(file("study.yaml"), model), seed };
    const main = await step(`rehearsed four courses of events on ${count(study.agents)} agents over ${study.ticks} ticks`, () => rehearse(model, study, "simulating"), ({ outcome }) =>
      `${count(outcome.exposures)} exposures, ${compact(outcome.exposures / Math.max(1e-9, outcome.seconds))}/s${outcome.cached ? ", read back from the store" : ""}`);

    const verdicts = await step("held one contact's rates against the truth, and the same without misspecification", () => judge(schema, model, options, rehearse), ({ wrong, right }) =>
      `${share(right.coverage90)} of the true rates inside their 90 % intervals when the model can be right, ${share(wrong.coverage90)} when the world is not as modeled`);

    const best = await step("searched the best stimulus for each persona", () => search(model, study, runner, context), (result) =>
      result.best.map((row) => `${row.persona} ${row.stimulus}`).join(", "));

    const learned = await step("took in the outcomes of an A/B test", () => learnOutcomes(model, file("outcomes.csv")), ({ rows, posteriors }) =>
      `${count(rows)} outcomes; ${posteriors[0].cell}: ${percent(posteriors[0].before.mean)} became ${percent(posteriors[0].after.mean)} (observed ${percent(posteriors[0].observed ?? Number.NaN)})`);
    writeModel(file("model-2.json"), learned.model);

    const signals = await step("turned an economic series and a news feed into signals", () => readSignals(outDir, signal), ({ records, doubled, shocks }) =>
      `${records} records, ${doubled} seen twice, ${shocks.length} ${shocks.length === 1 ? "shock" : "shocks"} (${shocks.map((shock) => `${shock.attitude} ${shock.size.toFixed(2)} from tick ${shock.startTick}`).join(", ")})`);
    const shock = await step("rehearsed the shock, and the same days without it", () => rehearseShock(learned.model, seed, signals.shocks, rehearse), ({ numbers }) =>
      `${numbers.step} with ${numbers.stimulus}: ${percent(numbers.before)} before, ${percent(numbers.during)} during, ${percent(numbers.after)} after, ${percent(numbers.without)} without it`);

    const campaigns = readCampaigns(file("campaigns.yaml"));
    const { table: tableBefore } = await step("ranked the campaigns for a batch of recipients", () => rank(learned.model, schema, file("recipients.csv"), campaigns), ({ decisions, noConsent }) =>
      `${count(decisions.length)} decisions, ${noConsent} recipients without consent left out`);

    const student = retailerStudents(generator, "student", 1)[0];
    const request = { recipient: { id: student.recipient, attributes: attributesOf(student) }, topN: 2 };
    const promoted = await step("watched live recipients", () => promoteNewcomers(learned.model, schema, file("live.csv"), seed), (found) => found.sentence);
    writeModel(file("model-3.json"), promoted.model);
    const answers = await step("the new persona changes a later answer", () => {
      const decide = (table: ScoreTable): Decision => prioritizer(table, campaigns, { topN: 2 }).decide({ id: student.recipient, attributes: attributesOf(student) });
      const tableAfter = scoreTableOf(promoted.model);
      return { before: decide(tableBefore), after: decide(tableAfter) };
    }, ({ before, after }) => `${student.recipient}: ${said(before)} → ${said(after)}`);

    const gateway = await step("asked the gateway over HTTP", () => askGateway(runner, promoted.model, campaigns, request, say), ({ status, decisions }) =>
      `POST /v1/prioritize answered ${status}: ${said(decisions[0])}`);

    const report = await step("wrote the report, Parquet tables and the manifest", async () => {
      const manifest = writeRun(outDir, { model, study: main.study, plan: main.plan, outcome: main.outcome, rows: main.rows }, VERSION);
      const names = new Map(model.mixture.personas.map((persona) => [persona.id as string, persona.name]));
      const { wrong, right } = verdicts;
      return writeReport(outDir, {
        title: "A retailer, once round the loop",
        subtitle: `${count(options.recipients)} generated recipients, ${model.mixture.personas.length} personas, ${count(study.agents)} agents: rehearsed, corrected by outcomes, decided. The truth is known, so the errors can be shown.`,
        warnings: warningsOf(model),
        tiles: [
          { label: "true rates inside 90 % intervals", value: share(right.coverage90), note: "when the world is of the model's family" },
          { label: "the same, misspecified world", value: share(wrong.coverage90), note: "threshold, hidden trait and drift" },
          { label: "mean error of a rate", value: `${(100 * wrong.rateMae).toFixed(2)} points`, note: `${(100 * right.rateMae).toFixed(2)} without misspecification` },
          { label: "simulated exposures", value: count(main.outcome.exposures), note: `in ${duration(main.outcome.seconds)} on ${workers} workers` },
          { label: "root hash", value: main.outcome.rootHash.slice(0, 12), note: "the same on any machine" },
        ],
        ...modelParts(model, "discount-20"), steps: [...new Set(main.rows.map((row) => row.step))], rates: reportRates(model, main.rows),
        calibration: {
          against: "generated truth", coverage90: wrong.coverage90,
          cells: wrong.cells.map((cell) => ({ group: names.get(cell.persona) ?? cell.persona, stimulus: cell.stimulus, step: cell.step, observed: cell.truth, predicted: cell.predicted, low: cell.low, high: cell.high })),
        },
        learned: learnedOf(learned.model), posteriors: learned.posteriors, regret: regretOf(best, schema), surface: await surfaceOf(model), shock: shock.figure,
        provenance: provenanceOf(manifest), roots: manifest.roots,
      });
    });
    const prefix = howToCall();
    const named = (name: string): string => shellWord(file(name));
    const next = [
      `${prefix} simulate --model ${named("model-3.json")} --study ${named("study.yaml")} --agents 1e6 --store ${named("store")}`,
      `${prefix} prioritize --model ${named("model-3.json")} --recipients ${named("recipients.csv")} --campaigns ${named("campaigns.yaml")} --top 2`,
      `${prefix} up --model ${named("model-3.json")} --campaigns ${named("campaigns.yaml")} --store ${named("store")} --port 0${releaseRefusal(promoted.model) === null ? "" : " --force"}`,
    ];
    return {
      runId: main.outcome.runId, rootHash: main.outcome.rootHash, outDir, report, gateway, calibration: promoted.model.calibration,
      truth: {
        coverage90: verdicts.right.coverage90, coverage90Misspecified: verdicts.wrong.coverage90, rateMae: verdicts.right.rateMae,
        rateMaeMisspecified: verdicts.wrong.rateMae, cells: verdicts.wrong.cells.length,
      },
      shock: shock.numbers,
      changedAnswer: { recipient: student.recipient, before: said(answers.before), after: said(answers.after) },
      seconds: (performance.now() - startedMs) / 1000, next,
    };
  } finally {
    await runner.close();
  }
}

const share = (value: number): string => `${(100 * value).toFixed(0)} %`;
const said = (decision: Decision): string => {
  const first = decision.ranked[0];
  return `${decision.persona}${decision.fitsNone ? " (fits none)" : ""}, ${first === undefined ? "nothing" : `${first.campaign} by ${first.stimulus} worth ${amount(first.score)} at ${percent(first.rate)}`}`;
};

/** Files of a demo; a folder that holds something else is left alone. */
const FILES = ["log.csv", "outcomes.csv", "recipients.csv", "live.csv", "confidence.csv", "feed.xml", "schema.yaml", "study.yaml", "campaigns.yaml", "manifest.json"];

function generate(options: DemoOptions): void {
  const { outDir, seed, recipients } = options;
  makeFolder(outDir);
  const generator = { seed, misspecified: true };
  const write = (name: string, text: string): void => writeFileAtomic(join(outDir, name), text);
  for (const name of FILES.slice(-1)) rmSync(join(outDir, name), { force: true });
  write("log.csv", retailerLogCsv(retailerLog(retailerPeople(generator, "log", recipients), "log", 0, LOG_WEEKS - 1, generator)));
  write("outcomes.csv", retailerLogCsv(retailerLog(retailerPeople(generator, "test", Math.ceil(recipients / 3)), "test", LOG_WEEKS, LOG_WEEKS + 3, generator)));
  write("recipients.csv", retailerRecipientsCsv(retailerPeople(generator, "next", 1000)));
  write("live.csv", retailerRecipientsCsv([...retailerPeople(generator, "live", 1600), ...retailerStudents(generator, "fresh", 240)]));
  write("confidence.csv", consumerConfidenceCsv());
  write("feed.xml", RETAILER_FEED);
  write("schema.yaml", readFileSync(join(EXAMPLES, "retailer-schema.yaml"), "utf8"));
  write("study.yaml", readFileSync(join(EXAMPLES, "retailer-study.yaml"), "utf8").replace(/^agents: .*$/m, `agents: ${options.agents}`));
  write("campaigns.yaml", readFileSync(join(EXAMPLES, "retailer-campaigns.yaml"), "utf8"));
}

async function fitLog(schema: Schema, path: string, seed: number, personas: number | "auto" = "auto"): Promise<{ readonly model: Model }> {
  return fitWithNotes(schema, await readDataset(schema, path), { seed, personas });
}

/** One contact, one tick, no pressure: the rates that the truth is about. The truth is that of the week after the log. */
async function judge(
  schema: Schema, model: Model, options: DemoOptions, rehearse: (model: Model, study: Study) => Promise<Rehearsal>,
): Promise<{ readonly wrong: TruthVerdict; readonly right: TruthVerdict }> {
  const { seed, recipients, outDir } = options;
  const oneContact = (of: Model): Study => readStudy({ name: "one contact", ticks: 1, agents: 100_000, seed }, of);
  const wrong = heldAgainstTruth(model.mixture, (await rehearse(model, oneContact(model))).rows, LOG_WEEKS, { seed, misspecified: true });
  const generator = { seed, misspecified: false };
  const path = join(outDir, "log-well-specified.csv");
  writeFileAtomic(path, retailerLogCsv(retailerLog(retailerPeople(generator, "log", recipients), "log", 0, LOG_WEEKS - 1, generator)));
  const { model: rightModel } = await fitLog(schema, path, seed, model.mixture.personas.length);
  const right = heldAgainstTruth(rightModel.mixture, (await rehearse(rightModel, oneContact(rightModel))).rows, LOG_WEEKS, generator);
  return { wrong, right };
}

async function search(model: Model, study: Study, runner: EmbeddedRunner, context: CommandContext): Promise<OptimizeResult> {
  const bar = context.progress("optimizing", "rounds");
  return optimize(model, study, runner, { signal: context.signal, onProgress: ({ round, rounds }) => bar.update(round, rounds) }).finally(() => bar.stop());
}

async function learnOutcomes(model: Model, path: string): Promise<{ readonly model: Model; readonly rows: number; readonly posteriors: readonly ReportPosterior[] }> {
  const result = learn(model, await readDataset(model.schema, path));
  const [before, after] = [cellRates(model), cellRates(result.model)];
  const { stimuli, steps: names } = model.response;
  const posteriors = result.updated.flatMap((row): ReportPosterior[] => {
    const persona = model.mixture.personas.findIndex((each) => each.id === row.persona);
    const stimulus = stimuli.findIndex((each) => each.id === row.stimulus);
    const at = (persona * stimuli.length + stimulus) * names.length + names.findIndex((each) => each.name === row.step);
    return [{
      cell: `${model.mixture.personas[persona].name}, ${stimuli[stimulus].name}, ${row.step}`,
      before: { mean: before[at].mean, ess: before[at].ess, label: before[at].label }, after: { mean: after[at].mean, ess: after[at].ess, label: after[at].label },
      observed: row.exposures === 0 ? null : row.responses / row.exposures,
    }];
  });
  // The cells that the outcomes moved furthest, in units of what was believed before.
  const moved = (each: ReportPosterior): number => Math.abs(each.after.mean - each.before.mean) / Math.sqrt((each.before.mean * (1 - each.before.mean)) / (each.before.ess + 1));
  return { model: result.model, rows: result.rows, posteriors: posteriors.toSorted((a, b) => moved(b) - moved(a)).slice(0, 4) };
}

async function readSignals(outDir: string, signal: AbortSignal): Promise<{ readonly records: number; readonly doubled: number; readonly shocks: ReturnType<typeof shocksFrom> }> {
  const options = { purpose: "marketing", atMs: Date.now(), consentOf: () => [], signal };
  const series = await ingest(join(outDir, "confidence.csv"), "series", { ...options, seen: NOTHING_SEEN });
  const feed = await ingest(join(outDir, "feed.xml"), "rss", { ...options, seen: series.seen });
  const records = [...series.records, ...feed.records];
  const shocks = shocksFrom(records, { originMs: REHEARSAL_START_MS, tickMs: 86_400_000, series: [{ series: "consumer_confidence", attitude: "brand-warmth", direction: 1 }] });
  if (shocks.length === 0) throw new PopulaceError("INTERNAL", "the demo's signals caused no shock; its series and its feed are made to");
  return { records: records.length, doubled: series.doubled + feed.doubled, shocks };
}

async function rehearseShock(
  model: Model, seed: number, shocks: ReturnType<typeof shocksFrom>, rehearse: (model: Model, study: Study) => Promise<Rehearsal>,
): Promise<{ readonly figure: ReportShock; readonly numbers: DemoResult["shock"] }> {
  const [stimulus, step] = ["newsletter", model.response.steps[0].name];
  const study = (with_: boolean): Study => readStudy({ name: "shock", seed, agents: 40_000, ticks: SHOCK_TICKS, everyTicks: 1, stimuli: [stimulus], shocks: with_ ? shocks : [] }, model);
  const [with_, without] = [await rehearse(model, study(true)), await rehearse(model, study(false))];
  const first = shocks.toSorted((a, b) => Math.abs(b.size) - Math.abs(a.size))[0];
  const figure = shockOf(
    { what: `${shocks.length === 1 ? "The shock" : `The strongest of ${shocks.length} shocks`} (${first.attitude} ${first.size.toFixed(2)}, ${first.source})`, startTick: first.startTick, halfLifeTicks: first.halfLifeTicks, stimulusName: model.response.stimuli.find((each) => each.id === stimulus)?.name ?? stimulus },
    stimulus, step, tickRows(with_.plan, with_.outcome), tickRows(without.plan, without.outcome),
  );
  const at = (tick: number, course: string): number => figure.series.find((point) => point.tick === tick && point.course === course)?.rate ?? Number.NaN;
  const start = Math.min(...shocks.map((shock) => shock.startTick));
  const after = Math.min(SHOCK_TICKS - 1, first.startTick + AFTER_TICKS);
  return {
    figure,
    numbers: { stimulus, step, before: at(start - 1, "with the shock"), during: at(first.startTick, "with the shock"), after: at(after, "with the shock"), without: at(first.startTick, "without it") },
  };
}

async function rank(model: Model, schema: Schema, path: string, campaigns: readonly Campaign[]): Promise<{ readonly decisions: readonly Decision[]; readonly noConsent: number; readonly table: ScoreTable }> {
  const dataset = await readDataset(schema, path, { recipientsOnly: true });
  const { codes } = encodeDataset(dataset, model.mixture.codings);
  const width = model.mixture.codings.length;
  const table = scoreTableOf(model);
  const deciding = prioritizer(table, campaigns, { topN: 2 });
  return { table, decisions: dataset.recipients.map((recipient, row) => deciding.decideCodes(recipient, codes, undefined, row * width)), noConsent: dataset.noConsent };
}

async function askGateway(runner: EmbeddedRunner, model: Model, campaigns: readonly Campaign[], request: object, say: (line: string) => void): Promise<DemoResult["gateway"]> {
  const ports = await runner.ports();
  // Whatever the seed, the loop is gone round; a release by force is said aloud.
  await commitRelease(ports, model, true, say);
  const gateway = await startGateway({ loadTable: () => committedRelease(ports), loadModel: (release) => committedModel(ports, release), store: ports.store, campaigns, port: 0 });
  try {
    const response = await fetch(`${gateway.url}/v1/prioritize`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request) });
    const body = (await response.json()) as { readonly decisions?: readonly Decision[]; readonly error?: { readonly message: string } };
    if (body.decisions === undefined) throw new PopulaceError("UNAVAILABLE", `the gateway answered ${response.status}: ${body.error?.message ?? "nothing readable"}`);
    return { url: gateway.url, status: response.status, decisions: body.decisions };
  } finally {
    await gateway.close();
  }
}

function regretOf(result: OptimizeResult, schema: Schema): readonly { readonly policy: string; readonly unit: string; readonly points: readonly { readonly pulls: number; readonly regret: number }[] }[] {
  const minor = schema.value?.minorUnits ?? 100;
  const unit = schema.value?.currency ?? "value";
  const policy = (name: string, of: (point: OptimizeResult["regret"][number]) => number) => ({ policy: name, unit, points: [{ pulls: 0, regret: 0 }, ...result.regret.map((point) => ({ pulls: point.exposures, regret: of(point) / minor }))] });
  return [policy("top-two Thompson", (point) => point.policy), policy("best single one in hindsight", (point) => point.bestFixed), policy("random", (point) => point.random)];
}

