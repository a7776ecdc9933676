import type { Logger, Ports } from "@populace/io";
import { LIMITS, RECOMPUTE, RECOMPUTED, recomputeSubject, recomputedSubject, type Recompute, type Shard, type ShardOut, type TickOpen } from "@populace/protocol";
import { isDoubled, secondOf, stragglers, type Second } from "../core/double-run.ts";

/** What second computations of one attempt need. */
export interface SecondRunsOptions {
  readonly ports: Pick<Ports, "bus" | "clock">;
  readonly tenant: string;
  readonly logger: Logger;
  readonly run: string;
  readonly attempt: number;
  readonly term: number;
  readonly shards: readonly Shard[];
  /** Kernel backend of the run, by name or "auto". */
  readonly backend: string;
  /** Share of the blocks that are computed twice; default as CLUSTER.md has it, 1 %. */
  readonly share: number | undefined;
  /** Nodes that may compute for this run now. */
  seconds(): readonly Second[];
  /** Whether there are no others: a new leader has yet to hear them. */
  knowsSeconds(): boolean;
  view(): number;
  /** Puts the plan back that nodes read, should it be lost; damaged, if it is doubted. */
  restorePlan(isDoubted: boolean): Promise<void>;
}

/** Ticks that were committed since a checkpoint, and who computed the last of them by shard. */
export interface CheckedTicks {
  readonly tick: number;
  readonly span: number;
  readonly outs: readonly Pick<ShardOut, "incarnation" | "backend">[];
}

/** The outcome of the checks of some ticks; a divergence is not among them, for it comes as the failure of a node. */
export interface Checked {
  readonly asked: number;
  readonly answered: number;
}

/** Second computations of one attempt. */
export interface SecondRuns {
  /**
   * Has the drawn blocks computed a second time and resolves when all were compared or given up: there never was a second node, or none answered in
   * time. Slots of the ticks and the checkpoint before them must stay until then. Null, at once, where nothing is drawn.
   */
  check(ticks: CheckedTicks): Promise<Checked> | null;
  /** Opens shards that are late on a second node; whoever fills the slot first has it. To be called again while the span is open. */
  speculate(open: TickOpen, owners: readonly string[], tookMs: readonly (number | null)[], openMs: number): number;
  close(): void;
}

/** A check that nobody answered when it was asked for so often, though there are nodes, is given up: it must not hold up a run for ever. No time, for whoever stood still has not asked. */
const ASKED_MAX = 30;
/** After so many in vain the plan is read whole. */
const DOUBTED_EVERY = 5;

/** Begins to listen for answers of second computations. */
export function secondRuns(options: SecondRunsOptions): SecondRuns {
  const { ports, tenant, logger, run, attempt, term, shards } = options;
  const { bus, clock } = ports;
  const open = new Map<string, (compared: number) => void>();
  const closed = new AbortController();
  let turn = 0, hadOthers = false, saidAlone = false;
  /** Who was there comes back, most of the time: a node is started again. */
  const isAlone = (): boolean => {
    hadOthers ||= options.seconds().length > 1;
    return !hadOthers && options.knowsSeconds();
  };
  const keyOf = (shard: number, tick: number): string => `${shard} ${tick}`;
  const stop = bus.subscribe(recomputedSubject(tenant, run, attempt), (_, bytes) => {
    const { shard, tick, compared } = RECOMPUTED.decode(bytes);
    open.get(keyOf(shard, tick))?.(compared);
  });

  const ask = (request: Omit<Recompute, "run" | "attempt" | "term" | "view">): void =>
    bus.publish(recomputeSubject(tenant, run, attempt), RECOMPUTE.encode({ run, attempt, term, view: options.view(), ...request }));

  return {
    check({ tick, span, outs }) {
      const drawn = shards.map((shard) => ({ shard, blocks: Array.from({ length: shard.count }, (_, at) => shard.first + at).filter((block) => isDoubled(run, tick, block, options.share)) })).filter(({ blocks }) => blocks.length > 0);
      if (drawn.length === 0) return null;
      if (isAlone()) {
        if (!saidAlone) logger.warn({ run, attempt, tick, span }, "a double run was given up: there is no second node");
        saidAlone = true;
        return Promise.resolve({ asked: drawn.length, answered: 0 });
      }
      return Promise.all(drawn.map(({ shard, blocks }) => checkShard(shard, blocks, tick, span, outs[shard.index])))
        .then((answers) => ({ asked: answers.length, answered: answers.filter((isAnswered) => isAnswered).length }));
    },
    speculate(tickOpen, owners, tookMs, openMs) {
      const { tick, span, checkpoint } = tickOpen;
      const late = stragglers(shards, tookMs, openMs);
      for (const shard of late) {
        const second = secondOf(options.seconds(), owners[shard.index], "", shard.index);
        if (second === null) return 0;
        logger.warn({ run, tick, shard: shard.index, owner: owners[shard.index], second: second.incarnation, openMs: Math.round(openMs) }, "shard is late; a second node computes it too");
        ask({ incarnation: second.incarnation, backend: options.backend, shard: shard.index, tick, span, checkpoint, blocks: [] });
      }
      return late.length;
    },
    close() {
      closed.abort(new Error("closed"));
      stop();
    },
  };

  async function checkShard(shard: Shard, blocks: readonly number[], tick: number, span: number, first: Pick<ShardOut, "incarnation" | "backend">): Promise<boolean> {
    const key = keyOf(shard.index, tick), answered = Promise.withResolvers<void>();
    let isAnswered = false;
    let compared = 0;
    open.set(key, (count) => {
      isAnswered = true;
      compared = count;
      answered.resolve();
    });
    const mine = (turn += 1);
    try {
      // The same node while it lives; a repetition of what it works on costs nothing.
      for (let asked = 0; !isAnswered && !closed.signal.aborted && asked < ASKED_MAX; asked += 1) {
        if (asked > 0) await options.restorePlan(asked % DOUBTED_EVERY === 0).catch((error: unknown) => logger.warn({ run, error: String(error) }, "the plan could not be put back; it will be tried again"));
        const second = secondOf(options.seconds(), first.incarnation, first.backend, mine);
        if (second === null && isAlone()) break;
        if (second !== null) ask({ incarnation: second.incarnation, backend: second.backend, shard: shard.index, tick, span, checkpoint: false, blocks });
        const woken = new AbortController();
        await Promise.race([answered.promise, clock.sleep(LIMITS.tickOpenRepeatMs, AbortSignal.any([woken.signal, closed.signal])).catch(() => {})]);
        woken.abort();
      }
    } finally {
      open.delete(key);
    }
    const isCompared = isAnswered && compared >= blocks.length * span;
    if (!isCompared && !closed.signal.aborted) logger.warn({ run, attempt, tick, span, shard: shard.index }, `a double run was given up: ${isAnswered ? "slots that it would be compared with are gone" : "nobody answered"}`);
    return isCompared;
  }
}
