// The machine's own npm, as a person outside the checkout has it.
import { delimiter } from "node:path";
import { ROOT } from "./data.ts";
import { type Ended, run, temporaryFolder } from "./process.ts";

/** The environment of a shell outside the checkout: the npm of this run, its settings and the pinned Node are gone from it. */
export function outsideEnv(): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = { npm_config_loglevel: "error", npm_config_audit: "false", npm_config_fund: "false", npm_config_update_notifier: "false" };
  for (const key of Object.keys(process.env)) if (/^npm_/i.test(key) && !(key in env)) env[key] = undefined;
  env.PATH = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.startsWith(ROOT)).join(delimiter);
  env.NODE_OPTIONS = undefined;
  env.VITEST = undefined;
  return env;
}

export function npm(args: readonly string[], cwd: string, timeoutMs = 180_000): Promise<Ended> {
  return run("npm", args, { cwd, env: outsideEnv(), timeoutMs });
}

/** Why npm cannot be used here, or null when it reaches its package registry. */
export async function npmRefusal(): Promise<string | null> {
  const reached = await npm(["view", "commander", "version", "--fetch-retries=0", "--fetch-timeout=10000"], temporaryFolder(), 30_000).catch(() => null);
  return reached?.code === 0 ? null : "npm cannot reach its package registry";
}
