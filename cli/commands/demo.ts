import { whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { duration, paint } from "../output.ts";

interface DemoCommandOptions {
  readonly out: string;
  readonly recipients: number;
  readonly agents: number;
  readonly workers?: number;
}

export const demoCommand: CommandDefinition<DemoCommandOptions> = {
  name: "demo",
  summary: "a generated retailer with known truth goes once round the loop",
  examples: ["populace demo", "populace demo --out /tmp/try --recipients 5000 --agents 20000"],
  configure: (command) => command
    .option("--out <folder>", "where data, models, runs and the report go", "./populace-demo")
    .option("--recipients <number>", "recipients in the generated log", whole(2_000, 1_000_000), 20_000)
    .option("--agents <number>", "simulated individuals", whole(1_000, 100_000_000), 200_000)
    .option("--workers <number>", "worker threads; changes no result", whole(1, 256)),
  async run(context, options) {
    const { runDemo } = await import("../demo/demo.ts");
    const result = await runDemo(context, {
      outDir: options.out, seed: context.seed ?? 7, recipients: options.recipients, agents: options.agents, ...(options.workers === undefined ? {} : { workers: options.workers }),
    });
    const { truth } = result;
    const share = (value: number): string => `${(100 * value).toFixed(0)} %`;
    return {
      json: { ...result },
      lines: [
        "",
        `report        ${paint("bold", result.report)}`,
        `run           ${result.runId}`,
        `root hash     ${result.rootHash}`,
        `truth         ${share(truth.coverage90)} of ${truth.cells} true rates inside their 90 % intervals; ${share(truth.coverage90Misspecified)} in the misspecified world; mean error ${(100 * truth.rateMaeMisspecified).toFixed(2)} points (${(100 * truth.rateMae).toFixed(2)} without misspecification)`,
        `took          ${duration(result.seconds)}`,
        "",
        "next:",
        ...result.next.map((line) => `  ${line}`),
      ],
    };
  },
};
