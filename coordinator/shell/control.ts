import { PopulaceError } from "@populace/domain";
import type { Blobs, Bus, Clock } from "@populace/io";
import type { RpcCall, RpcMethod, RpcService } from "@populace/io/rpc";
import { BEHAVIOR_SPEC, JOB_SPEC, LEADER_BEAT, LIMITS, blocksOf, decodePlan, drainSubject, encodeLedgerPlan, encodePlan, isLedger, type ExecutionPlan, type Plan, type Release, type RunRecord } from "@populace/protocol";
import {
  CONTROL, CONTROL_HEADER, CONTROL_SERVICE, checkControlVersion, controlVersionText,
  type Announcement, type ControlMethods, type Execution, type MovesReply, type Node, type OutcomeHead, type Run,
} from "@populace/protocol/control";
import type { ReleaseRefusal, RunOutcome, RunProgress } from "@populace/studies";
import { isDraining, type Member } from "../core/membership.ts";
import { place, type Candidate } from "../core/placement.ts";
import { isSettled } from "../core/run.ts";
import { restsOn } from "../core/suspicion.ts";
import type { Coordinator } from "./service.ts";

/** What a process serves control for. */
export interface ControlOptions {
  /** The coordinator of a tenant ("" = the process's own), and the tenant's name. Throws NOT_FOUND, or UNAVAILABLE while it starts. */
  readonly coordinatorOf: (tenant: string) => { readonly coordinator: Coordinator; readonly tenant: string };
  readonly ports: { readonly bus: Bus; readonly blobs: Blobs; readonly clock: Clock };
  /** Of the program. */
  readonly version: string;
}

/** Refused events that are shown with their reason; a gateway keeps those of its own. */
const DEAD_LETTERS_MAX = 100;
/** Bytes of one part of an outcome or a file. */
const PART_BYTES = 262_144;

/** The control service of one coordinator process. Whoever stands by refuses all but `Describe` with UNAVAILABLE and the leader's address. */
export function controlService({ coordinatorOf, ports, version }: ControlOptions): RpcService {
  function leading(asked: string): { readonly coordinator: Coordinator; readonly tenant: string } {
    const found = coordinatorOf(asked);
    if (found.coordinator.role === "leader") return found;
    const address = found.coordinator.leader()?.address ?? "";
    throw new PopulaceError("UNAVAILABLE", `this coordinator stands by for tenant ${found.tenant}; ${address === "" ? "nobody is known to lead: call again" : `call the leader at ${address}`}`, { tenant: found.tenant, address });
  }

  async function known(coordinator: Coordinator, runId: string): Promise<RunRecord> {
    const record = await coordinator.run(runId);
    if (record === null) throw new PopulaceError("NOT_FOUND", `run ${runId.slice(0, 64)} is not known here, or several begin so; "populace runs list --cluster" shows them`, { runId });
    return record;
  }

  async function* watch(asked: string, runId: string, call: RpcCall): AsyncGenerator<Run> {
    const { run } = await known(leading(asked).coordinator, runId);
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, call.signal]);
    let progress: RunProgress | null = null, said = "";
    let changed = Promise.withResolvers<void>();
    // How it ends is read from its record; this only tells when, and how far it is meanwhile.
    leading(asked).coordinator.wait(run, { signal, onProgress: (now) => { progress = now; } }).then(() => changed.resolve(), () => changed.resolve());
    try {
      for (;;) {
        const { coordinator, tenant } = leading(asked);
        const now = watched(runMessage(await known(coordinator, run), tenant), progress);
        const text = JSON.stringify(now);
        if (text !== said) yield now;
        said = text;
        if (isSettled(now.state as RunRecord["state"])) return;
        await Promise.race([ports.clock.sleep(LIMITS.runPollMs, signal), changed.promise]);
        changed = Promise.withResolvers();
      }
    } finally {
      ended.abort(new PopulaceError("INTERRUPTED", "nobody watches any more", {}));
    }
  }

  const change = (act: (coordinator: Coordinator, run: string) => Promise<RunRecord>) => async (request: { readonly tenant: string; readonly run: string }): Promise<Run> => {
    const { coordinator, tenant } = leading(request.tenant);
    return runMessage(await act(coordinator, (await known(coordinator, request.run)).run), tenant);
  };

  const methods: Methods = {
    Describe(request) {
      const { coordinator, tenant } = coordinatorOf(request.tenant);
      const { view, members } = coordinator.membership(), nowMs = ports.clock.monotonicMs(), leader = coordinator.leader();
      return Promise.resolve({
        tenant, role: coordinator.role, holder: leader?.holder ?? "", term: leader?.term ?? 0, leader: leader?.address ?? "", view, control: controlVersionText(), version,
        nodes: [...members.values()].map((member) => nodeMessage(member, nowMs)),
      });
    },
    async Submit({ tenant: asked, plan, execution, priority, label, fresh }) {
      const { coordinator, tenant } = leading(asked);
      return runMessage(await coordinator.enter(decodePlan(plan), wantedOf(execution), { label, priority, fresh }), tenant);
    },
    Watch: ({ tenant, run }, call) => watch(tenant, run, call),
    Get: change((coordinator, run) => known(coordinator, run)),
    async List(request) {
      const { coordinator, tenant } = leading(request.tenant);
      return { runs: (await coordinator.runs()).filter((record) => request.label === "" || record.label === request.label).map((record) => runMessage(record, tenant)) };
    },
    Cancel: change((coordinator, run) => coordinator.cancel(run)),
    Pause: change((coordinator, run) => coordinator.pause(run)),
    Resume: change((coordinator, run) => coordinator.resume(run)),
    Remove: change((coordinator, run) => coordinator.remove(run)),
    Resolve: change((coordinator, run) => coordinator.resolve(run)),
    async *Outcome({ tenant, run }) {
      const outcome = await leading(tenant).coordinator.outcome(run);
      yield { head: headOf(outcome) };
      const values = new Float64Array(outcome.counts.length + outcome.tickCounts.length);
      values.set(outcome.counts);
      values.set(outcome.tickCounts, outcome.counts.length);
      for (const bytes of parts(new Uint8Array(values.buffer))) yield { values: bytes };
    },
    async *Table({ tenant, run, table }) {
      if (table !== "ticks") throw new PopulaceError("NOT_FOUND", `there is no table "${table.slice(0, 40)}"; expected "ticks"`, { table });
      const { coordinator } = leading(tenant);
      const outcome = await coordinator.outcome(run);
      if (outcome.tickCounts.length === 0) throw new PopulaceError("BAD_REQUEST", `run ${outcome.runId.slice(0, 12)} counts nothing`, { run: outcome.runId });
      const { ticksParquet } = await import("@populace/studies/results");
      for (const bytes of parts(ticksParquet(await coordinator.plan(run), outcome).bytes)) yield { bytes };
    },
    async *Plan({ tenant, run }) {
      for (const bytes of parts(encodePlan(await leading(tenant).coordinator.plan(run)))) yield { bytes };
    },
    async Put({ tenant, bytes }) {
      return { hash: await leading(tenant).coordinator.putInput(bytes) };
    },
    async *Output({ tenant, run }) {
      for (const bytes of parts(await leading(tenant).coordinator.output(run))) yield { bytes };
    },
    async Moves({ tenant, leave, join, run }) {
      const { coordinator } = leading(tenant);
      const records = run === "" ? (await coordinator.runs()).filter((record) => record.state === "running") : [await known(coordinator, run)];
      return movesOf(coordinator, records, leave.map((node) => named(coordinator, node).heartbeat.incarnation), join);
    },
    async Drain({ tenant: asked, node }) {
      const { coordinator, tenant } = leading(asked);
      const member = named(coordinator, node), { incarnation } = member.heartbeat;
      ports.bus.publish(drainSubject(tenant, incarnation), LEADER_BEAT.encode({ holder: coordinator.leader()?.holder ?? "", term: coordinator.term, view: coordinator.membership().view, release: 0 }));
      return { ...nodeMessage(member, ports.clock.monotonicMs()), state: "draining" };
    },
    async Release({ tenant, table, model, ledger, note: said, backTo, runs: ids, allowSuspect, force }) {
      const { coordinator } = leading(tenant);
      const announce = async (release: Parameters<Coordinator["announce"]>[0]): Promise<Announcement> => announcement(coordinator, await coordinator.announce(release, { allowSuspect }));
      if (backTo > 0) {
        const before = coordinator.releases().find(({ number }) => number === backTo);
        if (before === undefined) throw new PopulaceError("NOT_FOUND", `there is no release ${backTo}; "populace release --list" shows them`, { release: backTo });
        if (before.ledger !== "") await coordinator.enterLedger(encodeLedgerPlan((await coordinator.ledger(before.ledger, 0)).plan));
        return announce({ ...before, note: [said === "" ? `back to release ${backTo}` : said, ...(before.note.includes(FORCED) ? [before.note.slice(before.note.indexOf(FORCED))] : [])].join("; ") });
      }
      if (table.length === 0) throw new PopulaceError("BAD_REQUEST", "a release needs a score table, or the number of an earlier release to go back to", {});
      const forced = await admitted(table, model, force);
      const note = [said, forced].filter((each) => each !== "").join("; ");
      const run = ledger.length === 0 ? "" : (await coordinator.enterLedger(ledger)).run;
      const [content, text] = [await ports.blobs.put(table), model.length === 0 ? "" : await ports.blobs.put(model)];
      const runs = await Promise.all(ids.map(async (id) => {
        const record = await known(coordinator, id);
        if (record.state !== "done") throw new PopulaceError("BAD_REQUEST", `run ${record.run.slice(0, 12)} is ${record.state}; a release rests on finished runs only`, { run: record.run, state: record.state });
        return restsOn(record);
      }));
      const served = coordinator.releases().at(-1);
      if (served !== undefined && served.content === content && served.model === text && served.ledger === run && served.runs.join() === runs.join()) return announcement(coordinator, served);
      return announce({ content, model: text, ledger: run, runs, note });
    },
    Releases(request) {
      const { coordinator } = leading(request.tenant);
      return Promise.resolve({ releases: coordinator.releases().map((release) => announcement(coordinator, release)) });
    },
    async Suspect({ tenant: asked, run, tick }) {
      const { coordinator, tenant } = leading(asked);
      return runMessage(await coordinator.suspect((await known(coordinator, run)).run, tick), tenant);
    },
    async Ledger({ tenant, run, from }) {
      const { record, plan, sums, refusals } = await leading(tenant).coordinator.ledger(run, from);
      return { counted: sums.counted, refused: sums.refused, deadLetters: refusals.slice(-DEAD_LETTERS_MAX), counts: sums.rows(), run: record.run, tick: record.tick, root: record.root, plan: encodeLedgerPlan(plan) };
    },
  };
  return { name: CONTROL_SERVICE, methods: Object.fromEntries(Object.keys(CONTROL).map((name) => [name, bound(name as keyof ControlMethods, methods)])) };
}

type Methods = {
  readonly [Name in keyof ControlMethods]: (request: ControlMethods[Name]["request"], call: RpcCall) => ControlMethods[Name]["streams"] extends true
    ? AsyncGenerator<Partial<ControlMethods[Name]["reply"]>>
    : Promise<Partial<ControlMethods[Name]["reply"]>>;
};

/** The method in bytes; a caller of another version is refused before its request is read. */
function bound(name: keyof ControlMethods, methods: Methods): RpcMethod {
  const codec = CONTROL[name] as unknown as { readonly streams: boolean; decodeRequest(bytes: Uint8Array): never; encodeReply(reply: object): Uint8Array };
  const method = methods[name] as (request: never, call: RpcCall) => AsyncGenerator<object> | Promise<object>;
  if (codec.streams) {
    return {
      kind: "stream",
      async *handle(bytes, call) {
        checkControlVersion(call.headers[CONTROL_HEADER]);
        for await (const reply of method(codec.decodeRequest(bytes), call) as AsyncGenerator<object>) yield codec.encodeReply(reply);
      },
    };
  }
  return {
    kind: "unary",
    async handle(bytes, call) {
      checkControlVersion(call.headers[CONTROL_HEADER]);
      return codec.encodeReply(await (method(codec.decodeRequest(bytes), call) as Promise<object>));
    },
  };
}

/** Begins the part of a note that says what was released by force. */
const FORCED = "by force: ";

/** The calibration gate: "", or for whatever it refuses what the note keeps of the reason for its force. UNCALIBRATED without one, BAD_REQUEST for a table that is not the model's. */
async function admitted(table: Uint8Array, model: Uint8Array, force: string): Promise<string> {
  const { parseModel, releaseRefusal, scoreTableOf } = await import("@populace/studies");
  let refusal: ReleaseRefusal | null = { why: "a score table without its model shows no calibration record", advice: "send the model with it, or release it all the same with --force REASON" };
  if (model.length > 0) {
    const parsed = parseModel(new TextDecoder().decode(model), "the model of the release");
    if (!Buffer.from(JSON.stringify(scoreTableOf(parsed))).equals(table)) throw new PopulaceError("BAD_REQUEST", `the score table is not that of ${parsed.name}, version ${parsed.version}, as this version computes it; send what "populace release --model" sends`, { model: parsed.name, version: parsed.version });
    refusal = releaseRefusal(parsed);
  }
  if (refusal === null) return "";
  if (force.trim() === "") throw new PopulaceError("UNCALIBRATED", `${refusal.why}; ${refusal.advice}`, {});
  return `${FORCED}${force.trim()} (${refusal.why})`;
}

function named(coordinator: Coordinator, node: string): Member {
  const found = [...coordinator.membership().members].filter(([incarnation]) => incarnation.startsWith(node));
  if (found.length === 1) return found[0][1];
  throw new PopulaceError("NOT_FOUND", `${found.length === 0 ? "no node" : `${found.length} nodes`} of the cluster begin${found.length === 0 ? "s" : ""} with "${node.slice(0, 64)}"; "populace nodes" shows them`, { node, found: found.length });
}

async function movesOf(coordinator: Coordinator, records: readonly RunRecord[], leave: readonly string[], join: number): Promise<MovesReply> {
  const members = [...coordinator.membership().members.values()];
  const before = members.map((member) => ({ incarnation: member.heartbeat.incarnation, weight: Math.max(1, member.heartbeat.exposuresPerSecond), isDraining: isDraining(member) }));
  const weight = before.reduce((sum, node) => sum + node.weight, 0) / Math.max(1, before.length);
  const after = [...before.filter((node) => !leave.includes(node.incarnation)), ...Array.from({ length: join }, (_, index) => ({ incarnation: `join-${index + 1}`, weight: Math.max(1, weight), isDraining: false }))];
  if (after.length === 0) throw new PopulaceError("BAD_REQUEST", "nobody would be left to compute; name fewer nodes to leave, or some to join", { leave });
  const moves: { run: string; shard: number; source: string; target: string }[] = [];
  const loads = { before: new Map<string, number>(), after: new Map<string, number>() };
  let shards = 0;
  for (const record of records) {
    const costs = shardCosts(await coordinator.plan(record.run), record.shards);
    const next = place(record.run, costs, after, record.owners);
    next.forEach((target, shard) => {
      const source = record.owners[shard] ?? "";
      if (source !== target) moves.push({ run: record.run, shard, source, target });
      loads.before.set(source, (loads.before.get(source) ?? 0) + costs[shard]);
      loads.after.set(target, (loads.after.get(target) ?? 0) + costs[shard]);
    });
    shards += costs.length;
  }
  return { moves, shards, imbalanceBefore: imbalance(loads.before, before), imbalanceAfter: imbalance(loads.after, after) };
}

/** Shards are cut to about equal cost; what is left of a difference is that of their agents. */
function shardCosts(plan: Plan, shards: RunRecord["shards"]): readonly number[] {
  const blocks = blocksOf(plan);
  return shards.map((shard) => blocks.slice(shard.first, shard.first + shard.count).reduce((sum, block) => sum + block.agents, 0));
}

/** The largest load over its node's fair share; 1 where there is none. */
function imbalance(loads: ReadonlyMap<string, number>, nodes: readonly Candidate[]): number {
  const total = [...loads.values()].reduce((sum, load) => sum + load, 0), weights = nodes.reduce((sum, node) => sum + node.weight, 0);
  return total === 0 ? 1 : Math.max(...nodes.map((node) => ((loads.get(node.incarnation) ?? 0) / total) * (weights / node.weight)));
}

function* parts(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PART_BYTES) yield bytes.subarray(at, at + PART_BYTES);
}

const nodeMessage = ({ heartbeat, ...member }: Member, nowMs: number): Node => ({
  incarnation: heartbeat.incarnation, state: member.arrivals.suspectedMs === null ? heartbeat.state : "suspect", workers: heartbeat.workers, backends: heartbeat.backends, backendReason: heartbeat.backendReason,
  exposuresPerSecond: heartbeat.exposuresPerSecond, memoryBytes: heartbeat.memoryBytes, exposures: heartbeat.exposures, heardMs: nowMs - member.arrivals.lastMs,
});

/** Committed exposures, or those of the span under way as well. */
const watched = (run: Run, progress: RunProgress | null): Run => (progress === null ? run : { ...run, exposures: Math.max(run.exposures, progress.exposures), exposuresTotal: progress.exposuresTotal });

const announcement = (coordinator: Coordinator, release: Release): Announcement => ({ ...release, suspect: coordinator.suspicion(release) });

const runMessage = (row: RunRecord, tenant: string): Run => ({
  run: row.run, state: row.state, reason: row.reason, code: row.code, attempt: row.attempt, tick: row.tick, ticks: row.spec.ticks, root: row.root, agents: row.spec.agents,
  exposures: row.exposures, exposuresTotal: 0, seconds: row.seconds, backends: row.backends, execution: row.execution, priority: row.priority, label: row.label, planHash: row.spec.planHash, tenant,
  kind: isLedger(row.spec) ? "ledger" : ({ [BEHAVIOR_SPEC]: "behavior", [JOB_SPEC]: "job" })[row.spec.kernelSpec] ?? "study", ...(row.suspectFrom < 0 ? {} : { suspectFrom: row.suspectFrom }), ...(row.uncheckedFrom < 0 ? {} : { uncheckedFrom: row.uncheckedFrom }),
});

const headOf = (outcome: RunOutcome): OutcomeHead => ({
  run: outcome.runId, root: outcome.rootHash, roots: outcome.roots, exposures: outcome.exposures, seconds: outcome.seconds, backend: outcome.backend,
  execution: outcome.execution, counts: outcome.counts.length, tickCounts: outcome.tickCounts.length,
  ...(outcome.uncheckedFrom === null ? {} : { uncheckedFrom: outcome.uncheckedFrom }),
});

function wantedOf(execution: Execution | null): Partial<ExecutionPlan> {
  const { population, ...rest } = execution ?? {};
  if (population !== undefined && population !== "stored" && population !== "procedural") throw new PopulaceError("BAD_REQUEST", `execution.population is "${population.slice(0, 40)}"; expected "stored" or "procedural"`, { population });
  return { ...rest, ...(population === undefined ? {} : { population }) };
}
