import type { CommandDefinition } from "../command.ts";

export const clusterCommand: CommandDefinition<Record<string, never>> = {
  name: "cluster", summary: "cluster recipients or rows of numbers", examples: ["populace cluster --method kmeans --data points.csv --k 3"], configure: (command) => command,
  async run() { throw new Error("not wired"); },
};
