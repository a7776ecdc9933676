/** Splits `total` into whole numbers as close to the shares as possible; ties go to the earlier share. */
export function largestRemainder(shares: ArrayLike<number>, total: number): number[] {
  const list = Array.from(shares);
  const sum = list.reduce((all, share) => all + share, 0);
  const quotas = list.map((share) => (sum > 0 ? (share / sum) * total : total / list.length));
  const counts = quotas.map(Math.floor);
  const left = total - counts.reduce((all, count) => all + count, 0);
  const order = quotas.map((_, index) => index).toSorted((a, b) => quotas[b] - counts[b] - (quotas[a] - counts[a]) || a - b);
  for (const index of order.slice(0, left)) counts[index] += 1;
  return counts;
}
