import { readdirSync, readFileSync } from "node:fs";
import { openStore, sha256 } from "@populace/io";
import { openNatsPorts } from "@populace/io/nats";
import { COMMIT, INPUT, LEADER_RECORD, RUN_RECORD, SHARD_OUT, STREAM_TABLE, VIEW_RECORD, bodyOf, commitSubject, eventIdOf, inputHashOf, leaderKey, outSubject, runKey, viewKey, type Commit, type RunRecord } from "@populace/protocol";
import type { ClusterRecord, CommitSeen } from "../simulator/records.ts";

/** What somebody beside the cluster sees of it, through a connection of its own. */
export interface Observer {
  readonly records: ClusterRecord[];
  /** Last tick of a run that COMMIT has shown, -1 before the first. */
  lastTick(run: string): number;
  /** Calls back at every new tick of any run, with the time it was seen; until stopped. */
  onCommit(action: (run: string, tick: number, term: number, atMs: number) => void): () => void;
  /** Resolves when COMMIT has shown the tick of the run, and tells when. */
  tick(run: string, tick: number): Promise<number>;
  /** Ticks count from the first again: the run is about to be begun anew. */
  forget(run: string): void;
  record(run: string): RunRecord | null;
  /** Highest view and number of views seen. */
  readonly views: () => number;
  readonly terms: () => number;
  readonly commits: () => number;
  close(): Promise<void>;
}

/** Follows COMMIT, slots, inputs, the leader, the view and the runs of a tenant. */
export async function observe(servers: readonly string[], tenant: string): Promise<Observer> {
  const ports = await openNatsPorts({ servers, name: "observer", role: "client", streams: STREAM_TABLE, storeDir: null, startMs: 60_000 });
  const { log, registry, blobs } = ports;
  const records: ClusterRecord[] = [];
  const ticks = new Map<string, number>(), shards = new Map<string, RunRecord>();
  const listeners = new Set<(run: string, tick: number, term: number, atMs: number) => void>();
  const views = new Set<number>(), terms = new Set<number>();
  let commits = 0;
  const atMs = (): number => performance.now();
  const stops = [
    log.follow(commitSubject(tenant, "*"), 0, async ({ subject, bytes }) => {
      const commit = COMMIT.decode(await bodyOf(bytes, blobs, subject)), now = atMs();
      records.push({ kind: "commit", observer: "log", commit: seen(commit), atMs: now });
      if (commit.manifest.length > 0) records.push({ kind: "ledgered", run: commit.run, tick: commit.tick, eventIds: commit.manifest.map(eventIdOf) });
      if (commit.tick <= (ticks.get(commit.run) ?? -1)) return;
      ticks.set(commit.run, commit.tick);
      commits += 1;
      for (const listener of listeners) listener(commit.run, commit.tick, commit.term, now);
    }),
    log.follow(outSubject(tenant, "*", "*", "*", "*"), 0, async ({ subject, bytes }) => {
      // A body in the blob store may have been removed with its slot.
      const body = await bodyOf(bytes, blobs, subject).catch(() => null);
      if (body === null) return;
      const out = SHARD_OUT.decode(body), shard = shards.get(out.run)?.shards[out.shard];
      if (shard === undefined) return;
      const { run, attempt, tick, span, view, incarnation, hashes } = out;
      records.push({ kind: "slot", atMs: atMs(), slot: { run, attempt, tick, span, shard: out.shard, view, incarnation, firstBlock: shard.first, blocks: shard.count, hashes: new Uint8Array(hashes) } });
    }),
    log.follow(`pop.${tenant}.*.all.input.*`, 0, ({ bytes }) => {
      const input = INPUT.decode(bytes);
      records.push({ kind: "input", input, inputHash: inputHashOf(input, sha256) });
    }),
    registry.watch(runKey(tenant, "*"), (_, entry) => {
      if (entry === null) return;
      const record = RUN_RECORD.decode(entry.bytes);
      if (record.shards.length > 0) shards.set(record.run, record);
    }),
    registry.watch(leaderKey(tenant), (_, entry) => {
      if (entry === null) return;
      const { term, nonce } = LEADER_RECORD.decode(entry.bytes);
      terms.add(term);
      records.push({ kind: "term", observer: "registry", term, nonce, atMs: atMs() });
    }),
    registry.watch(viewKey(tenant), (_, entry) => {
      if (entry === null) return;
      const { view, members, dead } = VIEW_RECORD.decode(entry.bytes);
      views.add(view);
      records.push({ kind: "view", observer: "registry", atMs: atMs(), view, members, dead });
    }),
  ];
  return {
    records,
    lastTick: (run) => ticks.get(run) ?? -1,
    onCommit(action) {
      listeners.add(action);
      return () => void listeners.delete(action);
    },
    tick(run, tick) {
      if ((ticks.get(run) ?? -1) >= tick) return Promise.resolve(atMs());
      return new Promise((resolve) => {
        const listener = (of: string, reached: number, _term: number, now: number): void => {
          if (of !== run || reached < tick) return;
          listeners.delete(listener);
          resolve(now);
        };
        listeners.add(listener);
      });
    },
    forget: (run) => void ticks.delete(run),
    record: (run) => shards.get(run) ?? null,
    views: () => views.size,
    terms: () => terms.size,
    commits: () => commits,
    async close() {
      for (const stop of stops) stop();
      await ports.close();
    },
  };
}

/** The commits that a coordinator's own disk holds, but for tentative ones at the end of a run; its process has ended. */
export async function storeCommits(name: string, folder: string): Promise<readonly ClusterRecord[]> {
  const store = openStore(folder);
  try {
    const tentative = new Set(store.range("outbox", { keysOnly: true }).map(({ key }) => key));
    const rows = store.range("commits").map(({ key, bytes }) => ({ isTentative: tentative.has(key), commit: COMMIT.decode(bytes) }));
    const final = new Map<string, number>();
    for (const { isTentative, commit } of rows) if (!isTentative) final.set(commit.run, commit.tick);
    return rows.filter(({ commit }) => commit.tick <= (final.get(commit.run) ?? -1)).map(({ commit }) => ({ kind: "commit", observer: name, commit: seen(commit), atMs: performance.now() }));
  } finally {
    await store.close();
  }
}

/** Without the sums, of which a soak would heap up much. */
const seen = ({ run, attempt, term, tick, prevRoot, inputHash, root, sumsHash, checkpoint }: Commit): CommitSeen => ({ run, attempt, term, tick, prevRoot, inputHash, root, sumsHash, checkpoint });

/** Resident memory in bytes and open files of a process of this machine; null when it is gone, or where there is no /proc. */
export function usageOf(pid: number): { readonly memoryBytes: number; readonly files: number } | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const files = readdirSync(`/proc/${pid}/fd`).length;
    return { memoryBytes: 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0), files };
  } catch {
    return null;
  }
}
