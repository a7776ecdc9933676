import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { PopulaceError, closestName } from "@populace/domain";
import type { BehaviorManifest, Manifest } from "@populace/studies/results";
import { addressesOf, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { count, duration, plain, table } from "../output.ts";
import { suspectText } from "./runs-cluster.ts";

interface RunsOptions extends ClusterCommandOptions {
  readonly store: string;
  readonly run?: string;
}

type AnyManifest = Manifest | BehaviorManifest;

const folderOf = (store: string): string => join(store, "runs");

function manifestOf(folder: string): AnyManifest {
  const path = join(folder, "manifest.json");
  try {
    return JSON.parse(readFileSync(path, "utf8")) as AnyManifest;
  } catch (cause) {
    throw new PopulaceError("BAD_DATA", `${path}: is no manifest of a run; delete the folder or run it again`, { file: path }, cause);
  }
}

/** Folders with a finished run, newest first. */
function runsOf(store: string): readonly { readonly folder: string; readonly manifest: AnyManifest; readonly finishedMs: number }[] {
  const root = folderOf(store);
  if (!existsSync(root)) return [];
  return readdirSync(root).map((name) => join(root, name)).filter((folder) => existsSync(join(folder, "manifest.json")))
    .map((folder) => ({ folder, manifest: manifestOf(folder), finishedMs: statSync(join(folder, "manifest.json")).mtimeMs }))
    .sort((a, b) => b.finishedMs - a.finishedMs);
}

/** What was run, by name: a study with its model, or a behavior. */
const subjectOf = (manifest: AnyManifest): { readonly kind: "study" | "behavior"; readonly name: string } =>
  ("behavior" in manifest ? { kind: "behavior", name: manifest.behavior.name } : { kind: "study", name: manifest.study.name });

/** From which tick on a run committed in this store is suspect; -1 when nothing is known against it. */
async function suspicionIn(store: string, run: string): Promise<number> {
  if (!existsSync(join(store, "data.mdb"))) return -1;
  const { openRuns } = await import("../embedded.ts");
  const runs = openRuns(store);
  try {
    return (await runs.run(run))?.suspectFrom ?? -1;
  } finally {
    await runs.close();
  }
}

export const runsListCommand: CommandDefinition<RunsOptions> = {
  name: "list",
  summary: "runs whose results lie in the store, or those of a cluster",
  examples: ["populace runs list", "populace runs list --store ./populace-demo/store", "populace runs list --cluster 127.0.0.1:7600"],
  configure: (command) => withClusterOptions(command.option("--store <folder>", "where runs are committed", ".populace")),
  async run(context, options) {
    if (addressesOf(options) !== null) return (await import("./runs-cluster.ts")).clusterRuns(context, options);
    const runs = runsOf(options.store);
    return {
      json: {
        runs: runs.map(({ folder, manifest, finishedMs }) => ({
          runId: manifest.runId, rootHash: manifest.rootHash, ...("behavior" in manifest ? { kind: "behavior", behavior: manifest.behavior.name } : { kind: "study", study: manifest.study.name, model: manifest.model }), agents: manifest.runSpec.agents, ticks: manifest.runSpec.ticks,
          exposures: manifest.execution.exposures, seconds: manifest.execution.seconds, finished: new Date(finishedMs).toISOString(), outDir: folder,
        })),
      },
      lines: runs.length === 0
        ? [`no runs in ${folderOf(options.store)}; populace simulate or behave makes one`]
        : table(
          [{ title: "run" }, { title: "kind" }, { title: "name" }, { title: "agents", align: "right" }, { title: "ticks", align: "right" }, { title: "exposures", align: "right" }, { title: "took", align: "right" }, { title: "finished" }],
          runs.map(({ manifest, finishedMs }) => [manifest.runId.slice(0, 16), subjectOf(manifest).kind, plain(subjectOf(manifest).name), count(manifest.runSpec.agents), count(manifest.runSpec.ticks), count(manifest.execution.exposures), duration(manifest.execution.seconds), new Date(finishedMs).toISOString().slice(0, 19)]),
        ),
    };
  },
};

export const runsShowCommand: CommandDefinition<RunsOptions> = {
  name: "show",
  summary: "what a run was and where its results are, or how it stands in a cluster",
  examples: ["populace runs show 3f9a", "populace runs show 3f9a --cluster 127.0.0.1:7600"],
  configure: (command) => withClusterOptions(command
    .argument("<run>", "its id, or a beginning of it that no other run shares")
    .option("--store <folder>", "where runs are committed", ".populace")),
  async run(context, options) {
    if (addressesOf(options) !== null) return (await import("./runs-cluster.ts")).clusterRun(context, { ...options, run: options.run! });
    const runs = runsOf(options.store);
    const found = runs.filter(({ manifest }) => manifest.runId.startsWith(options.run!));
    if (found.length !== 1) {
      const near = closestName(options.run!, runs.map(({ manifest }) => manifest.runId.slice(0, options.run!.length)));
      throw new PopulaceError("NOT_FOUND", `${found.length === 0 ? "no run" : `${found.length} runs`} in ${folderOf(options.store)} begin${found.length === 0 ? "s" : ""} with "${options.run}"${near === null || found.length > 1 ? "" : `; did you mean ${near}?`}; populace runs list shows all`, { run: options.run, found: found.length });
    }
    const { folder, manifest } = found[0];
    const { kind, name } = subjectOf(manifest);
    const suspectFrom = await suspicionIn(options.store, manifest.runId);
    return {
      json: { ...manifest, kind, ...(suspectFrom < 0 ? {} : { suspectFrom }), outDir: folder },
      lines: ([
        ["run", manifest.runId], ["root hash", manifest.rootHash], ...(suspectFrom < 0 ? [] : [["suspect", suspectText(suspectFrom)] as const]), [kind, plain(name)],
        "behavior" in manifest
          ? ["parameters", plain(Object.entries(manifest.behavior.parameters).map(([parameter, value]) => `${parameter} = ${value}`).join(", ") || "none")]
          : ["model", `${plain(manifest.model.name)} version ${manifest.model.version} (${manifest.model.evidence})`],
        ["agents, ticks", `${count(manifest.runSpec.agents)}, ${count(manifest.runSpec.ticks)}`], [kind === "behavior" ? "agent ticks" : "exposures", `${count(manifest.execution.exposures)} in ${duration(manifest.execution.seconds)}`], ["results", folder],
      ] as const).map(([title, value]) => `${title.padEnd(14)}${value}`),
    };
  },
};
