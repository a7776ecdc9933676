import { PopulaceError } from "@populace/domain";
import type { Shard } from "@populace/protocol";

/**
 * Contiguous runs of blocks in canonical order, cut where the running cost passes the next equal share, so that no shard exceeds
 * its share by more than one block. At most one shard a block; every block is in exactly one. `costs` are positive.
 */
export function shardMap(costs: readonly number[], shardCount: number): readonly Shard[] {
  if (costs.length === 0) throw new PopulaceError("BAD_STUDY", "the plan has no agents: give at least one persona a share of the population", {});
  const count = Math.max(1, Math.min(Math.floor(shardCount), costs.length));
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  const shards: Shard[] = [];
  let first = 0;
  let passed = 0;
  for (let index = 0; index < count; index += 1) {
    const target = (total * (index + 1)) / count;
    const last = costs.length - (count - index - 1);
    let end = first + 1;
    passed += costs[first];
    // The block that crosses the share goes to the side it lies on with its larger half.
    while (end < last && passed + costs[end] / 2 <= target) passed += costs[end++];
    if (index === count - 1) end = costs.length;
    shards.push({ index, first, count: end - first });
    first = end;
  }
  return shards;
}
