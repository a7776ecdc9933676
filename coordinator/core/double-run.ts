import { RandomStream } from "@populace/domain";
import type { Shard } from "@populace/protocol";

/** Share of the blocks that are computed a second time. */
const DOUBLE_RUN_SHARE = 0.01;
/** A shard is a straggler when it takes this many times as long as the middle one of its span. */
const STRAGGLER_FACTOR = 3;
/** And this much longer at least: below it a second computation would come no sooner. */
const STRAGGLER_MS_MIN = 1000;

/** Whether the ticks of a block from `tick` to the next checkpoint are computed a second time: a seeded draw of run, tick and block, the same for every leader. */
export const isDoubled = (run: string, tick: number, block: number, share: number = DOUBLE_RUN_SHARE): boolean => RandomStream.of(run, `double run ${tick} ${block}`).uniform() < share;

/** A node that could compute a second time. */
export interface Second {
  readonly incarnation: string;
  /** Kernel backends it has, the one it takes by itself first. */
  readonly backends: readonly string[];
}

/**
 * Who computes a second time what `incarnation` computed with `backend`: another node, one with another fast backend if there is one, and that backend.
 * Null where there is no other node. `turn` spreads the work: equal candidates take turns.
 */
export function secondOf(nodes: readonly Second[], incarnation: string, backend: string, turn: number): { readonly incarnation: string; readonly backend: string } | null {
  const others = nodes.filter((node) => node.incarnation !== incarnation).toSorted((left, right) => (left.incarnation < right.incarnation ? -1 : 1));
  // Not the reference: it is ten times as slow, and it is the judge when two disagree.
  const other = (node: Second): string | undefined => node.backends.find((name) => name !== backend && name !== "reference");
  const better = others.filter((node) => other(node) !== undefined);
  const chosen = better.length > 0 ? better : others;
  if (chosen.length === 0) return null;
  const node = chosen[turn % chosen.length];
  return { incarnation: node.incarnation, backend: other(node) ?? node.backends[0] ?? "auto" };
}

/**
 * Shards that are late: others have reported, and these have had STRAGGLER_FACTOR times as long as the middle one of those took. No more than have
 * reported, for they are to be done again by whoever is done. `tookMs` by shard since the span was opened, null = not reported.
 */
export function stragglers(shards: readonly Shard[], tookMs: readonly (number | null)[], openMs: number): readonly Shard[] {
  const reported = tookMs.filter((ms) => ms !== null).toSorted((left, right) => left - right);
  if (reported.length === shards.length || reported.length === 0) return [];
  const middle = reported[Math.floor((reported.length - 1) / 2)];
  const bound = Math.max(STRAGGLER_FACTOR * middle, middle + STRAGGLER_MS_MIN);
  return openMs > bound ? shards.filter((shard) => tookMs[shard.index] === null).slice(0, reported.length) : [];
}
