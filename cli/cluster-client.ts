import { setTimeout as sleep } from "node:timers/promises";
import { PopulaceError } from "@populace/domain";
import { connectGrpc, type RpcClient, type TlsFiles } from "@populace/io/rpc";
import { decodePlan, encodePlan, type ExecutionPlan, type Plan } from "@populace/protocol";
import { CONTROL, CONTROL_HEADER, CONTROL_SERVICE, controlVersionText, type ControlMethods, type Execution, type OutcomeHead, type Run } from "@populace/protocol/control";
import type { RunOutcome, RunPlan } from "@populace/studies";
import { admitted, type Carrier } from "./admission.ts";
import type { EmbeddedRunner } from "./embedded.ts";

export interface ClusterOptions {
  /** HOST:PORT of coordinators; one is enough, more find the leader while one is down. */
  readonly addresses: readonly string[];
  readonly tenant?: string;
  readonly tls?: TlsFiles;
  readonly isInsecure?: boolean;
  readonly signal?: AbortSignal;
  /** Sentences for a person: a change of the leader, a wait. */
  readonly onNote?: (note: string) => void;
}

type Unary = { [Name in keyof ControlMethods]: ControlMethods[Name]["streams"] extends true ? never : Name }[keyof ControlMethods];
type Stream = Exclude<keyof ControlMethods, Unary>;
type RequestOf<Name extends keyof ControlMethods> = Partial<ControlMethods[Name]["request"]>;
type ReplyOf<Name extends keyof ControlMethods> = ControlMethods[Name]["reply"];

/** Control of a cluster from outside: calls go to whoever leads, through a change of the leader too. */
export interface ClusterClient {
  call<Name extends Unary>(name: Name, request: RequestOf<Name>): Promise<ReplyOf<Name>>;
  /** The bytes of a file of a run, whole: a table, its plan, the output of a job. */
  file(name: "Table" | "Plan" | "Output", request: RequestOf<"Table">): Promise<Uint8Array>;
  /** The run at every change, last in a state that does not change by itself. */
  watch(run: string): AsyncGenerator<Run>;
  plan(run: string): Promise<Plan>;
  outcome(run: string, cached?: boolean): Promise<RunOutcome>;
  /** Enters a plan, without waiting for it. */
  submit(plan: Plan, execution: Partial<ExecutionPlan>, options?: SubmitRunOptions): Promise<Run>;
  close(): void;
}

export interface SubmitRunOptions {
  readonly label?: string;
  readonly priority?: number;
  readonly fresh?: boolean;
}

/** How long a coordinator is looked for: at first, and once one has answered (an election with three NATS servers takes up to 15 s). */
const SEARCH_MS = 4000, FAILOVER_MS = 40_000;
const RETRY_MS = 250;
/** States that no node or coordinator changes by itself. */
const SETTLED = ["paused", "frozen", "done", "failed", "canceled", "removed"];
const isSettled = (run: Run): boolean => SETTLED.includes(run.state);

export function openCluster(options: ClusterOptions): ClusterClient {
  const { addresses, signal } = options;
  const tenant = options.tenant ?? "";
  const clients = new Map<string, RpcClient>();
  let current = addresses[0], hasAnswered = false;
  // Refused here, before anything is sent, where an address may not be used as it is.
  for (const address of addresses) clientOf(address);

  function clientOf(address: string): RpcClient {
    let client = clients.get(address);
    if (client === undefined) {
      client = connectGrpc({ address, headers: { [CONTROL_HEADER]: controlVersionText() }, ...(options.tls === undefined ? {} : { tls: options.tls }), ...(options.isInsecure === undefined ? {} : { isInsecure: options.isInsecure }) });
      clients.set(address, client);
    }
    return client;
  }

  /** Calls until somebody who leads has answered; `attempt` says whether what it did so far allows for another try. */
  async function following<T>(attempt: (client: RpcClient) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    let next = addresses.indexOf(current), isNoted = false;
    for (;;) {
      try {
        const reply = await attempt(clientOf(current));
        hasAnswered = true;
        return reply;
      } catch (error) {
        if (signal?.aborted || !isPassing(error)) throw error;
        const leader = (error as PopulaceError).details["address"];
        // A standby is somebody who has answered: whoever will lead is waited for.
        hasAnswered ||= typeof leader === "string";
        if (performance.now() - startedMs > (hasAnswered ? FAILOVER_MS : SEARCH_MS)) throw unreachable(error as PopulaceError);
        if (typeof leader === "string" && leader !== "" && leader !== current) {
          current = leader;
          continue;
        }
        if (!isNoted && hasAnswered) options.onNote?.("the coordinator does not answer; waiting for another one to lead");
        isNoted = true;
        next = (next + 1) % addresses.length;
        current = addresses[next];
        await sleep(RETRY_MS, undefined, signal === undefined ? {} : { signal });
      }
    }
  }

  function unreachable(cause: PopulaceError): PopulaceError {
    const named = addresses.join(", ");
    // A standby has answered.
    if (typeof cause.details["address"] === "string") return cause;
    return new PopulaceError("UNAVAILABLE", `no coordinator answers at ${named}; start one with "populace coordinator --nats URL --store DIR --listen ${addresses[0]}", or name another with --cluster (${cause.message})`, { addresses: named }, cause);
  }

  const call: ClusterClient["call"] = (name, request) =>
    following(async (client) => CONTROL[name].decodeReply(await client.unary(CONTROL_SERVICE, name, CONTROL[name].encodeRequest({ tenant, ...request } as never), signal === undefined ? {} : { signal })) as never);

  async function all<Name extends Stream>(name: Name, request: RequestOf<Name>): Promise<readonly ReplyOf<Name>[]> {
    return following(async (client) => {
      const parts: ReplyOf<Name>[] = [];
      for await (const bytes of client.stream(CONTROL_SERVICE, name, CONTROL[name].encodeRequest({ tenant, ...request } as never), signal === undefined ? {} : { signal })) parts.push(CONTROL[name].decodeReply(bytes) as never);
      return parts;
    });
  }

  async function* watch(run: string): AsyncGenerator<Run> {
    for (;;) {
      // One that was heard is not asked for again: a run that ends between two streams is seen by the next.
      const stream = await following(async (client) => {
        const replies = client.stream(CONTROL_SERVICE, "Watch", CONTROL.Watch.encodeRequest({ tenant, run }), signal === undefined ? {} : { signal })[Symbol.asyncIterator]();
        return { first: await replies.next(), replies };
      });
      try {
        for (let next = stream.first; next.done !== true; next = await stream.replies.next()) {
          const now = CONTROL.Watch.decodeReply(next.value);
          yield now;
          if (isSettled(now)) return;
        }
      } catch (error) {
        if (signal?.aborted || !isPassing(error)) throw error;
      } finally {
        await stream.replies.return?.();
      }
      await sleep(RETRY_MS, undefined, signal === undefined ? {} : { signal });
    }
  }

  async function file(name: "Table" | "Plan" | "Output", request: RequestOf<"Table">): Promise<Uint8Array> {
    return concatenated((await all(name, request)).map((part) => part.bytes));
  }

  async function outcome(run: string, cached = true): Promise<RunOutcome> {
    const parts = await all("Outcome", { run });
    const head = parts[0]?.head;
    if (!head) throw new PopulaceError("CORRUPT", `the outcome of run ${run.slice(0, 12)} came without its head; ask again`, { run });
    return outcomeOf(head, concatenated(parts.map((part) => part.values)), cached);
  }

  async function submit(plan: Plan, execution: Partial<ExecutionPlan>, { label = "", priority = 0, fresh = false }: SubmitRunOptions = {}): Promise<Run> {
    const bytes = encodePlan(plan);
    return call("Submit", { plan: bytes, execution, label, priority, fresh });
  }

  return {
    call, file, watch, outcome, submit,
    plan: async (run) => decodePlan(await file("Plan", { run })),
    close() {
      for (const client of clients.values()) client.close();
    },
  };
}

/** Runs plans on a cluster as `embeddedRunner` runs them here; interrupted, a run goes on there. */
export function clusterRunner(options: ClusterOptions & { readonly submission?: Omit<SubmitRunOptions, "fresh"> & { readonly backend?: string }; readonly isForced?: boolean }): RunPlan & Pick<EmbeddedRunner, "warmUp" | "close"> {
  const cluster = openCluster(options);
  const { backend, ...submission } = options.submission ?? {};
  const run: RunPlan = async (plan, execution, runOptions = {}) => {
    const wanted = { ...execution, ...(backend === undefined ? {} : { backend }) }, { nodes } = await cluster.call("Describe", {});
    // Before the first node has joined nobody knows what fits; the coordinator then waits for one.
    const fitted = nodes.length === 0 ? wanted : admitted(plan, wanted, carrierOf(nodes), options.isForced ?? false, options.onNote ?? (() => {}));
    let now = await cluster.submit(plan, fitted, { ...submission, fresh: runOptions.fresh ?? false });
    const cached = now.state === "done", runId = now.run;
    try {
      if (!isSettled(now)) {
        for await (now of cluster.watch(runId)) runOptions.onProgress?.({ tick: Math.max(0, now.tick), ticks: now.ticks, exposures: now.exposures, exposuresTotal: now.exposuresTotal });
      }
    } catch (error) {
      if (options.signal?.aborted !== true) throw error;
      throw new PopulaceError("INTERRUPTED", `run ${runId.slice(0, 12)} goes on in the cluster; "populace runs watch ${runId.slice(0, 12)}" follows it, "populace runs cancel ${runId.slice(0, 12)}" ends it`, { run: runId });
    }
    if (now.state !== "done") throw endedError(now);
    return cluster.outcome(runId, cached);
  };
  return Object.assign(run, {
    async warmUp() {
      const { nodes } = await cluster.call("List", {}).then(() => cluster.call("Describe", {}));
      const backends = [...new Set(nodes.map((node) => node.backends[0] ?? "none"))];
      return {
        ready: Promise.resolve({
          backend: backends.join("+"), exposuresPerSecond: nodes.reduce((sum, node) => sum + node.exposuresPerSecond, 0),
          reason: nodes.length === 0 ? "no node has joined the cluster yet" : `${nodes.length} ${nodes.length === 1 ? "node" : "nodes"} with ${nodes.reduce((sum, node) => sum + node.workers, 0)} workers`,
        }),
      };
    },
    close: () => Promise.resolve(cluster.close()),
  });
}

/** The nodes as one machine. Those on one host count its memory several times: what they cannot hold their own kernels refuse. */
const carrierOf = (nodes: ReplyOf<"Describe">["nodes"]): Carrier => {
  const sum = (of: (node: ReplyOf<"Describe">["nodes"][number]) => number): number => nodes.reduce((total, node) => total + of(node), 0);
  return { name: `the cluster (${nodes.length} ${nodes.length === 1 ? "node" : "nodes"})`, workers: sum((node) => node.workers), availableBytes: sum((node) => node.memoryBytes), exposuresPerSecond: Math.max(1, sum((node) => node.exposuresPerSecond)) };
};

/** Whether another coordinator, or the same one later, may answer. */
const isPassing = (error: unknown): boolean =>
  error instanceof PopulaceError && (error.code === "UNAVAILABLE" || error.code === "STALE_TERM" || error.code === "INTERRUPTED");

/** What a client throws for a run that ended otherwise than done. */
export function endedError(run: Run): PopulaceError {
  const code = run.state === "frozen" ? "DIVERGENCE" : run.state === "paused" || run.state === "canceled" ? "INTERRUPTED" : run.code === "" ? "INTERNAL" : run.code;
  const next = { paused: `; go on with "populace runs resume ${run.run.slice(0, 12)}"`, frozen: `; judge it with "populace runs resolve ${run.run.slice(0, 12)}"` }[run.state] ?? "";
  return new PopulaceError(code as PopulaceError["code"], `run ${run.run.slice(0, 12)} is ${run.state}${run.reason === "" ? "" : `: ${run.reason}`}${next}`, { run: run.run, state: run.state });
}

function outcomeOf(head: OutcomeHead, bytes: Uint8Array, cached: boolean): RunOutcome {
  if (bytes.length !== 8 * (head.counts + head.tickCounts) || head.execution === null) {
    throw new PopulaceError("CORRUPT", `the outcome of run ${head.run.slice(0, 12)} has ${bytes.length} bytes of counts where ${8 * (head.counts + head.tickCounts)} were announced; ask again`, { run: head.run });
  }
  const values = new Float64Array(bytes.buffer, 0, bytes.length / 8);
  return {
    runId: head.run, rootHash: head.root, roots: head.roots, exposures: head.exposures, seconds: head.seconds, backend: head.backend, cached, uncheckedFrom: head.uncheckedFrom ?? null,
    execution: executionOf(head.execution), counts: values.slice(0, head.counts), tickCounts: values.slice(head.counts),
  };
}

const executionOf = (execution: Execution): ExecutionPlan => ({
  shards: execution.shards ?? 0, workers: execution.workers ?? 0, backend: execution.backend ?? "auto", population: execution.population === "stored" ? "stored" : "procedural",
  spanTicks: execution.spanTicks ?? 1, checkpointTicks: execution.checkpointTicks ?? 0,
});

/** A buffer of its own, aligned at its start. */
function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

