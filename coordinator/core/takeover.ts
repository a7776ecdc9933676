import type { RunRecord } from "@populace/protocol";
import type { Link } from "./commit.ts";

/**
 * A new leader finds a run twice: in its own store and in the COMMIT log. Neither needs to be whole. COMMIT is final; a stored
 * commit whose append was never acknowledged is tentative and gives way to it. What both know is put together into one chain.
 */
export type Reconciliation<T extends Link> =
  | {
    readonly kind: "chain";
    /** Ticks 0, 1, 2, ... as far as they chain. */
    readonly chain: readonly T[];
    /** Of the chain: what the store lacks. */
    readonly adopt: readonly T[];
    /** Stored commits from this tick on are no part of the chain; null = all are. */
    readonly discardFrom: number | null;
    /** What to append to the log; with `rewrite`, after it was emptied: it had holes or repeats out of order. */
    readonly append: readonly T[];
    readonly rewrite: boolean;
    /** Final roots beyond the chain's end, whose predecessors are lost: recomputing must give them again. */
    readonly expected: ReadonlyMap<number, string>;
  }
  /** Two final commits of one tick. */
  | { readonly kind: "conflict"; readonly tick: number; readonly roots: readonly [string, string] };

/** Puts the stored commits (in tick order) and the logged ones (in log order) of a run together. `isTentative`: the stored commit of that tick is not known to be in the log. */
export function reconcile<T extends Link>(run: string, stored: readonly T[], isTentative: (tick: number) => boolean, logged: readonly T[]): Reconciliation<T> {
  const final = new Map<number, T>();
  for (const link of logged) {
    const other = final.get(link.tick);
    if (other !== undefined && other.root !== link.root) return { kind: "conflict", tick: link.tick, roots: [other.root, link.root] };
    if (other === undefined) final.set(link.tick, link);
  }
  const contradicted = stored.find((link) => final.has(link.tick) && final.get(link.tick)!.root !== link.root);
  if (contradicted !== undefined && !isTentative(contradicted.tick)) return { kind: "conflict", tick: contradicted.tick, roots: [contradicted.root, final.get(contradicted.tick)!.root] };

  const kept = new Map(stored.filter((link) => contradicted === undefined || link.tick < contradicted.tick).map((link) => [link.tick, link]));
  // Terms never fall: what only the store has of an earlier term, behind what a later one committed, takes that one's.
  const chain: T[] = [];
  for (let root = run, term = 0; ; ) {
    const next = final.get(chain.length) ?? kept.get(chain.length);
    if (next === undefined || next.prevRoot !== root) break;
    chain.push(next.term < term ? { ...next, term } : next);
    root = next.root;
    term = Math.max(term, next.term);
  }
  // A stored commit beyond the chain that is final (its predecessors were lost) still says which root must come out.
  const beyond = [...final.values(), ...[...kept.values()].filter((link) => !isTentative(link.tick))].filter((link) => link.tick >= chain.length);
  const lastStored = stored.at(-1)?.tick ?? -1;
  const isInOrder = logged.every((link, index) => link.tick === index && index < chain.length);
  return {
    kind: "chain", chain,
    adopt: chain.filter((link) => kept.get(link.tick)?.root !== link.root || kept.get(link.tick)!.term < link.term),
    discardFrom: contradicted !== undefined ? Math.min(contradicted.tick, chain.length) : lastStored >= chain.length ? chain.length : null,
    append: isInOrder ? chain.slice(logged.length) : chain,
    rewrite: !isInOrder,
    expected: new Map(beyond.map((link) => [link.tick, link.root])),
  };
}

/** The newer of two copies of a run's record: a higher term has the last word, then the later change. */
export function newerRecord(one: RunRecord | null, other: RunRecord | null): RunRecord | null {
  if (one === null || other === null) return one ?? other;
  return one.term > other.term || (one.term === other.term && one.change >= other.change) ? one : other;
}
