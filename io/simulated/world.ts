import type { Clock, Stop } from "../ports.ts";

/** Uniform in [0, 1); seeded by the caller, so that one seed is one world. */
export type Chance = () => number;

/** What happens at a moment; ties are broken by chance, and those by order of scheduling. */
interface Happening {
  readonly atMs: number;
  readonly tie: number;
  readonly order: number;
  action: (() => void) | null;
}

/** One life of a process: a crash ends it for good, a restart is another life under the same name. */
export interface SimulatedLife {
  readonly name: string;
  readonly clock: Clock;
  readonly isAlive: boolean;
  readonly isPaused: boolean;
  /** Port calls it has made. */
  readonly steps: number;
  /** Ends it: whatever it waits for never comes, whatever it still calls does nothing. */
  kill(): void;
  /** Freezes it (SIGSTOP, a blocked event loop); what comes for it waits. */
  pause(): void;
  /** Goes on with all it remembers; overdue timers and what came meanwhile happen at once, in an order of chance between the two. */
  resume(): void;
  /** Its monotonic clock leaps ahead, as after the sleep of a machine; timers that are due by then are due. */
  leap(ms: number): void;
  /** Calls `action` once, just before its port call number `step` from now (1 = the next one). */
  atStep(step: number, action: () => void): void;
  /** Has `action` happen inside this life: now, after its pause, or never. */
  within(action: () => void, isTimer?: boolean): void;
  /** Counts a port call and lets `action` carry it out unless the life is over. */
  step(action: () => void): void;
}

/**
 * A virtual clock and everything that is going to happen, in one process. Nothing in it waits for the machine, so the same chance gives the same
 * course of events to the last microtask, provided that what runs inside waits for its ports alone.
 */
export interface SimulatedWorld {
  readonly chance: Chance;
  nowMs(): number;
  /** Happenings so far. */
  happened(): number;
  /** Has `action` happen `ms` from now. */
  after(ms: number, action: () => void): Stop;
  life(name: string): SimulatedLife;
  /** Lets things happen until `isOver` says so (asked before each one), nothing is left to happen, or virtual time passes `untilMs`. */
  run(isOver: () => boolean, untilMs?: number): Promise<void>;
}

/** Node's timers wait at least so long; one that waited for less than the clock can tell would be set again and again at one moment. */
const TIMER_MS_MIN = 1;
/** Immediates queued at once: between two of them Node drains the microtasks, so one turn of its event loop serves many happenings. */
const BATCH = 128;

/** A world at time 0 in which nothing happens yet. */
export function simulatedWorld(chance: Chance): SimulatedWorld {
  const queue = new HappeningQueue();
  let nowMs = 0, order = 0, happened = 0;

  function after(ms: number, action: () => void): Stop {
    const happening: Happening = { atMs: nowMs + Math.max(0, ms), tie: chance(), order: (order += 1), action };
    queue.push(happening);
    return () => { happening.action = null; };
  }

  function life(name: string): SimulatedLife {
    const timers = new Set<Timer>();
    const waiting: { readonly action: () => void; readonly isTimer: boolean }[] = [];
    const traps: { step: number; action: () => void }[] = [];
    let isAlive = true, isPaused = false, steps = 0, leaptMs = 0;
    const monotonicMs = (): number => nowMs + leaptMs;

    function within(action: () => void, isTimer = false): void {
      if (!isAlive) return;
      if (isPaused) waiting.push({ action, isTimer });
      else action();
    }
    function arm(one: Timer): void {
      one.cancel = after(one.dueMs - monotonicMs(), () => within(() => { if (timers.delete(one)) one.action(); }, true));
    }
    function timer(ms: number, action: () => void): Stop {
      const one: Timer = { dueMs: monotonicMs() + Math.max(TIMER_MS_MIN, ms), action, cancel: () => {} };
      timers.add(one);
      arm(one);
      return () => { timers.delete(one); one.cancel(); };
    }
    const clock: Clock = {
      monotonicMs,
      sleep: (ms, signal) => new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const abort = (): void => { stop(); reject(signal!.reason as Error); };
        const stop = timer(ms, () => { signal?.removeEventListener("abort", abort); resolve(); });
        signal?.addEventListener("abort", abort, { once: true });
      }),
      every(ms, action) {
        let stop = timer(ms, ring);
        function ring(): void {
          stop = timer(ms, ring);
          action();
        }
        return () => stop();
      },
    };

    return {
      name, clock, within,
      get isAlive() { return isAlive; },
      get isPaused() { return isPaused; },
      get steps() { return steps; },
      kill() {
        isAlive = false;
        for (const each of timers) each.cancel();
        timers.clear();
        waiting.length = 0;
      },
      pause() { isPaused = true; },
      resume() {
        if (!isPaused || !isAlive) return;
        isPaused = false;
        const timersFirst = chance() < 0.5;
        const came = waiting.splice(0);
        for (const { action } of [...came.filter(({ isTimer }) => isTimer === timersFirst), ...came.filter(({ isTimer }) => isTimer !== timersFirst)]) {
          // A happening each, in this order: between two of them what the first one set off goes on.
          queue.push({ atMs: nowMs, tie: -1, order: (order += 1), action: () => within(action) });
        }
      },
      leap(ms) {
        leaptMs += ms;
        for (const each of timers) {
          each.cancel();
          arm(each);
        }
      },
      atStep: (step, action) => void traps.push({ step: steps + step, action }),
      step(action) {
        if (!isAlive) return;
        steps += 1;
        for (const [index, trap] of traps.entries()) {
          if (trap.step > steps) continue;
          traps.splice(index, 1);
          trap.action();
          break;
        }
        within(action);
      },
    };
  }

  function run(isOver: () => boolean, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    return new Promise((resolve, reject) => {
      let isDone = false;
      function turn(): void {
        if (isDone) return;
        try {
          const next = isOver() ? null : queue.pop();
          if (next === null || next.atMs > untilMs) {
            if (next !== null) queue.push(next);
            isDone = true;
            return resolve();
          }
          nowMs = next.atMs;
          happened += 1;
          next.action!();
        } catch (error) {
          isDone = true;
          reject(error as Error);
        }
      }
      function batch(): void {
        if (isDone) return;
        for (let index = 0; index < BATCH; index += 1) setImmediate(turn);
        setImmediate(batch);
      }
      batch();
    });
  }

  return { chance, nowMs: () => nowMs, happened: () => happened, after, life, run };
}

interface Timer {
  readonly dueMs: number;
  readonly action: () => void;
  cancel: Stop;
}

/** A binary heap by (time, tie, order). */
class HappeningQueue {
  private readonly heap: Happening[] = [];

  push(happening: Happening): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(happening);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(happening, heap[above])) break;
      heap[at] = heap[above];
      at = above;
    }
    heap[at] = happening;
  }

  /** The next one that was not canceled, or null. */
  pop(): Happening | null {
    for (;;) {
      const first = this.heap[0];
      if (first === undefined) return null;
      const last = this.heap.pop()!;
      if (this.heap.length > 0) this.sink(last);
      if (first.action !== null) return first;
    }
  }

  private sink(happening: Happening): void {
    const { heap } = this;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1], heap[below])) below += 1;
      if (!isBefore(heap[below], happening)) break;
      heap[at] = heap[below];
      at = below;
    }
    heap[at] = happening;
  }
}

const isBefore = (left: Happening, right: Happening): boolean =>
  left.atMs !== right.atMs ? left.atMs < right.atMs : left.tie !== right.tie ? left.tie < right.tie : left.order < right.order;
