import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PopulaceError } from "@populace/domain";
import { list, whole } from "../arguments.ts";
import { addressesOf, withCluster, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandContext, CommandDefinition } from "../command.ts";
import { count, plain } from "../output.ts";

interface RemoveOptions extends ClusterCommandOptions {
  readonly store: string;
  readonly runs: readonly string[];
  readonly keep?: number;
  readonly label?: string;
  readonly state?: readonly string[];
  readonly dryRun?: boolean;
}

/** A run as it is chosen from. */
interface Candidate {
  readonly run: string;
  readonly state: string;
  readonly label: string;
}

/** Where runs are, here or on a cluster. */
interface Runs {
  /** Those that may be removed, in order of submission. */
  candidates(): Promise<readonly Candidate[]>;
  remove(run: string): Promise<void>;
}

/** States that a run does not leave by itself. */
const REMOVABLE = ["done", "failed", "canceled", "paused", "frozen"];

export const runsRemoveCommand: CommandDefinition<RemoveOptions> = {
  name: "remove",
  summary: "remove runs that are under way no more, with all that they committed; submitted again they are computed anew",
  examples: [
    "populace runs remove 3f9a 77b1 --cluster 127.0.0.1:7600", "populace runs remove --keep 100 --cluster 127.0.0.1:7600", "populace runs remove --keep 0 --label trial --state failed,canceled --dry-run",
  ],
  configure: (command) => withClusterOptions(command
    .argument("[runs...]", "their ids, or beginnings that no other run shares")
    .option("--keep <number>", "instead of ids: all but the newest so many of those that --label and --state leave", whole(0, 1e9))
    .option("--label <text>", "only runs with this label")
    .option("--state <names>", `only runs in one of these states, with commas between them (default: ${REMOVABLE.join(",")})`, list)
    .option("--dry-run", "say which, and remove none")
    .option("--store <folder>", "where runs are committed, where no cluster is named", ".populace")),
  async run(context, options) {
    const { runs: named, keep, label, state = REMOVABLE, dryRun: isDry = false } = options;
    if ((named.length > 0) === (keep !== undefined)) throw new PopulaceError("BAD_USAGE", "name the runs to remove, or say with --keep how many of the newest stay", {});
    if (named.length > 0 && (label !== undefined || options.state !== undefined)) throw new PopulaceError("BAD_USAGE", "--label and --state choose among all runs, with --keep; they go with no ids", {});
    const unknown = state.find((each) => !REMOVABLE.includes(each));
    if (unknown !== undefined) throw new PopulaceError("BAD_USAGE", `--state names "${unknown}"; expected some of ${REMOVABLE.join(", ")}`, { state: unknown });
    return withRuns(context, options, async (runs) => {
      const candidates = await runs.candidates();
      const chosen = keep === undefined
        ? named.map((id) => only(candidates, id))
        : dropLast(candidates.filter((each) => state.includes(each.state) && (label === undefined || each.label === label)), keep);
      const bar = context.progress("removing", "runs");
      const removed: Candidate[] = [];
      try {
        for (const each of chosen) {
          context.signal.throwIfAborted();
          if (!isDry) await runs.remove(each.run);
          removed.push(each);
          bar.update(removed.length, chosen.length);
        }
      } finally {
        bar.stop();
      }
      const what = `${count(removed.length)} of ${count(candidates.length)} ${candidates.length === 1 ? "run" : "runs"}`;
      return {
        json: { removed: removed.map(({ run, state: was, label: its }) => ({ run, state: was, label: its })), kept: candidates.length - removed.length, dryRun: isDry },
        lines: [...removed.map((each) => `${each.run.slice(0, 16)}  ${each.state}${each.label === "" ? "" : `  ${plain(each.label)}`}`), isDry ? `${what} would be removed` : `${what} removed`],
      };
    });
  },
};

const dropLast = <T>(rows: readonly T[], keep: number): readonly T[] => rows.slice(0, Math.max(0, rows.length - keep));

function only(candidates: readonly Candidate[], id: string): Candidate {
  const found = id === "" ? [] : candidates.filter(({ run }) => run.startsWith(id));
  if (found.length !== 1) throw new PopulaceError("NOT_FOUND", `${found.length === 0 ? "no run that can be removed begins" : `${found.length} runs begin`} with "${id}"; "populace runs list" shows them, and one that is under way is canceled or paused first`, { run: id, found: found.length });
  return found[0];
}

async function withRuns<T>(context: CommandContext, options: RemoveOptions, act: (runs: Runs) => Promise<T>): Promise<T> {
  if (addressesOf(options) !== null) {
    return withCluster(context, options, (cluster) => act({
      candidates: async () => (await cluster.call("List", {})).runs.filter((run) => run.kind !== "ledger" && REMOVABLE.includes(run.state)),
      remove: async (run) => void (await cluster.call("Remove", { run })),
    }));
  }
  const folder = join(options.store, "runs"), isCommitted = existsSync(join(options.store, "data.mdb"));
  const { embeddedRunner } = await import("../embedded.ts");
  const { isLedger } = await import("@populace/protocol");
  const runner = isCommitted ? embeddedRunner({ storeDir: options.store, ...(options.tenant === undefined ? {} : { tenant: options.tenant }) }) : null;
  try {
    const coordinator = await runner?.coordinator();
    const records = (await coordinator?.runs() ?? []).filter(({ spec, state }) => !isLedger(spec) && REMOVABLE.includes(state)).map(({ run, state, label }) => ({ run, state, label }));
    const committed = new Set(records.map(({ run }) => run));
    // Results whose run is in no store any more.
    const left = (existsSync(folder) ? readdirSync(folder) : []).filter((run) => /^[0-9a-f]{64}$/.test(run) && !committed.has(run)).map((run) => ({ run, state: "done", label: "" }));
    return await act({
      candidates: () => Promise.resolve([...left, ...records]),
      async remove(run) {
        if (committed.has(run)) await coordinator!.remove(run);
        rmSync(join(folder, run), { recursive: true, force: true });
      },
    });
  } finally {
    await runner?.close();
  }
}
