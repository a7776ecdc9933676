// The ledger of real outcomes: coordinators over shared ports in memory, with gateways played by hand.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, afterAll, expect, test } from "vitest";
import { backup, restore } from "@populace/coordinator";
import { COMMIT, INPUT, OUTCOMES, SETTLED, commitSubject, encodeLedgerPlan, eventIdOf, eventOf, eventSubject, eventText, inputSubject, isLedgerBase, refusalOf, runKey, settledSubject, type Commit, type LedgerPlan } from "@populace/protocol";
import { TENANT, testCluster, until, type TestCluster, type TestCoordinator } from "./helpers/cluster.ts";

const PLAN: LedgerPlan = { model: "shop", fit: "ab".repeat(32), personas: ["a", "b"], stimuli: ["mail", "none"], steps: ["open", "click"] };
const id = (number: number): string => number.toString(16).padStart(32, "0");
/** An outcome of persona 1 with the mail, opened. */
const event = (number: number): string => eventText({ id: id(number), persona: 1, stimulus: 0, reached: 1, day: 20_000 });
const COUNTS_OF = (events: number): number[] => [0, 0, 0, 0, 0, 0, events, events, 0, 0, 0, 0];

let cluster: TestCluster, folder = "";
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), "populace-ledger-")); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => cluster.close());

async function leader(name = "c"): Promise<TestCoordinator> {
  const started = await cluster.coordinator(name, { ledgerTickMs: 50 });
  await started.coordinator.leading();
  return started;
}

const send = (run: string, events: readonly string[]): Promise<unknown> => cluster.shared.log.append(eventSubject(TENANT, run), OUTCOMES.encode({ run, events }));
const commitsOf = async (run: string): Promise<readonly Commit[]> => (await cluster.shared.log.read(commitSubject(TENANT, run))).map(({ bytes }) => COMMIT.decode(bytes));
const named = async (run: string): Promise<readonly string[]> => (await commitsOf(run)).flatMap(({ manifest }) => manifest);
const namesOf = async (run: string): Promise<readonly string[]> => (await named(run)).map(eventIdOf);
const sumOf = (commits: readonly Commit[]): readonly number[] => {
  const sum = COUNTS_OF(0).slice();
  for (const counted of commits.flatMap(({ manifest }) => manifest.map((entry) => eventOf(entry, PLAN)))) {
    if (typeof counted === "string") continue;
    for (let column = 0; column <= counted.reached; column += 1) sum[(counted.persona * PLAN.stimuli.length + counted.stimulus) * 3 + column] += 1;
  }
  return sum;
};

const countsOf = ({ sums }: { readonly sums: { rows(): readonly { readonly cell: number; readonly exposures: number; readonly responses: readonly number[] }[] } }): readonly number[] => {
  const counts = COUNTS_OF(0).slice();
  for (const { cell, exposures, responses } of sums.rows()) [exposures, ...responses].forEach((count, column) => { counts[cell * 3 + column] += count; });
  return counts;
};

test("counts each event once, refuses with its reason what fits no cell, and lets the others flow", async () => {
  cluster = testCluster();
  const { coordinator } = await leader();
  const { run, state } = await coordinator.enterLedger(encodeLedgerPlan(PLAN));
  expect(state).toBe("submitted");
  expect((await coordinator.enterLedger(encodeLedgerPlan(PLAN))).run).toBe(run);
  await expect(coordinator.remove(run)).rejects.toMatchObject({ code: "BAD_REQUEST", message: expect.stringContaining("real outcomes") });
  await send(run, [event(1), event(2), event(1), `${id(3)} 0 9 0 1`, `${id(4)} 7 0 0 1`, `${id(5)} 0 0 3 1`, "junk"]);
  await cluster.shared.log.append(eventSubject(TENANT, run), new Uint8Array([1, 2, 3]));
  await send(run, [event(2), event(6)]);
  await until(async () => (await named(run)).length >= 8);
  const manifest = await named(run);
  expect(manifest.filter((entry) => refusalOf(entry) === null).toSorted()).toEqual([event(1), event(2), event(6)]);
  expect(manifest.map(refusalOf).filter((reason) => reason !== null)).toEqual([
    "unknown stimulus: number 9 of 2", "unknown persona: number 7 of 2", "unknown step: 3 of 2 were reached",
    ...Array.from({ length: 2 }, () => "malformed: expected an id, a persona, a stimulus, the steps reached and a day"),
  ]);
  const { record, plan, ...counts } = await coordinator.ledger(run.slice(0, 12), 0);
  expect([countsOf(counts), plan, record.tick, counts.sums.refused]).toEqual([COUNTS_OF(3), PLAN, (await commitsOf(run)).length - 1, 5]);
  // What COMMIT names is kept nowhere else.
  await until(async () => (await cluster.shared.log.read(eventSubject(TENANT, run))).length === 0);
  expect(coordinator.metrics().counters).toMatchObject({ outcomesCounted: 3, outcomesRefused: 5 });
  expect(coordinator.metrics().runs.running).toBe(0);
});

test("a tick that was sealed by one leader is counted as sealed by the next, and what a deposed leader seals late counts nothing twice", async () => {
  cluster = testCluster();
  const first = await leader("first");
  const { run } = await first.coordinator.enterLedger(encodeLedgerPlan(PLAN));
  await send(run, [event(1)]);
  await until(async () => (await commitsOf(run)).length === 1);
  const second = await cluster.coordinator("second", { ledgerTickMs: 50 });
  await until(() => second.store.range("commits").length === 1);
  // Between seal and commit.
  const stopped = first.stopAt("after", ({ port, method, argument }) => port === "log" && method === "fill" && argument === inputSubject(TENANT, run, 1));
  await send(run, [event(2), event(3)]);
  await stopped;
  // The events are lost; what is sealed is not.
  await cluster.shared.log.purge(eventSubject(TENANT, run), Number.MAX_SAFE_INTEGER);
  await second.coordinator.leading();
  await until(async () => (await commitsOf(run)).length === 2);
  expect((await commitsOf(run))[1]).toMatchObject({ manifest: [event(2), event(3)], term: second.coordinator.term });
  // A leader that slept seals what was counted meanwhile.
  await cluster.shared.log.fill(inputSubject(TENANT, run, 2), INPUT.encode({ run, tick: 2, eventIds: [event(3), event(4)] }));
  await send(run, [event(5)]);
  await until(async () => (await namesOf(run)).includes(id(5)));
  expect(await namesOf(run)).toEqual([1, 2, 3, 4, 5].map(id));
  first.go();
  await send(run, [event(6)]);
  await until(async () => (await namesOf(run)).includes(id(6)));
  const commits = await commitsOf(run);
  expect(sumOf(commits)).toEqual(COUNTS_OF(6));
  commits.forEach((commit, tick) => expect([commit.tick, commit.prevRoot]).toEqual([tick, commits[tick - 1]?.root ?? run]));
});

test("COMMIT that was lost is written again when its events come once more, and an empty coordinator adopts what it names", async () => {
  cluster = testCluster();
  const first = await leader("first");
  const { run } = await first.coordinator.enterLedger(encodeLedgerPlan(PLAN));
  await send(run, [event(1)]);
  await until(async () => (await named(run)).length === 1);
  await cluster.shared.log.purge(commitSubject(TENANT, run), Number.MAX_SAFE_INTEGER);
  // Its sender was not told.
  await until(async () => {
    await send(run, [event(1)]);
    return (await named(run)).length === 1;
  });
  await first.coordinator.close();
  const second = await leader("second");
  await send(run, [event(1), event(2)]);
  await until(async () => (await namesOf(run)).includes(id(2)));
  expect(await namesOf(run)).toEqual([id(1), id(2)]);
  expect(countsOf(await second.coordinator.ledger(run, 0))).toEqual(COUNTS_OF(2));
}, 30_000);

test("what a deposed leader alone has of a ledger is taken from it before a tick is opened, by a coordinator that knew nothing of it (simulator seed 231390)", async () => {
  cluster = testCluster();
  const settled: number[] = [];
  cluster.shared.bus.subscribe(settledSubject(TENANT, "*"), (_, bytes) => { settled.push(SETTLED.decode(bytes).tick); });
  const first = await leader("first");
  const { run } = await first.coordinator.enterLedger(encodeLedgerPlan(PLAN));
  await send(run, [event(1), event(2)]);
  await until(() => settled.includes(0));
  // The transport forgets, and the next leader begins with an empty disk.
  await cluster.shared.log.purge("pop.>", Number.MAX_SAFE_INTEGER);
  await cluster.shared.registry.remove(runKey(TENANT, run), (await cluster.shared.registry.get(runKey(TENANT, run)))!.revision);
  first.stop();
  const second = await leader("second");
  await send(run, [event(3)]);
  first.go();
  await until(async () => (await namesOf(run)).includes(id(3)));
  expect((await commitsOf(run)).map(({ tick, manifest }) => [tick, manifest])).toEqual([[0, [event(1), event(2)]], [1, [event(3)]]]);
  expect(countsOf(await second.coordinator.ledger(run, 0))).toEqual(COUNTS_OF(3));
}, 30_000);

test("a ledger without a tick that the registry forgot is entered again by who knows of it (simulator seed 301592)", async () => {
  cluster = testCluster();
  const first = await leader("first");
  const { run } = await first.coordinator.enterLedger(encodeLedgerPlan(PLAN));
  first.stop();
  await cluster.shared.registry.remove(runKey(TENANT, run), (await cluster.shared.registry.get(runKey(TENANT, run)))!.revision);
  const second = await leader("second");
  await send(run, [event(1)]);
  first.go();
  await until(async () => (await namesOf(run)).includes(id(1)));
  expect(countsOf(await second.coordinator.ledger(run, 0))).toEqual(COUNTS_OF(1));
}, 30_000);

test("a paused ledger takes nothing and goes on where it was; backup proves the counts, and restore brings them back", async () => {
  cluster = testCluster();
  const { coordinator } = await leader();
  const { run } = await coordinator.enterLedger(encodeLedgerPlan(PLAN));
  await send(run, [event(1), `${id(2)} 0 9 0 1`]);
  await until(async () => (await named(run)).length === 2);
  expect((await coordinator.pause(run)).state).toBe("paused");
  await send(run, [event(3)]);
  await coordinator.resume(run);
  await until(async () => (await named(run)).length === 3);
  const content = await cluster.shared.blobs.put(Buffer.from("a table"));
  await coordinator.announce({ content, model: "", ledger: run, runs: [], note: "" });
  expect(await backup(cluster.shared, TENANT, folder)).toMatchObject({ releases: 1, runs: [{ run, state: "running", tick: 1 }] });
  await cluster.close();

  cluster = testCluster();
  // A count that was changed is not that of its root.
  const file = join(folder, "runs", `${run}.commits`), sound = readFileSync(file), at = sound.indexOf(`${id(1)} 1 0 1`);
  writeFileSync(file, Buffer.from(sound).fill("2", at + 37, at + 38));
  await expect(restore(cluster.shared, folder)).rejects.toMatchObject({ code: "CORRUPT", message: expect.stringContaining("counts of tick 0") });
  writeFileSync(file, sound);
  await restore(cluster.shared, folder);
  const after = await leader();
  await send(run, [event(1), event(3), event(4)]);
  await until(async () => (await namesOf(run)).includes(id(4)));
  expect(countsOf(await after.coordinator.ledger(run, 0))).toEqual(COUNTS_OF(3));
  // Only what came later.
  expect(countsOf(await after.coordinator.ledger(run, 2))).toEqual(COUNTS_OF(1));
});

test("checkpoints take the place of commits under killed leaders, and every event counts once, however often it comes", async () => {
  cluster = testCluster();
  const DAY = 86_400_000, options = { ledgerTickMs: 20, ledgerCheckpointBytes: 1500, nowMs: () => 20_000 * DAY };
  const start = async (name: string, store?: TestCoordinator["store"]): Promise<TestCoordinator> => cluster.coordinator(name, options, store);
  const settled: string[] = [];
  cluster.shared.bus.subscribe(settledSubject(TENANT, "*"), (_, bytes) => { settled.push(...SETTLED.decode(bytes).manifest); });
  let one = await start("one");
  await one.coordinator.leading();
  const { run } = await one.coordinator.enterLedger(encodeLedgerPlan(PLAN));
  let two = await start("two"), sent = 0;
  const sendSome = async (): Promise<void> => {
    const events = Array.from({ length: 5 }, () => event(sent += 1));
    await send(run, [...events, `${id(1_000_000 + sent)} 0 9 0 1`]);
    await until(async () => two.store.get("events", `${TENANT} ${run} ${id(sent)}`) !== null || (await namesOf(run)).includes(id(sent)));
  };
  const isAppend = ({ port, method, argument }: { readonly port: string; readonly method: string; readonly argument: string }): boolean => port === "log" && method === "append" && argument === commitSubject(TENANT, run);
  for (let round = 0; round < 6; round += 1) await sendSome();
  // In COMMIT lies what came after the last checkpoint, and nobody's disk holds more.
  await until(async () => isLedgerBase((await commitsOf(run))[0]) && isLedgerBase(COMMIT.decode(two.store.range("commits", { prefix: TENANT })[0].bytes)));
  expect((await commitsOf(run)).length).toBeLessThan(6);

  for (const [when, matches] of [
    ["before", isAppend], ["after", isAppend],
    ["before", ({ port, method, argument }) => port === "log" && method === "purge" && argument === commitSubject(TENANT, run)],
    ["after", ({ port, method, argument }) => port === "log" && method === "purge" && argument === commitSubject(TENANT, run)],
  ] as const satisfies readonly (readonly ["before" | "after", Parameters<TestCoordinator["stopAt"]>[1]])[]) {
    const killed = one, stopped = killed.stopAt(when, matches);
    let isStopped = false;
    void stopped.then(() => { isStopped = true; });
    while (!isStopped) {
      await send(run, Array.from({ length: 5 }, () => event(sent += 1)));
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await two.coordinator.leading();
    // What was killed comes back as a standby; it has missed checkpoints.
    for (let round = 0; round < 3; round += 1) await sendSome();
    killed.go();
    await until(() => killed.coordinator.role === "standby");
    [one, two] = [two, killed];
    await sendSome();
  }
  // Everything once more, as gateways do that were told nothing.
  await send(run, Array.from({ length: sent }, (_, index) => event(index + 1)));
  await send(run, [`${id(1_000_005)} 0 9 0 1`]);
  await sendSome();
  const { sums, record } = await one.coordinator.ledger(run, 0);
  expect(sums.counted).toBe(sent);
  expect(countsOf({ sums })).toEqual(COUNTS_OF(sent));
  expect(settled).toEqual(expect.arrayContaining([event(1), `${id(1_000_005)} refused before`]));
  const chain = await commitsOf(run);
  chain.forEach((commit, index) => { if (index > 0) expect([commit.tick, commit.prevRoot]).toEqual([chain[index - 1].tick + 1, chain[index - 1].root]); });
  // From any tick on, also within what a checkpoint stands for.
  const later = await one.coordinator.ledger(run, 3);
  expect([later.record.root, later.sums.counted < sent, later.sums.counted > 0]).toEqual([record.root, true, true]);

  // The transport forgets everything, blobs as well: the leader gives it back, and an empty coordinator takes it from there.
  const parts = chain.find(isLedgerBase)!.checkpoint;
  await cluster.shared.log.purge("pop.>", Number.MAX_SAFE_INTEGER);
  for (const hash of parts) await cluster.shared.blobs.remove(hash);
  await sendSome();
  const base = (await commitsOf(run)).find(isLedgerBase)!;
  await until(async () => (await Promise.all(base.checkpoint.map((hash) => cluster.shared.blobs.has(hash)))).every(Boolean));
  const three = await start("three");
  await until(() => three.store.range("commits", { prefix: TENANT }).length > 0);
  expect(three.store.range("events", { prefix: `${TENANT} ${run} `, keysOnly: true }).length).toBeGreaterThanOrEqual(sent);
  const folderOf = join(folder, "compacted");
  expect((await backup(cluster.shared, TENANT, folderOf)).runs).toMatchObject([{ run, state: "running" }]);
  await cluster.close();

  cluster = testCluster();
  await restore(cluster.shared, folderOf);
  const after = await cluster.coordinator("after", options);
  await after.coordinator.leading();
  await send(run, [event(1), event(sent), event(sent + 1)]);
  await until(async () => (await namesOf(run)).includes(id(sent + 1)));
  expect(countsOf(await after.coordinator.ledger(run, 0))).toEqual(COUNTS_OF(sent + 1));
}, 60_000);

test("where a standby lives, gateways are told of a commit when it is on the standby's disk, and no further tick comes before", async () => {
  cluster = testCluster();
  const options = { ledgerTickMs: 20, leaseTtlMs: 5000 }, heard: number[] = [];
  cluster.shared.bus.subscribe(settledSubject(TENANT, "*"), (_, bytes) => { heard.push(SETTLED.decode(bytes).tick); });
  const leads = await cluster.coordinator("leads", options);
  await leads.coordinator.leading();
  const standby = await cluster.coordinator("standby", options);
  const { run } = await leads.coordinator.enterLedger(encodeLedgerPlan(PLAN));
  await send(run, [event(1)]);
  await until(() => heard.includes(0));
  expect(standby.store.range("commits").length).toBe(1);
  standby.stop();
  await send(run, [event(2)]);
  await until(async () => (await namesOf(run)).includes(id(2)));
  await send(run, [event(3)]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect([Math.max(...heard), (await commitsOf(run)).length]).toEqual([0, 2]);
  standby.go();
  await until(() => heard.includes(2));
  expect(standby.store.range("commits").length).toBe(3);
}, 30_000);

test("what is older than the horizon is refused with its reason, its ids are forgotten and its counts are not", async () => {
  cluster = testCluster();
  const DAY = 86_400_000;
  let today = 20_000;
  const { coordinator, store } = await cluster.coordinator("c", { ledgerTickMs: 20, ledgerCheckpointBytes: 1, ledgerHorizonDays: 30, nowMs: () => today * DAY });
  await coordinator.leading();
  const { run } = await coordinator.enterLedger(encodeLedgerPlan(PLAN));
  const on = (number: number, day: number): string => eventText({ id: id(number), persona: 1, stimulus: 0, reached: 1, day });
  const sendOne = async (number: number, day: number): Promise<readonly string[]> => {
    await send(run, [on(number, day)]);
    await until(async () => (await namesOf(run)).includes(id(number)));
    return (await named(run)).filter((entry) => eventIdOf(entry) === id(number));
  };
  await sendOne(9, 20_000);
  expect(await sendOne(1, 20_000)).toEqual([on(1, 20_000)]);
  today = 20_031;
  expect(await sendOne(2, 20_031)).toEqual([on(2, 20_031)]);
  // The same outcome again, and one that came late.
  expect(await sendOne(1, 20_000)).toEqual([expect.stringContaining("too old: day 20000")]);
  expect(await sendOne(3, 20_000)).toEqual([expect.stringContaining("takes outcomes from day 20001 on")]);
  expect(await sendOne(4, 20_001)).toEqual([on(4, 20_001)]);
  const { sums } = await coordinator.ledger(run, 0);
  expect([countsOf({ sums }), sums.refused]).toEqual([COUNTS_OF(4), 2]);
  today = 20_070;
  await sendOne(5, 20_070);
  await until(async () => store.range("events", { prefix: `${TENANT} ${run} `, keysOnly: true }).length < 4);
  expect(countsOf(await coordinator.ledger(run, 0))).toEqual(COUNTS_OF(5));
  await expect(coordinator.ledger(run, 1)).rejects.toMatchObject({ code: "BAD_REQUEST", message: expect.stringContaining("as counts only") });
}, 30_000);
