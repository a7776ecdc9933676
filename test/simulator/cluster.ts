/** One seed: the real coordinators and nodes over simulated ports, the faults of its schedule, and a record of all that was seen. */
import { startNode, startWorkersInline, type InlineWork, type RunningNode } from "@populace/agent-runtime";
import { startCoordinator, type Coordinator, type CoordinatorOptions } from "@populace/coordinator";
import { PopulaceError } from "@populace/domain";
import { SILENT, sha256, sha256Hex, type Logger } from "@populace/io";
import {
  CALM, simulatedDisk, simulatedHub, simulatedNetwork, simulatedService, simulatedWorld,
  type DiskImage, type SimulatedDisk, type SimulatedLife,
} from "@populace/io/simulated";
import type { ExposeKernel } from "@populace/kernels";
import { openBackend } from "@populace/kernels/backends";
import { COMMIT, HEARTBEAT, INPUT, LIMITS, RELEASE, RUN_RECORD, SHARD_OUT, TICK_OPEN, VIEW_RECORD, LEADER_RECORD, eventIdOf, inputHashOf, keepDecoded, leaderKey, viewKey, type Shard, commitSubject, type Commit } from "@populace/protocol";
import { chanceOf } from "./chance.ts";
import { LEDGER, marketOf, startGateway, type RunningGateway } from "./gateway.ts";
import { violations, type Violation } from "./invariants.ts";
import { memoryOf, type Memory } from "./memory.ts";
import type { ClusterRecord, Expected } from "./records.ts";
import type { Fault, FaultKind, Schedule } from "./schedule.ts";
import { rootsOf, sampleTruth, type Truth } from "./truth.ts";

const TENANT = "sim";
/** I11: two leases, the silence of a node, the timeouts of requests under way and the longest pause that may end just then. */
const RECOVERY_MS = 60_000;
/** Calm this long and not finished: it never will. */
const STUCK_MS = 180_000;
/** When every run has its outcome and every fault has struck, the cluster is watched for so long: a lease and the silence of a node. */
const AFTERMATH_MS = 3500;
/** A supervisor starts a process that ended by itself again after this. */
const RESTART_MS = 300;
/** A ledger's first event waits so long for others: several ticks a seed. */
const LEDGER_TICK_MS = 150;
/** How often the client looks after its runs. */
const CLIENT_MS = 100;

export interface SeedReport {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Faults that struck, by kind. */
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly counts: SeedCounts;
  readonly virtualMs: number;
  readonly happened: number;
}

/** What shows that a schedule was not empty. */
export interface SeedCounts {
  ticks: number;
  terms: number;
  views: number;
  /** Submissions beyond the first, COMMITs appended again, states restored from checkpoints. */
  repairs: number;
  /** Requests that were not answered, TickOpens that were refused, appends and fills that found something there. */
  refusals: number;
  divergences: number;
  /** Bits of nodes' memory that did flip, and nodes that were quarantined for what they said. */
  flipped: number;
  quarantined: number;
  /** Double runs that the product gave up, and said so. */
  unchecked: number;
  parted: number;
  lost: number;
  duplicated: number;
  delayed: number;
  /** Records that somebody overwrote who knew an earlier life of the registry only. */
  stale: number;
}

interface CoordinatorProcess {
  readonly name: string;
  readonly disk: SimulatedDisk;
  life: SimulatedLife | null;
  coordinator: Coordinator | null;
  starts: number;
  images: DiskImage[];
}

interface NodeProcess {
  readonly name: string;
  life: SimulatedLife | null;
  node: RunningNode | null;
  memory: Memory | null;
  starts: number;
}

export interface SeedOptions {
  /** Called with a line for everything that happens. */
  readonly trace?: (line: string) => void;
}

/** Runs a schedule to its end and checks every invariant. */
export async function runSchedule(schedule: Schedule, { trace }: SeedOptions = {}): Promise<SeedReport> {
  keepDecoded();
  const { kernels } = await openBackend("reference", "expose");
  const kernel: ExposeKernel = kernels.expose;
  const truths = await Promise.all(schedule.plans.map((index) => sampleTruth(index)));
  const world = simulatedWorld(chanceOf(schedule.seed, "world"));
  const network = simulatedNetwork(world), service = simulatedService(world.chance), hub = simulatedHub(world, network, service);
  const records: ClusterRecord[] = [];
  const counts: SeedCounts = { ticks: 0, terms: 0, views: 0, repairs: 0, refusals: 0, divergences: 0, flipped: 0, quarantined: 0, unchecked: 0, parted: 0, lost: 0, duplicated: 0, delayed: 0, stale: 0 };
  const faults: Partial<Record<FaultKind, number>> = {};
  const say = trace === undefined ? () => {} : (line: string): void => trace(`${world.nowMs().toFixed(1).padStart(10)} ${line}`);
  const terms = new Set<number>();
  const committedEver = new Set<string>();
  /** By run: up to which tick there is no gap. */
  const committedTo = new Map<string, number>();
  const shardsOf = new Map<string, readonly Shard[]>();
  const quarantined = new Set<string>();
  const flippedIn = new Set<string>();
  const hasFlips = schedule.strikes.some(({ fault }) => fault.kind === "state bit flipped" || fault.kind === "output bit flipped");

  // ---- what is seen ----
  service.onEvent((event) => {
    if (event.kind === "record") {
      if (event.isStale) counts.stale += 1;
      if (event.entry.key === viewKey(TENANT)) {
        const { view, members, dead } = VIEW_RECORD.decode(event.entry.bytes);
        records.push({ kind: "view", observer: "registry", atMs: world.nowMs(), view, members, dead, isStale: event.isStale });
        counts.views += 1;
        say(`view ${view}: ${members.join(" ")}; dead: ${dead.join(" ")}${event.isStale ? " (stale)" : ""}`);
      } else if (event.entry.key === leaderKey(TENANT)) {
        const { term, holder, nonce } = LEADER_RECORD.decode(event.entry.bytes);
        if (!terms.has(term)) {
          terms.add(term);
          counts.terms += 1;
          say(`${holder} leads with term ${term}`);
        }
        records.push({ kind: "term", observer: "registry", term, nonce, isStale: event.isStale, atMs: world.nowMs() });
      } else {
        const release = RELEASE.read(event.entry.bytes);
        if (release !== null) {
          records.push({ kind: "announced", release: release.number, model: release.content });
          say(`release ${release.number} is ${release.content.slice(0, 8)}`);
        }
        const record = RUN_RECORD.read(event.entry.bytes);
        if (record === null) return;
        const { run, attempt, firstAttempt, shards, state, owners, view, unfit, uncheckedFrom, dispute } = record;
        if (shards.length > 0) shardsOf.set(run, shards);
        records.push({ kind: "attempt", run, attempt, firstAttempt, uncheckedFrom, isFrozen: state === "frozen" });
        if (dispute !== null && dispute.attempt >= attempt && state !== "frozen") records.push({ kind: "disputed", run, attempt });
        quarantine(run, unfit);
        say(`run ${run.slice(0, 8)} is ${state}, view ${view}: ${owners.join(" ")}`);
      }
      return;
    }
    const { subject, bytes } = event.entry, tokens = subject.split(".");
    if (tokens.at(-1) === "commit") {
      const commit = COMMIT.decode(bytes);
      const key = `${commit.run} ${commit.tick}`;
      if (committedEver.has(key)) counts.repairs += 1;
      committedEver.add(key);
      records.push({ kind: "commit", observer: "log", commit, atMs: world.nowMs() });
      if (commit.run === LEDGER) part(commit, event.by);
      if (commit.run === LEDGER) records.push({ kind: "ledgered", run: LEDGER, tick: commit.tick, eventIds: commit.manifest.map(eventIdOf) });
      say(`COMMIT ${commit.run.slice(0, 8)} tick ${commit.tick} term ${commit.term} by ${event.by}`);
      committed();
    } else if (tokens.at(-3) === "out") {
      const out = SHARD_OUT.read(bytes);
      const shard = out === null ? undefined : shardsOf.get(out.run)?.[out.shard];
      if (out === null || shard === undefined) return;
      records.push({ kind: "slot", atMs: world.nowMs(), slot: { ...out, firstBlock: shard.first, blocks: shard.count } });
    } else if (tokens.at(-2) === "input") {
      const input = INPUT.decode(bytes);
      records.push({ kind: "input", input, inputHash: inputHashOf(input, sha256) });
    } else if (tokens.at(-1) === "open") {
      const { run, attempt, tick, span, term, view } = TICK_OPEN.decode(bytes);
      records.push({ kind: "opened", run, attempt, tick, span, term, view });
      say(`open ${run.slice(0, 8)} tick ${tick}+${span} attempt ${attempt} term ${term} view ${view} by ${event.by}`);
    }
  });

  hub.onPublish((from, subject, bytes) => {
    if (!subject.endsWith(".heartbeat") || from === "stranger") return;
    const { incarnation, term } = HEARTBEAT.decode(bytes);
    records.push({ kind: "term", observer: incarnation, term, atMs: world.nowMs() });
  });

  const expected = new Map(truths.map((truth) => [truth.run, expectation(truth)]));

  function loggerOf(name: string): Logger {
    const line = (fields: Readonly<Record<string, unknown>>, event: string): void => {
      if (event === "TickOpen refused") counts.refusals += 1;
      if (fields["code"] === "DIVERGENCE") counts.divergences += 1;
      if (hasFlips && event.startsWith("a double run was given up")) counts.unchecked += 1;
      say(`${name}: ${event} ${JSON.stringify(fields)}`);
    };
    return trace === undefined ? { ...SILENT, warn: line, error: line } : { debug: line, info: line, warn: line, error: line };
  }

  /** Processes that are cut off, and when each came back from whatever kept it away. */
  const cutOff = new Set<string>(), backMs = new Map<string, number>();
  /** The ledger's ticks as they were first committed. */
  const firstRoots = new Map<number, string>();
  function part({ run, tick, root }: Commit, by: string): void {
    const before = firstRoots.get(tick) ?? root;
    firstRoots.set(tick, before);
    if (before === root || service.read(commitSubject(TENANT, run), 0, Number.MAX_SAFE_INTEGER).some(({ bytes }) => COMMIT.decode(bytes).root === before)) return;
    const holders = coordinators.filter(({ disk }) => disk.rows("commits").some(({ bytes }) => { const held = COMMIT.decode(bytes); return held.run === run && held.root === before; }));
    const isAway = ({ name, life }: CoordinatorProcess): boolean => life === null || life.isPaused || cutOff.has(name) || world.nowMs() - (backMs.get(name) ?? 0) < LIMITS.leaseTtlMs;
    if (!holders.every((process) => process.name !== by && isAway(process))) return;
    records.push({ kind: "parted", run, tick });
    counts.parted += 1;
    say(`the ledger goes on from tick ${tick} without what only ${holders.map(({ name }) => name).join(" and ")} holds`);
  }

  // ---- processes ----
  const coordinators: CoordinatorProcess[] = Array.from({ length: schedule.coordinators }, (_, index) => ({ name: `coordinator-${index}`, disk: simulatedDisk(world), life: null, coordinator: null, starts: 0, images: [] }));
  const nodes: NodeProcess[] = Array.from({ length: schedule.nodes }, (_, index) => ({ name: `node-${index}`, life: null, node: null, memory: null, starts: 0 }));

  function bootCoordinator(process: CoordinatorProcess): void {
    if (process.life !== null) return;
    const life = world.life(process.name);
    process.life = life;
    process.starts += 1;
    backMs.set(process.name, world.nowMs());
    say(`${process.name} starts`);
    startCoordinator({ ports: watched(process, { ...hub.portsOf(life), store: process.disk.open(life) }), tenant: TENANT, ledgerTickMs: LEDGER_TICK_MS, ...(hasFlips ? { doubleRunShare: 1 } : {}), holder: process.name, incarnation: `${process.name}-${process.starts}`, logger: loggerOf(process.name) }).then(
      (coordinator) => { if (process.life === life) process.coordinator = coordinator; },
      (error: unknown) => { if (process.life === life) ended(process, error); },
    );
  }

  /** Notes whether the own disk holds a commit when it is sent to COMMIT: what arrives may have been on its way for a minute. */
  function watched({ name, disk }: CoordinatorProcess, ports: CoordinatorOptions["ports"]): CoordinatorOptions["ports"] {
    return {
      ...ports,
      log: {
        ...ports.log,
        append(subject, bytes, expectedLast) {
          if (subject.endsWith(".commit")) {
            const { run, tick } = COMMIT.decode(bytes);
            records.push({ kind: "flushed", by: name, run, tick, isDurable: disk.isDurable(bytes) });
          }
          return ports.log.append(subject, bytes, expectedLast);
        },
      },
    };
  }

  function bootNode(process: NodeProcess): void {
    if (process.life !== null) return;
    const life = world.life(process.name);
    process.life = life;
    process.starts += 1;
    const incarnation = `${process.name}-${process.starts}`;
    say(`${incarnation} starts`);
    const node = startNode({
      ports: hub.portsOf(life), incarnation, workers: schedule.workers, tenant: TENANT, backend: "reference", logger: loggerOf(incarnation),
      startPool: (size) => startWorkersInline(size, inlineWork(life, process, incarnation)),
    });
    process.node = node;
    void node.ended.then((why) => {
      if (process.life !== life) return;
      say(`${incarnation} has ended: ${why}`);
      down(process);
      if (why === "dead") up(() => bootNode(process), RESTART_MS);
    });
  }

  function inlineWork(life: SimulatedLife, process: NodeProcess, incarnation: string): InlineWork {
    process.memory = hasFlips ? memoryOf(kernel, world.chance, flippedIn, (what) => {
      counts.flipped += 1;
      records.push({ kind: "flipped", by: incarnation });
      say(`${incarnation}: FLIPPED ${what}`);
    }) : null;
    return {
      kernel: process.memory?.kernel ?? kernel, exposuresPerSecond: 1000 * (1 + nodes.indexOf(process)),
      pace(message) {
        if (message.kind === "hold" && message.blocks.some(({ state }) => state !== null)) {
          counts.repairs += 1;
          const [run, attempt] = message.key.split("/");
          for (const { block, state } of message.blocks) if (state !== null) records.push({ kind: "restored", by: incarnation, run, attempt: Number(attempt), block, tick: message.replayFrom - 1, stateHash: sha256Hex(state) });
        }
        return message.kind === "compute" || message.kind === "hold" ? life.clock.sleep(schedule.computeMs * (0.5 + world.chance())) : Promise.resolve();
      },
    };
  }

  /** A process that ended by itself is started again, as its supervisor would. */
  function ended(process: CoordinatorProcess, error: unknown): void {
    say(`${process.name} ended: ${String(error)}`);
    down(process);
    up(() => bootCoordinator(process), RESTART_MS);
  }

  function down(process: CoordinatorProcess | NodeProcess): void {
    process.life?.kill();
    process.life = null;
    if ("coordinator" in process) process.coordinator = null;
    else process.node = process.memory = null;
  }

  /** What an operator does with a node that a third computation has contradicted: takes it out, tests it, starts it again. */
  function quarantine(run: string, unfit: readonly string[]): void {
    for (const [incarnation, backend] of unfit.map((entry) => entry.split(" "))) {
      if (backend === undefined || quarantined.has(incarnation)) continue;
      quarantined.add(incarnation);
      counts.quarantined += 1;
      records.push({ kind: "quarantined", run, incarnation });
      say(`${incarnation} is quarantined`);
      const process = nodes.find(({ name, starts, life }) => life !== null && `${name}-${starts}` === incarnation);
      if (process === undefined) continue;
      const { life } = process;
      up(() => {
        if (process.life !== life) return;
        down(process);
        up(() => bootNode(process), RESTART_MS);
      }, RESTART_MS);
    }
  }

  let hasDied = false;
  /** Of a programmer's error: the course of events ends here. */
  function died(who: string, error: unknown): void {
    hasDied = true;
    records.push({ kind: "died", who, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }

  // ---- the client ----
  /** Enters each run once with whoever leads, then waits for it with anybody; takes a run that ended otherwise up again, as its owner would. */
  const errands = truths.map((truth) => ({ truth, isEntered: false, askedIn: null as SimulatedLife | null }));
  const finished = new Set<string>(), removed = new Set<string>();
  function lookAfterRuns(): void {
    for (const errand of errands) {
      if (finished.has(errand.truth.run) || (errand.askedIn !== null && errand.askedIn.isAlive)) continue;
      const ready = coordinators.filter(({ coordinator, life }) => coordinator !== null && life?.isPaused === false && (errand.isEntered || coordinator.role === "leader"));
      if (ready.length === 0) continue;
      const { name, coordinator, life } = ready[Math.floor(world.chance() * ready.length)];
      errand.askedIn = life;
      const { truth } = errand, run = truth.run.slice(0, 8);
      const asked = errand.isEntered ? wait(truth, coordinator!) : enter(truth, coordinator!);
      asked.then(
        (said) => {
          if (said === "entered" || said === "removed") errand.isEntered = said === "entered";
          errand.askedIn = null;
          say(`${name}: run ${run} is ${said}`);
        },
        (error: unknown) => {
          if (!life!.isAlive) return;
          const code = error instanceof PopulaceError ? error.code : "INTERNAL";
          say(`${name} refuses run ${run}: ${String(error)}`);
          counts.refusals += 1;
          if (code === "INTERNAL") died(name, error);
          if (errand.isEntered && code !== "UNAVAILABLE" && code !== "STALE_TERM") {
            counts.repairs += 1;
            errand.isEntered = false;
          }
          world.after(RESTART_MS, () => { if (errand.askedIn === life) errand.askedIn = null; });
        },
      );
    }
  }

  async function enter(truth: Truth, coordinator: Coordinator): Promise<string> {
    const { shards, workers, spanTicks, checkpointTicks, population } = schedule;
    const record = await coordinator.run(truth.run);
    if (record?.state === "frozen") {
      counts.divergences += 1;
      if (record.dispute !== null) return (await coordinator.resolve(truth.run)).state === "frozen" ? "frozen" : "entered";
    }
    await coordinator.enter(truth.plan, { shards, workers, spanTicks, checkpointTicks, population, backend: "reference" }, record?.state === "frozen" ? { fresh: true } : {});
    return "entered";
  }

  async function wait(truth: Truth, coordinator: Coordinator): Promise<string> {
    const { rootHash, exposures, counts: sums } = await coordinator.wait(truth.run);
    if (schedule.removals === true && !removed.has(truth.run)) {
      await coordinator.remove(truth.run);
      removed.add(truth.run);
      return "removed";
    }
    finished.add(truth.run);
    ending();
    records.push({ kind: "outcome", observer: "client", run: truth.run, root: rootHash, exposures, counts: sums });
    return "done";
  }

  // ---- the gateway ----
  const gatewayDisk = simulatedDisk(world);
  let gateway: RunningGateway | null = null;
  const market = schedule.hasGateway ? marketOf(hub.portsOf(world.life("owner")), chanceOf(schedule.seed, "market"), records, (error) => {
    say(`the market is refused: ${String(error)}`);
    counts.refusals += 1;
    if (!(error instanceof PopulaceError)) died("the market", error);
  }) : null;
  function bootGateway(): void {
    const life = world.life("gateway");
    life.within(() => { gateway = startGateway(life, hub.portsOf(life), gatewayDisk.open(life), TENANT, loggerOf("gateway")); });
  }
  function lookAfterMarket(): void {
    if (market === null) return;
    const leader = coordinators.find(({ coordinator, life }) => coordinator?.role === "leader" && life?.isPaused === false);
    market.look(gateway, leader === undefined ? null : { coordinator: leader.coordinator!, life: leader.life! });
    if (doneMs === null && market.isDone(gateway)) ending();
  }

  // ---- the faults ----
  const pending = [...schedule.strikes];
  /** Since when every run is done and every fault has struck. */
  let doneMs: number | null = null;
  let committedTick = -1, struck = 0, disturbances = 0, lastDisturbedMs = 0, nextStrikes = 0;
  function committed(): void {
    const ticks = truths.map(({ run, plan }) => {
      let tick = committedTo.get(run) ?? -1;
      while (tick + 1 < plan.ticks && committedEver.has(`${run} ${tick + 1}`)) tick += 1;
      committedTo.set(run, tick);
      return tick;
    });
    counts.ticks = committedEver.size;
    committedTick = Math.min(...ticks);
    arm();
  }
  function arm(): void {
    while (nextStrikes < pending.length && pending[nextStrikes].tick <= committedTick) {
      const { afterMs, step, fault } = pending[nextStrikes++];
      disturbances += 1;
      world.after(afterMs, () => {
        const life = lifeOf(fault);
        if (life === null || step === 0) return strike(fault);
        let isStruck = false;
        const once = (): void => {
          if (isStruck) return;
          isStruck = true;
          strike(fault);
        };
        life.atStep(step, once);
        // A process that makes no more calls is struck where it stands.
        world.after(3000, once);
      });
    }
  }

  function lifeOf(fault: Fault): SimulatedLife | null {
    if ("node" in fault) return nodes[fault.node % nodes.length].life;
    if ("coordinator" in fault) return coordinators[fault.coordinator % coordinators.length].life;
    if (fault.kind === "kill gateway" || fault.kind === "pause gateway" || fault.kind === "cut gateway") return gateway?.life ?? null;
    if ("process" in fault) return [...nodes, ...coordinators].find(({ name }) => name === fault.process)?.life ?? null;
    return null;
  }
  function over(): void {
    disturbances -= 1;
    lastDisturbedMs = world.nowMs();
  }
  /** Ends a disturbance `ms` from now by `action`. */
  function up(action: () => void, ms: number): void {
    disturbances += 1;
    world.after(ms, () => {
      action();
      over();
    });
  }

  function strike(fault: Fault): void {
    faults[fault.kind] = (faults[fault.kind] ?? 0) + 1;
    say(`FAULT ${JSON.stringify(fault)}`);
    perform(fault);
    over();
    struck += 1;
    ending();
  }

  function ending(): void {
    if (finished.size === truths.length && struck === pending.length && (market === null || market.isDone(gateway))) doneMs = world.nowMs();
  }

  function perform(fault: Fault): void {
    switch (fault.kind) {
      case "kill node": {
        const process = nodes[fault.node % nodes.length];
        if (process.life === null) return;
        down(process);
        return up(() => bootNode(process), fault.downMs);
      }
      case "drain node": {
        const process = nodes[fault.node % nodes.length], { life, node } = process;
        if (life === null || node === null) return;
        void (world.chance() < 0.5 ? node.stop() : node.drain());
        return up(() => {
          if (process.life === life) down(process);
          bootNode(process);
        }, 1000 + fault.downMs);
      }
      case "add node": {
        const process: NodeProcess = { name: `node-${nodes.length}`, life: null, node: null, memory: null, starts: 0 };
        nodes.push(process);
        return bootNode(process);
      }
      case "kill coordinator": case "power cut": case "older disk": case "lost disk": {
        const process = coordinators[fault.coordinator % coordinators.length];
        down(process);
        if (fault.kind === "power cut") process.disk.powerCut();
        if (fault.kind === "lost disk") process.disk.replace(new Map());
        if (fault.kind === "older disk" && process.images.length > 0) process.disk.replace(process.images[Math.floor(world.chance() * process.images.length)]);
        return up(() => bootCoordinator(process), fault.downMs);
      }
      case "stop coordinator": {
        const process = coordinators[fault.coordinator % coordinators.length], { life, coordinator } = process;
        if (life === null || coordinator === null) return;
        void coordinator.close().then(() => { if (process.life === life) down(process); }, () => {});
        return up(() => {
          if (process.life === life) down(process);
          bootCoordinator(process);
        }, 1500 + fault.downMs);
      }
      case "state bit flipped": return nodes[fault.node % nodes.length].memory?.flipState();
      case "output bit flipped": return nodes[fault.node % nodes.length].memory?.flipOutput();
      case "pause node": return freeze(nodes[fault.node % nodes.length].life, fault.ms);
      case "pause coordinator": return freeze(coordinators[fault.coordinator % coordinators.length].life, fault.ms);
      case "blocked loop": return freeze(lifeOf(fault), fault.ms);
      case "clock leap": return lifeOf(fault)?.leap(fault.ms);
      case "kill gateway": {
        if (gateway?.life.isAlive !== true) return;
        gateway.life.kill();
        if (fault.isPowerCut) gatewayDisk.powerCut();
        return up(bootGateway, fault.downMs);
      }
      case "pause gateway": return freeze(gateway?.life ?? null, fault.ms);
      case "partition": case "cut gateway": {
        const who = fault.kind === "partition" ? fault.process : "gateway";
        const links = [...(fault.direction === "to" ? [] : [[who, "*"]]), ...(fault.direction === "from" ? [] : [["*", who]])];
        for (const [from, to] of links) network.cut(from, to);
        cutOff.add(who);
        return up(() => {
          for (const [from, to] of links) network.heal(from, to);
          cutOff.delete(who);
          backMs.set(who, world.nowMs());
        }, fault.ms);
      }
      case "loss": return weather({ lossRate: fault.rate }, fault.ms, 0);
      case "duplication": return weather({ duplicateRate: fault.rate }, fault.ms, 0);
      case "delay": return weather({ delayRate: fault.rate, delayMs: fault.delayMs }, fault.ms, fault.delayMs);
      case "service down":
        service.setUp(false);
        return up(() => service.setUp(true), fault.ms);
      case "log full":
        service.setFull(true);
        return up(() => service.setFull(false), fault.ms);
      case "log forgets":
        service.forgetNewest(fault.entries);
        return forgot("log");
      case "service forgets all":
        service.forgetAll();
        forgot("registry");
        return forgot("log");
      case "blobs lost": return void service.forgetBlobs(fault.share);
      case "blob bit flipped": return void service.flipBlobBit();
      case "full disk": {
        const { disk } = coordinators[fault.coordinator % coordinators.length];
        disk.setFull(true);
        return up(() => disk.setFull(false), fault.ms);
      }
      case "poison": {
        const ports = hub.portsOf(world.life("stranger")), garbage = Uint8Array.from({ length: 40 }, () => Math.floor(world.chance() * 256));
        for (const { run } of truths) for (const name of ["open", "fail", "stop"]) ports.bus.publish(`pop.${TENANT}.${run}.1.${name}`, garbage);
        return ports.bus.publish(`pop.${TENANT}.node.stranger.heartbeat`, garbage);
      }
    }
  }

  /** What the service still holds is what it is held to from here on. */
  function forgot(observer: "log" | "registry"): void {
    records.push({ kind: "forgot", observer, atMs: world.nowMs() });
    if (observer === "registry") return;
    for (const { bytes } of service.read("pop.*.*.all.commit", 0, Number.MAX_SAFE_INTEGER)) records.push({ kind: "commit", observer, commit: COMMIT.decode(bytes), atMs: world.nowMs() });
  }

  function freeze(life: SimulatedLife | null, ms: number): void {
    if (life === null || life.isPaused) return;
    life.pause();
    up(() => {
      life.resume();
      backMs.set(life.name, world.nowMs());
    }, ms);
  }

  /** Weather changes one thing at a time; what comes of it lasts as long as its longest delay. */
  let sky = CALM;
  function weather(change: Partial<typeof CALM>, ms: number, afterMs: number): void {
    network.setWeather((sky = { ...sky, ...change }));
    up(() => {
      network.setWeather((sky = { ...sky, ...Object.fromEntries(Object.keys(change).map((key) => [key, CALM[key as keyof typeof CALM]])) }));
      up(() => {}, afterMs);
    }, ms);
  }

  // ---- the course of events ----
  const uncaught = (error: unknown): void => died("a process", error);
  // A system call that costs more than everything else about a heartbeat.
  const { availableMemory } = process, { any } = AbortSignal;
  process.availableMemory = () => 2 ** 30;
  AbortSignal.any = anyOf;
  const listeners = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", uncaught);
  try {
    for (const coordinator of coordinators) bootCoordinator(coordinator);
    for (const node of nodes) world.after(50 * world.chance(), () => bootNode(node));
    const client = world.life("client");
    if (market !== null) bootGateway();
    client.clock.every(CLIENT_MS, () => {
      lookAfterRuns();
      lookAfterMarket();
    });
    if (schedule.strikes.some(({ fault }) => fault.kind === "older disk")) client.clock.every(700, () => {
      for (const process of coordinators) if (process.images.push(process.disk.image()) > 8) process.images.shift();
    });
    arm();
    await world.run(() => hasDied || (doneMs !== null ? disturbances === 0 || world.nowMs() - doneMs > AFTERMATH_MS
      : disturbances === 0 && world.nowMs() - lastDisturbedMs > (nextStrikes === pending.length ? STUCK_MS : 10 * STUCK_MS)));
    if (disturbances === 0) records.push({ kind: "calm", atMs: lastDisturbedMs });
  } finally {
    process.availableMemory = availableMemory;
    AbortSignal.any = any;
    process.off("unhandledRejection", uncaught);
    for (const listener of listeners) process.on("unhandledRejection", listener);
    for (const each of [...coordinators, ...nodes]) each.life?.kill();
    (gateway as RunningGateway | null)?.life.kill();
  }
  for (const { name, disk } of coordinators) {
    // What a ledger's leader stored last and never heard to be in COMMIT gives way to what is there.
    const tentative = new Set(disk.rows("outbox").map(({ key }) => key));
    const stored = disk.rows("commits").map(({ key, bytes }) => ({ commit: COMMIT.decode(bytes), isTentative: tentative.has(key) }));
    const end = stored.findLastIndex(({ commit, isTentative }) => commit.run === LEDGER && !isTentative);
    for (const [index, { commit }] of stored.entries()) if (commit.run !== LEDGER || index <= end) records.push({ kind: "commit", observer: name, commit, atMs: world.nowMs() });
  }
  records.push({ kind: "usage", what: "bytes of the log", value: service.bytesHeld(), bound: 4_000_000 });
  const { lost, duplicated, delayed } = network.counts();
  counts.refusals += hub.counts().unanswered;
  return {
    seed: schedule.seed,
    violations: violations(records, { expected, recoveryMs: RECOVERY_MS, mustFinish: true }),
    faults, counts: { ...counts, lost, duplicated, delayed }, virtualMs: Math.round(world.nowMs()), happened: world.happened(),
  };
}

/** Node keeps what its own `any` returned and somebody listens to until it is aborted. Processes that end here abort nothing: each seed would stay in memory. */
function anyOf(signals: Iterable<AbortSignal>): AbortSignal {
  const any = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) any.abort(signal.reason);
    else signal.addEventListener("abort", () => any.abort(signal.reason), { once: true });
  }
  return any.signal;
}

function expectation(truth: Truth): Expected {
  return {
    run: truth.run, ticks: truth.plan.ticks, exposures: truth.exposures, counts: truth.counts,
    roots: (inputs) => rootsOf(truth, inputs), leaves: (tick) => truth.ticks[tick].leaves, state: (tick, block) => truth.ticks[tick].states[block],
  };
}
