import { whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { compact, count, paint } from "../output.ts";

interface CompileOptions {
  readonly model: string;
  readonly study?: string;
  readonly agents?: number;
  readonly ticks?: number;
  readonly out: string;
}

export const compileCommand: CommandDefinition<CompileOptions> = {
  name: "compile",
  summary: "make the plan of a study, for clients that submit it to a cluster themselves",
  examples: ["populace compile --model model.json --study study.yaml --out study.plan"],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .option("--study <file>", "YAML or JSON: what to rehearse; without it each stimulus in a world of its own")
    .option("--agents <number>", "simulated individuals", whole(1))
    .option("--ticks <number>", "simulated time steps", whole(1))
    .requiredOption("--out <file>", "where the plan goes"),
  async run(context, options) {
    const { compileStudy, readModel, readStudy } = await import("@populace/studies");
    const { sha256, sha256Hex, writeFileAtomic } = await import("@populace/io");
    const { encodePlan, runIdOf, runSpecOf } = await import("@populace/protocol");
    const model = readModel(options.model);
    const stated = readStudy(options.study ?? {}, model);
    const { plan } = compileStudy(model, { ...stated, agents: options.agents ?? stated.agents, ticks: options.ticks ?? stated.ticks, seed: context.seed ?? stated.seed });
    const bytes = encodePlan(plan);
    const spec = runSpecOf(plan, sha256Hex(bytes));
    const runId = runIdOf(spec, sha256);
    writeFileAtomic(options.out, bytes);
    return {
      json: { runId, planHash: spec.planHash, agents: spec.agents, ticks: spec.ticks, bytes: bytes.length, out: options.out },
      lines: [`run ${paint("bold", runId)}`, `${count(spec.agents)} agents, ${count(spec.ticks)} ticks; ${compact(bytes.length)}B of plan in ${paint("bold", options.out)}`],
    };
  },
};
