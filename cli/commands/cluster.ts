import { PopulaceError } from "@populace/domain";
import { oneOf, positive, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { count, duration, paint, percent, plain, table } from "../output.ts";

interface ClusterCommandOptions {
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

export const clusterCommand: CommandDefinition<ClusterCommandOptions> = {
  name: "cluster",
  summary: "cluster live recipients against the personas, or a bare file of numbers",
  examples: [
    "populace cluster --method kmeans --data points.csv --k 3",
    "populace cluster --method dbscan --model model.json --data live.csv",
    "populace cluster --method dbscan --model model.json --data live.csv --promote 2 --out model-2.json",
  ],
  configure: (command) => command
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
    const { clusterLive, clusterPoints, promoteCluster, readDataset, readModel, readPoints, writeModel } = await import("@populace/studies");
    if (options.promote !== undefined && (options.model === undefined || options.out === undefined)) throw new PopulaceError("BAD_USAGE", "--promote needs --model FILE and --out FILE");
    const startedMs = performance.now();
    const how = {
      method: options.method, ...(options.k === undefined ? {} : { k: options.k }), ...(options.eps === undefined ? {} : { eps: options.eps }),
      ...(options.minPoints === undefined ? {} : { minPoints: options.minPoints }), ...(options.standardize === true ? { standardize: true } : {}), ...(context.seed === null ? {} : { seed: context.seed }),
    };
    if (options.model === undefined) {
      const points = readPoints(options.data);
      const found = context.blocking(() => clusterPoints(points, how));
      return {
        json: { labels: Array.from(found.labels), k: found.k, sse: found.sse, noise: found.noise, lineage: [], sizes: found.sizes, used: found.used },
        lines: [...sizeTable(found.sizes, points.rows), "", `${count(points.rows)} points, ${found.k} clusters, ${count(found.noise)} noise, sum of squares ${found.sse.toPrecision(6)} (${duration((performance.now() - startedMs) / 1000)})`],
      };
    }
    const model = readModel(options.model);
    const reading = context.progress("reading", "B");
    const dataset = await readDataset(model.schema, options.data, { recipientsOnly: true, onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const found = context.blocking(() => clusterLive(model, dataset, how));
    let promoted: { readonly persona: string; readonly members: number; readonly moved: number } | null = null;
    if (options.promote !== undefined) {
      const chosen = found.emerging.find((cluster) => cluster.cluster === options.promote);
      if (chosen === undefined || chosen.stage !== "shadow") {
        throw new PopulaceError("DEGENERATE_DATA", `cluster ${options.promote} is ${chosen === undefined ? "no emerging one" : `a ${chosen.stage} only (stability ${chosen.stability.toFixed(2)})`}; promotable: ${found.emerging.filter((cluster) => cluster.stage === "shadow").map((cluster) => cluster.cluster).join(", ") || "none"}`, { cluster: options.promote });
      }
      const { model: next, ...rest } = promoteCluster(model, dataset, found.labels, options.promote);
      writeModel(options.out!, next);
      promoted = rest;
    }
    return {
      json: { labels: Array.from(found.labels), k: found.k, sse: found.sse, noise: found.noise, lineage: found.lineage, emerging: found.emerging, sizes: found.sizes, used: found.used, rejected: dataset.rejectedCount, noConsent: dataset.noConsent, promoted },
      lines: [
        ...table(
          [{ title: "cluster", align: "right" }, { title: "size", align: "right" }, { title: "event" }, { title: "from" }, { title: "carries on" }],
          found.lineage.map((row) => [row.cluster < 0 ? "-" : String(row.cluster), row.cluster < 0 ? "-" : count(found.sizes[row.cluster]), row.event, row.parents.map(plain).join(", ") || "nobody", row.persona ?? "a new identity"]),
        ),
        "",
        ...found.emerging.map((cluster) => `${paint("yellow", "new")}: cluster ${cluster.cluster}, ${count(cluster.size)} recipients (${percent(cluster.share)}), ${plain(cluster.description)}; ${percent(cluster.fitsNoneShare)} fit no persona, stability ${cluster.stability.toFixed(2)}, ${cluster.stage}`),
        ...(promoted === null ? [] : [`promoted to persona ${paint("bold", promoted.persona)}: ${count(promoted.moved)} of ${count(promoted.members)} members are now assigned to it; model written to ${options.out}`]),
        `${count(dataset.rows)} recipients, ${found.k} clusters, ${count(found.noise)} noise (${duration((performance.now() - startedMs) / 1000)})`,
      ],
    };
  },
};

const sizeTable = (sizes: readonly number[], rows: number): readonly string[] =>
  table([{ title: "cluster", align: "right" }, { title: "size", align: "right" }, { title: "share", align: "right" }], sizes.map((size, cluster) => [String(cluster), count(size), percent(size / rows)]));
