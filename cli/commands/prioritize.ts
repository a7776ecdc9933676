import { PopulaceError, RandomStream } from "@populace/domain";
import type { RankSummary } from "@populace/studies";
import { oneOf, whole } from "../arguments.ts";
import { JsonItems } from "../command.ts";
import type { CommandDefinition } from "../command.ts";
import { amount, count, duration, paint, percent, plain, table } from "../output.ts";
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

/** Decisions that people see on a terminal. */
const SHOWN = 20;

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
    const { rankRecipients, readModel, scoreTableOf } = await import("@populace/studies");
    const { Spool, writePiecesAtomic } = await import("../spool.ts");
    const { readCampaigns } = await import("../campaign-file.ts");
    const model = readModel(options.model);
    const campaigns = readCampaigns(options.campaigns);
    const startedMs = performance.now();
    const scores = scoreTableOf(model);
    const spool = context.json ? new Spool() : null;
    const rank = async (write?: (piece: Uint8Array) => void): Promise<RankSummary> => {
      const reading = context.progress("ranking", "B");
      return rankRecipients(model.schema, scores, campaigns, options.recipients, {
        mode: options.mode, topN: options.top, random: RandomStream.of(context.seed ?? 1, "prioritize"), suppressFitsNone: options.suppressFitsNone === true, shown: SHOWN, signal: context.signal,
        ...(options.rateMin === undefined ? {} : { rateMin: options.rateMin }), ...(options.scoreMin === undefined ? {} : { scoreMinMinor: options.scoreMin }),
        onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal),
        ...(write === undefined && spool === null ? {} : { onLines: (piece) => { spool?.add(piece); write?.(piece); } }),
      }).finally(() => reading.stop());
    };
    let ranked!: RankSummary;
    if (options.out === undefined) ranked = await rank();
    else await writePiecesAtomic(options.out, async (add) => { ranked = await rank(add); });
    const seconds = (performance.now() - startedMs) / 1000;
    const names = personaNames(model);
    const hidden = ranked.recipients - ranked.first.length;
    return {
      json: { decisions: new JsonItems(() => spool!.items()), mode: options.mode, release: scores.release, evidence: model.evidence, noConsent: ranked.noConsent, rejected: ranked.rejected },
      lines: [
        ...table(
          [{ title: "recipient" }, { title: "persona" }, { title: "campaign" }, { title: "stimulus" }, { title: `score ${scores.currency}`, align: "right" }, { title: "90 % interval", align: "right" }, { title: "rate", align: "right" }, { title: "evidence" }],
          ranked.first.flatMap((decision) => decision.ranked.map((row, index) => [
            index === 0 ? plain(decision.recipient) : "", index === 0 ? `${plain(names.get(decision.persona) ?? decision.persona)}${decision.fitsNone ? " (fits none)" : ""}` : "",
            plain(row.campaign), plain(row.stimulus), amount(row.score, scores.minorUnits), `${amount(row.low, scores.minorUnits)} to ${amount(row.high, scores.minorUnits)}`, percent(row.rate), row.label,
          ])),
        ),
        ...(hidden === 0 ? [] : [paint("dim", `… and ${count(hidden)} more recipients (--json shows all)`)]), "",
        `${count(ranked.recipients)} recipients in ${duration(seconds)}; ${count(ranked.noConsent)} left out without consent, ${count(ranked.rejected)} rows rejected; evidence: ${model.evidence}`,
        ...[...ranked.suppressed].map(([reason, times]) => `suppressed, ${reason}: ${count(times)}`),
      ],
    };
  },
};
