import type { Release, RunRecord } from "@populace/protocol";

/** The entry of Release.runs for a finished run. */
export const restsOn = ({ run, root }: Pick<RunRecord, "run" | "root">): string => `${run} ${root}`;

/**
 * Why a release is suspect, as a sentence; "" = nothing is known against it. It is when a run or ledger that it rests on is suspect, or when the run
 * has come to another root since. `recordOf`: null for a run that is not known any more.
 */
export function suspicionOf(release: Pick<Release, "runs" | "ledger">, recordOf: (run: string) => Pick<RunRecord, "run" | "state" | "root" | "suspectFrom"> | null): string {
  const reasons = [...release.runs, ...(release.ledger === "" ? [] : [release.ledger])].map((entry) => {
    const [run, root] = entry.split(" "), record = recordOf(run);
    if (record === null) return "";
    if (record.suspectFrom >= 0) return `run ${run.slice(0, 12)} is suspect from tick ${record.suspectFrom} on`;
    return root !== undefined && record.state === "done" && record.root !== root ? `run ${run.slice(0, 12)} was computed again, to another root` : "";
  });
  return reasons.find((reason) => reason !== "") ?? "";
}
