import { LIMITS } from "@populace/protocol";
import { afterStart, emptySchedule, nextRun, type ScheduleBounds, type ScheduledRun } from "../core/schedule.ts";

/** Bounds the runs under way and decides who comes next. One may serve the coordinators of several tenants in one process: they then share the bound fairly. */
export interface Turns {
  /** Resolves with the release when it is this run's turn. Rejects with the reason of `signal`. */
  turn(run: ScheduledRun, signal: AbortSignal): Promise<() => void>;
  /** Runs under way. */
  readonly running: number;
}

/** Turns by `core/schedule.ts`; the bounds default to LIMITS.runsActiveMax, for one tenant as for all. */
export function createTurns(bounds: Partial<ScheduleBounds> = {}): Turns {
  const limits: ScheduleBounds = { activeMax: LIMITS.runsActiveMax, activePerTenantMax: bounds.activeMax ?? LIMITS.runsActiveMax, ...bounds };
  const waiting = new Map<ScheduledRun, () => void>();
  const running = new Set<ScheduledRun>();
  let schedule = emptySchedule;

  const startNext = (): void => {
    for (let next = nextRun(schedule, [...waiting.keys()], [...running], limits); next !== null; next = nextRun(schedule, [...waiting.keys()], [...running], limits)) {
      schedule = afterStart(schedule, [...waiting.keys()], next, limits);
      const begin = waiting.get(next)!;
      waiting.delete(next);
      running.add(next);
      begin();
    }
  };

  return {
    get running() {
      return running.size;
    },
    turn: (run, signal) => new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const leave = (): void => {
        waiting.delete(run);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", leave, { once: true });
      waiting.set(run, () => {
        signal.removeEventListener("abort", leave);
        resolve(() => {
          if (running.delete(run)) startNext();
        });
      });
      startNext();
    }),
  };
}
