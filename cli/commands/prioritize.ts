import { PopulaceError, RandomStream, prioritizer } from "@populace/domain";
import type { Decision } from "@populace/domain";
import { oneOf, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { amount, count, duration, percent, plain, shortened, table } from "../output.ts";
import { personaNames } from "../names.ts";

interface PrioritizeOptions {
  readonly model: string;
  readonly recipients: string;
  readonly campaigns: string;
  readonly top: number;
  readonly mode: "plain" | "value" | "thompson";
  readonly rateMin?: number;
  readonly scoreMin?: number;
  readonly suppressFitsNone?: boolean;
  readonly out?: string;
}

const share = (text: string): number => {
  const value = Number(text);
  if (!/^\d*\.?\d+(e-?\d+)?$/i.test(text) || !(value >= 0 && value <= 1)) throw new PopulaceError("BAD_USAGE", `option '--rate-min <rate>' is ${text}; expected a rate from 0 to 1`);
  return value;
};

export const prioritizeCommand: CommandDefinition<PrioritizeOptions> = {
  name: "prioritize",
  summary: "rank campaigns for a batch of recipients",
  examples: ["populace prioritize --model model.json --recipients recipients.csv --campaigns campaigns.yaml --top 2"],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .requiredOption("--recipients <file>", "CSV, CSV.gz or Parquet with the schema's attribute columns")
    .requiredOption("--campaigns <file>", "YAML or JSON: campaigns: [{id, stimuli, economicValueMinor}]")
    .option("--top <number>", "campaigns kept for each recipient", whole(1, 10_000), 3)
    .option("--mode <plain|value|thompson>", "rate x value; minus costs; or a draw that explores", oneOf("plain", "value", "thompson"), "plain")
    .option("--rate-min <rate>", "suppress campaigns whose response rate is below, 0 to 1", share)
    .option("--score-min <minor units>", "suppress campaigns whose score is below", whole(0))
    .option("--suppress-fits-none", "send nothing to recipients no persona describes")
    .option("--out <file>", "also write the decisions as JSON lines"),
  async run(context, options) {
    const { encodeDataset, readDataset, readModel, scoreTableOf } = await import("@populace/studies");
    const { readCampaigns } = await import("../campaign-file.ts");
    const model = readModel(options.model);
    const campaigns = readCampaigns(options.campaigns);
    const startedMs = performance.now();
    const scores = scoreTableOf(model);
    const deciding = prioritizer(scores, campaigns, {
      mode: options.mode, topN: options.top, random: RandomStream.of(context.seed ?? 1, "prioritize"), suppressFitsNone: options.suppressFitsNone === true,
      ...(options.rateMin === undefined ? {} : { rateMin: options.rateMin }), ...(options.scoreMin === undefined ? {} : { scoreMinMinor: options.scoreMin }),
    });
    const reading = context.progress("reading", "B");
    const dataset = await readDataset(model.schema, options.recipients, { recipientsOnly: true, onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const { codes } = encodeDataset(dataset, model.mixture.codings);
    const width = model.mixture.codings.length;
    const decisions = dataset.recipients.map((recipient, row): Decision => deciding.decideCodes(recipient, codes, undefined, row * width));
    if (options.out !== undefined) {
      const { writeFileAtomic } = await import("@populace/io");
      writeFileAtomic(options.out, decisions.map((decision) => `${JSON.stringify(decision)}\n`).join(""));
    }
    const seconds = (performance.now() - startedMs) / 1000;
    const names = personaNames(model);
    const shown = shortened(decisions, 20, "recipients");
    const suppressed = new Map<string, number>();
    for (const decision of decisions) for (const row of decision.suppressed) suppressed.set(row.reason, (suppressed.get(row.reason) ?? 0) + 1);
    return {
      json: { decisions, mode: options.mode, release: scores.release, evidence: model.evidence, noConsent: dataset.noConsent, rejected: dataset.rejectedCount },
      lines: [
        ...table(
          [{ title: "recipient" }, { title: "persona" }, { title: "campaign" }, { title: "stimulus" }, { title: `score ${scores.currency}`, align: "right" }, { title: "90 % interval", align: "right" }, { title: "rate", align: "right" }, { title: "evidence" }],
          shown.rows.flatMap((decision) => decision.ranked.map((row, index) => [
            index === 0 ? plain(decision.recipient) : "", index === 0 ? `${plain(names.get(decision.persona) ?? decision.persona)}${decision.fitsNone ? " (fits none)" : ""}` : "",
            plain(row.campaign), plain(row.stimulus), amount(row.score, scores.minorUnits), `${amount(row.low, scores.minorUnits)} to ${amount(row.high, scores.minorUnits)}`, percent(row.rate), row.label,
          ])),
        ),
        ...shown.rest, "",
        `${count(decisions.length)} recipients in ${duration(seconds)}; ${count(dataset.noConsent)} left out without consent, ${count(dataset.rejectedCount)} rows rejected; evidence: ${model.evidence}`,
        ...[...suppressed].map(([reason, times]) => `suppressed, ${reason}: ${count(times)}`),
      ],
    };
  },
};
