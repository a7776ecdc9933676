import { PopulaceError } from "@populace/domain";
import type { Store } from "@populace/io";
import type { Commit } from "@populace/protocol";
import { decideCommit } from "../core/commit.ts";
import { raiseTerm, readCommit, readEnd, readTerm, writeCommit } from "./run-store.ts";

/**
 * Writes commits of one run to the own disk in ONE transaction, tentative, and returns those that were not there already; the caller flushes, then
 * appends them to COMMIT. `expected` are roots that are final though what lies before them was lost. STALE_TERM when a higher term has written here;
 * DIVERGENCE when a tick has another root.
 */
export async function storeCommits({ store, tenant, term }: { readonly store: Store; readonly tenant: string; readonly term: number }, run: string, span: readonly Commit[], expected: ReadonlyMap<number, string>): Promise<readonly Commit[]> {
  const short = run.slice(0, 12);
  return store.transaction((tables) => {
    let end = readEnd(tables, tenant, run);
    const storedTerm = readTerm(tables, tenant), written: Commit[] = [];
    for (const commit of span) {
      const known = commit.tick <= end.tick ? readCommit(tables, tenant, run, commit.tick)!.root : null;
      // Final, though what lies before it was lost: the same root must come out.
      const wanted = expected.get(commit.tick) ?? commit.root;
      const decision = wanted !== commit.root ? { kind: "divergence" as const, committedRoot: wanted } : decideCommit(end, storedTerm, known, commit);
      if (decision.kind === "known") continue;
      if (decision.kind === "stale-term") throw new PopulaceError("STALE_TERM", `run ${short}, tick ${commit.tick}: this coordinator has term ${term}, term ${decision.storedTerm} has written here; it steps down`, { run, term, storedTerm: decision.storedTerm });
      if (decision.kind === "divergence") throw new PopulaceError("DIVERGENCE", `run ${short}, tick ${commit.tick}: computed root ${commit.root.slice(0, 16)}, committed root ${decision.committedRoot.slice(0, 16)}; the run is frozen, begin it anew with --fresh`, { run, tick: commit.tick, computed: commit.root, committed: decision.committedRoot });
      if (decision.kind === "out-of-order") throw new PopulaceError("INTERNAL", `run ${run}: commit of tick ${commit.tick} where ${decision.expectedTick} was expected`, { run });
      writeCommit(tables, tenant, commit, true);
      written.push(commit);
      end = { tick: commit.tick, root: commit.root };
    }
    if (written.length > 0) raiseTerm(tables, tenant, term);
    return written;
  });
}
