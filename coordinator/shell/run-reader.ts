import { PopulaceError } from "@populace/domain";
import type { Blobs, Log, Registry } from "@populace/io";
import { COMMIT, JOB_SPEC, bodyOf, commitSubject, decodePlan, isLedgerBase, runKey, type Commit, type Plan, type RunRecord } from "@populace/protocol";
import type { RunOutcome } from "@populace/studies";
import { isSettled } from "../core/run.ts";
import { decodeRecord } from "./run-store.ts";

/** Reads runs from registry, COMMIT and blobs: any process may, whoever leads. */
export interface RunReader {
  /** All runs in order of submission; of those under way with what is committed by now. */
  runs(): Promise<readonly RunRecord[]>;
  /** A run by its id or by a beginning of it that no other run shares; null when there is none. */
  run(runId: string): Promise<RunRecord | null>;
  /** The outcome of a finished run; NOT_FOUND when unknown, not done, or when its sums are lost; CORRUPT when its commits are. */
  outcome(runId: string): Promise<RunOutcome>;
  /** What a finished job came to; NOT_FOUND when unknown, not done or lost, BAD_REQUEST when the run is no job. */
  output(runId: string): Promise<Uint8Array>;
  /** The plan of a run; NOT_FOUND when its blob is gone. */
  plan(runId: string): Promise<Plan>;
  /** What the COMMIT log holds of a run, in tick order; of a ledger, from its last checkpoint on. */
  commits(runId: string): Promise<readonly Commit[]>;
}

export function runReader({ registry, log, blobs }: { readonly registry: Registry; readonly log: Log; readonly blobs: Blobs }, tenant: string): RunReader {
  const recordsOf = async (): Promise<readonly RunRecord[]> =>
    (await registry.list(runKey(tenant, "*"))).map((entry) => decodeRecord(entry.bytes)).filter((record) => record !== null).filter(({ state }) => state !== "removed").toSorted((left, right) => left.number - right.number);

  const decode = async (bytes: Uint8Array, run: string): Promise<Commit> => COMMIT.decode(await bodyOf(bytes, blobs, `a commit of run ${run.slice(0, 12)}`));

  async function current(record: RunRecord): Promise<RunRecord> {
    if (isSettled(record.state)) return record;
    const entry = await log.last(commitSubject(tenant, record.run));
    if (entry === null) return record;
    const { attempt, tick, root, exposures, seconds, backends } = await decode(entry.bytes, record.run);
    return attempt < record.firstAttempt || tick <= record.tick ? record : { ...record, tick, root, exposures, seconds, backends };
  }

  async function find(runId: string): Promise<RunRecord | null> {
    const exact = /^[0-9a-f]{64}$/.test(runId) ? decodeRecord((await registry.get(runKey(tenant, runId)))?.bytes ?? null) : null;
    if (exact !== null || runId === "") return exact?.state === "removed" ? null : exact;
    const found = (await recordsOf()).filter((record) => record.run.startsWith(runId));
    return found.length === 1 ? found[0] : null;
  }

  async function known(runId: string): Promise<RunRecord> {
    const record = await find(runId);
    if (record === null) throw new PopulaceError("NOT_FOUND", `run ${runId} is not known here, or several begin so; "populace runs" lists them`, { runId });
    return record;
  }

  async function commitsOf({ run, firstAttempt }: RunRecord): Promise<readonly Commit[]> {
    const subject = commitSubject(tenant, run);
    const byTick = new Map<number, Commit>();
    for (let page = await log.read(subject); page.length > 0; page = await log.read(subject, { after: page.at(-1)!.sequence })) {
      for (const entry of page) {
        const commit = await decode(entry.bytes, run);
        if (commit.attempt >= firstAttempt && !byTick.has(commit.tick)) byTick.set(commit.tick, commit);
      }
    }
    const commits = [...byTick.values()].toSorted((left, right) => left.tick - right.tick);
    return commits.slice(Math.max(0, commits.findLastIndex(isLedgerBase)));
  }

  return {
    runs: async () => Promise.all((await recordsOf()).map(current)),
    run: async (runId) => {
      const record = await find(runId);
      return record === null ? null : current(record);
    },
    async outcome(runId) {
      const record = await known(runId);
      if (record.state !== "done" || record.execution === null) {
        throw new PopulaceError("NOT_FOUND", `run ${record.run.slice(0, 12)} is ${record.state}, not done${record.reason === "" ? "" : ` (${record.reason})`}`, { runId: record.run, state: record.state });
      }
      const commits = await commitsOf(record);
      const last = commits.at(-1);
      if (commits.length !== record.spec.ticks || commits.some((commit, index) => commit.tick !== index || commit.prevRoot !== (commits[index - 1]?.root ?? record.run))) {
        throw new PopulaceError("CORRUPT", `run ${record.run.slice(0, 12)} is done, but its COMMIT log has lost records: ${commits.length} of ${record.spec.ticks} ticks are there; the leading coordinator writes them again`, { runId: record.run, ticks: record.spec.ticks, found: commits.length });
      }
      const sums = last === undefined || last.root !== record.root || last.sums === "" ? null : await blobs.get(last.sums);
      if (sums === null) throw new PopulaceError("NOT_FOUND", `run ${record.run.slice(0, 12)} is done, and its sums are no longer in the store; submit it again to compute them anew`, { runId: record.run });
      const width = commits[0].tickSums.length;
      const tickCounts = new Float64Array(commits.length * width);
      commits.forEach((commit, index) => tickCounts.set(commit.tickSums, index * width));
      return {
        runId: record.run, rootHash: record.root, roots: commits.map((commit) => commit.root), exposures: record.exposures,
        seconds: record.seconds, backend: record.backends.join("+"), execution: record.execution, counts: record.spec.kernelSpec === JOB_SPEC ? new Float64Array(0) : new Float64Array(new Uint8Array(sums).buffer), tickCounts, cached: true, uncheckedFrom: record.uncheckedFrom < 0 ? null : record.uncheckedFrom,
      };
    },
    async output(runId) {
      const record = await known(runId);
      if (record.spec.kernelSpec !== JOB_SPEC) throw new PopulaceError("BAD_REQUEST", `run ${record.run.slice(0, 12)} is no job; its counts are read with "populace runs show"`, { runId: record.run });
      const last = record.state === "done" ? (await commitsOf(record)).at(-1) : undefined;
      const output = last === undefined ? null : await blobs.get(last.sums);
      if (output === null) throw new PopulaceError("NOT_FOUND", `job ${record.run.slice(0, 12)} is ${record.state}, and its output is not in the store; submit it again`, { runId: record.run, state: record.state });
      return output;
    },
    async plan(runId) {
      const record = await known(runId);
      const bytes = await blobs.get(record.spec.planHash);
      if (bytes === null) throw new PopulaceError("NOT_FOUND", `the plan of run ${record.run.slice(0, 12)} is not in the store`, { runId: record.run });
      return decodePlan(bytes);
    },
    commits: async (runId) => commitsOf(await known(runId)),
  };
}
