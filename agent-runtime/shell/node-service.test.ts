import { RandomStream } from "@populace/domain";
import { type EmbeddedPorts, memoryPorts, sha256, sha256Hex } from "@populace/io";
import { samplePlan, type SamplePlanOptions } from "@populace/kernels/sample-plan";
import {
  blocksOf, COMMIT, commitSubject, type Commit, encodePlan, failSubject, haltSubject, HEARTBEAT, heartbeatSubject, LEADER_BEAT, NODE_FAILURE, type NodeFailure, openSubject, outSubject, type Plan, planHash, probeSubject,
  RECOMPUTE, type Recompute, RECOMPUTED, type Recomputed, recomputedSubject, recomputeSubject, rootOf, RUN_RECORD, RUN_STOP, runIdOf, runKey, runSpecOf, type Shard, SHARD_OUT, type ShardOut, SLOT_REFERENCE, schemaOf,
  stopSubject, sumsHashOf, TICK_OPEN, VIEW_RECORD, type ViewRecord, viewKey,
} from "@populace/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { type NodeOptions, type RunningNode, startNode } from "./node-service.ts";

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
  readonly ports: EmbeddedPorts;
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

  constructor(plan: Plan, options: DriveOptions, ports: EmbeddedPorts = memoryPorts()) {
    this.ports = ports;
    this.plan = plan;
    this.options = options;
    this.run = runIdOf(runSpecOf(plan, planHash(plan, sha256)), sha256);
    this.shards = cut(blocksOf(plan).length, options.shards);
    this.ports.bus.subscribe(failSubject(TENANT, this.run, "*"), (_subject, bytes) => { this.failures.push(NODE_FAILURE.decode(bytes)); });
  }

  async join(incarnation: string, more: Partial<NodeOptions> = {}): Promise<void> {
    this.node = startNode({ ports: this.ports, incarnation, workers: this.options.workers, ...more });
    open.push({ node: this.node, ports: this.ports });
    await this.own(this.shards.map(() => incarnation));
  }

  async own(owners: readonly string[]): Promise<void> {
    const hash = await this.ports.blobs.put(encodePlan(this.plan));
    const { workers, population = "stored", span = 1, checkpointTicks = 0 } = this.options;
    const record = RUN_RECORD.encode({
      run: this.run, spec: runSpecOf(this.plan, hash), attempt: this.attempt, view: this.view, state: "running", shards: this.shards, owners, reason: "",
      number: 1, label: "", priority: 0, firstAttempt: 1, term: this.term, change: 1, wanted: {}, unfit: [], checkedTick: -1, uncheckedFrom: -1, dispute: null, suspectFrom: -1, code: "", tick: -1, root: this.run, exposures: 0, seconds: 0, backends: [],
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
      sections: plan.influence === null ? new Float64Array(0) : sections, manifest: [], tickSums: new Float64Array(0), sums: "", exposures: 0, authors: [], backends: [], seconds: 0,
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

  it("checks what it replays against the slots; a block that comes out otherwise is computed once more, and both outputs are kept", async () => {
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
    await expect(drive.drive()).rejects.toThrow(/DIVERGENCE.*node-b.*and node-a computed different blocks/);
    expect(drive.failures[0]).toMatchObject({ tick: 1, shard: 0 });
    expect(drive.failures[0].outputs).toHaveLength(2);
  });

  it("acts on no TickOpen of a stale term or of another root", async () => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 1 });
    drive.term = 3;
    await drive.join("node-a");
    drive.publish(0, 1, { prevRoot: sha256Hex(new Uint8Array(1)) });
    await settled();
    drive.publish(0, 1, { term: 2 });
    await settled();
    expect(await drive.slots(0)).toBeNull();
    expect(drive.node.exposures()).toBe(0);
    drive.publish(0, 1);
    await until(async () => (await drive.slots(0)) !== null);
  });

  it.each([["stop", stopSubject], ["halt", haltSubject]])("computes nothing of a run whose %s comes while it is being loaded", async (_, subject) => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 1 });
    const { registry } = drive.ports, asked = Promise.withResolvers<void>(), answered = Promise.withResolvers<void>();
    await drive.join("node-a", { ports: { ...drive.ports, registry: { ...registry, get: async (key) => {
      asked.resolve();
      await answered.promise;
      return registry.get(key);
    } } } });
    await drive.node.ready;
    // The second one waits while the first is taken up, and is not taken up afterwards.
    for (let times = 0; times < 2; times++) drive.publish(0, 1);
    await asked.promise;
    drive.ports.bus.publish(subject(TENANT, drive.run, 1), RUN_STOP.encode({ run: drive.run, attempt: 1, term: drive.term, reason: "canceled" }));
    await settled();
    answered.resolve();
    // The next run goes through the same workers, after whatever they were told of this one.
    const plan = planOf({ ticks: 1, agents: [100] }), other = new Drive(plan, { workers: 1, shards: 1 }, drive.ports);
    await other.own(["node-a"]);
    await other.drive();
    await settled();
    expect(await drive.slots(0)).toBeNull();
    expect(drive.node.exposures()).toBe(100 * plan.scenarios.reduce((sum, { schedule }) => sum + schedule.filter((cell) => cell >= 0).length, 0));
  });

  it("stops a run within a block when told, fills nothing, and takes the next attempt's work", async () => {
    const plan = planOf({ ticks: 40, agents: [400_000] });
    const drive = new Drive(plan, { workers: 1, shards: 1, span: 40 });
    await drive.join("node-a");
    let told = Number.NaN;
    // Heard after the node has heard it.
    drive.ports.bus.subscribe(stopSubject(TENANT, drive.run, 1), () => { told = drive.node.exposures(); });
    drive.publish(0, 40);
    await until(async () => drive.node.exposures() > 0);
    drive.ports.bus.publish(stopSubject(TENANT, drive.run, 1), RUN_STOP.encode({ run: drive.run, attempt: 1, term: drive.term, reason: "canceled" }));
    let last = -1;
    await until(async () => { const now = drive.node.exposures(), same = now === last; last = now; await settled(); return same && drive.node.exposures() === now; });
    const block = blocksOf(plan)[0].agents * plan.scenarios.reduce((sum, { schedule }) => sum + schedule.filter((cell) => cell >= 0).length, 0);
    expect(last - told).toBeLessThanOrEqual(block);
    expect(last).toBeLessThan((block * 400_000) / blocksOf(plan)[0].agents);
    expect(await drive.slots(0)).toBeNull();
    expect(drive.failures).toEqual([]);
    const other = new Drive(planOf({ ticks: 1, agents: [100] }), { workers: 1, shards: 1 });
    await other.join("node-a");
    await other.drive();
    expect(other.roots.length).toBe(1);
  });
});

/** Writes the view as a leader would. */
async function writeView({ ports }: Drive, view: Omit<ViewRecord, "term" | "view">): Promise<void> {
  const current = await ports.registry.get(viewKey(TENANT));
  const bytes = VIEW_RECORD.encode({ term: 1, view: 1 + (current?.revision ?? 0), ...view });
  if (current === null) await ports.registry.create(viewKey(TENANT), bytes);
  else await ports.registry.update(viewKey(TENANT), bytes, current.revision);
}

describe("a node's standing", () => {
  it("says at once that it lives when it is probed, and with every beat how late its event loop was", async () => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 1 });
    await drive.join("node-a");
    await drive.node.ready;
    const lags: number[] = [];
    drive.ports.bus.subscribe(heartbeatSubject(TENANT, "node-a"), (_subject, bytes) => { lags.push(HEARTBEAT.decode(bytes).loopLagMs); });
    const before = lags.length;
    for (let probe = 0; probe < 50; probe++) drive.ports.bus.publish(probeSubject(TENANT, "node-a"), LEADER_BEAT.encode({ holder: "c", term: 1, view: 1, release: 0 }));
    await until(async () => lags.length >= before + 50);
    const blockedUntil = performance.now() + 700;
    while (performance.now() < blockedUntil);
    await until(async () => lags.some((lag) => lag >= 400));
  });

  it("ends when it reads itself dead, and fills nothing any more", async () => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 1 });
    await drive.join("node-a");
    await writeView(drive, { members: [], draining: [], dead: ["node-a"] });
    expect(await drive.node.ended).toBe("dead");
    drive.publish(0, 1);
    await settled();
    expect(await drive.slots(0)).toBeNull();
  });

  it("after a silence fills nothing until the registry answers, then only what it still owns", async () => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 2 });
    let refusals = 0, isOut = true;
    // A registry that is away for the view, which only a node in doubt asks for.
    const registry = { ...drive.ports.registry, get: async (key: string) => {
      if (key !== viewKey(TENANT) || !isOut) return drive.ports.registry.get(key);
      refusals += 1;
      throw new Error("no answer");
    } };
    // Half of nothing: always in doubt.
    await drive.join("node-a", { ports: { ...drive.ports, registry }, leaseTtlMs: 0 });
    drive.publish(0, 1);
    await until(async () => refusals >= 2);
    expect(await drive.slots(0)).toBeNull();
    drive.view++;
    await drive.own(["node-a", "node-b"]);
    isOut = false;
    await until(async () => (await drive.ports.log.last(outSubject(TENANT, drive.run, 1, 0, 0))) !== null);
    await settled();
    expect(await drive.ports.log.last(outSubject(TENANT, drive.run, 1, 0, 1))).toBeNull();
    expect(drive.failures).toEqual([]);
  });

  it("drains: goes on with what it owns, leaves when the leader knows it and no run needs it", async () => {
    const plan = planOf({ ticks: 4, agents: FEW });
    const { roots } = await rootsOf(plan, { workers: 1, shards: 3 });
    const states: string[] = [];
    let drained: Promise<void> = Promise.resolve(), hasLeft = false;
    const drive = new Drive(plan, {
      workers: 1, shards: 3, checkpointTicks: 1,
      async before(tick, { ports, node }) {
        if (tick === 1) {
          ports.bus.subscribe(heartbeatSubject(TENANT, "node-a"), (_subject, bytes) => { states.push(HEARTBEAT.decode(bytes).state); });
          drained = node.drain().then(() => { hasLeft = true; });
          await writeView(drive, { members: ["node-a", "node-b"], draining: ["node-a"], dead: [] });
        }
        if (tick === 3) {
          await until(async () => states.includes("draining"));
          expect(hasLeft).toBe(false);
          drive.view++;
          await drive.own(drive.shards.map(() => "node-b"));
          await drained;
        }
      },
    });
    const other = startNode({ ports: drive.ports, incarnation: "node-b", workers: 1 });
    await drive.join("node-a");
    await drive.drive();
    expect(drive.roots).toEqual(roots);
    expect(await drive.node.ended).toBe("drained");
    expect(states.at(-1)).toBe("leaving");
    expect(drive.outs.map((out) => `${out.tick} ${out.incarnation}`).filter((each) => each.startsWith("2"))).toEqual(["2 node-a", "2 node-a", "2 node-a"]);
    await other.stop();
  });

  it("leaves all the same when nobody relieves it in time", async () => {
    const drive = new Drive(planOf({ ticks: 1, agents: FEW }), { workers: 1, shards: 1 });
    await drive.join("node-a");
    await drive.node.drain(300);
    expect(await drive.node.ended).toBe("drained");
  });
});

describe("a second computation", () => {
  /** A run driven to its end by node-a, with its slots as they are, and a second node that nobody gave anything. */
  async function secondOf(plan: Plan, options: DriveOptions) {
    const drive = new Drive(plan, options);
    const answers: Recomputed[] = [];
    drive.ports.bus.subscribe(recomputedSubject(TENANT, drive.run, "*"), (_subject, bytes) => { answers.push(RECOMPUTED.decode(bytes)); });
    const other = startNode({ ports: drive.ports, incarnation: "node-b", workers: 2 });
    await drive.join("node-a");
    await drive.drive();
    open.unshift({ node: other, ports: drive.ports });
    const ask = (request: Partial<Recompute>): void => drive.ports.bus.publish(recomputeSubject(TENANT, drive.run, 1), RECOMPUTE.encode({
      run: drive.run, attempt: 1, term: 1, view: 1, incarnation: "node-b", backend: "reference", shard: 0, tick: 0, span: 1, checkpoint: false, blocks: [], ...request,
    }));
    return { drive, answers, ask };
  }

  it.each([{ influence: false, span: 3 }, { influence: true, span: 1 }])("of some blocks agrees with all slots since the checkpoint, influence $influence", async ({ influence, span }) => {
    const { drive, answers, ask } = await secondOf(planOf({ ticks: 6, agents: FEW, influence }), { workers: 1, shards: 1, span, checkpointTicks: 3 });
    ask({ tick: 3, span: 3, blocks: [0, 2] });
    await until(async () => answers.length > 0);
    ask({ tick: 0, span: 3, blocks: [1], backend: "auto" });
    await until(async () => answers.length > 1);
    expect(answers.map(({ tick, compared, incarnation }) => ({ tick, compared, incarnation }))).toEqual([{ tick: 3, compared: 6, incarnation: "node-b" }, { tick: 0, compared: 3, incarnation: "node-b" }]);
    // Asked again it answers again without computing.
    const before = drive.node.exposures();
    ask({ tick: 3, span: 3, blocks: [0, 2] });
    await until(async () => answers.length > 2);
    expect(drive.node.exposures()).toBe(before);
    expect(drive.failures).toEqual([]);
  });

  it("that comes out otherwise is a divergence, with both outputs kept", async () => {
    const { drive, ask } = await secondOf(planOf({ ticks: 4, agents: FEW }), { workers: 1, shards: 1, checkpointTicks: 2 });
    const subject = outSubject(TENANT, drive.run, 1, 3, 0);
    const out = SHARD_OUT.decode((await drive.ports.log.last(subject))!.bytes);
    out.hashes[2 * 64 + 40] ^= 1;
    await drive.ports.log.purge(subject, Number.MAX_SAFE_INTEGER);
    await drive.ports.log.fill(subject, SHARD_OUT.encode(out));
    ask({ tick: 2, span: 2, blocks: [2] });
    await until(async () => drive.failures.length > 0);
    expect(drive.failures[0]).toMatchObject({ code: "DIVERGENCE", incarnation: "node-b", shard: 0, tick: 3 });
    const mine = SHARD_OUT.decode((await drive.ports.blobs.get(drive.failures[0].outputs[1]))!);
    expect(Buffer.compare(mine.hashes, out.hashes)).not.toBe(0);
  });

  it("of a straggler fills its slot, which the straggler then finds filled with the same", async () => {
    const { drive, answers, ask } = await secondOf(planOf({ ticks: 4, agents: FEW, influence: true }), { workers: 1, shards: 2, checkpointTicks: 2 });
    const subject = outSubject(TENANT, drive.run, 1, 3, 1);
    const before = SHARD_OUT.decode((await drive.ports.log.last(subject))!.bytes);
    await drive.ports.log.purge(subject, Number.MAX_SAFE_INTEGER);
    ask({ shard: 1, tick: 3 });
    await until(async () => answers.length > 0);
    const after = SHARD_OUT.decode((await drive.ports.log.last(subject))!.bytes);
    expect(after).toEqual({ ...before, incarnation: "node-b", states: after.states });
    drive.publish(3, 1);
    await settled();
    expect(drive.failures).toEqual([]);
  });

  it("of a run that the node cannot follow is left alone", async () => {
    const { drive, answers, ask } = await secondOf(planOf({ ticks: 2, agents: FEW }), { workers: 1, shards: 1 });
    ask({ attempt: 2, blocks: [0] });
    ask({ tick: 5, blocks: [0] });
    ask({ incarnation: "node-c", blocks: [0] });
    ask({ tick: 1, blocks: [0] });
    await until(async () => answers.length > 0);
    expect(answers.map((answer) => answer.tick)).toEqual([1]);
    expect(drive.failures).toEqual([]);
  });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Long enough for the bus, the registry and a small block; only the absence of an effect is concluded from it. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));
