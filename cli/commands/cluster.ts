import { PopulaceError } from "@populace/domain";
import { oneOf, positive, whole } from "../arguments.ts";
import { withJobOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { count, duration, paint, percent, plain, table } from "../output.ts";

interface ClusteringOptions extends ClusterCommandOptions {
  readonly method: "kmeans" | "dbscan";
  readonly data: string;
  readonly model?: string;
  readonly k?: number;
  readonly eps?: number;
  readonly minPoints?: number;
  readonly standardize?: boolean;
  readonly promote?: number;
  readonly out?: string;
}

export const clusterCommand: CommandDefinition<ClusteringOptions> = {
  name: "cluster",
  summary: "cluster live recipients against the personas, or a bare file of numbers",
  examples: [
    "populace cluster --method kmeans --data points.csv --k 3",
    "populace cluster --method dbscan --model model.json --data live.csv",
    "populace cluster --method dbscan --model model.json --data live.csv --promote 2 --out model-2.json",
    "populace cluster --method kmeans --model model.json --data live.csv --cluster 127.0.0.1:7600",
  ],
  configure: (command) => withJobOptions(command)
    .requiredOption("--method <kmeans|dbscan>", "how", oneOf("kmeans", "dbscan"))
    .requiredOption("--data <file>", "recipients in the model's schema with --model, else one point of numbers a line")
    .option("--model <file>", "whose personas the clusters are held against")
    .option("--k <number>", "kmeans: clusters (default: chosen by silhouette)", whole(1, 10_000))
    .option("--eps <distance>", "dbscan: radius (default: the knee of the neighbor distances)", positive)
    .option("--min-points <number>", "dbscan: points within the radius that make a core", whole(1, 1_000_000))
    .option("--standardize", "bare numbers: z-scores of the columns")
    .option("--promote <cluster>", "make this emerging cluster a persona (needs --model and --out)", whole(0))
    .option("--out <file>", "where the model with the new persona goes"),
  async run(context, options) {
    const { clusterCall, clusteringOf, parseModel, readModel, writeModel } = await import("@populace/studies");
    const { callOn } = await import("../job-client.ts");
    if (options.promote !== undefined && (options.model === undefined || options.out === undefined)) throw new PopulaceError("BAD_USAGE", "--promote needs --model FILE and --out FILE");
    const startedMs = performance.now();
    const { data, method, k, eps, minPoints, standardize, promote } = options;
    const hasConsent = options.model !== undefined && readModel(options.model).schema.consent !== null;
    const answer = clusteringOf(await callOn(context, options, clusterCall({
      data, ...(options.model === undefined ? {} : { model: options.model }), ...(promote === undefined ? {} : { promote }), ...(hasConsent ? { atMs: Date.now() } : {}),
      options: { method, ...(k === undefined ? {} : { k }), ...(eps === undefined ? {} : { eps }), ...(minPoints === undefined ? {} : { minPoints }), ...(standardize === true ? { standardize } : {}), ...(context.seed === null ? {} : { seed: context.seed }) },
    })));
    const { clustering: found, reading, promoted, rows } = answer;
    if (promoted !== null) writeModel(options.out!, parseModel(answer.model, "the promoted model"));
    const lineage = found.lineage ?? [], emerging = found.emerging ?? [];
    if (reading === null) {
      return {
        json: { labels: found.labels, k: found.k, sse: found.sse, noise: found.noise, lineage, sizes: found.sizes, used: found.used },
        lines: [...sizeTable(found.sizes, rows), "", `${count(rows)} points, ${found.k} clusters, ${count(found.noise)} noise, sum of squares ${found.sse.toPrecision(6)} (${duration((performance.now() - startedMs) / 1000)})`],
      };
    }
    return {
      json: { labels: found.labels, k: found.k, sse: found.sse, noise: found.noise, lineage, emerging, sizes: found.sizes, used: found.used, rejected: reading.rejectedCount, noConsent: reading.noConsent, promoted },
      lines: [
        ...table(
          [{ title: "cluster", align: "right" }, { title: "size", align: "right" }, { title: "event" }, { title: "from" }, { title: "carries on" }],
          lineage.map((row) => [row.cluster < 0 ? "-" : String(row.cluster), row.cluster < 0 ? "-" : count(found.sizes[row.cluster]), row.event, row.parents.map(plain).join(", ") || "nobody", row.persona ?? "a new identity"]),
        ),
        "",
        ...emerging.map((cluster) => `${paint("yellow", "new")}: cluster ${cluster.cluster}, ${count(cluster.size)} recipients (${percent(cluster.share)}), ${plain(cluster.description)}; ${percent(cluster.fitsNoneShare)} fit no persona, stability ${cluster.stability.toFixed(2)}, ${cluster.stage}`),
        ...(promoted === null ? [] : [`promoted to persona ${paint("bold", promoted.persona)}: ${count(promoted.moved)} of ${count(promoted.members)} members are now assigned to it; model written to ${options.out}`]),
        `${count(rows)} recipients, ${found.k} clusters, ${count(found.noise)} noise (${duration((performance.now() - startedMs) / 1000)})`,
      ],
    };
  },
};

const sizeTable = (sizes: readonly number[], rows: number): readonly string[] =>
  table([{ title: "cluster", align: "right" }, { title: "size", align: "right" }, { title: "share", align: "right" }], sizes.map((size, cluster) => [String(cluster), count(size), percent(size / rows)]));
