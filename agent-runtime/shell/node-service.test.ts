import { RandomStream } from "@populace/domain";
import { type EmbeddedPorts, memoryPorts, sha256, sha256Hex } from "@populace/io";
import { samplePlan, type SamplePlanOptions } from "@populace/kernels/sample-plan";
import {
  blocksOf, COMMIT, commitSubject, type Commit, encodePlan, failSubject, NODE_FAILURE, type NodeFailure, openSubject, outSubject, type Plan, planHash, rootOf,
  RUN_RECORD, RUN_STOP, runIdOf, runKey, runSpecOf, type Shard, SHARD_OUT, type ShardOut, SLOT_REFERENCE, schemaOf, stopSubject, sumsHashOf, TICK_OPEN,
} from "@populace/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { type RunningNode, startNode } from "./node-service.ts";

const TENANT = "default";
const INPUT_HASH = "00".repeat(32);
const open: { node: RunningNode; ports: EmbeddedPorts }[] = [];

afterEach(async () => {
  for (const { node, ports } of open.splice(0)) {
    await node.stop();
    await ports.close();
  }
});

interface DriveOptions {
  readonly workers: number;
  readonly shards: number;
  readonly span?: number;
  readonly checkpointTicks?: number;
  readonly population?: "stored" | "procedural";
  /** Called before each opening; may replace the node. */
  readonly before?: (tick: number, drive: Drive) => Promise<void>;
}

/** The least of a coordinator that the node can be tested against: opens ticks, waits for slots, commits. */
class Drive {
  readonly ports = memoryPorts();
  readonly failures: NodeFailure[] = [];
  readonly roots: string[] = [];
  readonly outs: ShardOut[] = [];
  readonly plan: Plan;
  readonly run: string;
  readonly shards: readonly Shard[];
  readonly options: DriveOptions;
  node!: RunningNode;
  view = 1;
  term = 1;
  readonly attempt = 1;

  constructor(plan: Plan, options: DriveOptions) {
    this.plan = plan;
    this.options = options;
    this.run = runIdOf(runSpecOf(plan, planHash(plan, sha256)), sha256);
    this.shards = cut(blocksOf(plan).length, options.shards);
    this.ports.bus.subscribe(failSubject(TENANT, this.run, "*"), (_subject, bytes) => { this.failures.push(NODE_FAILURE.decode(bytes)); });
  }

  async join(incarnation: string): Promise<void> {
    this.node = startNode({ ports: this.ports, incarnation, workers: this.options.workers });
    open.push({ node: this.node, ports: this.ports });
    await this.own(this.shards.map(() => incarnation));
  }

  async own(owners: readonly string[]): Promise<void> {
    const hash = await this.ports.blobs.put(encodePlan(this.plan));
    const { workers, population = "stored", span = 1, checkpointTicks = 0 } = this.options;
    const record = RUN_RECORD.encode({
      run: this.run, spec: runSpecOf(this.plan, hash), attempt: this.attempt, view: this.view, state: "running", shards: this.shards, owners, reason: "",
      number: 1, label: "", priority: 0, firstAttempt: 1, term: this.term, change: 1, wanted: {}, unfit: [], dispute: null, code: "", tick: -1, root: this.run, exposures: 0, seconds: 0, backends: [],
      execution: { shards: this.shards.length, workers, backend: "reference", population, spanTicks: span, checkpointTicks },
    });
    const current = await this.ports.registry.get(runKey(TENANT, this.run));
    if (current === null) await this.ports.registry.create(runKey(TENANT, this.run), record);
    else await this.ports.registry.update(runKey(TENANT, this.run), record, current.revision);
  }

  publish(tick: number, span: number, overrides: { prevRoot?: string; term?: number } = {}): void {
    const every = this.options.checkpointTicks ?? 0, next = tick + span;
    this.ports.bus.publish(openSubject(TENANT, this.run, this.attempt), TICK_OPEN.encode({
      run: this.run, attempt: this.attempt, term: overrides.term ?? this.term, view: this.view, tick, span,
      prevRoot: overrides.prevRoot ?? this.roots.at(-1) ?? this.run, inputHash: INPUT_HASH,
      checkpoint: next === this.plan.ticks || (every > 0 && next % every === 0),
    }));
  }

  async slots(tick: number): Promise<ShardOut[] | null> {
    const found: ShardOut[] = [];
    for (const shard of this.shards) {
      const entry = await this.ports.log.last(outSubject(TENANT, this.run, this.attempt, tick, shard.index));
      if (entry === null) return null;
      const bytes = schemaOf(entry.bytes) === SLOT_REFERENCE.schema ? (await this.ports.blobs.get(SLOT_REFERENCE.decode(entry.bytes).blob))! : entry.bytes;
      found.push(SHARD_OUT.decode(bytes));
    }
    return found;
  }

  async drive(): Promise<void> {
    const { plan } = this;
    for (let tick = 0; tick < plan.ticks;) {
      await this.options.before?.(tick, this);
      const span = Math.min(this.options.span ?? 1, plan.ticks - tick);
      let outs: ShardOut[] | null = null;
      for (let tries = 0; outs === null; tries++) {
        if (tries % 50 === 0) this.publish(tick, span);
        await new Promise((resolve) => setTimeout(resolve, 5));
        outs = await this.slots(tick);
        if (this.failures.length > 0) throw new Error(JSON.stringify(this.failures));
      }
      this.outs.push(...outs);
      for (let i = 0; i < span; i++, tick++) await this.commit(tick, i, span, outs);
    }
  }

  async commit(tick: number, i: number, span: number, outs: readonly ShardOut[]): Promise<void> {
    const { plan } = this;
    const row = plan.worlds * (plan.steps.length + 3), cells = plan.cells.length, personas = plan.personas.length, pair = plan.scenarios.length * 2;
    const leaves = Buffer.concat(outs.map((out) => out.hashes.subarray((out.hashes.length / span) * i, (out.hashes.length / span) * (i + 1))));
    const sums = new Float64Array(cells * personas * row), sections = new Float64Array(personas * pair);
    for (const out of outs) {
      const [first, count] = out.personas;
      for (let cell = 0; cell < cells; cell++) for (let p = 0; p < count; p++) for (let k = 0; k < row; k++) {
        sums[(cell * personas + first + p) * row + k] += out.counts[((i * cells + cell) * count + p) * row + k];
      }
      for (let k = 0; k < count * pair; k++) sections[first * pair + k] += out.sections[i * count * pair + k];
    }
    const prevRoot = this.roots.at(-1) ?? this.run, sumsHash = sumsHashOf(sums, sha256);
    const root = rootOf(prevRoot, tick, INPUT_HASH, leaves, sumsHash, sha256);
    const every = this.options.checkpointTicks ?? 0, next = tick + 1;
    const isCheckpoint = i === span - 1 && (next === plan.ticks || (every > 0 && next % every === 0));
    const states = Buffer.concat(outs.map((out) => out.states));
    const checkpoint = isCheckpoint ? Array.from({ length: leaves.length / 64 }, (_, block) => states.subarray(block * 32, block * 32 + 32).toString("hex")) : [];
    const commit: Commit = {
      run: this.run, attempt: this.attempt, term: this.term, tick, prevRoot, inputHash: INPUT_HASH, root, sumsHash, checkpoint,
      sections: plan.influence === null ? new Float64Array(0) : sections, tickSums: new Float64Array(0), sums: "", exposures: 0, backends: [], seconds: 0,
    };
    await this.ports.log.append(commitSubject(TENANT, this.run), COMMIT.encode(commit));
    this.roots.push(root);
  }
}

function cut(blocks: number, shards: number): Shard[] {
  const count = Math.min(shards, blocks);
  return Array.from({ length: count }, (_, index) => {
    const first = Math.floor((index * blocks) / count);
    return { index, first, count: Math.floor(((index + 1) * blocks) / count) - first };
  });
}

/** The first persona has two blocks. */
const AGENTS = [66_000, 5, 900];
/** Three blocks, for what does not hang on their size. */
const FEW = [3000, 5, 900];
const planOf = (more: Partial<SamplePlanOptions> = {}): Plan => samplePlan(17, { agents: AGENTS, ticks: 5, worlds: 3, scenarios: 2, traits: 6, ...more });

async function rootsOf(plan: Plan, options: DriveOptions): Promise<{ roots: string[]; drive: Drive }> {
  const drive = new Drive(plan, options);
  await drive.join("node-a");
  await drive.drive();
  return { roots: drive.roots, drive };
}

describe("a node", () => {
  it("gives the same roots for 1, 2 and 7 workers, any shard count, any span, stored or procedural", async () => {
    const plan = planOf();
    const { roots } = await rootsOf(plan, { workers: 1, shards: 1 });
    expect(roots.length).toBe(5);
    expect(new Set(roots).size).toBe(5);
    for (const options of [
      { workers: 2, shards: 1 }, { workers: 7, shards: 3 }, { workers: 2, shards: 99, span: 4 }, { workers: 2, shards: 2, span: 5, population: "procedural" as const },
    ]) {
      expect((await rootsOf(plan, options)).roots, JSON.stringify(options)).toEqual(roots);
    }
  });

  it("gives the same roots under influence however the shards are cut, and influence changes them", async () => {
    const plan = planOf({ influence: true, agents: FEW });
    const { roots } = await rootsOf(plan, { workers: 1, shards: 1 });
    expect((await rootsOf(plan, { workers: 2, shards: 4 })).roots).toEqual(roots);
    const { influence, ...rest } = plan;
    expect(influence).not.toBeNull();
    expect((await rootsOf({ ...rest, influence: null }, { workers: 2, shards: 1 })).roots[4]).not.toBe(roots[4]);
  });

  it("conserves exposures: what the slots count is what the schedule and the population make, at every tick of a span", async () => {
    const plan = planOf({ gapTicks: 0 });
    const still: Plan = { ...plan, leaveBias: plan.leaveBias.map(() => -262_144), pressureLeaveWeight: 0 };
    const { drive } = await rootsOf(still, { workers: 2, shards: 2, span: 5 });
    const columns = still.steps.length + 3, personas = still.personas.length;
    for (let tick = 0; tick < still.ticks; tick++) {
      for (let p = 0; p < personas; p++) {
        for (let c = 0; c < still.cells.length; c++) {
          const cell = still.cells[c];
          const shown = still.scenarios[cell.scenario].schedule[tick * personas + p] === cell.stimulus;
          let exposures = 0;
          for (const out of drive.outs) {
            const [first, count] = out.personas;
            if (p < first || p >= first + count) continue;
            for (let world = 0; world < still.worlds; world++) exposures += out.counts[(((tick * still.cells.length + c) * count + p - first) * still.worlds + world) * columns];
          }
          expect(exposures).toBe(shown ? AGENTS[p] : 0);
        }
      }
    }
  });

  it("takes over from a lost node: restores the checkpoint, replays to the barrier, same roots", async () => {
    for (const influence of [false, true]) {
      const plan = planOf({ influence, ticks: 7, agents: FEW });
      const { roots } = await rootsOf(plan, { workers: 1, shards: 3 });
      const taken = new Drive(plan, {
        workers: 1, shards: 3, checkpointTicks: 2,
        async before(tick, drive) {
          if (tick !== 5 && tick !== 1) return;
          // At 1 there is no checkpoint yet (replay from the start), at 5 the one after tick 3.
          await drive.node.stop();
          drive.view++;
          await drive.join(`node-after-${tick}`);
        },
      });
      await taken.join("node-first");
      await taken.drive();
      expect(taken.roots).toEqual(roots);
    }
  });

  it("hands shards to another node at a barrier and both go on", async () => {
    const plan = planOf({ ticks: 4, agents: FEW });
    const { roots } = await rootsOf(plan, { workers: 1, shards: 3 });
    const random = RandomStream.of(5, "owners");
    const moved = new Drive(plan, {
      workers: 1, shards: 3, checkpointTicks: 1,
      async before(tick, drive) {
        if (tick === 0) return;
        drive.view++;
        await drive.own(drive.shards.map(() => (random.uniform() < 0.5 ? "node-a" : "node-b")));
      },
    });
    const second = startNode({ ports: moved.ports, incarnation: "node-b", workers: 1 });
    await moved.join("node-a");
    await moved.drive();
    await second.stop();
    expect(moved.roots).toEqual(roots);
  });

  it("fills a lost slot again from memory when the TickOpen is repeated", async () => {
    const lost = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 2 });
    await lost.join("node-a");
    lost.publish(0, 1);
    await until(async () => (await lost.slots(0)) !== null);
    const before = lost.node.exposures();
    await lost.ports.log.purge(outSubject(TENANT, lost.run, 1, 0, 1), Number.MAX_SAFE_INTEGER);
    expect(await lost.slots(0)).toBeNull();
    lost.publish(0, 1);
    await until(async () => (await lost.slots(0)) !== null);
    expect(lost.node.exposures()).toBe(before);
  });

  it("reports a divergence when the slot holds other hashes", async () => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 1 });
    const blocks = drive.shards[0].count;
    await drive.ports.log.fill(outSubject(TENANT, drive.run, 1, 0, 0), SHARD_OUT.encode({
      run: drive.run, attempt: 1, tick: 0, span: 1, shard: 0, view: 1, incarnation: "liar", backend: "reference", states: new Uint8Array(0), hashes: new Uint8Array(64 * blocks), personas: [0, 3],
      counts: new Uint32Array(0), sections: new Uint32Array(0), mail: new Uint32Array(0),
    }));
    await drive.join("node-a");
    drive.publish(0, 1);
    await until(async () => drive.failures.length > 0);
    expect(drive.failures[0].code).toBe("DIVERGENCE");
  });

  it("checks what it replays against the slots and reports a block that comes out otherwise", async () => {
    const drive = new Drive(planOf({ ticks: 3, agents: [200] }), {
      workers: 1, shards: 1,
      async before(tick, { ports, run, node }) {
        if (tick !== 2) return;
        await node.stop();
        const subject = outSubject(TENANT, run, 1, 1, 0);
        const out = SHARD_OUT.decode((await ports.log.last(subject))!.bytes);
        out.hashes[5] ^= 1;
        await ports.log.purge(subject, Number.MAX_SAFE_INTEGER);
        await ports.log.fill(subject, SHARD_OUT.encode(out));
        drive.view++;
        await drive.join("node-b");
      },
    });
    await drive.join("node-a");
    await expect(drive.drive()).rejects.toThrow(/DIVERGENCE.*replayed to tick 1/);
  });

  it("acts on no TickOpen of a stale term or of another root", async () => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 1 });
    await drive.join("node-a");
    drive.term = 3;
    drive.publish(0, 1, { prevRoot: sha256Hex(new Uint8Array(1)) });
    await settled();
    drive.publish(0, 1, { term: 2 });
    await settled();
    expect(await drive.slots(0)).toBeNull();
    expect(drive.node.exposures()).toBe(0);
    drive.publish(0, 1);
    await until(async () => (await drive.slots(0)) !== null);
  });

  it("stops a run within a block when told, fills nothing, and takes the next attempt's work", async () => {
    const drive = new Drive(planOf({ ticks: 40, agents: [400_000] }), { workers: 1, shards: 1, span: 40 });
    await drive.join("node-a");
    drive.publish(0, 40);
    await until(async () => drive.node.exposures() > 0);
    drive.ports.bus.publish(stopSubject(TENANT, drive.run, 1), RUN_STOP.encode({ run: drive.run, attempt: 1, term: drive.term, reason: "canceled" }));
    let last = -1;
    await until(async () => { const now = drive.node.exposures(), same = now === last; last = now; await settled(); return same && drive.node.exposures() === now; });
    expect(last).toBeLessThan(2 * 40 * 400_000);
    expect(await drive.slots(0)).toBeNull();
    expect(drive.failures).toEqual([]);
    const other = new Drive(planOf({ ticks: 1, agents: [100] }), { workers: 1, shards: 1 });
    await other.join("node-a");
    await other.drive();
    expect(other.roots.length).toBe(1);
  });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Long enough for the bus, the registry and a small block; only the absence of an effect is concluded from it. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));
