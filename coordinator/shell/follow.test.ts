import { SILENT } from "@populace/io";
import { simulatedDisk, simulatedHub, simulatedNetwork, simulatedService, simulatedWorld } from "@populace/io/simulated";
import { COMMIT, RUN_RECORD, commitSubject, runKey, type Commit, type RunRecord } from "@populace/protocol";
import { expect, test } from "vitest";
import { followTenant } from "./follow.ts";
import { readCommits, readRecord } from "./run-store.ts";

const RUN = "aa", TICKS = 12;
const commit = (tick: number, attempt = 1, term = 1): Commit => ({
  run: RUN, attempt, term, tick, prevRoot: tick === 0 ? RUN : `root-${tick - 1}`, inputHash: "", root: `root-${tick}`, sumsHash: "", checkpoint: [], manifest: [], sections: new Float64Array(0), tickSums: new Float64Array(0),
  sums: "", exposures: 0, authors: [], backends: [], seconds: 0,
});

const RECORD: RunRecord = {
  run: RUN, attempt: 1, firstAttempt: 1, term: 1, change: 1, view: 1, state: "running", number: 1, label: "", priority: 0, wanted: {}, execution: null, shards: [], owners: [], unfit: [], checkedTick: -1, uncheckedFrom: -1, dispute: null, suspectFrom: -1,
  code: "", reason: "", tick: -1, root: RUN, exposures: 0, seconds: 0, backends: [], spec: { kernelSpec: "k", arithmeticProfile: "p", planHash: "", seed: [0, 0], agents: 1, ticks: TICKS },
};

/** Ticks on the disk of a standby that refused everything while ticks 3 to 6 were committed; COMMIT had lost those below `lostBelow` by the time it took something again. */
async function ticksKept(lostBelow: number): Promise<readonly number[]> {
  const world = simulatedWorld(() => 0.5), service = simulatedService(world.chance), hub = simulatedHub(world, simulatedNetwork(world), service), disk = simulatedDisk(world);
  const standby = world.life("standby"), store = disk.open(standby);
  const stop = followTenant({ ...hub.portsOf(standby), store }, "t", SILENT, { onTerm() {}, onFlushed() {}, onRecord() {}, onStale() {} });
  const subject = commitSubject("t", RUN);
  const sequences: number[] = [];
  for (let tick = 0; tick < TICKS; tick += 1) {
    if (tick === 3) disk.setFull(true);
    if (tick === 7) {
      disk.setFull(false);
      service.purge(subject, sequences[lostBelow]);
    }
    const result = service.append("leader", subject, COMMIT.encode(commit(tick)));
    if (result.appended) sequences.push(result.sequence);
    const untilMs = world.nowMs() + 20;
    world.after(20, () => {});
    await world.run(() => world.nowMs() >= untilMs);
  }
  stop();
  return readCommits(store, "t", RUN).map(({ tick }) => tick);
}

test("a standby whose disk was full for a while fills the gap from COMMIT", async () => {
  expect(await ticksKept(0)).toEqual(Array.from({ length: TICKS }, (_, tick) => tick));
});

test("what the disk refused is fetched again when there is room, though nothing more comes", async () => {
  const world = simulatedWorld(() => 0.5), service = simulatedService(world.chance), hub = simulatedHub(world, simulatedNetwork(world), service), disk = simulatedDisk(world);
  const standby = world.life("standby"), store = disk.open(standby), { registry } = hub.portsOf(world.life("leader")), flushed: number[] = [];
  const stop = followTenant({ ...hub.portsOf(standby), store }, "t", SILENT, { onTerm() {}, onFlushed(_, tick) { flushed.push(tick); }, onRecord() {}, onStale() {} });
  const passes = async (ms: number): Promise<void> => {
    const untilMs = world.nowMs() + ms;
    world.after(ms, () => {});
    await world.run(() => world.nowMs() >= untilMs);
  };
  disk.setFull(true);
  void registry.create(runKey("t", RUN), RUN_RECORD.encode(RECORD));
  for (let tick = 0; tick < 3; tick += 1) service.append("leader", commitSubject("t", RUN), COMMIT.encode(commit(tick)));
  await passes(1000);
  expect([readCommits(store, "t", RUN), readRecord(store, "t", RUN)]).toEqual([[], null]);
  disk.setFull(false);
  await passes(1000);
  stop();
  expect([readCommits(store, "t", RUN).map(({ tick }) => tick), flushed, readRecord(store, "t", RUN)?.run]).toEqual([[0, 1, 2], [0, 1, 2], RUN]);
});

test("an entry that cannot be read does not keep a standby from what came before it", async () => {
  const world = simulatedWorld(() => 0.5), service = simulatedService(world.chance), hub = simulatedHub(world, simulatedNetwork(world), service), disk = simulatedDisk(world);
  const standby = world.life("standby"), store = disk.open(standby), subject = commitSubject("t", RUN), { log } = hub.portsOf(standby);
  let reads = 0;
  const counted = { ...log, read: (...of: Parameters<typeof log.read>) => { reads += 1; return log.read(...of); } };
  const stop = followTenant({ ...hub.portsOf(standby), log: counted, store }, "t", SILENT, { onTerm() {}, onFlushed() {}, onRecord() {}, onStale() {} });
  const passes = async (ms: number): Promise<void> => {
    const untilMs = world.nowMs() + ms;
    world.after(ms, () => {});
    await world.run(() => world.nowMs() >= untilMs);
  };
  disk.setFull(true);
  for (let tick = 0; tick < 3; tick += 1) service.append("leader", subject, COMMIT.encode(commit(tick)));
  service.append("leader", subject, new Uint8Array([1, 2, 3]));
  await passes(1000);
  disk.setFull(false);
  await passes(5000);
  const readsBefore = reads;
  await passes(20_000);
  stop();
  expect([readCommits(store, "t", RUN).map(({ tick }) => tick), reads - readsBefore]).toEqual([[0, 1, 2], 0]);
});

test("a gap that COMMIT has too is left to the next leader", async () => {
  expect(await ticksKept(5)).toEqual([0, 1, 2]);
});

test("a chain that is committed anew has no term that falls, at any moment (simulator seed 200104)", async () => {
  const world = simulatedWorld(() => 0.5), service = simulatedService(world.chance), hub = simulatedHub(world, simulatedNetwork(world), service), disk = simulatedDisk(world);
  const standby = world.life("standby"), store = disk.open(standby);
  const stop = followTenant({ ...hub.portsOf(standby), store }, "t", SILENT, { onTerm() {}, onFlushed() {}, onRecord() {}, onStale() {} });
  async function appended(one: Commit): Promise<readonly string[]> {
    service.append("leader", commitSubject("t", RUN), COMMIT.encode(one));
    const untilMs = world.nowMs() + 20;
    world.after(20, () => {});
    await world.run(() => world.nowMs() >= untilMs);
    return readCommits(store, "t", RUN).map(({ attempt, term }) => `${attempt}/${term}`);
  }
  for (let tick = 0; tick < 4; tick += 1) await appended(commit(tick));
  service.forgetAll();
  expect(await appended(commit(1, 2, 3))).toEqual(["1/1", "2/3", "1/3", "1/3"]);
  expect(await appended(commit(2, 2, 3))).toEqual(["1/1", "2/3", "2/3", "1/3"]);
  // A leader that has yet to notice that it is none.
  expect(await appended(commit(4))).toEqual(["1/1", "2/3", "2/3", "1/3", "1/3"]);
  stop();
});

test("commits of a run that began anew, which came before its record, take the place of those that do not count any more", async () => {
  const world = simulatedWorld(() => 0.5), service = simulatedService(world.chance), hub = simulatedHub(world, simulatedNetwork(world), service), disk = simulatedDisk(world);
  const standby = world.life("standby"), store = disk.open(standby), { registry } = hub.portsOf(world.life("leader"));
  const stop = followTenant({ ...hub.portsOf(standby), store }, "t", SILENT, { onTerm() {}, onFlushed() {}, onRecord() {}, onStale() {} });
  const passes = async (): Promise<void> => {
    const untilMs = world.nowMs() + 50;
    world.after(50, () => {});
    await world.run(() => world.nowMs() >= untilMs);
  };
  for (let tick = 0; tick < 4; tick += 1) service.append("leader", commitSubject("t", RUN), COMMIT.encode(commit(tick)));
  await passes();
  // As a run is taken back: COMMIT is purged, and the first tick was right.
  service.purge(commitSubject("t", RUN), Number.MAX_SAFE_INTEGER);
  const anew = Array.from({ length: 4 }, (_, tick): Commit => ({ ...commit(tick, 2), ...(tick === 0 ? {} : { root: `true-${tick}` }), ...(tick < 2 ? {} : { prevRoot: `true-${tick - 1}` }) }));
  for (const each of anew) service.append("leader", commitSubject("t", RUN), COMMIT.encode(each));
  await passes();
  void registry.create(runKey("t", RUN), RUN_RECORD.encode({ ...RECORD, attempt: 2, firstAttempt: 2 }));
  await passes();
  stop();
  expect(readCommits(store, "t", RUN).map(({ attempt, root }) => [attempt, root])).toEqual(anew.map(({ attempt, root }) => [attempt, root]));
});
