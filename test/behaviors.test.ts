import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileBehavior, startNode } from "@populace/agent-runtime";
import { startCoordinator } from "@populace/coordinator";
import { philox4x32 } from "@populace/domain/random";
import { memoryPorts, type Ports, type Store } from "@populace/io";
import { openNatsPorts } from "@populace/io/nats";
import { personaKey } from "@populace/kernels";
import { RUN_RECORD, STREAM_TABLE, outSubject, runKey, type BehaviorPlan } from "@populace/protocol";
import type { RunOutcome } from "@populace/studies";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { checkMemory } from "../cli/commands/behave.ts";
import { runPopulace } from "../cli/program.ts";
import { embeddedRunner, type EmbeddedRunner } from "../cli/embedded.ts";
import { NATS, startNatsServer } from "../io/nats/server.fixture.ts";
import { counterSeries } from "../cli/report/from-behavior.ts";

// The naive models below share nothing with the engine but the generator and what its documentation says of streams: key of the
// persona, counter (number, tick, FNV-1a of the name, draw / 4), draws of one agent and tick and stream one after another.

const root = mkdtempSync(join(tmpdir(), "populace-behaviors-"));
const opened: EmbeddedRunner[] = [];
afterAll(async () => {
  for (const runner of opened) await runner.close();
  rmSync(root, { recursive: true, force: true });
});

const SEED: readonly [number, number] = [11, 0];
const START = 0xffff_ffff;
const fileOf = (name: string): string => join(import.meta.dirname, `../cli/examples/behaviors/${name}.ts`);

function runnerAt(storeDir = mkdtempSync(join(root, "store-"))): EmbeddedRunner {
  const runner = embeddedRunner({ storeDir });
  opened.push(runner);
  return runner;
}

async function runOnce(plan: BehaviorPlan, execution: Parameters<EmbeddedRunner>[1]): Promise<RunOutcome> {
  const runner = runnerAt();
  const outcome = await runner(plan, execution);
  await runner.close();
  return outcome;
}

/** Draws of one agent and tick: each call gives the next word of the named stream. */
function streams(persona: string, number: number, tick: number): { word(name: string): number; chance(name: string, probability: number): boolean; integer(name: string, below: number): number } {
  const key = personaKey(SEED, createHash("sha256").update(persona).digest()), drawn = new Map<string, number>();
  const word = (name: string): number => {
    const draw = drawn.get(name) ?? 0;
    drawn.set(name, draw + 1);
    let purpose = 0x811c9dc5n;
    for (const letter of name) purpose = ((purpose ^ BigInt(letter.charCodeAt(0))) * 0x01000193n) & 0xffff_ffffn;
    return philox4x32([number, tick, Number(purpose), Math.floor(draw / 4)], key)[draw % 4];
  };
  return {
    word,
    chance: (name, probability) => word(name) / 2 ** 32 < probability,
    integer(name, below) {
      for (;;) {
        const product = BigInt(word(name)) * BigInt(below);
        if ((product & 0xffff_ffffn) >= (1n << 32n) % BigInt(below)) return Number(product >> 32n);
      }
    },
  };
}

type Totals = Record<string, number[]>;

function naiveWordOfMouth(agents: number, ticks: number): Totals {
  const sizes = { enthusiast: agents / 5, skeptic: (agents * 4) / 5 };
  const people = (Object.entries(sizes) as [string, number][]).flatMap(([persona, size]) => Array.from({ length: size }, (_, number) => ({ persona, number, belief: 0, ties: [] as number[], knows: false, age: 0 })));
  people.forEach((one, id) => {
    const start = streams(one.persona, one.number, START);
    one.belief = one.persona === "enthusiast" ? 30 + start.integer("trait belief", 31) : 5 + start.integer("trait belief", 21);
    for (let tie = 1; tie <= 4; tie++) one.ties.push(start.chance("rewire", 0.1) ? start.integer("tie", agents) : (id + tie) % agents);
  });
  const totals: Totals = {};
  const add = (name: string, tick: number): void => void ((totals[name] ??= new Array<number>(ticks).fill(0))[tick] += 1);
  let rumors: number[] = new Array<number>(agents).fill(0);
  for (let tick = 0; tick < ticks; tick++) {
    const next = new Array<number>(agents).fill(0);
    people.forEach((one, id) => {
      const draw = streams(one.persona, one.number, tick);
      const learn = (): void => {
        one.knows = true;
        add(`new ${one.persona}`, tick);
      };
      if (tick === 0 && draw.word("stimulus advertisement") / 2 ** 32 < 0.002) learn();
      for (let i = 0; i < rumors[id]; i++) if (!one.knows && draw.chance("believe", one.belief / 100)) learn();
      if (!one.knows) return;
      add(`knowing ${one.persona}`, tick);
      if (one.age >= 5) return;
      one.age++;
      for (const tie of one.ties) {
        if (!draw.chance("tell", 0.5)) continue;
        next[tie]++;
        add(`messages sent ${one.persona}`, tick);
      }
    });
    rumors = next;
  }
  return totals;
}

function naiveSchelling(width: number, height: number, ticks: number, wanted: number): Totals {
  const places = width * height, kind = new Array<number>(places).fill(0), totals: Totals = {};
  const add = (name: string, tick: number, by = 1): void => void ((totals[`${name} agent`] ??= new Array<number>(ticks).fill(0))[tick] += by);
  for (let id = 0; id < places; id++) {
    const start = streams("agent", id, START);
    if (start.chance("filled", 0.9)) kind[id] = 1 + start.integer("kind", 2);
  }
  for (let tick = 0; tick + 3 < ticks; tick += 4) {
    const asks: [from: number, to: number][] = [];
    for (let id = 0; id < places; id++) {
      if (kind[id] === 0) continue;
      add("messages sent", tick, 8);
      let alike = 0, neighbors = 0;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          if (dx === 0 && dy === 0) continue;
          const at = ((Math.floor(id / width) + dy + height) % height) * width + (((id % width) + dx + width) % width);
          if (kind[at] === 0) continue;
          neighbors++;
          if (kind[at] === kind[id]) alike++;
        }
      }
      add("households", tick + 1);
      add("alike", tick + 1, alike);
      add("neighbors", tick + 1, neighbors);
      if (alike >= wanted * neighbors) continue;
      add("unhappy", tick + 1);
      add("messages sent", tick + 1);
      asks.push([id, streams("agent", id, tick + 1).integer("place", places)]);
    }
    const moves = new Map<number, number>();
    for (const [from, to] of asks) if (kind[to] === 0 && !moves.has(to)) moves.set(to, from);
    for (const [to, from] of moves) {
      kind[to] = kind[from];
      add("messages sent", tick + 2);
      add("moved", tick + 3);
    }
    for (const from of moves.values()) kind[from] = 0;
  }
  return totals;
}

const totalsOf = (plan: BehaviorPlan, outcome: RunOutcome): Totals =>
  Object.fromEntries(counterSeries(plan, outcome).filter(({ total }) => total > 0).map(({ counter, persona, byTick }) => [`${counter} ${persona}`, [...byTick]]));

describe("word of mouth on a small world", () => {
  const AGENTS = 2500, TICKS = 18;
  const compiled = compileBehavior(readFileSync(fileOf("word-of-mouth"), "utf8"), { agents: AGENTS, ticks: TICKS, seed: SEED, blockAgents: 256 });
  let reference: RunOutcome;

  test("counts what a naive model counts, tick by tick and persona by persona", async () => {
    const { plan } = await compiled;
    reference = await runOnce(plan, { workers: 1, shards: 1 });
    const expected = naiveWordOfMouth(AGENTS, TICKS);
    expect(expected["knowing skeptic"].at(-1)).toBeGreaterThan(20);
    expect(totalsOf(plan, reference)).toEqual(expected);
    expect(reference.exposures).toBe(AGENTS * TICKS);
  });

  test.each([{ workers: 2, shards: 99 }, { workers: 7, shards: 3, checkpointTicks: 5 }])("has the same roots with %o", async (execution) => {
    const outcome = await runOnce((await compiled).plan, execution);
    expect(outcome.roots).toEqual(reference.roots);
    expect(outcome.counts).toEqual(reference.counts);
  });

  test("interrupted it goes on from its checkpoint, messages under way included, to the same root", async () => {
    const { plan } = await compiled;
    const storeDir = mkdtempSync(join(root, "resume-"));
    const before = runnerAt(storeDir), controller = new AbortController();
    await expect(before(plan, { workers: 2, shards: 4, checkpointTicks: 4 }, { signal: controller.signal, onProgress: ({ tick }) => { if (tick >= 10) controller.abort(); } })).rejects.toMatchObject({ code: "INTERRUPTED" });
    const [paused] = await (await before.coordinator()).runs();
    expect(paused).toMatchObject({ state: "paused" });
    await before.close();
    const after = runnerAt(storeDir);
    const outcome = await after(plan, { workers: 1, shards: 7, checkpointTicks: 0 });
    expect(outcome.cached).toBe(false);
    expect(outcome.roots).toEqual(reference.roots);
    await after.close();
  });

  test.skipIf(!existsSync("/proc/self/task"))("goes through the SIGKILL of all its processes and the leaving of a node to the same root (skipped without /proc)", async () => {
    const { plan } = await compiled, ports = memoryPorts(), tenant = "t";
    const coordinator = await startCoordinator({ ports, tenant, alone: true });
    const nodes = ["a", "b"].map((incarnation) => startNode({ ports, tenant, workers: 1, incarnation, backend: "reference", allowBehaviors: true }));
    await Promise.all(nodes.map((node) => node.ready));
    const killed: number[] = [];
    let hasLeft = false, owners: readonly string[] = [];
    const outcome = await coordinator.submit(plan, { shards: 6, checkpointTicks: 100 }, {
      onProgress({ tick }) {
        if (tick >= 5 && killed.length === 0) for (const pid of processesOfBehaviors()) { process.kill(pid, "SIGKILL"); killed.push(pid); }
        if (tick >= 11 && !hasLeft) {
          hasLeft = true;
          void nodes[1].stop();
        }
        if (tick === plan.ticks) void coordinator.runs().then(([now]) => { owners = now.owners; });
      },
    });
    expect(killed.length).toBeGreaterThanOrEqual(2);
    expect(hasLeft).toBe(true);
    expect(outcome.roots).toEqual(reference.roots);
    expect(new Set(owners)).toEqual(new Set(["a"]));
    await coordinator.close();
    await Promise.all(nodes.map((node) => node.stop()));
  });

  test("is repaired to the same root when the outputs of a committed tick, and the messages in them, are gone", async () => {
    const { plan } = await compiled, ports = memoryPorts(), tenant = "t";
    const coordinator = await startCoordinator({ ports, tenant, alone: true });
    const node = startNode({ ports, tenant, workers: 1, incarnation: "a", backend: "reference", allowBehaviors: true });
    await node.ready;
    const removed: Promise<number>[] = [];
    const outcome = await coordinator.submit(plan, { shards: 3, checkpointTicks: 5 }, {
      onProgress({ tick }) { if (tick === 9 && removed.length === 0) removed.push(ports.log.purge(outSubject(tenant, "*", "*", 8, "*"), Number.MAX_SAFE_INTEGER)); },
    });
    expect(await Promise.all(removed)).toEqual([3]);
    expect(outcome.roots).toEqual(reference.roots);
    expect(RUN_RECORD.decode((await ports.registry.get(runKey(tenant, outcome.runId)))!.bytes).attempt).toBeGreaterThan(1);
    await coordinator.close();
    await node.stop();
  });
});

/** Children of this process that run a behavior. */
function processesOfBehaviors(): readonly number[] {
  return readdirSync("/proc/self/task").flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, "utf8").split(" ").filter((pid) => pid !== "").map(Number))
    .filter((pid) => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("behavior/host"));
}

describe("Schelling on a torus", () => {
  test("counts what a naive model counts, and people end up among their like", async () => {
    const [width, height, ticks] = [20, 30, 60];
    const { plan } = await compileBehavior(readFileSync(fileOf("schelling"), "utf8"), { agents: width * height, ticks, seed: SEED, parameters: { width, wanted: 0.5 }, blockAgents: 256 });
    const outcome = await runOnce(plan, { workers: 2, shards: 3 });
    const totals = totalsOf(plan, outcome);
    expect(totals).toEqual(naiveSchelling(width, height, ticks, 0.5));
    const share = (tick: number): number => totals["alike agent"][tick] / totals["neighbors agent"][tick];
    expect(share(57)).toBeGreaterThan(share(1) + 0.1);
    expect(totals["households agent"][57]).toBe(totals["households agent"][1]);
  });
});

test("a behavior is refused where no node allows it, and runs where one does while others do not", async () => {
  const { plan } = await compileBehavior(readFileSync(fileOf("schelling"), "utf8"), { agents: 600, ticks: 4, seed: SEED, parameters: { width: 20 }, blockAgents: 256 });
  const ports = memoryPorts(), tenant = "t";
  const coordinator = await startCoordinator({ ports, tenant, alone: true });
  const strict = startNode({ ports, tenant, workers: 1, incarnation: "strict", backend: "reference" });
  await expect(coordinator.submit(plan)).rejects.toMatchObject({ code: "BEHAVIOR_REFUSED", message: expect.stringContaining("start one with --allow-behaviors") });
  const open = startNode({ ports, tenant, workers: 1, incarnation: "open", backend: "reference", allowBehaviors: true });
  await open.ready;
  const outcome = await coordinator.submit(plan, { shards: 3 });
  expect(outcome.exposures).toBe(2400);
  expect(outcome.backend).toBe("behavior");
  await coordinator.close();
  await Promise.all([strict.stop(), open.stop()]);
});

describe("populace behave", () => {
  test("prints counters and root, writes them and a report, and reads the run back", async () => {
    const out: string[] = [], store = join(root, "behave");
    const args = ["behave", "--behavior", fileOf("word-of-mouth"), "--agents", "2_000", "--ticks", "6", "--seed", "5", "--set", "telling=0.9", "--workers", "1", "--store", store, "--json"];
    expect(await runPopulace(args, new AbortController().signal, { out: (text) => out.push(text), err: () => {} })).toBe(0);
    const document = JSON.parse(out.join(""));
    expect(document).toMatchObject({ behavior: "word-of-mouth", agents: 2000, ticks: 6, agentTicks: 12_000, cached: false, parameters: { telling: 0.9, rewired: 0.1 } });
    expect(document.counters).toHaveLength(6);
    expect(document.rootHash).toMatch(/^[0-9a-f]{64}$/);
    const [counter] = document.counters as { persona: string; counter: string; byTick: number[] }[];
    expect(readFileSync(join(document.outDir, "counters.csv"), "utf8").split("\n")[3]).toBe(`2,${counter.persona},${counter.counter},${counter.byTick[2]}`);
    expect(readFileSync(join(document.outDir, "report.html"), "utf8")).toContain("Behavior word-of-mouth");
    out.length = 0;
    for (const [asked, shape] of [[["list"], { runs: [{ kind: "behavior", behavior: "word-of-mouth", agents: 2000, ticks: 6, exposures: 12_000, rootHash: document.rootHash }] }], [["show", document.runId.slice(0, 9)], { kind: "behavior", seed: 5, behavior: { name: "word-of-mouth", parameters: document.parameters }, rootHash: document.rootHash, files: { "counters.csv": { rows: 36 } } }]] as const) {
      expect(await runPopulace(["runs", ...asked, "--store", store, "--json"], new AbortController().signal, { out: (text) => out.push(text), err: () => {} })).toBe(0);
      expect(JSON.parse(out.splice(0).join(""))).toMatchObject(shape);
    }
    expect(await runPopulace([...args, "--shards", "1"], new AbortController().signal, { out: (text) => out.push(text), err: () => {} })).toBe(0);
    expect(JSON.parse(out.join(""))).toMatchObject({ cached: true, rootHash: document.rootHash });
  });

  test("runs what the README shows", async () => {
    const [source] = /```ts\n(import[^]*?)```/.exec(readFileSync(join(import.meta.dirname, "../README.md"), "utf8"))!.slice(1);
    const { plan } = await compileBehavior(source, { agents: 2000, ticks: 5, seed: SEED });
    const [counted] = counterSeries(plan, await runOnce(plan, { workers: 1 }));
    expect(counted).toMatchObject({ persona: "agent", counter: "new" });
    expect(counted.total).toBeGreaterThan(5);
  });

  test("agents that do not fit the memory are refused with how many would", () => {
    const description = { traits: ["belief"], state: [{ name: "tie", type: "i32" }, { name: "knows", type: "u8" }] } as const;
    expect(() => checkMemory(description, 1000, 9000)).not.toThrow();
    expect(() => checkMemory(description, 1001, 9000)).toThrow("1,001 agents need 9.0 kB of traits and state, 9 bytes an agent; this machine allows 9.0 kB: ask for at most 1,000 agents");
  });

  test.each([
    [["--agents", "100", "--set", "wantd=0.5"], "did you mean wanted?"],
    [["--agents", "100", "--set", "wanted"], "Expected name=number."],
  ])("%j is refused with what to do", async (args, reason) => {
    const err: string[] = [];
    expect(await runPopulace(["behave", "--behavior", fileOf("schelling"), "--ticks", "4", ...args, "--store", join(root, "usage")], new AbortController().signal, { out: () => {}, err: (text) => err.push(text) })).toBe(2);
    expect(err.join("")).toContain(reason);
  });
});

async function rootOf(plan: BehaviorPlan, coordinatorPorts: Ports & { readonly store: Store }, nodePorts: readonly Ports[], shards: number): Promise<string> {
  const coordinator = await startCoordinator({ ports: coordinatorPorts, tenant: "t" });
  await coordinator.leading();
  const nodes = nodePorts.map((ports, index) => startNode({ ports, tenant: "t", workers: 1, incarnation: `n${index}`, backend: "reference", allowBehaviors: true }));
  try {
    await Promise.all(nodes.map((node) => node.ready));
    return (await coordinator.submit(plan, { shards, checkpointTicks: 3 })).rootHash;
  } finally {
    await coordinator.close();
    for (const node of nodes) await node.stop();
  }
}

test.skipIf(NATS.path === "")(`word of mouth has the same root on two nodes over NATS as in one process (${NATS.path === "" ? `skipped: ${NATS.why}` : NATS.name})`, async () => {
  const source = readFileSync(fileOf("word-of-mouth"), "utf8");
  const { plan } = await compileBehavior(source, { agents: 6000, ticks: 9, seed: [4, 0], blockAgents: 512 });
  const embedded = memoryPorts();
  const expected = await rootOf(plan, embedded, [embedded], 1);

  const server = await startNatsServer();
  onTestFinished(() => server.remove());
  const open = async (role: "coordinator" | "node", name: string) => {
    const ports = await openNatsPorts({ servers: [server.url], name, role, streams: STREAM_TABLE, storeDir: null });
    onTestFinished(() => ports.close());
    return ports;
  };
  const coordinator = await open("coordinator", "c");
  expect(await rootOf(plan, coordinator, [await open("node", "a"), await open("node", "b")], 5)).toBe(expected);
});
