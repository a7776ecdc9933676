import { LIMITS } from "@populace/protocol";

/** A submitted run that waits for its turn, or one that has it. */
export interface ScheduledRun {
  readonly run: string;
  readonly tenant: string;
  /** Higher goes first within its tenant; any number. */
  readonly priority: number;
  /** Order of submission, unique. */
  readonly number: number;
}

export interface ScheduleBounds {
  readonly activeMax: number;
  readonly activePerTenantMax: number;
  /** Parts of the cluster by tenant, positive; 1 for those not named. */
  readonly weights?: ReadonlyMap<string, number>;
}

/** Bounds for so many tenants of one process: runs of one that wait for its nodes never take the turns of all. */
export const boundsFor = (tenants: number): ScheduleBounds => ({ activeMax: Math.max(LIMITS.runsActiveMax, tenants), activePerTenantMax: Math.max(1, LIMITS.runsActiveMax + 1 - tenants) });

/** What was started so far; a new leader may begin with nothing. */
export interface Schedule {
  /** Runs started by tenant over its weight: the tenant that had least comes next. */
  readonly served: ReadonlyMap<string, number>;
  /** How often a later run of the same tenant went before one that waits. */
  readonly overtaken: ReadonlyMap<string, number>;
}

/** A waiting run is overtaken at most so often, whatever the priorities. */
export const OVERTAKEN_MAX = 8;

export const emptySchedule: Schedule = { served: new Map(), overtaken: new Map() };

/**
 * The run that starts next, or null when a bound is reached or none waits. Between tenants: start-time fair queuing, by what each has had over
 * its weight. Within one: by priority, then by age; a run overtaken OVERTAKEN_MAX times goes before every priority, so none starves. The order
 * of the lists does not matter.
 */
export function nextRun(schedule: Schedule, waiting: readonly ScheduledRun[], running: readonly ScheduledRun[], bounds: ScheduleBounds): ScheduledRun | null {
  if (running.length >= bounds.activeMax) return null;
  const active = (tenant: string): number => running.filter((run) => run.tenant === tenant).length;
  const ready = waiting.filter((run) => active(run.tenant) < bounds.activePerTenantMax);
  const served = servedOf(schedule, waiting);
  const isPassedOver = (run: ScheduledRun): boolean => (schedule.overtaken.get(run.run) ?? 0) >= OVERTAKEN_MAX;
  const first = ready.toSorted((left, right) =>
    served.get(left.tenant)! - served.get(right.tenant)!
    || (left.tenant < right.tenant ? -1 : left.tenant > right.tenant ? 1 : 0)
    || Number(isPassedOver(right)) - Number(isPassedOver(left))
    || (isPassedOver(left) ? 0 : right.priority - left.priority)
    || left.number - right.number);
  return first[0] ?? null;
}

/** The schedule after `started` was taken out of `waiting`. */
export function afterStart(schedule: Schedule, waiting: readonly ScheduledRun[], started: ScheduledRun, bounds: ScheduleBounds): Schedule {
  const served = servedOf(schedule, waiting);
  served.set(started.tenant, served.get(started.tenant)! + 1 / (bounds.weights?.get(started.tenant) ?? 1));
  const overtaken = new Map<string, number>();
  for (const run of waiting) {
    if (run.run === started.run) continue;
    const more = run.tenant === started.tenant && run.number < started.number ? 1 : 0;
    const times = (schedule.overtaken.get(run.run) ?? 0) + more;
    if (times > 0) overtaken.set(run.run, times);
  }
  return { served, overtaken };
}

/** What every waiting tenant has had. One that was idle does not save up its share: it enters level with the least served that waits. */
function servedOf(schedule: Schedule, waiting: readonly ScheduledRun[]): Map<string, number> {
  const known = waiting.flatMap((run) => schedule.served.get(run.tenant) ?? []);
  const level = known.length === 0 ? 0 : Math.min(...known);
  return new Map(waiting.map((run) => [run.tenant, schedule.served.get(run.tenant) ?? level]));
}
