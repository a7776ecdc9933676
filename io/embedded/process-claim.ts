import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { PopulaceError } from "@populace/domain";
import type { Store } from "../ports.ts";

const CLAIMS = "process-claims";

interface Claim {
  readonly pid: number;
  /** Kernel's start time of the process where known: a reused pid is another process. */
  readonly started: string;
  readonly nonce: string;
}

/**
 * Claims a role (one coordinator at a time) in a store for this process and returns the release. The claim of a process that no
 * longer lives is taken over at once; STORE_IN_USE names the pid of one that does. Also refused when this process holds it already.
 */
export async function claimProcess(store: Store, role: string, what: string): Promise<() => Promise<void>> {
  const own: Claim = { pid: process.pid, started: startOf(process.pid), nonce: randomUUID() };
  const holder = await store.transaction((tables): Claim | null => {
    const bytes = tables.get(CLAIMS, role);
    const claim = bytes === null ? null : parse(bytes);
    if (claim !== null && isAlive(claim)) return claim;
    tables.put(CLAIMS, role, new TextEncoder().encode(JSON.stringify(own)));
    return null;
  });
  if (holder !== null) {
    throw new PopulaceError("STORE_IN_USE", `${what} is in use by process ${holder.pid}${holder.pid === process.pid ? " (this one)" : ""}; wait for it to end, stop it, or name another store with --store`, { pid: holder.pid, role });
  }
  return async () => {
    await store.transaction((tables) => {
      const bytes = tables.get(CLAIMS, role);
      if (bytes !== null && parse(bytes)?.nonce === own.nonce) tables.remove(CLAIMS, role);
    });
  };
}

function parse(bytes: Uint8Array): Claim | null {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Claim;
  } catch {
    return null;
  }
}

function isAlive(claim: Claim): boolean {
  try {
    process.kill(claim.pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return claim.started === startOf(claim.pid);
}

/** Field 22 of /proc/<pid>/stat with the boot id; "" where there is no /proc. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return `${boot}:${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return "";
  }
}
