import { RandomStream } from "@populace/domain";

/** A node as placement sees it. */
export interface Candidate {
  readonly incarnation: string;
  /** Measured speed; only ratios matter. Positive. */
  readonly weight: number;
  /** Takes no shard it has not: it drains. Between spans it loses those it has as well. */
  readonly isDraining: boolean;
}

/** A node carries at most this multiple of its share before shards leave it, and takes none beyond. */
const SLACK = 1.05;
/** A measured speed replaces the one that shards were placed by when it differs by more than this factor: noise moves nothing. */
const WEIGHT_FACTOR = 1.25;

/**
 * Owners of shards by bounded-load rendezvous hashing (Thaler and Ravishankar 1998; weighted as by Schindelhauer and Schomaker 2005; bounded as by
 * Mirrokni, Thorup, Zadimoghaddam 2018): every shard goes to the node with the highest score that has room, and has room whoever stays within
 * its share times SLACK. Shards stay with their owner in `before` ("" = none) where that keeps the bound, so that few move; a node above it gives
 * shards away only where that evens the load. `isMidTick`: nothing moves but what lost its owner, and a draining node keeps what it has.
 * Deterministic; placing what has been placed changes nothing. `costs` and weights are positive; at least one candidate.
 */
export function place(run: string, costs: readonly number[], candidates: readonly Candidate[], before: readonly string[] | null, isMidTick = false): readonly string[] {
  const all = candidates.toSorted((left, right) => (left.incarnation < right.incarnation ? -1 : 1));
  const willing = all.some((node) => !node.isDraining) ? all.filter((node) => !node.isDraining) : all;
  const keepers = isMidTick ? all : willing;
  const takers = keepers.map((node) => willing.includes(node));
  const total = costs.reduce((sum, cost) => sum + cost, 0), totalWeight = willing.reduce((sum, node) => sum + node.weight, 0);
  /** Load in shares: 1 is exactly what the node should carry. */
  const perCost = keepers.map((node) => totalWeight / (total * node.weight));
  const load = keepers.map(() => 0);
  const index = new Map(keepers.map((node, at) => [node.incarnation, at]));
  const owner = costs.map((_, shard) => index.get(before?.[shard] ?? "") ?? -1);
  owner.forEach((node, shard) => { if (node >= 0) load[node] += costs[shard] * perCost[node]; });

  // The same draws for a node whoever else is there: a shard prefers its nodes in an order that nobody's coming or going changes. Others for every run,
  // or runs of one shard would all fall to one node.
  const score = keepers.map((node) => {
    const stream = RandomStream.of(run, node.incarnation);
    return costs.map(() => -node.weight / Math.log(stream.uniform()));
  });
  const after = (node: number, shard: number): number => load[node] + costs[shard] * perCost[node];
  /** The preferred node with room, else the one that would carry least; of equals the preferred. */
  const home = (shard: number): number => {
    let best = -1, least = -1;
    for (let node = 0; node < keepers.length; node += 1) {
      if (!takers[node] || node === owner[shard]) continue;
      if (after(node, shard) <= SLACK && (best < 0 || score[node][shard] > score[best][shard])) best = node;
      const more = least < 0 ? -1 : after(node, shard) - after(least, shard);
      if (more < -EPSILON || (more <= EPSILON && score[node][shard] > score[least][shard])) least = node;
    }
    return best >= 0 ? best : least;
  };
  const give = (shard: number, node: number): void => {
    if (owner[shard] >= 0) load[owner[shard]] -= costs[shard] * perCost[owner[shard]];
    load[node] = after(node, shard);
    owner[shard] = node;
  };

  const homeless = owner.flatMap((node, shard) => (node < 0 ? [shard] : [])).toSorted((left, right) => costs[right] - costs[left] || left - right);
  for (const shard of homeless) give(shard, home(shard));
  if (!isMidTick && before !== null) relieve();
  return owner.map((node) => keepers[node].incarnation);

  /** Moves shards off nodes above the bound, each time the one whose new home prefers it most, as long as the most loaded of the two gets less. */
  function relieve(): void {
    const settled = new Set<number>();
    while (settled.size < keepers.length) {
      let heaviest = -1;
      for (let node = 0; node < keepers.length; node += 1) if (!settled.has(node) && (heaviest < 0 || load[node] > load[heaviest])) heaviest = node;
      if (load[heaviest] <= SLACK) return;
      let best = -1, bestGain = 0;
      for (let shard = 0; shard < costs.length; shard += 1) {
        if (owner[shard] !== heaviest) continue;
        const target = home(shard);
        if (target < 0 || after(target, shard) >= load[heaviest] - EPSILON) continue;
        const gain = score[target][shard] / score[heaviest][shard];
        if (gain > bestGain) [best, bestGain] = [shard, gain];
      }
      if (best < 0) settled.add(heaviest);
      else give(best, home(best));
    }
  }
}

/** Of the nodes those where one more run of one shard would end first: by how many each has already (`held`) over its speed. Draining ones only where all drain. */
export function leastBusy(candidates: readonly Candidate[], held: readonly string[]): readonly Candidate[] {
  const willing = candidates.some((node) => !node.isDraining) ? candidates.filter((node) => !node.isDraining) : candidates;
  const loads = willing.map((node) => (1 + held.filter((owner) => owner === node.incarnation).length) / node.weight);
  const least = Math.min(...loads);
  return willing.filter((_, at) => loads[at] <= least * (1 + EPSILON));
}

/** Differences of shares below this are rounding. */
const EPSILON = 1e-9;

/** The weights to place by: a node's old one while its measured speed stays within WEIGHT_FACTOR of it. */
export function steadyWeights(before: ReadonlyMap<string, number>, measured: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map([...measured].map(([incarnation, weight]) => {
    const old = before.get(incarnation);
    return [incarnation, old !== undefined && weight < old * WEIGHT_FACTOR && weight * WEIGHT_FACTOR > old ? old : weight];
  }));
}
