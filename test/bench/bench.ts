// What a benchmark is. Each `*.bench.ts` here exports one as `bench`; `npm run bench` runs them all, and the test run runs
// them with tiny inputs, so that none of them can rot.

/** One measured line: ours beside a peer or a limit, in the same run. */
export interface BenchRow {
  /** What was measured, as TARGETS or the README calls it. */
  readonly what: string;
  readonly ours: number;
  /** The peer's or the limit's figure in the same unit, null where there is none. */
  readonly peer: number | null;
  /** Who the peer is. */
  readonly peerName: string;
  /** How much better ours is, above 1 for better whatever the unit; null without a peer. */
  readonly ratio: number | null;
  readonly unit: string;
  /** What must hold on a busy machine of two cores, and what is aimed for; in words, or null. */
  readonly floor: string | null;
  readonly target: string | null;
  /** A hash or a checksum of the result, so that a fast wrong answer shows. */
  readonly hash: string;
}

export interface BenchOptions {
  /** Tiny inputs: everything runs, nothing is measured seriously. */
  readonly tiny: boolean;
}

export interface Bench {
  readonly name: string;
  readonly run: (options: BenchOptions) => Promise<readonly BenchRow[]>;
}

/**
 * Seconds that `work` takes: the median of `rounds` timings after one untimed round. Interleave ours and the peer by
 * calling this for both in turn; on a shared machine ratios within a run are steadier than either figure.
 */
export async function seconds(rounds: number, work: () => unknown): Promise<number> {
  await work();
  const taken: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await work();
    taken.push((performance.now() - started) / 1000);
  }
  return median(taken);
}

/** Does one side's work once and returns the figure that is compared. */
export type Side = () => Promise<number>;

/** Ours beside a peer. What the row says, and how its figures are made. */
export interface Comparison extends Pick<BenchRow, "what" | "unit" | "peerName" | "floor" | "target"> {
  readonly ours: Side;
  /** Null where the peer is not to be had; `peerName` then says why. */
  readonly peer: Side | null;
  /** Whether a larger figure is the better one (a rate) or a smaller one (a time). */
  readonly better: "larger" | "smaller";
  readonly rounds: number;
  /** Leaves out the untimed round of each side. */
  readonly isWarm?: boolean;
  /** Asked for after the last round. */
  readonly hash: () => string;
}

/**
 * The row of a comparison: after an untimed round of each, both sides turn by turn, and who begins changes every round. Other work on
 * the machine slows neighbors in time alike, so the ratio is the median of the rounds' own ratios, not that of the two medians.
 */
export async function compared({ ours, peer, better, rounds, isWarm, hash, ...words }: Comparison): Promise<BenchRow> {
  const mine: number[] = [], theirs: number[] = [];
  if (isWarm !== true) await ours();
  if (isWarm !== true) await peer?.();
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) mine.push(await ours());
    if (peer !== null) theirs.push(await peer());
    if (round % 2 === 1) mine.push(await ours());
  }
  const ratios = theirs.map((figure, round) => (better === "larger" ? mine[round]! / figure : figure / mine[round]!));
  return { ...words, ours: median(mine), peer: peer === null ? null : median(theirs), ratio: peer === null ? null : median(ratios), hash: hash() };
}

/** The middle one of an odd number of figures, the upper middle one of an even number. */
export function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[figures.length >> 1]!;
}

/**
 * Seconds that each of several works takes, measured in alternation so that a neighbor's load falls on all alike: medians of `rounds` timings after an
 * untimed round. Ratios of these are steadier than ratios of separate medians.
 */
export async function alternating(rounds: number, works: readonly (() => unknown)[]): Promise<readonly number[]> {
  const taken = works.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [index, work] of works.entries()) {
      const started = performance.now();
      await work();
      if (round >= 0) taken[index]!.push((performance.now() - started) / 1000);
    }
  }
  return taken.map((times) => times.toSorted((a, b) => a - b)[times.length >> 1]!);
}
