import { PopulaceError } from "@populace/domain";
import { type Heartbeat, isBehaviorPlan, isJobPlan, isKernelPlan, JOB_BACKEND, jobName, type Plan, type RunRecord } from "@populace/protocol";

/** Whether a node may be given shards of the plan: behaviors go only where they are allowed, jobs where their function is known. */
export const mayCompute = (plan: Plan, heartbeat: Pick<Heartbeat, "allowsBehaviors" | "jobs">): boolean =>
  isBehaviorPlan(plan) ? heartbeat.allowsBehaviors : !isJobPlan(plan) || heartbeat.jobs.includes(jobName(plan.job));

/** The backend of a run by name, or "auto": a job has one of its own. */
export const backendWanted = (plan: Plan, { wanted }: Pick<RunRecord, "wanted">): string => (isJobPlan(plan) ? JOB_BACKEND : wanted.backend ?? "auto");

/** The entry of RunRecord.unfit for one backend of a node. */
export const unfitBackend = (incarnation: string, backend: string): string => `${incarnation} ${backend}`;

/** The backends of nodes that a third computation has contradicted in any of the runs: a new run believes none of them. A node that starts anew is another one. */
export const contradictedIn = (records: readonly Pick<RunRecord, "unfit">[]): readonly string[] => [...new Set(records.flatMap(({ unfit }) => unfit.filter((entry) => entry.includes(" "))))];

/**
 * Whether a run may still use a node: neither it nor every backend that it could take for the run is unfit. The reference does not count as another
 * one: it is ten times as slow. `wanted`: the run's backend by name, or "auto".
 */
export function isFit({ unfit }: Pick<RunRecord, "unfit">, { incarnation, backends }: Pick<Heartbeat, "incarnation" | "backends">, wanted: string): boolean {
  if (unfit.includes(incarnation)) return false;
  const lost = unfit.filter((entry) => entry.startsWith(unfitBackend(incarnation, "")));
  const could = wanted === "auto" ? backends.filter((backend) => backend !== "reference") : [wanted];
  return lost.length === 0 || could.some((backend) => (backend === JOB_BACKEND || backends.includes(backend)) && !lost.includes(unfitBackend(incarnation, backend)));
}

/** How fast each node is for the plan, of which only ratios matter: by exposures once all were measured, by workers before; a behavior and a job need processors, and no GPU helps them. */
export function weightsOf(plan: Plan, heartbeats: readonly Pick<Heartbeat, "incarnation" | "exposuresPerSecond" | "workers">[]): ReadonlyMap<string, number> {
  const isMeasured = isKernelPlan(plan) && heartbeats.every(({ exposuresPerSecond }) => exposuresPerSecond > 0);
  return new Map(heartbeats.map(({ incarnation, exposuresPerSecond, workers }) => [incarnation, isMeasured ? exposuresPerSecond : workers]));
}

/** Throws BEHAVIOR_REFUSED, or INCOMPATIBLE of a job, when there are nodes, and none may be given shards of the plan. */
export function checkNodes(plan: Plan, heartbeats: readonly Heartbeat[]): void {
  if (heartbeats.length === 0 || heartbeats.some((each) => mayCompute(plan, each))) return;
  if (isJobPlan(plan)) throw new PopulaceError("INCOMPATIBLE", `none of the ${heartbeats.length} nodes computes ${jobName(plan.job)}; start nodes of the version that submits it`, { nodes: heartbeats.length, job: jobName(plan.job) });
  if (!isBehaviorPlan(plan)) return;
  throw new PopulaceError("BEHAVIOR_REFUSED", `behavior "${plan.behavior.name}" is foreign code, and none of the ${heartbeats.length} nodes allows it; start one with --allow-behaviors`, { nodes: heartbeats.length });
}
