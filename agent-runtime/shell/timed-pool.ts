import type { Clock } from "@populace/io";
import type { WorkerPool } from "./worker-pool.ts";

/** A pool that knows what its workers do a second while they are at work: the time that nodes wait for slots, disks and others is not theirs. */
export interface TimedPool extends WorkerPool {
  /** Exposures a second of all workers together since `restart`; null while too little was computed in pieces long enough to tell. */
  exposuresPerSecond(): number | null;
  /** Forgets what was measured. */
  restart(): void;
}

/** Computing time of all workers together from which it counts. */
const BUSY_MS_MIN = 500;
/** In shorter pieces of work the time goes into messages, and a node with few shards would look slow, be given fewer and look slower. */
const PIECE_MS_MIN = 20;
/** Fewer tell of a thread's start and of opening a kernel, not of computing: nodes with small shards seemed a hundred times apart, and placement followed. */
const EXPOSURES_MIN = 4_000_000;

export function timedPool(pool: WorkerPool, clock: Pick<Clock, "monotonicMs">): TimedPool {
  const open = new Array<number>(pool.size).fill(0), since = new Array<number>(pool.size).fill(0);
  let busyMs = 0, pieces = 0, exposuresBefore = 0;
  return {
    ...pool,
    async ask(worker, request, onState) {
      if (request.kind === "calibrate") return pool.ask(worker, request, onState);
      if (open[worker]++ === 0) since[worker] = clock.monotonicMs();
      pieces += 1;
      try {
        return await pool.ask(worker, request, onState);
      } finally {
        if (--open[worker] === 0) busyMs += clock.monotonicMs() - since[worker];
      }
    },
    exposuresPerSecond() {
      const nowMs = clock.monotonicMs();
      const spentMs = open.reduce((sum, count, worker) => sum + (count > 0 ? nowMs - since[worker] : 0), busyMs);
      const exposures = pool.exposures() - exposuresBefore;
      if (spentMs < BUSY_MS_MIN || spentMs < PIECE_MS_MIN * pieces || exposures < EXPOSURES_MIN) return null;
      return (exposures / spentMs) * 1000 * pool.size;
    },
    restart() {
      busyMs = 0;
      pieces = 0;
      since.fill(clock.monotonicMs());
      exposuresBefore = pool.exposures();
    },
  };
}
