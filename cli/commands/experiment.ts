import { extname } from "node:path";
import { InvalidArgumentError } from "commander";
import { PopulaceError, analyzeExperiment, fixedSampleSize, sequentialSampleSize } from "@populace/domain";
import type { ArmSummary, ExpectedEffect, ExperimentOptions, ExperimentResult, Look } from "@populace/domain";
import { list, positive, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { count, paint, percent, plain, table } from "../output.ts";

/** Parser of a rate or probability strictly between 0 and 1. */
const share = (text: string): number => {
  const value = positive(text);
  if (value >= 1) throw new InvalidArgumentError("Expected a share above 0 and below 1, such as 0.05.");
  return value;
};

/** The same with a sign; for lifts and differences. */
const signed = (text: string): number => {
  const value = text.startsWith("-") ? -positive(text.slice(1)) : positive(text);
  return value;
};

interface PlanOptions {
  readonly baseline?: number;
  readonly effect?: number;
  readonly lift?: number;
  readonly sd?: number;
  readonly difference?: number;
  readonly alpha: number;
  readonly power: number;
  readonly arms: number;
  readonly traffic?: number;
  readonly looks: number;
}

export const experimentPlanCommand: CommandDefinition<PlanOptions> = {
  name: "plan",
  summary: "how many recipients an experiment needs",
  examples: [
    "populace experiment plan --baseline 0.05 --effect 0.06 --traffic 1000",
    "populace experiment plan --baseline 0.02 --lift 0.1 --arms 3 --power 0.9 --looks 14",
    "populace experiment plan --sd 40 --difference 2",
  ],
  configure: (command) => command
    .option("--baseline <rate>", "response rate of the control", share)
    .option("--effect <rate>", "response rate of the treatment that is to be seen", share)
    .option("--lift <share>", "the same as a share of the baseline: 0.2 for a fifth more, -0.1 for a tenth less", signed)
    .option("--sd <amount>", "standard deviation of amounts, for means in place of rates", positive)
    .option("--difference <amount>", "difference in means that is to be seen", signed)
    .option("--alpha <share>", "two-sided chance of a false difference, over all treatments together", share, 0.05)
    .option("--power <share>", "chance of seeing a true one", share, 0.8)
    .option("--arms <number>", "arms with the control", whole(2, 100), 2)
    .option("--traffic <number>", "recipients a day, all arms together", positive)
    .option("--looks <number>", "times the running experiment is looked at", whole(1, 1000), 20),
  run(_context, options) {
    const effect = effectOf(options);
    const { alpha, arms, looks, power, traffic } = options;
    const perArm = fixedSampleSize(effect, { alpha, power, arms });
    const { perArm: sequentialPerArm, expectedPerArm, falsePositive } = sequentialSampleSize(effect, looks, { alpha, power, arms });
    const days = (each: number): number | null => (traffic === undefined ? null : Math.ceil((each * arms) / traffic));
    const daysText = (each: number): string => (traffic === undefined ? "" : `, ${count(days(each)!)} days`);
    return Promise.resolve({
      json: {
        perArm, total: perArm * arms, days: days(perArm), alpha, power, arms, effect,
        sequential: { looks, perArm: sequentialPerArm, total: sequentialPerArm * arms, days: days(sequentialPerArm), expectedPerArm, falsePositive },
      },
      lines: [
        `one look at the end:   ${count(perArm)} recipients an arm, ${count(perArm * arms)} in all${daysText(perArm)}`,
        `${count(looks)} looks, may be more: ${count(sequentialPerArm)} an arm at most, ${count(sequentialPerArm * arms)} in all${daysText(sequentialPerArm)}; ${count(expectedPerArm)} on average when the effect is there`,
        paint("dim", `alpha ${alpha} two-sided${arms > 2 ? `, divided over ${arms - 1} treatments` : ""}, power ${power}; judge it with: experiment analyze --planned ${sequentialPerArm}`),
      ],
    });
  },
};

function effectOf({ baseline, difference, effect, lift, sd }: PlanOptions): ExpectedEffect {
  if (sd !== undefined || difference !== undefined) {
    if (sd === undefined || difference === undefined || baseline !== undefined || effect !== undefined || lift !== undefined) throw new PopulaceError("BAD_USAGE", "means take --sd and --difference; rates take --baseline with --effect or --lift");
    return { kind: "means", difference, sd };
  }
  if (baseline === undefined || (effect === undefined) === (lift === undefined)) throw new PopulaceError("BAD_USAGE", "give --baseline with either --effect or --lift; or --sd with --difference");
  const treatment = effect ?? baseline * (1 + lift!);
  if (!(treatment > 0 && treatment < 1)) throw new PopulaceError("BAD_USAGE", `--lift ${lift}: the treatment's rate would be ${treatment.toPrecision(4)}; expected one between 0 and 1`, { treatment });
  if (treatment === baseline) throw new PopulaceError("BAD_USAGE", `--effect ${treatment}: the same as the baseline; no number of recipients shows a difference that is none`, { baseline });
  return { kind: "rates", control: baseline, treatment };
}

interface AnalyzeOptions {
  readonly data?: string;
  readonly schema?: string;
  readonly counts?: readonly NamedCounts[];
  readonly control?: string;
  readonly metric?: string;
  readonly looks?: number;
  readonly guardrail?: readonly string[];
  readonly guardrailCounts?: readonly { readonly name: string; readonly counts: NamedCounts }[];
  readonly margin: number;
  readonly shares?: readonly number[];
  readonly alpha: number;
  readonly planned?: number;
  readonly observational?: boolean;
  readonly out?: string;
}

type NamedCounts = readonly { readonly arm: string; readonly responses: number; readonly exposures: number }[];

const COUNTS = "Expected arms as name=responses/exposures separated by commas, such as a=120/5000,b=150/5020.";

/** Parser of one look's counts. */
function countsOf(text: string): NamedCounts {
  const arms = text.split(",").map((part) => {
    const found = /^\s*([^=]+?)\s*=\s*(\d+)\s*\/\s*(\d+)\s*$/.exec(part);
    if (found === null) throw new InvalidArgumentError(COUNTS);
    const [arm, responses, exposures] = [found[1], Number(found[2]), Number(found[3])];
    if (responses > exposures) throw new InvalidArgumentError(`Arm "${arm}" has ${responses} responses in ${exposures} exposures; expected no more than exposures.`);
    if (!Number.isSafeInteger(exposures)) throw new InvalidArgumentError("Expected counts below 2^53.");
    return { arm, responses, exposures };
  });
  if (arms.length < 2) throw new InvalidArgumentError(`${COUNTS} At least two arms.`);
  if (new Set(arms.map(({ arm }) => arm)).size < arms.length) throw new InvalidArgumentError("Every arm is named once a look.");
  return arms;
}

const more = <T>(read: (text: string) => T) => (text: string, before: readonly T[] = []): readonly T[] => [...before, read(text)];

export const experimentAnalyzeCommand: CommandDefinition<AnalyzeOptions> = {
  name: "analyze",
  summary: "the verdict of an A/B test that may be looked at every day",
  examples: [
    "populace experiment analyze --counts a=120/5000,b=150/5020",
    "populace experiment analyze --counts a=25/500,b=31/500 --counts a=52/1000,b=66/1000 --planned 15000    # two looks, cumulative",
    "populace experiment analyze --schema cli/examples/hillstrom.yaml --data hillstrom.csv.gz --metric visit --looks 20 --out experiment.html",
    "populace experiment analyze --schema shop.yaml --data shop.csv --metric value --guardrail unsubscribed --margin 0.001",
  ],
  configure: (command) => command
    .option("--counts <arms>", "arms as name=responses/exposures, the control first; again for each later look, cumulative", more(countsOf))
    .option("--data <file>", "one row a recipient, CSV, CSV.gz or Parquet, in place of --counts")
    .option("--schema <file>", "what the columns of the data mean")
    .option("--control <arm>", "whom the others are held against (default: no contact, else the first)")
    .option("--metric <name>", "funnel step, or value (default: the last step)")
    .option("--looks <number>", "looks at the data at equal numbers of rows, in the order of time", whole(1, 1000))
    .option("--guardrail <columns>", "columns of 0 and 1 that no treatment may raise", list)
    .option("--guardrail-counts <arms>", "the same as counts, such as unsubscribe:a=3/5000,b=9/5020; again for each later look", more(guardrailOf))
    .option("--margin <share>", "rise of a guardrail that is put up with", share, 0)
    .option("--shares <numbers>", "shares of recipients meant for the arms, in their order (default: equal)", (text: string) => list(text).map(positive))
    .option("--alpha <share>", "chance of a false difference at any look, over all treatments together", share, 0.05)
    .option("--planned <number>", "recipients an arm that were planned, fixed before the data (default: 10,000)", whole(1))
    .option("--observational", "nobody decided at random who met what: a difference is then no evidence of an effect")
    .option("--out <file>", "page with the sequence over the looks; .svg writes the drawing alone"),
  async run(context, options) {
    const { looks, options: told, metric, notes } = options.counts === undefined ? await fromData(options, context.progress) : fromCounts(options);
    if (options.shares !== undefined && options.shares.length !== told.arms.length) throw new PopulaceError("BAD_USAGE", `--shares: ${options.shares.length} numbers for ${told.arms.length} arms (${told.arms.join(", ")})`, { arms: told.arms });
    const result = analyzeExperiment(looks, {
      ...told, alpha: options.alpha, ...(options.planned === undefined ? {} : { planned: options.planned }), ...(options.shares === undefined ? {} : { shares: options.shares }),
      ...(options.observational === true ? { kind: "observational" } : {}),
    });
    const control = told.arms[told.control ?? 0];
    const isAmount = looks[0][0].kind === "amounts" && metric === "value";
    const text = wording(isAmount);
    const rows = result.comparisons.map((each) => [
      plain(each.arm), text(each.effect), `${text(each.low)} to ${text(each.high)}`, each.relative === null ? "" : `${(100 * each.relative).toFixed(1)} %`, `${text(each.fixed.low)} to ${text(each.fixed.high)}`, text(each.expectedLoss.choosingArm), text(each.expectedLoss.choosingControl), each.shownAt === null ? "" : `look ${each.shownAt}`,
    ]);
    const columns = [`against ${plain(control)}`, "effect", `${Math.round(1000 * (1 - options.alpha)) / 10} % over all looks`, "relative", "one look only", "cost of choosing it", "cost of the control", "shown at"];
    if (options.out !== undefined) await writePage(options.out, result, { control, metric, columns, rows, looks: looks.length, recipients: looks[looks.length - 1], arms: told.arms });
    return {
      json: { ...result, metric, control, looks: looks.length, notes, ...(options.out === undefined ? {} : { out: options.out }) },
      lines: [
        ...(rows.length === 0 ? [] : [...table(columns.map((title, at) => (at === 0 || at === 7 ? { title } : { title, align: "right" as const })), rows), ""]),
        `${plain(metric)} after ${looks.length === 1 ? "one look" : `${count(looks.length)} looks`}; arms: ${told.arms.map((arm, i) => `${plain(arm)} ${count(result.srm.counts[i])}`).join(", ")}; sample ratio p = ${result.srm.pValue.toPrecision(2)}`,
        ...result.guardrails.map((each) => `guardrail ${plain(each.name)}: ${plain(each.arm)} ${percentSigned(each.effect)} [${percentSigned(each.low)}, ${percentSigned(each.high)}]${each.isHarmed ? paint("red", " harmed") : ""}`),
        ...notes.map((note) => paint("yellow", `note: ${plain(note)}`)),
        ...(result.kind === "observational" ? [paint("yellow", "observational: who met what was not decided at random, so a difference may be one between people")] : []),
        ...(rows.length === 0 ? [] : [paint("dim", "the costs say what a wrong choice would lose; they are no evidence that one arm is better")]),
        paint(result.verdict.includes("blocked") ? "yellow" : "bold", plain(result.verdict)),
        ...(options.out === undefined ? [] : [`page in ${paint("bold", options.out)}`]),
      ],
    };
  },
};

/** A difference of rates in percentage points. */
const percentSigned = (value: number): string => `${value >= 0 ? "+" : "-"}${percent(Math.abs(value)).replace("%", "pp")}`;
const wording = (isAmount: boolean) => (value: number): string => (!Number.isFinite(value) ? "unknown" : isAmount ? Number(value.toPrecision(4)).toString() : percentSigned(value));

interface Analyzed { readonly looks: readonly Look[]; readonly options: ExperimentOptions; readonly metric: string; readonly notes: readonly string[] }

function fromCounts(options: AnalyzeOptions): Analyzed {
  const given = options.counts!;
  if (options.data !== undefined || options.schema !== undefined || options.looks !== undefined || options.guardrail !== undefined || options.metric !== undefined) throw new PopulaceError("BAD_USAGE", "--counts stands in for --data, --schema, --metric, --looks and --guardrail; for guardrails give --guardrail-counts");
  const arms = given[0].map(({ arm }) => arm);
  const control = options.control === undefined ? 0 : arms.indexOf(options.control);
  if (control < 0) throw new PopulaceError("NOT_FOUND", `no arm is named "${options.control}"; arms: ${arms.join(", ")}`, { arms });
  const rails = [...new Set((options.guardrailCounts ?? []).map(({ name }) => name))];
  return {
    looks: cumulative("--counts", arms, given), metric: "response rate", notes: [],
    options: { arms, control, guardrails: rails.map((name) => ({ name, margin: options.margin, looks: cumulative(`--guardrail-counts ${name}`, arms, options.guardrailCounts!.filter((each) => each.name === name).map(({ counts }) => counts)) })) },
  };
}

function guardrailOf(text: string): { readonly name: string; readonly counts: NamedCounts } {
  const colon = text.indexOf(":");
  if (colon < 1) throw new InvalidArgumentError("Expected a name before the arms, such as unsubscribe:a=3/5000,b=9/5020.");
  return { name: text.slice(0, colon), counts: countsOf(text.slice(colon + 1)) };
}

/** Looks with the arms in the order of the first; totals never fall from look to look. */
function cumulative(option: string, arms: readonly string[], looks: readonly NamedCounts[]): readonly Look[] {
  return looks.map((look, at) => arms.map((arm): ArmSummary => {
    const found = look.find((each) => each.arm === arm), before = at === 0 ? undefined : looks[at - 1].find((each) => each.arm === arm);
    if (found === undefined || look.length !== arms.length) throw new PopulaceError("BAD_USAGE", `${option}: look ${at + 1} has the arms ${look.map((each) => each.arm).join(", ")}; expected ${arms.join(", ")} at every look`, { look: at + 1, arms });
    if (before !== undefined && (found.exposures < before.exposures || found.responses < before.responses)) throw new PopulaceError("BAD_USAGE", `${option}: arm ${arm} falls from ${before.responses}/${before.exposures} to ${found.responses}/${found.exposures} at look ${at + 1}; expected totals since the start`, { look: at + 1, arm });
    return { kind: "counts", exposures: found.exposures, responses: found.responses };
  }));
}

async function fromData(options: AnalyzeOptions, progress: (title: string, unit: string) => { readonly update: (done: number, total: number) => void; readonly stop: () => void }): Promise<Analyzed> {
  if (options.data === undefined || options.schema === undefined) throw new PopulaceError("BAD_USAGE", "give --counts, or --data with its --schema");
  if (options.guardrailCounts !== undefined) throw new PopulaceError("BAD_USAGE", "--guardrail-counts goes with --counts; with --data name the columns with --guardrail");
  const { experimentData, readDataset, readSchema } = await import("@populace/studies");
  const reading = progress("reading", "B");
  const dataset = await readDataset(readSchema(options.schema), options.data, { keep: options.guardrail ?? [], nowMs: Date.now(), onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
  return experimentData(dataset, {
    ...(options.control === undefined ? {} : { control: options.control }), ...(options.metric === undefined ? {} : { metric: options.metric }), ...(options.looks === undefined ? {} : { looks: options.looks }),
    guardrails: (options.guardrail ?? []).map((column) => ({ column, margin: options.margin })),
  });
}

interface PageParts { readonly control: string; readonly metric: string; readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[]; readonly looks: number; readonly recipients: Look; readonly arms: readonly string[] }

async function writePage(out: string, result: ExperimentResult, { control, metric, columns, rows, looks, recipients, arms }: PageParts): Promise<void> {
  const { writeFileAtomic } = await import("@populace/io");
  const { experimentPage, standaloneSvg } = await import("../report/page.ts");
  const { sequenceFigure } = await import("../report/sequence-figure.ts");
  const figures = result.comparisons.length === 0 ? [] : [await sequenceFigure(result, { control, metric, unit: recipients[0].kind === "amounts" && metric === "value" ? "amount" : "share" })];
  if (extname(out) === ".svg") {
    if (figures.length === 0) throw new PopulaceError("DEGENERATE_DATA", `${result.verdict}; there is nothing to draw, write a page (.html) instead`, { verdict: result.verdict });
    writeFileAtomic(out, standaloneSvg(figures[0].svg));
    return;
  }
  writeFileAtomic(out, experimentPage({
    title: `Experiment: ${result.verdict}`, subtitle: `${metric}, ${arms.join(" against ")}`,
    warnings: [...(result.kind === "observational" ? ["Observational: who met what was not decided at random, so a difference may be one between people."] : []), ...(result.srm.isMismatch ? ["The arms do not hold the recipients that were meant for them: no number of this experiment can be believed."] : [])],
    tiles: [
      { label: "recipients", value: count(result.srm.counts.reduce((sum, each) => sum + each, 0)), note: arms.map((arm, i) => `${arm} ${count(result.srm.counts[i])}`).join(", ") },
      { label: "looks", value: count(looks), note: `alpha ${result.alpha}, two-sided` },
      { label: "sample ratio", value: result.srm.isMismatch ? "mismatch" : "as planned", note: `p = ${result.srm.pValue.toPrecision(2)}` },
    ],
    provenance: [["metric", metric], ["control", control], ["kind", result.kind]],
  }, figures, columns, rows));
}
