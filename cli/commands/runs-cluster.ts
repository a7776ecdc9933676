import type { Command } from "commander";
import type { Run } from "@populace/protocol/control";
import { withCluster, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { uncheckedText } from "../report/wording.ts";
import { compact, count, duration, paint, plain, table } from "../output.ts";

interface RunOptions extends ClusterCommandOptions {
  readonly run: string;
}

const withRun = (command: Command): Command => withClusterOptions(command.argument("<run>", "its id, or a beginning of it that no other run shares"));

export const runsWatchCommand: CommandDefinition<RunOptions> = {
  name: "watch",
  summary: "follow a run of a cluster until it ends",
  examples: ["populace runs watch 3f9a --cluster 127.0.0.1:7600"],
  configure: withRun,
  run: (context, options) => withCluster(context, options, async (cluster) => {
    const { endedError } = await import("../cluster-client.ts");
    let last = await cluster.call("Get", { run: options.run });
    const bar = context.progress("running", unitOf(last));
    try {
      let said = "";
      for await (const run of cluster.watch(last.run)) {
        if (said !== run.state) context.say(paint("dim", `${run.run.slice(0, 12)} ${run.state}${run.reason === "" ? "" : `: ${plain(run.reason)}`}`));
        bar.update(run.exposures, Math.max(run.exposures, run.exposuresTotal));
        said = run.state;
        last = run;
      }
    } finally {
      bar.stop();
    }
    if (last.state === "failed" || last.state === "frozen") throw endedError(last);
    return { json: { ...last }, lines: runLines(last) };
  }),
};

const change = (name: "Cancel" | "Pause" | "Resume" | "Resolve", summary: string): CommandDefinition<RunOptions> => ({
  name: name.toLowerCase(),
  summary,
  examples: [`populace runs ${name.toLowerCase()} 3f9a --cluster 127.0.0.1:7600`],
  configure: withRun,
  run: (context, options) => withCluster(context, options, async (cluster) => {
    const run = await cluster.call(name, { run: options.run });
    return { json: { ...run }, lines: runLines(run) };
  }),
});

export const runsCancelCommand = change("Cancel", "end a run of a cluster for good");
export const runsPauseCommand = change("Pause", "interrupt a run of a cluster after what it has committed");
export const runsResumeCommand = change("Resume", "let a paused run of a cluster go on");
export const runsResolveCommand = change("Resolve", "judge a run that is frozen because two nodes disagreed, and let it go on");

/** What a run counts: a behavior meets every agent at every tick, a ledger counts what happened. */
const unitOf = (run: Run): string => ({ behavior: "agent ticks", ledger: "outcomes", job: "outputs counted" })[run.kind] ?? "exposures";

/** What is said of a run that is suspect from a tick on. */
export const suspectText = (tick: number): string => `from tick ${tick} on: another computation came to another root; submit it again to compute it anew`;

/** One run of a cluster, for `runs show --cluster`. */
export async function clusterRun(context: Parameters<typeof withCluster>[0], options: RunOptions): Promise<{ readonly json: Readonly<Record<string, unknown>>; readonly lines: readonly string[] }> {
  return withCluster(context, options, async (cluster) => {
    const run = await cluster.call("Get", { run: options.run });
    return { json: { ...run }, lines: runLines(run) };
  });
}

/** Runs of a cluster, for `runs list --cluster`. */
export async function clusterRuns(context: Parameters<typeof withCluster>[0], options: ClusterCommandOptions): Promise<{ readonly json: Readonly<Record<string, unknown>>; readonly lines: readonly string[] }> {
  return withCluster(context, options, async (cluster) => {
    const { runs } = await cluster.call("List", {});
    return {
      json: { runs },
      lines: runs.length === 0
        ? ["no runs yet; `populace simulate` or `behave` with --cluster HOST:PORT makes one"]
        : table(
          [{ title: "run" }, { title: "kind" }, { title: "state" }, { title: "tick", align: "right" }, { title: "agents", align: "right" }, { title: "exposures", align: "right" }, { title: "took", align: "right" }, { title: "label" }],
          runs.map((run) => [run.run.slice(0, 16), run.kind, run.state, `${run.tick + 1}/${run.ticks}`, count(run.agents), compact(run.exposures), duration(run.seconds), plain(run.label)]),
        ),
    };
  });
}

function runLines(run: Run): readonly string[] {
  return ([
    ["run", run.run], ["kind", run.kind], ["state", `${run.state}${run.reason === "" ? "" : `: ${plain(run.reason)}`}`], ["root hash", run.root], ...(run.suspectFrom === undefined ? [] : [["suspect", suspectText(run.suspectFrom)] as const]), ...(run.uncheckedFrom === undefined ? [] : [["unchecked", uncheckedText(run.uncheckedFrom)] as const]), ["ticks", `${run.tick + 1} of ${run.ticks}`],
    [unitOf(run), `${count(run.exposures)} in ${duration(run.seconds)}${run.backends.length === 0 ? "" : `, backend ${run.backends.join("+")}`}`],
  ] as const).map(([name, value]) => `${name.padEnd(14)}${value}`);
}
