import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidArgumentError } from "commander";
import type { BehaviorDescription } from "@populace/agent-runtime";
import { PopulaceError } from "@populace/domain";
import { whole } from "../arguments.ts";
import { addressesOf, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { compact, count, duration, paint, plain, table } from "../output.ts";
import { runnerOf } from "../runner.ts";
import { VERSION } from "../version.ts";
import { withRunner } from "../with-runner.ts";

interface BehaveOptions extends ClusterCommandOptions {
  readonly behavior: string;
  readonly agents: number;
  readonly ticks: number;
  readonly set?: Readonly<Record<string, number>>;
  readonly workers?: number;
  readonly shards?: number;
  readonly store: string;
  readonly out?: string;
  readonly fresh?: boolean;
}

/** name=value, collected over repetitions. */
function setting(text: string, before: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const [name, value] = text.split("=", 2), number = Number(value);
  if (name === "" || value === undefined || value === "" || !Number.isFinite(number)) throw new InvalidArgumentError("Expected name=number.");
  return { ...before, [name]: number };
}

const COLUMN_BYTES = { u8: 1, u16: 2, i32: 4 } as const;

/** TOO_LARGE when traits and state of the agents need more bytes than allowed. */
export function checkMemory({ traits, state }: Pick<BehaviorDescription, "traits" | "state">, agents: number, bytesAllowed: number): void {
  const perAgent = 4 * traits.length + state.reduce((sum, { type }) => sum + COLUMN_BYTES[type], 0);
  const bytesNeeded = perAgent * agents;
  if (bytesNeeded <= bytesAllowed) return;
  const agentsLimit = Math.floor(bytesAllowed / perAgent);
  throw new PopulaceError("TOO_LARGE", `${count(agents)} agents need ${compact(bytesNeeded)}B of traits and state, ${perAgent} bytes an agent; this machine allows ${compact(bytesAllowed)}B: ask for at most ${count(agentsLimit)} agents, or use a cluster`, { agents, agentsLimit, bytesNeeded, bytesAllowed });
}

export const behaveCommand: CommandDefinition<BehaveOptions> = {
  name: "behave",
  summary: "run agents by a behavior of your own",
  examples: [
    "populace behave --behavior word-of-mouth.ts --agents 1e5 --ticks 50",
    "populace behave --behavior word-of-mouth.ts --agents 1e7 --ticks 50 --cluster 10.0.0.5:7000",
    "populace behave --behavior schelling.ts --agents 10000 --ticks 200 --set wanted=0.5 --seed 7",
  ],
  configure: (command) => withClusterOptions(command
    .requiredOption("--behavior <file>", "a TypeScript module whose default export is defineBehavior({ ... })")
    .requiredOption("--agents <number>", "simulated individuals", whole(1))
    .requiredOption("--ticks <number>", "simulated time steps", whole(1))
    .option("--set <name=number>", "a parameter of the behavior; may be repeated", setting)
    .option("--workers <number>", "processes; changes no result", whole(1, 256))
    .option("--shards <number>", "parts the population is cut into; changes no result", whole(1, 4096))
    .option("--store <folder>", "where runs are committed and resumed from", ".populace")
    .option("--out <folder>", "where the results go (default: STORE/runs/RUNID)")
    .option("--fresh", "compute again what was already committed")),
  async run(context, options) {
    const source = readFileSync(options.behavior, "utf8");
    const bar = context.progress("running", "agent ticks");
    const { compileBehavior } = await import("@populace/agent-runtime");
    const { seedWords } = await import("@populace/studies");
    const seed = context.seed ?? 1;
    const { plan, description } = await compileBehavior(source, {
      agents: options.agents, ticks: options.ticks, seed: seedWords(seed), ...(options.set === undefined ? {} : { parameters: options.set }),
    });
    const { MEMORY_SHARE } = await import("@populace/coordinator");
    if (addressesOf(options) === null) checkMemory(description, options.agents, process.availableMemory() * MEMORY_SHARE);
    const runner = await runnerOf(options, context.signal, (note) => context.say(paint("dim", note)));
    return withRunner(runner, bar, async () => {
      const outcome = await runner(plan, options.shards === undefined ? {} : { shards: options.shards }, {
        signal: context.signal, fresh: options.fresh === true, onProgress: ({ exposures, exposuresTotal }) => bar.update(exposures, exposuresTotal),
      });
      const { writeFileAtomic } = await import("@populace/io");
      const { writeBehaviorRun } = await import("@populace/studies/results");
      const { behaviorReport, counterSeries } = await import("../report/from-behavior.ts");
      const series = counterSeries(plan, outcome), outDir = options.out ?? join(options.store, "runs", outcome.runId);
      const rows = series.flatMap(({ persona, counter, byTick }) => byTick.map((value, tick) => `${tick},${persona},${counter},${value}\n`));
      writeFileAtomic(join(outDir, "report.html"), await behaviorReport(plan, outcome, series));
      writeBehaviorRun(outDir, { plan, outcome, seed, files: { "counters.csv": { rows: rows.length, bytes: new TextEncoder().encode(`tick,persona,counter,count\n${rows.join("")}`) } } }, VERSION);
      const agentTicksPerSecond = outcome.exposures / Math.max(outcome.seconds, 1e-9);
      return {
        json: {
          runId: outcome.runId, rootHash: outcome.rootHash, behavior: description.name, agents: options.agents, ticks: options.ticks,
          parameters: Object.fromEntries(plan.behavior.parameters.map(({ name, value }) => [name, value])), agentTicks: outcome.exposures, seconds: outcome.seconds, agentTicksPerSecond,
          counters: series, cached: outcome.cached, outDir,
        },
        lines: [
          ...table(
            [{ title: "counter" }, { title: "persona" }, { title: "in all", align: "right" }, { title: "first tick", align: "right" }, { title: "last tick", align: "right" }],
            series.map(({ counter, persona, total, byTick }) => [plain(counter), plain(persona), count(total), count(byTick[0]), count(byTick.at(-1)!)]),
          ), "",
          `run ${paint("bold", outcome.runId)}${outcome.cached ? " (read back from the store; --fresh computes it again)" : ""}`,
          `root hash ${outcome.rootHash}`,
          `${count(outcome.exposures)} agent ticks in ${duration(outcome.seconds)}, ${compact(agentTicksPerSecond)}/s`,
          `counters in ${paint("bold", join(outDir, "counters.csv"))}; report in ${join(outDir, "report.html")}`,
        ],
      };
    });
  },
};
