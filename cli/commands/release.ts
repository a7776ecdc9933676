import { PopulaceError } from "@populace/domain";
import type { Announcement } from "@populace/protocol/control";
import { list, whole } from "../arguments.ts";
import { withCluster, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { count, paint, plain, table } from "../output.ts";

interface ReleaseOptions extends ClusterCommandOptions {
  readonly model?: string;
  readonly backTo?: number;
  readonly list?: boolean;
  readonly note?: string;
  readonly runs?: readonly string[];
  readonly allowSuspect?: boolean;
  readonly force?: string;
}

export const releaseCommand: CommandDefinition<ReleaseOptions> = {
  name: "release",
  summary: "announce what the gateways of a cluster serve from now on",
  examples: [
    "populace release --model model.json --cluster 127.0.0.1:7600",
    "populace release --model model.json --runs 3f9a,77c0 --cluster 127.0.0.1:7600",
    "populace release --back-to 3 --cluster 127.0.0.1:7600        # a new release of what number 3 served",
    "populace release --list --cluster 127.0.0.1:7600",
  ],
  configure: (command) => withClusterOptions(command
    .option("--model <file>", "the model whose rates are served")
    .option("--back-to <number>", "an earlier release to go back to", whole(1, Number.MAX_SAFE_INTEGER))
    .option("--list", "show all releases")
    .option("--runs <ids>", "finished runs of the cluster that the model rests on, with commas between them; the release is suspect when one of them is", list)
    .option("--allow-suspect", "announce it although a run or ledger that it rests on is suspect")
    .option("--force <reason>", "announce a model whose calibration record is missing or failed; the reason stays in the release's note")
    .option("--note <text>", "why, for people")),
  async run(context, options) {
    const given = [options.model, options.backTo, options.list].filter((value) => value !== undefined);
    if (given.length !== 1) throw new PopulaceError("BAD_USAGE", "name one of --model FILE, --back-to NUMBER and --list", {});
    const { releaseText, ledgerPlanOf, readModel, scoreTableOf } = await import("@populace/studies");
    const { encodeLedgerPlan } = await import("@populace/protocol");
    const { admitRelease } = await import("../release.ts");
    const model = options.model === undefined ? null : readModel(options.model);
    // The coordinator decides; a refusal that is known here spares the way.
    if (model !== null) admitRelease(model, options.force !== undefined, (note) => context.say(paint("yellow", note)));
    return withCluster(context, options, async (cluster) => {
      if (options.list === true) {
        const { releases } = await cluster.call("Releases", {});
        return {
          json: { releases },
          lines: releases.length === 0 ? ["no releases yet; `populace release --model MODEL --cluster HOST:PORT` announces one"] : table(
            [{ title: "release", align: "right" }, { title: "content" }, { title: "ledger" }, { title: "suspect" }, { title: "note" }],
            releases.map((each) => [count(each.number), each.content.slice(0, 16), each.ledger.slice(0, 16), plain(each.suspect), plain(each.note)]),
          ),
        };
      }
      const allowSuspect = options.allowSuspect === true;
      const utf8 = new TextEncoder(), note = options.note ?? (model === null ? "" : `${model.name}, version ${model.version}`);
      const release: Announcement = await cluster.call("Release", model === null
        ? { backTo: options.backTo!, note, allowSuspect }
        : { table: utf8.encode(JSON.stringify(scoreTableOf(model))), model: utf8.encode(releaseText(model)), ledger: encodeLedgerPlan(ledgerPlanOf(model)), note, runs: options.runs ?? [], allowSuspect, force: options.force ?? "" });
      return {
        json: { ...release },
        lines: [`release ${paint("bold", count(release.number))} is announced: ${plain(release.note)}`, ...(release.suspect === "" ? [] : [paint("yellow", `it is suspect: ${plain(release.suspect)}`)]), `outcomes of its gateways are counted in ledger ${release.ledger.slice(0, 16) || "of their own stores"}`],
      };
    });
  },
};
