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
  // Of one tick, the store alone may know it as a base: whether a commit is one is no part of its root.
  const at = (tick: number): T | undefined => [final.get(tick), kept.get(tick)].find((link) => link !== undefined && isBase(link)) ?? final.get(tick) ?? kept.get(tick);
  const isStart = (link: T): boolean => (link.tick === 0 ? link.prevRoot === run : isBase(link));
  // Terms never fall: what only the store has of an earlier term, behind what a later one committed, takes that one's.
  const chainFrom = (start: number): readonly T[] => {
    const links: T[] = [];
    for (let next = at(start), term = 0; next !== undefined && (links.length === 0 || next.prevRoot === links.at(-1)!.root); next = at(start + links.length)) {
      links.push(next.term < term ? { ...next, term } : next);
      term = Math.max(term, next.term);
    }
    return links;
  };
  const startsOf = (links: Iterable<T>): readonly number[] => [...links].filter(isStart).map((link) => link.tick);
  const first = stored[0]?.tick, ownStart = startsOf(kept.values()).filter((tick) => tick === first);
  const otherStarts = startsOf([...final.values(), ...kept.values()]).toSorted((left, right) => right - left);
  const endOf = (links: readonly T[]): number => links.at(-1)?.tick ?? -1;
  const chain = [...ownStart, ...otherStarts].map(chainFrom).reduce<readonly T[]>((best, links) => (endOf(links) > endOf(best) ? links : best), []);
  const end = endOf(chain), start = chain[0]?.tick ?? 0;
  // A stored commit beyond the chain that is final (its predecessors were lost) still says which root must come out.
  const beyond = [...final.values(), ...[...kept.values()].filter((link) => !isTentative(link.tick))].filter((link) => link.tick > end);
  const lastStored = stored.at(-1)?.tick ?? -1;
  const isInOrder = logged.length === 0 || ((logged[0].tick === 0 || isBase(logged[0])) && logged.every((link, index) => link.tick === logged[0].tick + index && link.tick <= end) && logged.at(-1)!.tick >= start - 1);
  return {
    kind: "chain", chain,
    adopt: chain.filter((link) => kept.get(link.tick)?.root !== link.root || kept.get(link.tick)!.term < link.term),
    isRebased: start > 0 && first !== start,
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
