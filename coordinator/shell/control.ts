import { PopulaceError } from "@populace/domain";
import { sha256, sha256Hex, type Clock } from "@populace/io";
import type { RpcCall, RpcMethod, RpcService } from "@populace/io/rpc";
import { LIMITS, decodePlan, encodePlan, runIdOf, runSpecOf, type ExecutionPlan, type Plan, type RunRecord } from "@populace/protocol";
import {
  CONTROL, CONTROL_HEADER, CONTROL_SERVICE, checkControlVersion, controlVersionText,
  type ControlMethods, type Execution, type MovesReply, type MovesRequest, type Node, type OutcomeHead, type Run, type SubmitRequest,
} from "@populace/protocol/control";
import type { RunOutcome } from "@populace/studies";
import { exposuresPlanned } from "../core/ledger.ts";
import { isSettled } from "../core/run.ts";

/** A coordinator as its control service needs it. */
export interface ControlTarget {
  readonly clock: Clock;
  status(): { readonly role: "leader" | "standby"; readonly holder: string; readonly term: number; readonly leader: string; readonly view: number };
  nodes(): readonly Node[];
  runs(): Promise<readonly RunRecord[]>;
  run(runId: string): Promise<RunRecord | null>;
  outcome(runId: string): Promise<RunOutcome>;
  plan(runId: string): Promise<Plan>;
  /** Enters a run; resolves when it is under way or done already. */
  submit(plan: Plan, execution: Partial<ExecutionPlan>, options: { readonly label: string; readonly priority: number; readonly fresh: boolean }): Promise<void>;
  cancel(runId: string): Promise<void>;
  pause(runId: string): Promise<void>;
  resume(runId: string): Promise<void>;
  resolve(runId: string): Promise<void>;
  drain(incarnation: string): Promise<void>;
  moves(request: MovesRequest): Promise<MovesReply>;
}

/** Bytes of one part of an outcome or a file. */
const PART_BYTES = 262_144;

/**
 * The control service of one coordinator process: `target` names the coordinator of a tenant ("" = the process's own) or throws
 * NOT_FOUND. Whoever stands by refuses all but `Describe` with UNAVAILABLE and the leader's address.
 */
export function controlService(target: (tenant: string) => ControlTarget, version: string): RpcService {
  const planned = new Map<string, number>();

  function leading(tenant: string): ControlTarget {
    const coordinator = target(tenant);
    const { role, holder, leader } = coordinator.status();
    if (role === "leader") return coordinator;
    throw new PopulaceError("UNAVAILABLE", `coordinator ${holder} stands by; ${leader === "" ? "nobody leads at the moment: call again" : `call the leader at ${leader}`}`, { leader });
  }

  async function exposuresTotal(coordinator: ControlTarget, run: string): Promise<number> {
    if (!planned.has(run)) {
      if (planned.size >= LIMITS.runsQueuedMax) planned.delete(planned.keys().next().value!);
      planned.set(run, await coordinator.plan(run).then((plan) => exposuresPlanned(plan).reduce((sum, count) => sum + count, 0), () => 0));
    }
    return planned.get(run)!;
  }

  async function runOf(coordinator: ControlTarget, tenant: string, runId: string): Promise<Run> {
    const row = await coordinator.run(runId);
    if (row === null) throw new PopulaceError("NOT_FOUND", `run ${runId.slice(0, 64)} is not known here, or several begin so; "populace runs list --cluster" shows them`, { runId });
    return { ...runMessage(row, tenant), exposuresTotal: await exposuresTotal(coordinator, row.run) };
  }

  async function* watch(tenant: string, runId: string, call: RpcCall): AsyncGenerator<Run> {
    let said = "";
    for (;;) {
      const coordinator = leading(tenant);
      const now = await runOf(coordinator, tenant, runId);
      const text = JSON.stringify(now);
      if (text !== said) yield now;
      said = text;
      if (isSettled(now.state as RunRecord["state"])) return;
      await coordinator.clock.sleep(LIMITS.runPollMs, call.signal);
    }
  }

  async function submit({ tenant, plan: bytes, execution, priority, label, fresh }: SubmitRequest): Promise<Run> {
    const coordinator = leading(tenant);
    const plan = decodePlan(bytes);
    await coordinator.submit(plan, wantedOf(execution), { label, priority, fresh });
    return runOf(coordinator, tenant, runIdOf(runSpecOf(plan, sha256Hex(encodePlan(plan))), sha256));
  }

  const change = (act: (coordinator: ControlTarget, run: string) => Promise<void>) => async ({ tenant, run }: { readonly tenant: string; readonly run: string }): Promise<Run> => {
    const coordinator = leading(tenant);
    const known = await runOf(coordinator, tenant, run);
    await act(coordinator, known.run);
    return runOf(coordinator, tenant, known.run);
  };

  async function* file(bytes: Uint8Array): AsyncGenerator<{ readonly bytes: Uint8Array }> {
    for (let at = 0; at < bytes.length; at += PART_BYTES) yield { bytes: bytes.subarray(at, at + PART_BYTES) };
  }

  const methods: Methods = {
    Describe({ tenant }) {
      const coordinator = target(tenant);
      return Promise.resolve({ tenant, ...coordinator.status(), nodes: coordinator.nodes(), control: controlVersionText(), version });
    },
    Submit: submit,
    Watch: ({ tenant, run }, call) => watch(tenant, run, call),
    Get: ({ tenant, run }) => runOf(leading(tenant), tenant, run),
    List: async ({ tenant, label }) => ({ runs: (await leading(tenant).runs()).map((row) => runMessage(row, tenant)).filter((run) => label === "" || run.label === label) }),
    Cancel: change((coordinator, run) => coordinator.cancel(run)),
    Pause: change((coordinator, run) => coordinator.pause(run)),
    Resume: change((coordinator, run) => coordinator.resume(run)),
    Resolve: change((coordinator, run) => coordinator.resolve(run)),
    async *Outcome({ tenant, run }) {
      const outcome = await leading(tenant).outcome(run);
      yield { head: headOf(outcome) };
      const values = new Float64Array(outcome.counts.length + outcome.tickCounts.length);
      values.set(outcome.counts);
      values.set(outcome.tickCounts, outcome.counts.length);
      for await (const { bytes } of file(new Uint8Array(values.buffer))) yield { values: bytes };
    },
    async *Table({ tenant, run, table }) {
      if (table !== "ticks") throw new PopulaceError("NOT_FOUND", `there is no table "${table.slice(0, 40)}"; expected "ticks"`, { table });
      const coordinator = leading(tenant);
      const outcome = await coordinator.outcome(run);
      const { ticksParquet } = await import("@populace/studies/results");
      yield* file(ticksParquet(await coordinator.plan(run), outcome).bytes);
    },
    async *Plan({ tenant, run }) {
      yield* file(encodePlan(await leading(tenant).plan(run)));
    },
    Moves: (request) => leading(request.tenant).moves(request),
    async Drain({ tenant, node }) {
      const coordinator = leading(tenant);
      const found = coordinator.nodes().filter((each) => each.incarnation.startsWith(node));
      if (found.length !== 1) throw new PopulaceError("NOT_FOUND", `${found.length === 0 ? "no node" : `${found.length} nodes`} of the cluster begin${found.length === 0 ? "s" : ""} with "${node.slice(0, 64)}"; "populace nodes" shows them`, { node, found: found.length });
      await coordinator.drain(found[0].incarnation);
      return coordinator.nodes().find((each) => each.incarnation === found[0].incarnation) ?? { ...found[0], state: "draining" };
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

const runMessage = (row: RunRecord, tenant: string): Run => ({
  run: row.run, state: row.state, reason: row.reason, code: row.code, attempt: row.attempt, tick: row.tick, ticks: row.spec.ticks, root: row.root, agents: row.spec.agents,
  exposures: row.exposures, exposuresTotal: 0, seconds: row.seconds, backends: row.backends, execution: row.execution, priority: row.priority, label: row.label, planHash: row.spec.planHash, tenant,
});

const headOf = (outcome: RunOutcome): OutcomeHead => ({
  run: outcome.runId, root: outcome.rootHash, roots: outcome.roots, exposures: outcome.exposures, seconds: outcome.seconds, backend: outcome.backend,
  execution: outcome.execution, counts: outcome.counts.length, tickCounts: outcome.tickCounts.length,
});

function wantedOf(execution: Execution | null): Partial<ExecutionPlan> {
  const { population, ...rest } = execution ?? {};
  if (population !== undefined && population !== "stored" && population !== "procedural") throw new PopulaceError("BAD_REQUEST", `execution.population is "${population.slice(0, 40)}"; expected "stored" or "procedural"`, { population });
  return { ...rest, ...(population === undefined ? {} : { population }) };
}
