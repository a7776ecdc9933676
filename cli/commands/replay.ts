import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PopulaceError } from "@populace/domain";
import type { Plan } from "@populace/protocol";
import { BACKEND_NAMES } from "@populace/kernels/names";
import { oneOf, whole } from "../arguments.ts";
import { addressesOf, withCluster, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { compact, count, duration, paint } from "../output.ts";
import { LOCAL_TENANT } from "../names.ts";
import { withRunner } from "../with-runner.ts";

interface ReplayOptions extends ClusterCommandOptions {
  readonly run: string;
  readonly store: string;
  readonly workers?: number;
  readonly backend?: string;
}

/** What was committed of a run. */
interface Committed {
  readonly runId: string;
  readonly plan: Plan;
  readonly roots: readonly string[];
}

export const replayCommand: CommandDefinition<ReplayOptions> = {
  name: "replay",
  summary: "compute a committed run again on this machine and compare every root; one that differs is marked as suspect",
  examples: ["populace replay 3f9a", "populace replay 3f9a --cluster 127.0.0.1:7600 --backend reference"],
  configure: (command) => withClusterOptions(command
    .argument("<run>", "its id, or a beginning of it that no other run shares")
    .option("--store <folder>", "where the run was committed", ".populace")
    .option("--workers <number>", "worker threads", whole(1, 256))
    .option("--backend <name>", `kernel backend: auto, ${BACKEND_NAMES.join(", ")}`, oneOf("auto", ...BACKEND_NAMES))),
  async run(context, options) {
    const { runId, plan, roots } = addressesOf(options) === null ? await fromStore(options) : await fromCluster(context, options);
    const { embeddedRunner } = await import("../embedded.ts");
    const folder = mkdtempSync(join(tmpdir(), "populace-replay-"));
    const bar = context.progress("replaying", "exposures");
    try {
      const runner = embeddedRunner({ storeDir: folder, force: true, ...(options.backend === undefined ? {} : { backend: options.backend }), ...(options.workers === undefined ? {} : { workers: options.workers }) });
      const outcome = await withRunner(runner, bar, () => runner(plan, {}, { signal: context.signal, onProgress: ({ exposures, exposuresTotal }) => bar.update(exposures, exposuresTotal) }));
      const tick = roots.findIndex((root, index) => root !== outcome.roots[index]);
      if (outcome.runId !== runId || tick >= 0) {
        const marked = await mark(context, options, runId, Math.max(0, tick)).catch((error: unknown) => `it could not be marked as suspect: ${error instanceof Error ? error.message : String(error)}`);
        throw new PopulaceError("DIVERGENCE", `run ${runId.slice(0, 12)}, tick ${Math.max(0, tick)}: the committed root is ${(roots[tick] ?? runId).slice(0, 16)}, this machine (backend ${outcome.backend}) computes ${(outcome.roots[tick] ?? outcome.runId).slice(0, 16)}; ${marked}`, { run: runId, tick, committed: roots[tick], computed: outcome.roots[tick] });
      }
      return {
        json: { runId, ticks: roots.length, ticksPlanned: plan.ticks, rootHash: roots.at(-1) ?? runId, isEqual: true, backend: outcome.backend, exposures: outcome.exposures, seconds: outcome.seconds },
        lines: [
          `run ${paint("bold", runId)}`,
          `${paint("green", "equal")}: all ${count(roots.length)} committed roots${roots.length < plan.ticks ? ` (of ${count(plan.ticks)} ticks)` : ""}, the last one ${roots.at(-1) ?? "none"}`,
          `${count(outcome.exposures)} exposures in ${duration(outcome.seconds)}, ${compact(outcome.exposures / Math.max(outcome.seconds, 1e-9))}/s, backend ${outcome.backend}`,
        ],
      };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Marks a run whose committed roots are contradicted as suspect, where it was committed. Returns what to say of it. */
async function mark(context: Parameters<typeof withCluster>[0], options: ReplayOptions, run: string, tick: number): Promise<string> {
  if (addressesOf(options) !== null) await withCluster(context, options, (cluster) => cluster.call("Suspect", { run, tick }));
  else {
    const { embeddedRunner } = await import("../embedded.ts");
    const runner = embeddedRunner({ storeDir: options.store, ...(options.tenant === undefined ? {} : { tenant: options.tenant }) });
    try {
      await (await runner.coordinator()).suspect(run, tick);
    } finally {
      await runner.close();
    }
  }
  return "it is marked as suspect from this tick on, with every release that rests on it; submit it again to compute it anew";
}

async function fromStore(options: ReplayOptions): Promise<Committed> {
  const { openRuns } = await import("../embedded.ts");
  const runs = openRuns(options.store, options.tenant ?? LOCAL_TENANT);
  try {
    const found = await runs.run(options.run);
    if (found === null) throw new PopulaceError("NOT_FOUND", `no run, or several, in ${options.store} begin with "${options.run}"${options.tenant === undefined ? `, tenant ${LOCAL_TENANT}` : ""}; "populace runs list" shows what there is`, { run: options.run });
    return { runId: found.run, plan: await runs.plan(found.run), roots: (await runs.commits(found.run)).map((commit) => commit.root) };
  } finally {
    await runs.close();
  }
}

const fromCluster = (context: Parameters<typeof withCluster>[0], options: ReplayOptions): Promise<Committed> =>
  withCluster(context, options, async (cluster) => {
    const { run } = await cluster.call("Get", { run: options.run });
    return { runId: run, plan: await cluster.plan(run), roots: (await cluster.outcome(run)).roots };
  });
