import type { ShardOut } from "@populace/protocol";

/** The point where every shard has reported one span of ticks. Repetition and order of arrival cannot matter. */
export interface Barrier {
  readonly tick: number;
  readonly span: number;
  readonly outs: readonly (ShardOut | null)[];
  readonly missing: number;
}

export const openBarrier = (tick: number, span: number, shards: number): Barrier => ({ tick, span, outs: Array.from({ length: shards }, () => null), missing: shards });

/** The barrier after one output; the same one when it belongs to another span or its shard has reported. */
export function arrive(barrier: Barrier, out: ShardOut): Barrier {
  if (out.tick !== barrier.tick || out.span !== barrier.span || barrier.outs[out.shard] !== null) return barrier;
  return { ...barrier, outs: barrier.outs.with(out.shard, out), missing: barrier.missing - 1 };
}
