import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { PopulaceError } from "@populace/domain";
import { sha256, sha256Hex, writeFileAtomic, type Blobs, type Log, type Registry } from "@populace/io";
import { COMMIT, RELEASE, RUN_RECORD, bodyOf, commitSubject, decodeLedgerPlan, decodePlan, eventIdOf, fitBody, isJobPlan, isLedger, isLedgerBase, refusalOf, releaseKey, rootOf, rootOfJob, runIdOf, runKey, sumsHashOf, type Commit, type RunRecord } from "@populace/protocol";
import { ledgerShape } from "../core/ledger.ts";
import { decodeHead, decodeSegment } from "../core/ledger-checkpoint.ts";
import { ledgerTick } from "../core/ledger-tick.ts";
import { releasesOf } from "./releases.ts";
import { runReader } from "./run-reader.ts";
import { decodeRecord } from "./run-store.ts";

/**
 * An archive is a folder:
 *   archive.json             format, tenant, of every run its state, last tick and root, and which runs are not in it
 *   runs/<run>.record        RunRecord
 *   runs/<run>.commits       its COMMITs in tick order (of a ledger, from its last checkpoint on), each after its length (u32, little-endian)
 *   releases/<number>        Release
 *   blobs/<hash>             plans, the newest checkpoint of unfinished runs and ledgers, sums, and what releases name
 * Slots are not in it: an unfinished run goes on from its checkpoint in a new attempt.
 */
const FORMAT = 1;
const CHECKPOINT_TRIES = 3;

/** What was written to an archive or read from one. */
export interface ArchiveSummary {
  readonly tenant: string;
  readonly runs: readonly { readonly run: string; readonly state: string; readonly tick: number; readonly root: string }[];
  /** Runs whose plan or sums are lost, and nothing of which is in the archive: submitted again they come to the same root. */
  readonly leftOut: readonly { readonly run: string; readonly state: string }[];
  readonly releases: number;
  readonly commits: number;
  readonly blobs: number;
  readonly bytes: number;
}

type ArchivePorts = { readonly registry: Registry; readonly log: Log; readonly blobs: Blobs };

/** Writes everything of a tenant that cannot be computed again to a folder, new or empty; safe while the cluster works. A run whose plan or sums are lost is left out and named. BAD_REQUEST when something lies there, CORRUPT when a ledger or a release has lost what it needs. */
export async function backup(ports: ArchivePorts, tenant: string, folder: string): Promise<ArchiveSummary> {
  if (existsSync(folder) && readdirSync(folder).length > 0) throw new PopulaceError("BAD_REQUEST", `${folder} is not empty; name a folder that is new or empty`, { folder });
  for (const part of ["runs", "releases", "blobs"]) mkdirSync(join(folder, part), { recursive: true });
  const reader = runReader(ports, tenant);
  const written = new Set<string>();
  const runs: { run: string; state: string; tick: number; root: string }[] = [], leftOut: { run: string; state: string }[] = [];
  let commitCount = 0, bytes = 0;

  const write = (path: string, content: Uint8Array): void => {
    writeFileAtomic(join(folder, path), content);
    bytes += content.length;
  };
  const writeBlob = async (hash: string): Promise<boolean> => {
    if (hash === "" || written.has(hash)) return true;
    const content = await ports.blobs.get(hash);
    if (content === null) return false;
    write(join("blobs", hash), content);
    written.add(hash);
    return true;
  };

  /** With the checkpoint that they begin with: a newer one may take its place meanwhile, and is then taken. */
  async function ledgerCommits(run: string): Promise<readonly Commit[]> {
    for (let tries = 0; tries < CHECKPOINT_TRIES; tries += 1) {
      const commits = await reader.commits(run);
      const parts: boolean[] = [];
      for (const hash of commits[0]?.checkpoint ?? []) parts.push(await writeBlob(hash));
      if (parts.every(Boolean)) return commits;
    }
    throw new PopulaceError("CORRUPT", `ledger ${run.slice(0, 12)}: parts of its checkpoint are not in the blob store; its leader puts them back when it starts or has counted, then back up`, { run });
  }

  for (const { run } of await reader.runs()) {
    const record = (await reader.run(run))!;
    const commits = isLedger(record.spec) ? await ledgerCommits(run) : await reader.commits(run);
    const last = commits.at(-1), isDone = record.state === "done";
    if (!(await writeBlob(record.spec.planHash)) || (isDone && !(await writeBlob(last?.sums ?? "")))) {
      leftOut.push({ run, state: record.state });
      continue;
    }
    // A checkpoint that a newer one replaces meanwhile may be gone: the run then begins at tick 0 when it is restored.
    const checkpoint = isDone ? undefined : commits.findLast((commit) => commit.checkpoint.length > 0);
    for (const hash of checkpoint === undefined ? [] : [checkpoint.sums, ...checkpoint.checkpoint]) await writeBlob(hash);
    write(join("runs", `${run}.record`), RUN_RECORD.encode(record));
    write(join("runs", `${run}.commits`), framed(commits.map((commit) => COMMIT.encode(commit))));
    commitCount += commits.length;
    runs.push({ run, state: record.state, tick: last?.tick ?? -1, root: last?.root ?? run });
  }
  const releases = await releasesOf(ports.registry, tenant);
  for (const release of releases) {
    for (const hash of [release.content, release.model]) {
      if (!(await writeBlob(hash))) throw new PopulaceError("CORRUPT", `release ${release.number}: what it serves, ${hash}, is not in the blob store`, { release: release.number });
    }
    write(join("releases", String(release.number)), RELEASE.encode(release));
  }
  const summary: ArchiveSummary = { tenant, runs, leftOut, releases: releases.length, commits: commitCount, blobs: written.size, bytes };
  // Last: a folder without it is no archive, but a backup that was cut short.
  writeFileAtomic(join(folder, "archive.json"), `${JSON.stringify({ format: FORMAT, ...summary }, null, 2)}\n`);
  return summary;
}

/**
 * Proves an archive and brings it into registry, COMMIT and blobs of a tenant, blobs first and records last; the coordinators then take it up by
 * themselves. Proven of every run: its id is the hash of its specification, which names the plan's; its commits chain from the id to the stated
 * root; the sums equal the commits' sums tick by tick; every blob has its hash. What the roots say of blocks only computing again proves:
 * `populace replay`. CORRUPT when something does not fit, with nothing written; BAD_REQUEST when the tenant has another history of a run. Repeatable.
 */
export async function restore(ports: ArchivePorts, folder: string, tenant?: string): Promise<ArchiveSummary> {
  const path = join(folder, "archive.json");
  if (!existsSync(path)) throw new PopulaceError("FILE_MISSING", `${folder} is no archive, or its backup was cut short: archive.json is missing`, { folder });
  const { format, ...summary } = JSON.parse(readFileSync(path, "utf8")) as ArchiveSummary & { readonly format: number };
  if (format !== FORMAT) throw new PopulaceError("BAD_DATA", `${path} has format ${format}; this version reads ${FORMAT}`, { format });
  const target = tenant ?? summary.tenant;
  const readBlob = (hash: string): Uint8Array | null => {
    const file = join(folder, "blobs", hash);
    if (hash === "" || !existsSync(file)) return null;
    const bytes = new Uint8Array(readFileSync(file));
    if (sha256Hex(bytes) !== hash) throw new PopulaceError("CORRUPT", `${file} does not match its hash; take another copy of the archive`, { file });
    return bytes;
  };
  const read = summary.runs.map(({ run, root }) => {
    const record = decodeRecord(new Uint8Array(readFileSync(join(folder, "runs", `${run}.record`))));
    const commits = unframed(new Uint8Array(readFileSync(join(folder, "runs", `${run}.commits`)))).map((bytes) => COMMIT.decode(bytes));
    if (record === null) throw new PopulaceError("CORRUPT", `${run}.record is no record of this version`, { run });
    prove(record, commits, root, readBlob);
    return { record, commits };
  });

  for (const { record: { run, firstAttempt }, commits } of read) {
    const entry = await ports.log.last(commitSubject(target, run));
    if (entry === null) continue;
    const there = COMMIT.decode(await bodyOf(entry.bytes, ports.blobs, `a commit of run ${run}`));
    const same = commits.find((commit) => commit.tick === there.tick);
    if (there.attempt < firstAttempt || same === undefined || same.root !== there.root) throw new PopulaceError("BAD_REQUEST", `tenant ${target} has commits of run ${run.slice(0, 12)} that the archive has not; restore into another tenant or an empty cluster`, { run, tick: there.tick });
  }
  for (const hash of readdirSync(join(folder, "blobs"))) await ports.blobs.put(readBlob(hash)!);
  for (const { record, commits } of read) {
    const subject = commitSubject(target, record.run);
    const last = await ports.log.last(subject);
    let sequence = last?.sequence ?? 0;
    const from = last === null ? 0 : COMMIT.decode(await bodyOf(last.bytes, ports.blobs, subject)).tick + 1;
    for (const commit of commits.filter((one) => one.tick >= from)) {
      const result = await ports.log.append(subject, await fitBody(COMMIT.encode(commit), ports.blobs), sequence);
      if (!result.appended) throw new PopulaceError("UNAVAILABLE", `run ${record.run.slice(0, 12)}: somebody else writes its commits; stop the coordinators, then restore`, { run: record.run });
      sequence = result.sequence;
    }
    await restoreRecord(ports, target, record);
  }
  for (const number of readdirSync(join(folder, "releases"))) await ports.registry.create(releaseKey(target, Number(number)), new Uint8Array(readFileSync(join(folder, "releases", number))));
  return { ...summary, tenant: target };
}

/** Over what is left of the run where it was removed, so that every disk takes it for the newer one. */
async function restoreRecord({ registry }: ArchivePorts, tenant: string, record: RunRecord): Promise<void> {
  const key = runKey(tenant, record.run), bytes = RUN_RECORD.encode(record);
  if ((await registry.create(key, bytes)).ok) return;
  const entry = await registry.get(key), there = decodeRecord(entry?.bytes ?? null);
  if (entry === null || there?.state !== "removed") return;
  await registry.update(key, RUN_RECORD.encode({ ...record, attempt: Math.max(record.attempt, there.attempt), term: Math.max(record.term, there.term), change: there.change + 1 }), entry.revision);
}

function prove(record: RunRecord, commits: readonly Commit[], root: string, readBlob: (hash: string) => Uint8Array | null): void {
  const fail = (what: string): never => {
    throw new PopulaceError("CORRUPT", `run ${record.run.slice(0, 12)} of the archive: ${what}; take another copy`, { run: record.run });
  };
  if (runIdOf(record.spec, sha256) !== record.run) fail("its id is not the hash of its specification");
  const planBytes = readBlob(record.spec.planHash) ?? fail("its plan is missing");
  const base = isLedger(record.spec) && commits.length > 0 && isLedgerBase(commits[0]) ? commits[0] : null, first = base?.tick ?? 0;
  commits.forEach((commit, index) => {
    const before = index > 0 ? commits[index - 1].root : base === null ? record.run : base.prevRoot;
    if (commit.tick !== first + index || commit.run !== record.run || commit.prevRoot !== before) fail(`its commits do not chain at tick ${first + index}`);
  });
  if ((commits.at(-1)?.root ?? record.run) !== root) fail(`its commits end at another root than the archive states, ${root.slice(0, 16)}`);
  // Every tick of a ledger counts what its manifest says, and its root says so.
  if (isLedger(record.spec)) {
    const plan = decodeLedgerPlan(planBytes), named = new Set<string>();
    if (base !== null) {
      const parts = base.checkpoint.map((hash) => readBlob(hash) ?? fail(`part ${hash} of its checkpoint is missing`));
      if (decodeHead(parts[0]).tick !== base.tick) fail("its checkpoint is that of another tick");
      for (const part of parts.slice(1)) for (const { id } of decodeSegment(part)) named.add(id);
    }
    for (const commit of commits) {
      const { tick, prevRoot, inputHash, sumsHash, root: stated, manifest } = commit;
      const ids = manifest.map(eventIdOf);
      if (commit !== base && (new Set(ids).size !== ids.length || ids.some((id) => named.has(id)))) fail("an event stands in two of its ticks");
      if (commit === base && !ids.every((id) => named.has(id))) fail("its checkpoint lacks events of its own tick");
      const { counts } = ledgerTick(plan, manifest.filter((entry) => refusalOf(entry) === null), () => false);
      if (sumsHashOf(counts, sha256) !== sumsHash || rootOf(prevRoot, tick, inputHash, new Uint8Array(0), sumsHash, sha256) !== stated) fail(`the counts of tick ${tick} are not those of its root`);
      for (const id of ids) named.add(id);
    }
  }
  if (record.state !== "done") return;
  if (commits.length !== record.spec.ticks || record.root !== root) fail(`it is done, and ${commits.length} of ${record.spec.ticks} ticks are there`);
  const plan = decodePlan(planBytes), last = commits.at(-1)!;
  const sumsBytes = readBlob(last.sums) ?? fail("its sums are missing");
  if (isJobPlan(plan)) {
    if (rootOfJob(record.run, sumsBytes, sha256) !== root) fail("its output is not that of its root");
    return;
  }
  const shape = ledgerShape(plan);
  const sums = new Float64Array(new Uint8Array(sumsBytes).buffer), width = shape.worlds * shape.columns;
  for (let entry = 0; entry < shape.cells * shape.personas * shape.columns; entry += 1) {
    const row = Math.floor(entry / shape.columns), column = entry % shape.columns;
    let overWorlds = 0;
    for (let world = 0; world < shape.worlds; world += 1) overWorlds += sums[row * width + world * shape.columns + column];
    if (overWorlds !== commits.reduce((sum, commit) => sum + commit.tickSums[entry], 0)) fail(`its sums are not those of its commits (entry ${entry})`);
  }
}

function framed(messages: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(messages.reduce((sum, message) => sum + 4 + message.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const message of messages) {
    view.setUint32(at, message.length, true);
    bytes.set(message, at + 4);
    at += 4 + message.length;
  }
  return bytes;
}

function unframed(bytes: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), messages: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : bytes.length;
    if (at + 4 + length > bytes.length) throw new PopulaceError("CORRUPT", `a file of commits ends in the middle of one; take another copy of the archive`, {});
    messages.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return messages;
}
