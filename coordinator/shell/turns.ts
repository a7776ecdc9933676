import { LIMITS } from "@populace/protocol";

/** Who waits for a place among the runs that are under way. */
export interface TurnRequest {
  readonly tenant: string;
  readonly run: string;
  readonly priority: number;
  /** Order of submission. */
  readonly number: number;
}

/** Bounds the runs under way. One may serve the coordinators of several tenants in one process. */
export interface Turns {
  /** Resolves with the release when it is this run's turn. Rejects with the reason of `signal`. */
  turn(request: TurnRequest, signal: AbortSignal): Promise<() => void>;
  readonly running: number;
}

/** At most `runsMax` at once; of those who wait, the highest priority first, then the tenant with the fewest runs under way, then the earliest. */
export function createTurns(runsMax: number = LIMITS.runsActiveMax): Turns {
  const underWay = new Map<string, number>();
  const waiting: { readonly request: TurnRequest; readonly begin: () => void }[] = [];
  let running = 0;

  const next = (): void => {
    while (running < runsMax && waiting.length > 0) {
      const first = waiting.toSorted(({ request: left }, { request: right }) =>
        right.priority - left.priority || (underWay.get(left.tenant) ?? 0) - (underWay.get(right.tenant) ?? 0) || left.number - right.number || (left.run < right.run ? -1 : 1))[0];
      waiting.splice(waiting.indexOf(first), 1);
      first.begin();
    }
  };
  const count = (tenant: string, change: 1 | -1): void => {
    running += change;
    underWay.set(tenant, (underWay.get(tenant) ?? 0) + change);
  };

  return {
    get running() {
      return running;
    },
    turn: (request, signal) => new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const entry = {
        request,
        begin() {
          signal.removeEventListener("abort", leave);
          count(request.tenant, 1);
          let isReleased = false;
          resolve(() => {
            if (isReleased) return;
            isReleased = true;
            count(request.tenant, -1);
            next();
          });
        },
      };
      const leave = (): void => {
        waiting.splice(waiting.indexOf(entry), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", leave, { once: true });
      waiting.push(entry);
      next();
    }),
  };
}
