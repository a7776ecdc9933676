import type { RunRecord } from "@populace/protocol";
import type { Link } from "./commit.ts";

/**
 * A new leader finds a run twice: in its own store and in the COMMIT log. Neither needs to be whole. COMMIT is final; a stored
 * commit whose append was never acknowledged is tentative and gives way to it. What both know is put together into one chain.
 */
export type Reconciliation<T extends Link> =
  | {
    readonly kind: "chain";
    /** Ticks 0, 1, 2, ... as far as they chain; of a ledger, from a checkpoint on. */
    readonly chain: readonly T[];
    /** Of the chain: what the store lacks. */
    readonly adopt: readonly T[];
    /** The store cannot reach where the log begins: all of it gives way to the chain, which begins with a checkpoint. */
    readonly isRebased: boolean;
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

/**
 * Puts the stored commits (in tick order) and the logged ones (in log order) of a run together. `isTentative`: the stored commit of that tick is not
 * known to be in the log. `isBase`: a commit that stands for all before it, so that the chain may begin there; it begins where it reaches furthest, and
 * of equal ones where the store does.
 */
export function reconcile<T extends Link>(run: string, stored: readonly T[], isTentative: (tick: number) => boolean, logged: readonly T[], isBase: (link: T) => boolean = () => false): Reconciliation<T> {
  const final = new Map<number, T>();
  for (const link of logged) {
    const other = final.get(link.tick);
    if (other !== undefined && other.root !== link.root) return { kind: "conflict", tick: link.tick, roots: [other.root, link.root] };
    if (other === undefined) final.set(link.tick, link);
  }
  const contradicted = stored.find((link) => final.has(link.tick) && final.get(link.tick)!.root !== link.root);
  if (contradicted !== undefined && !isTentative(contradicted.tick)) return { kind: "conflict", tick: contradicted.tick, roots: [contradicted.root, final.get(contradicted.tick)!.root] };

  const kept = new Map(stored.filter((link) => contradicted === undefined || link.tick < contradicted.tick).map((link) => [link.tick, link]));
  const isStart = (link: T | undefined): link is T => link !== undefined && (link.tick === 0 || isBase(link));
  const chainFrom = (start: T): readonly T[] => {
    const links: T[] = [];
    for (let next: T | undefined = start; next !== undefined && (links.length === 0 ? start.tick > 0 || next.prevRoot === run : next.prevRoot === links.at(-1)!.root); next = final.get(start.tick + links.length) ?? kept.get(start.tick + links.length)) links.push(next);
    return links;
  };
  const first = kept.get(stored[0]?.tick), bases = [...final.values(), ...kept.values()].filter(isStart).toSorted((left, right) => right.tick - left.tick);
  const chains = [...(isStart(first) ? [final.get(first.tick) ?? first] : []), ...bases].map(chainFrom);
  const endOf = (links: readonly T[]): number => links.at(-1)?.tick ?? -1;
  const chain = chains.reduce<readonly T[]>((best, links) => (endOf(links) > endOf(best) ? links : best), []);
  const end = endOf(chain), start = chain[0]?.tick ?? 0;
  // A stored commit beyond the chain that is final (its predecessors were lost) still says which root must come out.
  const beyond = [...final.values(), ...[...kept.values()].filter((link) => !isTentative(link.tick))].filter((link) => link.tick > end);
  const lastStored = stored.at(-1)?.tick ?? -1;
  const isInOrder = logged.length === 0 || (isStart(logged[0]) && logged.every((link, index) => link.tick === logged[0].tick + index && link.tick <= end) && logged.at(-1)!.tick >= start - 1);
  return {
    kind: "chain", chain,
    adopt: chain.filter((link) => kept.get(link.tick)?.root !== link.root),
    isRebased: start > 0 && first?.tick !== start,
    discardFrom: contradicted !== undefined ? Math.min(contradicted.tick, end + 1) : lastStored > end ? end + 1 : null,
    append: isInOrder ? chain.filter((link) => link.tick > (logged.at(-1)?.tick ?? -1)) : chain,
    rewrite: !isInOrder,
    expected: new Map(beyond.map((link) => [link.tick, link.root])),
  };
}

/** The newer of two copies of a run's record: a higher term has the last word, then the later change. */
export function newerRecord(one: RunRecord | null, other: RunRecord | null): RunRecord | null {
  if (one === null || other === null) return one ?? other;
  return one.term > other.term || (one.term === other.term && one.change >= other.change) ? one : other;
}
