import { readFileSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import { PopulaceError } from "@populace/domain";
import { list, positive } from "../arguments.ts";
import { withJobOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { count, paint, plain, table } from "../output.ts";

interface EvaluatePolicyOptions extends ClusterCommandOptions {
  readonly log: string;
  readonly policy: string;
  readonly schema?: string;
  readonly model?: string;
  readonly action?: string;
  readonly reward?: string;
  readonly value?: string;
  readonly propensity?: string;
  readonly context?: readonly string[];
  readonly essFloor?: number;
  readonly level?: number;
  readonly allowSeen?: boolean;
}

const levelOf = (text: string): number => {
  const level = positive(text);
  if (level < 0.5 || level >= 1) throw new InvalidArgumentError("Expected a coverage such as 0.95, from 0.5 to below 1.");
  return level;
};

export const evaluatePolicyCommand: CommandDefinition<EvaluatePolicyOptions> = {
  name: "evaluate-policy",
  summary: "value a policy from decisions that another one made",
  examples: [
    "populace evaluate-policy --schema cli/examples/open-bandit.yaml --log random_men.csv.gz --policy thompson.csv",
    "populace evaluate-policy --log log.csv --action offer --reward click --propensity p --context region,age:continuous --policy best-fixed:b",
    "populace evaluate-policy --schema shop.yaml --log log.csv --policy uniform --cluster 127.0.0.1:7600",
    "populace evaluate-policy --schema shop.yaml --log log.csv --policy best.json --model model.json    # best.json: optimize --json",
  ],
  configure: (command) => withJobOptions(command)
    .requiredOption("--log <file>", "decisions with reward and propensity, CSV, CSV.gz or Parquet")
    .requiredOption("--policy <policy>", "uniform, best-fixed:ARM, a table of probabilities (by row or by attributes), a model, or the JSON of optimize")
    .option("--schema <file>", "what the columns of the log mean; or name them:")
    .option("--action <column>", "the arm that was taken")
    .option("--reward <name>", "the column of the reward, 0 or 1; with --schema the funnel step, value, or leave (default: the last step)")
    .option("--value <column>", "a reward in amounts, in place of --reward")
    .option("--propensity <column>", "probability with which the arm was taken")
    .option("--context <columns>", "what was known before: names, or name:kind (categorical, binary, continuous, count)", list)
    .option("--model <file>", "the model whose personas the JSON of optimize speaks of")
    .option("--ess-floor <rows>", "effective rows below which no number is given (default: 100)", positive)
    .option("--level <share>", "coverage of the intervals (default: 0.95)", levelOf)
    .option("--allow-seen", "accept a model fitted on this log: its policy then flatters itself"),
  async run(context, options) {
    const { isPolicyFile, logSchemaText, parseSchema, policyAnswerOf, policyCall, readSchema } = await import("@populace/studies");
    const { action, propensity, schema: path, reward, value } = options;
    if (path === undefined && (action === undefined || propensity === undefined)) throw new PopulaceError("BAD_USAGE", "give a --schema, or name the columns: --action, --propensity and --reward or --value");
    if (path !== undefined && (action ?? propensity ?? value ?? options.context) !== undefined) throw new PopulaceError("BAD_USAGE", "--action, --propensity, --value and --context stand in for a schema; leave them out, or leave --schema out");
    const { callOn } = await import("../job-client.ts");
    if (path !== undefined) readSchema(path);
    const written = path !== undefined
      ? { path, text: readFileSync(path, "utf8") }
      : { path: "flags", text: logSchemaText({ action: action!, propensity: propensity!, context: options.context ?? [], ...(reward === undefined ? {} : { reward }), ...(value === undefined ? {} : { value }) }) };
    const schema = parseSchema(written.text, written.path);
    const answer = policyAnswerOf(await callOn(context, options, policyCall({
      schema: written, log: options.log, isFile: isPolicyFile(options.policy), ...(schema.consent === null ? {} : { atMs: Date.now() }),
      question: {
        policy: options.policy, ...(options.model === undefined ? {} : { model: options.model }), ...(path === undefined || reward === undefined ? {} : { reward }),
        ...(options.essFloor === undefined ? {} : { essFloor: options.essFloor }), ...(options.level === undefined ? {} : { level: options.level }),
        ...(context.seed === null ? {} : { seed: context.seed }), allowSeen: options.allowSeen === true,
      },
    })));
    const isRefused = answer.estimators.length === 0;
    const digits = (number: number): string => (Math.abs(number) >= 100 ? number.toFixed(1) : number.toPrecision(4));
    return {
      json: { ...answer },
      lines: [
        ...(isRefused ? [] : table(
          [{ title: "estimator" }, { title: `value per decision (${answer.reward})`, align: "right" }, { title: "se", align: "right" }, { title: `${Math.round(1000 * answer.level) / 10} % interval`, align: "right" }, { title: "cut at", align: "right" }],
          answer.estimators.map((each) => [each.name, digits(each.value), digits(each.se), `${digits(each.low)} to ${digits(each.high)}`, each.cutoff === null ? "" : digits(each.cutoff)]),
        )),
        ...(isRefused ? [] : [""]),
        `${count(answer.rows)} decisions, ${count(answer.arms)} arms; effective sample size ${count(answer.ess)}, largest weight ${digits(answer.maxWeight)}, mean weight ${answer.meanWeight.toFixed(3)}`,
        `the policy behind the log: ${digits(answer.logged.value)} ± ${digits(answer.logged.se)}${answer.lift === null ? "" : `; this policy by SNDR: ${answer.lift.value >= 0 ? "+" : ""}${digits(answer.lift.value)} [${digits(answer.lift.low)}, ${digits(answer.lift.high)}]`}`,
        ...answer.notes.map((note) => paint("yellow", `note: ${plain(note)}`)),
        paint(isRefused ? "yellow" : "bold", plain(answer.verdict)),
      ],
    };
  },
};
