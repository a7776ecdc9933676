// Coordinators that are stopped, killed, cut off or robbed of what they stored: a run ends with the roots of an undisturbed one.
import { PopulaceError } from "@populace/domain";
import { boundsFor, createTurns } from "@populace/coordinator";
import { memoryStore, sha256, type Store } from "@populace/io";
import { samplePlan } from "@populace/kernels/sample-plan";
import { COMMIT, type Commit, type ExecutionPlan, type Plan, RECOMPUTE, RUN_RECORD, TICK_OPEN, commitSubject, haltSubject, openSubject, recomputeSubject, outSubject, planHash, runKey, schemaOf } from "@populace/protocol";
import type { RunOutcome } from "@populace/studies";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { TENANT, testCluster, until, type TestCluster, type TestCoordinator } from "./helpers/cluster.ts";

const EXECUTION: Partial<ExecutionPlan> = { shards: 3, checkpointTicks: 4, spanTicks: 1 };
const planOf = (influence: boolean): Plan => samplePlan(29, { agents: [300, 200, 40], ticks: 11, influence, worlds: 2, scenarios: 1, steps: 2, traits: 3 });
const COUPLED = planOf(true);

const open: TestCluster[] = [];
afterEach(async () => {
  for (const cluster of open.splice(0)) await cluster.close();
});

async function pair(nodes = 2, options: { readonly paceMs?: number } = {}): Promise<{ readonly cluster: TestCluster; readonly first: TestCoordinator; readonly second: TestCoordinator }> {
  const cluster = testCluster(undefined, options);
  open.push(cluster);
  for (let node = 0; node < nodes; node += 1) await cluster.node();
  const first = await cluster.coordinator("first");
  await first.coordinator.leading();
  const second = await cluster.coordinator("second");
  await until(() => first.coordinator.membership().members.size === nodes);
  return { cluster, first, second };
}

/** A disk that refuses every transaction while it is full. */
function fillingDisk(): { isFull: boolean; readonly store: Store } {
  const disk = memoryStore();
  const filling: { isFull: boolean; store: Store } = {
    isFull: false,
    store: { ...disk, transaction: ((action) => (filling.isFull ? Promise.reject(new PopulaceError("STORE_FAILED", "planted: the disk is full", {})) : disk.transaction(action))) as Store["transaction"] },
  };
  return filling;
}

const commitsIn = async (cluster: TestCluster, run: string): Promise<Commit[]> => (await cluster.shared.log.read(commitSubject(TENANT, run))).map((entry) => COMMIT.decode(entry.bytes));
const commitsOf = (store: Store, run: string): string[] => store.range("commits", { prefix: `${TENANT} ${run} ` }).map((row) => COMMIT.decode(row.bytes).root);

let undisturbed: RunOutcome;
beforeAll(async () => {
  const cluster = testCluster();
  await cluster.node();
  const alone = await cluster.coordinator("alone", { alone: true });
  undisturbed = await alone.coordinator.submit(COUPLED, { shards: 1 });
  await cluster.close();
}, 60_000);

function expectSame(outcome: RunOutcome): void {
  expect(outcome.roots).toEqual(undisturbed.roots);
  expect(outcome.counts).toEqual(undisturbed.counts);
  expect(outcome.tickCounts).toEqual(undisturbed.tickCounts);
  expect(outcome.exposures).toBe(undisturbed.exposures);
}

describe("two coordinators", () => {
  test("a standby refuses with the leader's address, has every commit on its own disk, and reads the outcome", async () => {
    const { first, second } = await pair();
    expect([first.coordinator.role, second.coordinator.role]).toEqual(["leader", "standby"]);
    await until(() => second.coordinator.leader() !== null);
    await expect(second.coordinator.submit(COUPLED)).rejects.toMatchObject({ code: "UNAVAILABLE", details: { leader: "first", address: "first:1" } });
    const outcome = await first.coordinator.submit(COUPLED, EXECUTION);
    expectSame(outcome);
    await until(() => commitsOf(second.store, outcome.runId).length === COUPLED.ticks);
    expect(commitsOf(second.store, outcome.runId)).toEqual(outcome.roots);
    expectSame(await second.coordinator.wait(outcome.runId));
    expect(second.coordinator.metrics()).toMatchObject({ role: "standby", term: 0, runs: { done: 1 } });
    expect(first.coordinator.metrics()).toMatchObject({ role: "leader", members: 2, counters: { ticksCommitted: COUPLED.ticks, exposuresCommitted: outcome.exposures, attemptsRestarted: 0 } });
  });

  const isCommit = (tick: number) => { let seen = -1; return ({ port, method, argument }: { readonly port: string; readonly method: string; readonly argument: string }): boolean => port === "log" && method === "append" && argument.endsWith(".commit") && ++seen === tick; };
  const isFlush = (count: number) => { let seen = 0; return ({ port, method }: { readonly port: string; readonly method: string }): boolean => port === "store" && method === "flushed" && ++seen === count; };
  const isInput = (tick: number) => ({ method, argument }: { readonly method: string; readonly argument: string }): boolean => method === "fill" && argument.endsWith(`.input.${tick}`);

  test.each([
    ["before the COMMIT of tick 2 is appended", "before", () => isCommit(2)],
    ["after the COMMIT of tick 5 was appended", "after", () => isCommit(5)],
    ["before the commit of tick 4 is flushed", "before", () => isFlush(8)],
    ["after the input of tick 6 was sealed", "after", () => isInput(6)],
    ["before the last COMMIT is appended", "before", () => isCommit(10)],
  ] as const)("the leader dies %s: the next one goes on in the same attempt to the same roots", async (_, when, matches) => {
    const { cluster, first, second } = await pair();
    const dead = first.stopAt(when, matches());
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await dead;
    await second.coordinator.leading();
    const [record] = await second.coordinator.runs();
    const outcome = await second.coordinator.wait(record.run);
    expectSame(outcome);
    expect(await second.coordinator.run(record.run)).toMatchObject({ state: "done", attempt: 1, term: 2 });
    const commits = await commitsIn(cluster, record.run);
    expect(commits.map((commit) => commit.tick)).toEqual(Array.from({ length: COUPLED.ticks }, (__, tick) => tick));
    expect(new Set(commits.map((commit) => commit.term))).toEqual(new Set([1, 2]));
    expect(second.coordinator.metrics().counters).toMatchObject({ attemptsRestarted: 0, terms: 1 });
  });

  test("a leader that was only stopped wakes up under a rival: it commits nothing more, follows, and its client gets the outcome", async () => {
    const { cluster, first, second } = await pair();
    const asleep = first.stopAt("before", isCommit(3));
    const client = first.coordinator.submit(COUPLED, EXECUTION);
    await asleep;
    await second.coordinator.leading();
    await until(async () => (await commitsIn(cluster, undisturbed.runId)).length > 5);
    first.go();
    expectSame(await client);
    await until(() => first.coordinator.role === "standby");
    const terms = (await commitsIn(cluster, undisturbed.runId)).map((commit) => commit.term);
    expect(terms).toEqual(terms.toSorted((left, right) => left - right));
    expect(terms.filter((term) => term === 1).length).toBe(3);
  });

  test("who has lost the lead to nobody names nobody, and not itself", async () => {
    const cluster = testCluster();
    open.push(cluster);
    await cluster.node();
    const disk = fillingDisk();
    const { coordinator } = await cluster.coordinator("only", {}, disk.store);
    await coordinator.leading();
    const { run } = await coordinator.enter(COUPLED, EXECUTION);
    disk.isFull = true;
    await until(() => coordinator.role === "standby");
    expect(coordinator.leader()).toBeNull();
    await expect(coordinator.enter(COUPLED, EXECUTION)).rejects.toMatchObject({ code: "UNAVAILABLE", details: { leader: "", address: "" } });
    disk.isFull = false;
    await coordinator.leading();
    expectSame(await coordinator.wait(run));
  });

  test("a leader whose own disk is full gives up the lead, and stands for it again when there is room", async () => {
    const cluster = testCluster();
    open.push(cluster);
    await cluster.node();
    const disk = fillingDisk();
    const first = await cluster.coordinator("first", {}, disk.store);
    await first.coordinator.leading();
    const second = await cluster.coordinator("second");
    const { run } = await first.coordinator.enter(COUPLED, EXECUTION);
    await first.coordinator.wait(run, { onProgress: ({ tick }) => { disk.isFull ||= tick === 4; } }).then(expectSame);
    expect([first.coordinator.role, second.coordinator.role]).toEqual(["standby", "leader"]);
    disk.isFull = false;
    await second.coordinator.close();
    await first.coordinator.leading();
    expectSame(await first.coordinator.wait(run));
  });

  test("a leader that closes hands over at once", async () => {
    const { first, second } = await pair();
    const input = first.stopAt("after", isInput(5));
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await input;
    first.go();
    await first.coordinator.close();
    await second.coordinator.leading();
    expectSame(await second.coordinator.wait(undisturbed.runId));
  });
});

test("two tenants share their turns: one whose nodes are gone, or whose leader dies, holds up no other, and both come to their roots", async () => {
  const turns = createTurns(boundsFor(2));
  const [one, other] = ["one", "other"].map((tenant) => testCluster(undefined, { tenant }));
  open.push(one, other);
  const doomed = await one.node();
  await other.node();
  const first = await one.coordinator("first", { turns }), leader = await other.coordinator("leader", { turns });
  await Promise.all([first.coordinator.leading(), leader.coordinator.leading()]);
  const rival = await other.coordinator("rival", { turns: createTurns() });
  await until(() => first.coordinator.membership().members.size + leader.coordinator.membership().members.size === 2);
  await doomed.stop();
  await until(() => first.coordinator.membership().members.size === 0);
  // More than there are turns, and none of them can go on.
  const seeds = [41, 42, 43, 44, 45, 46];
  const small = (seed: number): Plan => samplePlan(seed, { agents: [60, 40], ticks: 6, influence: true, worlds: 2, scenarios: 1, steps: 2, traits: 3 });
  const waiting = seeds.map((seed) => first.coordinator.submit(small(seed), EXECUTION));
  await until(() => turns.running === 3);

  const dead = leader.stopAt("before", ({ port, method, argument }) => port === "log" && method === "append" && argument.endsWith(".commit"));
  void leader.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
  await dead;
  await rival.coordinator.leading();
  await until(async () => (await rival.coordinator.runs()).length === 1);
  expectSame(await rival.coordinator.wait(undisturbed.runId));

  await one.node();
  const outcomes = await Promise.all(waiting);
  const { coordinator } = await other.coordinator("judge", { turns: createTurns(), alone: true, tenant: "judge" });
  await other.node({ tenant: "judge" });
  for (const [index, seed] of seeds.entries()) expect((await coordinator.submit(small(seed), { shards: 1 })).roots).toEqual(outcomes[index].roots);
});

describe("what was stored is lost", () => {
  test("both disks: a coordinator with an empty one goes on from registry, COMMIT and blobs", async () => {
    const { cluster, first, second } = await pair();
    const dead = first.stopAt("after", ({ argument, method }) => method === "fill" && argument.endsWith(".input.7"));
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await dead;
    second.stop();
    const third = await cluster.coordinator("third");
    await third.coordinator.leading();
    expectSame(await third.coordinator.wait(undisturbed.runId));
    expect((await third.coordinator.run(undisturbed.runId))!.attempt).toBe(1);
    expect(commitsOf(third.store, undisturbed.runId)).toEqual(undisturbed.roots);
  });

  const drop = async (cluster: TestCluster, table: string, doomed: (key: string, bytes: Uint8Array) => boolean): Promise<number> => cluster.shared.store.transaction((tables) => {
    const rows = tables.range(table).filter((row) => doomed(row.key, row.bytes));
    for (const row of rows) tables.remove(table, row.key);
    return rows.length;
  });
  const isCommitOf = (ticks: (tick: number) => boolean) => (_: string, bytes: Uint8Array): boolean => schemaOf(bytes) === COMMIT.schema && ticks(COMMIT.decode(bytes).tick);

  test.each([
    ["its end", (tick: number) => tick > 3],
    ["its middle", (tick: number) => tick === 3],
    ["all of it", () => true],
  ])("COMMIT loses %s while the leader lives: it is written again", async (_, ticks) => {
    const { cluster, first } = await pair();
    const sealed = first.stopAt("before", ({ argument, method }) => method === "fill" && argument.endsWith(".input.7"));
    const client = first.coordinator.submit(COUPLED, EXECUTION);
    await sealed;
    expect(await drop(cluster, "log", isCommitOf(ticks))).toBeGreaterThan(0);
    first.go();
    expectSame(await client);
    const { counters } = first.coordinator.metrics();
    expect(counters.commitsRepaired + counters.logsRewritten).toBeGreaterThan(0);
    expect((await commitsIn(cluster, undisturbed.runId)).map((commit) => commit.root)).toEqual(undisturbed.roots);
  });

  test.each([["its end", (tick: number) => tick > 3], ["its middle", (tick: number) => tick === 3]])("COMMIT loses %s and the leader dies: the next one writes it again from its own disk", async (_, ticks) => {
    const { cluster, first, second } = await pair();
    const dead = first.stopAt("before", ({ argument, method }) => method === "fill" && argument.endsWith(".input.7"));
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await dead;
    await until(() => commitsOf(second.store, undisturbed.runId).length === 7);
    await drop(cluster, "log", isCommitOf(ticks));
    await second.coordinator.leading();
    expectSame(await second.coordinator.wait(undisturbed.runId));
  });

  test("the slots since the checkpoint, and the leader dies: a new attempt recomputes them", async () => {
    const { cluster, first, second } = await pair();
    const dead = first.stopAt("before", ({ argument, method }) => method === "fill" && argument.endsWith(".input.7"));
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await dead;
    expect(await cluster.shared.log.purge(outSubject(TENANT, undisturbed.runId, 1, "*", "*"), Number.MAX_SAFE_INTEGER)).toBeGreaterThan(0);
    await second.coordinator.leading();
    expectSame(await second.coordinator.wait(undisturbed.runId));
    expect((await second.coordinator.run(undisturbed.runId))!.attempt).toBe(2);
    expect(second.coordinator.metrics().counters.attemptsRestarted).toBe(1);
  });

  /** What a flipped bit at tick 5 comes to on one disk. */
  const falsify = async (store: Store, run: string): Promise<void> => store.transaction((tables) => {
    for (const { key, bytes } of tables.range("commits", { prefix: `${TENANT} ${run} ` })) {
      const commit = COMMIT.decode(bytes);
      if (commit.tick > 4) tables.put("commits", key, COMMIT.encode({ ...commit, root: `false ${commit.tick}`, prevRoot: commit.tick === 5 ? commit.prevRoot : `false ${commit.tick - 1}` }));
    }
  });

  test.each(["the deposed leader", "the next leader"])("COMMIT, the slots, and nobody knows that %s has commits that a flipped bit made false: they are computed anew and leave its disk", async (whose) => {
    const { cluster, first, second } = await pair();
    const dead = first.stopAt("before", ({ argument, method }) => method === "fill" && argument.endsWith(".input.7"));
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await dead;
    const run = undisturbed.runId, liar = whose === "the deposed leader" ? first : second;
    await until(() => commitsOf(second.store, run).length === 7);
    expect((await second.coordinator.run(run))!.checkedTick).toBe(3);
    await falsify(liar.store, run);
    if (liar === first) await second.store.transaction((tables) => { for (const { key, bytes } of tables.range("commits", { prefix: `${TENANT} ${run} ` })) if (COMMIT.decode(bytes).tick > 4) tables.remove("commits", key); });
    await drop(cluster, "log", isCommitOf(() => true));
    await cluster.shared.log.purge(outSubject(TENANT, run, 1, "*", "*"), Number.MAX_SAFE_INTEGER);
    await second.coordinator.leading();
    expectSame(await second.coordinator.wait(run));
    first.go();
    for (const { store } of [first, second]) await until(() => commitsOf(store, run).join() === undisturbed.roots.join());
  });

  test("the registry and the end of COMMIT, and the deposed leader alone has that end, and falsely: it is computed in a new attempt and leaves its disk (simulator seed 5061124)", async () => {
    const { cluster, first, second } = await pair();
    const dead = first.stopAt("before", ({ argument, method }) => method === "fill" && argument.endsWith(".input.7"));
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await dead;
    const run = undisturbed.runId, { registry } = cluster.shared, key = runKey(TENANT, run);
    await until(() => commitsOf(second.store, run).length === 7);
    await falsify(first.store, run);
    await second.store.transaction((tables) => { for (const row of tables.range("commits", { prefix: `${TENANT} ${run} ` })) if (COMMIT.decode(row.bytes).tick > 4) tables.remove("commits", row.key); });
    await drop(cluster, "log", isCommitOf((tick) => tick > 4));
    await registry.remove(key, (await registry.get(key))!.revision);
    await second.coordinator.leading();
    expectSame(await second.coordinator.wait(run));
    expect((await second.coordinator.run(run))!.attempt).toBe(2);
    first.go();
    await until(() => commitsOf(first.store, run).join() === undisturbed.roots.join());
  });

  test("the record of a later attempt, of which COMMIT alone tells: what came before it counts no more, also where the next leader has it falsely (simulator seed 6064846)", async () => {
    const { cluster, first, second } = await pair();
    const dead = first.stopAt("before", ({ argument, method }) => method === "fill" && argument.endsWith(".input.7"));
    void first.coordinator.submit(COUPLED, EXECUTION).catch(() => {});
    await dead;
    const run = undisturbed.runId;
    await until(() => commitsOf(second.store, run).length === 7);
    await falsify(second.store, run);
    // As if it had been begun anew twice since.
    await cluster.shared.store.transaction((tables) => {
      for (const { key, bytes } of tables.range("log")) if (schemaOf(bytes) === COMMIT.schema) tables.put("log", key, COMMIT.encode({ ...COMMIT.decode(bytes), attempt: 3 }));
    });
    await second.coordinator.leading();
    expectSame(await second.coordinator.wait(run));
    expect(await second.coordinator.run(run)).toMatchObject({ state: "done", attempt: 4, firstAttempt: 4 });
    first.go();
    for (const { store } of [first, second]) await until(() => commitsOf(store, run).join() === undisturbed.roots.join());
  });

  test("a bit of the plan flips in the blob store before a node has read it: it is written again, and no node is to blame (simulator seed 6034829)", async () => {
    const { cluster, first } = await pair();
    const { blobs, store } = cluster.shared, { get } = blobs, plan = planHash(COUPLED, sha256);
    let isDamaged = false;
    // The leader reads it first.
    blobs.get = async (hash) => {
      const bytes = await get(hash);
      if (hash !== plan || isDamaged) return bytes;
      isDamaged = true;
      await store.transaction((tables) => {
        const damaged = new Uint8Array(tables.get("blobs", hash)!);
        damaged[100] ^= 1;
        tables.put("blobs", hash, damaged);
      });
      return bytes;
    };
    expectSame(await first.coordinator.submit(COUPLED, EXECUTION));
    expect([isDamaged, (await first.coordinator.run(undisturbed.runId))!.unfit]).toEqual([true, []]);
  });

  test("a block of the checkpoint, and everything that the nodes held: the run is recomputed from its beginning and the checkpoint written again", async () => {
    const { cluster, first } = await pair();
    const sealed = first.stopAt("before", ({ argument, method }) => method === "fill" && argument.endsWith(".input.6"));
    const client = first.coordinator.submit(COUPLED, EXECUTION).catch((error: unknown) => error);
    await sealed;
    first.go();
    await first.coordinator.pause(undisturbed.runId);
    expect(await client).toMatchObject({ code: "INTERRUPTED" });
    const checkpoint = (await commitsIn(cluster, undisturbed.runId))[3].checkpoint;
    await cluster.shared.blobs.remove(checkpoint[1]);
    const opens: number[] = [];
    await first.coordinator.resume(undisturbed.runId);
    expectSame(await first.coordinator.wait(undisturbed.runId, { onProgress: ({ tick }) => opens.push(tick) }));
    expect(opens[0]).toBeLessThan(4);
    expect(first.coordinator.metrics().counters.checkpointsLost).toBe(1);
  });
});

describe("runs", () => {
  test("a run is not done before its sums are on the leader's disk, though the blob store loses them while they are fetched and the registry does not answer", async () => {
    const cluster = testCluster();
    open.push(cluster);
    await cluster.node();
    const first = await cluster.coordinator("only");
    await first.coordinator.leading();
    const { registry, blobs } = cluster.shared, { has, get, put } = blobs, { update } = registry;
    let sums = "", isLost = false, unanswered = 0;
    // The last blob of a run is its sums.
    blobs.put = async (bytes) => (sums = await put(bytes));
    blobs.get = async (hash) => {
      if (hash === sums && unanswered === 0 && !isLost && (await commitsIn(cluster, undisturbed.runId)).length === COUPLED.ticks) {
        isLost = true;
        await blobs.remove(hash);
      }
      return get(hash);
    };
    registry.update = async (key, bytes, revision) => {
      const result = await update(key, bytes, revision);
      if (isLost && key === runKey(TENANT, undisturbed.runId) && RUN_RECORD.decode(bytes).state === "done" && unanswered++ === 0) throw new PopulaceError("UNAVAILABLE", "planted: no answer", {});
      return result;
    };
    expectSame(await first.coordinator.submit(COUPLED, EXECUTION));
    expect([isLost, unanswered > 0, await has(sums)]).toEqual([true, true, true]);
  });

  test("a run that is done on the disk of a standby alone is known to the leader again, and is not lost (simulator seed 5020181)", async () => {
    const cluster = testCluster();
    open.push(cluster);
    await cluster.node();
    const first = await cluster.coordinator("first");
    await first.coordinator.leading();
    const { runId } = await first.coordinator.submit(COUPLED, EXECUTION);
    first.stop();
    const { registry, log } = cluster.shared, key = runKey(TENANT, runId);
    await registry.remove(key, (await registry.get(key))!.revision);
    await log.purge(commitSubject(TENANT, runId), Number.MAX_SAFE_INTEGER);
    const second = await cluster.coordinator("second");
    await second.coordinator.leading();
    expect(await second.coordinator.run(runId)).toBeNull();
    first.go();
    await until(async () => (await second.coordinator.run(runId))?.state === "done");
    expectSame(await second.coordinator.submit(COUPLED, EXECUTION));
  });

  test("one that is removed leaves registry, COMMIT, blobs and the disks of all, also of one that was away; submitted again it is computed anew", async () => {
    const { cluster, first, second } = await pair();
    const { runId } = await first.coordinator.submit(COUPLED, EXECUTION);
    const other = await first.coordinator.submit(samplePlan(30, { agents: [30], ticks: 3, influence: false, worlds: 1, scenarios: 1, steps: 1, traits: 2 }), EXECUTION);
    await until(() => [runId, other.runId].every((run) => commitsOf(second.store, run).length > 0) && second.coordinator.metrics().runs.done === 2);
    // It sleeps through the removal, and then leads with what it remembers.
    second.stop();
    expect(await first.coordinator.remove(runId)).toMatchObject({ run: runId, state: "removed", tick: -1 });
    expect([await first.coordinator.run(runId), (await first.coordinator.runs()).map(({ run }) => run), first.coordinator.metrics().runs]).toMatchObject([null, [other.runId], { done: 1, removed: 0 }]);
    await expect(first.coordinator.remove(runId)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(first.coordinator.outcome(runId)).rejects.toMatchObject({ code: "NOT_FOUND" });
    const left = (): unknown => [cluster.shared.store.range("log").filter((row) => row.key.includes(runId)).length, commitsOf(first.store, runId).length];
    expect(left()).toEqual([0, 0]);
    // Its plan and its sums go once nothing more is removed for a while; the other run's stay.
    const blobs = (): number => cluster.shared.store.range("blobs").length, copies = (store: Store): number => store.range("copies").length;
    await until(() => copies(first.store) === 2);
    expect(blobs()).toBe(2);
    first.stop();
    second.go();
    await second.coordinator.leading();
    expect((await second.coordinator.runs()).map(({ run }) => run)).toEqual([other.runId]);
    await until(() => commitsOf(second.store, runId).length === 0 && copies(second.store) === 2);
    expectSame(await second.coordinator.submit(COUPLED, EXECUTION));
    expect(await second.coordinator.run(runId)).toMatchObject({ state: "done", attempt: 3 });
    first.go();
    await until(() => commitsOf(first.store, runId).length === COUPLED.ticks);
  });

  test("one that is under way is not removed", async () => {
    const { first } = await pair();
    const client = first.coordinator.submit(COUPLED, EXECUTION, { onProgress: ({ tick }) => { if (tick === 3) refused ??= first.coordinator.remove(undisturbed.runId).catch((error: unknown) => error); } });
    let refused: Promise<unknown> | undefined;
    expectSame(await client);
    expect(await refused).toMatchObject({ code: "BAD_REQUEST", message: expect.stringContaining("cancel or pause it first") });
    expect((await first.coordinator.run(undisturbed.runId))!.state).toBe("done");
  });

  test("the registry forgets a run: a coordinator still knows it, and its leader writes it again for the outcome", async () => {
    const { cluster, first, second } = await pair();
    const { runId } = await first.coordinator.submit(COUPLED, EXECUTION);
    await until(() => commitsOf(second.store, runId).length === COUPLED.ticks);
    const { registry } = cluster.shared, key = runKey(TENANT, runId);
    await registry.remove(key, (await registry.get(key))!.revision);
    for (const { coordinator } of [first, second]) expect(await coordinator.run(runId.slice(0, 12))).toMatchObject({ run: runId, root: undisturbed.rootHash });
    expectSame(await first.coordinator.outcome(runId));
    expect(await registry.get(key)).not.toBeNull();
  });

  test("pause, resume and cancel are recorded for every coordinator, and the next leader leaves them as they are", async () => {
    const { first, second } = await pair();
    const client = first.coordinator.submit(COUPLED, EXECUTION, { onProgress: ({ tick }) => { if (tick === 3) void first.coordinator.pause(undisturbed.runId); }, label: "sweep-1", priority: 2 }).catch((error: unknown) => error);
    expect(await client).toMatchObject({ code: "INTERRUPTED" });
    await until(async () => (await second.coordinator.run(undisturbed.runId))?.state === "paused");
    expect(await second.coordinator.run(undisturbed.runId)).toMatchObject({ label: "sweep-1", priority: 2, code: "INTERRUPTED" });
    await expect(second.coordinator.resume(undisturbed.runId)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    first.stop();
    await second.coordinator.leading();
    expect((await second.coordinator.run(undisturbed.runId))!.state).toBe("paused");
    await expect(second.coordinator.resolve(undisturbed.runId)).rejects.toMatchObject({ code: "BAD_REQUEST" });
    await second.coordinator.resume(undisturbed.runId);
    expectSame(await second.coordinator.wait(undisturbed.runId));
    await expect(second.coordinator.resume(undisturbed.runId)).rejects.toMatchObject({ code: "BAD_REQUEST" });
    const other = planOf(false);
    const { run } = await second.coordinator.enter(other, EXECUTION);
    const canceled = second.coordinator.wait(run, { onProgress: ({ tick }) => { if (tick === 2) void second.coordinator.cancel(run); } });
    await expect(canceled).rejects.toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("canceled") });
    expect((await second.coordinator.run(run))!.state).toBe("canceled");
  });

  test("a cancel halts the nodes before anything is written or asked; where the leader dies before the record, the next one goes on with the run", async () => {
    const { cluster, first, second } = await pair();
    let halts = 0;
    cluster.shared.bus.subscribe(haltSubject(TENANT, undisturbed.runId, "*"), () => { halts += 1; });
    const { run } = await first.coordinator.enter(COUPLED, EXECUTION);
    await until(async () => (await commitsIn(cluster, run)).length >= 3);
    // The process is stopped in the same turn: whatever it was to wait for first would never come.
    first.coordinator.cancel(run).catch(() => {});
    first.stop();
    await until(() => halts > 0);
    expectSame(await second.coordinator.wait(run));
    expect(halts).toBe(1);
  });

  test("a node whose kernel fails is unfit for the run, and the others compute its shards", async () => {
    const cluster = testCluster();
    open.push(cluster);
    await cluster.node();
    await cluster.node({ fail: true });
    const { coordinator } = await cluster.coordinator("only");
    await coordinator.leading();
    await until(() => coordinator.membership().members.size === 2);
    expectSame(await coordinator.submit(COUPLED, EXECUTION));
    expect((await coordinator.run(undisturbed.runId))!.unfit).toEqual([expect.stringMatching(/^broken/)]);
  });

  test("a log that takes nothing for a while costs the run no node, and what comes twice is one failure (simulator seed 6007737)", async () => {
    const { cluster, first } = await pair();
    const { log, bus } = cluster.shared, { fill } = log, { publish } = bus;
    let refused = 0;
    log.fill = async (subject, bytes) => {
      if (!subject.includes(".out.3.") || first.coordinator.metrics().counters.nodesUnfit > 0) return fill(subject, bytes);
      refused += 1;
      throw new PopulaceError("STORE_FAILED", "planted: the log is full", {});
    };
    bus.publish = (subject, bytes) => { for (let times = subject.endsWith(".fail") ? 3 : 1; times > 0; times -= 1) publish(subject, bytes); };
    expectSame(await first.coordinator.submit(COUPLED, EXECUTION));
    // Three slots of two nodes, three times at least.
    expect(refused).toBeGreaterThanOrEqual(5);
    expect((await first.coordinator.run(undisturbed.runId))!.unfit).toEqual([]);
  });

  test("a divergence freezes the run and keeps both outputs; a third computation decides, also where the log fails just then, and the liar computes it no more", async () => {
    const cluster = testCluster();
    open.push(cluster);
    const liar = await cluster.node({ lie: true });
    for (let node = 0; node < 2; node += 1) await cluster.node();
    const { coordinator } = await cluster.coordinator("only");
    await coordinator.leading();
    await until(() => coordinator.membership().members.size === 3);
    // A second computation of a shard that the liar has filled, as double runs ask for it.
    const record = await coordinator.enter(COUPLED, EXECUTION);
    const outcome = coordinator.wait(record.run, {
      onProgress: () => void coordinator.run(record.run).then((now) => {
        const shard = now!.owners.indexOf(liar.incarnation), other = now!.owners.find((owner) => owner !== liar.incarnation);
        if (shard < 0 || other === undefined || now!.tick < 1) return;
        const { run, attempt, term, view, shards } = now!;
        cluster.shared.bus.publish(recomputeSubject(TENANT, run, attempt), RECOMPUTE.encode({ run, attempt, term, view, incarnation: other, backend: "reference", shard, tick: now!.tick, span: 1, checkpoint: false, blocks: [shards[shard].first] }));
      }),
    });
    await expect(outcome).rejects.toMatchObject({ code: "DIVERGENCE" });
    const frozen = (await coordinator.run(undisturbed.runId))!;
    expect(frozen.state).toBe("frozen");
    expect(frozen.dispute).not.toBeNull();
    const { log } = cluster.shared, { purge } = log;
    let outages = 0;
    Object.assign(log, { purge: async (subject: string, below: number) => {
      if (subject !== commitSubject(TENANT, undisturbed.runId) || outages > 0) return purge.call(log, subject, below);
      outages += 1;
      throw new PopulaceError("UNAVAILABLE", "planted: the log does not answer", {});
    } });
    await coordinator.resolve(undisturbed.runId);
    expectSame(await coordinator.wait(undisturbed.runId));
    expect(outages).toBe(1);
    expect((await coordinator.run(undisturbed.runId))!.unfit).toContain(`${liar.incarnation} reference`);
  });

  test("a run that a liar joined late goes on from the checkpoint before it, on every disk, when the dispute is decided", async () => {
    // Slow enough for the liar to be found before the run ends.
    const { cluster, first: { coordinator }, second } = await pair(2, { paceMs: 8 });
    // No checkpoint but the one that the liar's coming brings about.
    const plan = samplePlan(29, { agents: Array.from({ length: 12 }, () => 30), ticks: 480, influence: true, worlds: 2, scenarios: 1, steps: 2, traits: 3 });
    const { run } = await coordinator.enter(plan, { shards: 12, spanTicks: 1, checkpointTicks: 1000 });
    let liar: Promise<{ readonly incarnation: string }> | null = null;
    const frozen = coordinator.wait(run, {
      onProgress: ({ tick }) => {
        if (tick >= 3) liar ??= cluster.node({ lie: true });
        void Promise.all([coordinator.run(run), liar]).then(([now, joined]) => {
          const shard = joined === null ? -1 : now!.owners.indexOf(joined.incarnation), other = now!.owners.find((owner) => owner !== joined?.incarnation);
          if (shard < 0 || other === undefined) return;
          const { attempt, term, view, shards } = now!;
          cluster.shared.bus.publish(recomputeSubject(TENANT, run, attempt), RECOMPUTE.encode({ run, attempt, term, view, incarnation: other, backend: "reference", shard, tick: now!.tick, span: 1, checkpoint: false, blocks: [shards[shard].first] }));
        });
      },
    });
    await expect(frozen).rejects.toMatchObject({ code: "DIVERGENCE" });
    const checkpoint = (await commitsIn(cluster, run)).find((commit) => commit.checkpoint.length > 0)!;
    expect(checkpoint.authors).toHaveLength(2);
    await coordinator.resolve(run);
    const outcome = await coordinator.wait(run);
    const { attempt, firstAttempt, unfit } = (await coordinator.run(run))!;
    expect(unfit).toEqual([`${(await liar!)!.incarnation} reference`]);
    const opened = (await cluster.shared.log.read(openSubject(TENANT, run, attempt))).map((entry) => TICK_OPEN.decode(entry.bytes).tick);
    expect(Math.min(...opened)).toBe(checkpoint.tick + 1);
    expect((await commitsIn(cluster, run)).every((commit) => commit.attempt >= firstAttempt)).toBe(true);
    await until(() => commitsOf(second.store, run).length === plan.ticks);
    expect(commitsOf(second.store, run)).toEqual(outcome.roots);
    // The liar is there still, and nobody gives it a run any more.
    const owners = new Set<string>();
    for (const shards of [1, 2, 3]) {
      const again = await coordinator.submit(plan, { shards }, { fresh: true, onProgress: ({ tick }) => { if (tick % 100 === 0) void coordinator.run(run).then((now) => now!.owners.forEach((owner) => owners.add(owner))); } });
      expect(again.roots).toEqual(outcome.roots);
    }
    expect([owners.size, owners.has((await liar!)!.incarnation)]).toEqual([2, false]);
  }, 240_000);
});
