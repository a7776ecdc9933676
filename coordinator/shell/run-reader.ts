import { PopulaceError } from "@populace/domain";
import type { Blobs, Log, Store } from "@populace/io";
import { COMMIT, LIMITS, commitSubject, decodePlan, type Commit, type Plan } from "@populace/protocol";
import type { RunOutcome } from "@populace/studies";
import { readCommits, readRow, readRows, readSums, readTickSums, type RunRow } from "./run-store.ts";

/** A run as clients see it. */
export type RunSummary = RunRow;

/** Reads runs from a coordinator's store; needs no lead, so a second process may look while the first one works. */
export interface RunReader {
  /** All runs in order of submission. */
  runs(): readonly RunSummary[];
  /** A run by its id or by a beginning of it that no other run shares; null when there is none. */
  run(runId: string): RunSummary | null;
  /** The outcome of a finished run, from the committed store; NOT_FOUND when unknown or not done. */
  outcome(runId: string): RunOutcome;
  /** The plan of a run; NOT_FOUND when its blob is gone. */
  plan(runId: string): Promise<Plan>;
  /** What the COMMIT log holds of a run, in tick order. */
  commits(runId: string): Promise<readonly Commit[]>;
}

export function runReader(ports: { readonly log: Log; readonly blobs: Blobs; readonly store: Store }, tenant: string): RunReader {
  const { log, blobs, store } = ports;

  function find(runId: string): RunRow | null {
    const exact = readRow(store, tenant, runId);
    if (exact !== null || runId === "") return exact;
    const rows = readRows(store, tenant).filter((row) => row.run.startsWith(runId));
    return rows.length === 1 ? rows[0] : null;
  }

  function known(runId: string): RunRow {
    const row = find(runId);
    if (row === null) throw new PopulaceError("NOT_FOUND", `run ${runId} is not known here, or several begin so; "populace runs" lists them`, { runId });
    return row;
  }

  return {
    runs: () => readRows(store, tenant),
    run: find,
    outcome(runId) {
      const row = known(runId);
      const counts = readSums(store, tenant, row.run)?.counts ?? null;
      if (row.state !== "done" || counts === null || row.execution === null) {
        throw new PopulaceError("NOT_FOUND", `run ${row.run.slice(0, 12)} is ${row.state}, not done${row.reason === "" ? "" : ` (${row.reason})`}`, { runId: row.run, state: row.state });
      }
      const ticks = readTickSums(store, tenant, row.run);
      const width = ticks[0].length;
      const tickCounts = new Float64Array(ticks.length * width);
      ticks.forEach((tick, index) => tickCounts.set(tick, index * width));
      return {
        runId: row.run, rootHash: row.root, roots: readCommits(store, tenant, row.run).map((commit) => commit.root), exposures: row.exposures,
        seconds: row.seconds, backend: row.backends.join("+"), execution: row.execution, counts, tickCounts, cached: true,
      };
    },
    async plan(runId) {
      const row = known(runId);
      const bytes = await blobs.get(row.spec.planHash);
      if (bytes === null) throw new PopulaceError("NOT_FOUND", `the plan of run ${row.run.slice(0, 12)} is not in the store`, { runId: row.run });
      return decodePlan(bytes);
    },
    commits: async (runId) => (await log.read(commitSubject(tenant, known(runId).run), { limit: LIMITS.ticksMax })).map((entry) => COMMIT.decode(entry.bytes)),
  };
}
