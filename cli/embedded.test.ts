import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNode } from "@populace/agent-runtime";
import { startCoordinator } from "@populace/coordinator";
import { memoryPorts, openEmbeddedPorts, type EmbeddedPorts } from "@populace/io";
import { influenceStep, initialClimate } from "@populace/kernels";
import { createBlock, createOutput, createWorkspace, stepBlock } from "@populace/kernels/reference";
import { samplePlan } from "@populace/kernels/sample-plan";
import { COMMIT, SHARD_OUT, SLOT_REFERENCE, TICK_OPEN, blocksOf, columnCount, commitSubject, openSubject, outSubject, schemaOf, type Plan, type ShardOut } from "@populace/protocol";
import type { RunOutcome } from "@populace/studies";
import { afterAll, describe, expect, test } from "vitest";
import { embeddedRunner, openRuns, type EmbeddedRunner } from "./embedded.ts";
import { LOCAL_TENANT } from "./names.ts";

const root = mkdtempSync(join(tmpdir(), "populace-embedded-"));
const opened: EmbeddedRunner[] = [];
afterAll(async () => {
  for (const runner of opened) await runner.close();
  rmSync(root, { recursive: true, force: true });
});

let folders = 0;
const newFolder = (): string => join(root, `store-${(folders += 1)}`);

function runnerAt(storeDir: string, more: Partial<Parameters<typeof embeddedRunner>[0]> = {}): EmbeddedRunner {
  const runner = embeddedRunner({ storeDir, ...more });
  opened.push(runner);
  return runner;
}

/** Five blocks of four personas. */
const planOf = (influence: boolean, ticks = 6): Plan => samplePlan(11, { agents: [70_000, 5000, 9000, 7000], ticks, influence, worlds: 4, gapTicks: 1, copula: true });

async function runOnce(plan: Plan, execution: Parameters<EmbeddedRunner>[1]): Promise<RunOutcome> {
  const runner = runnerAt(newFolder());
  const outcome = await runner(plan, execution);
  await runner.close();
  return outcome;
}

/** The kernel called by hand, block after block, without coordinator, node or port. */
function direct(plan: Plan): { readonly counts: Float64Array; readonly exposures: number } {
  const columns = columnCount(plan.steps.length);
  const width = plan.worlds * columns;
  const counts = new Float64Array(plan.cells.length * plan.personas.length * width);
  const workspace = createWorkspace(plan);
  const blocks = blocksOf(plan).map((block) => ({ block, state: createBlock(plan, block, "procedural") }));
  let climate = initialClimate(plan);
  let exposures = 0;
  for (let tick = 0; tick < plan.ticks; tick += 1) {
    const sections = new Float64Array(plan.personas.length * plan.scenarios.length * 2);
    for (const { block, state } of blocks) {
      const output = createOutput(plan);
      stepBlock(plan, state, tick, climate, output, workspace);
      for (let cell = 0; cell < plan.cells.length; cell += 1) {
        for (let entry = 0; entry < width; entry += 1) {
          counts[(cell * plan.personas.length + block.persona) * width + entry] += output.counts[cell * width + entry];
          if (entry % columns === 0) exposures += output.counts[cell * width + entry];
        }
      }
      output.sections.forEach((value, index) => (sections[block.persona * plan.scenarios.length * 2 + index] += value));
    }
    if (plan.influence !== null) climate = influenceStep(plan, climate, sections);
  }
  return { counts, exposures };
}

describe.each([{ influence: false }, { influence: true }])("a run, influence $influence", ({ influence }) => {
  const plan = planOf(influence);
  let reference: RunOutcome;

  test("counts exactly what the kernel counts when it is called by hand", async () => {
    reference = await runOnce(plan, { workers: 1, shards: 1 });
    const expected = direct(plan);
    expect(reference.counts).toEqual(expected.counts);
    expect(reference.exposures).toBe(expected.exposures);
    expect(reference.exposures).toBeGreaterThan(500_000);
    const columns = columnCount(plan.steps.length);
    const overTicks = new Float64Array(plan.cells.length * plan.personas.length * columns);
    reference.tickCounts.forEach((value, index) => (overTicks[index % overTicks.length] += value));
    const overWorlds = new Float64Array(overTicks.length);
    reference.counts.forEach((value, index) => (overWorlds[Math.floor(index / (plan.worlds * columns)) * columns + (index % columns)] += value));
    expect(overTicks).toEqual(overWorlds);
  });

  test.each([
    { workers: 2, shards: 3 },
    { workers: 7, shards: 5, population: "procedural" as const },
    { workers: 2, shards: 5, spanTicks: 4, checkpointTicks: 3 },
    { workers: 1, shards: 2, spanTicks: 1, checkpointTicks: 1, population: "stored" as const },
  ])("has the same roots with %o", async (execution) => {
    const outcome = await runOnce(plan, execution);
    expect(outcome.roots).toEqual(reference.roots);
    expect(outcome.runId).toBe(reference.runId);
    expect(outcome.counts).toEqual(reference.counts);
    expect(outcome.tickCounts).toEqual(reference.tickCounts);
    expect(outcome.execution).toMatchObject(execution.spanTicks === undefined || influence ? { workers: execution.workers } : execution);
  });

  test("interrupted at a tick it goes on from its last checkpoint, with other shards and workers, to the same root", async () => {
    const storeDir = newFolder();
    const first = runnerAt(storeDir);
    const controller = new AbortController();
    const ticks: number[] = [];
    await expect(first(plan, { workers: 2, shards: 3, spanTicks: 1, checkpointTicks: 2 }, {
      signal: controller.signal,
      onProgress: ({ tick }) => { ticks.push(tick); if (tick === 5) controller.abort(); },
    })).rejects.toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("repeat the command") });
    const [paused] = await (await first.coordinator()).runs();
    expect(paused).toMatchObject({ state: "paused", attempt: 1 });
    expect(paused.tick).toBeGreaterThanOrEqual(4);
    await first.close();

    const second = runnerAt(storeDir);
    const outcome = await second(plan, { workers: 1, shards: 4, spanTicks: 2, checkpointTicks: 0 });
    expect(outcome.roots).toEqual(reference.roots);
    expect(outcome.counts).toEqual(reference.counts);
    expect(outcome.cached).toBe(false);
    const opens = (await (await second.ports()).log.read(openSubject(LOCAL_TENANT, outcome.runId, 2))).map((entry) => TICK_OPEN.decode(entry.bytes));
    expect(opens[0]).toMatchObject({ tick: 4, attempt: 2, prevRoot: reference.roots[3] });
    await second.close();
  });
});

describe("the embedded log", () => {
  test("holds TickOpen, ShardOut and COMMIT of a finished run, and they chain", async () => {
    const plan = planOf(true);
    const storeDir = newFolder();
    const runner = runnerAt(storeDir);
    const outcome = await runner(plan, { workers: 2, shards: 3, checkpointTicks: 4 });
    await runner.close();

    const ports = openEmbeddedPorts(storeDir);
    const opens = (await ports.log.read(openSubject(LOCAL_TENANT, outcome.runId, 1))).map((entry) => TICK_OPEN.decode(entry.bytes));
    const commits = (await ports.log.read(commitSubject(LOCAL_TENANT, outcome.runId))).map((entry) => COMMIT.decode(entry.bytes));
    expect(opens.map((open) => open.tick)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(commits.map((commit) => commit.tick)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(commits.map((commit) => commit.root)).toEqual(outcome.roots);
    expect(outcome.roots.at(-1)).toBe(outcome.rootHash);
    commits.forEach((commit, tick) => {
      expect(commit.prevRoot).toBe(tick === 0 ? outcome.runId : commits[tick - 1].root);
      expect(opens[tick]).toMatchObject({ prevRoot: commit.prevRoot, inputHash: commit.inputHash, term: commit.term, span: 1 });
    });
    expect(commits[3].checkpoint.length).toBe(blocksOf(plan).length);
    // Slots live from the last complete checkpoint on.
    const slots = await ports.log.read(outSubject(LOCAL_TENANT, outcome.runId, 1, "*", "*"));
    const outs = await Promise.all(slots.map((entry) => outOf(ports, entry.bytes)));
    expect(outs.map((out) => `${out.tick}.${out.shard}`).toSorted()).toEqual(["4.0", "4.1", "4.2", "5.0", "5.1", "5.2"]);
    // The sums hash of a commit is the hash of the outputs' own counts, taken here the long way.
    const columns = columnCount(plan.steps.length);
    const sums = new BigUint64Array(plan.cells.length * plan.personas.length * plan.worlds * columns);
    const width = plan.worlds * columns;
    for (const out of outs.filter((one) => one.tick === 5)) {
      out.counts.forEach((value, index) => {
        const cell = Math.floor(index / (out.personas[1] * width));
        const persona = out.personas[0] + (Math.floor(index / width) % out.personas[1]);
        sums[(cell * plan.personas.length + persona) * width + (index % width)] += BigInt(value);
      });
    }
    expect(commits[5].sumsHash).toBe(createHash("sha256").update(new Uint8Array(sums.buffer)).digest("hex"));
    await ports.close();

    const reader = openRuns(storeDir);
    expect((await reader.runs()).map((row) => [row.run, row.state])).toEqual([[outcome.runId, "done"]]);
    expect((await reader.outcome(outcome.runId.slice(0, 8))).rootHash).toBe(outcome.rootHash);
    expect((await reader.plan(outcome.runId)).personas.length).toBe(4);
    await expect(reader.outcome("nothing")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await reader.close();
  });

  test("a committed run is read back, and computed again with fresh", async () => {
    const plan = planOf(false, 3);
    const runner = runnerAt(newFolder());
    const computed = await runner(plan, { workers: 2 });
    const [cached, both] = [await runner(plan, { workers: 2 }), await Promise.all([runner(plan, {}, { fresh: true }), runner(plan, {})])];
    expect([computed.cached, cached.cached]).toEqual([false, true]);
    expect(cached.counts).toEqual(computed.counts);
    expect(both[0]).toMatchObject({ cached: false, rootHash: computed.rootHash });
    expect((await (await runner.coordinator()).runs())[0]).toMatchObject({ attempt: 2, state: "done" });
    await runner.close();
  });
});

describe("faults", () => {
  test("SIGKILL of the process in the middle of a run: the next one goes on to the same root", async () => {
    const plan = planOf(true, 8);
    const expected = await runOnce(plan, { workers: 1 });
    const storeDir = newFolder();
    const script = `
      import { embeddedRunner } from ${JSON.stringify(join(import.meta.dirname, "embedded.ts"))};
      import { samplePlan } from ${JSON.stringify(import.meta.resolve("@populace/kernels/sample-plan"))};
      const plan = samplePlan(11, { agents: [70_000, 5000, 9000, 7000], ticks: 8, influence: true, worlds: 4, gapTicks: 1, copula: true });
      const runner = embeddedRunner({ storeDir: ${JSON.stringify(storeDir)} });
      await runner(plan, { workers: 1, checkpointTicks: 3 }, { onProgress: ({ tick }) => console.log(tick) });`;
    const file = join(root, "child.mjs");
    writeFileSync(file, script);
    const child = spawn(process.execPath, [file], { cwd: import.meta.dirname, stdio: ["ignore", "pipe", "inherit"] });
    const gone = new Promise((resolve) => child.once("exit", resolve));
    await new Promise<void>((resolve, reject) => child.once("exit", () => reject(new Error("the child ended by itself"))).stdout.on("data", (chunk) => { if (String(chunk).split("\n").some((line) => Number(line) >= 5)) resolve(); }));
    child.kill("SIGKILL");
    await gone;
    const before = openRuns(storeDir);
    const [left] = await before.runs();
    await before.close();
    expect(left).toMatchObject({ state: "running" });
    expect(left.tick).toBeGreaterThanOrEqual(4);
    expect(left.tick).toBeLessThan(7);

    const runner = runnerAt(storeDir);
    expect((await (await runner.coordinator()).runs())[0].state).toBe("paused");
    const outcome = await runner(plan, { workers: 2 });
    expect(outcome.roots).toEqual(expected.roots);
    expect(outcome.counts).toEqual(expected.counts);
    const commits = await (await runner.coordinator()).commits(outcome.runId);
    expect(commits.map((commit) => commit.tick)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(commits.at(-1)!.term).toBeGreaterThan(commits[0].term);
    await runner.close();
  });

  test("a coordinator with a stale term commits nothing more; the next one leads with a higher term", async () => {
    const plan = planOf(true);
    const storeDir = newFolder();
    const runner = runnerAt(storeDir);
    const { store } = await runner.ports();
    let planted = false;
    await expect(runner(plan, { workers: 2 }, {
      onProgress({ tick }) {
        if (tick < 2 || planted) return;
        planted = true;
        void store.transaction((tables) => tables.put("terms", LOCAL_TENANT, new Uint8Array(Float64Array.of(40).buffer)));
      },
    })).rejects.toMatchObject({ code: "STALE_TERM", message: expect.stringContaining("term 40") });
    const stopped = (await (await runner.coordinator()).runs())[0];
    expect(stopped.tick).toBeLessThan(5);
    await runner.close();
    const next = runnerAt(storeDir);
    expect((await next.coordinator()).term).toBe(41);
    const outcome = await next(plan, { workers: 2 });
    expect(outcome.roots.slice(0, stopped.tick + 1).at(-1)).toBe(stopped.root);
    expect((await (await next.coordinator()).commits(outcome.runId)).map((commit) => commit.term)).toEqual(outcome.roots.map((_, tick) => (tick <= stopped.tick ? 1 : 41)));
    await next.close();
  });

  test("two outputs of one block that differ freeze the run, keep both, and only fresh begins it again", async () => {
    const plan = planOf(false, 2);
    const honest = await runOnce(plan, { workers: 1, shards: 2 });
    const runner = runnerAt(newFolder());
    const { log } = await runner.ports();
    // A liar fills shard 1 (four blocks: the large one is shard 0) before the node does.
    const columns = columnCount(plan.steps.length);
    const firstOpen = Promise.withResolvers<void>();
    (await runner.ports()).bus.subscribe(openSubject(LOCAL_TENANT, honest.runId, 1), () => firstOpen.resolve());
    const running = runner(plan, { workers: 1, shards: 2, spanTicks: 1 });
    await firstOpen.promise;
    const record = (await (await runner.ports()).registry.list(`${LOCAL_TENANT}.run.*`))[0];
    expect(record.key).toContain(honest.runId);
    const lie: ShardOut = {
      run: honest.runId, attempt: 1, tick: 0, span: 1, shard: 1, view: 0, incarnation: "liar", backend: "reference", hashes: new Uint8Array(64 * 4), states: new Uint8Array(0),
      personas: [0, 4], counts: new Uint32Array(plan.cells.length * 4 * plan.worlds * columns), sections: new Uint32Array(4 * plan.scenarios.length * 2), mail: new Uint32Array(0),
    };
    await log.fill(outSubject(LOCAL_TENANT, honest.runId, 1, 0, 1), SHARD_OUT.encode(lie));
    await expect(running).rejects.toMatchObject({ code: "DIVERGENCE" });
    expect(await (await runner.coordinator()).run(honest.runId)).toMatchObject({ state: "frozen", reason: expect.stringContaining("liar") });
    expect(SHARD_OUT.decode((await log.last(outSubject(LOCAL_TENANT, honest.runId, 1, 0, 1)))!.bytes).incarnation).toBe("liar");
    await expect(runner(plan, {})).rejects.toMatchObject({ code: "DIVERGENCE", message: expect.stringContaining("frozen") });
    expect((await runner(plan, { workers: 1 }, { fresh: true })).rootHash).toBe(honest.rootHash);
    await runner.close();
  });

  test("a committed root that recomputing does not give freezes the run", async () => {
    const plan = planOf(true);
    const storeDir = newFolder();
    const controller = new AbortController();
    const runner = runnerAt(storeDir);
    await runner(plan, { workers: 2, checkpointTicks: 2 }, { signal: controller.signal, onProgress: ({ tick }) => { if (tick === 3) controller.abort(); } }).catch(() => {});
    const row = (await (await runner.coordinator()).runs())[0];
    const { store } = await runner.ports();
    const key = `${LOCAL_TENANT} ${row.run} ${String(2).padStart(10, "0")}`;
    await store.transaction((tables) => tables.put("commits", key, COMMIT.encode({ ...COMMIT.decode(tables.get("commits", key)!), root: "ab".repeat(32) })));
    await expect(runner(plan, { workers: 2 })).rejects.toMatchObject({ code: "DIVERGENCE" });
    expect((await (await runner.coordinator()).runs())[0].state).toBe("frozen");
    await runner.close();
  });

  test("a node that leaves in the middle of a run: the other one takes its shards and the root is the same", async () => {
    const plan = planOf(true);
    const expected = await runOnce(plan, { workers: 1 });
    const ports = memoryPorts();
    const coordinator = await startCoordinator({ ports, tenant: "t", alone: true });
    const nodes = [1, 2].map(() => startNode({ ports, tenant: "t", workers: 1, incarnation: randomUUID() }));
    while (coordinator.membership().members.size < 2) await ports.clock.sleep(5);
    let left = false;
    const outcome = await coordinator.submit(plan, { shards: 4 }, {
      onProgress({ tick }) {
        if (tick < 2 || left) return;
        left = true;
        void nodes[0].stop();
      },
    });
    expect(left).toBe(true);
    expect(outcome.roots).toEqual(expected.roots);
    const outs = await Promise.all((await ports.log.read(outSubject("t", outcome.runId, 1, "*", "*"))).map((entry) => outOf(ports, entry.bytes)));
    expect(new Set(outs.filter((out) => out.tick === 0).map((out) => out.incarnation)).size).toBe(2);
    expect(new Set(outs.filter((out) => out.tick === 5).map((out) => out.incarnation)).size).toBe(1);
    await coordinator.close();
    await nodes[1].stop();
  });

  test("a canceled run is canceled, and its next submission finishes", async () => {
    const plan = planOf(true);
    const runner = runnerAt(newFolder());
    const coordinator = await runner.coordinator();
    const running = runner(plan, { workers: 1 }, { onProgress: ({ tick }) => { if (tick === 1) void coordinator.runs().then(([row]) => coordinator.cancel(row.run)); } });
    await expect(running).rejects.toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("canceled") });
    expect((await coordinator.runs())[0].state).toBe("canceled");
    await expect(coordinator.cancel("nothing")).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect((await runner(plan, { workers: 1 })).roots.length).toBe(6);
    await runner.close();
  });
});

describe("refusals", () => {
  test("a second coordinator in one store is refused by the pid of the first", async () => {
    const storeDir = newFolder();
    const first = runnerAt(storeDir);
    await first.coordinator();
    const second = runnerAt(storeDir);
    await expect(second.coordinator()).rejects.toMatchObject({ code: "STORE_IN_USE", message: expect.stringContaining(String(process.pid)) });
    await first.close();
    expect(await (await runnerAt(storeDir).coordinator()).runs()).toEqual([]);
  });

  test("more agents than the machine can carry are refused with the limit, and no run is left behind", async () => {
    const storeDir = newFolder();
    const runner = runnerAt(storeDir);
    const huge = samplePlan(3, { agents: [2_000_000_000, 2_000_000_000], ticks: 3000 });
    await expect(runner(huge, {})).rejects.toMatchObject({ code: "TOO_LARGE", details: { agentsLimit: expect.any(Number) } });
    expect(await (await runner.coordinator()).runs()).toEqual([]);
    await runner.close();
    expect(existsSync(storeDir)).toBe(true);
  });

  test("a closed runner runs nothing more", async () => {
    const runner = runnerAt(newFolder());
    await runner.close();
    await expect(runner(planOf(false), {})).rejects.toMatchObject({ code: "INTERRUPTED" });
  });
});

async function outOf(ports: Pick<EmbeddedPorts, "blobs">, bytes: Uint8Array): Promise<ShardOut> {
  return SHARD_OUT.decode(schemaOf(bytes) === SLOT_REFERENCE.schema ? (await ports.blobs.get(SLOT_REFERENCE.decode(bytes).blob))! : bytes);
}
