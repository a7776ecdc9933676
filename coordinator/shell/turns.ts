import { LIMITS } from "@populace/protocol";
import { afterStart, emptySchedule, nextRun, type ScheduledRun } from "../core/schedule.ts";

/** Bounds the runs under way. One may serve the coordinators of several tenants in one process. */
export interface Turns {
  /** Resolves with the release when it is this run's turn. Rejects with the reason of `signal`. */
  turn(request: ScheduledRun, signal: AbortSignal): Promise<() => void>;
  readonly running: number;
}

/** At most `runsMax` at once; who comes next is decided by `core/schedule.ts`. */
export function createTurns(runsMax: number = LIMITS.runsActiveMax): Turns {
  const bounds = { activeMax: runsMax, activePerTenantMax: runsMax };
  const begin = new Map<ScheduledRun, () => void>();
  const running = new Set<ScheduledRun>();
  let schedule = emptySchedule;

  const next = (): void => {
    for (;;) {
      const waiting = [...begin.keys()];
      const first = nextRun(schedule, waiting, [...running], bounds);
      if (first === null) return;
      schedule = afterStart(schedule, waiting, first, bounds);
      const start = begin.get(first)!;
      begin.delete(first);
      running.add(first);
      start();
    }
  };

  return {
    get running() {
      return running.size;
    },
    turn: (request, signal) => new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      // Its own object: the same run may come again.
      const mine = { ...request };
      const leave = (): void => {
        begin.delete(mine);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", leave, { once: true });
      begin.set(mine, () => {
        signal.removeEventListener("abort", leave);
        resolve(() => {
          if (running.delete(mine)) next();
        });
      });
      next();
    }),
  };
}
