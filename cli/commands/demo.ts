import type { CommandDefinition } from "../command.ts";

export const demoCommand: CommandDefinition<Record<string, never>> = {
  name: "demo", summary: "a retailer with known truth goes once round the loop", examples: ["populace demo"], configure: (command) => command,
  async run() { throw new Error("not wired"); },
};
