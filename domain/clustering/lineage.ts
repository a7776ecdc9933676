import { optimalAssignment } from "./assignment.ts";
import { NOISE } from "./points.ts";

/** What became of the old clusters: MONIC's external transitions (Spiliopoulou et al. 2006). */
export type Transition = "survive" | "split" | "absorb" | "emerge" | "retire";

export interface ClusterTransition {
  readonly event: Transition;
  /** Old clusters it came from; empty when it emerged. */
  readonly parents: readonly number[];
  /** New cluster; -1 when the old one retired. */
  readonly cluster: number;
  /** The old cluster whose identity the new one carries on; -1 = it needs a new one. */
  readonly keeps: number;
  /** Jaccard similarity to the parent of largest overlap, 0 to 1. */
  readonly jaccard: number;
}

export interface LineageOptions {
  /** Share of an old cluster that must lie in one new cluster for it to live on there; default 0.5. */
  readonly survive?: number;
  /** Smallest share of an old cluster that counts as a part of a split; default 0.25. */
  readonly part?: number;
}

/**
 * Names what happened between two labellings of the SAME points (-1 = noise in either): one entry for each new cluster in
 * order, then one for each old cluster that retired.
 *
 * survive: most of an old cluster lies in the new one, and of no other. absorb: most of each of several. split: a part of an old
 * cluster whose parts of at least `part` together make up most of it. emerge: from nothing or from scattered remains.
 * Identities follow the one-to-one pairing of largest total Jaccard similarity, so that ids never shuffle; an identity passes
 * only between clusters that are related by one of these events.
 */
export function lineageOf(before: ArrayLike<number>, oldCount: number, after: ArrayLike<number>, newCount: number, options: LineageOptions = {}): ClusterTransition[] {
  const { survive = 0.5, part = 0.25 } = options;
  const shared = new Float64Array(oldCount * newCount), oldSize = new Float64Array(oldCount), newSize = new Float64Array(newCount);
  for (let i = 0; i < before.length; i++) {
    const old = before[i], next = after[i];
    if (old !== NOISE) oldSize[old]++;
    if (next !== NOISE) newSize[next]++;
    if (old !== NOISE && next !== NOISE) shared[old * newCount + next]++;
  }
  const overlap = (old: number, next: number): number => (oldSize[old] === 0 ? 0 : shared[old * newCount + next] / oldSize[old]);
  const jaccard = (old: number, next: number): number => {
    const union = oldSize[old] + newSize[next] - shared[old * newCount + next];
    return union === 0 ? 0 : shared[old * newCount + next] / union;
  };

  // Relations first: which old clusters moved whole into which new one, and which fell into parts.
  const movedInto = new Int32Array(oldCount).fill(-1);
  const parts: number[][] = Array.from({ length: oldCount }, () => []);
  for (let old = 0; old < oldCount; old++) {
    if (oldSize[old] === 0) continue;
    const pieces = Array.from({ length: newCount }, (_, next) => next).filter((next) => overlap(old, next) >= part);
    const together = pieces.reduce((sum, next) => sum + overlap(old, next), 0);
    // A piece is a part of a split only where the old cluster is most of the piece, otherwise it was merely taken in by another.
    const own = pieces.filter((next) => shared[old * newCount + next] >= survive * newSize[next]);
    if (own.length >= 2 && together >= survive) parts[old] = own;
    else {
      const [home] = pieces.toSorted((a, b) => overlap(old, b) - overlap(old, a) || a - b);
      if (home !== undefined && overlap(old, home) >= survive) movedInto[old] = home;
    }
  }

  const similarity = new Float64Array(oldCount * newCount);
  for (let old = 0; old < oldCount; old++) {
    for (let next = 0; next < newCount; next++) if (movedInto[old] === next || parts[old]!.includes(next)) similarity[old * newCount + next] = jaccard(old, next);
  }
  const paired = oldCount > 0 && newCount > 0 ? optimalAssignment(similarity, oldCount, newCount) : new Int32Array(oldCount).fill(-1);
  const keeps = new Int32Array(newCount).fill(-1);
  paired.forEach((next, old) => {
    if (next >= 0 && similarity[old * newCount + next] > 0) keeps[next] = old;
  });

  const transitions: ClusterTransition[] = [];
  const livesOn = new Set<number>();
  for (let next = 0; next < newCount; next++) {
    const movers = indices(oldCount, (old) => movedInto[old] === next);
    const splitFrom = indices(oldCount, (old) => parts[old]!.includes(next));
    const parents = [...movers, ...splitFrom];
    parents.forEach((old) => livesOn.add(old));
    const event: Transition = movers.length + splitFrom.length >= 2 ? "absorb" : movers.length === 1 ? "survive" : splitFrom.length === 1 ? "split" : "emerge";
    transitions.push({ event, parents, cluster: next, keeps: keeps[next], jaccard: Math.max(0, ...parents.map((old) => jaccard(old, next))) });
  }
  for (let old = 0; old < oldCount; old++) {
    if (!livesOn.has(old)) transitions.push({ event: "retire", parents: [old], cluster: -1, keeps: -1, jaccard: 0 });
  }
  return transitions;
}

const indices = (count: number, wanted: (index: number) => boolean): number[] => Array.from({ length: count }, (_, index) => index).filter(wanted);
