import { PopulaceError } from "@populace/domain";
import { SILENT, memoryPorts } from "@populace/io";
import { COMMIT, commitSubject, type Commit } from "@populace/protocol";
import { expect, test } from "vitest";
import { commitLog } from "./commit-log.ts";
import { noCounts } from "./metrics.ts";
import { readCommits, writeCommit } from "./run-store.ts";

const RUN = "aa", TENANT = "t";
const commit = (tick: number, term: number): Commit => ({
  run: RUN, attempt: 1, term, tick, prevRoot: tick === 0 ? RUN : `root-${tick - 1}`, inputHash: "", root: `root-${tick}`, sumsHash: "", checkpoint: [], manifest: [], sections: new Float64Array(0), tickSums: new Float64Array(0),
  sums: "", exposures: 0, authors: [], backends: [], seconds: 0,
});

test("terms of COMMIT never fall, though what was lost of an earlier term is appended again behind a later one (simulator seed 103001)", async () => {
  const ports = memoryPorts(), subject = commitSubject(TENANT, RUN);
  try {
    // The log was wiped; a leader of term 2, whose disk had been full, began it anew and computed tick 1 itself. This disk has term 1 beyond it.
    for (const one of [commit(0, 1), commit(1, 2)]) await ports.log.append(subject, COMMIT.encode(one));
    await ports.store.transaction((tables) => { for (let tick = 0; tick < 4; tick += 1) writeCommit(tables, TENANT, commit(tick, 1), false); });
    const commits = commitLog({ ports, tenant: TENANT, term: 3, logger: SILENT, counters: noCounts(), assertLeads: () => {} }, { run: RUN, firstAttempt: 1 });
    await commits.reconcile();
    await ports.store.transaction((tables) => writeCommit(tables, TENANT, commit(4, 3), true));
    await commits.append([commit(4, 3)]);
    const logged = (await ports.log.read(subject)).map((entry) => COMMIT.decode(entry.bytes));
    expect(logged.map(({ tick, term, root }) => [tick, term, root])).toEqual([[0, 1, "root-0"], [1, 2, "root-1"], [2, 2, "root-2"], [3, 2, "root-3"], [4, 3, "root-4"]]);
    // And on this disk, which held them before they were sent.
    expect(readCommits(ports.store, TENANT, RUN).map(({ term }) => term)).toEqual([1, 2, 2, 2, 3]);
  } finally {
    await ports.close();
  }
});

test("what another leader appended and the log lost is appended again before the next commit, though the log ends where this leader knew it to (simulator seed 605424)", async () => {
  const ports = memoryPorts(), subject = commitSubject(TENANT, RUN);
  try {
    for (const one of [commit(0, 1), commit(1, 1)]) await ports.log.append(subject, COMMIT.encode(one));
    await ports.store.transaction((tables) => { for (let tick = 0; tick < 2; tick += 1) writeCommit(tables, TENANT, commit(tick, 1), false); });
    const counters = noCounts(), commits = commitLog({ ports, tenant: TENANT, term: 2, logger: SILENT, counters, assertLeads: () => {} }, { run: RUN, firstAttempt: 1 });
    await commits.reconcile();
    // The deposed leader still appends tick 2; it is heard of here, and then the log loses it.
    await ports.store.transaction((tables) => { writeCommit(tables, TENANT, commit(2, 1), false); writeCommit(tables, TENANT, commit(3, 2), true); });
    await commits.append([commit(3, 2)]);
    const logged = (await ports.log.read(subject)).map((entry) => COMMIT.decode(entry.bytes));
    expect(logged.map(({ tick, term }) => [tick, term])).toEqual([[0, 1], [1, 1], [2, 1], [3, 2]]);
    expect(counters.commitsRepaired).toBe(1);
  } finally {
    await ports.close();
  }
});

test("commits from before a run began anew, which its leader did not live to take back, are no part of it (simulator seed 3200241)", async () => {
  const ports = memoryPorts(), subject = commitSubject(TENANT, RUN);
  const anew = (tick: number): Commit => ({ ...commit(tick, 2), attempt: 3 });
  try {
    for (const one of [commit(0, 1), commit(1, 1), commit(2, 1), anew(0), anew(1)]) await ports.log.append(subject, COMMIT.encode(one));
    await ports.store.transaction((tables) => { for (const one of [anew(0), commit(1, 1), commit(2, 1)]) writeCommit(tables, TENANT, one, false); });
    const commits = commitLog({ ports, tenant: TENANT, term: 3, logger: SILENT, counters: noCounts(), assertLeads: () => {} }, { run: RUN, firstAttempt: 3 });
    await commits.reconcile();
    expect(readCommits(ports.store, TENANT, RUN).map(({ tick, attempt }) => [tick, attempt])).toEqual([[0, 3], [1, 3]]);
  } finally {
    await ports.close();
  }
});

test("a leader that lost the lead between two appends makes no more of them, though the log lost what was there", async () => {
  const ports = memoryPorts(), subject = commitSubject(TENANT, RUN), { log } = ports;
  let leads = true;
  try {
    await ports.store.transaction((tables) => { for (let tick = 0; tick < 3; tick += 1) writeCommit(tables, TENANT, commit(tick, 1), true); });
    const forgetful = { ...ports, log: { ...log, async append(...asked: Parameters<typeof log.append>) {
      const result = await log.append(...asked);
      await log.purge(subject, Number.MAX_SAFE_INTEGER);
      leads = false;
      return result;
    } } };
    const assertLeads = (): void => { if (!leads) throw new PopulaceError("STALE_TERM", "another one leads", {}); };
    const commits = commitLog({ ports: forgetful, tenant: TENANT, term: 1, logger: SILENT, counters: noCounts(), assertLeads }, { run: RUN, firstAttempt: 1 });
    await expect(commits.append([commit(0, 1), commit(1, 1), commit(2, 1)])).rejects.toMatchObject({ code: "STALE_TERM" });
    expect(await log.read(subject)).toEqual([]);
  } finally {
    await ports.close();
  }
});
